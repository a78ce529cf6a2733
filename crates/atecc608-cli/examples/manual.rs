// SPDX-License-Identifier: MIT OR Apache-2.0
//! Manual pages and shell completions of `atecc608` and `atecc608-sim`, generated from the definitions of their command
//! lines.
//!
//!     cargo run -p atecc608-cli --example manual -- FOLDER DATE
//!
//! FOLDER/man1 gets a page for each command and subcommand, with that date; FOLDER/bash, FOLDER/zsh and FOLDER/fish the
//! completions, under the names that these shells look for. The pages of sections 5 and 8 are in `docs/man`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use atecc608_cli as cli;
use atecc608_sim as sim;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

/// The shells, and the folders their completions are put into.
const SHELLS: [(Shell, &str); 3] = [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")];

/// The sections that every page of atecc608 has.
const OF_THE_TOOL: &[u8] = b".SH FILES
.TP
/etc/atecc608-pkcs11/config.toml
The configuration, see
.BR atecc608\\-pkcs11 (5).
.TP
/etc/atecc608-pkcs11/keys/
The chips' IO protection keys. Only root writes them.
.TP
/var/lib/atecc608-pkcs11/
Labels, ids and certificates of each chip.
.SH ENVIRONMENT
.TP
ATECC608_PKCS11_CONF
The configuration, instead of the file above.
.TP
ATECC608_LOG
LEVEL or LEVEL:FILE: off, error, warn, info, debug or trace.
.TP
NO_COLOR
Set and not empty: no colours.
.SH \"EXIT STATUS\"
.TP
0
Done.
.TP
1
Failed. Standard error has what, where and what to do.
.TP
2
Wrong usage.
.TP
3
Done, with a negative result: for example doctor found a problem.
";
/// The simulator's.
const OF_THE_SIMULATOR: &[u8] =
    b".SH \"EXIT STATUS\"\n0: done. 1: failed; standard error has the cause. 2: wrong usage.\n";
/// The pages of sections 5 and 8, and the program's page.
const SEE_ALSO: &[u8] = b".SH \"SEE ALSO\"\n.BR atecc608 (1),\n.BR atecc608\\-pkcs11 (5),\n.BR atecc608\\-pkcs11 (8)\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, date] = arguments.as_slice() else {
        eprintln!("usage: manual FOLDER DATE");
        return ExitCode::from(2);
    };
    let folder = Path::new(folder);
    for command in [cli::Arguments::command(), sim::arguments::Arguments::command()] {
        if let Err(error) = write(command, folder, date) {
            eprintln!("manual: {}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Writes everything about one program.
fn write(mut command: Command, folder: &Path, date: &str) -> io::Result<()> {
    for (shell, name) in SHELLS {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let program = command.get_name().to_owned();
        let path = clap_complete::generate_to(shell, &mut command.clone(), &program, &folder)?;
        // bash-completion loads the file with exactly the command's name.
        if shell == Shell::Bash {
            fs::rename(path, folder.join(program))?;
        }
    }
    let pages = folder.join("man1");
    fs::create_dir_all(&pages)?;
    // The subcommand `help` has no page: each page has its text.
    command = command.disable_help_subcommand(true);
    // Sets the subcommands' full names and the global options.
    command.build();
    write_page(&command, &pages, date)
}

/// Writes the page of a command, and those of its subcommands.
fn write_page(command: &Command, folder: &Path, date: &str) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(date)
        .source(concat!("atecc608-pkcs11 ", env!("CARGO_PKG_VERSION")))
        .manual("atecc608-pkcs11");
    let mut page = Vec::new();
    man.render(&mut page)?;
    match command.get_bin_name().unwrap_or(name).split_once(' ') {
        _ if name.starts_with("atecc608-sim") => page.extend_from_slice(OF_THE_SIMULATOR),
        path => {
            let examples = cli::examples::of(path.map_or("", |(_, path)| path));
            if !examples.is_empty() {
                writeln!(page, ".SH EXAMPLES\n.nf\n{}\n.fi", examples.join("\n").replace('-', "\\-"))?;
            }
            page.extend_from_slice(OF_THE_TOOL);
        }
    }
    page.extend_from_slice(SEE_ALSO);
    fs::write(folder.join(man.get_filename()), page)?;
    command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .try_for_each(|subcommand| write_page(subcommand, folder, date))
}
