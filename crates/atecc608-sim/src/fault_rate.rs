// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults at a rate, drawn from a seed, so that a run can be repeated.

use super::faults::{CommandFaults, TransferFaults};
use super::random::Dice;
use atecc608_wire::Status;

/// The statuses that replace the execution of a command: none that has a definite meaning for the command.
const STATUSES: [Status; 4] =
    [Status::ECC_FAULT, Status::HEALTH_TEST_ERROR, Status::WATCHDOG_EXPIRING, Status::CRC_ERROR];
/// A chip that was removed or lost power is back after at most this many transfers.
const LONGEST_ABSENCE: u64 = 20;

/// Faults of all kinds, each command and each transfer with the same probability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultRate {
    permille: u64,
    dice: Dice,
    /// Transfers until a pulled chip is put back.
    insert_in: Option<u64>,
    /// Transfers until the supply is back.
    power_on_in: Option<u64>,
}

impl FaultRate {
    pub(crate) fn new(permille: u64, seed: u64) -> Self {
        Self { permille, dice: Dice(seed), insert_in: None, power_on_in: None }
    }

    fn strikes(&mut self) -> bool {
        self.dice.below(1000) < self.permille
    }

    /// Draws the faults of the next command.
    pub(crate) fn on_command(&mut self, faults: &mut CommandFaults) {
        if !self.strikes() {
            return;
        }
        match self.dice.below(9) {
            // Any bit of the longest common responses, and of a command without data.
            0 => faults.flipped_bits.push(self.dice.below(8 * 67) as usize),
            1 => faults.garbled_bit = Some(self.dice.below(8 * 7) as usize),
            2 => faults.dropped = true,
            3 => faults.dozes = true,
            4 => match STATUSES[self.dice.below(STATUSES.len() as u64) as usize] {
                Status::ECC_FAULT => faults.ecc_fault = true,
                status => faults.status = Some(status.0),
            },
            5 => faults.busy = Some(None),
            6 => faults.busy = Some(Some(self.dice.below(300))),
            7 => faults.stretch = 1 + self.dice.below(200),
            // While it programs, or right after.
            _ => faults.power_after = Some(self.dice.below(40) as usize),
        }
    }

    /// Draws the faults of the next transfer.
    pub(crate) fn on_transfer(&mut self, faults: &mut TransferFaults) {
        faults.insert |= due(&mut self.insert_in);
        faults.power_on |= due(&mut self.power_on_in);
        if !self.strikes() {
            return;
        }
        match self.dice.below(4) {
            0 | 1 => faults.nack = true,
            2 => {
                faults.pull = true;
                self.insert_in = Some(1 + self.dice.below(LONGEST_ABSENCE));
            }
            _ => {
                faults.power_off = true;
                self.on_power_lost();
            }
        }
    }

    /// Power was lost: plans its return.
    pub(crate) fn on_power_lost(&mut self) {
        self.power_on_in = Some(1 + self.dice.below(LONGEST_ABSENCE));
    }
}

/// Counts down; returns `true` when the count is reached.
fn due(transfers: &mut Option<u64>) -> bool {
    match transfers {
        Some(0 | 1) => {
            *transfers = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::Faults;

    /// Returns the faults of 500 commands and 500 transfers.
    fn run(spec: &str) -> Vec<String> {
        let mut faults: Faults = spec.parse().unwrap();
        let commands: Vec<String> = (0..500).map(|_| format!("{:?}", faults.on_command())).collect();
        let transfers = (0..500).map(|_| format!("{:?}", faults.on_transfer()));
        commands.into_iter().chain(transfers).collect()
    }

    #[test]
    fn a_seed_repeats_its_faults_and_another_has_others() {
        assert_eq!(run("rate:100:7"), run("rate:100:7"));
        assert_ne!(run("rate:100:7"), run("rate:100:8"));
    }

    #[test]
    fn the_rate_is_kept_and_every_kind_comes() {
        let quiet = run("none");
        assert_eq!(run("rate:0:1"), quiet);
        let struck = run("rate:100:1").iter().zip(&quiet).filter(|(one, other)| one != other).count();
        // 100 of 1000, and the returns after a removal or a power loss.
        assert!((60..200).contains(&struck), "{struck}");
        let all = run("rate:1000:1").concat();
        for kind in [
            "garbled_bit: Some",
            "flipped_bits: [1",
            "dropped: true",
            "dozes: true",
            "status: Some",
            "ecc_fault: true",
            "busy: Some(None)",
            "busy: Some(Some",
            "stretch: 1",
            "power_after: Some",
            "nack: true",
            "pull: true",
            "insert: true",
            "power_off: true",
            "power_on: true",
        ] {
            assert!(all.contains(kind), "{kind}");
        }
    }
}
