// SPDX-License-Identifier: MIT OR Apache-2.0
//! A chip's address is changed by UpdateExtra while a process uses the chip, through the C ABI: the process loses the
//! chip, and finds the key again with the new address in the configuration.

use atecc608::Chip;
use atecc608_sim::image::Part;
use atecc608_token::bus::{host_random, Bus};
use atecc608_token::config::BusLocation;
use atecc608_token::deadline::Deadline;
use atecc608_wire::config_zone::offset;
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, generate, point_of, sign, BOUND};

#[test]
fn the_key_of_a_chip_that_moved_signs_at_the_new_address() {
    let mut image = chip::provisioned();
    image.part_mut(Part::Config)[offset::CHIP_MODE] |= 1;
    let (module, bus) = Module::on_bus(image);
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let point = point_of(&module, session, key);

    let mut way = Bus::open(&BusLocation::Unix(module.socket()), 0x60, &module.state_dir()).unwrap();
    let guard = way.lock(Deadline::after(BOUND)).unwrap();
    Chip::new(way, host_random).permanently_write_user_extra_add(0x61 << 1).unwrap();
    drop(guard);
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    module.assert_logged(&["no chip responds at address 0x60", "atecc608 scan --all-addresses"]);

    let text = std::fs::read_to_string(module.configuration()).unwrap();
    std::fs::write(module.configuration(), text + "address = 0x61\n").unwrap();
    let session = module.restart();
    let key = module.private_keys(session)[0];
    assert_eq!(module.label(session, key), "a");
    assert_eq!(point_of(&module, session, key), point);
    assert_signed(&point, &sign(&module, session, key).unwrap());
    assert_eq!(bus.image(0).unwrap().config().i2c_address(), 0x61);
}
