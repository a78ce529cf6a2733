// SPDX-License-Identifier: MIT OR Apache-2.0
//! A dishonest host: it has the chip, all its commands and the slots that the profile lets it write, and tries to get a
//! statement that claims more than is true. The rules of the chip and of the verifier prevent it.

use crate::support::attested::*;
use crate::support::hex;
use atecc608::attest::{steps, Evidence, Kind};
use atecc608::{Awake, Result, Transport};
use atecc608_cli::Statement;
use atecc608_sim::image::Part;
use atecc608_testkit::chip::slot;
use atecc608_wire::commands::*;
use atecc608_wire::{ConfigZone, Slot};
use serde_json::Value;

fn challenge() -> [u8; 20] {
    hex(CHALLENGE).try_into().unwrap()
}

/// What a host does instead of an honest step.
struct Host {
    /// The configuration that it claims.
    claimed: ConfigZone,
    /// The first step.
    opening: Opening,
    /// The steps between nonce and key.
    configuration: Vec<GenDig>,
    /// The step that loads the key's digest, and the digest that it claims.
    key: (GenKey, Kind, Slot),
    /// The public key that is claimed; `None`: the one that GenKey returns.
    public_key: Option<[u8; 64]>,
}

#[derive(Clone)]
enum Opening {
    /// A nonce.
    Nonce(Nonce),
    /// SHA into TempKey, over these 96 bytes.
    Sha(Vec<u8>),
}

impl Host {
    /// A host that does what the tool does, with the key in slot 2.
    fn honest(chip: &Attested) -> Self {
        chip.put_key(2, 7);
        Self {
            claimed: chip.bus.image(0).unwrap().config(),
            opening: Opening::Nonce(steps::nonce(&challenge())),
            configuration: steps::configuration().to_vec(),
            key: (steps::key(Kind::LivesHere, slot(2)), Kind::LivesHere, slot(2)),
            public_key: None,
        }
    }

    fn statement(&self, chip: &Attested) -> Value {
        let mut driver = chip.chip();
        serde_json::to_value(Statement::new(&driver.converse_once(|awake| self.ask(awake)).unwrap())).unwrap()
    }

    fn ask<P: Transport>(&self, awake: &mut Awake<'_, P>) -> Result<Evidence> {
        let mut random = [0; 32];
        match &self.opening {
            Opening::Nonce(nonce) => {
                if let NonceResponse::Value(value) = awake.execute(nonce)? {
                    random = value;
                }
            }
            Opening::Sha(bytes) => {
                awake.execute(&Sha::Start)?;
                awake.execute(&Sha::Update(bytes[..64].to_vec()))?;
                awake.execute(&Sha::End { rest: bytes[64..].to_vec(), target: DigestTarget::TempKey })?;
            }
        }
        for step in &self.configuration {
            awake.execute(step)?;
        }
        let (command, kind, slot) = self.key;
        let answer = awake.execute(&command)?;
        let signature = awake.execute(&steps::sign())?;
        Ok(Evidence {
            kind,
            zone: self.claimed.clone(),
            slot,
            challenge: challenge(),
            random,
            public_key: self.public_key.or(answer).unwrap(),
            signature,
        })
    }
}

fn assert_refused(chip: &Attested, host: &Host, what: &str) {
    let (verified, report) = chip.verify(&host.statement(chip));
    assert!(!verified, "{what}");
    assert_eq!(wrong(&report), ["signature"], "{what}: {report:#}");
}

#[test]
fn the_same_steps_done_honestly_are_accepted() {
    let chip = Attested::new();
    let (verified, report) = chip.verify(&Host::honest(&chip).statement(&chip));
    assert!(verified, "{report:#}");
}

#[test]
fn a_claimed_configuration_that_the_chip_does_not_have_is_refused() {
    // The data zone is not locked, and the attestation key signs for any caller; the host claims otherwise.
    for (at, value) in [(86, 0x55), (22, 0x83)] {
        let chip = Attested::new();
        let honest = Host::honest(&chip);
        chip.tamper(|config| config[at] = value);
        assert_refused(&chip, &honest, "other bytes are digested");
        let silent = Host { configuration: Vec::new(), ..honest };
        assert_refused(&chip, &silent, "nothing is digested");
    }
}

#[test]
fn a_slot_without_mac_cannot_pose_as_the_configuration() {
    for block in 0..4 {
        let chip = Attested::new();
        let honest = Host::honest(&chip);
        // Slot 7 has NoMac: the host chooses what GenDig digests as opcode and parameters there. The slot holds the
        // right block; the chip's own one differs in counter, lock or key rule.
        let fake = honest.claimed.as_bytes()[32 * block..][..32].to_vec();
        let mut image = chip.bus.image(0).unwrap();
        image.part_mut(Part::Slot(slot(7)))[..32].copy_from_slice(&fake);
        chip.bus.set_image(0, image).unwrap();
        let other = [14, 60, 86, 120][block];
        chip.tamper(|config| config[other] ^= 0x55);
        let mut configuration = steps::configuration().to_vec();
        configuration[block] = GenDig::Data { slot: slot(7), other_data: Some([0x15, 0x00, block as u8, 0x00]) };
        let forged = Host { configuration, ..honest };
        assert_refused(&chip, &forged, &format!("block {block}"));
        // The digests are right: only NoMacFlag shows it.
        assert!(is_signed_with_flags(&forged.statement(&chip), 0x08, 0x80, &chip.key_in(1)), "block {block}");
    }
}

