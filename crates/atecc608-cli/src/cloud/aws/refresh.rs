//! `atecc608 aws refresh`: after an upgrade of the package, the private copies of the module are made anew. The package's scripts run
//! it; it asks no chip and no network, and does nothing where everything is current.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::module_copy::{self, Copy};
use super::PARENT;
use crate::error::Result;
use crate::host::module::{self, MODULE};
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

/// Renews the copies.
///
/// # Errors
/// That there is no module; what is wrong with a folder is part of the answer.
pub fn run(arguments: &Arguments) -> Result<Output> {
    let folders = if arguments.dir.is_empty() { module_copy::folders(PARENT.as_ref())? } else { arguments.dir.clone() };
    let mut text = String::new();
    let mut rows = Vec::new();
    let mut failed = false;
    if folders.is_empty() {
        text += &format!("no thing was set up in {PARENT}: there is nothing to renew\n");
        return Output::new(text, &json!({ "copies": rows }));
    }
    let module = module::installed(arguments.module.as_deref())?;
    for folder in folders {
        let path = folder.join(MODULE).display().to_string();
        let done =
            if arguments.check { module_copy::compare(&module, &folder) } else { module_copy::renew(&module, &folder) };
        let result = match done {
            Ok(Copy::Current) => "current".to_owned(),
            Ok(_) if arguments.check => {
                failed = true;
                "old: atecc608 aws refresh".to_owned()
            }
            Ok(_) => "renewed: restart the client that uses it".to_owned(),
            Err(error) => {
                failed = true;
                format!("failed: {error}")
            }
        };
        text += &format!("{path}: {result}\n");
        let word = result.split(':').next().unwrap_or_default().to_owned();
        rows.push(json!({ "path": path, "result": word }));
    }
    let answer = json!({ "module": module.display().to_string(), "copies": rows });
    Output::new(text, &answer).map(|output| output.failed_if(failed))
}
