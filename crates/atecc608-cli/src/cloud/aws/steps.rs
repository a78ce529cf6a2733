// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the calls of a setup, and records their lines.

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
    /// For this profile and region.
    pub fn new(access: &'a Access) -> Self {
        Self { access, lines: Vec::new() }
    }

    /// Returns the call as a shell command.
    pub fn line(&self, call: &Call) -> String {
        self.access.line(call)
    }

    /// Makes a query; returns `None` if the resource does not exist.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) if the AWS CLI can't be run or reports another error.
    pub fn ask(&self, call: &Call) -> Result<Option<Value>> {
        match self.access.call(call) {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::NotFound) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Makes a required query or change; prints `what` first.
    ///
    /// # Errors
    /// [`Failure`] if the AWS CLI can't be run or reports an error.
    pub fn make(&mut self, what: &str, call: &Call) -> Result<Value, Failure> {
        self.lines.push(self.line(call));
        note(what);
        self.access.call(call)
    }

    /// Returns the calls of [`Steps::make`], as lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
