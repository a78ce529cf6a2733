//! `atecc608 doctor`: each link that can be broken here is broken, found, and explained.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use atecc608_pkcs11::bus::Bus;
use atecc608_pkcs11::config::BusLocation;
use atecc608_pkcs11::sim::Profile;
use cli_support::{control, served, stdout, Bench, TOOL};
use serde_json::Value;

fn module() -> String {
    std::env::current_exe().unwrap().with_file_name("libatecc608_pkcs11.so").to_str().unwrap().to_owned()
}

fn doctor(bench: &Bench) -> Value {
    bench.json(&["doctor", "--module", &module()])
}

fn check<'a>(report: &'a Value, link: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["link"] == link).unwrap_or_else(|| panic!("no check of {link} in {report:#}"))
}

/// The first broken link is this one; detail and remedy say these things.
fn assert_broken(report: &Value, link: &str, detail: &str, remedy: &str) {
    assert_eq!(report["first_broken"], link, "{report:#}");
    assert_eq!(report["ok"], false);
    let check = check(report, link);
    assert!(check["detail"].as_str().unwrap().contains(detail), "{check:#}");
    assert!(check["remedy"].as_str().unwrap().contains(remedy), "{check:#}");
}

#[test]
fn a_whole_chain_is_ok_to_the_module() {
    let bench = Bench::new();
    bench.provision();
    let report = doctor(&bench);
    assert_eq!((&report["ok"], &report["first_broken"]), (&true.into(), &Value::Null), "{report:#}");
    for link in
        ["configuration", "bus", "bus lock", "wake", "chip", "locks", "profile", "state", "keys", "IO protection key"]
    {
        assert_eq!(check(&report, link)["status"], "ok", "{report:#}");
    }
    let installed = Command::new("pkcs11-tool").arg("--help").output().is_ok()
        || Command::new("p11tool").arg("--help").output().is_ok();
    assert_eq!(check(&report, "module")["status"], if installed { "ok" } else { "warn" }, "{report:#}");
    let output = bench.run(&["doctor", "--module", &module()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).ends_with("Nothing is broken.\n"));
}

#[test]
fn no_token_in_the_configuration() {
    let bench = Bench::new();
    std::fs::write(bench.path("config.toml"), "# nothing\n").unwrap();
    assert_broken(&doctor(&bench), "configuration", "no chip is configured", "[[token]]");
    let output = bench.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("The first broken link is: configuration"));
}

#[test]
fn a_wrong_line_in_the_configuration() {
    let bench = Bench::new();
    std::fs::write(bench.path("config.toml"), "[[token]]\nbus = \"/dev/i2c-1\"\naddress = 0xC0\n").unwrap();
    assert_broken(&doctor(&bench), "configuration", "config.toml:3: address: 0xc0", "--config");
    std::fs::remove_file(bench.path("config.toml")).unwrap();
    assert_broken(&doctor(&bench), "configuration", "ATECC608_PKCS11_CONF", "--config");
}

#[test]
fn a_bus_that_is_not_there() {
    let bench = Bench::with_config(|_| "bus = \"/dev/i2c-nowhere\"\n".to_owned());
    assert_broken(&doctor(&bench), "bus", "/dev/i2c-nowhere", "modprobe i2c-dev");
    let bench = Bench::with_config(|_| "bus = \"/dev\"\n".to_owned());
    assert_broken(&doctor(&bench), "bus", "not a device node", "ls /dev/i2c-*");
    let bench = Bench::with_config(|dir| format!("bus = \"unix:{}/nobody\"\n", dir.display()));
    assert_broken(&doctor(&bench), "bus", "nobody", "atecc608-sim serve");
    let bench = Bench::with_config(|dir| format!("bus = \"sim:{}/chip\"\n", dir.display()));
    assert_broken(&doctor(&bench), "bus", "chip", "atecc608 info");
    assert!(!bench.chip_file().exists(), "doctor creates nothing");
}

#[test]
fn a_bus_that_somebody_keeps_locked() {
    let (bench, _server) = served();
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), format!("lock_timeout = 0.1\n{config}")).unwrap();
    let location = BusLocation::Unix(bench.path("socket"));
    let mut bus = Bus::open(&location, 0x60, &bench.path("state")).unwrap();
    let guard = bus.lock(std::time::Duration::from_secs(1)).unwrap();
    assert_broken(&doctor(&bench), "bus lock", &format!("process {}", std::process::id()), "lock_timeout");
    drop(guard);
}

