// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/json.md has every field of the output of `--json`, with its type, and no other field: the commands run on
//! simulated chips, and their objects are compared with the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;

use crate::batch::{Station, CA};
use crate::between_locks::lock_own_configuration;
use crate::latch;
use crate::page::commands;
use crate::pair::trust_and_go;
use crate::support::x509::{authority, ecparam_key, ok};
use crate::support::Bench;
use atecc608_cli::Arguments;
use atecc608_wire::config_zone::offset;
use clap::CommandFactory;
use serde_json::Value;

/// The words that the row of a field must have if no run here prints the field.
const ELSEWHERE: [&str; 3] = ["(cloud)", "(PIN)", "(fault)"];
/// The section of the object that is printed instead of a result.
const FAILURE: &str = "failure";

/// Paths (`slots[].label`) and the JSON types that were seen for them.
type Paths = BTreeMap<String, BTreeSet<&'static str>>;

#[derive(Default)]
struct Seen {
    /// By command.
    paths: BTreeMap<String, Paths>,
    /// Runs without the required result.
    failed: Vec<String>,
}

impl Seen {
    fn run(&mut self, bench: &Bench, command: &str, more: &[&str]) -> Value {
        let words: Vec<&str> = command.split(' ').chain(more.iter().copied()).chain(["--json"]).collect();
        self.take(command, &bench.run(&words))
    }

    fn take(&mut self, command: &str, output: &Output) -> Value {
        let value: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{command}: {e}: {output:?}"));
        // Files with a format of their own have its version.
        assert!(value["schema"] == 1 || value["version"] == 1, "{command}: {value:#}");
        let section = if value.get("code").is_some() { FAILURE } else { command };
        flatten(&value, "", self.paths.entry(section.to_owned()).or_default());
        value
    }

    /// A run that must have a result.
    fn done(&mut self, bench: &Bench, command: &str, more: &[&str]) {
        let value = self.run(bench, command, more);
        if value.get("code").is_some() {
            self.failed.push(format!("{command} {more:?}: {}", value["error"]));
        }
    }
}

fn flatten(value: &Value, path: &str, paths: &mut Paths) {
    let mut note = |kind| {
        if !path.is_empty() {
            paths.entry(path.to_owned()).or_default().insert(kind);
        }
    };
    match value {
        Value::Null => note("null"),
        Value::Bool(_) => note("boolean"),
        Value::Number(_) => note("number"),
        Value::String(_) => note("string"),
        Value::Array(elements) => {
            note("list");
            elements.iter().for_each(|element| flatten(element, &format!("{path}[]"), paths));
        }
        Value::Object(fields) => {
            note("object");
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(field, &path, paths);
            }
        }
    }
}

/// A row of the page.
#[derive(Clone, Debug)]
struct Row {
    path: String,
    kind: String,
    when: String,
    /// The object that is described once, and the path in it, if the row is of one.
    of: Option<(String, String)>,
}

/// The page: the rows of each command, and those of the objects that several commands have.
struct Page {
    commands: BTreeMap<String, Vec<Row>>,
}

impl Page {
    fn read() -> Self {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md")).unwrap();
        let (mut commands, mut shared) = (BTreeMap::new(), BTreeMap::new());
        for (heading, body) in page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')) {
            let rows: Vec<Row> = body.lines().filter_map(row).collect();
            let names: Vec<String> = heading.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            match heading.strip_prefix("Object: ") {
                Some(name) => drop(shared.insert(name.to_owned(), rows)),
                None if heading == "Failures" => drop(commands.insert(FAILURE.to_owned(), rows)),
                None => names.into_iter().for_each(|name| drop(commands.insert(name, rows.clone()))),
            }
        }
        for rows in commands.values_mut() {
            *rows = rows.iter().flat_map(|row| expanded(row, &shared)).collect();
        }
        Self { commands }
    }
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
    let [path, kind, when, _] = cells[..] else { panic!("a row has four cells: {line}") };
    Some(Row { path: path.trim_end_matches('`').to_owned(), kind: kind.to_owned(), when: when.to_owned(), of: None })
}

/// A row of the type `list of [check](#object-check)` stands for the rows of that object, too.
fn expanded(row: &Row, shared: &BTreeMap<String, Vec<Row>>) -> Vec<Row> {
    let mut rows = vec![row.clone()];
    if let Some(name) = row.kind.split_once('[').and_then(|(_, rest)| rest.split(']').next()) {
        let element = if row.kind.starts_with("list") { "[]" } else { "" };
        for field in shared.get(name).unwrap_or_else(|| panic!("no section \"Object: {name}\"")) {
            let of = Some((name.to_owned(), field.path.clone()));
            let field = Row { path: format!("{}{element}.{}", row.path, field.path), of, ..field.clone() };
            rows.extend(expanded(&field, shared));
        }
    }
    rows
}

