// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes of ReqAuth: what gives an authorisation, what ends it, what requires it (fact sheet sections 3.0 and 11).

use atecc608_wire::commands::{CheckMac, DigestSource, GenKey, GenKeyMode, Info, KeyLocation, Nonce, Sign, Write};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::Status;

use super::locked::encrypted_key;
use super::{layout, parent_digest, proof};
use crate::bench::{Bench, Step};
use crate::probe::{probes, refusal_switch, seen, switch, Facts, Outcome, Probe};
use crate::vectors::EC_DIGEST;

probes! { PROBES:
    given: "authorisation", "3.2", "What authorises: CheckMac over a random nonce, over the caller's challenge?";
    over_idle: "authorisation_survives_idle", "1.3, 11", "Does it survive idle?";
    over_nonce: "authorisation_survives_nonce", "11", "Does it survive a new nonce in TempKey?";
    over_digest: "authorisation_survives_buffer_nonce", "11", "Does it survive a Nonce into the digest buffer?";
    over_sign: "authorisation and Sign", "11", "Does it survive a Sign?";
    failed: "failed_check_mac_clears_authorisation", "11", "Does a CheckMac that fails end it?";
    gates_sign: "ReqAuth and Sign", "3.0", "Does Sign ask for it?";
    gates_gen_key: "req_auth_gates_gen_key", "11", "Does GenKey ask for it?";
    gates_write: "req_auth_gates_write", "11", "Does Write ask for it?";
    gates_priv_write: "req_auth_gates_priv_write", "11", "Does PrivWrite ask for it?";
    latch: "setting the latch", "3.8", "Is it set with an authorisation only, and does it survive sleep?";
}

/// CheckMac over a random nonce: the chip is authorised by slot 5.
fn authorise(bench: &mut Bench, facts: &Facts) -> Step<()> {
    let nonce = bench.random_nonce()?;
    bench.must(&proof(facts, layout::AUTHORITY, &nonce))?;
    match bench.state()?.authorised {
        Some(slot) if slot == layout::AUTHORITY.number() => Ok(()),
        other => Err(format!("Info(State) says that {other:?} is authorised after CheckMac")),
    }
}

fn is_authorised(bench: &mut Bench) -> Step<bool> {
    Ok(bench.state()?.authorised.is_some())
}

/// CheckMac over the caller's own challenge (mode 00), with a correct or damaged response.
fn over_challenge(facts: &Facts, damage: bool) -> CheckMac {
    let mut command = CheckMac { temp_key_second: false, ..proof(facts, layout::AUTHORITY, &[0; 32]) };
    // The message of mode 01 with this challenge instead of the nonce.
    command.response[0] ^= u8::from(damage);
    command
}

fn given(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let word = |is| if is { "authorises" } else { "does not" };
    let challenge = bench.status(&over_challenge(facts, false))?;
    let by_challenge = word(is_authorised(bench)?);
    bench.fresh()?;
    let nonce = bench.random_nonce()?;
    let random = bench.status(&proof(facts, layout::AUTHORITY, &nonce))?;
    let by_nonce = word(is_authorised(bench)?);
    seen(format!("random nonce {:02X}, {by_nonce}; challenge {:02X}, {by_challenge}", random.0, challenge.0))
}

fn over_idle(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    authorise(bench, facts)?;
    bench.nap()?;
    switch(is_authorised(bench)?, "it does", "it does not")
}

fn over_nonce(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    authorise(bench, facts)?;
    bench.random_nonce()?;
    switch(is_authorised(bench)?, "it does", "it does not")
}

fn sign(bench: &mut Bench) -> Step<Status> {
    bench.status(&Sign::External { source: DigestSource::MessageDigestBuffer, slot: layout::GUARDED_KEY })
}

fn over_digest(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    authorise(bench, facts)?;
    bench.must(&Nonce::digest(&EC_DIGEST))?;
    switch(is_authorised(bench)?, "it does", "it does not")
}

fn over_sign(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    bench.must(&Nonce::digest(&EC_DIGEST))?;
    authorise(bench, facts)?;
    let first = sign(bench)?;
    let second = sign(bench)?;
    seen(format!("Sign {:02X}, and once more {:02X}", first.0, second.0))
}

fn failed(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    authorise(bench, facts)?;
    let status = bench.status(&over_challenge(facts, true))?;
    if status != Status::MISCOMPARE {
        return seen(format!("a wrong response is answered {:02X}", status.0));
    }
    switch(!is_authorised(bench)?, "it does", "it does not")
}

fn gates_sign(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    bench.must(&Nonce::digest(&EC_DIGEST))?;
    let without = sign(bench)?;
    bench.fresh()?;
    bench.must(&Nonce::digest(&EC_DIGEST))?;
    authorise(bench, facts)?;
    seen(format!("without {:02X}, with {:02X}", without.0, sign(bench)?.0))
}

fn gates_gen_key(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let key = KeyLocation::Slot(layout::GUARDED_KEY);
    let modes = [
        ("public", GenKeyMode::Public { digest: false }),
        ("public and digest", GenKeyMode::Public { digest: true }),
        ("create", GenKeyMode::Create { digest: false }),
    ];
    let (mut refused, mut texts) = (0, Vec::new());
    for (name, mode) in modes {
        bench.fresh()?;
        bench.random_nonce()?;
        let without = bench.status(&GenKey { mode, key })?;
        bench.fresh()?;
        authorise(bench, facts)?;
        // The nonce that CheckMac has cleared.
        let with = match mode {
            GenKeyMode::Public { digest: true } => "-".to_owned(),
            _ => format!("{:02X}", bench.status(&GenKey { mode, key })?.0),
        };
        refused += usize::from(without == Status::EXECUTION_ERROR);
        texts.push(format!("{name} without {:02X}, with {with}", without.0));
    }
    let text = texts.join("; ");
    match refused {
        0 => switch(false, "", &text),
        3 => switch(true, &text, ""),
        _ => seen(text),
    }
}

fn gates_write(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let write = Write::block(Zone::Data, Address::slot(layout::GUARDED_DATA, 1, 0), [0x77; 32]);
    refusal_switch(bench.status(&write)?, false, "Write without authorisation")
}

fn gates_priv_write(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let nonce = bench.random_nonce()?;
    let key = parent_digest(bench, facts, &nonce)?;
    let write = encrypted_key(facts, layout::GUARDED_KEY, &key, false);
    refusal_switch(bench.status(&write)?, false, "PrivWrite without authorisation")
}

fn latch(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let set = Info::LatchSet(true);
    let without = bench.status(&set)?;
    bench.fresh()?;
    authorise(bench, facts)?;
    let with = bench.status(&set)?;
    bench.fresh()?;
    let after = bench.must(&Info::LatchRead)?[0];
    authorise(bench, facts)?;
    let cleared = bench.status(&Info::LatchSet(false))?;
    seen(format!("without {:02X}, with {:02X}, after sleep {after:02X}, cleared {:02X}", without.0, with.0, cleared.0))
}
