//! docs/tool.md has every command of the tool, and no other; every command can print JSON and says what its exit status means.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use atecc608_pkcs11::cli::Arguments;
use clap::CommandFactory;

/// `config get`, ...: the commands that do something.
fn commands(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        let name = format!("{path} {}", sub.get_name()).trim().to_owned();
        if sub.has_subcommands() {
            commands(sub, &name, found);
        } else {
            found.insert(name);
        }
    }
}

#[test]
fn the_page_lists_every_command() {
    let mut found = BTreeSet::new();
    commands(&Arguments::command(), "", &mut found);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tool.md")).unwrap();
    let table = page.split("## Commands").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeSet<String> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(listed, found);
}

#[test]
fn help_tells_the_exit_status() {
    let help = Arguments::command().render_help().to_string();
    assert!(help.contains("Exit status: 0 done, 1 failed"), "{help}");
}
