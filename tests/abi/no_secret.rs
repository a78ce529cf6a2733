// SPDX-License-Identifier: MIT OR Apache-2.0
//! Provisioning, the life of a PIN, and the use of keys and secrets at log level trace: of everything left behind
//! (files, logs, output of programs, their arguments and environments, core dumps) only the files named in
//! [`BY_DESIGN`] hold a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use atecc608_sim::image::Part;
use atecc608_sim::{Profile, SimBus};
use atecc608_testkit::built;
use atecc608_wire::Slot;
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::EncodePrivateKey;
use rustix::fs::{flock, FlockOperation};
use zeroize::Zeroizing;

use crate::common::keys::{Handle, Session};
use crate::common::module::{boolean, ulong, Module};
use crate::common::one_key::{generate, point_of, sign};
use crate::common::process::{self, Helper};
use crate::common::secrets::{given, whole, Kind};
use crate::common::{chip, pin};

mod search;

use search::Search;

/// The user's PINs in their order, and a wrong one.
const PINS: [&str; 5] = ["pin-1", "pin-2", "pin-3", "pin-4", "wrong-pin"];
/// The private key with which the chip agrees on a secret. It may be public, but not the secret.
const PEER: [u8; 32] = [0x42; 32];

/// The files that hold a secret, and why.
const BY_DESIGN: [(&str, &str); 15] = [
    ("pin-1", "the user gives it to the tool and the module"),
    ("pin-2", "the user gives it to the module"),
    ("pin-3", "the security officer gives it to the module"),
    ("pin-4", "the security officer gives it to the module"),
    ("wrong-pin", "somebody gives it to the tool and the module"),
    ("code-1", "provision hands the recovery code over (--recovery-code-file)"),
    ("code-2", "the security officer's copy of what recovery-code printed"),
    ("printed/recovery-code.stdout", "what recovery-code is for"),
    ("session-key", "a program brings it into a session"),
    ("passphrase", "the user gives it to the tool"),
    ("dumps/logging in", "C_Login's caller has the PIN in its memory during the call"),
    ("excluded/logged in", "the memory that is not part of a core dump, while somebody is logged in"),
    ("keys/PIN", "the IO protection key of the chip with a PIN"),
    ("keys/TLS", "the IO protection key of the chip with tls"),
    ("keys/TNG", "the IO protection key of the Trust&GO chip, which pair made"),
];

