// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fresh simulated chip in the state of a report's chip, in virtual time.

use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus, SimChip, Switches};
use atecc608_wire::Slot;
use p256::elliptic_curve::rand_core::OsRng;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::SecretKey;

use crate::bench::Bench;
use crate::report::{Host, Report};

/// Configuration and locks as in the report; new keys in the same slots.
///
/// # Errors
/// A text if the report's configuration zone is damaged.
fn image(report: &Report, switches: &Switches) -> Result<Image, String> {
    let config = report.config()?;
    let mut image = Image::new(*config.as_bytes());
    if let Ok([_, _, family, revision]) = base16ct::mixed::decode_vec(&report.chip.revision).as_deref() {
        image.set_revision([*family, *revision]);
    }
    image.part_mut(Part::Otp).fill(switches.blank_otp);
    Slot::all().for_each(|slot| image.part_mut(Part::Slot(slot)).fill(switches.blank_slots));
    for slot in report.chip.keys.iter().filter_map(|number| Slot::new(*number)) {
        let key = SecretKey::random(&mut OsRng);
        let stored = image.part_mut(Part::Slot(slot));
        if config.key_config(slot).private() {
            stored.fill(0);
            stored[4..36].copy_from_slice(&key.to_bytes());
        } else if slot.size() >= 72 {
            let point = key.public_key().to_encoded_point(false);
            stored[..72].fill(0);
            stored[4..36].copy_from_slice(&point.as_bytes()[1..33]);
            stored[40..72].copy_from_slice(&point.as_bytes()[33..]);
            if config.key_config(slot).pub_info() {
                // Validated, because Info reported it as valid.
                stored[0] = 0x50;
            }
        }
    }
    Ok(image)
}

/// Returns the chip on a bench, and a placeholder for the host.
///
/// # Errors
/// A text if the report's configuration zone is damaged.
pub fn like(report: &Report, i2c_hz: u32, switches: Switches) -> Result<(Bench, Host), String> {
    let chip = SimChip::from_image(image(report, &switches)?).with_switches(switches);
    let address = chip.address();
    let bus = SimBus::new(i2c_hz);
    bus.add_chip(chip);
    let host = Host {
        kernel: "none".to_owned(),
        board: None,
        bus: "the simulator, on virtual time".to_owned(),
        adapter: None,
        i2c_hz: Some(i2c_hz),
        address: format!("{address:#04x}"),
    };
    Ok((Bench::new(Box::new(bus), address), host))
}
