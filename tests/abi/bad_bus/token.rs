// SPDX-License-Identifier: MIT OR Apache-2.0
//! A token on a bus with switchable faults, and the model of it: the keys that exist, and the contents of the chip's
//! EEPROM.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_token::pin::blob::{PinBlob, StretchedPin};
use atecc608_token::state::{SecretKind, StoredSecret};
use atecc608_token::store::Store;
use cryptoki_sys::*;

use super::reference;
use super::steps::{Case, Mode, Step};
use crate::common::keys::{Handle, Session};
use crate::common::module::{c, ulong, Module, Result};
use crate::common::{chip, codes, pin, secrets};

/// What a call on a bad bus may return instead of CKR_OK.
const FAILURES: [CK_RV; 2] = [CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED];
/// The same for the functions that need the token.
const ABSENCES: [CK_RV; 3] = [CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT];
/// How a line names the cause of a failure. Of the chip's refusals only those that a bad bus can cause.
const CAUSES: [&str; 8] = [
    "did not finish within",
    "the chip stopped responding at",
    "no chip responds",
    "is damaged: ",
    "(status 05)",
    "(status 08)",
    "(status EE)",
    "(status FF)",
];
/// What the log may have beside the line of a failure: the outcome of an interrupted change.
const NOTES: [&str; 4] = [
    "asking the chip whether it took effect",
    "was interrupted; ",
    // Two faults in a row look like a refusal: the intent stays, and the next call queries the chip again.
    "was interrupted, and the chip refuses to report",
    "is simulated",
];
/// The slots for private keys.
pub const PAIR_SLOTS: [u8; 4] = [0, 2, 3, 4];

pub struct Pair {
    pub label: String,
    pub slot: u8,
    /// 04 ‖ X ‖ Y.
    pub point: Vec<u8>,
}

pub struct Secret {
    pub label: String,
    pub aes: bool,
    pub value: Vec<u8>,
    /// Slot, and which 32 bytes of it.
    pub place: (u8, usize),
}

pub struct Token {
    pub module: Module,
    pub session: Session,
    case: Case,
    /// The number of times that faults began.
    noises: u32,
    /// The EEPROM as the model says.
    pub image: Image,
    pub pairs: Vec<Pair>,
    pub secrets: Vec<Secret>,
    pub data: Vec<(String, Vec<u8>)>,
    /// The last value of the counter.
    pub counter: u32,
    /// Places for secret keys, by whether they are for AES.
    pub places: Vec<((u8, usize), bool)>,
    handles: BTreeMap<(CK_OBJECT_CLASS, String), Handle>,
    names: u32,
    log_read: usize,
    /// The return values, and how often.
    pub outcomes: BTreeMap<CK_RV, u32>,
}

fn blob() -> PinBlob {
    // Argon2 is slow.
    static BLOB: OnceLock<PinBlob> = OnceLock::new();
    BLOB.get_or_init(|| StretchedPin::new(pin::PIN).unwrap().seal(&pin::secret())).clone()
}

/// The AES key that a chip with a PIN has from the start.
const AES_KEY: [u8; 16] = *b"sixteen byte key";
const AES_LABEL: &str = "object 0";

fn aes_key() -> Secret {
    Secret { label: AES_LABEL.to_owned(), aes: true, value: AES_KEY.to_vec(), place: (9, 0) }
}

/// The same in the state.
fn stored_key() -> StoredSecret {
    StoredSecret {
        unique_id: "0".repeat(32),
        slot: 9,
        block: 0,
        kind: SecretKind::Aes,
        len: 16,
        label: AES_LABEL.to_owned(),
        id: Vec::new(),
        kept: Default::default(),
        check: reference::encrypt(Mode::Ecb, &AES_KEY, &[0; 16])[..3].try_into().unwrap(),
        generated: false,
        pending: None,
    }
}

impl Token {
    pub fn new(case: &Case) -> Self {
        let with_pin = case.profile == "tls-pin";
        let mut image = if with_pin { pin::image() } else { chip::provisioned() };
        if with_pin {
            // No command could write it there.
            image.part_mut(Part::Slot(chip::slot(9)))[..32].copy_from_slice(&[AES_KEY, [0; 16]].concat());
        }
        let module = Module::with_chip(&image);
        secrets::put_io_key(&module, &image);
        let io_key = module.folder.path().join("keys").join(image.config().serial_number().to_string());
        fs::set_permissions(io_key, fs::Permissions::from_mode(0o640)).unwrap();
        let mut store = Store::open(&module.state_dir(), image.config().serial_number());
        if with_pin {
            store
                .change(|state| {
                    state.pins = vec![blob()];
                    state.empty.retain(|place| (place.slot, place.block) != (9, 0));
                    state.secrets = vec![stored_key()];
                })
                .unwrap();
        }
        let empty = &store.state().empty;
        let places = empty.iter().map(|place| ((place.slot, usize::from(place.block)), place.slot == 9)).collect();
        let session = module.start();
        let mut token = Self {
            module,
            session,
            case: case.clone(),
            noises: 0,
            image,
            pairs: Vec::new(),
            secrets: if with_pin { vec![aes_key()] } else { Vec::new() },
            data: Vec::new(),
            counter: 0,
            places,
            handles: BTreeMap::new(),
            names: 0,
            log_read: 0,
            outcomes: BTreeMap::new(),
        };
        token.log_in().unwrap();
        token.log_read = token.module.log().len();
        token.begin_noise();
        token
    }

