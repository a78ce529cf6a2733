// SPDX-License-Identifier: MIT OR Apache-2.0
//! Root keeps the chip's configuration beside the IO protection key, through the C ABI: it saves two Reads, and
//! irreversible actions never rely on it.

use std::fs::{set_permissions, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;

use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus};
use atecc608_token::configuration::KeptConfiguration;
use atecc608_token::io_key::KeyFile;
use atecc608_wire::Opcode;
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::module::Module;
use crate::common::one_key::{change_image, generate, sign, with_key};
use crate::common::pin::{self, PIN};
use crate::swapped::{Swap, USES};

/// Whether the chip allows a lock of this slot: nothing else in the tests depends on it.
const A_BYTE_OF_BLOCK_3: usize = 96 + 2 * 14;

fn file(module: &Module, bus: &SimBus) -> KeptConfiguration {
    let serial = bus.image(0).unwrap().config().serial_number().to_string();
    KeptConfiguration::beside(&KeyFile::at(module.configuration().with_file_name("keys").join(serial)))
}

/// The file as `atecc608 trust` leaves it.
pub fn keep(module: &Module, bus: &SimBus) -> KeptConfiguration {
    let kept = file(module, bus);
    kept.store(&bus.image(0).unwrap().config()).unwrap();
    kept
}

fn change_block_3(bus: &SimBus) {
    change_image(bus, |image| image.part_mut(Part::Config)[A_BYTE_OF_BLOCK_3] ^= 0x20);
}

fn first_reads(module: &Module, bus: &SimBus) -> u64 {
    bus.take_stats();
    module.restart();
    module.token_info(0).unwrap();
    bus.take_stats().command(Opcode::READ)
}

fn parts(image: &Image) -> Vec<Vec<u8>> {
    let slots = (0..16).map(|number| Part::Slot(chip::slot(number)));
    slots.chain([Part::Config]).map(|part| image.part(part).to_vec()).collect()
}

#[test]
fn all_of_the_configuration_is_read_before_a_key_is_used_or_changed_but_not_for_a_signature() {
    for (name, work) in USES {
        let swap = Swap::new();
        keep(&swap.module, &swap.bus);
        let swap = swap.in_new_process();
        swap.bus.take_stats();
        assert_eq!(work(&swap), Ok(()), "{name}");
        let reads = swap.bus.take_stats().command(Opcode::READ);
        assert_eq!(reads >= 4, name != "signature", "{name}: {reads} Reads");
    }
}

#[test]
fn nothing_is_used_or_changed_in_a_chip_with_another_configuration_than_the_kept_one() {
    for (name, work) in USES.into_iter().filter(|(name, _)| *name != "signature") {
        let swap = Swap::new();
        keep(&swap.module, &swap.bus);
        change_block_3(&swap.bus);
        let swap = swap.in_new_process();
        let before = parts(&swap.bus.image(0).unwrap());
        assert_eq!(work(&swap), Err(CKR_DEVICE_ERROR), "{name}");
        assert!(parts(&swap.bus.image(0).unwrap()) == before, "{name}");
        let file = file(&swap.module, &swap.bus);
        swap.module.assert_logged(&[&file.path().display().to_string(), "sudo atecc608 trust"]);
        // The chip is authoritative from now on.
        swap.bus.take_stats();
        swap.module.token_info(0).unwrap();
        assert_eq!(swap.bus.take_stats().command(Opcode::READ), 4, "{name}");
    }
}

#[test]
fn a_login_does_not_rely_on_the_kept_configuration() {
    let (module, bus) = pin::token();
    keep(&module, &bus);
    change_block_3(&bus);
    let session = module.start();
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_DEVICE_ERROR));
}

#[test]
fn counting_does_not_rely_on_the_kept_configuration() {
    let (module, bus, _, _) = with_key();
    keep(&module, &bus);
    change_block_3(&bus);
    let session = module.restart();
    let class = [(CKA_CLASS, CKO_HW_FEATURE.to_ne_bytes().to_vec())];
    let counter = module.find(session, &class).unwrap()[0];
    let before = bus.image(0).unwrap().config();
    assert_eq!(module.attribute(session, counter, CKA_VALUE), Err(CKR_DEVICE_ERROR));
    assert_eq!(bus.image(0).unwrap().config(), before);
}

#[test]
fn all_of_the_configuration_is_read_before_a_use_that_is_counted() {
    let mut image = chip::provisioned();
    // SlotConfig[2].LimitedUse
    image.part_mut(Part::Config)[20 + 2 * 2] |= 0x20;
    chip::put_key(&mut image, 2, &[0x21; 32]);
    let (module, bus) = Module::on_bus(image);
    keep(&module, &bus);
    let session = module.start();
    let key = module.private_keys(session)[0];
    let point = bus.image(0).unwrap();
    bus.take_stats();
    sign(&module, session, key).unwrap();
    assert!(bus.take_stats().command(Opcode::READ) >= 4);
    assert_ne!(bus.image(0).unwrap().config(), point.config(), "the use is counted");
    sign(&module, session, key).unwrap();
    assert_eq!(bus.take_stats().command(Opcode::READ), 0);
}

#[test]
fn only_a_whole_file_that_root_or_the_user_alone_may_write_saves_reads() {
    let (module, bus, _, _) = with_key();
    assert_eq!(first_reads(&module, &bus), 4);
    let kept = keep(&module, &bus);
    assert_eq!(first_reads(&module, &bus), 2);
    for (open, closed) in [(0o660, 0o640), (0o642, 0o640)] {
        set_permissions(kept.path(), Permissions::from_mode(open)).unwrap();
        assert_eq!(first_reads(&module, &bus), 4);
        set_permissions(kept.path(), Permissions::from_mode(closed)).unwrap();
        assert_eq!(first_reads(&module, &bus), 2);
    }
    OpenOptions::new().write(true).open(kept.path()).unwrap().set_len(300).unwrap();
    assert_eq!(first_reads(&module, &bus), 4);
}

#[test]
fn a_file_that_disagrees_with_the_blocks_that_are_read_is_not_used() {
    let (module, bus, _, _) = with_key();
    keep(&module, &bus);
    // SlotConfig[5], in block 0, and ChipOptions, in block 2.
    for byte in [20 + 2 * 5, 91] {
        change_image(&bus, |image| image.part_mut(Part::Config)[byte] ^= 0x80);
        assert_eq!(first_reads(&module, &bus), 4, "byte {byte}");
        change_image(&bus, |image| image.part_mut(Part::Config)[byte] ^= 0x80);
        assert_eq!(first_reads(&module, &bus), 2, "byte {byte}");
    }
}

#[test]
fn counters_user_extra_and_locked_slots_do_not_make_the_file_stale() {
    let (module, bus, session, _) = with_key();
    keep(&module, &bus);
    change_image(&bus, |image| {
        let config = image.part_mut(Part::Config);
        config[52..60].copy_from_slice(&atecc608_wire::config_zone::counter_encode(7));
        config[84] = 0x12;
        // SlotLocked: slot 14.
        config[89] &= !0x40;
    });
    assert_eq!(first_reads(&module, &bus), 2);
    let _ = session;
    let session = module.open_session(0, true).unwrap();
    generate(&module, session, "b").unwrap();
}
