//! The token of one configured chip: what the functions of PKCS#11 ask of it, and which half of it each needs.
//!
//! What is known stands on the [`Board`]: whoever only reads takes the snapshot there and never waits. Work for the chip takes a
//! turn in the [`Line`], once for a call where it can be.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::cipher::message::MessageCipher;
use super::cipher::{self, CipherOperation, Direction};
use super::class::Half;
use super::config::{Config, TokenConfig};
use super::deadline::Deadline;
use super::error::{Error, Result};
use super::identity::KeysIn;
use super::info::{SlotInfo, TokenInfo};
use super::mechanism::{self, Mechanism, MechanismInfo};
use super::object::{KeyRef, ObjectKey, Objects, SessionObject};
use super::pin::login::Login;
use super::pin::{change, login, Who};
use super::random::random;
use super::secret::session::{generated_len, SecretRequest};
use super::snapshot::{Board, Known};
use super::state_access::StateAccess;
use super::template::{bool_value, Template};
use super::turn::{Line, Turn};
use super::{
    access, certificates, derive, digest, find, kdf, keygen, past, secret, session_pair, wrap, ObjectHandle, SessionRef,
};
use atecc608::Chip;

/// One configured chip. Its methods may be called from any thread; the chip does one thing at a time.
pub struct Token {
    slot_id: CK_SLOT_ID,
    pub(crate) config: Config,
    pub(crate) token_config: TokenConfig,
    pub(crate) board: Board,
    pub(crate) state_access: StateAccess,
    pub(crate) login: Login,
    pub(crate) objects: Objects,
    pub(crate) keys_in: KeysIn,
    pub(crate) trusts_kept_configuration: bool,
    line: Line,
}

/// The two halves.
impl Token {
    /// A token for one `[[token]]`; touches no bus.
    pub fn new(config: &Config, token: &TokenConfig) -> Self {
        Self {
            slot_id: token.slot,
            config: config.clone(),
            token_config: token.clone(),
            board: Board::default(),
            state_access: StateAccess::default(),
            login: Login::default(),
            objects: Objects::default(),
            keys_in: KeysIn::default(),
            trusts_kept_configuration: false,
            line: Line::new(),
        }
    }

    /// The same for the tool, which puts keys into a chip between its locks ([`between_locks`](crate::between_locks)).
    pub fn open_between_locks(config: &Config, token: &TokenConfig) -> Self {
        Self { keys_in: KeysIn::BetweenLocksToo, ..Self::new(config, token) }
    }

    /// The same, with two Reads less at the first contact where root keeps the chip's configuration
    /// ([`configuration`](crate::configuration)): for the module. The tool writes that file and always reads the chip.
    pub fn trusting_kept_configuration(self) -> Self {
        Self { trusts_kept_configuration: true, ..self }
    }

