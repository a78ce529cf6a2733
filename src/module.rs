// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module between C_Initialize and C_Finalize: its configuration, a token per configured chip, the sessions.

use std::sync::Arc;
use std::time::Duration;

use cryptoki_sys::*;
use log::warn;
use parking_lot::{Condvar, Mutex};

use super::error::{Error, Result};
use super::session::Sessions;
use super::types::from_ulong;
use atecc608_token::config::{self, Config};
use atecc608_token::Token;

/// An initialised module. Independent of C; any number can be created.
pub struct Module {
    config: Config,
    tokens: Vec<Arc<Token>>,
    sessions: Sessions,
    finalised: Flag,
}

/// A one-time event that threads can wait for.
#[derive(Default)]
pub struct Flag {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    /// Sets the flag.
    pub fn set(&self) {
        *self.set.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until the flag is set, at most this long. Returns whether it is set.
    pub fn wait(&self, at_most: Duration) -> bool {
        let mut set = self.set.lock();
        if !*set {
            self.changed.wait_for(&mut set, at_most);
        }
        *set
    }
}

impl Module {
    /// Creates a module with this configuration. Accesses no bus.
    pub fn new(config: Config) -> Self {
        match &config.path {
            None => warn!(
                "no configuration, so no slots: create {} with the two lines `[[token]]` and `bus = \"/dev/i2c-1\"`, or \
                 name another file in ${}",
                config::DEFAULT_PATH,
                config::CONF_VARIABLE
            ),
            Some(path) if config.tokens.is_empty() => warn!(
                "{}: no [[token]], so no slots: add the two lines `[[token]]` and `bus = \"/dev/i2c-1\"`",
                path.display()
            ),
            Some(_) => {}
        }
        let token = |token| Arc::new(Token::new(&config, token).trusting_kept_configuration());
        let tokens = config.tokens.iter().map(token).collect();
        Self { config, tokens, sessions: Sessions::default(), finalised: Flag::default() }
    }

    /// Returns its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tokens in the order of the configuration.
    pub fn tokens(&self) -> &[Arc<Token>] {
        &self.tokens
    }

    /// The token of a slot.
    ///
    /// # Errors
    /// [`Error::SlotIdInvalid`] if no token has this slot.
    pub fn token(&self, slot: CK_SLOT_ID) -> Result<&Arc<Token>> {
        let token = self.tokens.iter().find(|token| token.slot_id() == slot);
        token.ok_or_else(|| Error::SlotIdInvalid(from_ulong(slot)))
    }

    /// The open sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Set by C_Finalize.
    pub fn finalised(&self) -> &Flag {
        &self.finalised
    }
}
