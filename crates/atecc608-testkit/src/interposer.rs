// SPDX-License-Identifier: MIT OR Apache-2.0
//! An attacker on the two wires who replaces the chip's replies.

use std::io::BufReader;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use atecc608_sim::transfer::{write_result, Request, Segment};
use atecc608_sim::{Image, SimBus, SimChip, Timing};
use atecc608_wire::frame::encode_response;
use atecc608_wire::{CommandPacket, Opcode};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};

/// A bus with one chip, served at the socket by a thread of the test, with an interposer in front of it. The bytes that
/// the interposer returns for a command replace the chip's reply; the chip executes the command in any case. `None`
/// lets the reply through.
pub fn serve(
    image: Image,
    socket: &Path,
    answer: impl FnMut(&CommandPacket) -> Option<Vec<u8>> + Send + 'static,
) -> SimBus {
    let bus = SimBus::with_timing(100_000, Timing::Fast);
    bus.add_chip(SimChip::from_image(image));
    let listener = UnixListener::bind(socket).unwrap();
    let (served, answer) = (bus.clone(), Arc::new(Mutex::new(answer)));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, bus, answer) = (client.unwrap(), served.clone(), answer.clone());
            thread::spawn(move || serve_client(&bus, client, |packet| (answer.lock().unwrap())(packet)));
        }
    });
    bus
}

fn serve_client(bus: &SimBus, mut client: UnixStream, mut answer: impl FnMut(&CommandPacket) -> Option<Vec<u8>>) {
    let mut requests = BufReader::new(client.try_clone().unwrap());
    // The replacement of the reply, and how many bytes of it were read.
    let mut reply: Option<(Vec<u8>, usize)> = None;
    while let Ok(Some(Request::Transfer(segments))) = Request::read_from(&mut requests) {
        let mut result = bus.transfer(&segments);
        for segment in &segments {
            match segment {
                Segment::Write { data, .. } if result.is_ok() => match data.split_first() {
                    // Word addresses: reset, sleep, idle, command.
                    Some((0, _)) => reply.iter_mut().for_each(|(_, read)| *read = 0),
                    Some((3, packet)) => {
                        let packet = CommandPacket::decode(packet).unwrap();
                        reply = answer(&packet).map(|payload| (encode_response(&payload), 0));
                    }
                    _ => reply = None,
                },
                _ => {}
            }
        }
        if let (Ok(reads), Some((reply, read))) = (&mut result, &mut reply) {
            for byte in reads.iter_mut().flatten() {
                *byte = reply.get(*read).copied().unwrap_or(0xFF);
                *read += 1;
            }
        }
        if write_result(&mut client, &result, segments.len() as u8).is_err() {
            return;
        }
    }
}

/// An attacker with a key pair of his own, which he passes off as every key of the chip except the attestation key: he
/// replaces the replies to GenKey with its public key, and to Sign with its signatures.
pub fn with_own_key() -> (Vec<u8>, impl FnMut(&CommandPacket) -> Option<Vec<u8>> + Send) {
    let key = SigningKey::from_slice(&[0x77; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
    let (xy, mut digest) = (point[1..].to_vec(), Vec::new());
    let answer = move |packet: &CommandPacket| match packet.opcode {
        Opcode::GEN_KEY if packet.param2 != 1 => Some(xy.clone()),
        // Takes the digest as it is.
        Opcode::NONCE if packet.param1 & 3 == 3 => {
            digest.clone_from(&packet.data);
            None
        }
        // An external message.
        Opcode::SIGN if packet.param1 & 0x80 != 0 => {
            let signature: Signature = key.sign_prehash(&digest).unwrap();
            Some(signature.to_bytes().to_vec())
        }
        _ => None,
    };
    (point, answer)
}