    /// Until when a call that begins now waits for the chip.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.config.lock_timeout)
    }

    /// Bus and address.
    pub(crate) fn place(&self) -> String {
        self.token_config.place()
    }

    /// What is known of the chip. Waits only for the first contact: two or four Reads and an Info.
    ///
    /// # Errors
    /// [`Error::TokenNotPresent`], [`Error::TokenNotRecognized`], [`Error::Device`], [`Error::DeviceError`].
    pub(crate) fn known(&self, deadline: Deadline) -> Result<Arc<Known>> {
        match &self.board.snapshot().known {
            Some(known) => Ok(known.clone()),
            None => self.line.meet(self, deadline),
        }
    }

    /// As [`Token::known`], for a call that asks for nothing else: the clock is read only before a first contact.
    ///
    /// # Errors
    /// Those of [`Token::known`].
    fn known_or_met(&self) -> Result<Arc<Known>> {
        match &self.board.snapshot().known {
            Some(known) => Ok(known.clone()),
            None => self.line.meet(self, self.deadline()),
        }
    }

    /// The chip there, seen within the last second, or, where chip or bus are in use, as it was last seen: at most one Read
    /// more. A failure is remembered for a second, too.
    ///
    /// # Errors
    /// As [`Token::known`], but a chip that was there is not present either if it does not answer.
    fn present(&self) -> Result<Arc<Known>> {
        let snapshot = self.board.snapshot();
        if let Some(found) = snapshot.fresh() {
            return found;
        }
        let last_seen = snapshot.last_seen();
        let deadline = last_seen.is_none().then(|| self.deadline());
        let found = self.line.look(self, deadline).or(last_seen);
        found.unwrap_or_else(|| Err(super::absence::no_chip()))
    }

    /// As [`Token::present`]; notes if the chip came or went, or is another one.
    fn look(&self) -> Result<Arc<Known>> {
        let found = self.present();
        if self.board.snapshot().presence.differs(&found) {
            self.board.change(|snapshot| snapshot.presence.note_event(&found));
        }
        found
    }

    /// Does work in a turn with the chip.
    ///
    /// # Errors
    /// See [`Line::turn`].
    pub(crate) fn turn<T>(&self, deadline: Deadline, work: impl FnOnce(&mut Turn<'_>) -> Result<T>) -> Result<T> {
        self.line.turn(self, deadline, work)
    }

    /// As [`Token::turn`], if it can be had at once.
    pub(crate) fn try_turn<T>(&self, work: impl FnOnce(&mut Turn<'_>) -> Result<T>) -> Option<Result<T>> {
        self.line.try_turn(self, work)
    }

    /// What the handle names, if that is still there.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`]; those of the first contact.
    pub(crate) fn object(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        let key = self.objects.key(handle)?;
        let known = || self.known_or_met();
        if self.objects.is_private(&key) && known()?.hides_private() {
            return Err(Error::ObjectHandleInvalid(handle));
        }
        let is_there = match &key {
            ObjectKey::PrivateKey(pair) | ObjectKey::PublicKey(pair) => {
                !self.objects.is_hidden(&key) && known()?.is_there(*pair)
            }
            ObjectKey::Stored(unique_id) => certificates::stored_object(&*known()?, unique_id).is_some(),
            ObjectKey::Secret(unique_id) => known()?.secret(unique_id).is_some(),
            ObjectKey::Feature(_) => true,
            ObjectKey::Session(number) => self.objects.with_session_object(*number, |object| object.is_some()),
        };
        if is_there {
            return Ok(key);
        }
        self.objects.forget(&key);
        Err(Error::ObjectHandleInvalid(handle))
    }

    /// As [`Token::object`], for functions that take keys.
    ///
    /// # Errors
    /// [`Error::KeyHandleInvalid`]; those of the first contact.
    pub(crate) fn key_object(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        self.object(handle).map_err(|error| match error {
            Error::ObjectHandleInvalid(_) => {
                Error::KeyHandleInvalid(format!("handle {handle} names no key that is still there").into())
            }
            other => other,
        })
    }

    /// The private key that the handle names.
    ///
    /// # Errors
    /// [`Error::KeyHandleInvalid`], [`Error::KeyTypeInconsistent`]; those of the first contact.
    pub(crate) fn private_key(&self, handle: ObjectHandle) -> Result<KeyRef> {
        match self.key_object(handle)? {
            ObjectKey::PrivateKey(key) => Ok(key),
            _ => Err(Error::KeyTypeInconsistent("the handle names no private key".into())),
        }
    }

    /// Adds a session object.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`] if it is a private one and that means something; [`Error::HostMemory`].
    pub(crate) fn add_session_object(&self, mut object: SessionObject) -> Result<ObjectHandle> {
        if object.is_private() {
            self.known(self.deadline())?.check_may_make_private()?;
        }
        if matches!(object.attributes.ulong(CKA_CLASS)?, Some(CKO_SECRET_KEY | CKO_PRIVATE_KEY)) {
            object.attributes.keep_secret(CKA_VALUE)?;
        }
        Ok(self.objects.add(object))
    }
}

/// Slot, token, sessions and login.
impl Token {
    /// Its PKCS#11 slot id.
    pub fn slot_id(&self) -> CK_SLOT_ID {
        self.slot_id
    }

    /// What C_GetSlotInfo says. Asks the chip at most once a second, and only if it is free.
    pub fn slot_info(&self) -> SlotInfo {
        SlotInfo { description: self.place(), present: self.look().is_ok() }
    }

    /// Whether the chip came or went since the last time that this was asked; since it was first looked for, at the first
    /// time. Asks the chip at most once a second, and only if it is free.
    pub fn take_event(&self) -> bool {
        // What was found stands on the board.
        let _ = self.look();
        self.board.change(|snapshot| snapshot.presence.take_event())
    }

    /// What C_GetTokenInfo says. Asks the chip at most once a second, and only if it is free.
    ///
    /// # Errors
    /// [`Error::TokenNotPresent`], [`Error::TokenNotRecognized`], those of the chip.
    pub fn info(&self) -> Result<TokenInfo> {
        self.present()?;
        self.state_access.refresh(&self.board);
        Ok(TokenInfo::of(&*self.known(self.deadline())?, self.token_config.label.clone()))
    }

    /// The mechanisms that this chip's configuration allows.
    ///
    /// # Errors
    /// Those of the first contact.
    pub fn mechanisms(&self) -> Result<Vec<MechanismInfo>> {
        Ok(mechanism::offered(self.known(self.deadline())?.identity.abilities()))
    }

    /// Whether there is a token to open a session with; costs nothing once it was seen.
    ///
    /// # Errors
    /// Those of the first contact.
    pub fn ensure_present(&self) -> Result<()> {
        self.known_or_met().map(drop)
    }

    /// A session ended: its objects are gone.
    pub fn session_closed(&self, session: u64) {
        self.objects.remove_of(Some(session));
    }

    /// The last session ended: all session objects are gone, and nobody is logged in.
    pub fn all_sessions_closed(&self) {
        // Nobody may have been logged in.
        let _ = login::log_out(self);
        self.objects.remove_of(None);
    }

    /// C_InitToken: sets the label. Keys are never destroyed by it, so without a security officer it refuses while there
    /// are objects; with one it does what [`pin`](crate::pin) says.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] while there are objects that can be destroyed, or the configuration gives another label;
    /// [`Error::PinIncorrect`]; those of a turn.
    pub fn init_token(&self, so_pin: Option<&[u8]>, label: &str) -> Result<()> {
        let deadline = self.deadline();
        let label = label.trim_end().to_owned();
        let scheme = self.known(deadline)?.identity.scheme;
        let configured = self.token_config.label.as_ref();
        if let Some(configured) = configured.filter(|configured| scheme.is_none() || **configured != label) {
            return Err(Error::ActionProhibited(
                format!("the configuration gives this token the label \"{configured}\": change it there").into(),
            ));
        }
        if let Some(scheme) = scheme {
            return change::init_token(self, scheme, so_pin, label);
        }
        // What the factory put there for good, as in chips as sold, is nobody's to destroy: it is not asked for.
        let destroyable = Template::new(vec![(CKA_DESTROYABLE, Zeroizing::new(bool_value(true)))]);
        let objects = find::find(self, &destroyable, deadline)?;
        if !objects.is_empty() {
            return Err(Error::ActionProhibited(
                format!(
                    "the token has {} objects: destroy them by name first, C_InitToken never destroys a key",
                    objects.len()
                )
                .into(),
            ));
        }
        self.turn(deadline, |turn| turn.change_state(|state| state.label = Some(label)))
    }

    /// C_Login. Without a PIN scheme only the PIN is ignored: AWS clients always log in.
    ///
    /// # Errors
    /// [`Error::UserAlreadyLoggedIn`], [`Error::UserAnotherAlreadyLoggedIn`], [`Error::UserTypeInvalid`],
    /// [`Error::PinIncorrect`], [`Error::UserPinNotInitialized`]; those of a turn.
    pub fn login(&self, user: CK_USER_TYPE, pin: Option<&[u8]>) -> Result<()> {
        login::log_in(self, user, pin)
    }

    /// C_Logout. Never waits for the chip.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`].
    pub fn logout(&self) -> Result<()> {
        login::log_out(self)
    }

    /// Who is logged in.
    pub fn who(&self) -> Who {
        self.board.snapshot().who
    }

    /// C_InitPIN: the security officer gives the user a PIN, whatever it was before.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`] unless the officer is logged in, [`Error::PinLenRange`], [`Error::PinInvalid`], those of a
    /// turn.
    pub fn init_pin(&self, pin: Option<&[u8]>) -> Result<()> {
        change::init_pin(self, pin)
    }

    /// C_SetPIN: the user changes the PIN, or, while the security officer is logged in, that one the recovery code.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] on a token without PIN; [`Error::PinIncorrect`], [`Error::PinLenRange`],
    /// [`Error::PinInvalid`], [`Error::UserPinNotInitialized`], those of a turn.
    pub fn set_pin(&self, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        change::set_pin(self, old, new)
    }
}

/// Objects.
impl Token {
    /// Handles of the objects that match. The chip is asked only where its answer matters.
    ///
    /// # Errors
    /// Those of a turn, where the chip has to be asked.
    pub fn find(&self, template: &Template) -> Result<Vec<ObjectHandle>> {
        find::find(self, template, self.deadline())
    }

    /// The attribute's value in the ABI's encoding. The chip is asked only for what is not known of its keys, and for the
    /// counter.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`], [`Error::AttributeTypeInvalid`], [`Error::AttributeSensitive`], those of a turn.
    pub fn attribute(
        &self,
        object: ObjectHandle,
        attribute: CK_ATTRIBUTE_TYPE,
        deadline: Deadline,
    ) -> Result<Zeroizing<Vec<u8>>> {
        access::attribute(self, object, attribute, deadline)
    }

    /// The length of an attribute whose value is not to be asked for in vain, since that changes it: the counter's.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn length_without_asking(&self, object: ObjectHandle, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<usize>> {
        access::length_without_asking(self, object, attribute)
    }

    /// Checks that the handle names an object.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn check_object(&self, object: ObjectHandle) -> Result<()> {
        self.object(object).map(drop)
    }

    /// C_SetAttributeValue: labels and ids, and data of data objects.
    ///
    /// # Errors
    /// [`Error::AttributeReadOnly`], [`Error::AttributeTypeInvalid`], [`Error::SessionReadOnly`],
    /// [`Error::AttributeValueInvalid`], those of a turn.
    pub fn set_attributes(&self, session: SessionRef, object: ObjectHandle, template: &Template) -> Result<()> {
        access::set_attributes(self, session, object, template)
    }

    /// C_CreateObject: certificates, data, public keys, secret keys, private keys.
    ///
    /// # Errors
    /// What the template lacks or contradicts, [`Error::SessionReadOnly`], those of a turn.
    pub fn create_object(&self, session: SessionRef, template: &Template) -> Result<ObjectHandle> {
        access::create_object(self, session, template)
    }

    /// C_CopyObject: certificates, data and session objects. Keys in the chip can't be copied, and pkcs11-provider goes on
    /// without.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] for an object whose CKA_COPYABLE is false, [`Error::AttributeReadOnly`], and as
    /// [`Token::create_object`].
    pub fn copy_object(&self, session: SessionRef, object: ObjectHandle, template: &Template) -> Result<ObjectHandle> {
        access::copy_object(self, session, object, template)
    }

    /// C_DestroyObject: a private key is overwritten in the chip, its public key is hidden in this process.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] for a permanent key, [`Error::SessionReadOnly`], those of a turn.
    pub fn destroy_object(&self, session: SessionRef, object: ObjectHandle) -> Result<()> {
        access::destroy_object(self, session, object)
    }

    /// C_GetObjectSize: bytes of CKA_VALUE, of the part of the chip that holds the key, or of a session object's attributes.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn object_size(&self, object: ObjectHandle) -> Result<CK_ULONG> {
        access::object_size(self, object)
    }
}

