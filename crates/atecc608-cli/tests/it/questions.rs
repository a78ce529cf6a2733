// SPDX-License-Identifier: MIT OR Apache-2.0
//! A chip that fails during a query is never reported as good: every query of the commands that inspect a chip is
//! refused in turn, and left without a response. The output is then an error, or says that something is unknown; it is
//! never wrong.

use std::process::{Command, Output};

use crate::support::{control, served, stderr, stdout, Bench, Server};
use atecc608_testkit::built;
use serde_json::Value;

/// A provisioned chip with a key, one that was destroyed, and the output while nothing fails.
struct Healthy {
    bench: Bench,
    _server: Server,
    command: Vec<String>,
    text: String,
    json: Value,
}

impl Healthy {
    fn new(command: &[&str]) -> Self {
        let (bench, server) = served();
        bench.provision();
        for arguments in [
            &["key", "generate", "--label", "mine"][..],
            &["key", "generate", "--label", "old"],
            &["key", "destroy", "--key", "old", "--yes"],
            &["key", "list"],
        ] {
            let output = bench.run(arguments);
            assert!(output.status.success(), "{output:?}");
        }
        let command: Vec<String> = command.iter().map(|word| word.to_string()).collect();
        let mut healthy = Self { bench, _server: server, command, text: String::new(), json: Value::Null };
        (healthy.text, healthy.json) = (stdout(&healthy.run(&[])), json(&healthy.run(&["--json"])));
        healthy
    }

    fn run(&self, more: &[&str]) -> Output {
        let words: Vec<&str> = self.command.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.bench.run(&words)
    }

