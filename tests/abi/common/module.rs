// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module behind its C ABI, with a method for each C function that a test needs: arguments and results are Rust
//! types, errors are the CK_RV itself.
//!
//! The module reads its configuration from the environment and has one state per process, so the tests of a process
//! take turns: [`Module::configured`] holds a lock until it is dropped.

use std::ffi::c_void;
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki_sys::*;
use tempfile::TempDir;

use super::{codes, functions};

/// An error of a C function.
pub type Result<T, E = CK_RV> = std::result::Result<T, E>;

type GetFunctionList = unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV;
type GetInterface = unsafe extern "C" fn(*mut CK_UTF8CHAR, *mut CK_VERSION, *mut *mut CK_INTERFACE, CK_FLAGS) -> CK_RV;

/// One test at a time uses the module.
static TURN: Mutex<()> = Mutex::new(());

/// The loaded module, with a folder of its own for state and configuration.
pub struct Module {
    pub list: &'static CK_FUNCTION_LIST,
    pub library: libloading::Library,
    pub folder: TempDir,
    /// Whether C_Finalize is called at the end.
    pub finalized_at_the_end: bool,
    _turn: MutexGuard<'static, ()>,
}

/// Attributes of a template, in the ABI's encoding.
pub type Attributes<'a> = &'a [(CK_ATTRIBUTE_TYPE, Vec<u8>)];

pub fn ok(rv: CK_RV) -> Result<()> {
    if rv == CKR_OK {
        Ok(())
    } else {
        Err(rv)
    }
}

pub fn ulong(value: CK_ULONG) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

pub fn boolean(value: bool) -> Vec<u8> {
    vec![value.into()]
}

pub fn mechanism(mechanism: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM { mechanism, pParameter: null_mut(), ulParameterLen: 0 }
}

pub fn len(slice: &[u8]) -> CK_ULONG {
    slice.len() as CK_ULONG
}

/// Calls a function of the list.
macro_rules! c {
    ($module:expr, $function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: a test's arguments are those that the function requires, or wrong in a way that it must detect.
        $crate::common::module::ok(unsafe { $module.list.$function.expect("every function exists")($($argument),*) })
    };
}
pub(crate) use c;

impl Module {
    /// Loads the module with this configuration, in which FOLDER stands for the test's own folder; `state_dir` is set
    /// to a folder in it. Does not initialise it.
    pub fn configured(configuration: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        let text = configuration.replace("FOLDER", folder.path().to_str().unwrap());
        let path = folder.path().join("config.toml");
        fs::write(&path, format!("state_dir = \"{}\"\n{text}", state.display())).unwrap();
        Self::load(turn, folder, Some(&path))
    }

    /// Loads the module with one simulated chip, blank at first, its image in [`Module::image`].
    pub fn simulated() -> Self {
        Self::configured("[[token]]\nbus = \"sim:FOLDER/chip\"\n")
    }

