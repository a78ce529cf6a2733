// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client of the simulator that sends any bytes, transfers and control requests: the server keeps running, the
//! private key is never returned, and no transfer changes locked data.
#![no_main]

use std::io::{Cursor, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use atecc608_fuzz::{folder, SCALAR};
use atecc608_sim::image::Part;
use atecc608_sim::server::Server;
use atecc608_sim::transfer::{Request, Segment};
use atecc608_sim::{Faults, Image, SimBus, SimChip};
use atecc608_testkit::chip;
use atecc608_wire::{CommandPacket, Opcode};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A command with a valid CRC, and its response.
    Command {
        opcode: u8,
        param1: u8,
        param2: u16,
        data: Vec<u8>,
        read: u8,
    },
    Wake,
    Segments(Vec<(bool, u8, Vec<u8>)>),
    Faults(String),
    Control(u8, String),
    Raw(Vec<u8>),
}

/// Returns the server, and the chip with which each run starts.
fn server() -> &'static (SimBus, Image) {
    static SERVER: OnceLock<(SimBus, Image)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut image = chip::provisioned();
        chip::put_key(&mut image, 0, &SCALAR);
        let bus = SimBus::new(100_000);
        bus.add_chip(SimChip::from_image(image.clone()));
        let server = Server::on_bus(bus.clone(), &folder().join("bus")).unwrap();
        std::thread::spawn(move || server.run());
        (bus, image)
    })
}

fn transfer(address: u8, write: &[u8]) -> Request {
    Request::Transfer(vec![Segment::Write { address, data: write.to_vec() }])
}

fn bytes_of(steps: &[Step]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for step in steps {
        let mut put = |request: Request| request.write_to(&mut bytes).unwrap();
        match step {
            Step::Command { opcode, param1, param2, data, read } => {
                let data = data[..data.len().min(148)].to_vec();
                let packet = CommandPacket { opcode: Opcode(*opcode), param1: *param1, param2: *param2, data };
                put(transfer(0x60, &[&[3], packet.encode().as_slice()].concat()));
                put(Request::Transfer(vec![Segment::Read { address: 0x60, len: (*read).into() }]));
            }
            Step::Wake => put(transfer(0, &[0])),
            Step::Segments(segments) => {
                let segments = segments.iter().take(43).map(|(read, address, data)| match read {
                    true => Segment::Read { address: *address, len: data.len() as u16 * 7 },
                    false => Segment::Write { address: *address, data: data.clone() },
                });
                put(Request::Transfer(segments.collect()));
            }
            Step::Faults(spec) => put(Request::Control(6, serde_json::json!({ "spec": spec }).to_string())),
            Step::Control(verb, text) => put(Request::Control(*verb, text.clone())),
            Step::Raw(raw) => bytes.extend(raw),
        }
    }
    bytes
}

fuzz_target!(|steps: Vec<Step>| {
    let (bus, image) = server();
    bus.set_faults(Faults::none());
    bus.insert();
    bus.power_off();
    bus.set_image(0, image.clone()).unwrap();
    bus.power_on();
    let bytes = bytes_of(&steps);
    // A request that the protocol can express reads back unchanged.
    let mut stream = Cursor::new(&bytes);
    while let Ok(Some(request)) = Request::read_from(&mut stream) {
        let mut again = Vec::new();
        request.write_to(&mut again).unwrap();
        let read = Request::read_from(&mut Cursor::new(&again));
        assert!(matches!(request, Request::Transfer(ref s) if s.is_empty()) || read.unwrap() == Some(request));
    }
    let client = UnixStream::connect(folder().join("bus")).unwrap();
    let mut replies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = (&client).write_all(&bytes);
            let _ = client.shutdown(Shutdown::Write);
        });
        let _ = (&client).read_to_end(&mut replies);
    });
    let knows = bytes.windows(8).any(|window| SCALAR.windows(8).any(|secret| secret == window));
    assert!(knows || !replies.windows(8).any(|window| SCALAR.windows(8).any(|secret| secret == window)));
    let after = bus.image(0).unwrap();
    let locks = |image: &Image| image.part(Part::Config)[86..88].to_vec();
    assert_eq!(locks(&after), locks(image), "a lock was undone");
    assert_eq!(after.part(Part::Config)[..16], image.part(Part::Config)[..16], "a factory's byte was changed");
    assert_eq!(after.part(Part::Otp), image.part(Part::Otp), "OTP was changed");
});
