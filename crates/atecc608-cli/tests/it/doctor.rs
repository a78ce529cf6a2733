// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 doctor`: each check that a test can make fail is made to fail, found, and explained.

use std::os::unix::fs::{chown, symlink, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::{control, output_of_copy, served, stderr, stdout, Bench, TOOL};
use atecc608_sim::Profile;
use atecc608_token::bus::Bus;
use atecc608_token::config::BusLocation;
use atecc608_token::state::{Intent, Purpose};
use atecc608_token::store::Store;
use atecc608_wire::config_zone::SerialNumber;
use serde_json::Value;

pub fn module() -> String {
    atecc608_testkit::built::module().to_str().unwrap().to_owned()
}

fn doctor(bench: &Bench) -> Value {
    bench.json(&["doctor", "--module", &module()])
}

pub fn check<'a>(report: &'a Value, link: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == link).unwrap_or_else(|| panic!("no check of {link} in {report:#}"))
}

/// The names of version 0.1 are kept beside the new ones.
#[test]
fn every_check_also_has_its_earlier_names() {
    let bench = Bench::with_config(|_| "bus = \"/dev/i2c-nowhere\"\n".to_owned());
    let report = doctor(&bench);
    let checks = report["checks"].as_array().unwrap();
    for check in checks {
        let before = match check["result"].as_str().unwrap() {
            "ok" => "ok",
            "warning" => "warn",
            "failed" => "fail",
            "skipped" => "skip",
            other => panic!("{other}"),
        };
        assert_eq!((&check["link"], &check["status"]), (&check["name"], &before.into()), "{check:#}");
    }
    let results: Vec<&str> = checks.iter().map(|check| check["result"].as_str().unwrap()).collect();
    for result in ["ok", "failed", "skipped"] {
        assert!(results.contains(&result), "{result} is not in {results:?}");
    }
    // The text has the same words, in the same order.
    let text = stdout(&bench.run(&["doctor", "--module", &module()]));
    let words: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let words = words.into_iter().filter(|line| !line.starts_with(' ')).map(|line| line.split(' ').next().unwrap());
    assert_eq!(words.collect::<Vec<_>>(), results, "{text}");
}

fn serial(bench: &Bench) -> SerialNumber {
    SerialNumber(crate::support::hex(&bench.serial()).try_into().unwrap())
}

/// This is the first failed check; its detail and remedy contain these texts.
pub fn assert_broken(report: &Value, link: &str, detail: &str, remedy: &str) {
    assert_eq!(report["first_broken"], link, "{report:#}");
    assert_eq!(report["ok"], false);
    let check = check(report, link);
    assert!(check["detail"].as_str().unwrap().contains(detail), "{check:#}");
    assert!(check["remedy"].as_str().unwrap().contains(remedy), "{check:#}");
}

#[test]
fn every_check_of_a_working_setup_passes() {
    let bench = Bench::new();
    bench.provision();
    let report = doctor(&bench);
    assert_eq!((&report["ok"], &report["first_broken"]), (&true.into(), &Value::Null), "{report:#}");
    for link in
        ["configuration", "bus", "bus lock", "wake", "chip", "locks", "profile", "state", "keys", "IO protection key"]
    {
        assert_eq!(check(&report, link)["result"], "ok", "{report:#}");
    }
    let installed = Command::new("pkcs11-tool").arg("--help").output().is_ok()
        || Command::new("p11tool").arg("--help").output().is_ok();
    assert_eq!(check(&report, "module")["result"], if installed { "ok" } else { "warning" }, "{report:#}");
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
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("The first problem: configuration"));
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
fn a_bus_that_another_process_keeps_locked() {
    let (bench, _server) = served();
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), format!("lock_timeout = 0.1\n{config}")).unwrap();
    let location = BusLocation::Unix(bench.path("socket"));
    let mut bus = Bus::open(&location, 0x60, &bench.path("state")).unwrap();
    let guard = bus.lock(atecc608_token::deadline::Deadline::after(std::time::Duration::from_secs(1))).unwrap();
    assert_broken(&doctor(&bench), "bus lock", &format!("process {}", std::process::id()), "lock_timeout");
    drop(guard);
}

