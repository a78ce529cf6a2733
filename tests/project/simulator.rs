// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/simulator.md agrees with the sources: every switch, fault, profile and command, and the image file's format.

use std::fs;

use atecc608_sim::Profile;
use atecc608_wire::Opcode;

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn assert_rows(path: &str, rows: impl Iterator<Item = String>, at_least: usize) {
    let (document, mut count) = (read("docs/simulator.md"), 0);
    for row in rows {
        assert!(document.lines().any(|line| line == row), "docs/simulator.md lacks what {path} says:\n{row}");
        count += 1;
    }
    assert!(count >= at_least, "only {count} rows were found in {path}");
}

/// The tables in the documentation of a module.
fn table_rows(path: &str) -> Vec<String> {
    let text = read(path);
    text.lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.starts_with('|'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tables_of_faults_and_of_the_image_file_are_the_sources() {
    for (path, at_least) in [("crates/atecc608-sim/src/faults.rs", 15), ("crates/atecc608-sim/src/image.rs", 8)] {
        assert_rows(path, table_rows(path).into_iter(), at_least);
    }
}

#[test]
fn every_switch_is_there_with_its_meaning() {
    let source = read("crates/atecc608-sim/src/switches.rs");
    let fields = source.split_once("pub struct Switches {").unwrap().1.split_once("\n}").unwrap().0;
    let (mut rows, mut meaning) = (Vec::new(), Vec::new());
    for line in fields.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            meaning.push(text);
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            let text = meaning
                .join(" ")
                .replace('|', "\\|")
                .replace("[`super::SimChip::blank_with`]", "`SimChip::blank_with`");
            rows.push(format!("| `{name}` | {text} |"));
            meaning.clear();
        }
    }
    assert_rows("crates/atecc608-sim/src/switches.rs", rows.into_iter(), 50);
}

#[test]
fn each_switch_has_a_question_to_a_real_chip_or_a_reason_why_it_has_none() {
    // examples/hardware_report/tests.rs checks that each of the others is measured.
    let source = read("crates/atecc608-token/examples/hardware_report/tests.rs");
    let unseen = source.split_once("const UNSEEN: &[(&str, &str)] = &[").unwrap().1.split_once("];").unwrap().0;
    let document = read("docs/hardware-check.md");
    let mut without = 0;
    for line in unseen.lines().filter_map(|line| line.trim().strip_prefix("(\"")) {
        let (name, why) = line.trim_end_matches("\"),").split_once("\", \"").unwrap();
        let row = format!("| `{name}` | {why} |");
        assert!(document.lines().any(|line| line == row), "docs/hardware-check.md lacks {row}");
        without += 1;
    }
    let all = atecc608_sim::Switches::default().positions().len();
    let counts =
        format!("There are {all}. `scripts/hardware-check.sh` asks a real chip about {} of them", all - without);
    assert!(read("docs/simulator.md").contains(&counts), "docs/simulator.md does not say: {counts}");
}

#[test]
fn every_profile_and_every_command_is_there() {
    let document = read("docs/simulator.md");
    for profile in Profile::ALL {
        assert!(document.contains(&format!("`{}`", profile.name())), "{}", profile.name());
    }
    for opcode in Opcode::ALL {
        let row = format!("| {opcode} | ");
        assert!(document.lines().any(|line| line.starts_with(&row)), "{row}");
    }
}

#[test]
fn every_file_it_names_is_there() {
    let document = read("docs/simulator.md");
    let evidence = document.split_once("## What stands behind each command").unwrap().1;
    let evidence = evidence.split_once("## The uncertain points").unwrap().0;
    let mut count = 0;
    for name in evidence.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") || name.ends_with(".py")) {
        let places = [format!("crates/atecc608-sim/tests/it/{name}"), format!("tests/vendor/{name}"), name.to_owned()];
        let root = env!("CARGO_MANIFEST_DIR");
        assert!(places.iter().any(|place| fs::metadata(format!("{root}/{place}")).is_ok()), "{name} is missing");
        count += 1;
    }
    assert!(count > 20);
}
