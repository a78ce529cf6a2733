// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interfaces that C_GetInterface and C_GetInterfaceList return: the three function lists, each with its version.

use std::ffi::{c_void, CStr};
use std::sync::atomic::{AtomicPtr, Ordering};

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::exports::{LIST_2_40, LIST_3_0, LIST_3_2};
use super::ptr::{Out, OutList};

/// The name of the standard's own interface.
pub const NAME: &CStr = c"PKCS 11";

/// Without CKF_INTERFACE_FORK_SAFE: a forked child must initialise again.
const FLAGS: CK_FLAGS = 0;

/// A CK_INTERFACE that callers may write to: OpenSC's pkcs11-spy (0.23) replaces the function list in it.
#[repr(C)]
struct Interface {
    name: AtomicPtr<c_void>,
    list: AtomicPtr<c_void>,
    flags: CK_FLAGS,
}

const _: () = assert!(size_of::<Interface>() == size_of::<CK_INTERFACE>());

impl Interface {
    const fn blank() -> Self {
        Self { name: AtomicPtr::new(std::ptr::null_mut()), list: AtomicPtr::new(std::ptr::null_mut()), flags: FLAGS }
    }
}

/// The memory that C_GetInterface returns, in the order of [`all`].
static GIVEN: [Interface; 3] = [const { Interface::blank() }; 3];

/// Returns the interfaces. A caller that names no version gets the first. That is 3.0, because some callers know no
/// newer version and do not check it: OpenSC's pkcs11-spy (0.26) then calls through NULL.
fn all() -> [(CK_VERSION, CK_INTERFACE); 3] {
    let described = |version, list: *const c_void| {
        let interface = CK_INTERFACE {
            pInterfaceName: NAME.as_ptr().cast_mut().cast(),
            pFunctionList: list.cast_mut(),
            flags: FLAGS,
        };
        (version, interface)
    };
    [
        described(LIST_3_0.version, (&raw const LIST_3_0).cast()),
        described(LIST_3_2.version, (&raw const LIST_3_2).cast()),
        described(LIST_2_40.version, (&raw const LIST_2_40).cast()),
    ]
}

/// C_GetFunctionList: always 2.40, because some callers refuse an unknown version.
pub fn function_list(list: Out<*mut CK_FUNCTION_LIST>) -> Result<()> {
    list.set((&raw const LIST_2_40).cast_mut());
    Ok(())
}

/// C_GetInterfaceList
pub fn list(list: OutList<CK_INTERFACE>) -> Result<()> {
    list.set(&all().map(|(_, interface)| interface))
}

/// C_GetInterface. The structure is rewritten for each caller, which discards changes by an earlier one.
pub fn get(
    known_name: bool,
    version: Option<CK_VERSION>,
    flags: CK_FLAGS,
    found: Out<*mut CK_INTERFACE>,
) -> Result<()> {
    let wanted = |offered: &CK_VERSION| {
        version.is_none_or(|version| (version.major, version.minor) == (offered.major, offered.minor))
    };
    let mut offered = GIVEN.iter().zip(all());
    let interface = offered.find(|(_, (version, _))| known_name && wanted(version) && flags & !FLAGS == 0);
    let (given, (_, interface)) =
        interface.ok_or(Error::ArgumentsBad(&"no interface has that name, version and flags"))?;
    given.name.store(interface.pInterfaceName.cast(), Ordering::Relaxed);
    given.list.store(interface.pFunctionList, Ordering::Relaxed);
    found.set((&raw const *given).cast_mut().cast());
    Ok(())
}