#[test]
fn a_missing_io_protection_key_is_a_failure_where_it_is_required() {
    let bench = Bench::new();
    bench.provision();
    std::fs::remove_file(bench.key_file()).unwrap();
    assert_eq!(check(&doctor(&bench), "IO protection key")["result"], "warning");
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), format!("{config}io_protection = \"required\"\n")).unwrap();
    let report = doctor(&bench);
    let check = check(&report, "IO protection key");
    assert_eq!(
        (&check["result"], &check["remedy"]),
        (&"failed".into(), &"restore it from a backup".into()),
        "{check:#}"
    );
}

#[test]
fn a_simulated_chip_in_a_file_that_another_process_keeps_locked() {
    let bench = Bench::new();
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), format!("lock_timeout = 0.1\n{config}")).unwrap();
    let lock = std::fs::File::create(bench.path("chip.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let report = doctor(&bench);
    assert_broken(&report, "bus lock", &bench.chip_file().display().to_string(), "lock_timeout");
    assert!(check(&report, "bus lock")["detail"].as_str().unwrap().contains("locked"), "{report:#}");
    assert_eq!(check(&report, "wake")["result"], "skipped");
    drop(lock);
    assert_eq!(check(&doctor(&bench), "bus lock")["result"], "ok");
}

#[test]
fn a_chip_that_was_pulled() {
    let (bench, _server) = served();
    assert_broken(&doctor(&bench), "locks", "blank", "atecc608 provision tls");
    control(&bench, &["pull"]);
    assert_broken(&doctor(&bench), "wake", "no chip responds", "control --socket");
    // The module logs the same: it is printed once.
    let output = bench.run(&["doctor", "--module", &module()]);
    let printed = stdout(&output) + &stderr(&output);
    assert_eq!(printed.matches("no chip responds").count(), 1, "{printed}");
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
    // With another tool's configuration, and with each of ours: the named command works.
    bench.tamper(|config| config[87] = 0);
    assert_broken(&doctor(&bench), "locks", "half provisioned", "atecc608 lock data");
    assert!(bench.run(&["lock", "data"]).status.success());
    for profile in ["tls", "tls-pin"] {
        let bench = Bench::new();
        assert!(bench.run(&["config", "set", &format!("profile:{profile}")]).status.success());
        bench.tamper(|config| config[87] = 0);
        assert_broken(&doctor(&bench), "locks", "half provisioned", &format!("atecc608 provision {profile}"));
        assert!(bench.run(&["provision", profile]).status.success());
    }
    let bench = Bench::with_chip(Profile::Blank508A);
    assert_broken(&doctor(&bench), "chip", "an ATECC508A, not an ATECC608", "replace");
}

/// Clients print no serial number of a token that is not initialized.
#[test]
fn a_blank_chip_is_not_a_failure_of_the_module() {
    let report = doctor(&Bench::new());
    let module = check(&report, "module");
    assert_ne!(module["result"], "failed", "{report:#}");
}

#[test]
fn a_state_folder_that_is_damaged_missing_or_another_chips() {
    let bench = Bench::new();
    bench.provision();
    let file = bench.path("state").join(bench.serial()).join("state.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "format = \u{0}").unwrap();
    assert_broken(&doctor(&bench), "state", "the file is not overwritten", &format!("mv {}", file.display()));
    std::fs::write(&file, good.replace(&bench.serial(), "0123000000000000EE")).unwrap();
    assert_broken(&doctor(&bench), "state", "belongs to the chip 0123000000000000EE", "mv ");
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    assert_broken(&doctor(&bench), "state", "does not exist", "install -d -m 3770");
}

#[test]
fn a_state_folder_that_may_not_be_written() {
    let bench = Bench::new();
    bench.provision();
    let mode = |name: &str, mode| std::fs::set_permissions(bench.path(name), PermissionsExt::from_mode(mode)).unwrap();
    let folder = format!("state/{}", bench.serial());
    mode(&folder, 0o555);
    mode(&format!("{folder}/state.toml"), 0o444);
    // The bus itself remains usable; permissions do not stop root, so another user checks.
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
    let report = report_of(command);
    assert_broken(&report, "state", "can't be read and written by this user", "sudo chgrp -R atecc608 ");
    mode(&folder, 0o755);
}

#[test]
fn a_state_folder_in_which_members_of_the_group_can_move_each_others_files() {
    let bench = Bench::new();
    std::fs::remove_dir(bench.path("state")).unwrap();
    bench.provision();
    let state = bench.path("state");
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o7777, 0o3770, "as provisioning made it");
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o2770)).unwrap();
    let report = doctor(&bench);
    let state = check(&report, "state");
    assert_eq!(state["result"], "warning");
    assert!(state["detail"].as_str().unwrap().contains("is not sticky"), "{report:#}");
    assert!(state["remedy"].as_str().unwrap().contains("sudo chmod 3770 "), "{report:#}");
}