#[test]
fn a_public_key_in_a_data_slot_cannot_pose_as_a_key_of_the_chip() {
    let chip = Attested::new();
    let honest = Host::honest(&chip);
    // A foreign key, where the profile allows public keys to be stored.
    let others = p256::SecretKey::from_slice(&[0x77; 32]).unwrap().public_key();
    let point = p256::elliptic_curve::sec1::ToEncodedPoint::to_encoded_point(&others, false);
    let xy: [u8; 64] = point.as_bytes()[1..].try_into().unwrap();
    let mut image = chip.bus.image(0).unwrap();
    let stored = [&[0; 4][..], &xy[..32], &[0; 4], &xy[32..]].concat();
    image.part_mut(Part::Slot(slot(11))).copy_from_slice(&stored);
    chip.bus.set_image(0, image).unwrap();
    for (kind, mode) in [(Kind::BornHere, 0x0C), (Kind::LivesHere, 0x08)] {
        for claimed in [slot(2), slot(11)] {
            let other_data = [mode, claimed.number(), 0x00];
            let digest = GenKey { mode: GenKeyMode::StoredDigest { other_data }, key: KeyLocation::Slot(slot(11)) };
            let forged = Host {
                key: (digest, kind, claimed),
                public_key: Some(xy),
                claimed: honest.claimed.clone(),
                opening: honest.opening.clone(),
                configuration: honest.configuration.clone(),
            };
            let (verified, report) = chip.verify(&forged.statement(&chip));
            assert!(!verified, "{kind:?} {claimed}: {report:#}");
            // In its own slot it has a valid signature, but that slot holds no private key.
            let expected = if claimed == slot(11) { "key's rules" } else { "signature" };
            assert_eq!(wrong(&report), [expected], "{kind:?} {claimed}: {report:#}");
        }
    }
}

#[test]
fn a_temp_key_that_the_host_chose_is_refused() {
    use sha2::Digest;
    let fixed = |value: Vec<u8>| Opening::Nonce(Nonce::Fixed { target: NonceTarget::TempKey, value });
    let chip = Attested::new();
    let honest = || Host::honest(&chip);
    // What the chip digests before the key, with a RandOut of zeros and a lock byte that the chip does not have.
    let mut claimed = honest().claimed;
    claimed.as_bytes_mut()[88] ^= 0x80;
    let before = temp_key_before(claimed.as_bytes(), &[0; 32], &challenge());
    let last = last_gen_dig(claimed.as_bytes(), &before);
    let nonce = atecc608_wire::messages::nonce(&[0; 32], &challenge(), 0).to_vec();
    let whole = sha2::Sha256::digest(&last).to_vec();
    for (what, forged) in [
        ("only the nonce", Host { opening: fixed(nonce), ..honest() }),
        ("everything", Host { opening: fixed(whole), configuration: Vec::new(), claimed: claimed.clone(), ..honest() }),
        ("by SHA", Host { opening: Opening::Sha(last), configuration: Vec::new(), claimed, ..honest() }),
    ] {
        assert_refused(&chip, &forged, what);
        // The digests are right: only SourceFlag shows it.
        assert!(is_signed_with_flags(&forged.statement(&chip), 0x08, 0x10, &chip.key_in(1)), "{what}");
    }
}

#[test]
fn a_key_that_existed_before_is_not_stated_as_generated() {
    let chip = Attested::new();
    let honest = Host::honest(&chip);
    let forged = Host { key: (steps::key(Kind::LivesHere, slot(2)), Kind::BornHere, slot(2)), ..honest };
    assert_refused(&chip, &forged, "GenKey's mode is in the digest");
}

#[test]
fn a_birth_statement_for_one_slot_is_refused_for_another() {
    let chip = Attested::new();
    let honest = Host::honest(&chip);
    // Slot 0 has the same configuration words.
    let forged = Host { key: (steps::key(Kind::BornHere, slot(0)), Kind::BornHere, slot(2)), ..honest };
    assert_refused(&chip, &forged, "the slot is in the digest, and TempKey's KeyID");
}

#[test]
fn the_attestation_key_signs_nothing_that_a_caller_chose() {
    let chip = Attested::new();
    let mut driver = chip.chip();
    let refused = driver.converse_once(|awake| awake.sign_digest(slot(1), &[0x5A; 32]));
    assert!(refused.is_err());
    // A TempKey that the caller loaded makes no statement.
    let refused = driver.converse_once(|awake| {
        awake.execute(&Nonce::Fixed { target: NonceTarget::TempKey, value: vec![7; 32] })?;
        awake.execute(&steps::sign())
    });
    assert!(refused.is_err());
}