/// Keys and random numbers. (Signatures and codes begin with [`SignOperation::new`](crate::SignOperation::new) and
/// [`VerifyOperation::new`](crate::VerifyOperation::new).)
impl Token {
    /// Fills `out` with random bytes of chip and host together: one Random for each 32 bytes, all in one conversation.
    ///
    /// # Errors
    /// [`Error::RandomNoRng`] while the configuration is not locked; [`Error::Device`] if the host has no random bytes; those of
    /// a turn.
    pub fn random(&self, deadline: &mut Deadline, out: &mut [u8]) -> Result<()> {
        self.turn(*deadline, |turn| deadline.exclude(|| random(turn, out)))
    }

    /// C_GenerateKey: an AES key or a generic secret, of host and chip randomness mixed; in the session, or in a slot of the
    /// chip.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`], those of the template and of a turn.
    pub fn generate_key(
        &self,
        session: SessionRef,
        mechanism: &Mechanism,
        template: &Template,
    ) -> Result<ObjectHandle> {
        let deadline = self.deadline();
        let key_type = match mechanism.mechanism {
            CKM_AES_KEY_GEN => {
                secret::check_aes(self, CKM_AES_KEY_GEN)?;
                CKK_AES
            }
            CKM_GENERIC_SECRET_KEY_GEN => CKK_GENERIC_SECRET,
            other => return Err(Error::MechanismInvalid(other)),
        };
        digest::no_parameter(mechanism)?;
        let mut request = SecretRequest::new(session, template)?;
        request.generated_by = Some(mechanism.mechanism);
        if template.bytes(CKA_VALUE).is_some() {
            return Err(Error::TemplateInconsistent("CKA_VALUE: the key is to be generated".into()));
        }
        if request.key_type.is_some_and(|given| given != key_type) {
            return Err(Error::TemplateInconsistent("CKA_KEY_TYPE is not what the mechanism makes".into()));
        }
        let mut value = Zeroizing::new(vec![0; generated_len(key_type, &request)?]);
        if request.on_token {
            self.known(deadline)?.check_may_make_private()?;
            let unique_id = self.turn(deadline, |turn| {
                random(turn, &mut value)?;
                secret::stored::create(turn, request.for_chip(key_type, value)?)
            })?;
            return Ok(self.objects.handle(ObjectKey::Secret(unique_id)));
        }
        self.turn(deadline, |turn| random(turn, &mut value))?;
        self.add_session_object(request.for_session(session, key_type, value)?)
    }

