//! The token: one chip as PKCS#11 objects. Safe Rust, no raw pointers; knows nothing of sessions' operation
//! state or of C.
//!
//! The chip is the truth about keys; the state folder ([`store`]) holds names, certificates, cached points and
//! marks. [`device`] reaches the chip, [`identity`] is what is known about it, [`layout`] says which slot is which
//! object, [`attribute`] what an object says of itself.

pub mod attest;
pub mod attribute;
pub mod bus;
pub mod certificate;
pub mod certificates;
pub mod cipher;
pub mod config;
pub mod deadline;
pub mod device;
pub mod digest;
pub mod document;
pub mod error;
pub mod fair;
pub mod feature;
pub mod identity;
pub mod info;
pub mod inventory;
pub mod io_key;
pub mod kept;
pub mod known;
pub mod layout;
pub mod locked;
pub mod logging;
pub mod mac;
pub mod mechanism;
pub mod object;
pub mod pin;
pub mod point;
pub mod process;
pub mod profile;
pub mod secret;
pub mod sign;
pub mod state;
pub mod store;
pub mod template;

mod access;
mod derive;
mod find;
mod import;
mod kdf;
mod keygen;
mod modify;
mod objects;
mod state_file;
mod wrap;

use std::sync::Arc;

use cryptoki_sys::*;
use parking_lot::Mutex;
use zeroize::Zeroizing;

pub use cipher::message::{MessageCipher, MessageVector};
pub use cipher::{CipherOperation, Direction};
pub use digest::DigestOperation;
pub use error::{Error, Result};
pub use info::{SlotInfo, TokenInfo};
pub use mechanism::{HkdfSalt, Mechanism, MechanismInfo, Parameter};
pub use sign::{SignOperation, VerifyOperation};
pub use template::Template;

use device::Device;
use find::Half;
use object::{HandleTable, KeyRef, ObjectKey, SessionObject, SessionObjects};
use pin::{Login, Who};
use secret::session::SecretRequest;

use crate::config::{Config, TokenConfig};
use atecc608::Chip;

/// An object's handle within one token and process.
pub type ObjectHandle = u64;

/// The session on whose behalf something is done: session objects belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    /// The session's handle.
    pub id: u64,
    /// Whether it may change token objects.
    pub read_write: bool,
}

/// One configured chip. Its methods may be called from any thread; the chip does one thing at a time.
pub struct Token {
    slot_id: CK_SLOT_ID,
    login: Arc<Login>,
    inner: Mutex<Inner>,
}

struct Inner {
    device: Device,
    login: Arc<Login>,
    handles: HandleTable,
    session_objects: SessionObjects,
}

impl Token {
    /// A token for one `[[token]]`; touches no bus.
    pub fn new(config: &Config, token: &TokenConfig) -> Self {
        let login = Arc::new(Login::default());
        let inner = Inner {
            device: Device::new(config, token, login.clone()),
            login: login.clone(),
            handles: HandleTable::default(),
            session_objects: SessionObjects::default(),
        };
        Self { slot_id: token.slot as CK_SLOT_ID, login, inner: Mutex::new(inner) }
    }

    /// Its PKCS#11 slot id.
    pub fn slot_id(&self) -> CK_SLOT_ID {
        self.slot_id
    }

    /// What C_GetSlotInfo says. Asks the chip at most once a second.
    pub fn slot_info(&self) -> SlotInfo {
        let device = &mut self.inner.lock().device;
        let present = device.look();
        let config = device.config();
        SlotInfo { description: format!("{} at {:#04x}", config.bus, config.address), present }
    }

    /// Whether the chip came or went since the last time that this was asked; since it was first looked for, at the first
    /// time. Asks the chip at most once a second.
    pub fn take_event(&self) -> bool {
        let device = &mut self.inner.lock().device;
        device.look();
        device.take_event()
    }

    /// What C_GetTokenInfo says. Asks the chip at most once a second.
    ///
    /// # Errors
    /// [`Error::TokenNotPresent`], [`Error::TokenNotRecognized`], those of the chip.
    pub fn info(&self) -> Result<TokenInfo> {
        let device = &mut self.inner.lock().device;
        let configured = device.config().label.clone();
        let identity = device.present()?;
        identity.refresh();
        Ok(TokenInfo::of(identity, configured))
    }

