// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C ABI before, after and around the other functions: initialisation and its failures, interfaces, NULL pointers,
//! threads, unloading.

use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::ptr::{null, null_mut};

use crate::common::functions;
use crate::common::module::{c, Module};
use crate::common::{c_program, codes};
use atecc608_testkit::privileged::make_setgid;
use cryptoki_sys::*;

const TOY: &str = "[[token]]\nbus = \"/dev/i2c-no-such\"\n";

/// Initialises with the log in a file; returns the result of C_Initialize, and the log.
fn initialize_logged(module: &Module) -> (Result<(), CK_RV>, String) {
    let log = module.folder.path().join("log");
    unsafe { std::env::set_var("ATECC608_LOG", format!("warn:{}", log.display())) };
    let result = module.initialize();
    unsafe { std::env::remove_var("ATECC608_LOG") };
    (result, fs::read_to_string(log).unwrap_or_default())
}

#[test]
fn without_a_configuration_there_are_no_slots_and_one_line_says_what_to_write() {
    if Path::new("/etc/atecc608-pkcs11/config.toml").exists() {
        eprintln!("skipped: this machine has a configuration, and the default path is fixed");
        return;
    }
    let module = Module::with_configuration_at(None);
    let (result, log) = initialize_logged(&module);
    assert_eq!(result, Ok(()));
    assert_eq!(module.slots(false), Ok(vec![]));
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("/etc/atecc608-pkcs11/config.toml") && log.contains("[[token]]"), "{log}");
}

#[test]
fn a_setgid_program_ignores_the_environment() {
    if Path::new("/etc/atecc608-pkcs11/config.toml").exists() {
        eprintln!("skipped: this machine has a configuration, and the default path is fixed");
        return;
    }
    let module = Module::configured(TOY);
    let program = c_program::compile("slots", module.folder.path());
    c_program::run_program(&module, &program, &["1"]);
    if make_setgid(&program) {
        c_program::run_program(&module, &program, &["0"]);
    }
}

#[test]
fn an_empty_configuration_says_what_is_missing() {
    let module = Module::configured("");
    let (result, log) = initialize_logged(&module);
    assert_eq!((result, module.slots(false)), (Ok(()), Ok(vec![])));
    assert!(log.lines().count() == 1 && log.contains("config.toml: no [[token]]"), "{log}");
}

