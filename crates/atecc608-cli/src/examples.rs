// SPDX-License-Identifier: MIT OR Apache-2.0
//! Examples of every command, for `--help` and the manual pages.

use clap::Command;

/// A line for each command; below it, indented, its examples.
const EXAMPLES: &str = include_str!("examples.txt");

/// Returns the examples of a command (`key generate`); an empty list for a command with subcommands only.
pub fn of(path: &str) -> Vec<&'static str> {
    let below = EXAMPLES.lines().skip_while(|line| *line != path).skip(1);
    below.map_while(|line| line.strip_prefix("  ")).collect()
}

/// Adds the examples to a command and its subcommands. `path` is the command's name without the program's.
pub(crate) fn add(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}");
        command.mut_subcommand(name, |below| add(below, path.trim()))
    });
    let examples = of(path);
    if examples.is_empty() {
        return command;
    }
    let mut text = format!("Examples:\n  {}", examples.join("\n  "));
    if let Some(more) = command.get_after_help() {
        text = format!("{more}\n\n{text}");
    }
    command.after_help(text)
}
