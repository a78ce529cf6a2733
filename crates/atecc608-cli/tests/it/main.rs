//! The tool as it is run, and what it reads from strangers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attest;
mod attest_hostile;
mod attest_pin;
mod attested;
mod batch;
mod between_locks;
mod certificates;
mod certificates_bad;
mod chip;
mod cloud;
mod config;
mod doctor;
mod hostile_text;
mod import_config;
mod info;
mod keys;
mod latch;
mod lock;
mod manifest;
mod neighbours;
mod page;
mod pair;
mod power_loss;
mod provision;
mod provision_interrupted;
mod provision_pin;
mod questions;
mod scan;
mod secret_places;
mod sold;
mod support;
mod terminal;
mod trust;
mod ways_on;
mod x509_hostile;