/// Whether a row's type, such as `string or null` or `list of [check](#object-check)`, allows this JSON type. `element`
/// is of a list.
fn says(told: &str, kind: &str, element: bool) -> bool {
    let (told, of_list) = told.strip_prefix("list of ").map_or((told, false), |rest| (rest, true));
    if of_list && !element {
        return kind == "list";
    }
    let mut words = told.split(" or ").map(|word| if word.starts_with('[') { "object" } else { word });
    of_list == element && words.any(|word| word.trim_end_matches('s').trim_start_matches("free ") == kind)
}

/// Returns what is wrong with a section: missing fields, and types that differ.
fn problems(command: &str, rows: &[Row], seen: &Paths) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, kinds) in seen {
        let free = |row: &Row| row.kind.starts_with("free object") && path.starts_with(&format!("{}.", row.path));
        if rows.iter().any(free) || path == "schema" {
            continue;
        }
        // The elements of a list are described with the list unless they are objects.
        let list = path.trim_end_matches("[]");
        let Some(row) = rows.iter().find(|row| row.path == list) else {
            problems.push(format!("{command}: `{path}` ({kinds:?}) is not on the page"));
            continue;
        };
        for kind in kinds.iter().filter(|kind| !says(&row.kind, kind, list != path)) {
            problems.push(format!("{command}: `{path}` is a {kind}; the page says {}", row.kind));
        }
    }
    problems
}