/// A sound state must not be moved away.
#[test]
fn a_state_of_a_group_that_the_user_is_not_in() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not tested: only root gives a folder to a group of others");
    }
    let bench = Bench::new();
    bench.provision();
    let mode = |name: &str, mode| std::fs::set_permissions(bench.path(name), PermissionsExt::from_mode(mode)).unwrap();
    for folder in ["state".to_owned(), format!("state/{}", bench.serial())] {
        chown(bench.path(&folder), None, Some(4242)).unwrap();
        mode(&folder, 0o2770);
    }
    let mut doctor = somebody(&bench, &["doctor"]);
    mode("", 0o777);
    for name in ["chip", "chip.lock"] {
        mode(name, 0o666);
    }
    doctor.args(["--module", &module()]);
    let report = report_of(doctor);
    let usermod = format!("usermod -aG $(stat -c %G {}) $USER", bench.path("state").display());
    assert_broken(&report, "state", "Permission denied", &usermod);
    assert!(!check(&report, "state")["detail"].as_str().unwrap().contains("damaged"), "{report:#}");
}

#[test]
fn a_state_that_is_a_link() {
    let bench = Bench::new();
    bench.provision();
    let file = bench.path("state").join(bench.serial()).join("state.toml");
    std::fs::rename(&file, bench.path("elsewhere")).unwrap();
    symlink(bench.path("elsewhere"), &file).unwrap();
    assert_broken(&doctor(&bench), "state", "state.toml: ", &format!("{}     shows what is there", file.display()));
}

#[test]
fn keys_and_io_key_that_the_host_has_lost() {
    let bench = Bench::new();
    bench.provision();
    let slot = atecc608_wire::Slot::new(0).unwrap();
    bench.chip().generate_key(slot, atecc608::ops::Before::Empty).unwrap();
    std::fs::remove_file(bench.key_file()).unwrap();
    let report = doctor(&bench);
    assert_eq!(report["ok"], true);
    assert_eq!(check(&report, "keys")["result"], "warning");
    assert!(check(&report, "keys")["detail"].as_str().unwrap().contains("slot 0: keys that the state does not know"));
    assert_eq!(check(&report, "IO protection key")["result"], "warning");
    assert!(!bench.key_file().exists());
}

#[test]
fn a_module_file_that_is_missing_or_no_module() {
    let bench = Bench::new();
    bench.provision();
    let report = bench.json(&["doctor", "--module", "/nonexistent/module.so"]);
    assert_broken(&report, "module", "/nonexistent/module.so does not exist", "--module");
    if Command::new("pkcs11-tool").arg("--help").output().is_ok() {
        let report = bench.json(&["doctor", "--module", TOOL]);
        assert_broken(&report, "module", "could not", "ATECC608_LOG=debug");
    }
}

#[test]
fn a_module_that_is_installed_nowhere() {
    let usual = ["/usr/local/lib", "/usr/lib/pkcs11", "/usr/lib64/pkcs11", "/usr/lib"].map(std::path::PathBuf::from);
    let multiarch = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("pkcs11"));
    let installed = usual.into_iter().chain(multiarch).find(|folder| folder.join("libatecc608_pkcs11.so").exists());
    if let Some(folder) = installed {
        eprintln!("not tested: a module that is installed nowhere: {} has one", folder.display());
        return;
    }
    let bench = Bench::new();
    bench.provision();
    // The tool alone, in a folder without the module.
    std::fs::copy(TOOL, bench.path("atecc608")).unwrap();
    let mut command = Command::new(bench.path("atecc608"));
    command.args(["doctor", "--json"]).env("ATECC608_PKCS11_CONF", bench.path("config.toml"));
    let report = report_of(command);
    assert_broken(&report, "module", "neither beside this program nor in /usr/local/lib", "sudo install -m 644");
}

