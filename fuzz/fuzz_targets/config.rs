// SPDX-License-Identifier: MIT OR Apache-2.0
//! A configuration file: an accepted file has the properties that docs/install.md describes; an error names a line of
//! the file.
#![no_main]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use atecc608_token::config::{Config, ConfigError, MOST_BUSES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(Path::new("/etc/fuzzed.toml"), text) {
        Ok(config) => {
            assert!(config.lock_timeout <= Duration::from_secs(600));
            assert!(config.state_dir.is_absolute());
            let slots: BTreeSet<_> = config.tokens.iter().map(|token| token.slot).collect();
            assert_eq!(slots.len(), config.tokens.len(), "two tokens have one slot");
            let labels: Vec<_> = config.tokens.iter().filter_map(|token| token.label.as_ref()).collect();
            assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "two tokens have one label");
            for token in &config.tokens {
                assert!((0x08..=0x77).contains(&token.address));
                assert!(token.buses().count() <= MOST_BUSES);
                assert!(token.label.as_ref().is_none_or(|label| label.len() <= 32));
                assert!(token.io_key_file.as_ref().is_none_or(|file| file.is_absolute()));
            }
            assert_eq!(Config::parse(Path::new("/etc/fuzzed.toml"), text).unwrap(), config);
        }
        Err(ConfigError::Invalid { line, problem, .. }) => {
            assert!((1..=text.lines().count() + 1).contains(&line), "line {line} of {}", text.lines().count());
            assert!(!problem.is_empty());
        }
        Err(other) => panic!("{other}"),
    }
});
