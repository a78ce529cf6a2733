//! The module's life in a process: from C_Initialize to C_Finalize, through fork.
//!
//! # Fork
//!
//! The module in use belongs to one process ([`PerProcess`]): a forked child, also one that a system call made, starts without one, whatever its parent was doing, and
//! its C_Initialize makes a new one with fresh locks. Nothing waits for a lock that was inherited.
//!
//! What the child inherited is dropped by its C_Initialize or C_Finalize, which closes the descriptors in it (and
//! unlocks nothing: the parent goes on using them), if no thread of the parent was inside a C function at the
//! moment of the fork. `Instance::calls` tells: a thread counts itself before it touches anything of the module.
//! If one was, the child can't know what it left half done, and leaks it.
//!
//! # Unloading
//!
//! A program may unload the library without C_Finalize: [`unload`] does what is left of it.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::RwLock;

use super::error::{Error, Result};
use super::module::Module;
use atecc608_token::logging;
use atecc608_token::process::PerProcess;

static INSTANCE: PerProcess<Instance> = PerProcess::new();

/// One process's use of the library. Stays until the library is unloaded; the module in it comes and goes.
#[derive(Default)]
struct Instance {
    /// C functions running now.
    calls: AtomicUsize,
    module: RwLock<Option<Arc<Module>>>,
}

/// A call in progress: keeps the module alive to its end, even if another thread calls C_Finalize meanwhile.
pub struct Call {
    // Dropped in this order: whoever sees the count at 0 may take the module apart.
    module: Arc<Module>,
    _counted: Counted,
}

impl Call {
    /// The module it is for.
    pub fn module(&self) -> &Module {
        &self.module
    }
}

/// One more in `Instance::calls`.
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

/// Begins a call.
///
/// # Errors
/// [`Error::CryptokiNotInitialized`], also in a forked child.
pub fn enter() -> Result<Call> {
    // Every call comes here: no error is made in vain.
    let Some(instance) = INSTANCE.own() else { return Err(Error::CryptokiNotInitialized) };
    let counted = Counted::new(instance);
    let Some(module) = counted.0.module.read().clone() else { return Err(Error::CryptokiNotInitialized) };
    Ok(Call { module, _counted: counted })
}

/// C_Initialize: `make` is called if there is no module in this process yet.
///
/// # Errors
/// [`Error::CryptokiAlreadyInitialized`], which changes nothing, or what `make` says.
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

/// C_Finalize. Calls in progress in other threads end as if it had come after them.
///
/// # Errors
/// [`Error::CryptokiNotInitialized`]
pub fn finalise() -> Result<()> {
    if let Some(own) = INSTANCE.own() {
        let counted = Counted::new(own);
        let module = counted.0.module.write().take().ok_or(Error::CryptokiNotInitialized)?;
        // A C_WaitForSlotEvent that blocks holds the module, and would for ever.
        module.finalised().set();
        return Ok(());
    }
    // A child that believes what it inherited: as far as it can see, the module is initialised.
    let inherited = INSTANCE.inherited().ok_or(Error::CryptokiNotInitialized)?;
    let was_initialised = inherited.module.try_read().is_none_or(|module| module.is_some());
    inherited.abandon();
    INSTANCE.own_or_init(Instance::default);
    was_initialised.then_some(()).ok_or(Error::CryptokiNotInitialized)
}

/// The library is unloaded, or the process ends: ends what C_Finalize did not. Descriptors and locked memory would stay after
/// `dlclose`. Calls in progress, at the end of a process, keep the module.
pub extern "C" fn unload() {
    // A panic must not end the program; there is nobody to report it to.
    let _ = catch_unwind(|| {
        if let Some(own) = INSTANCE.own() {
            own.abandon();
        }
        logging::close();
    });
}

impl Instance {
    /// Drops the module, if that is safe: an ancestor's in the child, or this process's at its end.
    fn abandon(&self) {
        if self.calls.load(Ordering::SeqCst) == 0 {
            // Never waits. In a child, only a thread of the child that does the same can hold it.
            if let Some(mut module) = self.module.try_write() {
                drop(module.take());
            }
        }
    }
}
