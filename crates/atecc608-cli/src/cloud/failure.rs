// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors of the connection to a cloud's MQTT broker, with remedies.

use super::mqtt::{Cause, Failure};
use super::tls;
use crate::error::Error;

/// The texts for a cloud.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Its name.
    pub cloud: &'static str,
    /// The remedy if the host has no address.
    pub no_address: &'static str,
    /// The remedies for TLS.
    pub tls: tls::Remedies,
    /// The command to run again.
    pub command: &'static str,
}

/// Returns the error at `place`, with `refused` as the remedy if the broker refuses, closes the connection or does not
/// respond.
pub fn explained(place: &str, words: &Words, failure: Failure, refused: &str) -> Error {
    let Failure { waited_for, cause } = failure;
    let (problem, remedy) = match cause {
        Cause::Unresolved(error) => (format!("the host has no address: {error}"), words.no_address.to_owned()),
        Cause::Unreachable(error) => (
            format!("no connection: {error}"),
            "check the network, and that no firewall blocks the port (--port)".to_owned(),
        ),
        Cause::TimedOut(time) => (
            format!("no response within {} s (--timeout) while waiting for {waited_for}", time.as_secs()),
            refused.to_owned(),
        ),
        Cause::Closed => {
            (format!("the broker closed the connection while this tool waited for {waited_for}"), refused.to_owned())
        }
        Cause::NotSubscribed => (format!("the broker refused {waited_for}"), refused.to_owned()),
        Cause::Refused(code) => (format!("the broker refused the connection ({code:?})"), refused.to_owned()),
        Cause::Tls(error) => {
            let (problem, remedy) = tls::explain(&error, words.tls);
            (problem, remedy.to_owned())
        }
        Cause::Io(error) => {
            (format!("the connection failed while waiting for {waited_for}: {error}"), "check the network".to_owned())
        }
        Cause::Garbage(problem) => (
            format!("received data that is not MQTT instead of {waited_for}: {problem}"),
            format!("check that this is {}'s MQTT port", words.cloud),
        ),
    };
    let end = if remedy.ends_with('?') { "" } else { "." };
    Error::Refused(format!(
        "{place}: {problem}. {}{end} Then run it again: `{}` continues where it stopped",
        capital(&remedy),
        words.command
    ))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
