// SPDX-License-Identifier: MIT OR Apache-2.0
//! No dead ends: every state of a chip with every command of the tool. No command panics or fails without saying what
//! to do; and from every state the commands that the tool itself names, as it prints them, lead to a chip with a key
//! that works, or the tool says plainly that this is impossible.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::between_locks::{lock_own_configuration, own_configuration};
use crate::page::commands;
use crate::sold::with_chip;
use crate::support::x509::{authority, ecparam_key, ok};
use crate::support::{slot, stderr, stdout, Bench};
use atecc608_cli::Arguments;
use atecc608_sim::image::Part;
use atecc608_sim::Profile;
use atecc608_wire::config_zone::offset;
use clap::CommandFactory;
use serde_json::Value;

/// The possible ends of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has a key that works.
    Ready,
    /// It never has one, and `doctor` says so.
    NoKeyEver,
    /// Its keys work once the security officer has set the user's PIN: with a PKCS#11 program, which `doctor` names.
    NoPin,
    /// It is another model, which the tool does not change, and `doctor` says so.
    AnotherModel,
}

/// A state of a chip, and its end.
struct State {
    name: &'static str,
    make: fn() -> Bench,
    end: End,
}

const fn ready(name: &'static str, make: fn() -> Bench) -> State {
    State { name, make, end: End::Ready }
}

/// All of them. Those that do not end in [`End::Ready`] have a reason.
const STATES: &[State] = &[
    ready("blank 608A", || Bench::with_chip(Profile::Blank608A)),
    ready("blank 608B", Bench::new),
    // Another model: the module needs functions that only the 608 has.
    State { name: "blank 508A", make: || Bench::with_chip(Profile::Blank508A), end: End::AnotherModel },
    ready("own configuration, not locked", || after(&[], own_configuration)),
    ready("tls, configuration locked", || config_locked("tls")),
    ready("tls-pin, configuration locked", || config_locked("tls-pin")),
    ready("tls with secure boot, configuration locked", || altered("tls", |config| config[offset::SECURE_BOOT] = 1)),
    ready("tls with a locked slot, configuration locked", || {
        altered("tls", |config| config[offset::SLOT_LOCKED] = 0xFE)
    }),
    ready("factory configuration, configuration locked", || {
        after(&[&["lock", "config", "--lock-forever", "--accept-dangers"]], |_| {})
    }),
    ready("own configuration, locked, no keys", own_locked),
    ready("own configuration, locked, some keys", || after(&[GENERATE_1], lock_own_configuration)),
    ready("own configuration, locked, all keys", || after(&[GENERATE_1, GENERATE_2], lock_own_configuration)),
    ready("own configuration, locked, an imported key", || after(&[GENERATE_1, IMPORT_2], lock_own_configuration)),
    ready("own configuration, locked, a generation interrupted", || interrupted(&[GENERATE_1])),
    ready("own configuration, locked, a generation interrupted and done", || interrupted(&[GENERATE_1, GENERATE_2])),
    ready("own configuration, locked, an import interrupted", || import_interrupted(&[GENERATE_1])),
    ready("own configuration, locked, an import interrupted and done", || import_interrupted(&[GENERATE_1, IMPORT_2])),
    ready("own configuration with a slot behind the latch, configuration locked", || {
        altered("tls", |config| config[offset::KEY_CONFIG + 2 * 2 + 1] |= 0x10)
    }),
    ready("own configuration with a permanent slot behind the latch, configuration locked", || {
        altered("tls", |config| {
            config[offset::KEY_CONFIG + 2 * 2 + 1] |= 0x10;
            config[offset::SLOT_CONFIG + 2 * 2 + 1] = 0;
        })
    }),
    ready("own configuration, data locked", || after(&[GENERATE_1, GENERATE_2, LOCK_DATA], lock_own_configuration)),
    ready("own configuration, data locked, an imported key", || {
        after(&[GENERATE_1, IMPORT_2, LOCK_DATA], lock_own_configuration)
    }),
    // Its only key slot was left empty in spite of the message of `lock data`.
    State { name: "data locked, the only slot empty for good", make: spent, end: End::NoKeyEver },
    ready("tls, no keys", || after(&[PROVISION], |_| {})),
    ready("tls, a key", || after(&[PROVISION, &["key", "generate"]], |_| {})),
    ready("tls, a key, its slot locked", || {
        after(&[PROVISION, &["key", "generate"], &["lock", "slot", "0", "--lock-forever"]], |_| {})
    }),
    ready("tls, a key destroyed", || {
        after(&[PROVISION, &["key", "generate"], &["key", "destroy", "--slot", "0", "--yes"]], |_| {})
    }),
    // PINs are set through PKCS#11, so that they never are on the tool's command line.
    State { name: "tls-pin, no PIN", make: || after(&[&PROVISION_PIN[..3]], |_| {}), end: End::NoPin },
    ready("tls-pin, a PIN", || after(&[PROVISION_PIN], |_| {})),
    ready("tngtls", || with_chip(Profile::TngTls)),
    ready("tngtls, an early one", || with_chip(Profile::TngTlsEarly)),
    ready("tflxtls", || with_chip(Profile::TflxTls)),
    ready("mongoose-os", || with_chip(Profile::MongooseOs)),
    ready("mongoose-os, stopped between the locks", || stopped_between_locks(Profile::MongooseOs)),
    ready("arduino", || with_chip(Profile::Arduino)),
    ready("arduino, stopped between the locks", || stopped_between_locks(Profile::Arduino)),
    ready("vendor-pkcs11", || with_chip(Profile::VendorPkcs11)),
    ready("vendor-pkcs11, stopped between the locks", || stopped_between_locks(Profile::VendorPkcs11)),
    ready("vendor-test", || with_chip(Profile::VendorTest)),
    ready("vendor-test, stopped between the locks", || stopped_between_locks(Profile::VendorTest)),
    ready("cryptoauthtools", || with_chip(Profile::CryptoAuthTools)),
    ready("cryptoauthtools, stopped between the locks", || stopped_between_locks(Profile::CryptoAuthTools)),
];

