// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text literals in configuration files.

use crate::output::visible_in_strings;

/// Returns a text in double quotes, valid in JSON, YAML, TOML and Python.
pub fn quoted(text: &str) -> String {
    visible_in_strings(&serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_survives_in_quotes() {
        assert_eq!(quoted("a \"b\" \\"), r#""a \"b\" \\""#);
        // TOML and YAML accept neither unescaped.
        assert_eq!(quoted("\u{7F}\u{80}\n"), r#""\u007f\u0080\n""#);
    }
}