    /// The mechanisms that this chip's configuration allows.
    ///
    /// # Errors
    /// As [`Token::info`].
    pub fn mechanisms(&self) -> Result<Vec<MechanismInfo>> {
        Ok(mechanism::offered(self.inner.lock().device.identity()?.abilities()))
    }

    /// Whether there is a token to open a session with; costs nothing once it was seen.
    ///
    /// # Errors
    /// As [`Token::info`].
    pub fn ensure_present(&self) -> Result<()> {
        self.inner.lock().device.identity().map(drop)
    }

    /// A session ended: its objects are gone.
    pub fn session_closed(&self, session: u64) {
        self.inner.lock().drop_session_objects(Some(session));
    }

    /// The last session ended: all session objects are gone, and nobody is logged in.
    pub fn all_sessions_closed(&self) {
        let inner = &mut *self.inner.lock();
        self.login.set(Who::Nobody);
        inner.logged_out();
        inner.drop_session_objects(None);
    }

    /// C_InitToken: sets the label. Keys are never destroyed by it, so without a security officer it refuses while there
    /// are objects; with one it does what [`pin`] says.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] while there are objects that can be destroyed, or the configuration gives another label;
    /// [`Error::PinIncorrect`]; those of state folder and chip.
    pub fn init_token(&self, so_pin: Option<&[u8]>, label: &str) -> Result<()> {
        let label = label.trim_end().to_owned();
        let scheme = self.scheme()?;
        let configured = self.inner.lock().device.config().label.clone();
        if let Some(configured) = configured.filter(|configured| scheme.is_none() || *configured != label) {
            return Err(Error::ActionProhibited(format!(
                "the configuration gives this token the label \"{configured}\": change it there"
            )));
        }
        if let Some(scheme) = scheme {
            return self.init_token_with_pin(scheme, so_pin, label);
        }
        let inner = &mut *self.inner.lock();
        // What the factory put there for good, as in chips as sold, is nobody's to destroy: it is not asked for.
        let destroyable = Template::new(vec![(CKA_DESTROYABLE, Zeroizing::new(template::bool_value(true)))]);
        let objects = find::find(&mut inner.device, &inner.session_objects, &destroyable)?;
        if !objects.is_empty() {
            return Err(Error::ActionProhibited(format!(
                "the token has {} objects: destroy them by name first, C_InitToken never destroys a key",
                objects.len()
            )));
        }
        inner.device.with_chip(|_, identity| identity.store.change(|state| state.label = Some(label)))
    }

    /// Fills `out` from the chip's generator: one Random for each 32 bytes, all in one conversation.
    ///
    /// # Errors
    /// [`Error::RandomNoRng`] while the configuration is not locked, those of the chip.
    pub fn random(&self, out: &mut [u8]) -> Result<()> {
        self.inner.lock().device.with_chip(|chip, identity| {
            if !identity.zone.config_locked() {
                return Err(Error::RandomNoRng(
                    "a chip with an unlocked configuration answers a constant instead of random numbers".to_owned(),
                ));
            }
            chip.converse(|awake| {
                for chunk in out.chunks_mut(32) {
                    chunk.copy_from_slice(&awake.random()?[..chunk.len()]);
                }
                Ok(())
            })
            .map_err(Error::Device)
        })
    }

    /// C_GenerateKey: an AES key or a generic secret, of host and chip randomness mixed; in the session, or in a slot of the
    /// chip.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`], those of the template, of state folder and chip.
    pub fn generate_key(
        &self,
        session: SessionRef,
        mechanism: &Mechanism,
        template: &Template,
    ) -> Result<ObjectHandle> {
        let key_type = match mechanism.mechanism {
            CKM_AES_KEY_GEN => {
                self.check_aes(CKM_AES_KEY_GEN)?;
                CKK_AES
            }
            CKM_GENERIC_SECRET_KEY_GEN => CKK_GENERIC_SECRET,
            other => return Err(Error::MechanismInvalid(other)),
        };
        digest::no_parameter(mechanism)?;
        let request = SecretRequest::new(session, template)?;
        if template.bytes(CKA_VALUE).is_some() {
            return Err(Error::TemplateInconsistent("CKA_VALUE: the key is to be generated".to_owned()));
        }
        if request.key_type.is_some_and(|given| given != key_type) {
            return Err(Error::TemplateInconsistent("CKA_KEY_TYPE is not what the mechanism makes".to_owned()));
        }
        let len = secret::session::generated_len(key_type, &request)?;
        let mut value = Zeroizing::new(vec![0; len]);
        self.random(&mut value)?;
        mix_host_randomness(&mut value)?;
        let inner = &mut *self.inner.lock();
        let key = if request.on_token {
            inner.may_make(true)?;
            let secret = request.for_chip(key_type, value)?;
            ObjectKey::Secret(secret::stored::create(&mut inner.device, secret)?)
        } else {
            inner.add_session_object(request.for_session(session, key_type, value)?)?
        };
        Ok(inner.handles.handle(key))
    }