const GENERATE_1: &[&str] = &["key", "generate", "--slot", "1"];
const GENERATE_2: &[&str] = &["key", "generate", "--slot", "2"];
const IMPORT_2: &[&str] = &["key", "import", "mine.key", "--slot", "2"];
const LOCK_DATA: &[&str] = &["lock", "data", "--lock-forever"];
const PROVISION: &[&str] = &["provision", "tls", "--lock-forever"];
const PROVISION_PIN: &[&str] =
    &["provision", "tls-pin", "--lock-forever", "--pin-file", "pin", "--recovery-code-file", "code"];

/// A chip made by `begin`, and then by these commands.
fn after(commands: &[&[&str]], begin: fn(&Bench)) -> Bench {
    let bench = Bench::new();
    files(&bench);
    begin(&bench);
    commands.iter().for_each(|command| ok(&bench.run(command)));
    bench
}

fn own_locked() -> Bench {
    after(&[], lock_own_configuration)
}

fn interrupted(commands: &[&[&str]]) -> Bench {
    begun(commands, "purpose = \"generate\"\n")
}

fn import_interrupted(commands: &[&[&str]]) -> Bench {
    let imported = after(&[IMPORT_2], lock_own_configuration);
    let state = fs::read_to_string(imported.path("state").join(imported.serial()).join("state.toml")).unwrap();
    let point = state.split("public_key = ").nth(1).unwrap().lines().next().unwrap();
    begun(commands, &format!("purpose = \"import\"\nafter = {point}\n"))
}

/// A change begun in slot 2 is in the state, as a process leaves it that dies there.
fn begun(commands: &[&[&str]], intent: &str) -> Bench {
    let bench = after(commands, lock_own_configuration);
    let path = bench.path("state").join(bench.serial()).join("state.toml");
    let state = fs::read_to_string(&path).unwrap();
    let before = state.split("\n[[slot]]\nslot = 2").next().unwrap();
    fs::write(&path, format!("{before}\n[[slot]]\nslot = 2\n\n[[slot.intent]]\n{intent}")).unwrap();
    bench
}

fn config_locked(profile: &str) -> Bench {
    altered(profile, |_| {})
}

/// A profile's configuration with other settings, locked by `lock config`.
fn altered(profile: &str, change: fn(&mut [u8])) -> Bench {
    let bench = Bench::new();
    ok(&bench.run(&["config", "set", &format!("profile:{profile}")]));
    bench.tamper(change);
    ok(&bench.run(&["lock", "config", "--lock-forever", "--accept-dangers"]));
    bench
}