    /// C_GenerateKeyPair: a private key born in the chip, or a key pair of the session. Returns the handles of public and private key.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`], [`Error::SessionReadOnly`], [`Error::UserNotLoggedIn`]; what the templates contradict;
    /// [`Error::DeviceMemory`] if no slot is free, [`Error::ActionProhibited`] if the one asked for takes no key; those of a turn.
    pub fn generate_key_pair(
        &self,
        session: SessionRef,
        mechanism: &Mechanism,
        public: &Template,
        private: &Template,
    ) -> Result<(ObjectHandle, ObjectHandle)> {
        let deadline = self.deadline();
        keygen::KeyPairRequest::check(mechanism, public, private)?;
        if session_pair::is_asked(public, private)? {
            return session_pair::generate(self, session, public, private);
        }
        let request = keygen::KeyPairRequest::new(public, private)?;
        if !session.read_write {
            return Err(Error::SessionReadOnly);
        }
        self.known(deadline)?.check_may_make_private()?;
        let (slot, epoch) = self.turn(deadline, |turn| {
            let slot = keygen::generate(turn, request, &mut Chip::generate_key)?;
            Ok((slot, turn.known().epoch(slot)))
        })?;
        let handle = |half: Half| self.objects.handle(half.key(slot, epoch));
        Ok((handle(Half::Public), handle(Half::Private)))
    }

