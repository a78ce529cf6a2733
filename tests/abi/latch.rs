// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys behind the chip's persistent latch, through the C ABI: they are shown, and while the latch is not set their use is refused
//! with a line that names it.

use crate::common::chip::{self, put_key, slot};
use crate::common::keys::Session;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, generate, import, point_in, sign};
use crate::common::secrets::{put_io_key, IO_KEY};
use atecc608::latch::{Latch, LatchChange};
use atecc608::secrets::SharedSecret;
use atecc608::Chip;
use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus};
use atecc608_token::bus::{host_random, Bus};
use atecc608_token::config::BusLocation;
use atecc608_wire::config_zone::offset;
use cryptoki_sys::*;

/// VolatileKeyPermission: enabled, by the secret in slot 6.
const BY_SLOT_6: u8 = 0x86;

/// These slots are behind the latch; slot 0 holds a key.
fn image(behind: &[u8]) -> Image {
    let mut image = chip::provisioned();
    put_key(&mut image, 0, &[0x21; 32]);
    let config = image.part_mut(Part::Config);
    config[offset::VOLATILE_KEY_PERMISSION] = BY_SLOT_6;
    for slot in behind {
        config[offset::KEY_CONFIG + 2 * usize::from(*slot) + 1] |= 0x10;
    }
    image
}

fn on_bus(behind: &[u8]) -> (Module, SimBus, Session) {
    let (module, bus) = Module::on_bus(image(behind));
    put_io_key(&module, &bus.image(0).unwrap());
    let session = module.start();
    (module, bus, session)
}

/// Sets the latch, or clears it, as the tool does.
fn change_latch(module: &Module, bus: &SimBus, set: bool) {
    let bus_of_ours = Bus::open(&BusLocation::Unix(module.socket()), 0x60, &module.state_dir()).unwrap();
    let mut chip = Chip::new(bus_of_ours, host_random);
    let serial = bus.image(0).unwrap().config().serial_number();
    let secret = SharedSecret { slot: slot(6), value: &IO_KEY };
    assert_eq!(chip.change_latch(&serial, Some(&secret), set), Ok(LatchChange::Done));
    let wanted = if set { Latch::Set } else { Latch::Clear };
    assert_eq!(chip.converse(|awake| awake.latch()), Ok(wanted));
}

#[test]
fn a_key_behind_the_latch_signs_and_derives_only_while_it_is_set() {
    let (module, bus, session) = on_bus(&[0]);
    let keys = module.private_keys(session);
    assert_eq!(keys.len(), 1, "it is shown");
    let theirs = chip::point_in(&image(&[]), 0).unwrap();
    let derive = || module.derive(session, keys[0], CKD_NULL, &[], &theirs, &[]);
    assert_eq!(sign(&module, session, keys[0]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(derive().map(drop), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    module.assert_logged(&["C_Sign", "slot 0", "persistent latch", "`atecc608 latch show`"]);
    module.assert_logged(&["C_DeriveKey", "slot 0", "persistent latch", "`atecc608 latch show`"]);
    change_latch(&module, &bus, true);
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, keys[0]).unwrap());
    assert!(derive().is_ok());
    // Now with its public key known.
    change_latch(&module, &bus, false);
    assert_eq!(sign(&module, session, keys[0]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(derive().map(drop), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    change_latch(&module, &bus, true);
    bus.power_off();
    bus.power_on();
    assert_eq!(sign(&module, session, keys[0]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED), "power was lost");
}

#[test]
fn a_generation_passes_over_slots_behind_the_latch() {
    let (module, bus, session) = on_bus(&[2]);
    let key = generate(&module, session, "a").unwrap();
    assert!(point_in(&bus, 2).is_none() && point_in(&bus, 3).is_some());
    assert!(sign(&module, session, key).is_ok());
}

#[test]
fn nothing_is_generated_or_imported_behind_the_latch_until_it_is_set() {
    let (module, bus, session) = on_bus(&[0, 2, 3, 4]);
    assert_eq!(generate(&module, session, "a"), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(import(&module, session, "a"), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    module.assert_logged(&["C_GenerateKeyPair", "slot 2", "persistent latch", "`atecc608 latch show`"]);
    module.assert_logged(&["C_CreateObject", "slot 4", "persistent latch", "`atecc608 latch show`"]);
    assert!([2, 3, 4].iter().all(|slot| point_in(&bus, *slot).is_none()));
    change_latch(&module, &bus, true);
    let key = generate(&module, session, "a").unwrap();
    assert!(sign(&module, session, key).is_ok() && point_in(&bus, 2).is_some());
}

#[test]
fn a_key_behind_the_latch_is_destroyed_only_while_it_is_set() {
    let (module, bus, session) = on_bus(&[0]);
    let (key, before) = (module.private_keys(session)[0], point_in(&bus, 0));
    assert_eq!(module.destroy(session, key), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(point_in(&bus, 0), before);
    change_latch(&module, &bus, true);
    assert_eq!(module.destroy(session, key), Ok(()));
    assert!(module.private_keys(session).is_empty());
}

#[test]
fn a_refusal_that_the_latch_does_not_explain_is_the_devices() {
    let (module, bus, session) = on_bus(&[0]);
    change_latch(&module, &bus, true);
    let key = module.private_keys(session)[0];
    assert!(sign(&module, session, key).is_ok());
    bus.set_faults("status@3:0F".parse().unwrap());
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_ERROR));
}

#[test]
fn a_chip_that_does_not_report_its_latch_is_named_in_the_log() {
    let mut image = image(&[0]);
    image.part_mut(Part::Config)[offset::VOLATILE_KEY_PERMISSION] = 0;
    let (module, _bus) = Module::on_bus(image);
    let session = module.start();
    let keys = module.private_keys(session);
    assert_eq!(sign(&module, session, keys[0]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    module.assert_logged(&["C_Sign", "persistent latch", "refuses to report whether it is"]);
}
