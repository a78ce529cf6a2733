// SPDX-License-Identifier: MIT OR Apache-2.0
//! AWS IoT's device provisioning MQTT API (AWS IoT developer guide, "Device provisioning MQTT API"): topics, requests,
//! responses. Responses are untrusted until checked, and never quoted in messages: one contains the ownership token.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value};
use zeroize::Zeroizing;

use super::arn::check_thing_name;
use crate::chip_keys::ChipKey;
use crate::cloud::identity::is_for;
use crate::cloud::pem::certificates;
use crate::error::{Error, Result};
use crate::output::visible;
use crate::x509::certificate::Certificate;

/// One call: the topic of the request, and those of its responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name at AWS.
    pub name: &'static str,
    /// The topic of the request.
    pub request: String,
    /// The topic of a result.
    pub accepted: String,
    /// The topic of a rejection.
    pub rejected: String,
}

impl Call {
    fn new(name: &'static str, request: String) -> Self {
        Self { name, accepted: format!("{request}/accepted"), rejected: format!("{request}/rejected"), request }
    }

    /// The call that signs a request.
    pub fn create_certificate() -> Self {
        Self::new("CreateCertificateFromCsr", "$aws/certificates/create-from-csr/json".to_owned())
    }

    /// The call that creates the thing of a template.
    pub fn register_thing(template: &str) -> Self {
        Self::new("RegisterThing", format!("$aws/provisioning-templates/{template}/provision/json"))
    }

    /// The topics of its responses.
    pub fn answers(&self) -> [&str; 2] {
        [&self.accepted, &self.rejected]
    }
}

/// # Errors
/// [`Error::Refused`] if AWS IoT does not accept it (TemplateName: 1 to 36 of `[0-9A-Za-z_-]`).
pub fn check_template_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=36).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "\"{name}\" can't be a provisioning template's name: AWS IoT takes 1 to 36 of a-z A-Z 0-9 _ -. \
         `aws iot list-provisioning-templates` prints them"
    )))
}

/// The payload with the request (PEM) to sign.
pub fn certificate_request(csr: &str) -> Vec<u8> {
    json!({ "certificateSigningRequest": csr }).to_string().into_bytes()
}

/// The payload that creates the thing.
pub fn registration(token: &OwnershipToken, parameters: &BTreeMap<String, String>) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Request<'a> {
        certificate_ownership_token: &'a str,
        parameters: &'a BTreeMap<String, String>,
    }
    let request = Request { certificate_ownership_token: &token.0, parameters };
    // Texts and a map of texts: this can't fail.
    Zeroizing::new(serde_json::to_vec(&request).unwrap_or_default())
}

/// Its holder may finish the registration of a certificate, within an hour. It is never in a log, file or message.
pub struct OwnershipToken(Zeroizing<String>);

/// The certificate that AWS signed.
pub struct Created {
    /// The certificate, and its issuers' as far as AWS sent them.
    pub chain: Vec<Certificate>,
    /// The token for the registration.
    pub token: OwnershipToken,
}

/// Maximum length of an ownership token: AWS sends a few hundred characters.
const MAX_TOKEN: usize = 16 << 10;
/// Maximum number of certificates in a response: AWS sends one.
const MAX_CHAIN: usize = 8;

impl Created {
    /// Parses AWS's response, and checks that the certificate is for this key.
    ///
    /// # Errors
    /// [`Error::Refused`] if the device can't use it.
    pub fn parse(call: &Call, answer: &[u8], key: &ChipKey) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            certificate_pem: String,
            certificate_ownership_token: String,
        }
        let answer: Answer = read(call, answer)?;
        let token = Zeroizing::new(answer.certificate_ownership_token);
        let chain = certificates("the certificate that AWS sent", answer.certificate_pem.as_bytes())?;
        if !chain.first().is_some_and(|first| is_for(first, key)) {
            return Err(Error::Refused(
                "the certificate that AWS sent is for another key than the one in the chip: it was not kept, and no \
                 thing was registered. Check that this is AWS (--endpoint, --root-ca)"
                    .to_owned(),
            ));
        }
        let signed = |pair: &[Certificate]| matches!(pair, [one, next] if one.is_signed_by(next));
        if chain.len() > MAX_CHAIN || !chain.windows(2).all(signed) {
            return Err(Error::Refused(
                "the certificates that AWS sent are not a chain, each signed by the next: they were not kept, and no \
                 thing was registered. Check that this is AWS (--endpoint, --root-ca)"
                    .to_owned(),
            ));
        }
        if !(1..=MAX_TOKEN).contains(&token.len()) {
            return Err(no_answer(call, "certificateOwnershipToken has no usable length"));
        }
        Ok(Self { chain, token: OwnershipToken(token) })
    }
}

/// The thing that AWS created.
#[derive(Debug)]
pub struct Registered {
    /// Its name.
    pub thing: String,
    /// The template's configuration for the device.
    pub configuration: Map<String, Value>,
}

impl Registered {
    /// Parses AWS's response.
    ///
    /// # Errors
    /// [`Error::Refused`] if it names no thing.
    pub fn parse(call: &Call, answer: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            thing_name: Option<String>,
            #[serde(default)]
            device_configuration: Option<Map<String, Value>>,
        }
        let answer: Answer = read(call, answer)?;
        let thing = answer.thing_name.ok_or_else(|| {
            Error::Refused(
                "AWS registered the certificate and names no thing: the template needs a resource of the type AWS::IoT::Thing"
                    .to_owned(),
            )
        })?;
        check_thing_name(&thing)?;
        Ok(Self { thing, configuration: answer.device_configuration.unwrap_or_default() })
    }
}

/// Maximum length of a rejection in messages.
const MAX_SHOWN: usize = 500;

