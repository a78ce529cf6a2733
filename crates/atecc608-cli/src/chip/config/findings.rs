// SPDX-License-Identifier: MIT OR Apache-2.0
//! The findings about a configuration, as text and as JSON.

use serde::Serialize;

use crate::output::check::{self, Check, Remedies, Verdict};
use atecc608_wire::Slot;

/// A finding about a slot, or without one about the whole chip.
pub fn finding(result: Verdict, slot: Option<Slot>, detail: impl Into<String>) -> Check {
    let name = slot.map_or_else(|| "chip".to_owned(), |slot| format!("slot {slot}"));
    Check { slot: slot.map(Slot::number), ..Check::new(name, result, detail) }
}

/// Returns how many of them are dangerous.
pub fn dangers(findings: &[Check]) -> usize {
    findings.iter().filter(|finding| finding.has_failed()).count()
}

/// Returns the findings, one line each. Equal findings about several slots are one line.
pub fn text(findings: &[Check]) -> String {
    let mut lines: Vec<(Check, Vec<String>)> = Vec::new();
    for finding in findings {
        let slot = finding.slot.map(|slot| slot.to_string());
        let is_alike = |(other, _): &&mut (Check, Vec<String>)| {
            other.slot.is_some() == slot.is_some()
                && (other.result, &other.detail, &other.remedy) == (finding.result, &finding.detail, &finding.remedy)
        };
        match lines.iter_mut().find(is_alike) {
            Some((_, slots)) => slots.extend(slot),
            None => lines.push((finding.clone(), slot.into_iter().collect())),
        }
    }
    let named = |(check, slots): (Check, Vec<String>)| match slots.len() {
        0 | 1 => check,
        _ => Check { name: format!("slots {}", slots.join(", ")), ..check },
    };
    match lines.into_iter().map(named).collect::<Vec<_>>().as_slice() {
        [] => "Nothing in it is dangerous.\n".to_owned(),
        lines => check::text(lines, Remedies::All),
    }
}

/// The findings in JSON.
#[derive(Serialize)]
pub struct Findings {
    checks: Vec<Check>,
    /// The same under their earlier names, which will be removed in the next version.
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u8>,
    text: String,
}

impl From<Vec<Check>> for Findings {
    fn from(checks: Vec<Check>) -> Self {
        let findings = checks.iter().map(|check| {
            let level = match check.result {
                Verdict::Ok | Verdict::Skipped => "note",
                Verdict::Warning => "warning",
                Verdict::Failed => "danger",
            };
            Finding { level, slot: check.slot, text: check.detail.clone() }
        });
        Self { findings: findings.collect(), checks }
    }
}

impl Findings {
    /// The findings in the common form.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }
}
