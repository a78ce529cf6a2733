// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registration of a device with Azure's Device Provisioning Service (DPS) over MQTT, with a certificate request: topics, requests,
//! responses. A response is untrusted until it has been checked.
//!
//! Topics and the responses 202, 429 and 5xx: "Communicate with DPS using the MQTT protocol". The fields `csr` and
//! `issuedCertificateChain` and their API version: Azure's preview SDKs (Azure/azure-iot-sdk, 2026): no reference that has them was found.

use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::{json, Value};

use crate::chip_keys::ChipKey;
use crate::cloud::identity::is_for;
use crate::error::{Error, Result};
use crate::output::visible;
use crate::x509::certificate::Certificate;

/// The API version that issues certificates.
const API_VERSION: &str = "2025-07-01-preview";
/// The topics of all responses.
pub const RESPONSES: &str = "$dps/registrations/res/#";
/// Maximum number of certificates in a chain: Azure sends the device's and its CAs', two or three.
const MAX_CHAIN: usize = 8;
/// Maximum length of an operation id.
const MAX_OPERATION: usize = 256;
/// Maximum length of a rejection in messages.
const MAX_SHOWN: usize = 500;

/// The MQTT user name of a device.
pub fn user(scope: &str, device: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("{scope}/registrations/{device}/api-version={API_VERSION}&ClientVersion=atecc608%2F{version}")
}

/// The topic of the registration; `request` is the number of the request.
pub fn register_topic(request: u32) -> String {
    format!("$dps/registrations/PUT/iotdps-register/?$rid={request}")
}

/// The topic for the state of an operation.
pub fn status_topic(request: u32, operation: &Operation) -> String {
    format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid={request}&operationId={}", operation.0)
}

/// The payload of the registration: the certificate request is DER in base64.
pub fn registration(device: &str, csr: &[u8]) -> Vec<u8> {
    json!({ "registrationId": device, "csr": Base64::encode_string(csr) }).to_string().into_bytes()
}

/// The contents of a response's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// As an HTTP status.
    pub status: u16,
    /// Seconds to wait before the next request.
    pub retry_after: Option<u64>,
}

/// Parses the topic of a message: `None` if it is not a response to this request.
pub fn head(topic: &str, request: u32) -> Option<Head> {
    let rest = topic.strip_prefix("$dps/registrations/res/")?;
    let (status, query) = rest.split_once("/?")?;
    let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    if value("$rid")? != request.to_string() {
        return None;
    }
    Some(Head {
        status: status.parse().ok()?,
        retry_after: value("retry-after").and_then(|seconds| seconds.parse().ok()),
    })
}

/// The id of a registration in progress. It is safe in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation(String);

/// The device's registration.
#[derive(Debug)]
pub struct Assigned {
    /// The host of the IoT hub.
    pub hub: String,
    /// The device's id there.
    pub device: String,
    /// The issued certificate, and its CAs.
    pub chain: Vec<Certificate>,
}

/// A response.
#[derive(Debug)]
pub enum State {
    /// DPS requires the same request later.
    Busy,
    /// Not done yet.
    Assigning(Operation),
    /// Done.
    Assigned(Assigned),
}

/// Parses a response; `key` is the key of the certificate request.
///
/// # Errors
/// [`Error::Refused`] for a rejection, an invalid response, or a certificate that the device can't use.
pub fn state(head: Head, payload: &[u8], key: &ChipKey) -> Result<State> {
    if head.status == 429 || head.status >= 500 {
        return Ok(State::Busy);
    }
    if !(200..300).contains(&head.status) {
        return Err(rejection(head.status, payload));
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Response {
        operation_id: Option<String>,
        status: String,
        registration_state: Option<Value>,
    }
    let Response { operation_id, status, registration_state } = serde_json::from_slice(payload)
        .map_err(|error| no_response(&format!("it is not the expected JSON (column {})", error.column())))?;
    match status.as_str() {
        "assigning" | "unassigned" => operation(operation_id.unwrap_or_default()).map(State::Assigning),
        "assigned" => assigned(registration_state.unwrap_or_default(), key).map(State::Assigned),
        _ => Err(rejection(head.status, registration_state.unwrap_or_default().to_string().as_bytes())),
    }
}

fn operation(id: String) -> Result<Operation> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(1..=MAX_OPERATION).contains(&id.len()) || !id.bytes().all(fits) {
        return Err(no_response("its operationId can't be used"));
    }
    Ok(Operation(id))
}

