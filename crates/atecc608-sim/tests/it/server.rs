// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server: the protocol of DESIGN.md section 6 over a real socket.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use atecc608_sim::image::Part;
use atecc608_sim::server::Server;
use atecc608_sim::transfer::{read_control_reply, read_result, Request, Segment, TransferFault, TransferResult, Verb};
use atecc608_sim::{Image, SimBus, SimChip, Timing};
use atecc608_testkit::master::*;
use proptest::prelude::*;

const SIM: &str = env!("CARGO_BIN_EXE_atecc608-sim");
const INFO: &str = "03 07 30 00 00 00 03 5D";
const NO_FAULTS: &str = r#"{"spec":"none"}"#;
const INFO_608B: &str = "07 00 00 60 03 83 BB";

/// A server process, killed when dropped.
struct Process {
    child: Child,
    socket: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(folder: &Path, arguments: &[&str]) -> Process {
    let socket = folder.join("bus");
    let mut child = Command::new(SIM)
        .arg("serve")
        .arg("--socket")
        .arg(&socket)
        .arg("--state")
        .arg(folder.join("chip.img"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("listening on {}\n", socket.display()));
    Process { child, socket }
}

fn sim(arguments: &[&str], socket: &Path) -> Output {
    let (command, rest) = arguments.split_first().unwrap();
    Command::new(SIM).arg(command).arg("--socket").arg(socket).args(rest).output().unwrap()
}

fn transfer(stream: &mut UnixStream, segments: Vec<Segment>) -> TransferResult {
    let reads: Vec<u16> = segments
        .iter()
        .filter_map(|segment| match segment {
            Segment::Read { len, .. } => Some(*len),
            Segment::Write { .. } => None,
        })
        .collect();
    Request::Transfer(segments).write_to(stream).unwrap();
    read_result(stream, &reads).unwrap()
}

fn write(data: &str) -> Segment {
    Segment::Write { address: 0x60, data: hex(data) }
}

fn read(len: u16) -> Segment {
    Segment::Read { address: 0x60, len }
}

fn pulse(stream: &mut UnixStream) {
    let pulse = Segment::Write { address: 0, data: vec![0] };
    assert_eq!(transfer(stream, vec![pulse]), Err((TransferFault::AddressNack, 0)));
}

#[test]
fn a_transfer_is_these_bytes_on_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), &["--timing", "fast"]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    let mut exchange = |request: &str, answer: &str| {
        stream.write_all(&hex(request)).unwrap();
        let mut bytes = vec![0; hex(answer).len()];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, hex(answer));
    };
    exchange("01 00 00 0100 00", "01 00");
    exchange("01 01 60 0400", "00 01 04 11 33 43");
    exchange("02 00 60 0800 03 07 30 00 00 00 03 5D 01 60 0700", "00 02 07 00 00 60 03 83 BB");
    exchange("02 00 60 0100 00 01 35 0700", "01 01");
    exchange("01 00 60 0100 07", "02 00");
}

