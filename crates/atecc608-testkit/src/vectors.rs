// SPDX-License-Identifier: MIT OR Apache-2.0
//! The published vectors of `tests/vectors`: columns of hexadecimal digits under a header that names their origin.

use crate::master::{hex, Master};
use atecc608_wire::commands::{DigestTarget, Sha, ShaResponse};

/// The lines of a vector file, split into columns.
pub fn columns(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

/// The bytes of a column; `-` is an empty one.
pub fn bytes(column: &str) -> Vec<u8> {
    hex(column)
}

/// The bytes of a column with a known length.
pub fn array<const N: usize>(column: &str) -> [u8; N] {
    bytes(column).try_into().unwrap()
}

/// Ends a digest or HMAC with its last bytes.
pub fn sha_end(master: &Master, rest: &[u8], target: DigestTarget) -> [u8; 32] {
    match master.run_on(&Sha::End { rest: rest.to_vec(), target }) {
        Ok(ShaResponse::Digest(digest)) => digest,
        other => panic!("SHA(End) answered {other:?}"),
    }
}

/// Sends a message to a digest or HMAC in progress, and ends it.
pub fn sha_message(master: &Master, message: &[u8], target: DigestTarget) -> [u8; 32] {
    let (blocks, rest) = message.split_at(message.len() / 64 * 64);
    for block in blocks.chunks(64) {
        master.run_on(&Sha::Update(block.to_vec())).unwrap();
    }
    sha_end(master, rest, target)
}

/// SHA-256 computed by the chip.
pub fn chip_sha(master: &Master, message: &[u8], target: DigestTarget) -> [u8; 32] {
    master.run_on(&Sha::Start).unwrap();
    sha_message(master, message, target)
}
