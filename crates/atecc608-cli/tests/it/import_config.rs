// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 import-config`: the vendor module's files, with their pitfalls, become a configuration of this module with
//! the same names.

use std::path::Path;

use crate::support::{stderr, stdout, Bench};
use atecc608_token::config::{BusLocation, Config, ObjectKind};

/// Makes a folder with these files; returns the resulting configuration, and the warnings.
fn import(files: &[(&str, &str)]) -> (Config, String) {
    let bench = store(files);
    let output = bench.run(&["import-config", "store"]);
    assert!(output.status.success(), "{output:?}");
    (Config::parse(Path::new("new.toml"), &stdout(&output)).unwrap(), stderr(&output))
}

fn store(files: &[(&str, &str)]) -> Bench {
    let bench = Bench::with_config(|_| String::new());
    std::fs::create_dir(bench.path("store")).unwrap();
    for (name, text) in files {
        std::fs::write(bench.path("store").join(name), text).unwrap();
    }
    bench
}

fn labels(config: &Config, token: usize) -> Vec<(u8, String)> {
    let objects = config.tokens[token].objects.iter();
    objects.map(|object| (object.slot.number(), object.label.clone().unwrap())).collect()
}

fn kinds(config: &Config, token: usize) -> Vec<ObjectKind> {
    config.tokens[token].objects.iter().map(|object| object.kind).collect()
}

fn names(list: &[(u8, &str)]) -> Vec<(u8, String)> {
    list.iter().map(|(slot, label)| (*slot, (*label).to_owned())).collect()
}

