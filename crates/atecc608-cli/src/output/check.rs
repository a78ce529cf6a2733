// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks of all commands, in one form: ok, warning, failed, skipped.

use serde::Serialize;

use super::terminal::{coloured, Colour};
use super::visible;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No problem.
    Ok,
    /// It works, but with a limitation; or only some users need it.
    Warning,
    /// It does not work, or is dangerous.
    Failed,
    /// It could not be checked, because of another check.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its result.
    pub result: Verdict,
    /// The finding.
    pub detail: String,
    /// The slot of the chip, for a check of a slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u8>,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Checks in their order.
#[derive(Clone, Debug, Default)]
pub struct Checks(Vec<Check>);

/// Which remedies the text contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedies {
    /// All of them.
    All,
    /// Those of warnings: the caller prints those of failures.
    OfWarnings,
}

impl Verdict {
    /// The result's word in text and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The word, padded to a column, at the start of a line of [`text`].
    fn column(self) -> String {
        format!("{:<7}  ", self.word())
    }
}

impl Check {
    /// A check without a remedy.
    pub fn new(name: impl Into<String>, result: Verdict, detail: impl Into<String>) -> Self {
        Self { name: name.into(), result, detail: detail.into(), slot: None, remedy: None }
    }

    /// Adds a remedy.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// Whether it failed.
    pub fn has_failed(&self) -> bool {
        self.result == Verdict::Failed
    }
}

impl Checks {
    /// Adds a check without a problem.
    pub fn ok(&mut self, name: &str, detail: impl Into<String>) {
        self.0.push(Check::new(name, Verdict::Ok, detail));
    }

    /// Adds a warning.
    pub fn warn(&mut self, name: &str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Check::new(name, Verdict::Warning, detail).with_remedy(remedy));
    }

    /// Adds a failure.
    pub fn fail(&mut self, name: &str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Check::new(name, Verdict::Failed, detail).with_remedy(remedy));
    }

    /// Adds a check that was made elsewhere.
    pub fn push(&mut self, check: Check) {
        self.0.push(check);
    }

    /// Adds checks that were skipped.
    pub fn skip(&mut self, names: &[&str], because: &str) {
        self.0.extend(names.iter().map(|name| Check::new(*name, Verdict::Skipped, format!("not checked: {because}"))));
    }

    /// All of them, in order.
    pub fn as_slice(&self) -> &[Check] {
        &self.0
    }

    /// The first that failed.
    pub fn first_failed(&self) -> Option<&Check> {
        self.0.iter().find(|check| check.has_failed())
    }
}

/// Formats the checks, a line for each in columns, followed by its remedy.
pub fn text(checks: &[Check], remedies: Remedies) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { name, result, detail, remedy, .. } in checks {
        text += &format!("{}{:<width$}  {}\n", result.column(), visible(name), visible(detail));
        let shown = remedies == Remedies::All || *result == Verdict::Warning;
        if let Some(remedy) = remedy.as_ref().filter(|_| shown) {
            text += &format!("{:7}  {:width$}  -> {}\n", "", "", visible(remedy));
        }
    }
    text
}

/// Wraps the lines of [`text`] that are wider than a terminal with this many columns: a detail continues below its beginning. Remedies
/// stay on one line, so that they can be copied.
pub fn wrapped(text: &str, columns: usize) -> String {
    text.split_inclusive('\n').map(|line| wrapped_line(line, columns)).collect()
}

fn wrapped_line(line: &str, columns: usize) -> String {
    const LEAST: usize = 20;
    let verdicts = [Verdict::Ok, Verdict::Warning, Verdict::Failed, Verdict::Skipped];
    let name = verdicts.iter().find_map(|verdict| line.strip_prefix(&verdict.column()));
    let Some((name, rest)) = name.and_then(|name| name.split_once("  ")) else {
        return line.to_owned();
    };
    let detail = rest.trim_start();
    let indent = line.chars().count() - detail.chars().count();
    if line.trim_end().chars().count() <= columns || indent + LEAST > columns || name.is_empty() {
        return line.to_owned();
    }
    let mut out = line[..line.len() - detail.len()].to_owned();
    let mut at = indent;
    for (number, word) in detail.trim_end().split(' ').enumerate() {
        let width = word.chars().count();
        if number > 0 && at + 1 + width > columns {
            out += &format!("\n{:indent$}", "");
            at = indent;
        } else if number > 0 {
            out.push(' ');
            at += 1;
        }
        out += word;
        at += width;
    }
    out + "\n"
}

/// Colours the results at the start of the lines of [`text`]. The text must already be free of control characters.
pub fn painted(text: &str) -> String {
    let colours = [(Verdict::Ok, Colour::Green), (Verdict::Warning, Colour::Yellow), (Verdict::Failed, Colour::Red)];
    let paint = |line: &str| {
        let found = colours.iter().find(|(verdict, _)| line.starts_with(&verdict.column()));
        found.map_or_else(
            || line.to_owned(),
            |(verdict, colour)| coloured(verdict.word(), *colour) + &line[verdict.word().len()..],
        )
    };
    text.split_inclusive('\n').map(paint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_that_is_wider_than_the_terminal_goes_on_below_its_beginning() {
        let mut checks = Checks::default();
        checks.warn("one", "it is well, for the most part", "sudo do something that is long");
        checks.ok("the second", "short");
        let text = text(checks.as_slice(), Remedies::OfWarnings);
        assert_eq!(
            wrapped(&text, 42),
            "warning  one         it is well, for the\n                     most part\n\
             \x20                    -> sudo do something that is long\nok       the second  short\n"
        );
        assert_eq!(wrapped(&text, 80), text);
        assert_eq!(wrapped(&text, 30), text, "too narrow");
    }

    #[test]
    fn the_words_are_the_same_in_text_and_json() {
        for verdict in [Verdict::Ok, Verdict::Warning, Verdict::Failed, Verdict::Skipped] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.word());
        }
        let mut checks = Checks::default();
        checks.ok("one", "is well");
        checks.warn("the second", "could be better", "do this");
        checks.fail("three", "is broken", "do that");
        checks.skip(&["four"], "three is broken");
        assert_eq!(
            text(checks.as_slice(), Remedies::OfWarnings),
            "ok       one         is well\nwarning  the second  could be better\n                     -> do this\n\
             failed   three       is broken\nskipped  four        not checked: three is broken\n"
        );
        assert!(text(checks.as_slice(), Remedies::All).contains("-> do that"));
        assert_eq!(checks.first_failed().unwrap().name, "three");
    }
}
