// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tests of `adapters.rs` and `signals.rs` with a real kernel instead of one in C: its i2c-core and i2c-dev, and an
//! adapter that reports errors as other drivers do (`tests/kernel/twist`). Run by `tests/kernel/adapters.sh`, as root
//! in a guest.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use atecc608_testkit::built;
use cryptoki_sys::*;
use p256::ecdsa::Signature;

use crate::common::adapter::{Adapter, Twist};
use crate::common::c_program;
use crate::common::chip;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, generate, point_of, sign, DIGEST};
use crate::common::openssl::OpenSsl;
use crate::common::process::{self, Helper};

/// A public key of P-256 in DER, up to its point.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE,
    0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Does something only if [`Helper`] runs it: the work that its role names.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let module = Module::of_parent();
    match role.as_str() {
        "use" => use_and_miss(&module),
        "sign" => sign_often(&module),
        "refused" => {
            module.initialize().unwrap();
            process::say(&format!("{:?}", module.open_session(0, true)));
        }
        other => panic!("{other}"),
    }
}

/// Generates the key "a", signs and derives; then fails to, because the chip is gone.
fn use_and_miss(module: &Module) {
    let session = module.start();
    for key in module.find_labelled(session, CKO_PRIVATE_KEY, "a") {
        module.destroy(session, key).unwrap();
    }
    let key = generate(module, session, "a").unwrap();
    let point = point_of(module, session, key);
    assert_openssl_verifies(&point, &sign(module, session, key).unwrap());
    // The longest command of a key's use: 72 bytes.
    module.derive(session, key, CKD_NULL, &[], &point, &[]).unwrap();
    process::say("used");
    process::wait();

    assert_eq!(sign(module, session, key), Err(CKR_DEVICE_REMOVED));
    process::say("no chip");
}

fn assert_openssl_verifies(point: &[u8], signature: &[u8]) {
    let openssl = OpenSsl::new();
    openssl.write("key", &[&SPKI, point].concat());
    openssl.write("signature", Signature::from_slice(signature).unwrap().to_der().as_bytes());
    openssl.write("digest", &DIGEST);
    openssl.run("pkeyutl -verify -pubin -keyform DER -inkey key -sigfile signature -in digest");
}

/// Signs while others do, with its own key.
fn sign_often(module: &Module) {
    let session = module.start();
    let key = generate(module, session, &std::process::id().to_string()).unwrap();
    let point = point_of(module, session, key);
    process::say("ready");
    process::wait();
    for _ in 0..5 {
        assert_signed(&point, &sign(module, session, key).unwrap());
    }
    process::say("signed");
}

/// An adapter with a provisioned chip, the module configured for it, and the tool.
struct Place {
    // Dropped in this order: the adapter before the folder with its chip.
    twist: Twist,
    module: Module,
}

impl Place {
    /// `None` where the kernel has no such adapters.
    fn with_chip() -> Option<Self> {
        Self::new(100_000, |state| chip::provisioned().create(state).unwrap())
    }

    /// With this clock, in Hz.
    fn new(clock: u32, create_chip: impl FnOnce(&Path)) -> Option<Self> {
        if !Twist::is_possible() {
            println!("not tested: needs a kernel with the module twist (scripts/test-kernel.sh has one)");
            return None;
        }
        let module = Module::configured("");
        let state = module.folder.path().join("chip-behind-usb");
        create_chip(&state);
        let place = Self { twist: Twist::before(Adapter::plug_at(&state, clock)), module };
        place.configure(&place.twist.node, 5);
        Some(place)
    }

    /// The bus is this node, with a timeout of this many seconds.
    fn configure(&self, node: &Path, lock_timeout: u32) {
        let folder = self.module.folder.path().display();
        let token = format!("[[token]]\nbus = \"{}\"\n", node.display());
        let text = format!(
            "state_dir = \"{folder}/state\"\nlog = \"warn:{folder}/log\"\nlock_timeout = {lock_timeout}\n{token}"
        );
        fs::write(self.module.configuration(), text).unwrap();
    }

    /// Starts the command-line tool.
    fn tool(&self, arguments: &[&str]) -> Output {
        Command::new(built::simulator().with_file_name("atecc608"))
            .args(arguments)
            .env("ATECC608_PKCS11_CONF", self.module.configuration())
            .output()
            .unwrap()
    }

    /// The chip is found, used and then absent, and this is the reason in the log.
    #[track_caller]
    fn assert_used(&self, behaviour: &str, missed: &str) {
        println!("{behaviour}");
        let scan = self.tool(&["scan", self.twist.node.to_str().unwrap()]);
        let listed = String::from_utf8_lossy(&scan.stdout);
        assert!(scan.status.success() && listed.contains("0x60  ATECC608B 012353494D"), "{behaviour}: {scan:?}");

        let _ = fs::remove_file(self.module.folder.path().join("log"));
        let mut helper = Helper::start(module_path!(), &self.module, "use");
        helper.expect("used");
        self.twist.set("pulled", "Y");
        helper.go();
        assert_eq!(helper.finish(), ["no chip"], "{behaviour}");
        self.twist.set("pulled", "N");
        let said = format!("The adapter reported: {}: {missed}", self.twist.node.display());
        self.module.assert_logged(&["no chip responds at address 0x60", &said]);
    }
}

/// What drivers report for a NACK.
const NACKS: [(i32, &str); 7] = [
    (libc::ENXIO, "ENXIO: "),
    (libc::ETIMEDOUT, "ETIMEDOUT: "),
    (libc::EAGAIN, "EAGAIN: "),
    (libc::EBUSY, "EBUSY: "),
    (libc::EINVAL, "EINVAL: "),
    (libc::EOPNOTSUPP, "EOPNOTSUPP: "),
    (libc::EIO, "EIO: "),
];

