// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/reliability.md names tests that exist.

use std::fs;
use std::path::Path;

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The tests in the last column of the tables of promises, as file and function. Tables of figures follow them.
fn named(page: &str) -> Vec<(String, String)> {
    let (promises, _) = page.split_once("\n## Bad bus\n").unwrap();
    let rows = promises.lines().filter(|line| line.starts_with("| ") && line.ends_with(" |"));
    let cells = rows.map(|row| row.trim_end_matches(" |").rsplit(" | ").next().unwrap());
    cells
        .filter(|cell| *cell != "test" && !cell.starts_with("---"))
        .flat_map(|cell| {
            let quoted: Vec<String> = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            assert!(quoted.len() >= 2 && quoted.len() % 2 == 0, "no pairs of a file and a test: {cell}");
            quoted.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let tests = named(&read("docs/reliability.md").unwrap());
    assert!(tests.len() > 40, "only {} tests were found", tests.len());
    let is_there = |(file, test): &(String, String)| {
        let text = read(file).unwrap_or_default();
        text.contains(&format!("#[test]\nfn {test}(")) || text.contains(&format!("#[test]\n    fn {test}("))
    };
    let missing: Vec<_> = tests.iter().filter(|test| !is_there(test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