/// One private slot, permanent, and empty when the data were locked.
fn spent() -> Bench {
    let bench = Bench::new();
    ok(&bench.run(&["config", "set", "profile:tls"]));
    bench.tamper(|config| {
        for slot in [0, 1, 3, 4] {
            config[offset::SLOT_CONFIG + 2 * slot..][..2].copy_from_slice(&[0x0F, 0x0F]);
            config[offset::KEY_CONFIG + 2 * slot..][..2].copy_from_slice(&[0x3C, 0x00]);
        }
        config[offset::SLOT_CONFIG + 4..][..2].copy_from_slice(&[0x85, 0x00]);
    });
    for zone in ["config", "data"] {
        ok(&bench.run(&["lock", zone, "--lock-forever", "--accept-dangers"]));
    }
    bench
}

/// A chip whose maker's tool locked its configuration, and nothing else.
pub fn stopped_between_locks(profile: Profile) -> Bench {
    let bench = with_chip(profile);
    let (_, sim) = atecc608_token::bus::Bus::open_simulated(&bench.chip_file(), profile.address()).unwrap();
    let mut image = sim.image(0).unwrap();
    image.part_mut(Part::Config)[offset::LOCK_VALUE] = 0x55;
    for number in 0..16 {
        image.part_mut(Part::Slot(slot(number))).fill(0xFF);
    }
    sim.set_image(0, image).unwrap();
    bench
}

/// The files that commands read.
fn files(bench: &Bench) {
    fs::write(bench.path("pin"), "12345678\n").unwrap();
    fs::write(bench.path("secret"), [0x5A; 32]).unwrap();
    ecparam_key(bench.dir.path(), "mine.key");
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
}

/// How each command of the tool is run here, in one or several ways. A new command gets its row.
const WAYS: &[(&str, &[&[&str]])] = &[
    ("address", &[&[]]),
    ("address set", &[&["0x61", "--dry-run"], &["0x61"], &["0x61", "--lock-forever"]]),
    ("attest", &[&["--public"], &["--generate"], &["--slot", "0"]]),
    ("aws check", &[&["--dir", "aws"]]),
    (
        "aws claim",
        &[&[
            "--template",
            "t",
            "--endpoint",
            "localhost",
            "--claim-cert",
            "ca.pem",
            "--claim-key",
            "ca.key",
            "--root-ca",
            "ca.pem",
            "--dir",
            "aws",
            "--port",
            "1",
        ]],
    ),
    ("aws refresh", &[&["--dir", "aws"]]),
    ("aws setup", &[&["--thing", "t", "--dir", "aws"]]),
    (
        "azure register",
        &[&["--device", "d", "--scope", "0ne0", "--dir", "azure", "--endpoint", "localhost", "--port", "1"]],
    ),
    (
        "azure setup",
        &[
            &["--device", "d", "--hub", "h", "--dir", "azure", "--dry-run"],
            &["--device", "d", "--hub", "h", "--dir", "azure", "--offline"],
        ],
    ),
    ("cert export", &[&[]]),
    ("cert import", &[&["ca.pem"]]),
    ("cert issue", &[&["--subject", "/CN=x", "--ca", "ca.pem", "--ca-key", "ca.key"]]),
    ("cert list", &[&[]]),
    ("cert remove", &[&["--label", "none"]]),
    ("cert self-sign", &[&["--subject", "/CN=x"]]),
    ("completion", &[&["bash"]]),
    ("config check", &[&[]]),
    ("config diff", &[&["profile:tls"]]),
    ("config get", &[&[]]),
    ("config set", &[&["profile:tls", "--dry-run"], &["profile:tls"]]),
    ("counter", &[&[], &["0", "--increment"]]),
    ("csr", &[&["--subject", "/CN=x"], &["--subject", "/CN=x", "--slot", "0"]]),
    ("data read", &[&["--slot", "8"], &["--slot", "0"], &["--slot", "9", "--key-file", "secret"]]),
    ("data write", &[&["pin", "--slot", "8"], &["secret", "--slot", "9", "--key-file", "secret"]]),
    ("doctor", &[&[]]),
    ("import-config", &[&["none.conf"]]),
    ("info", &[&[]]),
    ("init", &[&[], &["--simulated", "chip"]]),
    ("key destroy", &[&["--slot", "0", "--yes"]]),
    ("key empty", &[&["--slot", "9"], &["--manifest", "none.manifest"]]),
    ("key generate", &[&[], &["--slot", "0"], &["--slot", "2", "--replace"]]),
    ("key import", &[&["mine.key"], &["mine.key", "--slot", "2"]]),
    ("key list", &[&[]]),
    ("key public", &[&[], &["--slot", "0"]]),
    ("latch clear", &[&[], &["--secret-file", "secret"]]),
    ("latch set", &[&["--secret-file", "secret"]]),
    ("latch show", &[&[]]),
    ("lock config", &[&[], &["--lock-forever"], &["--lock-forever", "--accept-dangers"]]),
    ("lock data", &[&[], &["--lock-forever"], &["--lock-forever", "--accept-dangers"]]),
    ("lock slot", &[&["0"], &["0", "--lock-forever"]]),
    ("manifest aws", &[&["none.manifest"]]),
    ("manifest azure", &[&["none.manifest"]]),
    ("manifest check", &[&["none.manifest"]]),
    ("manifest list", &[&["none.manifest"]]),
    ("pair", &[&[], &["--replace"]]),
    ("pin change", &[&["--pin-file", "pin", "--new-pin-file", "pin"]]),
    ("pin init", &[&["--recovery-code-file", "pin", "--new-pin-file", "pin"]]),
    ("pin reset", &[&["--recovery-code-file", "pin", "--new-pin-file", "pin"]]),
    ("provision", &[&["tls"], &["tls", "--lock-forever"], &["tls-pin", "--lock-forever"]]),
    ("random", &[&[]]),
    ("recovery-code", &[&[], &["--set", "--recovery-code-file", "pin"]]),
    ("scan", &[&[]]),
    ("selftest", &[&[]]),
    ("trust", &[&[]]),
    ("verify-attestation", &[&["none.json", "--attestation-key", "ca.pem", "--any-challenge"]]),
];

