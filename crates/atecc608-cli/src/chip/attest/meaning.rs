// SPDX-License-Identifier: MIT OR Apache-2.0
//! Explains what a valid statement proves, and what it does not. It must never claim more than docs/attestation.md.

use atecc608::attest::{Evidence, Kind};
use atecc608_contents::words;

/// The meaning of a statement.
#[derive(Debug, Default)]
pub struct Meaning {
    /// Provided that the enrolled key is authentic.
    pub proven: Vec<String>,
    /// Conclusions that a reader might wrongly draw.
    pub not_proven: Vec<String>,
}

/// Returns the meaning of a statement whose checks all passed. `fresh`: the challenge was compared.
pub fn of(evidence: &Evidence, fresh: bool) -> Meaning {
    let (zone, slot) = (&evidence.zone, evidence.slot);
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    let writes = access.write_config();
    let mut proven = Vec::new();
    let mut not_proven = Vec::new();

    let under = if fresh { "after it received this challenge" } else { "at some time" };
    proven.push(match evidence.kind {
        Kind::BornHere => format!(
            "the chip itself generated this key pair in slot {slot} {under}: the private key was never outside the \
             chip"
        ),
        Kind::LivesHere => format!("the chip held the private key of this public key in slot {slot} {under}"),
    });
    proven.push(format!(
        "no command reads the private key out of the chip; the slot's rules, permanently locked: {}",
        words::rules(zone, slot).join(", ")
    ));
    if evidence.kind == Kind::LivesHere {
        if writes.priv_write() {
            not_proven.push(format!(
                "the origin of the key: anybody who knows the key in slot {} could have written it from outside",
                access.write_key()
            ));
        } else {
            proven.push("the key was not written from outside since the data zone was locked".to_owned());
            not_proven.push(
                "that the key was generated in the chip: before the data lock a key could be written in clear; only a \
                 statement made at its generation (born-here) proves its origin"
                    .to_owned(),
            );
        }
    }
    if !fresh {
        not_proven.push("when the statement was made: its challenge was not compared with one of yours".to_owned());
    }
    not_proven.push("that the enrolled public key belongs to this chip: this rests on the enrolment".to_owned());
    let replaceable =
        match (writes.gen_key() && !zone.slot_locked(slot), writes.priv_write() && !zone.slot_locked(slot)) {
            (false, false) => None,
            (true, false) => Some("GenKey can replace it by another one"),
            (_, true) => Some("it can be replaced by another one, also by one from outside"),
        };
    if let Some(how) = replaceable {
        not_proven.push(format!("that the key is still there: {how}, which would have another public key"));
    }
    not_proven.push(if key.req_auth() {
        "who uses the key, and which machine the chip is in: anybody who is authorised can use it, also remotely"
            .to_owned()
    } else {
        "who uses the key, and which machine the chip is in: anybody who reaches its bus can use it, also remotely"
            .to_owned()
    });
    if zone.serial_number().is_simulated() {
        not_proven.push("anything about a real chip: this one is simulated, and its keys are in a file".to_owned());
    }
    Meaning { proven, not_proven }
}
