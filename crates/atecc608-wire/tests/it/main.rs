//! The wire's bytes, against bytes that others computed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod vectors;
