// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes of the bus: wake, power states, damaged and cut packets, repeated reads (fact sheet section 1).

use std::time::Duration;

use atecc608_wire::commands::{DigestTarget, Info, Nonce, NonceTarget, Random, SelfTest, Sha};
use atecc608_wire::timing::{self, WAKE_LOW_US, WATCHDOG_MAX_MS};
use atecc608_wire::{frame, word_address, Command, CommandPacket, Opcode, Status};

use crate::bench::{Bench, Step};
use crate::probe::{byte_switch, not_here, probes, seen, switch, Facts, Outcome, Probe};

/// Long enough for every short command.
const PATIENCE: Duration = Duration::from_millis(200);

probes! { PROBES:
    any_traffic_wakes: "any_traffic_wakes", "1.4, 11", "Does a write to a sleeping chip's own address wake it?";
    pulse_while_awake: "pulse while awake", "1.4", "Does a wake pulse to a chip that is awake change the reply that is waiting?";
    command_before_wake_response: "command before the wake response is read", "8.5", "Is a command taken when nobody \
                                                                                      has read the response to the \
                                                                                      wake?";
    idle_and_sleep: "idle and sleep", "1.3", "What do idle and sleep keep of TempKey and of the SHA context?";
    silence: "asleep and idle on the bus", "1.3", "Does a chip that is asleep or idle acknowledge a read?";
    busy: "busy", "1.6", "Does a busy chip acknowledge a read, a write?";
    damaged: "damaged packet", "2.4", "What does a chip do with a packet whose checksum is wrong?";
    impossible_count: "impossible count", "2.1", "What does it answer to a packet with a count below 7?";
    half_a_packet: "half a packet", "1.5", "What does it do while half a packet is there, and after a reset of the address counter?";
    packet_in_two_writes: "packet in two writes", "1.5", "May a packet be split over two writes?";
    reading_again: "reading again", "1.6", "Can a reply be read again?";
    past_the_end: "past_the_end", "1.6", "What is read past the end of a reply?";
    watchdog_margin: "watchdog_margin", "1.3", "Is a command that comes shortly before the watchdog strikes answered EE?";
}

const INFO: Info = Info::Revision;

/// The longest run of low bits in the byte that addresses the chip for a write.
fn low_run(address: u8) -> u64 {
    let byte = address << 1;
    let bits = (0..8).rev().map(|bit| byte >> bit & 1);
    let (_, longest) = bits.fold((0, 0), |(run, longest), bit| {
        let run = if bit == 0 { run + 1 } else { 0 };
        (run, longest.max(run))
    });
    longest
}

fn any_traffic_wakes(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let low_us = low_run(bench.address) * 1_000_000 / u64::from(facts.i2c_hz.max(1));
    if low_us < WAKE_LOW_US {
        let clock = facts.i2c_hz;
        return not_here(format!("its address holds the line low for {low_us} us at {clock} Hz: no wake needs be"));
    }
    bench.sleep()?;
    bench.wait(Duration::from_millis(3));
    bench.write(&[word_address::RESET])?;
    bench.wait(Duration::from_millis(3));
    let woke = bench.read(4)?.is_some();
    switch(woke, "a write to its address woke it", "it slept on")
}

fn pulse_while_awake(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.send(&INFO.packet())?;
    let reply = bench.response(PATIENCE)?;
    bench.pulse()?;
    bench.wait(Duration::from_millis(3));
    bench.write(&[word_address::RESET])?;
    seen(match bench.read(reply.len())? {
        Some(again) if again == reply => "the reply stays",
        Some(_) => "the reply is another one",
        None => "no reply any more",
    })
}

fn command_before_wake_response(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.sleep()?;
    bench.pulse()?;
    bench.wait(bench.wake_delay);
    bench.must(&INFO)?;
    seen("the command is executed")
}

fn kept(bench: &mut Bench) -> Step<String> {
    let word = |kept: bool| if kept { "kept" } else { "lost" };
    let temp_key = word(bench.state()?.valid);
    let end = Sha::End { rest: Vec::new(), target: DigestTarget::Output };
    Ok(format!("TempKey {temp_key}, SHA context {}", word(bench.execute(&end)?.is_ok())))
}

fn idle_and_sleep(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.fixed_nonce(&[0x5A; 32])?;
    bench.must(&Sha::Start)?;
    bench.must(&Sha::Update(vec![0x5A; 5]))?;
    bench.nap()?;
    let idle = kept(bench)?;
    bench.fresh()?;
    bench.fixed_nonce(&[0x5A; 32])?;
    bench.must(&Sha::Start)?;
    bench.fresh()?;
    seen(format!("idle: {idle}; sleep: {}", kept(bench)?))
}

