// SPDX-License-Identifier: MIT OR Apache-2.0
//! A token on a bad bus: thousands of operations of all kinds on the simulator's virtual clock while transfers and
//! commands suffer every kind of fault, compared with a model that knows what must be true.
//!
//! - No result is wrong: each is compared with other implementations.
//! - Nothing that changes the chip takes effect twice. The chip's EEPROM is checked after each call: no key is created
//!   twice, lost, or destroyed without a request.
//! - Each failure has an error code, and one line in the log with its cause.
//! - With the faults off the next call works, and the token's objects are the model's.
//!
//! `ATECC608_TEST_OPERATIONS` sets the number of operations, `ATECC608_TEST_SEED` the first seed. A failure names its
//! seed, and shrinks.

mod changes;
mod reference;
mod steps;
mod token;
mod uses;

use std::cell::RefCell;
use std::collections::BTreeMap;

use cryptoki_sys::CK_RV;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use crate::common::codes;
use steps::{Case, Step};
use token::Token;

/// Half a minute of one core without optimisation. scripts/test.sh sets 50,000, scripts/soak/bad-bus.sh a million.
const OPERATIONS: usize = 10_000;
/// The longest sequence.
const LONGEST: usize = 400;

struct Soak;

thread_local! {
    static OUTCOMES: RefCell<BTreeMap<CK_RV, u32>> = const { RefCell::new(BTreeMap::new()) };
}

impl StateMachineTest for Soak {
    type SystemUnderTest = Token;
    type Reference = Case;

    fn init_test(case: &Case) -> Token {
        Token::new(case)
    }

    fn apply(mut token: Token, _: &Case, step: Step) -> Token {
        token.take(&step);
        token
    }

    fn teardown(mut token: Token, _: Case) {
        token.take(&Step::Calm);
        OUTCOMES.with_borrow_mut(|all| {
            token.outcomes.iter().for_each(|(rv, count)| *all.entry(*rv).or_default() += count);
        });
    }
}

/// Operations so far.
fn taken() -> usize {
    OUTCOMES.with_borrow(|all| all.values().sum::<u32>() as usize)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}

#[test]
fn nothing_is_wrong_doubled_or_lost_on_a_bad_bus() {
    let operations = variable("ATECC608_TEST_OPERATIONS").map_or(OPERATIONS, |operations| operations as usize);
    let mut seed = variable("ATECC608_TEST_SEED").unwrap_or(1);
    while taken() < operations {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config =
            ProptestConfig { cases: 1, failure_persistence: None, max_shrink_iters: 300, ..Default::default() };
        let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let tried = runner.run(&Case::sequential_strategy(1..LONGEST), |(case, steps, seen)| {
            Soak::test_sequential(config.clone(), case, steps, seen);
            Ok(())
        });
        if let Err(error) = tried {
            panic!("ATECC608_TEST_SEED={seed} ATECC608_TEST_OPERATIONS=1 repeats it: {error}");
        }
        seed += 1;
    }
    OUTCOMES.with_borrow(|all| {
        println!("{} operations, up to seed {}", all.values().sum::<u32>(), seed - 1);
        all.iter().for_each(|(rv, count)| println!("{count:>8} {}", codes::name_of(*rv)));
    });
}
