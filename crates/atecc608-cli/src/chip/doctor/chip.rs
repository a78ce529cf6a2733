// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks from the bus's node to the chip's profile.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::{state, PACKETS};
use crate::chip::stage::Stage;
use crate::error::Error;
use crate::host::adapters::Kernel;
use crate::output::check::Checks;
use crate::target::Target;
use atecc608 as chip;
use atecc608_contents::words;
use atecc608_token::bus::{root_of_channel, OpenError};
use atecc608_token::config::{node_name, BusLocation, Config, TokenConfig};
use atecc608_token::{profile, recognised};
use atecc608_wire::ConfigZone;

/// Above this clock eight low bits are too short for a wake pulse (fact sheet section 11).
const FASTEST_WAKE_HZ: u32 = 133_000;
const LOCK_REMEDY: &str = "end the program that holds it, or wait for it; or raise lock_timeout in the configuration";

/// Checks one configured chip, and its state. Returns the token's serial number if clients show it; for a blank chip,
/// whose token is not initialized, they do not.
pub(super) fn check(config: &Config, token: &TokenConfig, checks: &mut Checks) -> Option<String> {
    let later = ["wake", "chip", "locks", "profile", "state"];
    let Some(mut target) = node(config, token, checks) else {
        checks.skip(&later, "the bus can't be used");
        return None;
    };
    let kernel = Kernel::default();
    adapter_clock(&target.token.bus, &kernel, checks);
    multiplexer(&target.token.bus, checks);
    let guard = match target.lock() {
        Ok(guard) => {
            checks.ok("bus lock", "free, or released within lock_timeout");
            guard
        }
        Err(error) => {
            checks.fail("bus lock", error.to_string(), LOCK_REMEDY);
            checks.skip(&later, "the bus is taken");
            return None;
        }
    };
    let zone = match target.read_config_locked() {
        Ok(zone) => zone,
        Err(error) => {
            asleep(&error, &target, &kernel, checks);
            checks.skip(&later[1..], "the chip can't be asked");
            return None;
        }
    };
    checks.ok("wake", format!("a chip responds at {:#04x}", token.address));
    if !target.model().is_608() {
        let what = words::a_model(target.model());
        checks.fail(
            "chip",
            format!("{} is {what}, not an ATECC608", zone.serial_number()),
            "replace the chip by an ATECC608, or write its address as `address` into the configuration",
        );
        checks.skip(&later[2..], "it is another chip");
        return None;
    }
    let simulated = if target.is_simulated(&zone.serial_number()) { ", simulated: it protects nothing" } else { "" };
    let chip = format!("{} {}{simulated}", words::model(target.model()), zone.serial_number());
    match target.model_refused() {
        None => checks.ok("chip", chip),
        Some(status) => checks.fail(
            "chip",
            format!("{chip}; it refuses to report its revision (status {:02X})", status.0),
            "run doctor again; if the error persists, the chip is of an unknown model, or broken",
        ),
    }
    locks(&zone, checks);
    profile(&zone, checks);
    let keys = state::keys(&mut target, &zone);
    let latch = state::latch(&mut target, &zone);
    // The state and the module are checked without holding the bus lock.
    drop(guard);
    state::check(&mut target, &zone, keys, checks);
    state::check_latch(&zone, latch, checks);
    zone.config_locked().then(|| zone.serial_number().short())
}

/// Whether opening the bus would create a simulated chip, which doctor must not do.
pub(super) fn would_be_created(token: &TokenConfig) -> bool {
    token.other_buses.is_empty() && matches!(&token.bus, BusLocation::Sim(path) if !path.exists())
}

/// Opens the bus.
fn node(config: &Config, token: &TokenConfig, checks: &mut Checks) -> Option<Target> {
    const LINK: &str = "bus";
    let path = match &token.bus {
        BusLocation::Linux(path) | BusLocation::Sim(path) | BusLocation::Unix(path) => path,
    };
    if would_be_created(token) {
        checks.fail(
            LINK,
            format!("{}: the file does not exist", token.bus),
            "atecc608 info     creates a blank simulated chip in that file, if its folder exists",
        );
        return None;
    }
    match std::fs::metadata(path) {
        Ok(metadata)
            if token.other_buses.is_empty()
                && matches!(token.bus, BusLocation::Linux(_))
                && !metadata.file_type().is_char_device() =>
        {
            checks.fail(LINK, format!("{} is not a device node", path.display()), "ls /dev/i2c-*");
            return None;
        }
        _ => {}
    }
    match Target::open(config, token) {
        Ok(target) => {
            checks.ok(LINK, format!("{} opens", target.token.bus));
            Some(target)
        }
        // The file of a simulated chip is already locked when it is opened.
        Err(error @ Error::Open { cause: OpenError::InUse(_), .. }) if matches!(token.bus, BusLocation::Sim(_)) => {
            checks.fail("bus lock", error.to_string(), LOCK_REMEDY);
            None
        }
        Err(error) => {
            let remedy = bus_remedy(&error, token, &Kernel::default());
            checks.fail(LINK, error.to_string(), remedy);
            None
        }
    }
}

