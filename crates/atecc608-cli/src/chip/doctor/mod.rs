//! `atecc608 doctor`: every link of the chain between the configuration and OpenSSL, in order, and what to type for
//! the first one that is broken. It changes nothing.

mod chip;
mod host;
mod state;

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::error::Result;
use crate::output::{coloured, Colour, Output};
use crate::target::{ensure_tokens, is_named, Selection};
use atecc608_token::config::Config;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The PKCS#11 module to try, where it is not installed in a usual place
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// It works, but not as well as it could; or it is not needed by everybody.
    Warn,
    /// Broken.
    Fail,
    /// It could not be checked, because of another link.
    Skip,
}

/// One link of the chain.
#[derive(Clone, Debug, Serialize)]
struct Check {
    link: String,
    status: Status,
    detail: String,
    /// What to type or do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// The links that were looked at, in order.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, link: &str, status: Status, detail: impl Into<String>, remedy: Option<String>) {
        self.0.push(Check { link: link.to_owned(), status, detail: detail.into(), remedy });
    }

    fn ok(&mut self, link: &str, detail: impl Into<String>) {
        self.add(link, Status::Ok, detail, None);
    }

    fn warn(&mut self, link: &str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.add(link, Status::Warn, detail, Some(remedy.into()));
    }

    fn fail(&mut self, link: &str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.add(link, Status::Fail, detail, Some(remedy.into()));
    }

    fn skip(&mut self, links: &[&str], because: &str) {
        for link in links {
            self.add(link, Status::Skip, format!("not checked: {because}"), None);
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    /// The first broken link.
    first_broken: Option<&'a str>,
    checks: &'a [Check],
}

/// Checks the chain.
///
/// # Errors
/// Only those of the output: what is wrong with the chain is the result.
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
                    checks.ok("token", format!("{} at {:#04x}", token.bus, token.address));
                }
                serials.extend(chip::check(&config, token, &mut checks));
            }
            if config.tokens.iter().any(|token| chip::would_be_created(&token.bus)) {
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
    let first_broken = checks.0.iter().find(|check| check.status == Status::Fail);
    let report = Report {
        ok: first_broken.is_none(),
        first_broken: first_broken.map(|check| check.link.as_str()),
        checks: &checks.0,
    };
    Ok(Output::new(text(&checks.0, first_broken), &report)?.failed_if(first_broken.is_some()))
}

/// The configuration, if it is one to go on with.
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
        let path = config.path.clone().unwrap_or_else(|| atecc608_token::config::DEFAULT_PATH.into());
        let remedy = format!("printf '[[token]]\\nbus = \"/dev/i2c-1\"\\n' >> {}", path.display());
        checks.fail(LINK, error.to_string(), remedy);
        return None;
    }
    let name = selection.token.as_deref();
    if let Some(name) = name.filter(|name| !config.tokens.iter().any(|token| is_named(token, name))) {
        checks.fail(
            LINK,
            format!("no token is called \"{name}\""),
            "give --token a label or slot of the configuration",
        );
        return None;
    }
    let path = config.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    checks.ok(LINK, format!("{path}, {} token(s)", config.tokens.len()));
    Some(config)
}

fn text(checks: &[Check], first_broken: Option<&Check>) -> String {
    let mut text = String::new();
    let width = checks.iter().map(|check| check.link.len()).max().unwrap_or(0);
    for check in checks {
        let mark = match check.status {
            Status::Ok => coloured("ok  ", Colour::Green),
            Status::Warn => coloured("warn", Colour::Yellow),
            Status::Fail => coloured("FAIL", Colour::Red),
            Status::Skip => "-   ".to_owned(),
        };
        // Writing into a string does not fail.
        let _ = writeln!(text, "{mark}  {:<width$}  {}", check.link, check.detail);
        if let Some(remedy) = check.remedy.as_ref().filter(|_| check.status == Status::Warn) {
            let _ = writeln!(text, "      {:<width$}  -> {remedy}", "");
        }
    }
    match first_broken {
        None => text += "\nNothing is broken.\n",
        Some(check) => {
            let remedy = check.remedy.as_deref().unwrap_or_default();
            let _ = writeln!(text, "\nThe first broken link is: {}. What to do:\n\n    {remedy}", check.link);
        }
    }
    text
}
