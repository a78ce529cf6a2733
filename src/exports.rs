// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of all C functions, from which the exported symbols and the three function lists are generated.
//!
//! Unsafe like [`ptr`](super::ptr), but without pointer arithmetic: an entry has a function's arguments, its entry into
//! [`guard`] (`library`, `module` or `session`), and its body, called with the values that `ptr` made of the pointers.
//! The order of evaluation is the order of the standard's error codes: initialised?, session or slot, then the other
//! arguments.
#![allow(unsafe_code, non_snake_case)]

use std::ffi::c_void;

use cryptoki_sys::*;

use super::dual::{self, Beside};
use super::guard;
use super::ptr::*;
use super::{
    cipher, digest, general, interfaces, keys, lifecycle, message, objects, random, sessions, sign, slots, unsupported,
    verify,
};
use atecc608_token::Direction;

const VERSION_2_40: CK_VERSION = CK_VERSION { major: 2, minor: 40 };
const VERSION_3_0: CK_VERSION = CK_VERSION { major: 3, minor: 0 };
const VERSION_3_2: CK_VERSION = CK_VERSION { major: 3, minor: 2 };

/// Expands to a function's body. A body marked `safe` uses no pointers of the caller.
macro_rules! body {
    (safe $body:expr) => {
        $body
    };
    ($body:expr) => {
        // SAFETY: the functions of `ptr` require the promise that the caller made to the exported function.
        unsafe { $body }
    };
}

/// One exported function: `name(arguments) { entry(session) |value| body }`, or `safe body`.
macro_rules! export {
    ($name:ident ($($arg:ident: $type:ty),*) { $guard:ident($($session:ident)?) |$value:pat_param| $($body:tt)* }) => {
        #[doc = concat!("`", stringify!($name), "` of PKCS#11.")]
        ///
        /// # Safety
        /// As the standard says: every pointer is NULL or points to as much memory as the argument that belongs to it
        /// says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> CK_RV {
            guard::$guard(stringify!($name), $($session,)? |$value| body!($($body)*))
        }
    };
}

/// Defines the functions and their lists.
macro_rules! functions {
    (
        v2_40 { $($name2:ident $args2:tt $body2:tt)* }
        v3_0 { $($name3:ident $args3:tt $body3:tt)* }
        v3_2 { $($name32:ident $args32:tt $body32:tt)* }
    ) => {
        $(export! { $name2 $args2 $body2 })*
        $(export! { $name3 $args3 $body3 })*
        $(export! { $name32 $args32 $body32 })*

        /// The list that C_GetFunctionList returns.
        pub static LIST_2_40: CK_FUNCTION_LIST =
            CK_FUNCTION_LIST { version: VERSION_2_40, $($name2: Some($name2),)* };
        /// The list of the interface 3.0.
        pub static LIST_3_0: CK_FUNCTION_LIST_3_0 = CK_FUNCTION_LIST_3_0 {
            C_GetInfo: Some(get_info_3_0),
            ..CK_FUNCTION_LIST_3_0 { version: VERSION_3_0, $($name2: Some($name2),)* $($name3: Some($name3),)* }
        };
        /// The list of the interface 3.2.
        pub static LIST_3_2: CK_FUNCTION_LIST_3_2 = CK_FUNCTION_LIST_3_2 {
            C_GetInfo: Some(get_info_3_2),
            ..CK_FUNCTION_LIST_3_2 {
                version: VERSION_3_2,
                $($name2: Some($name2),)*
                $($name3: Some($name3),)*
                $($name32: Some($name32),)*
            }
        };
    };
}

/// `C_GetInfo` of the interface 3.0: returns the version of its list.
///
/// # Safety
/// As [`C_GetInfo`].
unsafe extern "C" fn get_info_3_0(info: *mut CK_INFO) -> CK_RV {
    guard::module("C_GetInfo", |_m| body!(general::info(VERSION_3_0, out(info)?)))
}

/// `C_GetInfo` of the interface 3.2.
///
/// # Safety
/// As [`C_GetInfo`].
unsafe extern "C" fn get_info_3_2(info: *mut CK_INFO) -> CK_RV {
    guard::module("C_GetInfo", |_m| body!(general::info(VERSION_3_2, out(info)?)))
}