fn silence(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let word = |bytes: Option<Vec<u8>>| if bytes.is_some() { "acknowledges" } else { "does not" };
    bench.sleep()?;
    let asleep = word(bench.read(1)?);
    bench.fresh()?;
    bench.write(&[word_address::IDLE])?;
    seen(format!("asleep: {asleep}; idle: {}", word(bench.read(1)?)))
}

fn busy(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    // The longest command, so that even a slow machine can read while it runs.
    let patience = 2 * timing::maximum(Opcode::SELF_TEST, bench.divider);
    let word = |acknowledged: bool| if acknowledged { "acknowledged" } else { "not acknowledged" };
    bench.send(&SelfTest::ALL.packet())?;
    let read = word(bench.read(1)?.is_some());
    let write = word(bench.write(&[word_address::RESET])?);
    bench.response(patience)?;
    seen(format!("during SelfTest, a read is {read}, a write is {write}"))
}

/// The status in a status packet, else the packet.
fn status_text(packet: &[u8]) -> String {
    match frame::decode_response(packet) {
        Ok([status]) => format!("{status:02X}"),
        Ok(payload) => format!("{} bytes", payload.len()),
        Err(error) => error.to_string(),
    }
}

fn damaged(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.random_nonce()?;
    let fixed = Nonce::Fixed { target: NonceTarget::TempKey, value: vec![0xA5; 32] };
    let mut packet = fixed.packet().encode();
    if let Some(last) = packet.last_mut() {
        *last ^= 0x01;
    }
    bench.send_bytes(&packet)?;
    let status = status_text(&bench.response(PATIENCE)?);
    let state = bench.state()?;
    let executed = match (state.valid, state.source_fixed()) {
        (true, false) => "not executed, TempKey kept",
        (true, true) => "executed",
        (false, _) => "TempKey lost",
    };
    seen(format!("{status}, {executed}"))
}

fn impossible_count(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.write(&[word_address::COMMAND, 0x04, 0x30, 0x00, 0x00])?;
    let status = status_text(&bench.response(PATIENCE)?);
    let after = if bench.execute(&INFO)?.is_ok() { "answered" } else { "refused" };
    seen(format!("{status}; the next command is {after}"))
}

fn half_a_packet(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let packet = INFO.packet().encode();
    bench.write(&[&[word_address::COMMAND], &packet[..4]].concat())?;
    let read = if bench.read(1)?.is_some() { "acknowledged" } else { "not acknowledged" };
    bench.write(&[word_address::RESET])?;
    let after = if bench.execute(&INFO)?.is_ok() { "answered" } else { "refused" };
    seen(format!("a read is {read}; after a reset a whole command is {after}"))
}

fn packet_in_two_writes(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let packet = INFO.packet().encode();
    for half in [&packet[..3], &packet[3..]] {
        if !bench.write(&[&[word_address::COMMAND], half].concat())? {
            return seen("the second half is not acknowledged");
        }
    }
    seen(match status_text(&bench.response(PATIENCE)?).as_str() {
        "4 bytes" => "executed".to_owned(),
        other => format!("answered {other}"),
    })
}

fn reading_again(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.send(&INFO.packet())?;
    let reply = bench.response(PATIENCE)?;
    bench.write(&[word_address::RESET])?;
    let again = bench.read(reply.len())?;
    seen(if again == Some(reply) { "the same" } else { "another" })
}

fn past_the_end(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.send(&INFO.packet())?;
    bench.response(PATIENCE)?;
    byte_switch(&bench.read(4)?.ok_or("not acknowledged")?)
}

/// Sends one command after the other until the watchdog expires. Short commands find a narrow margin, long ones a wide
/// one on a slow machine; several times, because the watchdog may expire between two commands.
fn watchdog_margin(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    if facts.config.chip_mode() & 4 != 0 {
        return not_here("its watchdog is the long one (ChipMode bit 2): it would take a minute");
    }
    let short = Random { update_seed: false }.packet();
    let long = SelfTest::ALL.packet();
    for packet in std::iter::repeat_n(short, 4).chain(std::iter::repeat_n(long, 4)) {
        let patience = timing::maximum(packet.opcode, bench.divider) + PATIENCE;
        bench.fresh()?;
        while bench.now().saturating_sub(bench.woken_at) < 2 * Duration::from_millis(WATCHDOG_MAX_MS) {
            if bench.send(&packet).is_err() {
                break;
            }
            match bench.response(patience).map(|packet| status_text(&packet)) {
                Ok(status) if status == format!("{:02X}", Status::WATCHDOG_EXPIRING.0) => {
                    return switch(true, "answered EE", "");
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    switch(false, "", "never answered EE: commands are cut off")
}

/// Sends a packet that no command type can express.
pub fn raw_status(bench: &mut Bench, opcode: Opcode, param1: u8, param2: u16) -> Step<String> {
    bench.send(&CommandPacket::new(opcode, param1, param2))?;
    Ok(status_text(&bench.response(PATIENCE)?))
}
