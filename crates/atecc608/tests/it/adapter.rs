// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adapters that report a wake pulse, or a chip that does not respond, with various errors.

use atecc608::{Chip, Error};
use atecc608_sim::{SimBus, SimChip};
use atecc608_testkit::driver::{self, Simulated};
use atecc608_testkit::master::{tls_image, ADDRESS, SERIAL};
use embedded_hal::i2c::{Error as _, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

/// A bus whose adapter reports these errors for a missing acknowledge.
struct Adapter {
    bus: SimBus,
    /// After a wake pulse.
    pulse: ErrorKind,
    /// Elsewhere.
    silence: ErrorKind,
}

impl ErrorType for Adapter {
    type Error = ErrorKind;
}

impl I2c for Adapter {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let said = if address == 0 { self.pulse } else { self.silence };
        self.bus.transaction(address, operations).map_err(|error| match error.kind() {
            ErrorKind::NoAcknowledge(_) => said,
            other => other,
        })
    }
}

const NACK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown);

fn behind(pulse: ErrorKind, silence: ErrorKind) -> (SimBus, Chip<Simulated<Adapter>>) {
    let bus = SimBus::new(100_000);
    bus.add_chip(SimChip::from_image(tls_image(true, true)));
    let adapter = Adapter { bus: bus.clone(), pulse, silence };
    (bus.clone(), Chip::new(driver::transport(&bus, adapter, ADDRESS), driver::host_random))
}

#[test]
fn the_read_after_the_wake_pulse_decides_whatever_the_adapter_reports() {
    for pulse in [ErrorKind::Bus, ErrorKind::ArbitrationLoss, ErrorKind::Other] {
        let (_, mut chip) = behind(pulse, NACK);
        let zone = chip.converse(|awake| awake.read_config()).unwrap();
        assert_eq!(zone.serial_number(), SERIAL, "{pulse}");
    }
}

#[test]
fn a_chip_that_does_not_answer_is_reported_with_what_the_adapter_said() {
    let (bus, mut chip) = behind(ErrorKind::Other, NACK);
    bus.pull();
    let error = chip.converse(|awake| awake.read_config()).unwrap_err();
    assert!(error.is_absence(), "{error}");
    let said = format!(". The adapter reported: {NACK}; to the wake pulse: {}", ErrorKind::Other);
    assert!(error.to_string().ends_with(&said), "{error}");
}

#[test]
fn a_failing_bus_is_not_reported_as_an_absent_chip() {
    let (bus, mut chip) = behind(NACK, ErrorKind::Bus);
    bus.pull();
    let error = chip.converse(|awake| awake.read_config()).unwrap_err();
    assert!(matches!(error, Error::Bus(_)), "{error}");
}