#[test]
fn a_malformed_configuration_is_a_general_error_and_can_be_repaired() {
    let module = Module::configured("[[token]]\nbus = \"/dev/i2c-1\"\naddress = 0xC0\n");
    assert_eq!(module.initialize(), Err(CKR_GENERAL_ERROR));
    assert_eq!(module.slots(false), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    fs::write(module.folder.path().join("config.toml"), TOY).unwrap();
    assert_eq!(module.initialize(), Ok(()));
}

#[test]
fn a_configuration_that_can_not_be_read_is_a_general_error() {
    let module = Module::with_configuration_at(Some(Path::new("/no/such/file.toml")));
    assert_eq!(module.initialize(), Err(CKR_GENERAL_ERROR));
}

#[test]
fn initialize_touches_no_bus() {
    // A simulated chip's file is created when it is first reached.
    let module = Module::simulated();
    module.initialize().unwrap();
    assert_eq!(module.slots(false), Ok(vec![0]));
    assert!(!module.image().exists());
}

#[test]
fn a_second_initialize_is_refused_and_changes_nothing() {
    let module = Module::simulated();
    module.initialize().unwrap();
    let session = module.open_session(0, false).unwrap();
    assert_eq!(module.initialize(), Err(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    assert_eq!(module.session_info(session).map(|info| info.slotID), Ok(0));
}

#[test]
fn sessions_do_not_survive_finalize() {
    let module = Module::simulated();
    module.initialize().unwrap();
    let session = module.open_session(0, false).unwrap();
    module.finalize().unwrap();
    assert_eq!(module.finalize(), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    assert_eq!(module.slots(false), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    module.initialize().unwrap();
    assert_eq!(module.session_info(session).map(drop), Err(CKR_SESSION_HANDLE_INVALID));
}

unsafe extern "C" fn mutex_function(_: *mut std::ffi::c_void) -> CK_RV {
    CKR_OK
}
unsafe extern "C" fn create_mutex(_: *mut *mut std::ffi::c_void) -> CK_RV {
    CKR_OK
}

#[test]
fn initialize_arguments_are_checked() {
    let module = Module::configured(TOY);
    let initialize = |args: CK_C_INITIALIZE_ARGS| {
        let mut args = args;
        let result = c!(module, C_Initialize((&raw mut args).cast()));
        let _ = module.finalize();
        result
    };
    let none = CK_C_INITIALIZE_ARGS {
        CreateMutex: None,
        DestroyMutex: None,
        LockMutex: None,
        UnlockMutex: None,
        flags: 0,
        pReserved: null_mut(),
    };
    let all = CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(create_mutex),
        DestroyMutex: Some(mutex_function),
        LockMutex: Some(mutex_function),
        UnlockMutex: Some(mutex_function),
        ..none
    };
    for flags in 0..4 {
        assert_eq!(initialize(CK_C_INITIALIZE_ARGS { flags, ..none }), Ok(()));
        assert_eq!(initialize(CK_C_INITIALIZE_ARGS { flags, ..all }), Ok(()));
    }
    assert_eq!(initialize(CK_C_INITIALIZE_ARGS { LockMutex: None, ..all }), Err(CKR_ARGUMENTS_BAD));
    let reserved = CK_C_INITIALIZE_ARGS { pReserved: std::ptr::dangling_mut(), ..none };
    assert_eq!(initialize(reserved), Err(CKR_ARGUMENTS_BAD));
    module.initialize().unwrap();
    assert_eq!(c!(module, C_Finalize(std::ptr::dangling_mut())), Err(CKR_ARGUMENTS_BAD));
}

/// Calls every function of the 3.2 list in turn, with its name, as one that takes enough integers: in C's calling
/// conventions on Linux a callee does not see arguments it does not expect.
fn every_function(module: &Module, mut call: impl FnMut(&str, &dyn Fn(usize) -> CK_RV)) {
    for name in functions::all() {
        let function: libloading::Symbol<codes::Any> = unsafe { module.library.get(name.as_bytes()) }.unwrap();
        call(name, &|first| {
            let rv = unsafe { function(first, 0, 0, 0, 0, 0, 0, 0, 0, 0) };
            codes::check(name, rv);
            rv
        });
    }
}

#[test]
fn before_initialize_every_function_says_so() {
    let module = Module::configured(TOY);
    every_function(&module, |name, call| {
        let expected = match name {
            "C_Initialize" => return,
            "C_GetFunctionList" | "C_GetInterfaceList" | "C_GetInterface" => CKR_ARGUMENTS_BAD,
            _ => CKR_CRYPTOKI_NOT_INITIALIZED,
        };
        assert_eq!(call(0), expected, "{name}");
    });
}

#[test]
fn the_session_is_checked_before_the_other_arguments() {
    let module = Module::simulated();
    module.initialize().unwrap();
    every_function(&module, |name, call| {
        let expected: &[CK_RV] = match name {
            // No session and no slot, or not only these.
            "C_Initialize" | "C_Finalize" | "C_GetInfo" | "C_GetFunctionList" | "C_GetInterfaceList"
            | "C_GetInterface" | "C_WaitForSlotEvent" | "C_GetSlotList" => return,
            "C_GetSlotInfo" | "C_GetTokenInfo" | "C_GetMechanismList" | "C_GetMechanismInfo" | "C_InitToken"
            | "C_OpenSession" | "C_CloseAllSessions" => &[CKR_SLOT_ID_INVALID, CKR_ARGUMENTS_BAD],
            _ => &[CKR_SESSION_HANDLE_INVALID],
        };
        let rv = call(77);
        assert!(expected.contains(&rv), "{name}: {rv:#x}");
    });
}

#[test]
fn null_arguments_are_refused_in_an_open_session() {
    let module = Module::simulated();
    module.initialize().unwrap();
    // Without arguments, or without required ones.
    let harmless = [
        "C_CloseSession",
        "C_FindObjectsInit",
        "C_GenerateRandom",
        "C_Login",
        "C_LoginUser",
        "C_Logout",
        "C_SessionCancel",
    ];
    every_function(&module, |name, call| {
        if !matches!(name, "C_Initialize" | "C_Finalize" | "C_CloseAllSessions") {
            let session = module.open_session(0, true).unwrap();
            // These take a pointer first.
            let first_is_pointer = name.ends_with("List") || matches!(name, "C_GetInfo" | "C_GetInterface");
            let rv = call(if first_is_pointer { 0 } else { session as usize });
            assert!(rv != CKR_OK || harmless.contains(&name), "{name}: {rv:#x}");
            assert_ne!(rv, CKR_GENERAL_ERROR, "{name}");
        }
    });
}

#[test]
fn the_function_list_is_2_40() {
    let module = Module::configured(TOY);
    assert_eq!((module.list.version.major, module.list.version.minor), (2, 40));
    assert_eq!(c!(module, C_GetFunctionList(null_mut())), Err(CKR_ARGUMENTS_BAD));
}

#[test]
fn interfaces_are_found_by_name_and_version() {
    let module = Module::configured(TOY);
    let name = c"PKCS 11".as_ptr().cast();
    let version_of = |interface: CK_INTERFACE| {
        assert_eq!(unsafe { CStr::from_ptr(interface.pInterfaceName.cast()) }, c"PKCS 11");
        let version = unsafe { &*interface.pFunctionList.cast::<CK_VERSION>() };
        (version.major, version.minor)
    };
    // Not 3.2: OpenSC's pkcs11-spy (0.26) names no version and knows none after 3.0.
    assert_eq!(module.interface(null(), null(), 0).map(version_of), Ok((3, 0)));
    assert_eq!(module.interface(name, null(), 0).map(version_of), Ok((3, 0)));
    for version in [(2, 40), (3, 0), (3, 2)] {
        let wanted = CK_VERSION { major: version.0, minor: version.1 };
        assert_eq!(module.interface(name, &wanted, 0).map(version_of), Ok(version));
        assert_eq!(module.interface(null(), &wanted, 0).map(version_of), Ok(version));
    }
    let unknown = CK_VERSION { major: 3, minor: 1 };
    assert_eq!(module.interface(name, &unknown, 0).map(drop), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(module.interface(c"Vendor X".as_ptr().cast(), null(), 0).map(drop), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(module.interface(null(), null(), CKF_INTERFACE_FORK_SAFE).map(drop), Err(CKR_ARGUMENTS_BAD));
}

#[test]
fn interfaces_are_listed_the_usual_one_first() {
    let module = Module::configured(TOY);
    let list = module.list_3_2().C_GetInterfaceList.unwrap();
    let mut count = 0;
    unsafe {
        assert_eq!(list(null_mut(), &mut count), CKR_OK);
        assert_eq!(count, 3);
        let mut interfaces = [CK_INTERFACE { pInterfaceName: null_mut(), pFunctionList: null_mut(), flags: 0 }; 3];
        count = 2;
        assert_eq!(list(interfaces.as_mut_ptr(), &mut count), CKR_BUFFER_TOO_SMALL);
        assert_eq!(count, 3);
        assert_eq!(list(interfaces.as_mut_ptr(), &mut count), CKR_OK);
        let minors = interfaces.map(|interface| (*interface.pFunctionList.cast::<CK_VERSION>()).minor);
        assert_eq!(minors, [0, 2, 40]);
    }
}

#[test]
fn an_interface_may_be_written_to_and_the_next_caller_gets_the_real_one() {
    // OpenSC's pkcs11-spy replaces the function list in the structure that it got.
    let module = Module::configured(TOY);
    for minor in [0, 2] {
        let version = CK_VERSION { major: 3, minor };
        let first = module.interface_pointer(null(), &version, 0).unwrap();
        let before = unsafe { *first };
        unsafe { *first = CK_INTERFACE { pInterfaceName: null_mut(), pFunctionList: null_mut(), flags: 0 } };
        let after = module.interface(null(), &version, 0).unwrap();
        assert_eq!(after.pFunctionList, before.pFunctionList);
        assert_eq!(after.pInterfaceName, before.pInterfaceName);
    }
}

#[test]
fn info_names_the_library_and_the_version_of_the_list_it_was_called_through() {
    let module = Module::configured(TOY);
    module.initialize().unwrap();
    let mut info = CK_INFO::default();
    c!(module, C_GetInfo(&mut info)).unwrap();
    assert_eq!(&info.manufacturerID, b"atecc608-pkcs11                 ");
    assert_eq!((info.cryptokiVersion.major, info.cryptokiVersion.minor), (2, 40));
    // The exported symbol belongs to C_GetFunctionList: both are what a client of 2.40 loads.
    let exported = unsafe { module.library.get::<unsafe extern "C" fn(*mut CK_INFO) -> CK_RV>(b"C_GetInfo") }.unwrap();
    assert_eq!(unsafe { exported(&mut info) }, CKR_OK);
    assert_eq!((info.cryptokiVersion.major, info.cryptokiVersion.minor), (2, 40));
    for (major, minor) in [(2, 40), (3, 0), (3, 2)] {
        let interface = module.interface(null(), &CK_VERSION { major, minor }, 0).unwrap();
        // Every list begins as that of 2.40 does.
        let list = unsafe { &*interface.pFunctionList.cast::<CK_FUNCTION_LIST>() };
        assert_eq!(unsafe { list.C_GetInfo.unwrap()(&mut info) }, CKR_OK);
        assert_eq!((info.cryptokiVersion.major, info.cryptokiVersion.minor), (major, minor));
        assert_eq!((list.version.major, list.version.minor), (major, minor));
    }
}

#[test]
fn slot_lists_are_asked_in_two_calls() {
    let module = Module::configured("[[token]]\nbus = \"/dev/i2c-a\"\n[[token]]\nbus = \"/dev/i2c-b\"\nslot = 7\n");
    module.initialize().unwrap();
    assert_eq!(module.slots(false), Ok(vec![0, 7]));
    let (mut slots, mut count) = ([9; 2], 1);
    assert_eq!(c!(module, C_GetSlotList(0, slots.as_mut_ptr(), &mut count)), Err(CKR_BUFFER_TOO_SMALL));
    assert_eq!((slots, count), ([9; 2], 2));
}

#[test]
fn finalize_while_other_threads_are_in_calls_is_survived() {
    let module = Module::simulated();
    let (open, close) = (module.list.C_OpenSession.unwrap(), module.list.C_CloseSession.unwrap());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut session = 0;
                    let rv = unsafe { open(0, CKF_SERIAL_SESSION, null_mut(), None, &mut session) };
                    assert!([CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED].contains(&rv), "{rv:#x}");
                    if rv == CKR_OK {
                        let rv = unsafe { close(session) };
                        let may = [CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SESSION_HANDLE_INVALID];
                        assert!(may.contains(&rv), "{rv:#x}");
                    }
                }
            });
        }
        for _ in 0..200 {
            assert_eq!(module.initialize(), Ok(()));
            assert_eq!(module.finalize(), Ok(()));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn what_is_no_regular_file_in_the_place_of_the_configuration_or_a_chip_is_refused_at_once() {
    let fifo = |module: &Module, name: &str| {
        let path = module.folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let module = Module::simulated();
    fs::remove_file(module.configuration()).unwrap();
    fifo(&module, "config.toml");
    assert_eq!(module.initialize(), Err(CKR_GENERAL_ERROR));
    drop(module);

    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"sim:FOLDER/chip\"\n");
    fifo(&module, "chip");
    module.initialize().unwrap();
    assert_eq!(module.slots(true), Ok(vec![]));
    module.assert_logged(&["chip", "it is a FIFO"]);
    drop(module);

    // A log pipe without a reader: messages go to stderr, and nothing waits.
    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"sim:FOLDER/chip\"\n");
    fifo(&module, "log");
    assert_eq!(module.initialize(), Ok(()));
    assert_eq!(module.slots(true), Ok(vec![0]));
}