/// Returns one check of the report: result, detail and remedy.
#[track_caller]
fn assert_said(report: &Value, (link, result): (&str, &str), detail: &str, remedy: &str) {
    let checks = report["checks"].as_array().unwrap().iter();
    let said = checks.filter(|check| check["name"] == link && check["result"] == result).any(|check| {
        check["detail"].as_str().unwrap().contains(detail) && check["remedy"].as_str().unwrap().contains(remedy)
    });
    assert!(said, "{link}: {result}: {detail}: {remedy} is not in {report:#}");
}

#[track_caller]
pub fn assert_warned(report: &Value, link: &str, detail: &str, remedy: &str) {
    assert_said(report, (link, "warning"), detail, remedy);
}

/// The check fails, independent of the others.
#[track_caller]
fn assert_failed(report: &Value, link: &str, detail: &str, remedy: &str) {
    assert_said(report, (link, "failed"), detail, remedy);
    assert_eq!(report["ok"], false);
}

/// The tool, run by a user who is not root, from a copy that every user may run.
fn somebody(bench: &Bench, arguments: &[&str]) -> Command {
    let mode = |name: &str, mode| std::fs::set_permissions(bench.path(name), PermissionsExt::from_mode(mode)).unwrap();
    mode("", 0o755);
    std::fs::copy(TOOL, bench.path("atecc608")).unwrap();
    let mut command = Command::new(bench.path("atecc608"));
    command.args(arguments).arg("--json").env("ATECC608_PKCS11_CONF", bench.path("config.toml"));
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command
}

