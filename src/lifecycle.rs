// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life cycle of the module in a process: C_Initialize, fork, C_Finalize.
//!
//! # Fork
//!
//! The module belongs to one process ([`PerProcess`]): a forked child, also one made by a direct system call, starts
//! without a module, and its C_Initialize creates a new one with fresh locks. Nothing waits for an inherited lock.
//!
//! The child's C_Initialize or C_Finalize drops the inherited module, which closes its descriptors (without unlocking:
//! the parent still uses them), if no thread of the parent was inside a C function at the fork. `Instance::calls` shows
//! that: a thread counts itself before it touches the module. If a thread was inside, the inherited module may be
//! inconsistent, and the child leaks it.
//!
//! # Unloading
//!
//! A program may unload the library without C_Finalize: [`unload`] then cleans up.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::RwLock;

use super::error::{Error, Result};
use super::module::Module;
use atecc608_token::logging;
use atecc608_token::process::PerProcess;

static INSTANCE: PerProcess<Instance> = PerProcess::new();

/// One process's use of the library. Exists until the library is unloaded; the module in it is created and dropped.
#[derive(Default)]
struct Instance {
    /// Number of C functions in progress.
    calls: AtomicUsize,
    module: RwLock<Option<Arc<Module>>>,
}

/// A call in progress: keeps the module alive until it ends, even if another thread calls C_Finalize meanwhile.
pub struct Call {
    // Dropped in this order: a thread that sees the count at 0 may drop the module.
    module: Arc<Module>,
    _counted: Counted,
}

impl Call {
    /// Returns the module of the call.
    pub fn module(&self) -> &Module {
        &self.module
    }
}

/// Increments `Instance::calls` while it exists.
struct Counted(&'static Instance);

impl Counted {
    fn new(instance: &'static Instance) -> Self {
        instance.calls.fetch_add(1, Ordering::SeqCst);
        Self(instance)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts a call.
///
/// # Errors
/// [`Error::CryptokiNotInitialized`] if C_Initialize was not called in this process; also in a forked child.
pub fn enter() -> Result<Call> {
    // Every call comes here, so no error value is created unless it is returned.
    let Some(instance) = INSTANCE.own() else { return Err(Error::CryptokiNotInitialized) };
    let counted = Counted::new(instance);
    let Some(module) = counted.0.module.read().clone() else { return Err(Error::CryptokiNotInitialized) };
    Ok(Call { module, _counted: counted })
}

/// C_Initialize: calls `make` if there is no module in this process yet.
///
/// # Errors
/// [`Error::CryptokiAlreadyInitialized`], without any change, if there is a module; else the error of `make`.
pub fn initialise(make: impl FnOnce() -> Result<Module>) -> Result<()> {
    if let Some(inherited) = INSTANCE.inherited() {
        inherited.abandon();
    }
    let counted = Counted::new(INSTANCE.own_or_init(Instance::default));
    let mut module = counted.0.module.write();
    if module.is_some() {
        return Err(Error::CryptokiAlreadyInitialized);
    }
    *module = Some(Arc::new(make()?));
    Ok(())
}

/// C_Finalize. Calls in progress in other threads end as if they had started before it.
///
/// # Errors
/// [`Error::CryptokiNotInitialized`] if there is no module.
pub fn finalise() -> Result<()> {
    if let Some(own) = INSTANCE.own() {
        let counted = Counted::new(own);
        let module = counted.0.module.write().take().ok_or(Error::CryptokiNotInitialized)?;
        // A blocked C_WaitForSlotEvent holds the module, and would block for ever.
        module.finalised().set();
        return Ok(());
    }
    // A child that uses the inherited state: from its view, the module is initialised.
    let inherited = INSTANCE.inherited().ok_or(Error::CryptokiNotInitialized)?;
    let was_initialised = inherited.module.try_read().is_none_or(|module| module.is_some());
    inherited.abandon();
    INSTANCE.own_or_init(Instance::default);
    was_initialised.then_some(()).ok_or(Error::CryptokiNotInitialized)
}

/// Called when the library is unloaded or the process ends: cleans up if C_Finalize was not called. Descriptors and
/// locked memory would otherwise remain after `dlclose`. At the end of a process, calls in progress keep the module.
pub extern "C" fn unload() {
    // A panic must not end the program, and can't be reported here.
    let _ = catch_unwind(|| {
        if let Some(own) = INSTANCE.own() {
            own.abandon();
        }
        logging::close();
    });
}

impl Instance {
    /// Drops the module if that is safe: an ancestor's module in a child, or this process's at its end.
    fn abandon(&self) {
        if self.calls.load(Ordering::SeqCst) == 0 {
            // Never waits. In a child, only a thread of the child in the same function can hold the lock.
            if let Some(mut module) = self.module.try_write() {
                drop(module.take());
            }
        }
    }
}
