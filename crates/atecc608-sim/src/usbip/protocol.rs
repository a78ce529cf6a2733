// SPDX-License-Identifier: MIT OR Apache-2.0
//! The USB/IP protocol after a device is attached: the kernel's requests and the replies (the kernel's
//! `usbip_protocol.rst`).
//!
//! A message is 48 bytes, integers big-endian, then the data of the transfer:
//!
//! ```text
//! CMD_SUBMIT   u32 1, sequence number, device, direction (1 = in), endpoint; transfer flags, length, start frame,
//!              number of packets, interval, 8 bytes of setup; the data if it goes out
//! RET_SUBMIT   u32 3, sequence number, 0, 0, 0; status, length, start frame, number of packets, errors, 8 bytes of
//!              padding; the data if it comes in
//! CMD_UNLINK   u32 2, sequence number, device, direction, endpoint; sequence number of what is cancelled; padding
//! RET_UNLINK   u32 4, sequence number, 0, 0, 0; status; padding
//! ```

use std::io::{self, Read};

use rustix::io::Errno;

const HEADER: usize = 48;
const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
const DIRECTION_IN: u32 = 1;
/// Most bytes in the data of a control transfer: its length is a u16.
const MAX_DATA: u32 = u16::MAX as u32;
/// The number of packets of a transfer that is not isochronous; Linux sends 0.
const NOT_ISOCHRONOUS: u32 = 0xFFFF_FFFF;

/// A request of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Execute a transfer.
    Submit(Submit),
    /// Cancel a transfer.
    Unlink(Unlink),
}

/// A transfer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Submit {
    sequence: u32,
    /// Whether data come from the device.
    pub(super) inwards: bool,
    /// The endpoint.
    pub(super) endpoint: u32,
    /// Length of the data sent, or the maximum for data received.
    pub(super) length: u32,
    start_frame: u32,
    packets: u32,
    /// The setup packet of a control transfer.
    pub(super) setup: [u8; 8],
    /// The data sent.
    pub(super) data: Vec<u8>,
}

/// The cancellation of a transfer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unlink {
    sequence: u32,
}

/// The device refuses a transfer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stall;

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("USB/IP: {what}"))
}

impl Request {
    /// Receives one request; `None` at the end of the stream.
    ///
    /// # Errors
    /// An I/O error of the stream; `InvalidData` for an unsupported request, without allocating memory for it.
    pub(super) fn read_from(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = Vec::with_capacity(HEADER);
        stream.by_ref().take(HEADER as u64).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(None);
        }
        let Ok(head) = <[u8; HEADER]>::try_from(head) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let field = |number: usize| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|byte| head[number * 4 + byte]);
            u32::from_be_bytes([a, b, c, d])
        };
        match field(0) {
            CMD_SUBMIT => {}
            CMD_UNLINK => return Ok(Some(Self::Unlink(Unlink { sequence: field(1) }))),
            other => return Err(invalid(format!("unknown command {other:#x}"))),
        }
        let (inwards, length, packets) = (field(3) == DIRECTION_IN, field(6), field(8));
        if ![0, NOT_ISOCHRONOUS].contains(&packets) {
            return Err(invalid("isochronous transfers are not supported".to_owned()));
        }
        if !inwards && length > MAX_DATA {
            return Err(invalid(format!("a transfer of {length} bytes; at most {MAX_DATA} are allowed")));
        }
        let mut data = vec![0; if inwards { 0 } else { length as usize }];
        stream.read_exact(&mut data)?;
        let mut setup = [0; 8];
        setup.copy_from_slice(&head[40..]);
        let (sequence, endpoint, start_frame) = (field(1), field(4), field(7));
        Ok(Some(Self::Submit(Submit { sequence, inwards, endpoint, length, start_frame, packets, setup, data })))
    }
}