fn report_of(mut command: Command) -> Value {
    let output = output_of_copy(&mut command);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_node_that_the_user_may_not_open_or_that_is_another_device() {
    let bench = Bench::with_config(|_| "bus = \"/dev/null\"\n".to_owned());
    assert_broken(&doctor(&bench), "bus", "/dev/null is not an I2C adapter's node", "ls -l /dev/null");
    // Any character device that only root may open.
    let private = |entry: &std::fs::DirEntry| {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        entry.metadata().is_ok_and(|m| m.file_type().is_char_device() && m.uid() == 0 && m.mode() & 0o006 == 0)
    };
    let node = std::fs::read_dir("/dev").unwrap().flatten().find(private).expect("a device that is root's").path();
    let bench = Bench::with_config(|_| format!("bus = \"{}\"\n", node.display()));
    let report = report_of(somebody(&bench, &["doctor"]));
    assert_broken(&report, "bus", "permission denied. Add the user", &format!("stat -c %G {}", node.display()));
}

#[test]
fn a_token_that_the_configuration_does_not_have() {
    let bench = Bench::new();
    let report = bench.json(&["doctor", "--token", "garden"]);
    assert_broken(&report, "configuration", "no token has the name \"garden\"", "--token");
}

#[test]
fn a_chip_whose_self_test_fails() {
    let (bench, _server) = served();
    let text =
        stdout(&bench.run(&["config", "get"])).replace("power_on_self_test = false", "power_on_self_test = true");
    std::fs::write(bench.path("chip.toml"), text).unwrap();
    assert!(bench.run(&["config", "set", "chip.toml"]).status.success());
    control(&bench, &["faults", "selftest:01"]);
    assert_broken(&doctor(&bench), "wake", "failed self-test", "power-cycle the chip");
}

#[test]
fn a_key_generation_that_was_interrupted_and_a_key_that_another_tool_has_made() {
    let bench = Bench::new();
    bench.provision();
    let slot = atecc608_wire::Slot::new(0).unwrap();
    let before = bench.chip().generate_key(slot, atecc608::ops::Before::Empty).unwrap();
    let mut store = Store::open(&bench.path("state"), serial(&bench));
    let point = [&[0x04], &before[..]].concat();
    store.change(|state| state.slot_mut(slot).public_key = Some(point.clone())).unwrap();
    assert_eq!(check(&doctor(&bench), "keys")["detail"], "1 known, 0 destroyed and free");
    // Another key, unknown to the state.
    let holds = atecc608::ops::Before::Holds(before);
    bench.chip().generate_key(slot, holds).unwrap();
    assert_warned(&doctor(&bench), "keys", "slot 0: the key differs from the state", "the key in the chip is used");
    let intent = Intent {
        before: None,
        after: None,
        purpose: Purpose::Generate,
        label: None,
        public_label: None,
        id: None,
        kept: Default::default(),
    };
    let other = atecc608_wire::Slot::new(2).unwrap();
    store.change(|state| state.slot_mut(other).intent = Some(intent.clone())).unwrap();
    let interrupted = "slot 2: a key generation, import or destruction was interrupted";
    assert_warned(&doctor(&bench), "keys", interrupted, "p11tool --list-all");
}

#[test]
fn a_token_whose_user_has_no_pin() {
    let bench = Bench::new();
    let arguments = ["provision", "tls-pin", "--lock-forever", "--recovery-code-file", "code"];
    assert!(bench.run(&arguments).status.success());
    assert_broken(&doctor(&bench), "PIN", "the user has none", "atecc608 pin init");
}

#[test]
fn a_change_of_the_pin_that_was_interrupted() {
    let bench = Bench::new();
    std::fs::write(bench.path("pin"), "correct horse\n").unwrap();
    let arguments = ["provision", "tls-pin", "--lock-forever", "--pin-file", "pin", "--recovery-code-file", "code"];
    assert!(bench.run(&arguments).status.success());
    assert_eq!(check(&doctor(&bench), "PIN")["result"], "ok");
    // As C_SetPIN leaves it between its request to the chip and the response: the old PIN and the new one.
    let mut store = Store::open(&bench.path("state"), serial(&bench));
    store.change(|state| state.pins.push(state.pins[0].clone())).unwrap();
    let broken = "a change of the PIN was interrupted: the old one or the new one is valid";
    assert_warned(&doctor(&bench), "PIN", broken, "the next login detects which one");
}

#[test]
fn an_io_key_that_is_no_key() {
    let bench = Bench::new();
    bench.provision();
    std::fs::write(bench.key_file(), "short").unwrap();
    assert_warned(&doctor(&bench), "IO protection key", "32 bytes", "ls -l ");
}

#[test]
fn a_module_of_another_project_and_no_program_to_load_it() {
    let bench = Bench::new();
    bench.provision();
    // It has tokens, but not ours (apt install p11-kit-modules).
    let libraries = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let trust = libraries.map(|entry| entry.path().join("pkcs11/p11-kit-trust.so")).find(|path| path.exists());
    let report = bench.json(&["doctor", "--module", trust.expect("p11-kit's trust module").to_str().unwrap()]);
    let missing = format!("shows no token with the serial number {}", &bench.serial()[2..]);
    assert_broken(&report, "module", &missing, "ATECC608_LOG=debug pkcs11-tool");
    let mut command = bench.command(&["doctor", "--json", "--module", &module()]);
    command.env("PATH", "/nonexistent");
    let report = report_of(command);
    assert_warned(&report, "module", "neither pkcs11-tool nor p11tool is installed", "apt install opensc");
    assert_warned(&report, "OpenSSL provider", "openssl 3 is not installed", "apt install openssl");
}

#[test]
fn a_registration_with_p11_kit_that_names_no_file() {
    let bench = Bench::new();
    let modules = bench.path("home/.config/pkcs11/modules");
    std::fs::create_dir_all(&modules).unwrap();
    let doctor = |name: &str| {
        let mut command = somebody(&bench, &["doctor"]);
        command.env("HOME", bench.path(name));
        report_of(command)
    };
    assert_warned(&doctor("nowhere"), "p11-kit", "not registered", "/etc/pkcs11/modules/atecc608.module");
    std::fs::write(modules.join("a.module"), "module: /opt/gone/libatecc608_pkcs11.so\n").unwrap();
    assert_failed(
        &doctor("home"),
        "p11-kit",
        "names /opt/gone/libatecc608_pkcs11.so, which does not exist",
        "correct the line",
    );
    std::fs::write(modules.join("a.module"), format!("module: {}\n", module())).unwrap();
    assert_eq!(check(&doctor("home"), "p11-kit")["result"], "ok");
}

#[test]
fn an_openssl_provider_that_is_missing_or_that_openssl_does_not_take() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("modules")).unwrap();
    let doctor = || {
        let mut command = bench.command(&["doctor", "--json"]);
        command.env("OPENSSL_MODULES", bench.path("modules"));
        report_of(command)
    };
    assert_warned(&doctor(), "OpenSSL provider", "modules/pkcs11.so is missing", "apt install pkcs11-provider");
    std::fs::write(bench.path("modules/pkcs11.so"), "no library").unwrap();
    assert_failed(&doctor(), "OpenSSL provider", "OpenSSL can't load it", "--reinstall pkcs11-provider");
}