#[test]
fn the_page_has_every_field_that_is_printed_and_no_other() {
    let (page, seen) = (Page::read(), everything());
    let mut wrong = seen.failed.clone();
    let (mut shared, mut shared_seen) = (BTreeMap::new(), BTreeSet::new());
    for (command, rows) in &page.commands {
        let paths = seen.paths.get(command).cloned().unwrap_or_default();
        wrong.extend(problems(command, rows, &paths));
        for row in rows {
            let here = paths.contains_key(&row.path);
            let marked = ELSEWHERE.iter().any(|mark| row.when.contains(mark));
            if here && marked {
                wrong.push(format!("{command}: `{}` was seen, and the page says {}", row.path, row.when));
            }
            match &row.of {
                // An object of several commands has all its fields in at least one of them.
                Some(of) if here => drop(shared_seen.insert(of.clone())),
                Some(of) => drop(shared.insert(of.clone(), marked)),
                // One section may be of several commands.
                None if !here && !marked && !seen_elsewhere(&page, &seen, command, row) => {
                    wrong.push(format!("{command}: `{}` was never seen", row.path));
                }
                None => {}
            }
        }
    }
    for ((name, path), marked) in shared {
        if !marked && !shared_seen.contains(&(name.clone(), path.clone())) {
            wrong.push(format!("Object: {name}: `{path}` was never seen"));
        }
    }
    for command in seen.paths.keys().filter(|command| !page.commands.contains_key(*command)) {
        wrong.push(format!("{command} has no section: {:?}", seen.paths[command]));
    }
    assert!(wrong.is_empty(), "{} problems\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether another command of the same section has the field.
fn seen_elsewhere(page: &Page, seen: &Seen, command: &str, row: &Row) -> bool {
    let same = |rows: &[Row]| {
        let paths = |rows: &[Row]| rows.iter().map(|row| row.path.clone()).collect::<Vec<_>>();
        paths(rows) == paths(&page.commands[command])
    };
    let others = page.commands.iter().filter(|(_, rows)| same(rows));
    others.filter_map(|(name, _)| seen.paths.get(name)).any(|paths| paths.contains_key(&row.path))
}

#[test]
fn every_command_has_a_section() {
    let mut all = BTreeSet::new();
    commands(&Arguments::command(), "", &mut all);
    all.extend(
        ["provision --batch", "aws setup --dry-run", "aws claim --dry-run", "azure setup --dry-run", FAILURE]
            .map(str::to_owned),
    );
    let sections: BTreeSet<String> = Page::read().commands.into_keys().collect();
    assert_eq!(sections, all);
}

#[test]
fn a_field_that_is_missing_or_of_another_type_is_found() {
    let rows = [row("| `slots` | list of objects | always | x |"), row("| `slots[].slot` | string | always | x |")]
        .map(Option::unwrap);
    let mut seen = Paths::new();
    flatten(&serde_json::json!({ "slots": [{ "slot": 1, "label": null }] }), "", &mut seen);
    let found = problems("x", &rows, &seen).join("\n");
    assert!(found.contains("`slots[].label` ({\"null\"}) is not on the page"), "{found}");
    assert!(found.contains("`slots[].slot` is a number"), "{found}");
    assert_eq!(problems("x", &rows, &seen).len(), 2, "{found}");
    for (told, kind, element) in
        [("list of strings", "string", false), ("string", "null", false), ("list of strings", "number", true)]
    {
        assert!(!says(told, kind, element), "{told}: {kind}");
    }
}

fn everything() -> Seen {
    let mut seen = Seen::default();
    blank(&mut seen);
    between_locks(&mut seen);
    provisioned(&mut seen);
    clouds(&mut seen);
    with_a_pin(&mut seen);
    as_sold(&mut seen);
    behind_the_latch(&mut seen);
    batch(&mut seen);
    seen
}

fn blank(seen: &mut Seen) {
    let bench = Bench::new();
    fs::create_dir(bench.path("store")).unwrap();
    fs::write(bench.path("store/0.conf"), "interface = i2c,0xB0,0,400000\nobject = private,device,0\n").unwrap();
    for (command, more) in [
        ("scan", &[][..]),
        ("info", &[]),
        ("address", &[]),
        ("address set", &["0x61", "--dry-run"]),
        ("doctor", &[]),
        ("selftest", &[]),
        ("latch show", &[]),
        ("config get", &[]),
        ("config diff", &["profile:tls"]),
        ("config check", &[]),
        ("config set", &["profile:tls", "--dry-run"]),
        ("provision", &["tls"]),
        ("lock config", &[]),
        ("import-config", &["store"]),
        ("import-config", &["store", "--output", "imported.toml"]),
        ("completion", &["bash"]),
        ("recovery-code", &[]),
    ] {
        seen.done(&bench, command, more);
    }
    seen.run(&bench, "config set", &["nowhere"]);
    let mut moved = bench.image().config().to_vec();
    moved[offset::I2C_ADDRESS] = 0xC2;
    fs::write(bench.path("moved.hex"), moved.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).unwrap();
    seen.done(&bench, "config set", &["moved.hex", "--dry-run"]);
    seen.done(&bench, "config set", &["profile:tls-pin"]);
    seen.done(&bench, "address set", &["0x61"]);
    let empty = Bench::with_config(|_| String::new());
    let init = ["--config", "new.toml", "--simulated", "chip-2", "--label", "other", "--state-dir", "state-2"];
    seen.done(&empty, "init", &init);
}

fn between_locks(seen: &mut Seen) {
    let bench = Bench::new();
    lock_own_configuration(&bench);
    seen.done(&bench, "lock config", &[]);
    seen.done(&bench, "lock data", &[]);
    for slot in ["1", "2"] {
        seen.done(&bench, "key generate", &["--slot", slot]);
    }
    seen.done(&bench, "lock data", &["--lock-forever"]);
}

fn provisioned(seen: &mut Seen) {
    let bench = Bench::new();
    seen.done(&bench, "provision", &["tls", "--lock-forever"]);
    ecparam_key(bench.dir.path(), "mine.key");
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
    fs::write(bench.path("data"), "sixteen bytes of").unwrap();
    let issue = ["--key", "dev-key", "--subject", "/CN=x", "--ca", "ca.pem", "--ca-key", "ca.key"];
    for (command, more) in [
        ("key generate", &["--label", "dev-key"][..]),
        ("key generate", &["--label", "old"]),
        ("key destroy", &["--key", "old", "--yes"]),
        ("key import", &["mine.key", "--label", "imported"]),
        ("key public", &["--key", "dev-key"]),
        ("key list", &[]),
        ("csr", &["--key", "dev-key", "--subject", "/CN=x", "--san", "DNS:x.example"]),
        ("csr", &["--key", "dev-key", "--subject", "/CN=x", "--output", "x.csr"]),
        ("cert self-sign", &["--key", "dev-key", "--subject", "/CN=x", "--output", "self.pem"]),
        ("cert issue", &[&issue[..], &["--store", "--san", "DNS:x.example"]].concat()),
        ("cert import", &["ca.pem"]),
        ("cert list", &[]),
        ("cert export", &["--label", "dev-key"]),
        ("cert export", &["--label", "dev-key", "--output", "out.pem"]),
        ("cert remove", &["--label", "dev-key"]),
        ("data write", &["data", "--slot", "10"]),
        ("data read", &["--slot", "10"]),
        ("data read", &["--slot", "10", "--output", "out.bin"]),
        ("counter", &[]),
        ("random", &["16"]),
        ("trust", &[]),
        ("info", &[]),
        ("doctor", &[]),
        ("address", &[]),
        ("attest", &["--public"]),
        ("lock slot", &["0"]),
        ("verify-attestation", &["birth.json", "--attestation-key", "attestation.pem", "--any-challenge"]),
    ] {
        if command == "verify-attestation" {
            let challenge = ["attest", "--key", "dev-key", "--challenge", "00112233445566778899aabbccddeeff00112233"];
            let statement = bench.run(&challenge);
            ok(&statement);
            seen.take("attest", &statement);
            fs::write(bench.path("birth.json"), &statement.stdout).unwrap();
            fs::write(bench.path("attestation.pem"), bench.run(&["attest", "--public"]).stdout).unwrap();
        }
        seen.done(&bench, command, more);
    }
    fs::remove_dir_all(bench.path("state")).unwrap();
    fs::create_dir(bench.path("state")).unwrap();
    seen.done(&bench, "key empty", &["--slot", "5"]);
}

fn clouds(seen: &mut Seen) {
    let bench = Bench::new();
    bench.provision();
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
    fs::write(bench.path("module.so"), "a module").unwrap();
    let thing = ["--thing", "gateway-1", "--dir", "aws", "--root-ca", "ca.pem", "--module", "module.so"];
    let own = ["--ca-cert", "ca.pem", "--ca-key", "ca.key", "--endpoint", "a-ats.iot.eu-west-1.amazonaws.com"];
    let planned = bench.run(&[&["aws", "setup", "--json", "--dry-run"], &thing[..]].concat());
    seen.take("aws setup --dry-run", &planned);
    seen.done(&bench, "aws setup", &[&thing[..], &own].concat());
    seen.done(&bench, "aws check", &["--dir", "aws", "--module", "module.so"]);
    seen.done(&bench, "aws refresh", &["--dir", "aws", "--module", "module.so"]);
    let claim =
        ["aws", "claim", "--template", "fleet", "--endpoint", "localhost", "--parameter", "A=b", "--dry-run", "--json"];
    seen.take("aws claim --dry-run", &bench.run(&[&claim[..], &["--claim-key", "none.key"]].concat()));
    let device = ["--device", "gateway-1", "--hub", "acme", "--dir", "azure"];
    let planned = bench.run(&[&["azure", "setup", "--json", "--dry-run"], &device[..]].concat());
    seen.take("azure setup --dry-run", &planned);
    seen.done(&bench, "azure setup", &[&device[..], &["--offline"]].concat());
}

fn with_a_pin(seen: &mut Seen) {
    let bench = Bench::new();
    for (name, pin) in [("first", "correct horse\n"), ("second", "battery staple\n")] {
        fs::write(bench.path(name), pin).unwrap();
    }
    seen.done(&bench, "provision", &["tls-pin", "--lock-forever", "--recovery-code-file", "code"]);
    seen.done(&bench, "pin init", &["--recovery-code-file", "code", "--new-pin-file", "first"]);
    seen.done(&bench, "pin reset", &["--recovery-code-file", "code", "--new-pin-file", "second"]);
    seen.done(&bench, "recovery-code", &["--set", "--recovery-code-file", "code", "--new-recovery-code-file", "new"]);
}

fn as_sold(seen: &mut Seen) {
    let bench = trust_and_go();
    for command in ["info", "scan", "pair", "cert list", "key list", "address"] {
        seen.done(&bench, command, &[]);
    }
}

fn behind_the_latch(seen: &mut Seen) {
    let (bench, _server, secret) = latch::behind();
    let secret = secret.display().to_string();
    for command in ["latch set", "latch clear"] {
        seen.done(&bench, command, &["--secret-file", &secret]);
    }
    for command in ["latch show", "info", "key list"] {
        seen.done(&bench, command, &[]);
    }
}

fn batch(seen: &mut Seen) {
    let station = Station::new(1);
    station.make_ca();
    let batch = ["provision", "tls", "--batch", "station.toml", "--manifest", "manifest", "--json"];
    for more in [&[][..], &["--lock-forever"]] {
        let output = station.tool(&[&batch[..], &CA, more].concat()).output().unwrap();
        seen.take("provision --batch", &output);
    }
    for (command, more) in
        [("list", &[][..]), ("check", &[]), ("aws", &[]), ("aws", &["--certificates"]), ("azure", &[])]
    {
        let output = station.tool(&[&["manifest", command, "manifest", "--json"], more].concat()).output().unwrap();
        seen.take(&format!("manifest {command}"), &output);
    }
}