/// Three chips, each on its own bus, and what is known of their secrets.
struct Run {
    module: Module,
    buses: [(&'static str, SimBus); 3],
    search: Search,
}

impl Run {
    fn new() -> Self {
        let token = |name: &str| format!("[[token]]\nlabel = \"{name}\"\nbus = \"unix:FOLDER/bus-{name}\"\n");
        let tokens: String = ["pin", "tls", "tng"].map(token).concat();
        let module = Module::configured(&format!("log = \"trace:FOLDER/log\"\n{tokens}"));
        let images = [("pin", chip::blank()), ("tls", chip::blank()), ("tng", chip::sold(Profile::TngTls))];
        let buses =
            images.map(|(name, image)| (name, chip::serve(image, &module.folder.path().join(format!("bus-{name}")))));
        // With it the user may change the PIN.
        buses[0].1.set_switches(0, pin::rolling(true)).unwrap();
        for folder in ["printed", "processes", "dumps", "excluded"] {
            fs::create_dir(module.folder.path().join(folder)).unwrap();
        }
        Self { module, buses, search: Search::default() }
    }

    fn folder(&self) -> &Path {
        self.module.folder.path()
    }

    /// Puts a secret into a file, for a program that reads it.
    fn give(&mut self, file: &str, secret: &[u8]) {
        fs::write(self.folder().join(file), secret).unwrap();
        self.search.add(file, secret);
    }

    /// Records a recovery code that the tool wrote, with and without its hyphens, and leaves it in a file for the
    /// security officer.
    fn take_up_code(&mut self, written: &str, file: &str) {
        let text = fs::read_to_string(self.folder().join(written)).unwrap();
        self.give(file, text.trim().as_bytes());
        self.search.add(file, text.trim().replace('-', "").as_bytes());
    }

    /// Records the contents of the chips that no reader may see now.
    fn take_up(&mut self) {
        for (name, bus) in &self.buses {
            let image = bus.image(0).unwrap();
            let zone = image.config();
            for slot in
                Slot::all().filter(|slot| zone.slot_config(*slot).is_secret() || zone.key_config(*slot).private())
            {
                let part = image.part(Part::Slot(slot));
                let secret = if zone.key_config(slot).private() { &part[4..36] } else { part };
                if secret.iter().any(|byte| *byte != secret[0]) {
                    self.search.add(&format!("slot {} of {name}", slot.number()), secret);
                }
            }
        }
    }

    /// Runs the tool with the log on standard error. Its output, and what others can see of its process, is kept.
    fn tool(&mut self, name: &str, succeeds: bool, words: &str) {
        let printed = |what: &str| self.folder().join("printed").join(format!("{name}.{what}"));
        let mut command = Command::new(built::tool());
        command.args(words.split(' ')).current_dir(self.folder());
        command.env("ATECC608_PKCS11_CONF", self.module.configuration()).env("ATECC608_LOG", "trace");
        command.stdin(Stdio::null()).stdout(File::create(printed("stdout")).unwrap()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut seen, mut log) = (seen_by_others(child.id()), Vec::new());
        // With each line of the log, which is between the packets.
        for line in BufReader::new(child.stderr.take().unwrap()).split(b'\n') {
            seen.extend(seen_by_others(child.id()));
            log.extend([&line.unwrap()[..], b"\n"].concat());
        }
        let status = child.wait().unwrap();
        assert_eq!(status.success(), succeeds, "{name}: {}", String::from_utf8_lossy(&log));
        fs::write(printed("stderr"), log).unwrap();
        fs::write(self.folder().join("processes").join(name), Vec::from_iter(seen).concat()).unwrap();
        self.take_up();
    }

    /// A core dump of the helper at the moment that it names; then it goes on.
    fn dump(&mut self, helper: &mut Helper, moment: &str) {
        self.dump_waiting(helper, moment);
        helper.go();
    }

    fn dump_waiting(&mut self, helper: &mut Helper, moment: &str) {
        helper.expect(moment);
        self.take_up();
        let id = helper.child.id();
        let (core, excluded) = memory_of(id);
        fs::write(self.folder().join("dumps").join(moment), core).unwrap();
        if moment == "logged in" {
            fs::write(self.folder().join("excluded").join(moment), excluded).unwrap();
        }
        let seen = Vec::from_iter(seen_by_others(id)).concat();
        fs::write(self.folder().join("processes").join(moment), seen).unwrap();
    }
}

impl Run {
    /// A core dump before C_Login, and one in the middle of it: the secret behind the PIN is derived, and the call
    /// waits for the bus.
    fn dump_during_login(&mut self, helper: &mut Helper) {
        self.dump_waiting(helper, "about to log in");
        let lock = OpenOptions::new().write(true).open(self.folder().join("bus-pin.lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        helper.go();
        let status = format!("/proc/{}/status", helper.child.id());
        while fs::read_to_string(&status).unwrap().lines().any(|line| line == "VmLck:\t       0 kB") {
            std::thread::yield_now();
        }
        fs::write(self.folder().join("dumps/logging in"), memory_of(helper.child.id()).0).unwrap();
    }
}

/// Arguments and environments of a process and its children.
fn seen_by_others(id: u32) -> BTreeSet<Vec<u8>> {
    let folder = format!("/proc/{id}");
    let read = |file: &str| fs::read(format!("{folder}/{file}")).unwrap_or_default();
    let mut seen = BTreeSet::from([read("cmdline"), read("environ")]);
    let children = String::from_utf8(read(&format!("task/{id}/children"))).unwrap();
    seen.extend(children.split_whitespace().flat_map(|child| seen_by_others(child.parse().unwrap())));
    seen.retain(|text| !text.is_empty());
    seen
}

/// The contents of a core dump of the process (core(5)): its writable memory; and what it has excluded of that.
fn memory_of(id: u32) -> (Vec<u8>, Vec<u8>) {
    let memory = File::open(format!("/proc/{id}/mem")).unwrap();
    let (mut core, mut excluded, mut range) = (Vec::new(), Vec::new(), None);
    for line in fs::read_to_string(format!("/proc/{id}/smaps")).unwrap().lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap();
        if let Some((start, end)) = first.split_once('-') {
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            range = words.next().unwrap().starts_with("rw").then(|| (number(start), number(end)));
        } else if let (Some((start, end)), "VmFlags:") = (range, first) {
            let mut bytes = vec![0; (end - start) as usize];
            memory.read_exact_at(&mut bytes, start).unwrap();
            if words.any(|flag| flag == "dd") { &mut excluded } else { &mut core }.extend(bytes);
        }
    }
    (core, excluded)
}

/// A secret of this file, in memory that is wiped.
fn read(file: &str) -> Zeroizing<Vec<u8>> {
    let folder = std::env::var_os("ATECC608_PKCS11_CONF").unwrap();
    Zeroizing::new(fs::read(Path::new(&folder).with_file_name(file)).unwrap())
}

/// The parent takes a dump now. The stack contents of earlier calls are overwritten: docs/security.md says that secrets
/// may be there.
fn here(moment: &str) {
    #[inline(never)]
    fn overwrite_stack() {
        std::hint::black_box(&mut [0_u8; 256 * 1024]);
    }
    overwrite_stack();
    process::say(moment);
    process::wait();
}

/// Agrees on a secret with [`PEER`], and keeps it in the session.
fn agree(module: &Module, session: Session, key: Handle) {
    let theirs = p256::SecretKey::from_slice(&PEER).unwrap().public_key().to_encoded_point(false);
    let template = [
        (CKA_CLASS, ulong(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)),
        (CKA_SENSITIVE, boolean(true)),
        (CKA_EXTRACTABLE, boolean(false)),
    ];
    module.derive(session, key, CKD_NULL, &[], theirs.as_bytes(), &template).unwrap();
}

/// Brings the session's key in and encrypts with it.
fn use_session_key(module: &Module, session: Session) {
    let mut template = given(false, CKK_AES, &read("session-key"));
    let key = module.create_object(session, &template).unwrap();
    template.iter_mut().for_each(|(_, value)| value.fill(0));
    whole(module, session, true, &Kind::Iv(CKM_AES_CBC, [7; 16]), key, &[9; 32]).unwrap();
}

/// The calls of a program with the PIN-protected chip, and of its security officer.
fn live() {
    let module = Module::of_parent();
    let session = module.start();
    assert_eq!(module.login(session, CKU_USER, &read("wrong-pin")), Err(CKR_PIN_INCORRECT));
    here("about to log in");
    module.login(session, CKU_USER, &read("pin-1")).unwrap();
    let key = generate(&module, session, "a").unwrap();
    sign(&module, session, key).unwrap();
    agree(&module, session, key);
    use_session_key(&module, session);
    process::say(&base16ct::lower::encode_string(&point_of(&module, session, key)));
    here("logged in");
    pin::logout(&module, session).unwrap();
    here("logged out");
    pin::set_pin(&module, session, &read("pin-1"), &read("pin-2")).unwrap();
    here("PIN changed");
    module.login(session, CKU_SO, &read("code-1")).unwrap();
    here("officer logged in");
    pin::init_pin(&module, session, &read("pin-3")).unwrap();
    pin::set_pin(&module, session, &read("code-1"), &read("code-2")).unwrap();
    pin::logout(&module, session).unwrap();
    here("PIN and recovery code replaced");
    module.finalize().unwrap();
    module.initialize().unwrap();
    pin::init_token(&module, &read("code-2"), "pin").unwrap();
    let session = module.open_session(0, true).unwrap();
    assert_eq!(module.login(session, CKU_USER, &read("pin-3")), Err(CKR_USER_PIN_NOT_INITIALIZED));
    module.login(session, CKU_SO, &read("code-2")).unwrap();
    pin::init_pin(&module, session, &read("pin-4")).unwrap();
    pin::logout(&module, session).unwrap();
    module.login(session, CKU_USER, &read("pin-4")).unwrap();
    here("PIN given again");
    module.finalize().unwrap();
    here("finalised");
}

/// The calls of a program with the chip with tls.
fn use_tls() {
    let module = Module::of_parent();
    module.initialize().unwrap();
    let session = module.open_session(1, true).unwrap();
    let key = generate(&module, session, "b").unwrap();
    sign(&module, session, key).unwrap();
    agree(&module, session, key);
    use_session_key(&module, session);
    let mut template = given(true, CKK_GENERIC_SECRET, &read("session-key"));
    module.create_object(session, &template).unwrap();
    template.iter_mut().for_each(|(_, value)| value.fill(0));
    process::say(&base16ct::lower::encode_string(&point_of(&module, session, key)));
    here("tls used");
}

#[test]
fn helper_process() {
    match process::role().as_deref() {
        None => {}
        Some("live") => live(),
        Some("use tls") => use_tls(),
        Some(role) => panic!("{role}"),
    }
}

impl Run {
    /// Computes the secret that the helper agreed on, from the other side.
    fn learn_agreed(&mut self, helper: &mut Helper) {
        let point = base16ct::lower::decode_vec(helper.heard().unwrap()).unwrap();
        let ours = p256::PublicKey::from_sec1_bytes(&point).unwrap();
        let theirs = p256::SecretKey::from_slice(&PEER).unwrap();
        let secret = p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), ours.as_affine());
        self.search.add("an agreed secret", secret.raw_secret_bytes());
    }

    /// Gives the programs the secrets that they need.
    fn prepare(&mut self) {
        for name in PINS.into_iter().chain(["passphrase"]) {
            let random = random();
            self.give(name, base16ct::lower::encode_string(&random[..10]).as_bytes());
        }
        self.give("session-key", &random());
        let scalar = random();
        self.search.add("the imported key", &scalar);
        let key = p256::SecretKey::from_slice(&scalar).unwrap().to_pkcs8_der().unwrap();
        fs::write(self.folder().join("plain"), key.as_bytes()).unwrap();
        let words = "pkcs8 -topk8 -inform DER -in plain -v2 aes-256-cbc -passout file:passphrase -out imported.pem";
        let openssl = Command::new("openssl").args(words.split(' ')).current_dir(self.folder()).status();
        assert!(openssl.unwrap().success());
        fs::remove_file(self.folder().join("plain")).unwrap();
    }

    fn provision(&mut self) {
        let pin = "provision tls-pin --lock-forever --token pin --pin-file pin-1 --recovery-code-file code-1";
        self.tool("provision-pin", true, pin);
        self.tool("provision-tls", true, "provision tls --lock-forever --token tls");
        self.tool("pair", true, "pair --token tng");
        self.take_up_code("code-1", "code-1");
    }

    fn use_the_tool(&mut self) {
        self.tool("generate", true, "key generate --token pin --label device --pin-file pin-1");
        self.tool("csr", true, "csr --token pin --key device --subject /CN=device --pin-file pin-1");
        self.tool("csr-wrong-pin", false, "csr --token pin --key device --subject /CN=device --pin-file wrong-pin");
        let import = "key import imported.pem --passphrase-file passphrase --label imported --slot 4";
        self.tool("import", true, &format!("{import} --token tls"));
        self.tool("import-pin", false, &format!("{import} --token pin --pin-file pin-1"));
        self.tool("csr-imported", true, "csr --token tls --key imported --subject /CN=device");
        self.tool("destroy", true, "key destroy --token tls --key imported --yes");
        self.tool("recovery-code", true, "recovery-code");
        self.take_up_code("printed/recovery-code.stdout", "code-2");
    }

    fn key_file(&self, chip: usize) -> String {
        format!("keys/{}", self.buses[chip].1.image(0).unwrap().config().serial_number())
    }
}

fn random() -> [u8; 32] {
    use std::io::Read;
    let mut bytes = [0; 32];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn only_the_files_that_are_for_a_secret_hold_one_after_the_life_of_a_pin_and_of_keys_at_level_trace() {
    let mut run = Run::new();
    run.prepare();
    run.provision();
    run.use_the_tool();
    let mut helper = Helper::start(module_path!(), &run.module, "live");
    run.dump_during_login(&mut helper);
    run.learn_agreed(&mut helper);
    for moment in [
        "logged in",
        "logged out",
        "PIN changed",
        "officer logged in",
        "PIN and recovery code replaced",
        "PIN given again",
        "finalised",
    ] {
        run.dump(&mut helper, moment);
    }
    helper.finish();
    let mut helper = Helper::start(module_path!(), &run.module, "use tls");
    run.learn_agreed(&mut helper);
    run.dump(&mut helper, "tls used");
    helper.finish();

    assert!(run.search.len() > 25, "only {} secrets are known", run.search.len());
    for log in ["log", "printed/provision-pin.stderr"] {
        let text = fs::read_to_string(run.folder().join(log)).unwrap();
        assert!(text.lines().filter(|line| line.contains(" trace: ")).count() > 100, "{log} has the packets:\n{text}");
    }
    let seen = fs::read(run.folder().join("processes/provision-pin")).unwrap();
    assert!(seen.windows(10).any(|word| word == b"--pin-file"), "the tool's arguments were seen");
    let names: BTreeMap<&str, String> =
        [("keys/PIN", 0), ("keys/TLS", 1), ("keys/TNG", 2)].map(|(name, chip)| (name, run.key_file(chip))).into();
    let by_design = BY_DESIGN.map(|(name, _)| names.get(name).cloned().unwrap_or_else(|| name.to_owned()));
    let mut found = run.search.in_files(run.folder());
    assert!(found["dumps/logging in"].iter().all(|name| name.starts_with("pin-1 as ")), "{found:#?}");
    let excluded = &found["excluded/logged in"];
    assert!(["slot 5 of pin", "session-key", "an agreed secret"]
        .iter()
        .all(|name| excluded.contains(&format!("{name} as bytes"))));
    // Each of these is found: the search knows the secrets.
    for name in by_design {
        assert!(found.remove(&name).is_some(), "no secret was found in {name}");
    }
    assert!(found.is_empty(), "{found:#?}");
}