/// Called by the loader when the library is unloaded or the process ends.
#[used]
#[unsafe(link_section = ".fini_array")]
static UNLOAD: extern "C" fn() = lifecycle::unload;

functions! {
    v2_40 {
        // General purpose
        C_Initialize(args: *mut c_void) { library() |()| general::initialize(optional(args.cast())) }
        C_Finalize(reserved: *mut c_void) { library() |()| safe must_be_null(reserved).and_then(|()| general::finalize()) }
        C_GetInfo(info: *mut CK_INFO) { module() |_m| general::info(VERSION_2_40, out(info)?) }
        C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) { library() |()| interfaces::function_list(out(list)?) }
        // Slots and tokens
        C_GetSlotList(token_present: CK_BBOOL, list: *mut CK_SLOT_ID, count: *mut CK_ULONG) {
            module() |m| slots::list(m, token_present, out_list(list, count)?)
        }
        C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) {
            module() |m| slots::slot_info(m.token(slot)?, out(info)?)
        }
        C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) {
            module() |m| slots::token_info(m, m.token(slot)?, out(info)?)
        }
        C_GetMechanismList(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG) {
            module() |m| slots::mechanism_list(m.token(slot)?, out_list(list, count)?)
        }
        C_GetMechanismInfo(slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO) {
            module() |m| slots::mechanism_info(m.token(slot)?, mechanism, out(info)?)
        }
        C_InitToken(slot: CK_SLOT_ID, so_pin: *mut CK_UTF8CHAR, so_pin_len: CK_ULONG, name: *mut CK_UTF8CHAR) {
            module() |m| slots::init_token(m, m.token(slot)?, pin(so_pin, so_pin_len)?, &label(name)?)
        }
        C_InitPIN(session: CK_SESSION_HANDLE, new: *mut CK_UTF8CHAR, new_len: CK_ULONG) {
            session(session) |s| slots::init_pin(s, pin(new, new_len)?)
        }
        C_SetPIN(
            session: CK_SESSION_HANDLE, old: *mut CK_UTF8CHAR, old_len: CK_ULONG, new: *mut CK_UTF8CHAR,
            new_len: CK_ULONG
        ) { session(session) |s| slots::set_pin(s, pin(old, old_len)?, pin(new, new_len)?) }
        // Sessions
        C_OpenSession(
            slot: CK_SLOT_ID, flags: CK_FLAGS, _application: *mut c_void, _notify: CK_NOTIFY,
            session: *mut CK_SESSION_HANDLE
        ) { module() |m| sessions::open(m, slot, flags, out(session)?) }
        C_CloseSession(session: CK_SESSION_HANDLE) { module() |m| safe sessions::close(m, session) }
        C_CloseAllSessions(slot: CK_SLOT_ID) { module() |m| safe sessions::close_all(m, m.token(slot)?) }
        C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) {
            session(session) |s| sessions::info(s, out(info)?)
        }
        C_GetOperationState(session: CK_SESSION_HANDLE, state: *mut CK_BYTE, state_len: *mut CK_ULONG) {
            session(session) |s| {
                output(state, state_len)?;
                unsupported::save_state(s)
            }
        }
        C_SetOperationState(
            session: CK_SESSION_HANDLE, state: *mut CK_BYTE, state_len: CK_ULONG, _encryption_key: CK_OBJECT_HANDLE,
            _authentication_key: CK_OBJECT_HANDLE
        ) {
            session(session) |_s| {
                input(state, state_len)?;
                unsupported::restore_state()
            }
        }
        C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, secret: *mut CK_UTF8CHAR, secret_len: CK_ULONG) {
            module() |m| sessions::login(m, session, user, || pin(secret, secret_len))
        }
        C_Logout(session: CK_SESSION_HANDLE) { session(session) |s| safe sessions::logout(s) }
        // Objects
        C_CreateObject(
            session: CK_SESSION_HANDLE, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG, object: *mut CK_OBJECT_HANDLE
        ) {
            session(session) |s| {
                let object = out(object)?;
                objects::create(s, &template(attributes, count)?, object)
            }
        }
        C_CopyObject(
            session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG,
            copy: *mut CK_OBJECT_HANDLE
        ) { session(session) |s| objects::copy(s, object, &template(attributes, count)?, out(copy)?) }
        C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) {
            session(session) |s| safe objects::destroy(s, object)
        }
        C_GetObjectSize(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, size: *mut CK_ULONG) {
            session(session) |s| objects::size(s, object, out(size)?)
        }
        C_GetAttributeValue(
            session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG
        ) { session(session) |s| objects::get_attributes(s, object, attribute_requests(attributes, count)?) }
        C_SetAttributeValue(
            session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG
        ) { session(session) |s| objects::set_attributes(s, object, &template(attributes, count)?) }
        C_FindObjectsInit(session: CK_SESSION_HANDLE, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG) {
            session(session) |s| objects::find_init(s, &search_template(attributes, count)?)
        }
        C_FindObjects(
            session: CK_SESSION_HANDLE, objects: *mut CK_OBJECT_HANDLE, room: CK_ULONG, count: *mut CK_ULONG
        ) { session(session) |s| objects::find(s, out_array(objects, room)?, out(count)?) }
        C_FindObjectsFinal(session: CK_SESSION_HANDLE) { session(session) |s| safe objects::find_final(s) }
        // Encryption and decryption
        C_EncryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
            session(session) |s| cipher::init(s, Direction::Encrypt, optional_mechanism(mechanism)?, key)
        }
        C_Encrypt(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                cipher::whole(s, Direction::Encrypt, input(data, data_len), output(result, result_len))
            }
        }
        C_EncryptUpdate(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                cipher::update(s, Direction::Encrypt, input(data, data_len), output(result, result_len))
            }
        }
        C_EncryptFinal(session: CK_SESSION_HANDLE, result: *mut CK_BYTE, result_len: *mut CK_ULONG) {
            session(session) |s| cipher::finish(s, Direction::Encrypt, output(result, result_len))
        }
        C_DecryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
            session(session) |s| cipher::init(s, Direction::Decrypt, optional_mechanism(mechanism)?, key)
        }
        C_Decrypt(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                cipher::whole(s, Direction::Decrypt, input(data, data_len), output(result, result_len))
            }
        }
        C_DecryptUpdate(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                cipher::update(s, Direction::Decrypt, input(data, data_len), output(result, result_len))
            }
        }
        C_DecryptFinal(session: CK_SESSION_HANDLE, result: *mut CK_BYTE, result_len: *mut CK_ULONG) {
            session(session) |s| cipher::finish(s, Direction::Decrypt, output(result, result_len))
        }
        // Digests
        C_DigestInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM) {
            session(session) |s| digest::init(s, optional_mechanism(mechanism)?)
        }
        C_Digest(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) { session(session) |s| digest::digest(s, input(data, data_len), output(result, result_len)) }
        C_DigestUpdate(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) {
            session(session) |s| digest::update(s, input(data, data_len))
        }
        C_DigestKey(session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) { session(session) |s| safe digest::key(s, key) }
        C_DigestFinal(session: CK_SESSION_HANDLE, result: *mut CK_BYTE, result_len: *mut CK_ULONG) {
            session(session) |s| digest::finish(s, output(result, result_len))
        }
        // Signing
        C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
            session(session) |s| sign::init(s, optional_mechanism(mechanism)?, key)
        }
        C_Sign(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, signature: *mut CK_BYTE,
            signature_len: *mut CK_ULONG
        ) { session(session) |s| sign::sign(s, input(data, data_len), output(signature, signature_len)) }
        C_SignUpdate(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) {
            session(session) |s| sign::update(s, input(data, data_len))
        }
        C_SignFinal(session: CK_SESSION_HANDLE, signature: *mut CK_BYTE, signature_len: *mut CK_ULONG) {
            session(session) |s| sign::finish(s, output(signature, signature_len))
        }
        C_SignRecoverInit(session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, _key: CK_OBJECT_HANDLE) {
            session(session) |_s| unsupported::mechanism(optional(kind))
        }
        C_SignRecover(
            session: CK_SESSION_HANDLE, _input: *mut CK_BYTE, _input_len: CK_ULONG, _output: *mut CK_BYTE,
            _output_len: *mut CK_ULONG
        ) { session(session) |_s| safe unsupported::recovery() }
        // Verifying
        C_VerifyInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
            session(session) |s| verify::init(s, optional_mechanism(mechanism)?, key, None)
        }
        C_Verify(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, signature: *mut CK_BYTE,
            signature_len: CK_ULONG
        ) { session(session) |s| verify::verify(s, input(data, data_len), input(signature, signature_len)) }
        C_VerifyUpdate(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) {
            session(session) |s| verify::update(s, input(data, data_len))
        }
        C_VerifyFinal(session: CK_SESSION_HANDLE, signature: *mut CK_BYTE, signature_len: CK_ULONG) {
            session(session) |s| verify::finish(s, input(signature, signature_len))
        }
        C_VerifyRecoverInit(session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, _key: CK_OBJECT_HANDLE) {
            session(session) |_s| unsupported::mechanism(optional(kind))
        }
        C_VerifyRecover(
            session: CK_SESSION_HANDLE, _input: *mut CK_BYTE, _input_len: CK_ULONG, _output: *mut CK_BYTE,
            _output_len: *mut CK_ULONG
        ) { session(session) |_s| safe unsupported::recovery() }
        // Dual-function operations
        C_DigestEncryptUpdate(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                let (input, output) = (input(data, data_len), output(result, result_len));
                dual::update(s, Direction::Encrypt, Beside::Digest, input, output)
            }
        }
        C_DecryptDigestUpdate(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                let (input, output) = (input(data, data_len), output(result, result_len));
                dual::update(s, Direction::Decrypt, Beside::Digest, input, output)
            }
        }
        C_SignEncryptUpdate(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                let (input, output) = (input(data, data_len), output(result, result_len));
                dual::update(s, Direction::Encrypt, Beside::Sign, input, output)
            }
        }
        C_DecryptVerifyUpdate(
            session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                let (input, output) = (input(data, data_len), output(result, result_len));
                dual::update(s, Direction::Decrypt, Beside::Verify, input, output)
            }
        }
        // Keys
        C_GenerateKey(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG,
            key: *mut CK_OBJECT_HANDLE
        ) {
            session(session) |s| {
                let key = out(key)?;
                keys::generate(s, key, &mechanism(kind)?, &template(attributes, count)?)
            }
        }
        C_GenerateKeyPair(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE, public_count: CK_ULONG,
            private: *mut CK_ATTRIBUTE, private_count: CK_ULONG, public_key: *mut CK_OBJECT_HANDLE,
            private_key: *mut CK_OBJECT_HANDLE
        ) {
            session(session) |s| {
                let (public_key, private_key) = (out(public_key)?, out(private_key)?);
                let (public, private) = (template(public, public_count)?, template(private, private_count)?);
                keys::generate_pair(s, public_key, private_key, &mechanism(kind)?, &public, &private)
            }
        }
        C_WrapKey(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, wrapping_key: CK_OBJECT_HANDLE, key: CK_OBJECT_HANDLE,
            wrapped: *mut CK_BYTE, wrapped_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                keys::wrap(s, &mechanism(kind)?, wrapping_key, key, None, output(wrapped, wrapped_len)?)
            }
        }
        C_UnwrapKey(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, unwrapping_key: CK_OBJECT_HANDLE,
            wrapped: *mut CK_BYTE, wrapped_len: CK_ULONG, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG,
            key: *mut CK_OBJECT_HANDLE
        ) {
            session(session) |s| {
                let (key, template) = (out(key)?, template(attributes, count)?);
                let wrapped = input(wrapped, wrapped_len)?;
                keys::unwrap(s, key, &mechanism(kind)?, unwrapping_key, &wrapped, None, &template)
            }
        }
        C_DeriveKey(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, base: CK_OBJECT_HANDLE,
            attributes: *mut CK_ATTRIBUTE, count: CK_ULONG, key: *mut CK_OBJECT_HANDLE
        ) {
            session(session) |s| {
                let key = out(key)?;
                keys::derive(s, key, &mechanism(kind)?, base, &template(attributes, count)?)
            }
        }
        // Random numbers
        C_SeedRandom(session: CK_SESSION_HANDLE, seed: *mut CK_BYTE, seed_len: CK_ULONG) {
            session(session) |_s| {
                input(seed, seed_len)?;
                random::seed()
            }
        }
        C_GenerateRandom(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) {
            session(session) |s| random::generate(s, out_bytes(data, data_len)?)
        }
        // Parallel execution, and slot events
        C_GetFunctionStatus(session: CK_SESSION_HANDLE) { session(session) |_s| safe unsupported::parallel() }
        C_CancelFunction(session: CK_SESSION_HANDLE) { session(session) |_s| safe unsupported::parallel() }
        C_WaitForSlotEvent(flags: CK_FLAGS, slot: *mut CK_SLOT_ID, reserved: *mut c_void) {
            module() |m| {
                must_be_null(reserved)?;
                slots::wait_for_event(m, flags, out(slot)?)
            }
        }
    }
    v3_0 {
        // Interfaces
        C_GetInterfaceList(list: *mut CK_INTERFACE, count: *mut CK_ULONG) {
            library() |()| interfaces::list(out_list(list, count)?)
        }
        C_GetInterface(
            name: *mut CK_UTF8CHAR, version: *mut CK_VERSION, found: *mut *mut CK_INTERFACE, flags: CK_FLAGS
        ) {
            library() |()| {
                let known_name = name.is_null() || c_string_is(name, interfaces::NAME);
                interfaces::get(known_name, optional(version), flags, out(found)?)
            }
        }
        // Sessions
        C_LoginUser(
            session: CK_SESSION_HANDLE, user: CK_USER_TYPE, secret: *mut CK_UTF8CHAR, secret_len: CK_ULONG,
            name: *mut CK_UTF8CHAR, name_len: CK_ULONG
        ) {
            module() |m| sessions::login(m, session, user, || {
                sessions::check_user_name(&input(name, name_len)?)?;
                pin(secret, secret_len)
            })
        }
        C_SessionCancel(session: CK_SESSION_HANDLE, flags: CK_FLAGS) {
            session(session) |s| safe sessions::cancel(s, flags)
        }
        // Messages: encryption
        C_MessageEncryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
            session(session) |s| message::init(s, Direction::Encrypt, optional_message_mechanism(mechanism)?, key)
        }
        C_EncryptMessage(
            session: CK_SESSION_HANDLE, parameter: *mut c_void, parameter_len: CK_ULONG, associated: *mut CK_BYTE,
            associated_len: CK_ULONG, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                let (parameter, associated) =
                    (message_parameter(parameter, parameter_len), input(associated, associated_len));
                message::whole(s, Direction::Encrypt, parameter, associated, input(data, data_len), output(result, result_len))
            }
        }
        C_EncryptMessageBegin(
            session: CK_SESSION_HANDLE, parameter: *mut c_void, parameter_len: CK_ULONG, associated: *mut CK_BYTE,
            associated_len: CK_ULONG
        ) {
            session(session) |s| message::begin(
                s, Direction::Encrypt, message_parameter(parameter, parameter_len), input(associated, associated_len)
            )
        }
        C_EncryptMessageNext(
            session: CK_SESSION_HANDLE, parameter: *mut c_void, parameter_len: CK_ULONG, data: *mut CK_BYTE,
            data_len: CK_ULONG, result: *mut CK_BYTE, result_len: *mut CK_ULONG, flags: CK_FLAGS
        ) {
            session(session) |s| {
                let (data, result) = (input(data, data_len), output(result, result_len));
                message::next(s, Direction::Encrypt, message_parameter(parameter, parameter_len), data, result, flags)
            }
        }
        C_MessageEncryptFinal(session: CK_SESSION_HANDLE) { session(session) |s| safe message::finish(s, Direction::Encrypt) }
        // Messages: decryption
        C_MessageDecryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) {
            session(session) |s| message::init(s, Direction::Decrypt, optional_message_mechanism(mechanism)?, key)
        }
        C_DecryptMessage(
            session: CK_SESSION_HANDLE, parameter: *mut c_void, parameter_len: CK_ULONG, associated: *mut CK_BYTE,
            associated_len: CK_ULONG, data: *mut CK_BYTE, data_len: CK_ULONG, result: *mut CK_BYTE,
            result_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                let (parameter, associated) =
                    (message_parameter(parameter, parameter_len), input(associated, associated_len));
                message::whole(s, Direction::Decrypt, parameter, associated, input(data, data_len), output(result, result_len))
            }
        }
        C_DecryptMessageBegin(
            session: CK_SESSION_HANDLE, parameter: *mut c_void, parameter_len: CK_ULONG, associated: *mut CK_BYTE,
            associated_len: CK_ULONG
        ) {
            session(session) |s| message::begin(
                s, Direction::Decrypt, message_parameter(parameter, parameter_len), input(associated, associated_len)
            )
        }
        C_DecryptMessageNext(
            session: CK_SESSION_HANDLE, parameter: *mut c_void, parameter_len: CK_ULONG, data: *mut CK_BYTE,
            data_len: CK_ULONG, result: *mut CK_BYTE, result_len: *mut CK_ULONG, flags: CK_FLAGS
        ) {
            session(session) |s| {
                let (data, result) = (input(data, data_len), output(result, result_len));
                message::next(s, Direction::Decrypt, message_parameter(parameter, parameter_len), data, result, flags)
            }
        }
        C_MessageDecryptFinal(session: CK_SESSION_HANDLE) { session(session) |s| safe message::finish(s, Direction::Decrypt) }
        // Messages: signing
        C_MessageSignInit(session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, _key: CK_OBJECT_HANDLE) {
            session(session) |_s| unsupported::mechanism(optional(kind))
        }
        C_SignMessage(
            session: CK_SESSION_HANDLE, _parameter: *mut c_void, _parameter_len: CK_ULONG, _data: *mut CK_BYTE,
            _data_len: CK_ULONG, _signature: *mut CK_BYTE, _signature_len: *mut CK_ULONG
        ) { session(session) |_s| safe unsupported::message_signing() }
        C_SignMessageBegin(session: CK_SESSION_HANDLE, _parameter: *mut c_void, _parameter_len: CK_ULONG) {
            session(session) |_s| safe unsupported::message_signing()
        }
        C_SignMessageNext(
            session: CK_SESSION_HANDLE, _parameter: *mut c_void, _parameter_len: CK_ULONG, _data: *mut CK_BYTE,
            _data_len: CK_ULONG, _signature: *mut CK_BYTE, _signature_len: *mut CK_ULONG
        ) { session(session) |_s| safe unsupported::message_signing() }
        C_MessageSignFinal(session: CK_SESSION_HANDLE) { session(session) |_s| safe unsupported::message_signing() }
        // Messages: verifying
        C_MessageVerifyInit(session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, _key: CK_OBJECT_HANDLE) {
            session(session) |_s| unsupported::mechanism(optional(kind))
        }
        C_VerifyMessage(
            session: CK_SESSION_HANDLE, _parameter: *mut c_void, _parameter_len: CK_ULONG, _data: *mut CK_BYTE,
            _data_len: CK_ULONG, _signature: *mut CK_BYTE, _signature_len: CK_ULONG
        ) { session(session) |_s| safe unsupported::message_signing() }
        C_VerifyMessageBegin(session: CK_SESSION_HANDLE, _parameter: *mut c_void, _parameter_len: CK_ULONG) {
            session(session) |_s| safe unsupported::message_signing()
        }
        C_VerifyMessageNext(
            session: CK_SESSION_HANDLE, _parameter: *mut c_void, _parameter_len: CK_ULONG, _data: *mut CK_BYTE,
            _data_len: CK_ULONG, _signature: *mut CK_BYTE, _signature_len: CK_ULONG
        ) { session(session) |_s| safe unsupported::message_signing() }
        C_MessageVerifyFinal(session: CK_SESSION_HANDLE) { session(session) |_s| safe unsupported::message_signing() }
    }
    v3_2 {
        // Encapsulation
        C_EncapsulateKey(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, _public_key: CK_OBJECT_HANDLE,
            _attributes: *mut CK_ATTRIBUTE, _count: CK_ULONG, _ciphertext: *mut CK_BYTE,
            _ciphertext_len: *mut CK_ULONG, _key: *mut CK_OBJECT_HANDLE
        ) { session(session) |_s| unsupported::mechanism(optional(kind)) }
        C_DecapsulateKey(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, _private_key: CK_OBJECT_HANDLE,
            _attributes: *mut CK_ATTRIBUTE, _count: CK_ULONG, _ciphertext: *mut CK_BYTE, _ciphertext_len: CK_ULONG,
            _key: *mut CK_OBJECT_HANDLE
        ) { session(session) |_s| unsupported::mechanism(optional(kind)) }
        // Verifying with the signature first
        C_VerifySignatureInit(
            session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE, signature: *mut CK_BYTE,
            signature_len: CK_ULONG
        ) {
            session(session) |s| {
                let mechanism = optional_mechanism(mechanism)?;
                verify::init(s, mechanism, key, Some(input(signature, signature_len)?))
            }
        }
        C_VerifySignature(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) {
            session(session) |s| verify::verify_signature(s, input(data, data_len))
        }
        C_VerifySignatureUpdate(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) {
            session(session) |s| verify::signature_update(s, input(data, data_len))
        }
        C_VerifySignatureFinal(session: CK_SESSION_HANDLE) { session(session) |s| safe verify::signature_finish(s) }
        // Validation, asynchronous calls, authenticated wrapping
        C_GetSessionValidationFlags(
            session: CK_SESSION_HANDLE, kind: CK_SESSION_VALIDATION_FLAGS_TYPE, flags: *mut CK_FLAGS
        ) { session(session) |_s| sessions::validation_flags(kind, out(flags)?) }
        C_AsyncComplete(session: CK_SESSION_HANDLE, function: *mut CK_UTF8CHAR, _result: *mut CK_ASYNC_DATA) {
            session(session) |_s| unsupported::asynchronous(optional(function))
        }
        C_AsyncGetID(session: CK_SESSION_HANDLE, function: *mut CK_UTF8CHAR, _id: *mut CK_ULONG) {
            session(session) |_s| unsupported::asynchronous(optional(function))
        }
        C_AsyncJoin(
            session: CK_SESSION_HANDLE, function: *mut CK_UTF8CHAR, _id: CK_ULONG, _data: *mut CK_BYTE,
            _data_len: CK_ULONG
        ) { session(session) |_s| unsupported::join(optional(function)) }
        C_WrapKeyAuthenticated(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, wrapping_key: CK_OBJECT_HANDLE, key: CK_OBJECT_HANDLE,
            associated: *mut CK_BYTE, associated_len: CK_ULONG, wrapped: *mut CK_BYTE, wrapped_len: *mut CK_ULONG
        ) {
            session(session) |s| {
                let associated = Some(input(associated, associated_len)?);
                keys::wrap(s, &mechanism(kind)?, wrapping_key, key, associated, output(wrapped, wrapped_len)?)
            }
        }
        C_UnwrapKeyAuthenticated(
            session: CK_SESSION_HANDLE, kind: *mut CK_MECHANISM, unwrapping_key: CK_OBJECT_HANDLE,
            wrapped: *mut CK_BYTE, wrapped_len: CK_ULONG, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG,
            associated: *mut CK_BYTE, associated_len: CK_ULONG, key: *mut CK_OBJECT_HANDLE
        ) {
            session(session) |s| {
                let (key, template) = (out(key)?, template(attributes, count)?);
                let (wrapped, associated) = (input(wrapped, wrapped_len)?, Some(input(associated, associated_len)?));
                keys::unwrap(s, key, &mechanism(kind)?, unwrapping_key, &wrapped, associated, &template)
            }
        }
    }
}
