//! What was found when everything that was written was looked at.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// `ok`, `warning` or `failed`.
    pub result: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All findings, in order.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// As it should be.
    pub fn ok(&mut self, what: &str, found: impl Into<String>) {
        self.add(what, "ok", found, None);
    }

    /// It may work all the same.
    pub fn warn(&mut self, what: &str, found: impl Into<String>, remedy: impl Into<String>) {
        self.add(what, "warning", found, Some(remedy.into()));
    }

    /// It will not work.
    pub fn fail(&mut self, what: &str, found: impl Into<String>, remedy: impl Into<String>) {
        self.add(what, "failed", found, Some(remedy.into()));
    }

    fn add(&mut self, what: &str, result: &'static str, found: impl Into<String>, remedy: Option<String>) {
        self.findings.push(Finding { what: what.to_owned(), result, found: found.into(), remedy });
    }

    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether something will not work.
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.result == "failed")
    }

    /// One line for each, and what to do below it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Finding { what, result, found, remedy } in &self.findings {
            text += &format!("  {result:<8} {what}: {found}\n");
            if let Some(remedy) = remedy {
                text += &format!("           {remedy}\n");
            }
        }
        text
    }
}
