// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration files in `conf/`, and the messages about wrong ones.

use std::path::{Path, PathBuf};

use atecc608_token::config::{BusLocation, Config, DEFAULT_STATE_DIR};

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)
}

/// The file with every setting that is commented out switched on: `#key = ...` and `#[[...]]`, without a space.
fn uncommented(text: &str) -> String {
    let setting = |line: &str| line.starts_with("[[") || (line.contains(" = ") && !line.starts_with(' '));
    let lines = text.lines().map(|line| line.strip_prefix('#').filter(|rest| setting(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_annotated_configuration_is_good_as_it_is_and_with_everything_switched_on() {
    let text = std::fs::read_to_string(conf("config.toml")).unwrap();
    let config = Config::parse(&conf("config.toml"), &text).unwrap();
    assert_eq!(config.state_dir, Path::new(DEFAULT_STATE_DIR));
    assert_eq!(config.tokens[0].bus, BusLocation::Linux("/dev/i2c-1".into()));
    assert_eq!((config.tokens[0].address, config.tokens[0].label.as_deref()), (0x60, Some("gateway")));

    let all = uncommented(&text);
    assert_ne!(all, text);
    let all = Config::parse(&conf("config.toml"), &all).unwrap_or_else(|error| panic!("{error}\n{all}"));
    assert_eq!(all.tokens[0].objects.len(), 2);
    assert_eq!(all.lock_timeout, config.lock_timeout, "the values commented out are the defaults");
    assert_eq!(all.log, config.log);
}

#[test]
fn the_simulators_configuration_is_good() {
    let text = std::fs::read_to_string(conf("config-sim.toml")).unwrap();
    let config = Config::parse(&conf("config-sim.toml"), &text).unwrap();
    assert!(matches!(config.tokens[0].bus, BusLocation::Sim(_)));
}

#[test]
fn what_is_wrong_is_named_with_file_line_key_and_what_was_expected() {
    let token = "[[token]]\nbus = \"/dev/i2c-1\"\n";
    let cases: &[(String, &str, &[&str])] = &[
        (format!("stat_dir = \"/x\"\n{token}"), "1", &["stat_dir", "state_dir"]),
        (format!("{token}adress = 0x60\n"), "3", &["adress", "address"]),
        (format!("{token}address = \"0x60\"\n"), "3", &["address", "string", "integer"]),
        (format!("{token}address = 0xC0\n"), "3", &["address", "0xc0", "8-bit", "0x60"]),
        (format!("{token}address = 0x300\n"), "3", &["address", "0x300", "7-bit"]),
        ("[[token]]\nlabel = \"x\"\n".to_owned(), "1", &["bus"]),
        ("[[token]]\nbus = \"i2c-1\"\n".to_owned(), "2", &["bus", "i2c-1", "/dev/i2c-N"]),
        (format!("{token}label = \"\"\n"), "3", &["label", "1 to 32"]),
        (
            format!("{token}label = \"a\"\n[[token]]\nbus = \"/dev/i2c-2\"\nlabel = \"a\"\n"),
            "4",
            &["label", "\"a\"", "differ"],
        ),
        (format!("{token}{token}"), "3", &["bus and address"]),
        (format!("{token}slot = 1\n[[token]]\nbus = \"/dev/i2c-2\"\n"), "4", &["slot", "1"]),
        (format!("log = \"loud\"\n{token}"), "1", &["log", "loud", "debug"]),
        (format!("lock_timeout = -1.0\n{token}"), "1", &["lock_timeout", "seconds"]),
        (format!("lock_timeout = 601\n{token}"), "1", &["lock_timeout", "0 to 600"]),
        (format!("state_dir = \"x\"\n{token}"), "1", &["state_dir", "absolute"]),
        (format!("{token}[[token.object]]\nslot = 16\n"), "4", &["slot", "0 to 15"]),
        (format!("{token}[[token.object]]\nslot = 1\nid = \"xy\"\n"), "5", &["id", "hex"]),
        (format!("{token}[[token.object]]\nslot = 1\ntype = \"key\"\n"), "5", &["object.type", "\"public\""]),
        (format!("{token}[[token.object]]\nslot = 9\ntype = \"certificate\"\n"), "5", &["object.slot", "expected 8"]),
        (format!("{token}bus = \n"), "3", &[]),
    ];
    for (text, line, parts) in cases {
        let error = Config::parse(Path::new("/etc/x.toml"), text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("/etc/x.toml:{line}: ")), "{text}\n{error}");
        for part in *parts {
            assert!(error.contains(part), "{part:?} is not in: {error}\n{text}");
        }
    }
}