#[test]
fn a_chip_that_was_pulled() {
    let (bench, _server) = served();
    assert_broken(&doctor(&bench), "locks", "blank", "atecc608 provision tls");
    control(&bench, &["pull"]);
    assert_broken(&doctor(&bench), "wake", "no chip answers", "control --socket");
}

#[test]
fn a_wrong_address() {
    let bench = Bench::new();
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), config + "address = 0x35\n").unwrap();
    assert_broken(&doctor(&bench), "wake", "0x35", "address");
}

#[test]
fn a_chip_that_is_blank_half_provisioned_or_another() {
    let bench = Bench::new();
    assert_broken(&doctor(&bench), "locks", "blank", "atecc608 provision tls");
    bench.tamper(|config| config[87] = 0);
    assert_broken(&doctor(&bench), "locks", "half provisioned", "atecc608 provision tls");
    let bench = Bench::with_chip(Profile::Blank508A);
    assert_broken(&doctor(&bench), "chip", "an ATECC508A, not an ATECC608", "replace");
}

#[test]
fn a_state_folder_that_is_damaged_missing_or_another_chips() {
    let bench = Bench::new();
    bench.provision();
    let file = bench.path("state").join(bench.serial()).join("state.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "format = \u{0}").unwrap();
    assert_broken(&doctor(&bench), "state", "nothing is written over it", &format!("mv {}", file.display()));
    std::fs::write(&file, good.replace(&bench.serial(), "0123000000000000EE")).unwrap();
    assert_broken(&doctor(&bench), "state", "belongs to the chip 0123000000000000EE", "mv ");
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    assert_broken(&doctor(&bench), "state", "does not exist", "install -d -m 2770");
}

#[test]
fn a_state_folder_that_may_not_be_written() {
    let bench = Bench::new();
    bench.provision();
    let mode = |name: &str, mode| std::fs::set_permissions(bench.path(name), PermissionsExt::from_mode(mode)).unwrap();
    let folder = format!("state/{}", bench.serial());
    mode(&folder, 0o555);
    mode(&format!("{folder}/state.toml"), 0o444);
    // The bus itself stays usable; root is stopped by nothing, so somebody else looks.
    mode("", 0o777);
    for name in ["chip", "chip.lock"] {
        mode(name, 0o666);
    }
    std::fs::copy(TOOL, bench.path("atecc608")).unwrap();
    let mut command = Command::new(bench.path("atecc608"));
    command.args(["doctor", "--json", "--module", &module()]).env("ATECC608_PKCS11_CONF", bench.path("config.toml"));
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_broken(&report, "state", "can't be read and written by this user", "usermod");
    mode(&folder, 0o755);
}

#[test]
fn keys_and_io_key_that_the_host_has_lost() {
    let bench = Bench::new();
    bench.provision();
    let slot = atecc608_pkcs11::wire::Slot::new(0).unwrap();
    bench.chip().generate_key(slot, atecc608_pkcs11::chip::ops::Before::Empty).unwrap();
    std::fs::remove_file(bench.key_file()).unwrap();
    let report = doctor(&bench);
    assert_eq!(report["ok"], true);
    assert_eq!(check(&report, "keys")["status"], "warn");
    assert!(check(&report, "keys")["detail"].as_str().unwrap().contains("slot 0: keys that the state does not know"));
    assert_eq!(check(&report, "IO protection key")["status"], "warn");
    assert!(!bench.key_file().exists());
}

#[test]
fn a_module_that_is_missing_or_none() {
    let bench = Bench::new();
    bench.provision();
    let report = bench.json(&["doctor", "--module", "/nonexistent/module.so"]);
    assert_broken(&report, "module", "/nonexistent/module.so does not exist", "--module");
    if Command::new("pkcs11-tool").arg("--help").output().is_ok() {
        let report = bench.json(&["doctor", "--module", TOOL]);
        assert_broken(&report, "module", "could not", "ATECC608_LOG=debug");
    }
}