fn bus_remedy(error: &Error, token: &TokenConfig, kernel: &Kernel) -> String {
    let Error::Open { cause, .. } = error else {
        return "see above".to_owned();
    };
    match (&token.bus, cause) {
        (BusLocation::Linux(_), OpenError::NotFound(_)) => {
            "sudo modprobe i2c-dev; on a Raspberry Pi also dtparam=i2c_arm=on in /boot/firmware/config.txt, and reboot"
                .to_owned()
        }
        (BusLocation::Linux(path), OpenError::NotPermitted(_)) => {
            let group = format!("stat -c %G {}", path.display());
            format!("sudo usermod -aG atecc608 $USER (without the package: the group that {group} prints), then log in \
                     again")
        }
        (BusLocation::Linux(path), OpenError::InUse(_)) => match kernel.driver(path, token.address) {
            Some(driver) => driver.unbind(),
            None => {
                let device = format!("{}-{:04x}", bus_number(path), token.address);
                format!("ls -l /sys/bus/i2c/devices/{device}/driver     names the driver; then unbind it")
            }
        },
        (BusLocation::Unix(path), _) => {
            format!("atecc608-sim serve --socket {} --state FILE", path.display())
        }
        (BusLocation::Sim(path), _) => {
            format!("ls -l {0} {0}.lock shows who may use the simulated chip", path.display())
        }
        (BusLocation::Linux(_), OpenError::SmbusOnly(_)) => {
            "wire the chip to another adapter, and name it as `bus` (`atecc608 scan` lists them): the board's own I2C bus; two GPIO \
             lines with i2c-gpio (on a Raspberry Pi dtoverlay=i2c-gpio,i2c_gpio_delay_us=5); or a USB bridge that i2c-tiny-usb \
             serves. docs/adapters.md has more"
                .to_owned()
        }
        (BusLocation::Linux(path), OpenError::Other(_)) => format!("ls -l {}", path.display()),
    }
}

fn bus_number(path: &Path) -> String {
    node_name(path).trim_start_matches("i2c-").to_owned()
}

/// The adapter's clock.
fn adapter_clock(bus: &BusLocation, kernel: &Kernel, checks: &mut Checks) {
    const LINK: &str = "adapter";
    let BusLocation::Linux(path) = bus else { return };
    let name = kernel.adapter(path).name;
    let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
    match kernel.clock(path) {
        None => checks.warn(
            LINK,
            format!("{name}the kernel does not publish its clock: above {FASTEST_WAKE_HZ} Hz the chip does not wake"),
            "docs/adapters.md lists the clock of each driver, and how to set 100 kHz",
        ),
        Some(clock) if clock.hz > FASTEST_WAKE_HZ => checks.warn(
            LINK,
            format!("{name}{clock}: above {FASTEST_WAKE_HZ} Hz the wake pulse is too short"),
            clock.remedy(),
        ),
        Some(clock) => checks.ok(LINK, format!("{name}{clock}")),
    }
}

/// Checks whether the adapter of a multiplexer's channel can be locked with it.
fn multiplexer(bus: &BusLocation, checks: &mut Checks) {
    const LINK: &str = "multiplexer";
    let BusLocation::Linux(path) = bus else { return };
    let Some(root) = root_of_channel(path) else { return };
    let node = root.display();
    match std::fs::File::open(&root) {
        Ok(_) => checks.ok(LINK, format!("a channel of {node}, which is locked, too")),
        Err(error) => checks.warn(
            LINK,
            format!(
                "cannot lock {node}: {error}. Programs on it, or on another channel of it, may disturb conversations with the chip"
            ),
            format!("sudo setfacl -m g:atecc608:rw {node}     and for good: a udev rule as for the chip's own bus"),
        ),
    }
}

fn asleep(error: &Error, target: &Target, kernel: &Kernel, checks: &mut Checks) {
    if let (true, BusLocation::Linux(path)) = (error.is_silence(), &target.token.bus) {
        if let Some(clock) = kernel.clock(path).filter(|clock| clock.hz > FASTEST_WAKE_HZ) {
            checks.fail("wake", format!("{error}; at {} Hz the wake pulse is too short", clock.hz), clock.remedy());
            return;
        }
    }
    let remedy = match error {
        Error::Chip { cause: chip::Error::SelfTestFailed, .. } => {
            "power-cycle the chip; replace it if it still fails its self-test".to_owned()
        }
        Error::Chip { cause: chip::Error::NotAnswering { .. }, .. } => match &target.token.bus {
            BusLocation::Linux(path) => format!(
                "i2cdetect -y {} (a sleeping chip may be missing there); check supply, SDA, SCL, pull-ups, `address` \
                 (`atecc608 scan --all-addresses` shows a chip at another one) and the bus clock (docs/adapters.md)",
                bus_number(path)
            ),
            BusLocation::Unix(path) => format!(
                "atecc608-sim control --socket {} insert (or power-on), and compare its address with the configuration: \
                 `atecc608 scan --all-addresses`",
                path.display()
            ),
            BusLocation::Sim(_) => "the chip in the file has another address: correct `address` \
                                    (`atecc608 scan --all-addresses` shows it)"
                .to_owned(),
        },
        _ => PACKETS.to_owned(),
    };
    checks.fail("wake", error.to_string(), remedy);
}

fn locks(zone: &ConfigZone, checks: &mut Checks) {
    match Stage::of(zone) {
        Stage::Provisioned => checks.ok("locks", "configuration, data and OTP are locked"),
        stage => {
            let remedy =
                format!("{}     shows what would be done; then with --lock-forever", profile::next_command(zone));
            checks.fail("locks", format!("the chip is {stage}: it has no keys that can be used"), remedy);
        }
    }
}

fn profile(zone: &ConfigZone, checks: &mut Checks) {
    match profile::matching(zone) {
        Some(profile) => checks.ok("profile", format!("{}: {}", profile.name, profile.description)),
        None if !zone.config_locked() => checks.skip(&["profile"], "the chip is blank"),
        None => match recognised::recognise(zone) {
            Some(known) => checks.ok("profile", format!("{}: its configuration decides what keys may do", known.name)),
            None => checks.ok(
                "profile",
                "not a known configuration: keys are shown as slot-N, and the chip's configuration decides what they \
                 may do",
            ),
        },
    }
}