#[test]
fn whatever_a_driver_reports_for_a_nack_the_chip_is_found_used_and_missed() {
    let Some(place) = Place::with_chip() else { return };
    for (errno, name) in NACKS {
        place.twist.set("nack", errno);
        place.assert_used(&format!("a NACK is {name}"), name);
    }
    place.twist.set("nack", 0);
    place.assert_used("a NACK is no errno, but fewer messages", "0 of 1 messages were transferred");
}

#[test]
fn whatever_a_driver_reports_for_the_wake_pulse_the_chip_is_used_if_the_pulse_was_sent() {
    let Some(place) = Place::with_chip() else { return };
    for errno in [libc::ETIMEDOUT, libc::EINVAL, libc::EOPNOTSUPP] {
        place.twist.set("pulse", errno);
        place.assert_used(&format!("the wake pulse is errno {errno}"), "ENXIO: ");
    }
}

#[test]
fn an_adapter_that_does_not_send_the_wake_pulse_is_named_with_what_it_reports() {
    // At 100 kHz the address 0x60 itself has enough low bits to wake a chip; at 120 kHz only a pulse has.
    let Some(place) = Place::new(120_000, |state| chip::provisioned().create(state).unwrap()) else { return };
    place.twist.set("pulse", libc::EOPNOTSUPP);
    place.twist.set("pulse_lost", "Y");
    let said = Helper::start(module_path!(), &place.module, "refused").finish();
    assert!(said[0].starts_with("Err("), "{said:?}");
    place.module.assert_logged(&["no chip responds at address 0x60", "to the wake pulse: ", "EOPNOTSUPP: "]);
    place.twist.set("pulse_lost", "N");
    place.assert_used("the wake pulse is EOPNOTSUPP at 120 kHz", "ENXIO: ");
}

#[test]
fn a_blank_chip_behind_an_adapter_for_short_messages_is_provisioned_and_used() {
    let Some(place) = Place::new(100_000, |_| {}) else { return };
    for direction in ["max_read_len", "max_write_len"] {
        place.twist.set(direction, 61);
    }
    let provisioned = place.tool(&["provision", "tls", "--lock-forever"]);
    assert!(provisioned.status.success(), "{provisioned:?}");
    place.assert_used("messages of up to 61 bytes, longer ones are EOPNOTSUPP", "ENXIO: ");
    for direction in ["max_read_len", "max_write_len"] {
        place.twist.set(direction, 0);
    }
    // The driver's error for a longer message, and a NACK.
    place.twist.set("longest", 16);
    place.twist.set("nack", libc::EINVAL);
    place.assert_used("messages of up to 16 bytes, longer ones are EINVAL, and so is a NACK", "EINVAL: ");
}

#[test]
fn an_adapter_for_smbus_only_is_refused_with_one_sentence() {
    let Some(place) = Place::with_chip() else { return };
    place.twist.set("smbus", "Y");
    let node = place.twist.node.display();
    let said = Helper::start(module_path!(), &place.module, "refused").finish();
    assert!(said[0].starts_with("Err("), "{said:?}");
    let sentence = format!("{node} is an adapter for SMBus only, and the chip needs plain I2C transfers");
    place.module.assert_logged(&[&sentence]);
    for tool in [place.tool(&["info"]), place.tool(&["scan", &node.to_string()])] {
        let text = [tool.stdout, tool.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(!tool.status.success() && text.contains(&sentence) && !text.contains("os error"), "{text}");
    }
}

#[test]
fn a_driver_that_waits_interruptibly_is_not_interrupted() {
    let Some(place) = Place::with_chip() else { return };
    place.twist.set("interruptible", "Y");
    let library = c_program::compile_library("i2c_dev", place.module.folder.path());
    // Only its signals, each of which interrupts, and their handler: it simulates no adapter.
    let variables = [("LD_PRELOAD", library.display().to_string()), ("I2C_DEV_SIGNALS", "1".to_owned())];
    let mut helper = Helper::start_with(module_path!(), &place.module, "sign", &variables);
    helper.expect("ready");
    helper.go();
    assert_eq!(helper.finish(), ["signed"]);
    assert_eq!(place.twist.get("interrupted"), "0");
}

#[test]
fn processes_on_a_multiplexers_channel_and_on_its_adapter_take_turns() {
    let Some(place) = Place::with_chip() else { return };
    let mut helpers = [&place.twist.node, &place.twist.channel].map(|node| {
        place.configure(node, 5);
        let mut helper = Helper::start(module_path!(), &place.module, "sign");
        helper.expect("ready");
        helper
    });
    // A process that has the adapter keeps the one on the channel waiting, too.
    let adapter = fs::File::open(&place.twist.node).unwrap();
    rustix::fs::flock(&adapter, rustix::fs::FlockOperation::LockExclusive).unwrap();
    place.configure(&place.twist.channel, 1);
    let said = Helper::start(module_path!(), &place.module, "refused").finish();
    assert!(said[0].starts_with("Err("), "{said:?}");
    place.module.assert_logged(&[place.twist.node.to_str().unwrap(), "locked"]);
    drop(adapter);

    // Not removed: the helpers may have it open.
    fs::write(place.module.folder.path().join("log"), "").unwrap();
    helpers.iter_mut().for_each(Helper::go);
    for helper in helpers {
        assert_eq!(helper.finish(), ["signed"]);
    }
    // No conversation was disturbed.
    assert_eq!(place.module.log(), "");

    let scan = place.tool(&["scan"]);
    let listed = String::from_utf8_lossy(&scan.stdout);
    assert_eq!(listed.matches("is listed under").count(), 1, "{listed}");
}