#[test]
fn an_openssl_configuration_that_does_not_load_the_provider() {
    const LINK: &str = "OpenSSL configuration";
    let bench = Bench::new();
    bench.provision();
    let doctor = |name: &str| {
        let mut command = bench.command(&["doctor", "--json", "--module", &module()]);
        command.env("OPENSSL_CONF", bench.path(name));
        report_of(command)
    };
    let shipped = include_str!("../../../../conf/openssl-pkcs11.cnf");
    let with_module = |path: &str| shipped.replace("/usr/local/lib/libatecc608_pkcs11.so", path);
    std::fs::write(bench.path("right.cnf"), with_module(&module())).unwrap();
    std::fs::write(bench.path("wrong.cnf"), with_module("/nowhere/module.so")).unwrap();
    std::fs::write(bench.path("other.cnf"), "[req]\n").unwrap();
    assert_eq!(check(&doctor("right.cnf"), LINK)["result"], "ok");
    assert_failed(&doctor("wrong.cnf"), LINK, "names /nowhere/module.so, which does not exist", "the module's path");
    assert_failed(&doctor("missing.cnf"), LINK, "missing.cnf: No such file", "export OPENSSL_CONF=");
    assert_warned(&doctor("other.cnf"), LINK, "does not load the provider", "export OPENSSL_CONF=");
}

#[test]
fn an_openssl_provider_that_is_too_old() {
    // They behave like the real ones: the provider reports the version of OpenSSL as its own.
    const PROGRAMS: &str = r#"
        cat >openssl <<'END'
#!/bin/sh
[ "$1" = list ] && echo '    version: 3.0.16' || echo 'MODULESDIR: "/nowhere"'
END
        cat >dpkg-query <<'END'
#!/bin/sh
case "$*" in
"--search $OPENSSL_MODULES/pkcs11.so") echo "pkcs11-provider:amd64: $2" ;;
'--show --showformat=${Version} pkcs11-provider:amd64') echo "${VERSION?no such package}" ;;
*) exit 1 ;;
esac
END
        chmod 755 openssl dpkg-query && touch pkcs11.so"#;
    let bench = Bench::new();
    let folder = bench.path("programs");
    std::fs::create_dir(&folder).unwrap();
    assert!(Command::new("sh").args(["-ec", PROGRAMS]).current_dir(&folder).status().unwrap().success());
    let doctor = |version: Option<&str>| {
        let mut command = bench.command(&["doctor", "--json"]);
        command.env("OPENSSL_MODULES", &folder).env("PATH", &folder);
        command.envs(version.map(|version| ("VERSION", version)));
        report_of(command)
    };
    let (link, remedy) = ("OpenSSL provider", "apt install -t bookworm-backports pkcs11-provider");
    assert_warned(&doctor(Some("0.3-1")), link, "is version 0.3-1: docs/openssl.md needs 1.0 or newer", remedy);
    // None: no package contains it, and its version is unknown.
    for good in [Some("1.0-3~bpo12+1"), None] {
        assert_eq!(check(&doctor(good), link)["result"], "ok", "{good:?}");
    }
}