    /// C_DeriveKey: ECDH in the chip or with a key of the session, HKDF and the one of TLS 1.2 with secret keys; the result is an object of the session.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`], [`Error::MechanismParamInvalid`], [`Error::KeyHandleInvalid`],
    /// [`Error::KeyTypeInconsistent`], [`Error::KeyFunctionNotPermitted`]; those of the template and of a turn.
    pub fn derive_key(
        self: &Arc<Self>,
        session: SessionRef,
        mechanism: &Mechanism,
        base: ObjectHandle,
        template: &Template,
    ) -> Result<ObjectHandle> {
        let mut object = match mechanism.mechanism {
            CKM_ECDH1_DERIVE | CKM_ECDH1_COFACTOR_DERIVE => derive::derive(self, session, mechanism, base, template)?,
            CKM_HKDF_DERIVE | CKM_TLS12_KDF => kdf::derive(self, session, mechanism, base, template)?,
            CKM_HKDF_DATA => {
                let data = kdf::derive_data(self, mechanism, base, template)?;
                return access::create_object(self, session, &data);
            }
            other => return Err(Error::MechanismInvalid(other)),
        };
        past::derived(self, base, &mut object);
        self.add_session_object(object)
    }

    /// Begins an encryption or decryption with a secret key. Asks the chip nothing.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`], [`Error::MechanismParamInvalid`], [`Error::KeyHandleInvalid`],
    /// [`Error::KeyTypeInconsistent`], [`Error::KeyFunctionNotPermitted`].
    pub fn cipher(
        self: &Arc<Self>,
        direction: Direction,
        mechanism: &Mechanism,
        key: ObjectHandle,
    ) -> Result<CipherOperation> {
        cipher::begin(self, direction, mechanism, key)
    }