    /// Whether the chip has the profile tls-pin. In the simulator an authorisation ends with a Nonce, so it refuses
    /// every encrypted write to a slot that requires the PIN (docs/security.md).
    pub fn has_pin(&self) -> bool {
        self.case.profile == "tls-pin"
    }

    fn log_in(&self) -> Result<()> {
        match self.has_pin() {
            true => self.module.login(self.session, CKU_USER, pin::PIN),
            false => Ok(()),
        }
    }

    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Use(what) => {
                let _ = self.attempt(&FAILURES, |token| token.make_use(what));
                self.assert_untouched();
            }
            Step::Change(change, more) => self.change(change, *more),
            Step::Restart => self.restart(),
            Step::Calm => {
                self.end_noise();
                self.assert_whole();
                self.begin_noise();
            }
        }
    }

    fn restart(&mut self) {
        self.module.finalize().unwrap();
        self.handles.clear();
        self.module.initialize().unwrap();
        for attempt in 0.. {
            if attempt == 3 {
                self.end_noise();
            }
            let opened = self.attempt(&ABSENCES, |token| token.module.open_session(0, true));
            if let Ok(session) = opened {
                self.session = session;
                break;
            }
            assert!(attempt < 3, "with the faults off it works");
        }
        for attempt in 0.. {
            if attempt == 3 {
                self.end_noise();
            }
            if self.attempt(&FAILURES, |token| token.log_in()).is_ok() {
                break;
            }
            assert!(attempt < 3, "with the faults off it works");
        }
        self.assert_untouched();
        self.begin_noise();
    }

    /// The faults begin, with another seed.
    pub fn begin_noise(&mut self) {
        let seed = u64::from(self.case.seed) + (u64::from(self.noises) << 32);
        self.noises += 1;
        fs::write(self.faults(), format!("rate:{}:{seed}\n", self.case.permille)).unwrap();
    }

    /// The faults end.
    pub fn end_noise(&self) {
        fs::write(self.faults(), "none\n").unwrap();
    }

    fn faults(&self) -> std::path::PathBuf {
        self.module.image().with_extension("faults")
    }

    /// Makes one call, or several that count as one. A failure is one of `failures`, and the log has one line that
    /// names the cause.
    pub fn attempt<T>(&mut self, failures: &[CK_RV], call: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = call(self);
        let log = self.module.log();
        let lines: Vec<&str> = log[self.log_read..].lines().collect();
        self.log_read = log.len();
        let (of_call, notes): (Vec<&str>, Vec<&str>) =
            lines.into_iter().partition(|line| line.split(": ").nth(1).is_some_and(|text| text.starts_with("C_")));
        for note in &notes {
            assert!(NOTES.iter().any(|known| note.contains(known)), "an unknown line: {note}");
        }
        let rv = result.as_ref().err().copied().unwrap_or(CKR_OK);
        *self.outcomes.entry(rv).or_default() += 1;
        if rv == CKR_OK {
            assert_eq!(of_call, Vec::<&str>::new(), "CKR_OK");
        } else {
            let name = codes::name_of(rv);
            assert!(failures.contains(&rv), "{name} is none of what this may return: {of_call:?}");
            // An object that disappeared before the call is the caller's mistake: no line for that.
            let lines = usize::from(rv != CKR_OBJECT_HANDLE_INVALID);
            assert_eq!(of_call.len(), lines, "{name}: {of_call:?}");
            let cause = FAILURES
                .contains(&rv)
                .then(|| of_call[0])
                .filter(|line| !CAUSES.iter().any(|cause| line.contains(cause)));
            assert_eq!(cause, None, "{name} names no cause");
        }
        result
    }

    /// With the faults on: tries again up to `more` times. The first failure is one of [`FAILURES`] or `refusals`,
    /// later ones may be `after`, too: the codes that the change returns if it took effect before.
    pub fn tries<T>(
        &mut self,
        more: u8,
        refusals: &[CK_RV],
        after: &[CK_RV],
        call: impl Fn(&mut Self) -> Result<T>,
    ) -> ControlFlow<T, CK_RV> {
        let mut allowed = [&FAILURES[..], refusals].concat();
        for attempt in 0.. {
            match self.attempt(&allowed, &call) {
                Ok(done) => return ControlFlow::Break(done),
                Err(rv) if attempt == more || !FAILURES.contains(&rv) => return ControlFlow::Continue(rv),
                Err(_) => allowed.extend(after),
            }
        }
        unreachable!()
    }

    /// Calls that must work: the faults are off. An interrupted change may be resolved, and noted.
    pub fn quietly<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> T {
        self.attempt(&[], call).unwrap()
    }

    /// A name that nothing had before.
    pub fn name(&mut self) -> String {
        self.names += 1;
        format!("object {}", self.names)
    }

    /// The object of this class and name, which must exist.
    pub fn handle(&mut self, class: CK_OBJECT_CLASS, label: &str) -> Result<Handle> {
        if let Some(handle) = self.handles.get(&(class, label.to_owned())) {
            return Ok(*handle);
        }
        let found = self.find(class, label)?;
        assert_eq!(found.len(), 1, "{label}");
        self.handles.insert((class, label.to_owned()), found[0]);
        Ok(found[0])
    }

    pub fn find(&self, class: CK_OBJECT_CLASS, label: &str) -> Result<Vec<Handle>> {
        self.module.find(self.session, &[(CKA_CLASS, ulong(class)), (CKA_LABEL, label.as_bytes().to_vec())])
    }

    /// Another object or none has the name now.
    pub fn forget(&mut self, label: &str) {
        self.handles.retain(|(_, name), _| name != label);
    }

    pub fn image_now(&self) -> Image {
        Image::load(&self.module.image()).unwrap()
    }

    /// The EEPROM is unchanged.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!(self.changed(), [], "the EEPROM has changed");
    }

    /// The blocks of slots that differ from the model. Everything else in the EEPROM must be equal.
    #[track_caller]
    pub fn changed(&self) -> Vec<(u8, usize)> {
        let now = self.image_now();
        for part in [Part::Config, Part::Otp] {
            assert_eq!(now.part(part), self.image.part(part), "{part:?}");
        }
        let mut changed = Vec::new();
        for slot in 0..16 {
            let part = Part::Slot(chip::slot(slot));
            let blocks = now.part(part).chunks(32).zip(self.image.part(part).chunks(32)).enumerate();
            changed.extend(blocks.filter(|(_, (now, before))| now != before).map(|(block, _)| (slot, block)));
        }
        changed
    }

    /// The faults are off: every object exists, there is no other, and each works.
    pub fn assert_whole(&mut self) {
        self.assert_untouched();
        let found = self.quietly(|token| token.objects());
        assert_eq!(found, self.expected());
        // One of the pairs, a different one each time: P-256 is slow.
        if !self.pairs.is_empty() {
            let number = self.noises as usize % self.pairs.len();
            self.quietly(|token| token.use_pair(number));
        }
        for number in 0..self.secrets.len() {
            self.quietly(|token| token.use_secret(number));
        }
        for (label, value) in self.data.clone() {
            let object = self.quietly(|token| token.handle(CKO_DATA, &label));
            assert_eq!(self.module.attribute(self.session, object, CKA_VALUE), Ok(value));
        }
        self.assert_untouched();
    }

    /// What [`Token::objects`] must return.
    pub fn expected(&self) -> Vec<(CK_OBJECT_CLASS, String)> {
        let mut expected: Vec<(CK_OBJECT_CLASS, String)> = Vec::new();
        for pair in &self.pairs {
            expected.extend([CKO_PRIVATE_KEY, CKO_PUBLIC_KEY].map(|class| (class, pair.label.clone())));
        }
        expected.extend(self.secrets.iter().map(|secret| (CKO_SECRET_KEY, secret.label.clone())));
        expected.extend(self.data.iter().map(|(label, _)| (CKO_DATA, label.clone())));
        expected.sort();
        expected
    }

    /// Classes and labels of all objects, sorted. Objects of the session are gone by then.
    pub fn objects(&self) -> Result<Vec<(CK_OBJECT_CLASS, String)>> {
        let (module, session) = (&self.module, self.session);
        let class = |object| -> Result<CK_OBJECT_CLASS> {
            let value = module.attribute(session, object, CKA_CLASS)?;
            Ok(CK_OBJECT_CLASS::from_ne_bytes(value.try_into().unwrap()))
        };
        let mut all = Vec::new();
        for object in module.find(session, &[])? {
            all.push((class(object)?, String::from_utf8(module.attribute(session, object, CKA_LABEL)?).unwrap()));
        }
        all.sort();
        Ok(all)
    }

    pub fn destroy_in_session(&self, object: Handle) {
        c!(self.module, C_DestroyObject(self.session, object)).unwrap();
    }
}
