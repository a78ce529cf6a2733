//! The calls of a set-up as they are made, and the lines of those that were.

use serde_json::Value;

use super::calls::Call;
use super::program::{Access, Failure};
use crate::error::Result;
use crate::output::note;

/// Makes calls.
pub struct Steps<'a> {
    access: &'a Access,
    lines: Vec<String>,
}

impl<'a> Steps<'a> {
    /// With this profile and region.
    pub fn new(access: &'a Access) -> Self {
        Self { access, lines: Vec::new() }
    }

    /// The call as a line to type.
    pub fn line(&self, call: &Call) -> String {
        self.access.line(call)
    }

    /// Asks; none if what was asked for does not exist.
    ///
    /// # Errors
    /// Those of the AWS CLI.
    pub fn ask(&self, call: &Call) -> Result<Option<Value>> {
        match self.access.call(call) {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::NotFound) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Asks for, or changes, what the set-up can't do without; `what` is said first.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn make(&mut self, what: &str, call: &Call) -> Result<Value, Failure> {
        self.lines.push(self.line(call));
        note(what);
        self.access.call(call)
    }

    /// The calls that [`Steps::make`] made, as lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