#[test]
fn several_clients_share_the_bus_and_a_transfer_is_atomic() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), &["--timing", "fast"]);
    pulse(&mut UnixStream::connect(&server.socket).unwrap());
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = UnixStream::connect(&server.socket).unwrap();
            thread::spawn(move || {
                for _ in 0..100 {
                    let answer = transfer(&mut stream, vec![write(INFO), read(7)]);
                    assert_eq!(answer, Ok(vec![hex(INFO_608B)]));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let stats = sim(&["stats", "--reset"], &server.socket);
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    assert_eq!(stats["commands"]["Info"], 400);
    assert_eq!(stats["wakes"], 1);
    assert_eq!(stats["chip_us_max"], 400 * 5000);
    let stats: serde_json::Value = serde_json::from_slice(&sim(&["stats"], &server.socket).stdout).unwrap();
    assert_eq!(stats["transfers"], 0);
}

#[test]
fn real_timing_refuses_before_twhi_and_while_busy_and_takes_the_bus_time() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    let bus = SimBus::with_timing(100_000, Timing::Real);
    bus.add_chip(SimChip::from_image(tls_image(true, true)));
    let server = Server::on_bus(bus, &socket).unwrap();
    thread::spawn(move || server.run());
    let mut stream = UnixStream::connect(&socket).unwrap();
    thread::sleep(Duration::from_millis(1));
    // On a loaded machine the read may come later than tWHI (1.5 ms): the chip may then respond, and the next round
    // counts.
    let in_time = (0..500).any(|_| {
        let start = Instant::now();
        pulse(&mut stream);
        let early = transfer(&mut stream, vec![read(4)]);
        let in_time = start.elapsed() < Duration::from_micros(1500);
        if in_time {
            assert_eq!(early, Err((TransferFault::AddressNack, 0)));
        } else {
            thread::sleep(Duration::from_millis(2));
            let _ = transfer(&mut stream, vec![write("01")]);
        }
        in_time
    });
    assert!(in_time, "no read came within 1.5 ms of a pulse");
    thread::sleep(Duration::from_micros(1600));
    assert_eq!(transfer(&mut stream, vec![read(4)]), Ok(vec![hex("04 11 33 43")]));
    let start = Instant::now();
    // GenKey takes 11 to 115 ms.
    transfer(&mut stream, vec![write("03 07 40 04 00 00 83 87")]).unwrap();
    let mut polls = 0;
    while transfer(&mut stream, vec![read(1)]).is_err() {
        polls += 1;
        thread::sleep(Duration::from_millis(2));
    }
    assert!(polls > 1 && start.elapsed() >= Duration::from_millis(11));
    let start = Instant::now();
    transfer(&mut stream, vec![read(66)]).unwrap();
    assert!(start.elapsed() >= Duration::from_micros(67 * 90));
}

#[test]
fn control_pulls_inserts_powers_and_sets_faults() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), &["--timing", "fast", "--faults", "nack@1"]);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    pulse(&mut stream);
    pulse(&mut stream);
    assert!(transfer(&mut stream, vec![read(4)]).is_ok());
    for (off, on) in [("pull", "insert"), ("power-off", "power-on")] {
        assert!(sim(&["control", off], &server.socket).status.success());
        assert!(transfer(&mut stream, vec![read(4)]).is_err());
        assert!(sim(&["control", on], &server.socket).status.success());
        assert!(transfer(&mut stream, vec![read(4)]).is_err(), "it sleeps after power-up");
        pulse(&mut stream);
        assert!(transfer(&mut stream, vec![read(4)]).is_ok());
    }
    assert!(sim(&["control", "faults", "status@1:0F"], &server.socket).status.success());
    assert_eq!(transfer(&mut stream, vec![write(INFO), read(4)]), Ok(vec![hex("04 0F 23 42")]));
    let refused = sim(&["control", "faults", "flop@1"], &server.socket);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not one of flip@N:BIT"));
}

