//! The calls of a set-up as they are made, or, in a dry run, written down.

use serde_json::Value;

use super::calls::Call;
use super::program::{Access, Failure};
use crate::error::Result;
use crate::output::note;

/// Makes calls, or collects them.
pub struct Steps<'a> {
    access: &'a Access,
    dry_run: bool,
    lines: Vec<String>,
}

impl<'a> Steps<'a> {
    /// With `dry_run` nothing is asked and nothing is changed.
    pub fn new(access: &'a Access, dry_run: bool) -> Self {
        Self { access, dry_run, lines: Vec::new() }
    }

    /// Whether nothing is done.
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// The call as a line to type.
    pub fn line(&self, call: &Call) -> String {
        self.access.line(call)
    }

    /// Asks; none if what was asked for does not exist, and in a dry run.
    ///
    /// # Errors
    /// Those of the AWS CLI.
    pub fn ask(&self, call: &Call) -> Result<Option<Value>> {
        if self.dry_run {
            return Ok(None);
        }
        match self.access.call(call) {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::NotFound) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Asks for, or changes, what the set-up can't do without; `what` is said first. Null in a dry run.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn make(&mut self, what: &str, call: &Call) -> Result<Value, Failure> {
        self.lines.push(self.line(call));
        if self.dry_run {
            return Ok(Value::Null);
        }
        note(what);
        self.access.call(call)
    }

    /// The calls, as lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
