// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module, linked in, on a simulated chip with the profile `tls` and a key in slot 0.

use std::fs;
use std::ptr::null_mut;
use std::sync::OnceLock;

use atecc608_sim::Image;
use atecc608_testkit::chip;
use cryptoki_sys::*;

use crate::codes;

// Linked for its C functions.
use atecc608_pkcs11 as _;

extern "C" {
    fn C_GetInterface(
        name: *mut CK_UTF8CHAR,
        version: *mut CK_VERSION,
        interface: *mut *mut CK_INTERFACE,
        flags: CK_FLAGS,
    ) -> CK_RV;
}

/// The scalar of the key in slot 0.
pub const SCALAR: [u8; 32] = *b"a private key that never leaves!";

/// The initialised module. Dropping it finalises it, and fails if a function returned a value that
/// tests/abi/common/return_codes.txt does not list for it.
pub struct Module {
    /// The functions of PKCS#11 3.0.
    pub list: &'static CK_FUNCTION_LIST_3_0,
}

impl Module {
    /// Initialises the module with a fresh chip and an empty state.
    pub fn fresh() -> Self {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        static LIST: OnceLock<usize> = OnceLock::new();
        let folder = super::folder();
        let image = IMAGE.get_or_init(|| {
            let (file, state) = (folder.join("config.toml"), folder.join("state"));
            let chip = folder.join("chip");
            fs::write(&file, format!("state_dir = {state:?}\n[[token]]\nbus = \"sim:{}\"\n", chip.display())).unwrap();
            std::env::set_var("ATECC608_PKCS11_CONF", &file);
            let mut image = chip::provisioned();
            chip::put_key(&mut image, 0, &SCALAR);
            image
        });
        let _ = fs::remove_dir_all(folder.join("state"));
        fs::create_dir(folder.join("state")).unwrap();
        image.save(&folder.join("chip")).unwrap();
        let list = *LIST.get_or_init(|| {
            let mut interface = null_mut();
            let mut version = CK_VERSION { major: 3, minor: 0 };
            // SAFETY: the pointers are valid; NULL asks for the interface "PKCS 11".
            let list = unsafe {
                assert_eq!(C_GetInterface(null_mut(), &mut version, &mut interface, 0), CKR_OK);
                codes::wrapped((*interface).pFunctionList, 92)
            };
            list as usize
        });
        // SAFETY: `wrapped` leaks the list that it returns.
        let module = Self { list: unsafe { &*(list as *const CK_FUNCTION_LIST_3_0) } };
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { module.list.C_Initialize.unwrap()(null_mut()) }, CKR_OK);
        module
    }

    /// Opens a session for reading and writing.
    pub fn session(&self) -> CK_SESSION_HANDLE {
        let mut session = 0;
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        // SAFETY: the handle's place is valid.
        assert_eq!(unsafe { self.list.C_OpenSession.unwrap()(0, flags, null_mut(), None, &mut session) }, CKR_OK);
        session
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: the argument must be NULL.
        unsafe { self.list.C_Finalize.unwrap()(null_mut()) };
        codes::assert_all_allowed();
    }
}

/// Memory for a function's output, followed by bytes that must not be written.
pub struct Output {
    bytes: Vec<u8>,
    room: usize,
}

const GUARD: usize = 64;

impl Output {
    /// Creates a buffer of this many bytes.
    pub fn of(room: usize) -> Self {
        Self { bytes: vec![0xC5; room + GUARD], room }
    }

    /// Returns its start as a C pointer.
    pub fn pointer(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    /// Fails if a byte behind it was written, or the private key is in it.
    pub fn check(&self) {
        assert!(
            self.bytes[self.room..].iter().all(|byte| *byte == 0xC5),
            "written past a buffer of {} bytes",
            self.room
        );
        assert!(
            !self.bytes.windows(8).any(|window| SCALAR.windows(8).any(|secret| secret == window)),
            "a secret came out"
        );
    }
}
