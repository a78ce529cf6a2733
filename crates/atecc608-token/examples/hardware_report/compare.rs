// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares two reports: the differences in behaviour between a chip and the simulated one, or between two chips.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::report::{Finding, Measure, Report, Timing};

/// The result of a comparison.
pub struct Comparison {
    /// The text to print.
    pub text: String,
    /// Number of relevant differences: in behaviour, or a time beyond a guaranteed limit.
    pub differences: usize,
}

/// Compares a report with another one, for example that of the simulated chip.
pub fn compare(ours: &Report, other: &Report) -> Comparison {
    let mut out = Comparison { text: String::new(), differences: 0 };
    out.line(&format!("first:  {} at {}, {}", ours.chip.model, ours.host.address, ours.host.bus));
    out.line(&format!("second: {} at {}, {}", other.chip.model, other.host.address, other.host.bus));
    out.line("");
    out.findings(&ours.findings, &other.findings);
    out.promises(ours);
    out.timings(&ours.timings, &other.timings);
    let differences = out.differences;
    out.line("");
    match differences {
        0 => out.line("no differences in behaviour"),
        n => {
            out.line(&format!("{n} differences in behaviour"));
            out.line(&format!("the first behaves as: atecc608-sim serve --switches {}", ours.switches));
        }
    }
    out
}

impl Comparison {
    fn line(&mut self, text: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{text}");
    }

    fn findings(&mut self, ours: &[Finding], others: &[Finding]) {
        let key = |finding: &Finding| (finding.state.clone(), finding.name.clone());
        let others: BTreeMap<_, _> = others.iter().map(|finding| (key(finding), finding)).collect();
        let (mut same, mut unasked) = (0, Vec::new());
        for finding in ours {
            let other = others.get(&key(finding));
            match (&finding.seen, other.and_then(|other| other.seen.as_ref())) {
                (Some(seen), Some(theirs)) if seen == theirs => same += 1,
                (Some(seen), Some(theirs)) => self.difference(finding, seen, theirs),
                (Some(seen), None) => {
                    self.first_only(finding, seen, other.and_then(|other| other.not_asked.as_deref()))
                }
                (None, _) => unasked.push(finding),
            }
        }
        self.line(&format!("findings: {same} the same, {} different", self.differences));
        let asked = |name: &str| ours.iter().any(|finding| finding.name == name && finding.seen.is_some());
        unasked.retain(|finding| !asked(&finding.name));
        for finding in unasked {
            let why = finding.not_asked.as_deref().unwrap_or_default();
            self.line(&format!("not compared: {} ({}): {why}", finding.name, finding.state));
        }
    }

    /// Both reports have the same probes, unless an earlier result differed.
    fn first_only(&mut self, finding: &Finding, seen: &str, why: Option<&str>) {
        self.differences += 1;
        self.line(&format!("asked of the first only: {} ({}): {seen}", finding.name, finding.state));
        if let Some(why) = why {
            self.line(&format!("    second: {why}"));
        }
    }

    fn difference(&mut self, finding: &Finding, seen: &str, theirs: &str) {
        self.differences += 1;
        self.line(&format!("different: {} ({}; fact sheet section {})", finding.name, finding.state, finding.section));
        self.line(&format!("    {}", finding.question));
        self.line(&format!("    first:  {seen}"));
        self.line(&format!("    second: {theirs}"));
        match &finding.switch {
            Some(switch) => match &switch.position {
                Some(position) if *position != switch.default => self.line(&format!(
                    "    crates/atecc608-sim/src/switches.rs: {} would have to be {position} instead of {}",
                    switch.name, switch.default
                )),
                Some(_) => self.line(&format!("    crates/atecc608-sim/src/switches.rs: {} as it is", switch.name)),
                None => {
                    self.line(&format!("    crates/atecc608-sim/src/switches.rs: {} has no such position", switch.name))
                }
            },
            None => self.line("    no switch of the simulated chip: its code would have to change"),
        }
    }

    /// The properties that driver and simulator depend on.
    fn promises(&mut self, ours: &Report) {
        for measure in &ours.measures {
            self.line(&format!("{}: {}", measure.name, values(measure)));
            if !measure.is_within() {
                self.differences += 1;
                self.line(&format!("    beyond what is promised (fact sheet section {})", measure.section));
            }
        }
    }

    /// Exceeded maxima count as differences; typical times are only printed.
    fn timings(&mut self, ours: &[Timing], others: &[Timing]) {
        let others: BTreeMap<&str, &Timing> = others.iter().map(|timing| (timing.command.as_str(), timing)).collect();
        self.line("");
        self.line("execution times in ms      n      min   median      max   second's median   assumed");
        for timing in ours {
            let ms = |us: u64| us as f64 / 1000.0;
            let second = others
                .get(timing.command.as_str())
                .map_or_else(|| "-".to_owned(), |other| format!("{:.1}", ms(other.median_us)));
            self.line(&format!(
                "{:<20} {:>7} {:>8.1} {:>8.1} {:>8.1} {:>17} {:>5.1} to {:.0}",
                timing.command,
                timing.n,
                ms(timing.min_us),
                ms(timing.median_us),
                ms(timing.max_us),
                second,
                ms(timing.assumed_typical_us),
                ms(timing.assumed_max_us),
            ));
            if timing.max_us > timing.assumed_max_us {
                self.differences += 1;
                self.line("    longer than the maximum: crates/atecc608-wire/src/timing.rs would have to change");
            } else if timing.median_us < timing.assumed_typical_us / 2 {
                self.line("    less than half of what is assumed to be typical (crates/atecc608-wire/src/timing.rs)");
            }
        }
    }
}

fn values(measure: &Measure) -> String {
    let values: Vec<String> = measure.values.iter().map(u64::to_string).collect();
    let bound = |word: &str, value: Option<u64>| value.map_or_else(String::new, |value| format!(", {word} {value}"));
    let note = measure.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    format!(
        "{} {}{}{}{note}",
        values.join(" "),
        measure.unit,
        bound("at least", measure.at_least),
        bound("at most", measure.at_most)
    )
}
