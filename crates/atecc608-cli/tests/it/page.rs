// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/tool.md has every command of the tool, and no other; every command can print JSON and describes its exit
//! status; the tool accepts what the pages' prose and tables quote of its command line (tests/clients/docs.sh runs the
//! blocks).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use atecc608_cli::Arguments;
use clap::error::ErrorKind;
use clap::CommandFactory;

/// `config get`, ...: the commands that are not groups.
pub fn commands(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        let name = format!("{path} {}", sub.get_name()).trim().to_owned();
        commands(sub, &name, found);
        if !sub.is_subcommand_required_set() {
            found.insert(name);
        }
    }
}

#[test]
fn the_page_lists_every_command() {
    let mut found = BTreeSet::new();
    commands(&Arguments::command(), "", &mut found);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tool.md")).unwrap();
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
    assert!(help.contains("Exit status: 0 done; 1 failed"), "{help}");
}

#[test]
fn every_command_has_two_examples_that_the_command_line_takes() {
    let mut all = BTreeSet::new();
    commands(&Arguments::command(), "", &mut all);
    for name in all {
        let examples = atecc608_cli::examples::of(&name);
        assert_eq!(examples.len(), 2, "{name}");
        for example in &examples {
            let line = example.split(['>', '<']).next().unwrap().trim_start_matches("sudo ").trim_start_matches("-E ");
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(line.starts_with(&format!("atecc608 {name}")), "{example}");
            assert!(Arguments::command().try_get_matches_from(&words).is_ok(), "{example}");
        }
        // At the end of its help.
        let help = help_of(&name);
        let words: Vec<&str> = help.split_whitespace().collect();
        assert!(help.contains("Examples:") && words.join(" ").contains(examples[1]), "{help}");
    }
}

/// The help of a command, at a terminal of 80 columns.
fn help_of(name: &str) -> String {
    let mut command = atecc608_cli::command().term_width(80);
    command.build();
    let found = name.split(' ').fold(&command, |command, word| command.find_subcommand(word).unwrap());
    found.clone().render_help().to_string()
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    let mut all = BTreeSet::new();
    commands(&Arguments::command(), "", &mut all);
    for name in all {
        let help = help_of(&name);
        // A usage line, or an example, is one command and is not wrapped.
        let options = help.split("\nExamples:").next().unwrap().lines().filter(|line| !line.starts_with("Usage:"));
        for line in options {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn completions_are_printed_for_the_usual_shells() {
    let bench = crate::support::Bench::new();
    for (shell, part) in
        [("bash", "complete -F _atecc608"), ("zsh", "#compdef atecc608"), ("fish", "complete -c atecc608")]
    {
        let output = bench.run(&["completion", shell]);
        assert!(output.status.success() && crate::support::stdout(&output).contains(part), "{output:?}");
    }
}

/// README.md and docs/*.md.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    docs.chain([root.join("README.md")]).collect()
}

/// What stands between backticks in prose and tables; a quotation may continue in the next line.
fn quotations(page: &str) -> Vec<String> {
    let prose: Vec<&str> = page.split("```").step_by(2).collect();
    let paragraphs = prose.iter().flat_map(|prose| prose.split("\n\n"));
    let quoted = paragraphs.flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
    quoted.map(|text| text.replace("\\|", "|").replace('\n', " ")).collect()
}

/// A command line of the tool that is quoted, without the tool's name: `atecc608 key list`, or `key list` for short.
fn quoted_arguments(quotation: &str) -> Option<Vec<String>> {
    let command = quotation.split(['>', '|', '<']).next().unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    let words = words.strip_prefix(&["sudo"]).unwrap_or(&words);
    let tool = Arguments::command();
    let arguments = match words {
        ["atecc608", arguments @ ..] => arguments,
        [name, second, ..] => {
            // `aws` is another program, too.
            let known = tool.find_subcommand(name)?.find_subcommand(second).is_some() || second.starts_with("--");
            known.then_some(words)?
        }
        _ => return None,
    };
    // Placeholders that the tool would not accept as values.
    let placeholders = [("COMMAND", "info"), ("HEX", "00112233445566778899aabbccddeeff00112233")];
    let meant = |word: &&str| {
        let placeholder = placeholders.iter().find(|(name, _)| name == word);
        placeholder.map_or(*word, |(_, meaning)| meaning).to_owned()
    };
    (!arguments.is_empty()).then(|| arguments.iter().map(meant).collect())
}

/// Whether the tool knows all of the quotation. Prose may leave out required arguments.
fn is_known(arguments: &[String]) -> Result<(), clap::Error> {
    use ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand,
    };
    let incomplete =
        [DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand];
    let parse = |more: Option<&str>| {
        let words = ["atecc608"].into_iter().chain(arguments.iter().map(String::as_str)).chain(more);
        match Arguments::command().try_get_matches_from(words) {
            Err(error) if !incomplete.contains(&error.kind()) => Err(error),
            _ => Ok(()),
        }
    };
    let names_an_option = arguments.last().is_some_and(|word| word.starts_with("--"));
    // That option may be named without its value.
    parse(None).or_else(|error| if names_an_option { parse(Some("VALUE")) } else { Err(error) })
}

#[test]
fn what_prose_and_tables_quote_of_the_command_line_is_on_it() {
    let (mut count, mut wrong) = (0, Vec::new());
    for path in pages() {
        for quotation in quotations(&std::fs::read_to_string(&path).unwrap()) {
            let Some(arguments) = quoted_arguments(&quotation) else { continue };
            count += 1;
            if let Err(error) = is_known(&arguments) {
                wrong.push(format!("{}: `{quotation}`: {error}", path.display()));
            }
        }
    }
    assert!(count > 100, "only {count} command lines were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_quotation_that_is_wrong_is_found() {
    for wrong in
        ["atecc608 keys list", "sudo atecc608 key generate --quick", "key list --all", "lock data --content FILE"]
    {
        let arguments = quoted_arguments(wrong).unwrap();
        assert!(is_known(&arguments).is_err(), "{wrong}");
    }
    for other in ["pkcs11-tool --login", "key", "info", "/etc/atecc608-pkcs11"] {
        assert_eq!(quoted_arguments(other), None);
    }
}
