// SPDX-License-Identifier: MIT OR Apache-2.0
//! A search for sequences of commands that read a secret out of the simulated chip, over provision, lock and use.
//!
//! Each case draws a configuration (SlotConfig, KeyConfig and ChipOptions, most of them sensible, some insecure), the
//! keys that the attacker knows, and steps: configuration, locks and secrets as provisioning writes them, and in
//! between and afterwards any command of an attacker, with valid MACs for the keys he knows. [`judge`] defines secrets
//! and violations; [`steps`] the expected locks after each step.

mod attacker;
mod judge;
mod steps;
mod temp_key;

use std::collections::HashSet;

use atecc608_wire::Opcode;
use attacker::Attacker;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::{prop_state_machine, ReferenceStateMachine, StateMachineTest};
use steps::{Case, Locks, Step};

struct Search;

impl StateMachineTest for Search {
    type SystemUnderTest = Attacker;
    type Reference = Locks;

    fn init_test(case: &Case) -> Attacker {
        Attacker::new(case)
    }

    fn apply(mut attacker: Attacker, _: &Case, step: Step) -> Attacker {
        attacker.take(&step);
        attacker
    }

    fn check_invariants(attacker: &Attacker, case: &Case) {
        attacker.assert_stage(case);
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 320, ..Config::default() })]

    #[test]
    fn no_sequence_of_commands_reads_a_secret_or_undoes_a_lock(sequential 1..100 => Search);
}

/// A search whose commands are all refused finds nothing: it must reach the commands that can succeed.
#[test]
fn the_search_reaches_every_case_that_it_is_for() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[8; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut reached, mut hkdf_messages) = (HashSet::new(), HashSet::new());
    for _ in 0..128 {
        let (case, steps, _) = Locks::sequential_strategy(60..100).new_tree(&mut runner).unwrap().current();
        let mut attacker = Attacker::new(&case);
        steps.iter().for_each(|step| attacker.take(step));
        reached.extend(attacker.reached);
        hkdf_messages.extend(attacker.hkdf_messages);
    }
    for (opcode, bits, mode) in [
        (Opcode::READ, 0x83, 0x82),
        (Opcode::WRITE, 0xC3, 0xC2),
        (Opcode::WRITE, 0xC3, 0x02),
        (Opcode::PRIV_WRITE, 0x40, 0x40),
        (Opcode::DERIVE_KEY, 0x04, 0x00),
        (Opcode::DERIVE_KEY, 0x04, 0x04),
        (Opcode::CHECK_MAC, 0x27, 0x01),
        (Opcode::MAC, 0x01, 0x01),
        (Opcode::GEN_KEY, 0x1C, 0x04),
        (Opcode::SHA, 0x07, 0x04),
        (Opcode::SHA, 0x07, 0x06),
        // From a slot to the bus, to a slot, to TempKey.
        (Opcode::KDF, 0x1F, 0x12),
        (Opcode::KDF, 0x1C, 0x08),
        (Opcode::KDF, 0x1C, 0x00),
        (Opcode::AES, 0x3F, 0x00),
        // From a slot, from TempKey.
        (Opcode::ECDH, 0x0D, 0x0C),
        (Opcode::ECDH, 0x0D, 0x0D),
        (Opcode::SIGN, 0xA0, 0xA0),
    ] {
        let found = reached.iter().any(|(other, found)| *other == opcode && found & bits == mode);
        assert!(found, "{opcode} {mode:02X} never succeeded");
    }
    for (place, bits) in [("a slot", 0), ("TempKey", 1), ("the input", 2)] {
        assert!(hkdf_messages.contains(&bits), "HKDF of a message in {place} never succeeded");
    }
}
