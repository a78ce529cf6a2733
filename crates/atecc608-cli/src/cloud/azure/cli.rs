// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Azure CLI: runs its lines, and explains its errors.

use crate::cloud::program::{self, Said};
use crate::error::{Error, Result};
use crate::output::{note, shell};

/// Checks that the Azure CLI can be run and is logged in, without calling Azure.
///
/// # Errors
/// [`Error::Refused`] if it is not.
pub fn ensure_logged_in() -> Result<()> {
    let line = ["account", "show", "--output", "none"].map(str::to_owned).to_vec();
    let said = start(&line)?;
    if said.success {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the Azure CLI is not ready: {}: {}. Nothing was changed. Log in with `az login`; or use --offline, which \
         writes the commands for another machine",
        shell::line("az", &line),
        last_line(&said)
    )))
}

/// Runs a line. An existing resource is not a failure.
///
/// # Errors
/// [`Error::Refused`] if it can't be run, or fails.
pub fn run(line: &[String]) -> Result<()> {
    let shown = shell::line("az", line);
    note(&shown);
    let said = start(line)?;
    if said.success {
        return Ok(());
    }
    let stderr = said.stderr.to_lowercase();
    if ["already exist", "alreadyexists", "already registered"].iter().any(|part| stderr.contains(part)) {
        note("it exists already, and was not changed: check that it has this certificate");
        return Ok(());
    }
    let remedy =
        if stderr.contains("az login") { "" } else { "; it needs `az login` and `az extension add --name azure-iot`" };
    Err(Error::Refused(format!("{shown}: {}{remedy}. Running this again continues where it stopped", last_line(&said))))
}

fn start(line: &[String]) -> Result<Said> {
    program::run("az", line, &[]).map_err(|error| {
        Error::Refused(format!(
            "the Azure CLI (`az`) can't be run: {error}. Install it (`sudo apt install azure-cli`), or use --offline, \
             which writes its commands for another machine"
        ))
    })
}

fn last_line(said: &Said) -> &str {
    said.stderr.trim().lines().last().unwrap_or("it printed nothing").trim()
}