    /// Begins a series of messages. Asks the chip nothing.
    ///
    /// # Errors
    /// As [`Token::cipher`].
    pub fn message_cipher(
        self: &Arc<Self>,
        direction: Direction,
        mechanism: &Mechanism,
        key: ObjectHandle,
    ) -> Result<MessageCipher> {
        MessageCipher::begin(self, direction, mechanism, key)
    }

    /// The value of a session key, for C_DigestKey.
    ///
    /// # Errors
    /// [`Error::KeyHandleInvalid`]; [`Error::KeyIndigestible`] for a key in the chip, and what is no secret key.
    pub fn digestible_value(&self, key: ObjectHandle) -> Result<Zeroizing<Vec<u8>>> {
        secret::digestible_value(self, key)
    }

    /// The value of a session key, encrypted with another key. `associated` is authenticated, too.
    ///
    /// # Errors
    /// [`Error::KeyUnextractable`] for a key in the chip or one that says so, [`Error::KeyNotWrappable`],
    /// [`Error::WrappingKey`] with what is wrong with the wrapping key, [`Error::MechanismInvalid`], those of a turn.
    pub fn wrap_key(
        self: &Arc<Self>,
        mechanism: &Mechanism,
        wrapping_key: ObjectHandle,
        key: ObjectHandle,
        associated: Option<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        wrap::wrap(self, mechanism, wrapping_key, key, associated)
    }

    /// A session key from its encrypted value.
    ///
    /// # Errors
    /// [`Error::WrappedKeyInvalid`], [`Error::WrappedKeyLenRange`], [`Error::UnwrappingKey`] with what is wrong with the
    /// unwrapping key, those of the template and of a turn.
    pub fn unwrap_key(
        self: &Arc<Self>,
        session: SessionRef,
        mechanism: &Mechanism,
        unwrapping_key: ObjectHandle,
        wrapped: &[u8],
        associated: Option<Vec<u8>>,
        template: &Template,
    ) -> Result<ObjectHandle> {
        wrap::unwrap(self, session, mechanism, unwrapping_key, wrapped, associated, template)
    }
}