fn assigned(state: Value, key: &ChipKey) -> Result<Assigned> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Registration {
        assigned_hub: String,
        device_id: String,
        issued_certificate_chain: Option<Vec<String>>,
    }
    let Registration { assigned_hub, device_id, issued_certificate_chain } =
        serde_json::from_value(state).map_err(|_| no_response("registrationState lacks assignedHub or deviceId"))?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if !(1..=253).contains(&assigned_hub.len()) || !assigned_hub.bytes().all(is_host) {
        return Err(no_response("assignedHub is not a host"));
    }
    let encoded = issued_certificate_chain.unwrap_or_default();
    if encoded.is_empty() {
        return Err(Error::Refused(format!(
            "DPS assigned the device to {assigned_hub} and issued no certificate: the enrolment needs a certificate \
             policy of Azure Device Registry (docs/azure-iot.md). Add one, then run it again"
        )));
    }
    let chain: Vec<Certificate> = encoded
        .iter()
        .take(MAX_CHAIN + 1)
        .map(|text| {
            let der = Base64::decode_vec(text.trim()).map_err(|_| no_response("a certificate is not base64"))?;
            Certificate::from_der("the certificate that DPS sent", &der)
        })
        .collect::<Result<_>>()?;
    if !chain.first().is_some_and(|first| is_for(first, key)) {
        return Err(not_kept("the certificate that DPS sent is for another key than the one in the chip"));
    }
    let signed = |pair: &[Certificate]| matches!(pair, [one, next] if one.is_signed_by(next));
    if chain.len() > MAX_CHAIN || !chain.windows(2).all(signed) {
        return Err(not_kept("the certificates that DPS sent are not a chain, each signed by the next"));
    }
    Ok(Assigned { hub: assigned_hub, device: device_id, chain })
}

/// Returns DPS's rejection, and the remedy.
fn rejection(status: u16, payload: &[u8]) -> Error {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rejection {
        #[serde(default)]
        error_code: Value,
        #[serde(default, alias = "errorMessage")]
        message: String,
    }
    let Rejection { error_code, message } = serde_json::from_slice(payload).unwrap_or_default();
    let code = error_code.as_u64().map(|code| format!(", error {code}")).unwrap_or_default();
    let message = match message.chars().take(MAX_SHOWN).collect::<String>() {
        empty if empty.trim().is_empty() => "it gives no reason".to_owned(),
        message => visible(&message).to_string(),
    };
    let remedy = match status {
        401 | 403 => "Enrol the device with this certificate (enrol.sh), and check --device and --scope",
        404 => "Check --scope, and whether the device is enrolled (enrol.sh)",
        400 => {
            "Check --device and --scope, and whether the enrolment has a certificate policy of Azure Device Registry"
        }
        _ => "Check the enrolment, its certificate policy and the hubs that are linked to DPS",
    };
    Error::Refused(format!("DPS rejected the registration ({status}{code}): {message}. {remedy}. Then run it again"))
}

fn not_kept(problem: &str) -> Error {
    Error::Refused(format!("{problem}: it was not kept. Check that this is Azure (--endpoint, --root-ca)"))
}

fn no_response(problem: &str) -> Error {
    Error::Refused(format!(
        "the response to the registration is not in DPS's format: {problem}. Check that this is Azure (--endpoint, \
         --root-ca)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_of_dps() {
        assert_eq!(register_topic(1), "$dps/registrations/PUT/iotdps-register/?$rid=1");
        let operation = operation("5.afa73db6918a13a9.cf71e45a-b81b".to_owned()).unwrap();
        assert_eq!(
            status_topic(2, &operation),
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=5.afa73db6918a13a9.cf71e45a-b81b"
        );
        assert!(user("0ne0", "gateway-1")
            .starts_with("0ne0/registrations/gateway-1/api-version=2025-07-01-preview&ClientVersion="));
    }

    #[test]
    fn only_the_response_to_this_request_counts() {
        let found = head("$dps/registrations/res/202/?$rid=1&retry-after=3", 1);
        assert_eq!(found, Some(Head { status: 202, retry_after: Some(3) }));
        let found = head("$dps/registrations/res/200/?$rid=12", 12);
        assert_eq!(found, Some(Head { status: 200, retry_after: None }));
        for (topic, request) in [
            ("$dps/registrations/res/200/?$rid=12", 1),
            ("$dps/registrations/res/200/", 1),
            ("$dps/registrations/res/ok/?$rid=1", 1),
            ("$iothub/twin/res/200/?$rid=1", 1),
        ] {
            assert_eq!(head(topic, request), None, "{topic}");
        }
    }

    #[test]
    fn an_operation_that_could_change_the_topic_is_refused() {
        for id in ["", "a#", "a/b", "a&$rid=1", &"x".repeat(257)] {
            assert!(operation(id.to_owned()).is_err(), "{id}");
        }
    }

    #[test]
    fn a_rejection_has_the_words_of_dps_and_a_remedy() {
        let text = r#"{"errorCode":401002,"trackingId":"x","message":"Unauthorized\u001b"}"#;
        let said = rejection(401, text.as_bytes()).to_string();
        assert!(said.contains("(401, error 401002): Unauthorized") && said.contains("enrol.sh"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
        assert!(rejection(400, b"<html>").to_string().contains("certificate policy"));
    }
}
