// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tool `atecc608`: operations on a chip besides PKCS#11.
//!
//! It uses the token and driver layers, never the PKCS#11 module, which `doctor` loads with another program, like a
//! client. Results go to stdout, everything else to stderr.
//!
//! The modules, in reading order; each uses the ones below it, and `chip` and `cloud` are independent:
//!
//! | module | contents |
//! | --- | --- |
//! | `chip` | the commands about chips, a file or folder for each |
//! | `cloud` | the commands about clouds: AWS IoT, Azure IoT, a factory's manifest |
//! | `manifest` | the file between them: a factory's record of its chips |
//! | `chip_keys` | the keys and certificates of one chip, generated, found and used like a PKCS#11 client |
//! | [`x509`] | certificates and requests, on bytes |
//! | `target` | from the configuration and `--token` to one chip |
//! | `host` | what this machine has: I2C adapters, the installed module |
//! | `input`, `files`, `output` | input and output; `output::check` is the form of every check |
//! | [`Error`] | why a command failed |
//!
//! # Adding a command
//!
//! Three files change: the command's own in `chip` or `cloud`; that folder's `mod.rs`, which gets the module, a variant
//! of `Command` and a line in `run`; and the table in `docs/tool.md`, which `tests/it/page.rs` compares with the
//! command line. Manual pages and completions follow from the definitions. Its tests are a file in `tests/it`.
//!
//! The library exports only what tests and the manual's generator use.

mod chip;
mod chip_keys;
mod cloud;
mod error;
pub mod examples;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
mod input;
mod manifest;
mod output;
mod target;
pub mod x509;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use serde::Serialize;

pub use chip::attest::statement::Statement;
pub use chip::provision::pin::PinSetup;
pub use chip::provision::plan::{Plan, Standing};
pub use chip::provision::work::Work;
pub use error::{Error, Result};
use output::{Outcome, Output};
use target::Selection;

/// The heading of the options that every command has.
const FOR_ALL: &str = "Options of all commands";

/// Manage an ATECC608 secure element.
#[derive(Debug, Parser)]
#[command(
    name = "atecc608",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done; 1 failed (standard error has what, where and what to do); 2 wrong usage; 3 done, with a \
                  negative result: doctor found a problem, scan found no ATECC608, config diff found a difference.\n\
                  The configuration is the file that $ATECC608_PKCS11_CONF names, else /etc/atecc608-pkcs11/config.toml."
)]
pub struct Arguments {
    /// Print one JSON object instead of text (docs/json.md)
    #[arg(long, global = true, help_heading = FOR_ALL)]
    json: bool,
    /// Print only the result, warnings and errors
    #[arg(long, short, global = true, help_heading = FOR_ALL)]
    quiet: bool,
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", help_heading = FOR_ALL)]
    config: Option<PathBuf>,
    /// Which chip, if several are configured: its token's label, serial number or PKCS#11 slot
    #[arg(long, global = true, value_name = "LABEL|SERIAL|SLOT", help_heading = FOR_ALL)]
    token: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Chip(chip::Command),
    #[command(flatten)]
    Cloud(cloud::Command),
    /// Print the completions of a shell
    Completion(Completion),
}

/// Arguments of `completion`.
#[derive(Debug, Args)]
struct Completion {
    /// The shell
    shell: Shell,
}

/// Returns the definition of the command line, with examples.
pub fn command() -> clap::Command {
    examples::add(Arguments::command(), "")
}

/// Runs the tool with the process's arguments.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = parsed.unwrap_or_else(|error| {
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
            output::failure_object("usage", error.to_string().trim_end());
        }
        error.exit()
    });
    let json = arguments.json;
    output::be_quiet(arguments.quiet);
    match run(arguments).and_then(|output| output.print(json)) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            output::failure(&error, json);
            Outcome::Failed.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<Output> {
    let selection = Selection { config: arguments.config, token: arguments.token };
    match arguments.command {
        Command::Chip(command) => chip::run(&selection, command, arguments.json),
        Command::Cloud(command) => cloud::run(&selection, command),
        Command::Completion(arguments) => completion(arguments.shell),
    }
}

fn completion(shell: Shell) -> Result<Output> {
    #[derive(Serialize)]
    struct Script<'a> {
        script: &'a str,
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "atecc608", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Output::new(script, &Script { script: &text })
}