    /// Runs the command with these faults; returns how many commands and transfers the chip saw.
    fn with(&self, faults: &str, more: &[&str]) -> (Output, u64, u64) {
        control(&self.bench, &["insert"]);
        control(&self.bench, &["faults", faults]);
        self.stats();
        let output = self.run(more);
        let stats = self.stats();
        control(&self.bench, &["faults", "none"]);
        control(&self.bench, &["insert"]);
        let commands = stats["commands"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert!(!stderr(&output).contains("panicked"), "{faults}: {output:?}");
        (output, commands, stats["transfers"].as_u64().unwrap())
    }

    /// The counters since the last call.
    fn stats(&self) -> Value {
        let mut stats = Command::new(built::simulator());
        stats.args(["stats", "--reset", "--socket"]).arg(self.bench.path("socket"));
        serde_json::from_slice(&stats.output().unwrap().stdout).unwrap()
    }

    /// Text and JSON both show that something failed.
    fn assert_shown(&self, faults: &str, text: &Output, json_output: &Output) {
        // Where no output depends on the revision the line in the log is enough; doctor's is the module's, which
        // queries it, too.
        let rests_not_on_it = ["key", "config", "doctor"].contains(&&*self.command[0]);
        let only_logged = |output: &Output| rests_not_on_it && stderr(output).contains("its revision");
        assert!(stdout(text) != self.text || only_logged(text), "{faults}: as if nothing had failed");
        assert!(json(json_output) != self.json || only_logged(json_output), "{faults}: as if nothing had failed");
        for output in [text, json_output].into_iter().filter(|output| !only_logged(output)) {
            let shown = stdout(output) + &stderr(output);
            let said = [
                "refuse",
                "unknown",
                "can't be read",
                "no chip responds",
                "nothing responds",
                "stopped responding",
                "\"found\": 0",
            ];
            assert!(said.iter().any(|word| shown.contains(word)), "{faults}: {shown}");
            for wrong in ["generates one", "Nothing is broken"] {
                assert!(!shown.contains(wrong), "{faults}: {shown}");
            }
        }
    }

    /// Nothing was lost by it.
    fn assert_as_before(&self) {
        assert_eq!((stdout(&self.run(&[])), json(&self.run(&["--json"]))), (self.text.clone(), self.json.clone()));
    }

    fn every_question_is_refused_in_turn(&self) {
        for status in ["03", "0F"] {
            for number in 1.. {
                let faults = format!("status@{number}:{status}");
                let (text, commands, _) = self.with(&faults, &[]);
                let (json, ..) = self.with(&faults, &["--json"]);
                if commands < number {
                    assert!(number > 4, "{faults}: nothing was asked");
                    break;
                }
                self.assert_shown(&faults, &text, &json);
            }
        }
        self.assert_as_before();
    }

    fn every_reply_is_lost_in_turn(&self) {
        for number in 1.. {
            let faults = format!("drop@{number}");
            let (text, commands, _) = self.with(&faults, &[]);
            // Queried again, the chip responds.
            assert_eq!(stdout(&text), self.text, "{faults}: {text:?}");
            if commands < number {
                break;
            }
        }
    }

    fn a_chip_that_is_pulled_on_the_way_is_missed(&self) {
        for number in (1_u64..).map(|n| n * n) {
            let faults = format!("pull@{number}");
            let (text, _, transfers) = self.with(&faults, &[]);
            if transfers < number || stdout(&text) == self.text && transfers < number + 4 {
                // At the end it is only put to sleep.
                assert!(number > 9, "{faults}: nothing was asked");
                break;
            }
            let (json, ..) = self.with(&faults, &["--json"]);
            self.assert_shown(&faults, &text, &json);
        }
        self.assert_as_before();
    }

    fn never_well_while_it_fails(command: &[&str]) {
        let healthy = Self::new(command);
        healthy.every_question_is_refused_in_turn();
        healthy.every_reply_is_lost_in_turn();
        healthy.a_chip_that_is_pulled_on_the_way_is_missed();
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn module() -> String {
    built::module().to_str().unwrap().to_owned()
}

#[test]
fn info_never_reports_a_failing_chip_as_good() {
    Healthy::never_well_while_it_fails(&["info"]);
}

#[test]
fn key_list_never_reports_a_failing_chip_as_good() {
    Healthy::never_well_while_it_fails(&["key", "list"]);
}

#[test]
fn config_check_never_reports_a_failing_chip_as_good() {
    Healthy::never_well_while_it_fails(&["config", "check"]);
}

#[test]
fn scan_never_reports_a_failing_chip_as_good() {
    Healthy::never_well_while_it_fails(&["scan"]);
}

#[test]
fn doctor_never_reports_a_failing_chip_as_good() {
    Healthy::never_well_while_it_fails(&["doctor", "--module", &module()]);
}

#[test]
fn doctor_reports_a_chip_that_refuses_every_few_commands_as_broken() {
    let healthy = Healthy::new(&["doctor", "--module", &module()]);
    for every in 5..=9 {
        let faults: Vec<String> = (1..40).map(|n| format!("status@{}:03", n * every)).collect();
        let (text, ..) = healthy.with(&faults.join(","), &[]);
        let (json_output, ..) = healthy.with(&faults.join(","), &["--json"]);
        healthy.assert_shown(&format!("every {every}th"), &text, &json_output);
        assert_eq!(json(&json_output)["ok"], false);
        assert_eq!(text.status.code(), Some(3));
    }
    healthy.assert_as_before();
}

#[test]
fn a_chip_without_info_key_valid_is_shown_with_its_keys_and_gets_no_new_one() {
    let healthy = Healthy::new(&["info"]);
    control(&healthy.bench, &["faults", "refuse@30:01:03"]);
    let report = healthy.bench.json(&["info"]);
    let key = &report["slots"][0]["key"];
    assert_eq!((&key["presence"], &key["label"]), (&"present".into(), &"mine".into()), "{report:#}");
    assert_eq!(key["refused"], "parse error (status 03)");
    assert_eq!(report["slots"][2]["key"]["presence"], "destroyed");
    assert_eq!(report["slots"][3]["key"]["presence"], "none");
    let text = stdout(&healthy.bench.run(&["info"]));
    assert!(text.contains("slot 0, 1, 2, 3, 4: the chip refuses to report whether it holds a key"), "{text}");
    let list = healthy.bench.json(&["key", "list"]);
    let holds: Vec<&Value> = list["slots"].as_array().unwrap().iter().map(|slot| &slot["holds"]).collect();
    assert_eq!(holds, ["key", "empty", "empty", "empty"]);
    assert_eq!(
        (&list["slots"][1]["refused"], &list["slots"][1]["generate"]),
        (&["presence"][..].into(), &false.into())
    );
    for arguments in
        [&["key", "generate"][..], &["key", "generate", "--slot", "3"], &["key", "destroy", "--slot", "0", "--yes"]]
    {
        let output = healthy.bench.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("nothing is generated or imported there"), "{output:?}");
    }
    let output = healthy.bench.run(&["csr", "--key", "mine", "--subject", "/CN=x"]);
    assert!(output.status.success(), "{output:?}");
    control(&healthy.bench, &["faults", "none"]);
    healthy.assert_as_before();
}

#[test]
fn a_chip_without_info_key_valid_and_gen_key_public_has_unknown_slots() {
    let healthy = Healthy::new(&["key", "list"]);
    control(&healthy.bench, &["faults", "refuse@30:01:03,refuse@40:00:03"]);
    let report = healthy.bench.json(&["info"]);
    assert_eq!(report["slots"][0]["key"]["presence"], "unknown", "{report:#}");
    let list = healthy.bench.json(&["key", "list"]);
    assert!(list["slots"].as_array().unwrap().iter().all(|slot| slot["holds"] == "unknown"), "{list:#}");
    let text = stdout(&healthy.bench.run(&["key", "list"]));
    assert!(text.contains("slot  0  unknown (device)"), "{text}");
    control(&healthy.bench, &["faults", "none"]);
    healthy.assert_as_before();
}