/// A header with these fields in its beginning.
fn header(fields: &[u32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
    bytes.resize(HEADER, 0);
    bytes
}

impl Submit {
    /// Returns the reply: the received data, truncated to the maximum, or a stall (EPIPE).
    pub(super) fn reply(&self, result: Result<Vec<u8>, Stall>) -> Vec<u8> {
        let (status, length, data) = match result {
            Ok(mut data) if self.inwards => {
                data.truncate(self.length as usize);
                (0, data.len() as u32, data)
            }
            Ok(_) => (0, self.length, Vec::new()),
            Err(Stall) => ((Errno::PIPE.raw_os_error() as u32).wrapping_neg(), 0, Vec::new()),
        };
        let about = [status, length, self.start_frame, self.packets];
        let mut reply = header(&[&[RET_SUBMIT, self.sequence, 0, 0, 0], &about[..]].concat());
        reply.extend(data);
        reply
    }
}

impl Unlink {
    /// Returns the reply if the transfer was already replied to: its status is 0.
    pub(super) fn reply_answered(&self) -> Vec<u8> {
        header(&[RET_UNLINK, self.sequence])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The exchange that the kernel's Documentation/usb/usbip_protocol.rst prints as its example: "captured from wire with
    // Human Interface Devices (HID) payload".
    const CMD_IN: &str = "00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 \
                          00000000 00000000";
    const CMD_OUT: &str = "00000001 00000d06 0001000f 00000000 00000001 00000000 00000040 ffffffff 00000000 00000004 \
                           00000000 00000000";
    const RET_OUT: &str = "00000003 00000d06 00000000 00000000 00000000 00000000 00000040 ffffffff 00000000 00000000 \
                           00000000 00000000";
    const RET_IN: &str = "00000003 00000d05 00000000 00000000 00000000 00000000 00000040 ffffffff 00000000 00000000 \
                          00000000 00000000";

    fn bytes(digits: &str) -> Vec<u8> {
        base16ct::lower::decode_vec(digits.replace(' ', "")).unwrap()
    }

    /// The 64 bytes that follow a header in the example.
    fn payload(begin: &str) -> Vec<u8> {
        let mut data = bytes(begin);
        data.resize(64, 0);
        data
    }

    fn read(message: &[u8]) -> io::Result<Option<Request>> {
        Request::read_from(&mut &message[..])
    }

    fn submit(message: &[u8]) -> Submit {
        match read(message).unwrap() {
            Some(Request::Submit(submit)) => submit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_example_of_the_protocols_documentation_is_read_and_answered_byte_for_byte() {
        let out = payload("ffffffff860008a784ce5ae2123763");
        let asked = submit(&[bytes(CMD_OUT), out.clone()].concat());
        assert_eq!((asked.inwards, asked.endpoint, asked.length, &asked.data), (false, 1, 64, &out));
        assert_eq!(asked.reply(Ok(Vec::new())), bytes(RET_OUT));

        let asked = submit(&bytes(CMD_IN));
        assert_eq!((asked.inwards, asked.endpoint, asked.length, asked.data.len()), (true, 1, 64, 0));
        let answer = payload("ffffffff860011a784ce5ae2123763612891b10201000004");
        assert_eq!(asked.reply(Ok(answer.clone())), [bytes(RET_IN), answer].concat());
    }

    #[test]
    fn more_than_there_is_room_for_is_cut_off_and_a_stall_is_epipe() {
        let asked = submit(&bytes(CMD_IN));
        let reply = asked.reply(Ok(vec![7; 65]));
        assert_eq!(reply, [bytes(RET_IN), vec![7; 64]].concat());
        let reply = asked.reply(Err(Stall));
        assert_eq!((reply.len(), &reply[20..28]), (48, &bytes("ffffffe0 00000000")[..]));
    }

    #[test]
    fn what_was_unlinked_had_its_answer() {
        // According to the documentation: unlink_seqnum at 0x14; status 0 if RET_SUBMIT came first.
        let unlink = bytes(
            "00000002 00000d07 0001000f 00000000 00000000 00000d06 00000000 00000000 00000000 00000000 00000000 00000000",
        );
        let Some(Request::Unlink(unlink)) = read(&unlink).unwrap() else { panic!("no UNLINK") };
        let reply = bytes(
            "00000004 00000d07 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000",
        );
        assert_eq!(unlink.reply_answered(), reply);
    }

    #[test]
    fn requests_that_are_none_are_refused_and_the_end_is_the_end() {
        assert_eq!(read(&[]).unwrap(), None);
        let with = |field: usize, value: u32| {
            let mut message = bytes(CMD_OUT);
            message[field * 4..field * 4 + 4].copy_from_slice(&value.to_be_bytes());
            read(&message).unwrap_err()
        };
        // A length that would take four gigabytes.
        assert!(with(6, u32::MAX).to_string().contains("at most 65535"));
        assert!(with(6, 65_536).to_string().contains("at most 65535"));
        assert_eq!(with(6, 65_535).kind(), io::ErrorKind::UnexpectedEof, "the data are missing");
        assert!(with(8, 1).to_string().contains("isochronous"));
        assert!(with(0, 5).to_string().contains("unknown command 0x5"));
        assert_eq!(read(&bytes(CMD_OUT)[..47]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