    /// C_GenerateKeyPair: a private key born in the chip. Answers public and private handle.
    ///
    /// # Errors
    /// See `keygen`: templates, slots, state folder, chip.
    pub fn generate_key_pair(
        &self,
        session: SessionRef,
        mechanism: &Mechanism,
        public: &Template,
        private: &Template,
    ) -> Result<(ObjectHandle, ObjectHandle)> {
        let request = keygen::KeyPairRequest::new(mechanism, public, private)?;
        if !session.read_write {
            return Err(Error::SessionReadOnly);
        }
        let inner = &mut *self.inner.lock();
        inner.may_make(true)?;
        let slot = keygen::generate(&mut inner.device, request, &mut Chip::generate_key)?;
        let epoch = inner.device.identity()?.epoch(slot);
        let mut handle = |half: Half| inner.handles.handle(half.key(slot, epoch));
        Ok((handle(Half::Public), handle(Half::Private)))
    }

    /// C_DeriveKey: ECDH in the chip, HKDF and the one of TLS 1.2 with secret keys; the result is a session object.
    ///
    /// # Errors
    /// See `derive` and `kdf`: parameter, template, key, chip.
    pub fn derive_key(
        self: &Arc<Self>,
        session: SessionRef,
        mechanism: &Mechanism,
        base: ObjectHandle,
        template: &Template,
    ) -> Result<ObjectHandle> {
        let object = match mechanism.mechanism {
            CKM_ECDH1_DERIVE | CKM_ECDH1_COFACTOR_DERIVE => {
                let key = self.private_key(session, base)?;
                self.with_device(|device| derive::derive(device, session, mechanism, key, template))?
            }
            CKM_HKDF_DERIVE | CKM_TLS12_KDF => kdf::derive(self, session, mechanism, base, template)?,
            other => return Err(Error::MechanismInvalid(other)),
        };
        let inner = &mut *self.inner.lock();
        let key = inner.add_session_object(object)?;
        Ok(inner.handles.handle(key))
    }

    /// The private key that the handle names.
    fn private_key(&self, _session: SessionRef, key: ObjectHandle) -> Result<KeyRef> {
        match self.inner.lock().object(key) {
            Ok(ObjectKey::PrivateKey(key)) => Ok(key),
            Ok(_) => Err(Error::KeyTypeInconsistent("the handle names no private key".to_owned())),
            Err(_) => Err(Error::KeyHandleInvalid(format!("handle {key} names no key that is still there"))),
        }
    }

    fn with_device<T>(&self, work: impl FnOnce(&mut Device) -> Result<T>) -> Result<T> {
        work(&mut self.inner.lock().device)
    }
}

/// XORs the host's random bytes into the chip's, which crossed the bus in clear: whoever listened there knows nothing.
fn mix_host_randomness(value: &mut [u8]) -> Result<()> {
    let mut host = Zeroizing::new(vec![0; value.len()]);
    getrandom::fill(&mut host)
        .map_err(|error| Error::DeviceError(format!("the system gives no random bytes: {error}")))?;
    value.iter_mut().zip(host.iter()).for_each(|(byte, host)| *byte ^= host);
    Ok(())
}

impl Inner {
    fn add_session_object(&mut self, object: SessionObject) -> Result<ObjectKey> {
        self.may_make(object.is_private())?;
        Ok(ObjectKey::Session(self.session_objects.add(object)))
    }

    fn drop_session_objects(&mut self, session: Option<u64>) {
        for number in self.session_objects.remove_of(session) {
            self.handles.remove(&ObjectKey::Session(number));
        }
    }
}