/// Returns AWS's rejection, and the remedy.
pub fn rejection(call: &Call, answer: &[u8]) -> Error {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rejection {
        #[serde(default)]
        status_code: Value,
        #[serde(default)]
        error_code: String,
        #[serde(default)]
        error_message: String,
    }
    let Rejection { status_code, error_code, error_message } = match read(call, answer) {
        Ok(rejection) => rejection,
        Err(error) => return error,
    };
    let status = status_code.as_u64().map(|status| format!(" ({status})")).unwrap_or_default();
    let said = format!("{error_code}{status}: {error_message}");
    let said = visible(&said.chars().take(MAX_SHOWN).collect::<String>()).to_string();
    let words = format!("{error_code} {error_message}").to_ascii_lowercase();
    let has = |word: &str| words.contains(word);
    let remedy = if has("throttl") || has("limitexceeded") || status_code == 429 {
        "AWS limits the rate of calls: wait a minute"
    } else if has("conflict") || has("alreadyexists") {
        "The thing exists already: set OverrideSettings in the template"
    } else if call.name == "CreateCertificateFromCsr" {
        "The policy of the claim certificate has to allow iot:Publish on this topic"
    } else {
        "Check --template (it has to be enabled, in this account and region), each --parameter that the template \
         needs, its pre-provisioning hook, its provisioning role, and the policy of the claim certificate"
    };
    Error::Refused(format!("AWS rejected {}: {said}. {remedy}. Then run it again", call.name))
}

/// Parses a response, which is a JSON object. An error does not contain its text.
fn read<T: DeserializeOwned>(call: &Call, answer: &[u8]) -> Result<T> {
    serde_json::from_slice(answer).map_err(|error| {
        let problem = match error.classify() {
            serde_json::error::Category::Data => "it lacks a field, or one has another type",
            _ => "it is not JSON",
        };
        no_answer(call, &format!("{problem} (line {}, column {})", error.line(), error.column()))
    })
}

fn no_answer(call: &Call, problem: &str) -> Error {
    Error::Refused(format!(
        "the response to {} is not in AWS's format: {problem}. Check that this is AWS (--endpoint, --root-ca)",
        call.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_of_the_developer_guide() {
        let call = Call::register_thing("fleet");
        assert_eq!(call.request, "$aws/provisioning-templates/fleet/provision/json");
        assert_eq!(call.answers()[1], "$aws/provisioning-templates/fleet/provision/json/rejected");
        assert_eq!(Call::create_certificate().accepted, "$aws/certificates/create-from-csr/json/accepted");
    }

    #[test]
    fn template_names_are_what_aws_takes() {
        for good in ["a", "Fleet_1-x", &"x".repeat(36)] {
            check_template_name(good).unwrap();
        }
        for bad in ["", "a/b", "a+", "#", "gerät", &"x".repeat(37)] {
            assert!(check_template_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_registration_has_token_and_parameters() {
        let token = OwnershipToken(Zeroizing::new("to\"ken".to_owned()));
        let parameters = BTreeMap::from([("SerialNumber".to_owned(), "01".to_owned())]);
        let request: Value = serde_json::from_slice(&registration(&token, &parameters)).unwrap();
        assert_eq!(request, json!({ "certificateOwnershipToken": "to\"ken", "parameters": { "SerialNumber": "01" } }));
    }

    #[test]
    fn a_thing_has_a_name_that_aws_gives() {
        let call = Call::register_thing("fleet");
        let parse = |answer: Value| Registered::parse(&call, answer.to_string().as_bytes());
        let registered = parse(json!({ "thingName": "gateway-1", "deviceConfiguration": { "a": "b" } })).unwrap();
        assert_eq!((registered.thing.as_str(), &registered.configuration["a"]), ("gateway-1", &json!("b")));
        assert!(parse(json!({ "thingName": "gateway-1", "deviceConfiguration": null }))
            .unwrap()
            .configuration
            .is_empty());
        for (answer, part) in [
            (json!({ "deviceConfiguration": {} }), "AWS::IoT::Thing"),
            (json!({ "thingName": "../../etc" }), "can't be a thing's name"),
            (json!({ "thingName": 1 }), "another type"),
            (json!("gateway-1"), "another type"),
        ] {
            let refused = parse(answer).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
        assert!(Registered::parse(&call, b"<html>").unwrap_err().to_string().contains("not JSON"));
    }

    #[test]
    fn a_wrong_answer_is_never_quoted() {
        let call = Call::create_certificate();
        for answer in [r#""a-secret""#, r#"{"certificatePem": {"a-secret": 1}}"#, r#"{"certificatePem": "a-secret"#] {
            let refused = rejection(&call, answer.as_bytes()).to_string();
            assert!(!refused.contains("a-secret") && refused.contains("CreateCertificateFromCsr"), "{refused}");
        }
    }

    #[test]
    fn a_rejection_has_the_words_of_aws_and_a_remedy() {
        let call = Call::register_thing("fleet");
        let said = |code: &str, text: &str| {
            let answer = json!({ "statusCode": 400, "errorCode": code, "errorMessage": text });
            rejection(&call, answer.to_string().as_bytes()).to_string()
        };
        let missing = said("InvalidParameters", "Parameter SerialNumber is missing");
        assert!(missing.contains("InvalidParameters (400): Parameter SerialNumber is missing"), "{missing}");
        assert!(missing.contains("--parameter"), "{missing}");
        assert!(said("ThrottlingException", "slow").contains("wait a minute"));
        assert!(said("ResourceConflict", "thing exists").contains("OverrideSettings"));
        assert!(said("x", &"y".repeat(5000)).len() < 1000);
        assert!(rejection(&call, b"{}").to_string().contains("rejected RegisterThing"));
    }
}
