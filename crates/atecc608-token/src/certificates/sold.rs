// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificates of chips that are sold with some: device and signer, rebuilt and verified up to the root (fact
//! sheet section 7), and the root.
//!
//! The state caches the data read from the chip, not the rebuilt certificates: they are verified in every process with
//! the root's public key.

use cryptoki_sys::{CK_CERTIFICATE_CATEGORY_AUTHORITY, CK_CERTIFICATE_CATEGORY_TOKEN_USER};

use super::{
    certified_point, compressed, is_permanent, part_of_the_chip, read_place, stored_point, verify, ChipCertificate,
    Problem,
};
use crate::error::{Error, Result};
use crate::point::Point;
use crate::turn::Turn;
use atecc608::{Awake, Transport};
use atecc608_contents::certificate::{root, Definition, Device, Parts, Places, Root};
use atecc608_wire::commands::Read;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot};

/// Bytes that are cached for a chip without certificates: the product code.
const CODE: usize = 8;
/// Bytes for a chip with certificates: product code, EUI (16), device's certificate, signer's key and certificate (72
/// each).
const KEPT: usize = CODE + 16 + 3 * 72;

/// Adds the certificates that the chip was sold with, if any.
pub(super) fn learn(turn: &mut Turn<'_>, found: &mut Vec<ChipCertificate>) -> Result<()> {
    let known = turn.known();
    let (serial, cached) = (known.zone().serial_number(), &known.state().sold);
    if let Some(kept) = cached {
        if rebuild(turn, kept, found)?.is_empty() {
            return Ok(());
        }
        found.clear();
    }
    let kept = match turn.converse(read) {
        // The slot's rules forbid reading.
        Err(Error::Device(error)) if matches!(*error, atecc608::Error::Status { .. }) => {
            log::warn!("chip {serial}: its certificates can't be read: {error}");
            return Ok(());
        }
        other => other?,
    };
    let problems = rebuild(turn, &kept, found)?;
    for (name, problem) in &problems {
        log::warn!("chip {serial}: the {name}'s certificate is not shown: {problem}");
    }
    if problems.is_empty() && cached.as_ref() != Some(&kept) && may_keep(known.zone(), &kept) {
        if let Err(error) = turn.change_state(|state| state.sold = Some(kept)) {
            log::debug!("cannot store the certificates of the chip: {error}");
        }
    }
    Ok(())
}

/// Whether the data that was read can't change.
fn may_keep(zone: &ConfigZone, kept: &[u8]) -> bool {
    let Some(Places { eui, device, signer_key, signer, .. }) = Definition::of_device(kept).map(Definition::places)
    else {
        return true;
    };
    [eui, device, signer_key, signer].iter().all(|place| place.len == 0 || is_permanent(zone, place.slot))
}

/// Rebuilds the certificates; returns those that are invalid, and why.
fn rebuild(turn: &mut Turn<'_>, kept: &[u8], found: &mut Vec<ChipCertificate>) -> Result<Vec<(&'static str, Problem)>> {
    let Some(definition) = Definition::of_device(kept) else {
        let nothing_else = kept.len() == CODE;
        return Ok(if nothing_else { Vec::new() } else { vec![("device", Problem::Missing)] });
    };
    let Ok(kept) = <&[u8; KEPT]>::try_from(kept) else { return Ok(vec![("device", Problem::Missing)]) };
    let known = turn.known();
    let serial = known.zone().serial_number();
    let mut device = Device { serial, eui: [0; 16] };
    device.eui.copy_from_slice(&kept[8..24]);
    let root = trusted_root(known.identity.simulated);
    let issuer = match signer(root, &kept[96..168], &kept[168..], device) {
        Ok((signer, certificates)) => {
            found.extend(certificates);
            signer
        }
        Err(problem) => return Ok(vec![("signer", problem)]),
    };
    let slot = Slot::from_nibble(definition.places().key);
    let mut result = Err(Problem::NoKey);
    // The state's public key may be outdated.
    for anew in [false, true] {
        let point = certified_point(turn, slot, anew)?;
        result = point.ok_or(Problem::NoKey).and_then(|point| {
            let certificate = rebuilt(definition, &kept[24..96], point, issuer, device)?;
            let category = CK_CERTIFICATE_CATEGORY_TOKEN_USER;
            Ok(part_of_the_chip(serial, "device", "", point, category, certificate))
        });
        if result.is_ok() {
            break;
        }
    }
    Ok(match result {
        Ok(object) => {
            found.insert(0, ChipCertificate { key: Some(slot), point: None, object });
            Vec::new()
        }
        Err(problem) => vec![("device", problem)],
    })
}

/// Returns the signer's public key, its certificate and the root's.
fn signer(
    root: &Root,
    key: &[u8],
    certificate: &[u8],
    device: Device,
) -> Result<(Point, [ChipCertificate; 2]), Problem> {
    let root_point = Point::from_xy(&root.public_key).ok_or(Problem::NoKey)?;
    let point = stored_point(key).ok_or(Problem::NoKey)?;
    let signer = rebuilt(Definition::Signer, certificate, point, root_point, device)?;
    let objects = [("signer", point, signer), ("root", root_point, root.certificate()?)];
    let category = CK_CERTIFICATE_CATEGORY_AUTHORITY;
    let certificates = objects.map(|(name, point, value)| ChipCertificate {
        key: None,
        point: None,
        object: part_of_the_chip(device.serial, name, name, point, category, value),
    });
    Ok((point, certificates))
}

/// Rebuilds a certificate and verifies it with its issuer's key.
fn rebuilt(
    definition: Definition,
    kept: &[u8],
    public_key: Point,
    issuer: Point,
    device: Device,
) -> Result<Vec<u8>, Problem> {
    let compressed = compressed(kept)?;
    let parts =
        Parts { definition, compressed: &compressed, public_key: &public_key.xy(), issuer_key: &issuer.xy(), device };
    verify(issuer, &parts.to_be_signed()?, &compressed.signature)?;
    Ok(parts.certificate()?)
}

/// Returns the trusted root: a simulated chip's root never counts for a real chip, because its private key is public.
fn trusted_root(simulated: bool) -> &'static Root {
    #[cfg(feature = "sim")]
    if simulated {
        return &root::SIMULATED;
    }
    let _ = simulated;
    &root::MICROCHIP
}

/// Reads the data of the chip's certificates; for a chip sold without certificates, only the product code.
fn read<P: Transport>(awake: &mut Awake<'_, P>) -> atecc608::Result<Vec<u8>> {
    let mut kept = awake.execute(&Read { zone: Zone::Otp, address: Address::block(0, 0), block: true })?;
    kept.truncate(CODE);
    if let Some(definition) = Definition::of_device(&kept) {
        let Places { eui, device, signer_key, signer, .. } = definition.places();
        for (place, end) in [(eui, 24), (device, 96), (signer_key, 168), (signer, KEPT)] {
            if place.len > 0 {
                kept.extend(read_place(awake, place)?);
            }
            kept.resize(end, 0);
        }
    }
    Ok(kept)
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_simulated_chips_count_in_simulated_chips_only() {
        assert_eq!(trusted_root(true), &root::SIMULATED);
        assert_eq!(trusted_root(false), &root::MICROCHIP);
        assert_ne!(root::SIMULATED.public_key, root::MICROCHIP.public_key);
    }
}
