// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the project's pages, configuration files and sources against each other.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aws;
mod code;
mod config_files;
mod links;
mod reliability;
mod simulator;
mod sources;
mod troubleshooting;