/// The chip and its state folder, to start from again.
struct Snapshot(Vec<(PathBuf, Vec<u8>)>);

impl Snapshot {
    fn of(bench: &Bench) -> Self {
        let mut files = Vec::new();
        collect(bench.dir.path(), &mut files);
        files.sort();
        Self(files)
    }

    fn restore(&self, bench: &Bench) {
        let now = Self::of(bench);
        for (path, _) in now.0.iter().filter(|(path, _)| !self.0.iter().any(|(known, _)| known == path)) {
            fs::remove_file(path).unwrap();
        }
        for (path, contents) in self.0.iter().filter(|file| !now.0.contains(file)) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
}

/// Messages that need no command: they state a permanent fact, name an alternative, or name the wrong argument.
const PLAIN: &[&str] = &[
    "No such file or directory",
    "is permanent:",
    "not an ATECC608",
    "permanent",
    " can\n",
    "has no attestation key in slot 1",
    "its configuration has no IO protection key",
    "it keeps the key from provisioning",
];

/// Whether the message names something to do: a command of the tool or another program, an option, a page, or a choice.
fn names_a_remedy(said: &str) -> bool {
    let command = said.contains("`") || said.contains("atecc608 ");
    command
        || said.contains("--")
        || said.contains("docs/")
        || PLAIN.iter().any(|plain| format!("{said}\n").contains(plain))
}

/// The last line of a command that is its own; other lines are the log's.
fn message(output: &Output) -> String {
    stderr(output).lines().filter(|line| line.starts_with("atecc608: ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_command_has_its_row() {
    let mut all = BTreeSet::new();
    commands(&Arguments::command(), "", &mut all);
    let rows: BTreeSet<String> = WAYS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(rows, all);
}

#[test]
fn no_command_fails_in_any_state_without_saying_what_to_do() {
    let mut wrong = BTreeSet::new();
    for state in STATES {
        let bench = (state.make)();
        files(&bench);
        let snapshot = Snapshot::of(&bench);
        for (name, ways) in WAYS {
            for way in *ways {
                let arguments: Vec<&str> = name.split(' ').chain(way.iter().copied()).collect();
                let output = bench.run(&arguments);
                snapshot.restore(&bench);
                let said = message(&output);
                let negative = said.is_empty() && !output.stdout.is_empty();
                let fine = match output.status.code() {
                    Some(0) => true,
                    Some(1) => negative || names_a_remedy(&said),
                    Some(3) => !output.stdout.is_empty(),
                    _ => false,
                };
                if !fine {
                    wrong.insert(format!(
                        "{}: {arguments:?}: {:?} {:?}: {said}",
                        state.name,
                        output.status.code(),
                        output.status.signal()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The tool's output about a chip.
enum Standing {
    End(End),
    /// The command that it names.
    Next(String),
}

/// The output of `doctor` about a chip, without PIN and module.
fn standing(bench: &Bench) -> Standing {
    let doctor = bench.json(&["doctor"]);
    let checks = doctor["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name && check["result"] != "skipped");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let chip = check("chip").unwrap();
    if chip["result"] == "failed" {
        assert!(text(chip, "remedy").contains("replace the chip"), "{chip}");
        return Standing::End(End::AnotherModel);
    }
    let locks = check("locks").unwrap();
    if locks["result"] == "failed" {
        return Standing::Next(first_command(&text(locks, "remedy")));
    }
    if let Some(pin) = check("PIN").filter(|pin| text(pin, "detail").contains("the user has none")) {
        assert!(text(pin, "remedy").contains("atecc608 pin init"), "{pin}");
        return Standing::End(End::NoPin);
    }
    let keys = checks.iter().rfind(|check| check["name"] == "keys").unwrap();
    if text(keys, "detail").contains("can never get one") {
        assert!(text(keys, "remedy").contains("another chip"), "{keys}");
        return Standing::End(End::NoKeyEver);
    }
    match text(keys, "detail").split('`').nth(1) {
        Some(command) => Standing::Next(command.to_owned()),
        None => Standing::End(End::Ready),
    }
}

/// A remedy begins with the command, and continues after some blanks.
fn first_command(remedy: &str) -> String {
    remedy.split("  ").next().unwrap().to_owned()
}

/// The command that this one's result names as the next step.
fn printed_command(text: &str) -> Option<String> {
    let line =
        |start: &str| text.lines().find_map(|line| line.split_once(start).map(|(_, command)| command.to_owned()));
    line("Next: ").or_else(|| line("To do it: "))
}

/// Runs a command as it was printed; one that asks for a PIN, or names one, gets the file with it.
fn run_printed(bench: &Bench, command: &str) -> Output {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (program, arguments) = words.split_first().unwrap();
    assert_eq!(*program, "atecc608", "{command}");
    if command == "atecc608 provision tls-pin --lock-forever" {
        return bench.run(PROVISION_PIN);
    }
    let output = bench.run(arguments);
    if output.status.success() || !stderr(&output).contains("--pin-file") {
        return output;
    }
    bench.run(&[arguments, &["--pin-file", "pin"]].concat())
}

/// Follows the commands that the tool prints until something has changed.
fn follow(bench: &Bench, first: String) -> Vec<String> {
    let before = Snapshot::of(bench);
    let (mut command, mut path) = (first, Vec::new());
    loop {
        assert!(path.len() < 4, "nothing changes: {path:?}");
        let output = run_printed(bench, &command);
        path.push(command);
        assert!(output.status.success(), "{path:?}: {}", message(&output));
        if Snapshot::of(bench).0.iter().any(|file| file.0 == bench.chip_file() && !before.0.contains(file)) {
            return path;
        }
        command = printed_command(&stdout(&output)).unwrap_or_else(|| panic!("no way on after {path:?}"));
    }
}

/// The whole sequence of a chip, and its end.
fn way(bench: &Bench) -> (Vec<String>, End) {
    let mut path = Vec::new();
    loop {
        match standing(bench) {
            Standing::End(end) => return (path, end),
            Standing::Next(command) => path.extend(follow(bench, command)),
        }
        assert!(path.len() < 20, "it goes round in circles: {path:?}");
    }
}

#[test]
fn from_every_state_the_tool_leads_to_a_key_that_works_or_says_that_there_is_none() {
    for state in STATES {
        let bench = (state.make)();
        files(&bench);
        let (path, end) = way(&bench);
        println!("{}: {path:?}", state.name);
        assert_eq!(end, state.end, "{}: {path:?}", state.name);
        if end == End::Ready {
            let slots = bench.json(&["key", "list", "--pin-file", "pin"]);
            let slots = slots["slots"].as_array().unwrap();
            let key = slots
                .iter()
                .find(|key| key["holds"] == "key" && key["sign"] == true)
                .unwrap_or_else(|| panic!("{}: {slots:?}", state.name));
            let number = key["slot"].to_string();
            ok(&bench.run(&["csr", "--slot", &number, "--subject", "/CN=x", "--pin-file", "pin"]));
        }
    }
}