/// Requests: any bytes; a valid one that is cut off, or followed by more; control with something other than JSON.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let segment = prop_oneof![
        (any::<u8>(), bytes()).prop_map(|(address, data)| Segment::Write { address, data }),
        (any::<u8>(), any::<u16>()).prop_map(|(address, len)| Segment::Read { address, len }),
    ];
    let transfer = prop::collection::vec(segment, 1..50).prop_map(Request::Transfer);
    let json = prop_oneof![".{0,40}", Just(r#"{"spec":"flip@1:9"}"#.to_owned()), Just(r#"{"spec":7}"#.to_owned())];
    let control = (any::<u8>(), json).prop_map(|(verb, json)| Request::Control(verb % 9, json));
    let encoded = prop_oneof![transfer, control].prop_map(|request| {
        let mut bytes = Vec::new();
        request.write_to(&mut bytes).unwrap();
        bytes
    });
    let cut =
        (encoded, any::<prop::sample::Index>()).prop_map(|(bytes, end)| bytes[..end.index(bytes.len() + 1)].to_vec());
    let too_long = bytes().prop_map(|bytes| [vec![0, 6, 0xFF, 0xFF, 0xFF, 0xFF], bytes].concat());
    prop_oneof![2 => bytes(), 3 => cut, 1 => too_long]
}

#[test]
fn no_request_takes_the_server_down() {
    let folder = tempfile::tempdir().unwrap();
    let server = std::cell::RefCell::new(serve(folder.path(), &["--timing", "fast"]));
    let socket = server.borrow().socket.clone();
    proptest!(ProptestConfig::with_cases(128), |(requests in prop::collection::vec(request(), 1..5))| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // The server may have closed the connection already, after an invalid request.
        let _ = requests.iter().try_for_each(|request| stream.write_all(request));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());

        let mut other = UnixStream::connect(&socket).unwrap();
        for (verb, json) in [(Verb::PowerOff, "{}"), (Verb::PowerOn, "{}"), (Verb::Insert, "{}"), (Verb::Faults, NO_FAULTS)] {
            Request::Control(verb as u8, json.to_owned()).write_to(&mut other).unwrap();
            prop_assert_eq!(read_control_reply(&mut other).unwrap(), "{}");
        }
        pulse(&mut other);
        prop_assert_eq!(transfer(&mut other, vec![write(INFO), read(7)]), Ok(vec![hex(INFO_608B)]));
        prop_assert!(server.borrow_mut().child.try_wait().unwrap().is_none());

        // A client that requests much and disconnects before the reply.
        let mut careless = UnixStream::connect(&socket).unwrap();
        Request::Transfer(vec![read(u16::MAX)]).write_to(&mut careless).unwrap();
    });
}

#[test]
fn a_second_server_is_refused_and_a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), &["--timing", "fast"]);
    let start = |state: &str, socket: &Path| {
        let state = folder.path().join(state);
        let arguments = ["serve", "--state", state.to_str().unwrap()];
        String::from_utf8(sim(&arguments, socket).stderr).unwrap()
    };
    let same_socket = start("other.img", &server.socket);
    assert!(same_socket.contains("another server listens on"), "{same_socket}");
    let same_image = start("chip.img", &folder.path().join("other"));
    assert!(same_image.contains("is in use by another process"), "{same_image}");
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert!(start("third.img", &file).contains("is not a socket"));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let socket = server.socket.clone();
    drop(server);
    assert!(socket.exists(), "a killed server leaves its socket");
    let nobody = sim(&["stats"], &socket);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no response from a simulator at"));
    serve(folder.path(), &["--timing", "fast"]);
}

#[test]
fn options_are_checked_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    for (argument, value, part) in [
        ("--address", "0xC0", "7-bit form is 0x60"),
        ("--address", "7", "0x08 to 0x77"),
        ("--profile", "tng", "possible values: blank-608a, blank-608b"),
        ("--faults", "x@1", "is not one of"),
        ("--timing", "slow", "real"),
    ] {
        let output = sim(&["serve", "--state", "x", argument, value], &socket);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(part), "{text}");
    }
}

#[test]
fn a_server_killed_at_any_moment_leaves_old_or_new_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.img");
    tls_image(true, true).create(&path).unwrap();
    for round in 0..8_u8 {
        let mut server = serve(folder.path(), &["--timing", "fast"]);
        let mut stream = UnixStream::connect(&server.socket).unwrap();
        pulse(&mut stream);
        let writer = thread::spawn(move || {
            for byte in 0..=250 {
                use atecc608_wire::commands::Write;
                use atecc608_wire::zone::{Address, Zone};
                use atecc608_wire::Command;
                let write = Write::block(Zone::Data, Address::slot(slot(8), byte % 13, 0), [byte; 32]);
                let data = [vec![0x03], write.packet().encode()].concat();
                let request = Request::Transfer(vec![Segment::Write { address: 0x60, data }, read(4)]);
                if request.write_to(&mut stream).is_err() || read_result(&mut stream, &[4]).is_err() {
                    break;
                }
            }
        });
        thread::sleep(Duration::from_millis(3 + 7 * u64::from(round)));
        server.child.kill().unwrap();
        writer.join().unwrap();
        let image = Image::load(&path).unwrap();
        for block in image.part(Part::Slot(slot(8))).chunks(32) {
            assert!(block.iter().all(|byte| *byte == block[0]), "a mixed block: {block:02X?}");
        }
    }
}