    /// Loads the module with this simulated chip in its process (on virtual time), its log in [`Module::log`].
    pub fn with_chip(image: &atecc608_sim::Image) -> Self {
        let module = Self::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"sim:FOLDER/chip\"\n");
        image.save(&module.image()).unwrap();
        module
    }

    /// Loads the module with this simulated chip on a bus that the test controls, its log in [`Module::log`].
    pub fn on_bus(image: atecc608_sim::Image) -> (Self, atecc608_sim::SimBus) {
        let module = Self::on_socket();
        let bus = super::chip::serve(image, &module.socket());
        (module, bus)
    }

    /// Loads the module with a bus at [`Module::socket`], on which no server listens yet, its log in [`Module::log`].
    pub fn on_socket() -> Self {
        Self::configured("log = \"warn:FOLDER/log\"\nlock_timeout = 5\n[[token]]\nbus = \"unix:FOLDER/bus\"\n")
    }

    /// Loads the module with the configuration of the process that started this one.
    pub fn of_parent() -> Self {
        let path = PathBuf::from(std::env::var_os("ATECC608_PKCS11_CONF").unwrap());
        Self::with_configuration_at(Some(&path))
    }

    /// Loads the module with the environment variable set to this path, or not set.
    pub fn with_configuration_at(path: Option<&Path>) -> Self {
        Self::load(TURN.lock().unwrap_or_else(PoisonError::into_inner), TempDir::new().unwrap(), path)
    }

    fn load(turn: MutexGuard<'static, ()>, folder: TempDir, configuration: Option<&Path>) -> Self {
        // SAFETY: no other thread of the test uses the environment: tests that do take turns.
        unsafe {
            match configuration {
                Some(path) => std::env::set_var("ATECC608_PKCS11_CONF", path),
                None => std::env::remove_var("ATECC608_PKCS11_CONF"),
            }
            let library = libloading::Library::new(super::module_path()).unwrap();
            let mut list = null_mut();
            let get = library.get::<GetFunctionList>(b"C_GetFunctionList").unwrap();
            assert_eq!(get(&mut list), CKR_OK);
            // Every call of a test is checked.
            let list = codes::wrapped(list.cast(), functions::V2_40.len()).cast::<CK_FUNCTION_LIST>();
            Self { list: &*list, library, folder, finalized_at_the_end: true, _turn: turn }
        }
    }

    /// The simulated chip's image.
    pub fn image(&self) -> PathBuf {
        self.folder.path().join("chip")
    }

    /// The socket of the simulated bus.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The state file of the only chip; it must have been written.
    pub fn state_file(&self) -> PathBuf {
        let mut chips = fs::read_dir(self.state_dir()).unwrap().map(|entry| entry.unwrap().path());
        chips.find(|path| path.is_dir()).expect("a chip has a state").join("state.toml")
    }

    /// Makes the state file impossible to replace, also for root: a folder has every name that its temporary file could
    /// get. Calling the result makes it replaceable again.
    pub fn obstruct_state(&self) -> impl FnOnce() {
        let file = self.state_file();
        let numbers = std::iter::once(String::new()).chain((2..=100).map(|number| format!("-{number}")));
        let obstacles: Vec<PathBuf> =
            numbers.map(|number| file.with_file_name(format!(".state.toml.new{number}"))).collect();
        obstacles.iter().for_each(|obstacle| fs::create_dir(obstacle).unwrap());
        move || obstacles.iter().for_each(|obstacle| fs::remove_dir(obstacle).unwrap())
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asserts that one line of the log contains all these words; returns the number of such lines.
    #[track_caller]
    pub fn assert_logged(&self, words: &[&str]) -> usize {
        let log = self.log();
        let count = log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
        assert!(count > 0, "no line with {words:?} in:\n{log}");
        count
    }

    /// Initialises the module and opens a read-write session.
    #[track_caller]
    pub fn start(&self) -> CK_SESSION_HANDLE {
        self.initialize().unwrap();
        self.open_session(0, true).unwrap()
    }

    /// As after a restart of the program: another C_Initialize, and a read-write session.
    #[track_caller]
    pub fn restart(&self) -> CK_SESSION_HANDLE {
        self.finalize().unwrap();
        self.start()
    }

    pub fn initialize(&self) -> Result<()> {
        c!(self, C_Initialize(null_mut()))
    }

    pub fn finalize(&self) -> Result<()> {
        c!(self, C_Finalize(null_mut()))
    }

    pub fn slots(&self, present: bool) -> Result<Vec<CK_SLOT_ID>> {
        let mut count = 0;
        c!(self, C_GetSlotList(present.into(), null_mut(), &mut count))?;
        let mut slots = vec![0; count as usize];
        c!(self, C_GetSlotList(present.into(), slots.as_mut_ptr(), &mut count))?;
        slots.truncate(count as usize);
        Ok(slots)
    }

    pub fn token_info(&self, slot: CK_SLOT_ID) -> Result<CK_TOKEN_INFO> {
        let mut info = CK_TOKEN_INFO::default();
        c!(self, C_GetTokenInfo(slot, &mut info))?;
        Ok(info)
    }

    pub fn open_session(&self, slot: CK_SLOT_ID, read_write: bool) -> Result<CK_SESSION_HANDLE> {
        let flags = CKF_SERIAL_SESSION | if read_write { CKF_RW_SESSION } else { 0 };
        let mut session = 0;
        c!(self, C_OpenSession(slot, flags, null_mut(), None, &mut session))?;
        Ok(session)
    }

    pub fn session_info(&self, session: CK_SESSION_HANDLE) -> Result<CK_SESSION_INFO> {
        let mut info = CK_SESSION_INFO::default();
        c!(self, C_GetSessionInfo(session, &mut info))?;
        Ok(info)
    }

    pub fn login(&self, session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> Result<()> {
        c!(self, C_Login(session, user, pin.as_ptr().cast_mut(), len(pin)))
    }

    pub fn find(&self, session: CK_SESSION_HANDLE, template: Attributes) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let mut array = attributes(template);
        c!(self, C_FindObjectsInit(session, array.as_mut_ptr(), array.len() as CK_ULONG))?;
        let mut found = Vec::new();
        loop {
            let (mut some, mut count) = ([0; 7], 0);
            c!(self, C_FindObjects(session, some.as_mut_ptr(), 7, &mut count))?;
            found.extend_from_slice(&some[..count as usize]);
            if count == 0 {
                c!(self, C_FindObjectsFinal(session))?;
                return Ok(found);
            }
        }
    }

    /// Reads one attribute, in two calls.
    pub fn attribute(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        attribute: CK_ATTRIBUTE_TYPE,
    ) -> Result<Vec<u8>> {
        let mut request = CK_ATTRIBUTE { type_: attribute, pValue: null_mut(), ulValueLen: 0 };
        c!(self, C_GetAttributeValue(session, object, &mut request, 1))?;
        let mut value = vec![0; request.ulValueLen as usize];
        request.pValue = value.as_mut_ptr().cast();
        c!(self, C_GetAttributeValue(session, object, &mut request, 1))?;
        assert_eq!(request.ulValueLen, len(&value));
        Ok(value)
    }

    pub fn set_attributes(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: Attributes,
    ) -> Result<()> {
        let mut array = attributes(template);
        c!(self, C_SetAttributeValue(session, object, array.as_mut_ptr(), array.len() as CK_ULONG))
    }

    pub fn create_object(&self, session: CK_SESSION_HANDLE, template: Attributes) -> Result<CK_OBJECT_HANDLE> {
        let (mut array, mut object) = (attributes(template), 0);
        c!(self, C_CreateObject(session, array.as_mut_ptr(), array.len() as CK_ULONG, &mut object))?;
        Ok(object)
    }

    /// A P-256 key pair: the public key's handle, and the private one's.
    pub fn generate_key_pair(
        &self,
        session: CK_SESSION_HANDLE,
        public: Attributes,
        private: Attributes,
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
        let (mut public, mut private) = (attributes(public), attributes(private));
        let (mut kind, mut handles) = (mechanism(CKM_EC_KEY_PAIR_GEN), (0, 0));
        c!(
            self,
            C_GenerateKeyPair(
                session,
                &mut kind,
                public.as_mut_ptr(),
                public.len() as CK_ULONG,
                private.as_mut_ptr(),
                private.len() as CK_ULONG,
                &mut handles.0,
                &mut handles.1,
            )
        )?;
        Ok(handles)
    }

    pub fn sign_init(&self, session: CK_SESSION_HANDLE, kind: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> Result<()> {
        c!(self, C_SignInit(session, &mut mechanism(kind), key))
    }

    /// Handles of the objects of a class with this label.
    pub fn find_labelled(
        &self,
        session: CK_SESSION_HANDLE,
        class: CK_OBJECT_CLASS,
        label: &str,
    ) -> Vec<CK_OBJECT_HANDLE> {
        let template = [(CKA_CLASS, ulong(class)), (CKA_LABEL, label.as_bytes().to_vec())];
        self.find(session, &template).unwrap()
    }

    /// Handles of all private keys.
    pub fn private_keys(&self, session: CK_SESSION_HANDLE) -> Vec<CK_OBJECT_HANDLE> {
        self.find(session, &[(CKA_CLASS, ulong(CKO_PRIVATE_KEY))]).unwrap()
    }

    /// The public key of a pair, by the private key's id.
    pub fn public_of(&self, session: CK_SESSION_HANDLE, private: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        let id = self.attribute(session, private, CKA_ID).unwrap();
        let found = self.find(session, &[(CKA_CLASS, ulong(CKO_PUBLIC_KEY)), (CKA_ID, id)]).unwrap();
        assert_eq!(found.len(), 1);
        found[0]
    }

    /// CKA_LABEL as text.
    pub fn label(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> String {
        String::from_utf8(self.attribute(session, object, CKA_LABEL).unwrap()).unwrap()
    }

    /// Several attributes in one call, each with room for 512 bytes: the call's result, and each length and value.
    pub fn attributes_at_once(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        types: &[CK_ATTRIBUTE_TYPE],
    ) -> (Result<()>, Vec<(CK_ULONG, Vec<u8>)>) {
        let mut values = vec![[0xEE_u8; 512]; types.len()];
        let mut requests: Vec<CK_ATTRIBUTE> = types
            .iter()
            .zip(&mut values)
            .map(|(type_, value)| CK_ATTRIBUTE { type_: *type_, pValue: value.as_mut_ptr().cast(), ulValueLen: 512 })
            .collect();
        let count = requests.len() as CK_ULONG;
        let result = c!(self, C_GetAttributeValue(session, object, requests.as_mut_ptr(), count));
        let answers = requests.iter().zip(values).map(|(request, value)| {
            let len = request.ulValueLen;
            (len, if len == CK_UNAVAILABLE_INFORMATION { vec![] } else { value[..len as usize].to_vec() })
        });
        (result, answers.collect())
    }

    pub fn destroy(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<()> {
        c!(self, C_DestroyObject(session, object))
    }

    /// C_SignInit and C_Sign.
    pub fn sign_with(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Result<Vec<u8>> {
        self.sign_init(session, kind, key)?;
        self.sign(session, data)
    }

    /// C_SignInit, C_SignUpdate for each part, C_SignFinal.
    pub fn sign_parts(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        key: CK_OBJECT_HANDLE,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>> {
        self.sign_init(session, kind, key)?;
        for part in parts {
            c!(self, C_SignUpdate(session, part.as_ptr().cast_mut(), len(part)))?;
        }
        let (mut signature, mut length) = (vec![0; 64], 64);
        c!(self, C_SignFinal(session, signature.as_mut_ptr(), &mut length))?;
        signature.truncate(length as usize);
        Ok(signature)
    }

    /// C_VerifyInit and C_Verify.
    pub fn verify_with(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        self.verify_init(session, kind, key)?;
        self.verify(session, data, signature)
    }

    /// C_DigestInit, C_DigestUpdate for each part, C_DigestFinal.
    pub fn digest_parts(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>> {
        c!(self, C_DigestInit(session, &mut mechanism(kind)))?;
        for part in parts {
            c!(self, C_DigestUpdate(session, part.as_ptr().cast_mut(), len(part)))?;
        }
        let (mut digest, mut length) = (vec![0; 64], 64);
        c!(self, C_DigestFinal(session, digest.as_mut_ptr(), &mut length))?;
        digest.truncate(length as usize);
        Ok(digest)
    }

    /// C_DeriveKey with CKM_ECDH1_DERIVE.
    pub fn derive(
        &self,
        session: CK_SESSION_HANDLE,
        base: CK_OBJECT_HANDLE,
        kdf: CK_EC_KDF_TYPE,
        shared: &[u8],
        public: &[u8],
        template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE> {
        let mut parameters = CK_ECDH1_DERIVE_PARAMS {
            kdf,
            ulSharedDataLen: len(shared),
            pSharedData: if shared.is_empty() { null_mut() } else { shared.as_ptr().cast_mut() },
            ulPublicDataLen: len(public),
            pPublicData: public.as_ptr().cast_mut(),
        };
        let mut kind = CK_MECHANISM {
            mechanism: CKM_ECDH1_DERIVE,
            pParameter: (&raw mut parameters).cast(),
            ulParameterLen: size_of::<CK_ECDH1_DERIVE_PARAMS>() as CK_ULONG,
        };
        let (mut array, mut handle) = (attributes(template), 0);
        c!(self, C_DeriveKey(session, &mut kind, base, array.as_mut_ptr(), array.len() as CK_ULONG, &mut handle))?;
        Ok(handle)
    }

    /// C_Sign in one call, with a buffer of 64 bytes.
    pub fn sign(&self, session: CK_SESSION_HANDLE, data: &[u8]) -> Result<Vec<u8>> {
        let (mut signature, mut length) = (vec![0; 64], 64);
        c!(self, C_Sign(session, data.as_ptr().cast_mut(), len(data), signature.as_mut_ptr(), &mut length))?;
        signature.truncate(length as usize);
        Ok(signature)
    }

    pub fn verify_init(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        c!(self, C_VerifyInit(session, &mut mechanism(kind), key))
    }

    pub fn verify(&self, session: CK_SESSION_HANDLE, data: &[u8], signature: &[u8]) -> Result<()> {
        let (data_len, signature_len) = (len(data), len(signature));
        let (data, signature) = (data.as_ptr().cast_mut(), signature.as_ptr().cast_mut());
        c!(self, C_Verify(session, data, data_len, signature, signature_len))
    }

    pub fn random(&self, session: CK_SESSION_HANDLE, length: usize) -> Result<Vec<u8>> {
        let mut data = vec![0; length];
        c!(self, C_GenerateRandom(session, data.as_mut_ptr(), len(&data)))?;
        Ok(data)
    }

    /// The 3.2 interface's list, by C_GetInterface.
    pub fn list_3_2(&self) -> &'static CK_FUNCTION_LIST_3_2 {
        let version = CK_VERSION { major: 3, minor: 2 };
        let interface = self.interface(c"PKCS 11".as_ptr().cast(), &version, 0).unwrap();
        // SAFETY: an interface of version 3.2 has a list of that version.
        unsafe { &*codes::wrapped(interface.pFunctionList, functions::all().count()).cast::<CK_FUNCTION_LIST_3_2>() }
    }

    pub fn interface(
        &self,
        name: *const CK_UTF8CHAR,
        version: *const CK_VERSION,
        flags: CK_FLAGS,
    ) -> Result<CK_INTERFACE> {
        // SAFETY: the module gives a structure.
        self.interface_pointer(name, version, flags).map(|interface| unsafe { *interface })
    }

    /// What C_GetInterface returns.
    pub fn interface_pointer(
        &self,
        name: *const CK_UTF8CHAR,
        version: *const CK_VERSION,
        flags: CK_FLAGS,
    ) -> Result<*mut CK_INTERFACE> {
        let mut interface = null_mut();
        // SAFETY: the symbol has this type, and the caller passes NULL or valid pointers.
        unsafe {
            let get = self.library.get::<GetInterface>(b"C_GetInterface").unwrap();
            ok(get(name.cast_mut(), version.cast_mut(), &mut interface, flags))?;
        }
        Ok(interface)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.finalized_at_the_end {
            // The next test starts afresh. Nothing to finalise is no error.
            let _ = self.finalize();
        }
        if !std::thread::panicking() {
            codes::assert_all_allowed();
        }
    }
}

/// A template for the C ABI; it points into the attributes that it was made from.
pub fn attributes(template: Attributes) -> Vec<CK_ATTRIBUTE> {
    template
        .iter()
        .map(|(type_, value)| CK_ATTRIBUTE {
            type_: *type_,
            pValue: value.as_ptr().cast_mut().cast::<c_void>(),
            ulValueLen: len(value),
        })
        .collect()
}
