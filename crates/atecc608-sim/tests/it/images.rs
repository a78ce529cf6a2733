// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608-sim new`, `dump`, `root`, and `serve` with a profile, on the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use atecc608_sim::image::Part;
use atecc608_sim::profiles::root_pem;
use atecc608_sim::{Image, Order, Profile};
use atecc608_testkit::master::slot;
use serde_json::Value;

const SIMULATOR: &str = env!("CARGO_BIN_EXE_atecc608-sim");

fn run(arguments: &[&str]) -> Output {
    Command::new(SIMULATOR).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

fn fails(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{output:?}");
    text(&output.stderr)
}

/// A folder and a file in it that does not exist yet.
fn place() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chip.img").to_str().unwrap().to_owned();
    (folder, file)
}

fn new(arguments: &[&str]) -> (tempfile::TempDir, String, String) {
    let (folder, file) = place();
    let said = succeeds(&[&["new", "--state", &file], arguments].concat());
    (folder, file, said)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The dump with only its digits.
fn squeezed(dump: &str) -> String {
    dump.split_whitespace().collect::<String>().to_uppercase()
}

#[test]
fn new_makes_an_image_and_says_what_is_in_it() {
    let serial = "012353494DABCDEF01";
    let (_folder, file, said) = new(&["--profile", "tngtls", "--serial", serial, "--address", "0x36"]);
    for part in
        [&file, serial, "ATECC608B", "address 0x36", "all zones are locked", "slots 0, 1, 2, 3 and 4", "025349ABCDEF"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let image = Image::load(Path::new(&file)).unwrap();
    assert_eq!(image.config().serial_number().to_string(), serial);
    assert_eq!(image.config().i2c_address(), 0x36);
    // It holds private keys: only its owner and the group have access, as for files that the module creates.
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn new_makes_the_blank_chip_that_serve_would_make_if_nothing_else_is_asked_for() {
    let (_folder, file, said) = new(&[]);
    assert!(said.contains("a blank ATECC608B") && said.contains("nothing is locked"), "{said}");
    assert!(Image::load(Path::new(&file)).unwrap().revision()[2] == 0x60);
}

#[test]
fn new_refuses_to_overwrite_whatever_is_there() {
    let (_folder, file) = place();
    fs::write(&file, "precious").unwrap();
    let why = fails(&["new", "--state", &file, "--profile", "tngtls"]);
    assert!(why.contains("exists already") && why.contains(&file), "{why}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn new_repeats_a_seed_and_obeys_lock_and_model() {
    let make = |arguments: &[&str]| {
        let (_folder, file, _) = new(&[&["--profile", "arduino"], arguments].concat());
        Image::load(Path::new(&file)).unwrap()
    };
    assert!(make(&["--seed", "7"]) == make(&["--seed", "7"]));
    assert!(make(&["--seed", "7"]) != make(&["--seed", "8"]));
    let half = make(&["--lock", "config", "--model", "608b"]).config();
    assert_eq!((half.config_locked(), half.data_locked()), (true, false));
    assert_eq!(half.revision(), [0, 0, 0x60, 3]);
    let open = make(&["--lock", "none"]);
    assert!(!open.config().config_locked());
    assert!(open.part(Part::Slot(slot(0))).iter().all(|byte| *byte == 0xFF));
}

#[test]
fn options_that_make_no_chip_are_refused_and_leave_no_file() {
    let (folder, file) = place();
    for (arguments, part) in [
        (["--profile", "tng"].as_slice(), "possible values: blank-608a"),
        (&["--serial", "0123CFE1EF17F0B001"], "begin with 012353494D"),
        (&["--serial", "0123"], "18 hexadecimal digits"),
        (&["--serial", "0123534\u{e9}4DABCDEF0"], "18 hexadecimal digits"),
        (&["--address", "0xC0"], "7-bit form is 0x60"),
        (&["--profile", "tngtls-early", "--model", "608b"], "sold as ATECC608A only"),
        (&["--revision", "00006"], "8 hexadecimal digits"),
        (&["--revision", "01006004"], "begin with 0000"),
    ] {
        let why = fails(&[&["new", "--state", &file], arguments].concat());
        assert!(why.contains(part), "{arguments:?}: {why}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn dump_shows_configuration_slots_and_certificates_of_every_profile() {
    for profile in Profile::ALL {
        let (_folder, file, _) = new(&["--profile", profile.name()]);
        let image = Image::load(Path::new(&file)).unwrap();
        let dump = succeeds(&["dump", &file]);
        assert!(dump.contains(&image.config().serial_number().to_string()), "{dump}");
        assert!(dump.contains(&format!("address        0x{:02X}", profile.address())), "{dump}");
        let row = hex(&image.config().as_bytes()[16..32]);
        assert!(squeezed(&dump).contains(&row), "{dump}");
        assert_eq!(dump.lines().filter(|line| line.starts_with("slot ")).count(), 16, "{dump}");
        let trusts = profile.name().starts_with('t');
        assert_eq!(dump.matches("verifies with the issuer's key").count(), if trusts { 2 } else { 0 }, "{dump}");
    }
}

#[test]
fn dump_shows_a_secret_only_if_it_is_asked_for() {
    for profile in Profile::ALL {
        let (_folder, file, _) = new(&["--profile", profile.name()]);
        let image = Image::load(Path::new(&file)).unwrap();
        let config = image.config();
        let shown =
            [&["dump", &file] as &[&str], &["dump", "--json", &file]].map(|arguments| squeezed(&succeeds(arguments)));
        let all = [&["dump", "--secrets", &file] as &[&str], &["dump", "--secrets", "--json", &file]]
            .map(|arguments| squeezed(&succeeds(arguments)));
        for slot in atecc608_wire::Slot::all() {
            let stored = image.part(Part::Slot(slot));
            let secret = config.slot_config(slot).is_secret() || config.key_config(slot).private();
            if !secret || stored.iter().all(|byte| *byte == 0xFF) {
                continue;
            }
            // A row of the text: bytes 16 to 31 are in the middle of any key.
            let part = hex(&stored[16..32]);
            assert!(shown.iter().all(|dump| !dump.contains(&part)), "{}, {slot:?}", profile.name());
            assert!(all.iter().all(|dump| dump.contains(&part)), "{}, {slot:?}", profile.name());
        }
    }
}

#[test]
fn dump_as_json_has_the_certificates_and_public_keys() {
    let (folder, file, _) = new(&["--profile", "tngtls"]);
    let dump: Value = serde_json::from_str(&succeeds(&["dump", "--json", &file])).unwrap();
    let image = Image::load(Path::new(&file)).unwrap();
    assert_eq!(dump["serial_number"], image.config().serial_number().to_string());
    assert_eq!(dump["product_code"], "x6tjuZMy");
    assert_eq!(dump["slots"][0]["bytes"], Value::Null);
    assert_eq!(dump["slots"][8]["empty"], true);
    let certificates = &dump["certificates"];
    let expected = [("device", 3, 28), ("signer", 1, 31)];
    for (name, template, years) in expected {
        let certificate = &certificates[name];
        assert_eq!(
            (&certificate["template_id"], &certificate["expire_years"], &certificate["verified"]),
            (&Value::from(template), &Value::from(years), &Value::from(true))
        );
        fs::write(folder.path().join(name), certificate["pem"].as_str().unwrap()).unwrap();
    }
    // The key that the certificate is about, by OpenSSL, is the public key of slot 0.
    let key = Command::new("openssl")
        .args(["x509", "-noout", "-pubkey", "-in"])
        .arg(folder.path().join("device"))
        .output()
        .unwrap();
    let (_, der) = der::pem::decode_vec(&key.stdout).unwrap();
    assert_eq!(hex(&der[der.len() - 64..]), dump["slots"][0]["public_key"]);
}

#[test]
fn dump_says_what_is_wrong_with_certificates() {
    let (_folder, file, _) = new(&["--profile", "tflxtls"]);
    let mut image = Image::load(Path::new(&file)).unwrap();
    image.part_mut(Part::Slot(slot(10)))[40] ^= 1;
    image.part_mut(Part::Slot(slot(12))).fill(0xFF);
    image.save(Path::new(&file)).unwrap();
    let dump = succeeds(&["dump", &file]);
    assert!(dump.contains("the signature does NOT verify with the issuer's key"), "{dump}");
    assert!(dump.contains("cannot be rebuilt: compressed certificate of format 15"), "{dump}");
}

#[test]
fn dump_refuses_what_is_no_image() {
    let (_folder, file) = place();
    assert!(fails(&["dump", &file]).contains("cannot read it"));
    fs::write(&file, "precious").unwrap();
    assert!(fails(&["dump", &file]).contains("not an image"));
}

#[test]
fn root_prints_the_certificate_that_the_chips_chain_to_and_says_what_it_is_worth() {
    let output = run(&["root"]);
    assert_eq!(text(&output.stdout), root_pem().unwrap());
    assert!(text(&output.stderr).contains("proves nothing"));
}

#[test]
fn serve_creates_any_profile_at_its_own_address() {
    let folder = tempfile::tempdir().unwrap();
    for profile in Profile::ALL {
        let (socket, state) = (folder.path().join("bus"), folder.path().join(profile.name()));
        let mut server = Command::new(SIMULATOR)
            .args(["serve", "--profile", profile.name(), "--timing", "fast", "--socket"])
            .arg(&socket)
            .arg("--state")
            .arg(&state)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&state);
        server.kill().unwrap();
        server.wait().unwrap();
        let image = Image::load(&state).unwrap();
        let sold = Order::of(profile).make().unwrap().image;
        // All but serial number and keys is the same.
        assert_eq!(image.config().as_bytes()[13..], sold.config().as_bytes()[13..], "{}", profile.name());
        assert_eq!(image.part(Part::Otp), sold.part(Part::Otp), "{}", profile.name());
    }
}

fn wait_for(file: &Path) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !file.exists() {
        assert!(Instant::now() < patience, "no {}", file.display());
        std::thread::yield_now();
    }
}
