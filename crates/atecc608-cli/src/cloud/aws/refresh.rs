// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 aws refresh`: renews the private copies of the module after an upgrade of the package. The package's
//! scripts run it; it uses no chip and no network, and does nothing if everything is current.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::device_client::MODULE_MODE;
use super::module_copy::{self, Copy};
use super::PARENT;
use crate::cloud::folder::PRIVATE;
use crate::error::Result;
use crate::host::module::{self, MODULE};
use crate::output::check::{self, Check, Remedies, Verdict};
use crate::output::Output;

/// Arguments of `aws refresh`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A thing's folder, as given to `aws setup --dir`; several times for several. The default is all of /etc/atecc608-pkcs11/aws
    #[arg(long, value_name = "FOLDER")]
    dir: Vec<PathBuf>,
    /// The installed module; the default is where it usually is
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Only say what is not current, and exit with 1 if something is not
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    checks: Vec<Check>,
    /// The same under their earlier names, which will be removed in the next version.
    copies: Vec<CopyReport>,
}

#[derive(Serialize)]
struct CopyReport {
    path: String,
    result: State,
}

/// The present or new state of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Current,
    Old,
    Renewed,
    Failed,
}

/// Renews the copies.
///
/// # Errors
/// [`crate::Error::Refused`] if there is no module. Problems of a folder are part of the result.
pub fn run(arguments: &Arguments) -> Result<Output> {
    let folders = if arguments.dir.is_empty() { module_copy::folders(PARENT.as_ref())? } else { arguments.dir.clone() };
    let mut report = Report { module: None, checks: Vec::new(), copies: Vec::new() };
    if folders.is_empty() {
        return Output::new(format!("no thing was set up in {PARENT}: there is nothing to renew\n"), &report);
    }
    let module = module::installed(arguments.module.as_deref())?;
    report.module = Some(module.display().to_string());
    for folder in folders {
        let path = folder.join(MODULE).display().to_string();
        let (state, check) = look(&module, &folder, &path, arguments.check);
        report.copies.push(CopyReport { path, result: state });
        report.checks.push(check);
    }
    let failed = report.checks.iter().any(Check::has_failed);
    let output = Output::new(check::text(&report.checks, Remedies::All), &report)?;
    Ok(if arguments.check { output.negative_if(failed) } else { output.failed_if(failed) })
}

/// Renews one copy, or only checks it.
fn look(module: &Path, folder: &Path, path: &str, only_look: bool) -> (State, Check) {
    let failed = |detail: String| Check::new(path, Verdict::Failed, detail);
    let again = || module_copy::refresh_command(folder);
    match module_copy::other_mode(folder) {
        Err(error) => return (State::Failed, failed(error.to_string())),
        Ok(None) => {}
        Ok(Some(mode)) => {
            let folder = folder.display();
            let found = format!("its folder has mode {mode:03o}, and Device Client accepts {PRIVATE:03o} only");
            return (State::Failed, failed(found).with_remedy(format!("chmod {PRIVATE:03o} {folder}")));
        }
    }
    let done = if only_look { module_copy::compare(module, folder) } else { module_copy::renew(module, folder) };
    let ok = |detail: &str| Check::new(path, Verdict::Ok, detail);
    match done {
        Ok(Copy::Current) => (State::Current, ok("current")),
        Ok(Copy::Repaired) if only_look => {
            let found = format!("its mode is not {MODULE_MODE:03o}, which Device Client requires");
            (State::Failed, failed(found).with_remedy(again()))
        }
        Ok(Copy::Repaired) => {
            (State::Renewed, ok("its mode is right now").with_remedy("restart the client that uses it"))
        }
        Ok(_) if only_look => (State::Old, failed("old: not the installed module".to_owned()).with_remedy(again())),
        Ok(_) => (State::Renewed, ok("renewed").with_remedy("restart the client that uses it")),
        Err(error) => (State::Failed, failed(error.to_string())),
    }
}
