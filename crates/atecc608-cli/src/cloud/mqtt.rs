// SPDX-License-Identifier: MIT OR Apache-2.0
//! One MQTT 3.1.1 connection over TLS, for programs that send a request and wait for the response. It blocks, has a
//! deadline for each wait, and starts no thread.
//!
//! The broker's data is untrusted: packets have a size limit, and unexpected ones are skipped until the deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_proto::v3::{Connect, ConnectReturnCode, Packet, Publish, Subscribe, SubscribeReturnCode};
use mqtt_proto::{Pid, QoS, QosPid, TopicFilter, TopicName};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use zeroize::Zeroizing;

/// Maximum size of a packet: AWS IoT's messages have 128 KiB at most.
const MAX_PACKET: usize = 160 << 10;
/// The longest pause without a packet from this side that the broker accepts, in seconds: within the limits of AWS IoT
/// (1200) and of Azure IoT (1177). No step takes that long.
const KEEP_ALIVE: u16 = 900;

/// Why the connection failed.
#[derive(Debug)]
pub struct Failure {
    /// What was waited for.
    pub waited_for: String,
    /// Why it did not arrive.
    pub cause: Cause,
}

/// The cause of a failed wait.
#[derive(Debug)]
pub enum Cause {
    /// The server's name has no address.
    Unresolved(io::Error),
    /// No connection to any of its addresses.
    Unreachable(io::Error),
    /// The deadline passed; the time allowed.
    TimedOut(Duration),
    /// The broker closed the connection.
    Closed,
    /// TLS failed.
    Tls(rustls::Error),
    /// The connection failed.
    Io(io::Error),
    /// The broker refuses this client; its reason.
    Refused(ConnectReturnCode),
    /// The broker refused a subscription.
    NotSubscribed,
    /// The data is not MQTT.
    Garbage(String),
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls(tls.clone());
        }
        match error.kind() {
            // The caller adds the duration.
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut(Duration::ZERO),
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A connection to a broker.
pub struct Connection {
    stream: StreamOwned<ClientConnection, Socket>,
    timeout: Duration,
    packets: u16,
}

impl Connection {
    /// Connects: TCP, TLS, MQTT, each with `timeout`. The certificate authenticates the client; some brokers also
    /// require a user name, and there is never a password.
    ///
    /// # Errors
    /// [`Failure`] if the host has no address or is unreachable, TLS fails, or the broker refuses.
    pub fn open(
        host: &str,
        port: u16,
        tls: Arc<ClientConfig>,
        client_id: &str,
        user: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let socket = waiting("the TCP connection", timeout, tcp(host, port, timeout))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Cause::Unresolved(io::Error::new(ErrorKind::InvalidInput, error)));
        let client = name.and_then(|name| ClientConnection::new(tls, name).map_err(Cause::Tls));
        let client = waiting("the TLS handshake", timeout, client)?;
        let mut connection = Self { stream: StreamOwned::new(client, Socket::new(socket)), timeout, packets: 0 };
        let shaken = connection.handshake();
        waiting("the TLS handshake", timeout, shaken)?;
        let connected = connection.connect(client_id, user);
        waiting("the response to CONNECT", timeout, connected)?;
        Ok(connection)
    }

    fn handshake(&mut self) -> Result<(), Cause> {
        self.begin();
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(())
    }

    fn connect(&mut self, client_id: &str, user: Option<&str>) -> Result<(), Cause> {
        self.begin();
        let mut connect = Connect::new(client_id.into(), KEEP_ALIVE);
        connect.username = user.map(Into::into);
        self.send(&connect.into())?;
        loop {
            match self.receive()? {
                Packet::Connack(answer) if answer.code == ConnectReturnCode::Accepted => return Ok(()),
                Packet::Connack(answer) => return Err(Cause::Refused(answer.code)),
                _ => {}
            }
        }
    }

    /// Subscribes to topics, and waits until the broker has accepted all of them.
    ///
    /// # Errors
    /// [`Failure`] if the connection fails, or the broker refuses a subscription.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), Failure> {
        let subscribed = self.subscribed(topics);
        waiting(&format!("the subscription to {}", topics.join(" and ")), self.timeout, subscribed)
    }

    fn subscribed(&mut self, topics: &[&str]) -> Result<(), Cause> {
        self.begin();
        let pid = self.next_pid();
        let filters: Result<_, _> =
            topics.iter().map(|topic| Ok((TopicFilter::try_from(*topic)?, QoS::Level1))).collect();
        self.send(&Subscribe::new(pid, filters.map_err(not_mqtt)?).into())?;
        loop {
            match self.receive()? {
                Packet::Suback(answer) if answer.pid == pid => {
                    let accepted = answer.topics.iter().filter(|code| **code != SubscribeReturnCode::Failure).count();
                    return if accepted == topics.len() { Ok(()) } else { Err(Cause::NotSubscribed) };
                }
                _ => {}
            }
        }
    }

    /// Publishes a request, and waits for the response on one of the two subscribed topics. Returns the index of the
    /// topic, and the payload.
    ///
    /// # Errors
    /// [`Failure`] if the connection fails, or no response arrives in time.
    pub fn ask(
        &mut self,
        topic: &str,
        request: &[u8],
        answers: [&str; 2],
    ) -> Result<(usize, Zeroizing<Vec<u8>>), Failure> {
        self.ask_for(topic, request, |found| answers.iter().position(|answer| *answer == found))
    }

    /// Publishes a request, and waits for the first message whose topic `of_answer` accepts. Returns the result of
    /// `of_answer`, and the payload.
    ///
    /// # Errors
    /// [`Failure`] if the connection fails, or no response arrives in time.
    pub fn ask_for<T>(
        &mut self,
        topic: &str,
        request: &[u8],
        of_answer: impl Fn(&str) -> Option<T>,
    ) -> Result<(T, Zeroizing<Vec<u8>>), Failure> {
        let answered = self.answered(topic, request, of_answer);
        waiting(&format!("the response to {topic}"), self.timeout, answered)
    }

    fn answered<T>(
        &mut self,
        topic: &str,
        request: &[u8],
        of_answer: impl Fn(&str) -> Option<T>,
    ) -> Result<(T, Zeroizing<Vec<u8>>), Cause> {
        self.begin();
        let topic = TopicName::try_from(topic).map_err(not_mqtt)?;
        let pid = self.next_pid();
        self.send(&Publish::new(QosPid::Level1(pid), topic, request.to_vec().into()).into())?;
        loop {
            let Packet::Publish(message) = self.receive()? else { continue };
            if let QosPid::Level1(pid) = message.qos_pid {
                self.send(&Packet::Puback(pid))?;
            }
            if let Some(found) = of_answer(&message.topic_name) {
                return Ok((found, Zeroizing::new(message.payload.to_vec())));
            }
        }
    }

    /// Disconnects. Errors are ignored, because the work is done by then.
    pub fn close(mut self) {
        self.begin();
        let _ = self.send(&Packet::Disconnect);
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
    }

    /// Restarts the time limit for a new wait.
    fn begin(&mut self) {
        self.stream.sock.deadline = Instant::now() + self.timeout;
    }

    fn next_pid(&mut self) -> Pid {
        self.packets += 1;
        Pid::default() + self.packets
    }

    fn send(&mut self, packet: &Packet) -> Result<(), Cause> {
        self.stream.write_all(packet.encode().map_err(not_mqtt)?.as_ref())?;
        Ok(self.stream.flush()?)
    }

    fn receive(&mut self) -> Result<Packet, Cause> {
        read_packet(&mut self.stream)
    }
}

