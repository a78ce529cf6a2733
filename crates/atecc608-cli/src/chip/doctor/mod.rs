// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 doctor`: checks the chain from the configuration to OpenSSL in order, and prints the remedy for the first
//! failed check. It changes nothing.

mod chip;
mod host;
mod state;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::error::Result;
use crate::output::check::{self, Check, Checks, Remedies, Verdict};
use crate::output::Output;
use crate::target::{ensure_tokens, is_named, Selection};
use atecc608_token::config::Config;

/// The remedy for a chip that fails in an unknown way.
const PACKETS: &str = "ATECC608_LOG=trace atecc608 info shows every packet";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The PKCS#11 module to try, where it is not installed in a usual place
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

/// A check with its earlier names, which will be removed in the next version.
#[derive(Serialize)]
struct Link<'a> {
    #[serde(flatten)]
    check: &'a Check,
    link: &'a str,
    status: &'static str,
}

impl<'a> From<&'a Check> for Link<'a> {
    fn from(check: &'a Check) -> Self {
        let status = match check.result {
            Verdict::Ok => "ok",
            Verdict::Warning => "warn",
            Verdict::Failed => "fail",
            Verdict::Skipped => "skip",
        };
        Self { check, link: &check.name, status }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    /// The first failed check.
    first_broken: Option<&'a str>,
    checks: Vec<Link<'a>>,
}

/// Checks the chain.
///
/// # Errors
/// [`crate::Error::Output`] if the output can't be built. Problems of the chain are the result.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let mut checks = Checks::default();
    // Serial numbers of the tokens that the module should show.
    let mut serials = Vec::new();
    match configuration(selection, &mut checks) {
        Some(config) => {
            let several = config.tokens.len() > 1;
            for token in &config.tokens {
                let chosen = selection.token.as_deref().is_none_or(|name| is_named(token, name));
                if !chosen {
                    continue;
                }
                if several {
                    checks.ok("token", token.place());
                }
                serials.extend(chip::check(&config, token, &mut checks));
            }
            if config.tokens.iter().any(chip::would_be_created) {
                checks.skip(&["module"], "loading it would create the simulated chip");
            } else {
                host::module(arguments.module.as_deref(), &config, &serials, &mut checks);
            }
        }
        None => {
            checks.skip(&["chip"], "the configuration names none");
            checks.skip(&["module"], "it would have no token to show");
        }
    }
    host::p11_kit(&mut checks);
    host::openssl(&mut checks);
    host::openssl_configuration(&mut checks);
    let first_broken = checks.first_failed();
    let report = Report {
        ok: first_broken.is_none(),
        first_broken: first_broken.map(|check| check.name.as_str()),
        checks: checks.as_slice().iter().map(Link::from).collect(),
    };
    Ok(Output::new(text(&checks), &report)?.negative_if(first_broken.is_some()))
}

/// Returns the configuration, if it is usable.
fn configuration(selection: &Selection, checks: &mut Checks) -> Option<Config> {
    const LINK: &str = "configuration";
    let config = match selection.configuration() {
        Ok(config) => config,
        Err(error) => {
            checks.fail(
                LINK,
                error.to_string(),
                "edit that line (conf/config.toml explains every key), or name another file with --config",
            );
            return None;
        }
    };
    if let Err(error) = ensure_tokens(&config) {
        let remedy = match &config.path {
            None => "sudo atecc608 init".to_owned(),
            Some(path) => format!("printf '[[token]]\\nbus = \"/dev/i2c-1\"\\n' >> {}", path.display()),
        };
        checks.fail(LINK, error.to_string(), remedy);
        return None;
    }
    let name = selection.token.as_deref();
    if let Some(name) = name.filter(|name| !config.tokens.iter().any(|token| is_named(token, name))) {
        checks.fail(
            LINK,
            format!("no token has the name \"{name}\""),
            "give --token a label or slot of the configuration",
        );
        return None;
    }
    let path = config.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    checks.ok(LINK, format!("{path}, {} token(s)", config.tokens.len()));
    Some(config)
}

fn text(checks: &Checks) -> String {
    let text = check::text(checks.as_slice(), Remedies::OfWarnings);
    match checks.first_failed() {
        None => text + "\nNothing is broken.\n",
        Some(Check { name, remedy, .. }) => {
            let remedy = remedy.as_deref().unwrap_or_default();
            text + &format!("\nThe first problem: {name}. Remedy:\n\n    {remedy}\n")
        }
    }
}
