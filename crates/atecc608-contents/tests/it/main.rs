// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of chips, checked against external examples.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