fn waiting<T>(waited_for: &str, timeout: Duration, result: Result<T, Cause>) -> Result<T, Failure> {
    result.map_err(|cause| Failure {
        waited_for: waited_for.to_owned(),
        cause: if matches!(cause, Cause::TimedOut(_)) { Cause::TimedOut(timeout) } else { cause },
    })
}

fn not_mqtt(error: mqtt_proto::Error) -> Cause {
    // Some quote the sent data, up to 64 KiB.
    Cause::Garbage(error.to_string().chars().take(200).collect())
}

/// Connects to the first of the host's addresses that accepts.
fn tcp(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, Cause> {
    let addresses = (host, port).to_socket_addrs().map_err(Cause::Unresolved)?;
    let deadline = Instant::now() + timeout;
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Cause::TimedOut(timeout));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    match last.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Err(Cause::TimedOut(timeout)),
        _ => Err(Cause::Unreachable(last)),
    }
}

/// Reads one whole packet.
fn read_packet(from: &mut impl Read) -> Result<Packet, Cause> {
    let mut packet = Zeroizing::new(Vec::new());
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    packet.push(byte[0]);
    // Seven bits a byte, at most four bytes (MQTT 3.1.1 section 2.2.3).
    let mut length = 0;
    for shift in [0, 7, 14, 21, 28] {
        if shift == 28 {
            return Err(Cause::Garbage("a packet's length has more than four bytes".to_owned()));
        }
        from.read_exact(&mut byte)?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7F) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    if length > MAX_PACKET {
        return Err(Cause::Garbage(format!("a packet of {length} bytes; at most {MAX_PACKET} are accepted")));
    }
    let header = packet.len();
    packet.resize(header + length, 0);
    from.read_exact(&mut packet[header..])?;
    match Packet::decode(&packet) {
        Ok(Some(packet)) => Ok(packet),
        Ok(None) => Err(Cause::Garbage("a packet ends too early".to_owned())),
        Err(error) => Err(not_mqtt(error)),
    }
}

/// A socket with a deadline for any number of reads and writes.
struct Socket {
    socket: TcpStream,
    deadline: Instant,
}

impl Socket {
    fn new(socket: TcpStream) -> Self {
        Self { socket, deadline: Instant::now() }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(bytes)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(mut bytes: &[u8]) -> Result<Packet, Cause> {
        read_packet(&mut bytes)
    }

    #[test]
    fn a_packet_is_read_whole_and_what_follows_is_left() {
        let publish = Publish::new(QosPid::Level0, TopicName::try_from("a/b").unwrap(), vec![0x41; 200].into());
        let bytes = Packet::from(publish.clone()).encode().unwrap().as_ref().to_vec();
        let mut two = [bytes.clone(), bytes.clone()].concat();
        let mut from = &two[..];
        assert_eq!(read_packet(&mut from).unwrap(), publish.into());
        assert_eq!(from, bytes);
        two.truncate(bytes.len() - 1);
        assert!(matches!(read(&two), Err(Cause::Closed)));
    }

    #[test]
    fn what_is_too_long_or_no_mqtt_is_refused_before_it_is_read() {
        for (bytes, part) in [
            (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F][..], "at most"),
            (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01][..], "four bytes"),
            // A topic longer than the packet.
            (&[0x30, 2, 0xFF, 0xFF][..], "early"),
            (&[b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), &[0x20; 99]].concat(), "header"),
        ] {
            let Err(Cause::Garbage(problem)) = read(bytes) else { panic!("{bytes:?}") };
            assert!(problem.contains(part), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_broker_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_packet_with_a_right_length_makes_it_panic(first: u8, mut body in proptest::collection::vec(any::<u8>(), 0..120)) {
            body.splice(0..0, [first, body.len() as u8]);
            let _ = read(&body);
        }
    }
}