#[test]
fn the_vendor_s_own_template_keeps_its_names_and_its_pitfalls_are_reported() {
    let (config, said) = import(&[(
        "0.conf",
        "# Reserved Configuration for a device\ninterface = i2c,0xB0,0,400000\nfreeslots = 1,2,3\n\n# the primary key\n\
         object = private,device,0\n#object = certificate,device,10\nobject = certificate,signer,12\nobject = public,root,15\n",
    )]);
    let token = &config.tokens[0];
    assert_eq!((&token.bus, token.address, token.slot), (&BusLocation::Linux("/dev/i2c-0".into()), 0x58, 0));
    assert_eq!(token.label.as_deref(), Some("00ABC"), "as the vendor's module does");
    assert_eq!(
        labels(&config, 0),
        names(&[(0, "device"), (15, "root")]),
        "a signer's certificate has this name by itself"
    );
    assert_eq!(kinds(&config, 0), [ObjectKind::Private, ObjectKind::Public]);
    for part in ["using slot 15; the vendor's module reads hex digits, and used slot 21", "400000 Hz", "freeslots"] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn several_slots_and_the_objects_that_were_made_through_pkcs11() {
    let (config, said) = import(&[
        ("0.conf", "label = MCHP\ninterface = i2c,0xC0,1\nobject = private,device,0\n"),
        ("0.2.conf", "type = private,my-key,0x0002\n"),
        ("0.3.conf", "type = private\nlabel = old-key\n"),
        ("0.11.conf", "type = public,peer,0x000b\n"),
        ("2.conf", "label = second\ninterface = i2c,0x6A,1,100000\ndevice = ATECC608A-TNGTLS\n"),
        ("7.1.conf", "type = private,lost,0x0001\n"),
        ("slot.conf.tmpl", "interface = hid\n"),
    ]);
    assert_eq!(labels(&config, 0), names(&[(0, "device"), (2, "my-key"), (3, "old-key"), (11, "peer")]));
    assert_eq!(kinds(&config, 0)[3], ObjectKind::Public);
    assert_eq!(labels(&config, 1), names(&[(0, "device")]));
    let tokens: Vec<_> =
        config.tokens.iter().map(|token| (token.label.as_deref().unwrap(), token.slot, token.address)).collect();
    assert_eq!(tokens, [("MCHP", 0, 0x60), ("second", 2, 0x35)]);
    assert!(said.contains("7.1.conf: left out: there is no 7.conf"), "{said}");
}

#[test]
fn numbers_that_the_vendor_reads_in_hex_are_read_as_they_were_meant_and_reported() {
    let (config, said) = import(&[("0.conf", "label = a\ninterface = i2c,0x60,10\nobject = private,seven,7\nobject = secret,wrap,a,16\nobject = certificate,mine,10\n")]);
    let token = &config.tokens[0];
    assert_eq!((&token.bus, token.address), (&BusLocation::Linux("/dev/i2c-10".into()), 0x60));
    assert_eq!(labels(&config, 0), names(&[(7, "seven"), (10, "wrap")]));
    assert_eq!(kinds(&config, 0), [ObjectKind::Private, ObjectKind::Secret]);
    assert!(said.contains("slot 10 already has the label \"wrap\": the name \"mine\" is left out"), "{said}");
    assert!(said.contains("opened /dev/i2c-16") && said.contains("0x60 is an address of 7 bits where 8"), "{said}");
}

#[test]
fn both_halves_of_a_pair_have_one_name_whichever_comes_first() {
    for (first, second) in [("private", "public"), ("public", "private")] {
        let text = format!(
            "label = a\ninterface = i2c,0xC0,1\nobject = {first},device,0\nobject = {second},device,0\nobject = public,two,2\n"
        );
        let (config, said) = import(&[("0.conf", &text)]);
        assert_eq!(labels(&config, 0), names(&[(0, "device"), (2, "two")]));
        assert_eq!(kinds(&config, 0), [ObjectKind::Private; 2], "{said}");
    }
}

/// The vendor's sample configuration, with a root's public key in slot 15, as the vendor's tools write it there.
#[test]
fn a_public_key_in_a_slot_is_found_under_its_old_name() {
    let bench = store(&[("0.conf", "label = MCHP\ninterface = i2c,0xC0,1\nobject = public,root,15\n")]);
    atecc608_sim::Order { address: Some(0x60), ..atecc608_sim::Order::of(atecc608_sim::Profile::VendorPkcs11) }
        .make()
        .unwrap()
        .image
        .save(&bench.chip_file())
        .unwrap();
    let text = stdout(&bench.run(&["import-config", "store"]));
    let chip = format!("sim:{}", bench.chip_file().display());
    let head = format!("state_dir = \"{}\"\n", bench.path("state").display());
    std::fs::write(bench.path("config.toml"), head + &text.replace("/dev/i2c-1", &chip)).unwrap();
    crate::support::x509::ecparam_key(bench.dir.path(), "root.key");
    crate::support::x509::openssl(bench.dir.path(), "pkey -in root.key -pubout -outform DER -out root.der");
    let root = std::fs::read(bench.path("root.der")).unwrap();
    let xy = &root[root.len() - 64..];
    std::fs::write(bench.path("slot"), [&[0; 4], &xy[..32], &[0; 4], &xy[32..]].concat()).unwrap();
    assert!(bench.run(&["data", "write", "slot", "--slot", "15"]).status.success());
    // GnuTLS reads the key under the vendor's name.
    let mut p11tool = std::process::Command::new("p11tool");
    let provider = format!("--provider={}", atecc608_testkit::built::module().display());
    p11tool.args([&provider, "--export", "pkcs11:token=MCHP;object=root;type=public"]);
    let exported = p11tool.env("ATECC608_PKCS11_CONF", bench.path("config.toml")).output().unwrap();
    let pem = crate::support::x509::openssl(bench.dir.path(), "pkey -in root.key -pubout");
    assert!(stdout(&exported).contains(pem.trim()), "{exported:?}");
}

#[test]
fn a_plain_certificate_in_slot_8_keeps_its_name() {
    let (config, said) = import(&[("0.conf", "label = a\ninterface = i2c,0xC0,1\nobject = certificate,gateway,8\n")]);
    assert_eq!((labels(&config, 0), kinds(&config, 0)), (names(&[(8, "gateway")]), vec![ObjectKind::Certificate]));
    assert!(!said.contains("gateway"), "{said}");
}

#[test]
fn the_library_s_file_leads_to_the_file_store() {
    let bench = store(&[("0.conf", "label = here\ninterface = i2c,0xC0,1\n")]);
    std::fs::create_dir(bench.path("etc")).unwrap();
    let line = format!("# Cryptoauthlib Configuration File\nfilestore = {}\n", bench.path("store").display());
    std::fs::write(bench.path("etc/cryptoauthlib.conf"), line).unwrap();
    for place in ["etc", "etc/cryptoauthlib.conf"] {
        let output = bench.run(&["import-config", place]);
        assert!(stdout(&output).contains("label = \"here\""), "{output:?}");
    }
}

#[test]
fn a_file_is_written_once_and_is_a_configuration_that_works() {
    let bench = store(&[("0.conf", "label = gateway\ninterface = i2c,0xC0,1\nobject = private,device,2\n")]);
    assert!(bench.run(&["import-config", "store", "--output", "new.toml"]).status.success());
    let output = bench.run(&["import-config", "store", "--output", "new.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("new.toml: File exists"), "{output:?}");
    // With the chip instead of the bus the key has its old name.
    let text = std::fs::read_to_string(bench.path("new.toml")).unwrap();
    let chip = format!("sim:{}", bench.chip_file().display());
    let head = format!("state_dir = \"{}\"\n", bench.path("state").display());
    std::fs::write(bench.path("config.toml"), head + &text.replace("/dev/i2c-1", &chip)).unwrap();
    bench.provision();
    let slot = atecc608_wire::Slot::new(2).unwrap();
    bench.chip().generate_key(slot, atecc608::ops::Before::Empty).unwrap();
    assert_eq!(bench.json(&["info"])["slots"][2]["key"]["label"], "device");
    let report = bench.json(&["import-config", "store"]);
    assert_eq!((&report["tokens"], report["configuration"].as_str().unwrap()), (&1.into(), text.as_str()));
}

#[test]
fn uris_of_the_vendor_s_module_go_on_working_by_each_of_their_parts() {
    let bench = store(&[("0.conf", "label = MCHP\ninterface = i2c,0xC0,1\nobject = private,device,0\n")]);
    let text = stdout(&bench.run(&["import-config", "store"]));
    let chip = format!("sim:{}", bench.chip_file().display());
    let head = format!("state_dir = \"{}\"\n", bench.path("state").display());
    std::fs::write(bench.path("config.toml"), head + &text.replace("/dev/i2c-1", &chip)).unwrap();
    bench.provision();
    let slot = atecc608_wire::Slot::new(0).unwrap();
    bench.chip().generate_key(slot, atecc608::ops::Before::Empty).unwrap();
    // The vendor's serial number: eight of the chip's nine bytes, without the first.
    let serial = bench.json(&["info"])["serial_number"].as_str().unwrap()[2..].to_owned();
    // GnuTLS reads the URI, and finds the objects.
    let public_keys = |uri: &str| {
        let provider = format!("--provider={}", atecc608_testkit::built::module().display());
        let mut p11tool = std::process::Command::new("p11tool");
        p11tool.args([&provider, "--list-all", uri]).env("ATECC608_PKCS11_CONF", bench.path("config.toml"));
        stdout(&p11tool.output().expect("GnuTLS' p11tool")).matches("Type: Public key").count()
    };
    for (part, another) in [
        ("token=MCHP".to_owned(), "token=00ABC"),
        (format!("serial={serial}"), "serial=0123456789ABCDEF"),
        ("manufacturer=Microchip%20Technology%20Inc".to_owned(), "manufacturer=Microchip"),
        // A simulated chip is named as such; the other messages are below.
        ("model=ATECC608-SIM".to_owned(), "model=ATECC608B"),
        ("object=device".to_owned(), "object=signer"),
    ] {
        assert_eq!(public_keys(&format!("pkcs11:{part};type=public")), 1, "{part}");
        assert_eq!(public_keys(&format!("pkcs11:{another};type=public")), 0, "{another}");
    }
    let model = |last| atecc608_wire::config_zone::Model::from_revision([0, 0, 0x60, last]).to_string();
    assert_eq!((model(2).as_str(), model(3).as_str()), ("ATECC608A", "ATECC608B"));
}

#[test]
fn what_can_not_be_used_is_refused_or_left_out_with_file_and_line() {
    for (name, text, problem) in [
        ("0.conf", "interface i2c\n", "0.conf:1: \"interface i2c\" is not of the form `key = value`"),
        ("0.conf", "label = a\n", "0.conf: no line `interface = i2c,ADDRESS,BUS`"),
        ("0.conf", "interface = i2c,192.0,1\n", "0.conf:1: \"192.0\" is not an I2C address"),
        ("0.conf", "interface = i2c,0xC0,one\n", "0.conf:1: \"one\" is not a bus number"),
        ("0.conf", "interface = i2c,0xC0,1\nobject = private,a,22\n", "0.conf:2: \"22\" is not a slot of the chip"),
        ("0.conf", "interface = i2c,0xC0,1\nobject = private\n", "0.conf:2: expected KIND,LABEL,SLOT"),
        (
            "0.conf",
            "interface = hid\n",
            "0.conf:1: left out: the interface hid is not supported: Linux has no I2C driver for the protocol of a USB \
             kit",
        ),
        ("0.conf", "interface = hid,i2c,0,0xC0\n", "an adapter that Linux has a driver for"),
        ("0.conf", "interface = spi,0,0\n", "the ATECC608 has no SPI"),
        ("0.conf", "interface = swi,0\n", "single-wire interface"),
        ("0.conf", "interface = uart\n", "only i2c is supported: write interface = i2c,0xC0,BUS"),
        ("0.conf", "interface = i2c,0xC0,1\ndevice = ATECC508A\n", "0.conf:2: left out: ATECC508A is not an ATECC608"),
        ("slot.conf.tmpl", "", "there is no usable slot configuration (0.conf, 1.conf, ...)"),
    ] {
        let bench = store(&[(name, text)]);
        let output = bench.run(&["import-config", "store"]);
        assert_eq!(output.status.code(), Some(1), "{problem}");
        assert!(stderr(&output).contains(problem), "{problem:?}: {}", stderr(&output));
    }
    // Two chips with one label, which the vendor's module allows.
    let bench =
        store(&[("0.conf", "label = a\ninterface = i2c,0xC0,1\n"), ("1.conf", "label = a\ninterface = i2c,0xC0,2\n")]);
    assert!(stderr(&bench.run(&["import-config", "store"])).contains("is another token's label already"));
    assert!(stderr(&bench.run(&["import-config", "nowhere"])).contains("nowhere: No such file"));
}
