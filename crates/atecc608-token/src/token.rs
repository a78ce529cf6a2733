// SPDX-License-Identifier: MIT OR Apache-2.0
//! The token of one configured chip: the operations of the PKCS#11 functions, and which half of the token each needs.
//!
//! The known facts are on the [`Board`]: readers take the snapshot there without waiting. Work for the chip takes a
//! turn in the [`Line`], if possible one for a call.

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
use super::snapshot::{Board, Known};
use super::state_access::StateAccess;
use super::template::{bool_value, Template};
use super::turn::{Line, Turn};
use super::{
    access, certificates, derive, find, kdf, keygen, past, secret, session_pair, wrap, ObjectHandle, SessionRef,
};
use atecc608::Chip;

/// One configured chip. Its methods may be called from any thread; the chip executes one turn at a time.
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
    /// Creates a token for one `[[token]]`; accesses no bus.
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

    /// The same for the tool, also for chips between their locks ([`between_locks`](crate::between_locks)).
    pub fn open_between_locks(config: &Config, token: &TokenConfig) -> Self {
        Self { keys_in: KeysIn::BetweenLocksToo, ..Self::new(config, token) }
    }

    /// The same, with two Reads less at the first contact if root has stored the chip's configuration
    /// ([`configuration`](crate::configuration)): for the module. The tool writes that file and always reads the chip.
    pub fn trusting_kept_configuration(self) -> Self {
        Self { trusts_kept_configuration: true, ..self }
    }

    /// Returns the deadline for a call that starts now.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.config.lock_timeout)
    }

    /// Bus and address.
    pub(crate) fn place(&self) -> String {
        self.token_config.place()
    }

    /// Returns the known facts about the chip. Waits only for the first contact: two or four Reads and an Info.
    ///
    /// # Errors
    /// The [first contact errors](Error#first-contact-errors).
    pub(crate) fn known(&self, deadline: Deadline) -> Result<Arc<Known>> {
        match &self.board.snapshot().known {
            Some(known) => Ok(known.clone()),
            None => self.line.meet(self, deadline),
        }
    }

    /// As [`Token::known`], for a call that needs nothing else: the clock is read only before a first contact.
    fn known_or_met(&self) -> Result<Arc<Known>> {
        let known = self.board.snapshot().known.clone();
        known.map_or_else(|| self.line.meet(self, self.deadline()), Ok)
    }

    /// Returns the chip as seen within the last second, or, if chip or bus are in use, as last seen: at most one Read
    /// more. A failure is also cached for a second.
    ///
    /// # Errors
    /// As [`Token::known`]; [`Error::TokenNotPresent`] also if a known chip does not respond.
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

    /// As [`Token::present`]; notes whether the chip appeared, disappeared or changed.
    fn look(&self) -> Result<Arc<Known>> {
        let found = self.present();
        if self.board.snapshot().presence.differs(&found) {
            self.board.change(|snapshot| snapshot.presence.note_event(&found));
        }
        found
    }

    /// Runs `work` in a turn with the chip.
    ///
    /// # Errors
    /// See [`Line::turn`].
    pub(crate) fn turn<T>(&self, deadline: Deadline, work: impl FnOnce(&mut Turn<'_>) -> Result<T>) -> Result<T> {
        self.line.turn(self, deadline, work)
    }

    /// As [`Token::turn`], if the turn can be taken at once.
    pub(crate) fn try_turn<T>(&self, work: impl FnOnce(&mut Turn<'_>) -> Result<T>) -> Option<Result<T>> {
        self.line.try_turn(self, work)
    }

    /// Returns the object that the handle names, if it still exists.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`]; as [`Token::known`].
    pub(crate) fn object(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        let key = self.objects.key(handle)?;
        if self.objects.is_private(&key) && self.known_or_met()?.hides_private() {
            return Err(Error::ObjectHandleInvalid(handle));
        }
        let is_there = match &key {
            ObjectKey::PrivateKey(pair) | ObjectKey::PublicKey(pair) => {
                !self.objects.is_hidden(&key) && self.known_or_met()?.is_there(*pair)
            }
            ObjectKey::Stored(unique_id) => certificates::stored_object(&*self.known_or_met()?, unique_id).is_some(),
            ObjectKey::Secret(unique_id) => self.known_or_met()?.secret(unique_id).is_some(),
            ObjectKey::Feature(_) => true,
            ObjectKey::Session(number) => self.objects.with_session_object(*number, |object| object.is_some()),
        };
        if is_there {
            return Ok(key);
        }
        self.objects.forget(&key);
        Err(Error::ObjectHandleInvalid(handle))
    }

    /// As [`Token::object`], for functions that take keys: fails with [`Error::KeyHandleInvalid`].
    pub(crate) fn key_object(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        self.object(handle).map_err(Error::of_key)
    }

    /// As [`Token::key_object`], for private keys: fails with [`Error::KeyTypeInconsistent`] for others.
    pub(crate) fn private_key(&self, handle: ObjectHandle) -> Result<KeyRef> {
        match self.key_object(handle)? {
            ObjectKey::PrivateKey(key) => Ok(key),
            _ => Err(Error::KeyTypeInconsistent("the handle names no private key".into())),
        }
    }

    /// Adds a session object. Fails with [`Error::UserNotLoggedIn`] for a private one on a token with a PIN.
    pub(crate) fn add_session_object(&self, mut object: SessionObject) -> Result<ObjectHandle> {
        if object.is_private() {
            self.known_or_met()?.check_may_make_private()?;
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

    /// Returns the contents of C_GetSlotInfo. Accesses the chip at most once a second, and only if it is free.
    pub fn slot_info(&self) -> SlotInfo {
        SlotInfo { description: self.place(), present: self.look().is_ok() }
    }

    /// Whether the chip appeared or disappeared since the last call, or at first since the first contact. Accesses the
    /// chip at most once a second, and only if it is free.
    pub fn take_event(&self) -> bool {
        // The result is on the board.
        let _ = self.look();
        self.board.change(|snapshot| snapshot.presence.take_event())
    }

    /// Returns the contents of C_GetTokenInfo. Accesses the chip at most once a second, and only if it is free.
    ///
    /// # Errors
    /// The [first contact errors](Error#first-contact-errors).
    pub fn info(&self) -> Result<TokenInfo> {
        self.present()?;
        self.state_access.refresh(&self.board);
        Ok(TokenInfo::of(&*self.known_or_met()?, self.token_config.label.clone()))
    }

    /// Returns the mechanisms that this chip's configuration allows.
    ///
    /// # Errors
    /// The [first contact errors](Error#first-contact-errors).
    pub fn mechanisms(&self) -> Result<Vec<MechanismInfo>> {
        Ok(mechanism::offered(self.known_or_met()?.identity.abilities()))
    }

    /// Checks that there is a token to open a session with; free after the first contact.
    ///
    /// # Errors
    /// The [first contact errors](Error#first-contact-errors).
    pub fn ensure_present(&self) -> Result<()> {
        self.known_or_met().map(drop)
    }

    /// Removes the objects of a session that ended.
    pub fn session_closed(&self, session: u64) {
        self.objects.remove_of(Some(session));
    }

    /// Removes all session objects and logs out, when the last session ended.
    pub fn all_sessions_closed(&self) {
        // Fails if no user was logged in.
        let _ = login::log_out(self);
        self.objects.remove_of(None);
    }

    /// C_InitToken: sets the label. It never destroys keys; so it refuses while there are objects on a token without a
    /// security officer, and otherwise works as in [`pin`](crate::pin).
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] if there are destroyable objects, or the configuration sets another label;
    /// [`Error::PinIncorrect`] if the recovery code is wrong; the [turn errors](Error#turn-errors).
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
        // Permanent contents from the factory, as in chips as sold, do not count: they can't be destroyed.
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

    /// C_Login. Without a PIN scheme only the PIN is ignored, because AWS clients always log in.
    ///
    /// # Errors
    /// [`Error::UserAlreadyLoggedIn`], [`Error::UserAnotherAlreadyLoggedIn`] if a user is logged in;
    /// [`Error::UserTypeInvalid`] if the token has no such user; [`Error::PinIncorrect`] if the PIN is wrong;
    /// [`Error::UserPinNotInitialized`] if the user has no PIN; the [turn errors](Error#turn-errors).
    pub fn login(&self, user: CK_USER_TYPE, pin: Option<&[u8]>) -> Result<()> {
        login::log_in(self, user, pin)
    }

    /// C_Logout. Never waits for the chip.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`] if no user is logged in.
    pub fn logout(&self) -> Result<()> {
        login::log_out(self)
    }

    /// Who is logged in.
    pub fn who(&self) -> Who {
        self.board.snapshot().who
    }

    /// C_InitPIN: the security officer sets the user's PIN, whatever it was before.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`] unless the officer is logged in; [`Error::PinLenRange`], [`Error::PinInvalid`] for a
    /// bad new PIN; the [turn errors](Error#turn-errors).
    pub fn init_pin(&self, pin: Option<&[u8]>) -> Result<()> {
        change::init_pin(self, pin)
    }

    /// C_SetPIN: changes the PIN, or the recovery code while the security officer is logged in.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] on a token without PIN; [`Error::PinIncorrect`] if the PIN is wrong;
    /// [`Error::PinLenRange`], [`Error::PinInvalid`] for a bad new PIN; [`Error::UserPinNotInitialized`] if the user
    /// has no PIN; the [turn errors](Error#turn-errors).
    pub fn set_pin(&self, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        change::set_pin(self, old, new)
    }
}

/// Objects.
impl Token {
    /// Returns handles of the matching objects. Accesses the chip only if the result depends on it.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors), if the chip has to be accessed.
    pub fn find(&self, template: &Template) -> Result<Vec<ObjectHandle>> {
        find::find(self, template, self.deadline())
    }

    /// Returns the attribute's value in the ABI's encoding. Accesses the chip only if the value is unknown, or the
    /// counter's.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`], [`Error::AttributeTypeInvalid`] if object or attribute do not exist;
    /// [`Error::AttributeSensitive`] if the value must not leave the token; the [turn errors](Error#turn-errors).
    pub fn attribute(
        &self,
        object: ObjectHandle,
        attribute: CK_ATTRIBUTE_TYPE,
        deadline: Deadline,
    ) -> Result<Zeroizing<Vec<u8>>> {
        access::attribute(self, object, attribute, deadline)
    }

    /// Returns the length of an attribute whose value must not be read needlessly, because a read changes it: the
    /// counter's.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`] if the handle names no object.
    pub fn length_without_asking(&self, object: ObjectHandle, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<usize>> {
        access::length_without_asking(self, object, attribute)
    }

    /// Checks that the handle names an object.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`] if the handle names no object.
    pub fn check_object(&self, object: ObjectHandle) -> Result<()> {
        self.object(object).map(drop)
    }

    /// C_SetAttributeValue: labels and ids, and data of data objects.
    ///
    /// # Errors
    /// [`Error::AttributeReadOnly`], [`Error::AttributeTypeInvalid`] if the object's attribute can't be changed or does
    /// not exist; [`Error::SessionReadOnly`] for a token object in a read-only session;
    /// [`Error::AttributeValueInvalid`] if a value is not valid; the [turn errors](Error#turn-errors).
    pub fn set_attributes(&self, session: SessionRef, object: ObjectHandle, template: &Template) -> Result<()> {
        access::set_attributes(self, session, object, template)
    }

    /// C_CreateObject: certificates, data, public keys, secret keys, private keys.
    ///
    /// # Errors
    /// The errors of the template's attributes; [`Error::SessionReadOnly`] for a token object in a read-only session;
    /// the [turn errors](Error#turn-errors) and [state folder errors](Error#state-folder-errors).
    pub fn create_object(&self, session: SessionRef, template: &Template) -> Result<ObjectHandle> {
        access::create_object(self, session, template)
    }

    /// C_CopyObject: certificates, data and session objects. Keys in the chip can't be copied; pkcs11-provider works
    /// without.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] if CKA_COPYABLE is false; [`Error::AttributeReadOnly`] for an attribute that a copy
    /// can't change; else as [`Token::create_object`].
    pub fn copy_object(&self, session: SessionRef, object: ObjectHandle, template: &Template) -> Result<ObjectHandle> {
        access::copy_object(self, session, object, template)
    }

    /// C_DestroyObject: overwrites a private key in the chip; hides a public key in this process.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] for a permanent key; [`Error::SessionReadOnly`] for a token object in a read-only
    /// session; the [turn errors](Error#turn-errors).
    pub fn destroy_object(&self, session: SessionRef, object: ObjectHandle) -> Result<()> {
        access::destroy_object(self, session, object)
    }

    /// C_GetObjectSize: bytes of CKA_VALUE, of the part of the chip that holds the key, or of a session object's
    /// attributes.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`] if the handle names no object.
    pub fn object_size(&self, object: ObjectHandle) -> Result<CK_ULONG> {
        access::object_size(self, object)
    }
}

/// Keys and random numbers. (Signatures and codes start with [`SignOperation::new`](crate::SignOperation::new) and
/// [`VerifyOperation::new`](crate::VerifyOperation::new).)
impl Token {
    /// Fills `out` with random bytes of chip and host combined: one Random for each 32 bytes, all in one conversation.
    ///
    /// # Errors
    /// [`Error::RandomNoRng`] while the configuration is not locked; [`Error::Device`] if the host has no random bytes;
    /// the [turn errors](Error#turn-errors).
    pub fn random(&self, deadline: &mut Deadline, out: &mut [u8]) -> Result<()> {
        self.turn(*deadline, |turn| deadline.exclude(|| random(turn, out)))
    }

    /// C_GenerateKey: an AES key or a generic secret, in the session or in a slot of the chip.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] for an unsupported mechanism; the errors of the template's attributes;
    /// [`Error::DeviceMemory`] if no place is free; the [turn errors](Error#turn-errors).
    pub fn generate_key(
        &self,
        session: SessionRef,
        mechanism: &Mechanism,
        template: &Template,
    ) -> Result<ObjectHandle> {
        secret::generate(self, session, mechanism, template)
    }

    /// C_GenerateKeyPair: generates a private key in the chip, or a key pair of the session. Returns the handles of
    /// public and private key.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`]; [`Error::SessionReadOnly`] for a token key in a read-only session; the errors of
    /// the templates' attributes; [`Error::DeviceMemory`] if no slot is free; [`Error::ActionProhibited`] if the
    /// requested one can't hold a new key; the [turn errors](Error#turn-errors) and [state folder
    /// errors](Error#state-folder-errors).
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

    /// C_DeriveKey: ECDH in the chip or with a key of the session, HKDF and the key derivation of TLS 1.2 with secret
    /// keys; the result is an object of the session.
    ///
    /// # Errors
    /// As [`Token::cipher`]; the errors of the template's attributes; the [turn errors](Error#turn-errors).
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

    /// Starts an encryption or decryption with a secret key. Does not access the chip.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] or [`Error::MechanismParamInvalid`] if mechanism or parameter are not supported;
    /// [`Error::KeyHandleInvalid`] if the handle names no key; [`Error::KeyTypeInconsistent`] if the key's type does
    /// not fit; [`Error::KeyFunctionNotPermitted`] if the key does not permit this use.
    pub fn cipher(
        self: &Arc<Self>,
        direction: Direction,
        mechanism: &Mechanism,
        key: ObjectHandle,
    ) -> Result<CipherOperation> {
        cipher::begin(self, direction, mechanism, key)
    }

    /// Starts a series of messages. Does not access the chip.
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

    /// Returns the value of a session key, for C_DigestKey.
    ///
    /// # Errors
    /// [`Error::KeyHandleInvalid`] if the handle names no key; [`Error::KeyIndigestible`] for a key in the chip, or an
    /// object that is not a secret key.
    pub fn digestible_value(&self, key: ObjectHandle) -> Result<Zeroizing<Vec<u8>>> {
        secret::digestible_value(self, key)
    }

    /// Returns the value of a session key, encrypted with another key. `associated` is authenticated, too.
    ///
    /// # Errors
    /// [`Error::KeyUnextractable`] for a key in the chip or with CKA_EXTRACTABLE false; [`Error::KeyNotWrappable`] for
    /// other objects; [`Error::WrappingKey`] with the error of the wrapping key; [`Error::MechanismInvalid`]; the [turn
    /// errors](Error#turn-errors).
    pub fn wrap_key(
        self: &Arc<Self>,
        mechanism: &Mechanism,
        wrapping_key: ObjectHandle,
        key: ObjectHandle,
        associated: Option<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        wrap::wrap(self, mechanism, wrapping_key, key, associated)
    }

    /// Creates a session key from its encrypted value.
    ///
    /// # Errors
    /// [`Error::WrappedKeyInvalid`] if it does not decrypt; [`Error::WrappedKeyLenRange`] if its length is impossible;
    /// [`Error::UnwrappingKey`] with the error of the unwrapping key; the errors of the template's attributes; the
    /// [turn errors](Error#turn-errors).
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
