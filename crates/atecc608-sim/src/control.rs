// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control requests of the server: counters, supply, faults (DESIGN.md section 6). Both sides.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::bus::SimBus;
use super::faults::{FaultSpecError, Faults};
use crate::transfer::{read_control_reply, Request, Verb};

/// The JSON of [`Verb::Faults`].
#[derive(Deserialize)]
struct FaultsRequest {
    spec: String,
}

/// Executes a control request and returns the reply as JSON: the counters, `{}`, or `{"error": "..."}`.
pub(super) fn answer(bus: &SimBus, verb: u8, text: &str) -> String {
    match execute(bus, verb, text) {
        Ok(answer) => answer.to_string(),
        Err(problem) => json!({ "error": problem }).to_string(),
    }
}

fn execute(bus: &SimBus, verb: u8, text: &str) -> Result<serde_json::Value, String> {
    let stats = |stats| serde_json::to_value(stats).map_err(|error| error.to_string());
    match Verb::from_byte(verb).ok_or_else(|| format!("unknown control verb {verb}"))? {
        Verb::Stats => return stats(bus.stats()),
        Verb::Reset => return stats(bus.take_stats()),
        Verb::PowerOff => bus.power_off(),
        Verb::PowerOn => bus.power_on(),
        Verb::Pull => bus.pull(),
        Verb::Insert => bus.insert(),
        Verb::Faults => {
            let request: FaultsRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let faults: Faults = request.spec.parse().map_err(|error: FaultSpecError| error.to_string())?;
            if faults.kill().is_some() && !bus.owns_process() {
                return Err("kill@N works only with atecc608-sim serve".to_owned());
            }
            bus.set_faults(faults);
        }
    }
    Ok(json!({}))
}

/// Sends a control request to the server at a socket and returns its JSON.
///
/// # Errors
/// An I/O error that names the socket if it can't be used; the server's text if it refuses the request.
pub fn request(socket: &Path, verb: Verb, text: &str) -> io::Result<String> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("no response from a simulator at {}: {error}", socket.display()))
    };
    let mut stream = UnixStream::connect(socket).map_err(named)?;
    Request::Control(verb as u8, text.to_owned()).write_to(&mut stream).map_err(named)?;
    let answer = read_control_reply(&mut stream).map_err(named)?;
    match serde_json::from_str::<serde_json::Value>(&answer)?.get("error") {
        Some(error) => Err(io::Error::other(error.as_str().unwrap_or("refused").to_owned())),
        None => Ok(answer),
    }
}

/// Sets the faults of the server at a socket.
///
/// # Errors
/// As [`request`].
pub fn request_faults(socket: &Path, spec: &str) -> io::Result<()> {
    request(socket, Verb::Faults, &json!({ "spec": spec }).to_string()).map(drop)
}
