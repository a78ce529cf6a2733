// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608`: the command-line tool.

use std::process::ExitCode;

fn main() -> ExitCode {
    atecc608_cli::main()
}
