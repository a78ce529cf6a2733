// SPDX-License-Identifier: MIT OR Apache-2.0
//! AWS IoT Device Client: its configuration, and its requirements for files.
//!
//! The keys are those of its `config-template.json`, the modes those of its `docs/PERMISSIONS.md`
//! (awslabs/aws-iot-device-client, January 2026). It compares modes by equality, must own every file, and accepts no
//! empty PIN. It ignores a slot id of 0 with a warning, so the token is named by its label.

use cryptoki_sys::CK_SLOT_ID;
use serde_json::{json, Value};

use super::messages::{self, says};
use super::policy::Feature;
use crate::cloud::folder::Folder;
use crate::cloud::identity::PIN_TO_ENTER;
use crate::error::{Error, Result};
use crate::host::module::MODULE;
use crate::output::check::{Check, Checks, Verdict};

/// The configuration's file.
pub const FILE: &str = "device-client.json";
/// Its mode: the recommended one; for others the client warns.
pub const MODE: u32 = 0o640;
/// The certificate's file.
pub const CERTIFICATE: &str = "device.pem";
/// The file with the CAs of the server.
pub const ROOT_CA: &str = "root-ca.pem";
/// The mode of certificates and root CAs: required.
pub const CERTIFICATE_MODE: u32 = 0o644;
/// The mode of the private copy of the module: required.
pub const MODULE_MODE: u32 = 0o640;

/// The log with a PIN in the configuration: the client prints its configuration when it starts, and gives this file
/// mode 600. It requires the file in a folder of its own, which it gives mode 745.
pub const LOG: &str = "/var/log/aws-iot-device-client/aws-iot-device-client.log";

/// The PIN for a token without one, which accepts any.
pub const NO_PIN: &str = "unused";

/// The common values of all clients' configurations.
pub struct Connection<'a> {
    /// The thing.
    pub thing: &'a str,
    /// Host of the MQTT endpoint.
    pub endpoint: &'a str,
    /// The private key's label.
    pub key: &'a str,
    /// The token's label.
    pub token: &'a str,
    /// The token's PKCS#11 slot id.
    pub slot: CK_SLOT_ID,
    /// Whether the token has a PIN.
    pub has_pin: bool,
    /// The PIN for C_Login.
    pub pin: &'a str,
    /// The thing's features.
    pub features: &'a [Feature],
}

/// Returns the configuration.
pub fn configuration(folder: &Folder, connection: &Connection<'_>) -> Value {
    let path = |name: &str| folder.file(name).display().to_string();
    let has = |feature| connection.features.contains(&feature);
    json!({
        "endpoint": connection.endpoint,
        "cert": path(CERTIFICATE),
        "root-ca": path(ROOT_CA),
        "thing-name": connection.thing,
        "logging": logging(connection.has_pin),
        // The first two are on by default.
        "jobs": { "enabled": has(Feature::Jobs) },
        "tunneling": { "enabled": has(Feature::Tunneling) },
        "device-defender": { "enabled": has(Feature::Defender), "interval": 300 },
        "config-shadow": { "enabled": has(Feature::ConfigShadow) },
        "fleet-provisioning": { "enabled": false },
        "secure-element": {
            "enabled": true,
            "pkcs11-lib": path(MODULE),
            "secure-element-pin": connection.pin,
            "secure-element-key-label": connection.key,
            "secure-element-token-label": connection.token
        }
    })
}

fn logging(has_pin: bool) -> Value {
    if has_pin {
        json!({ "level": "INFO", "type": "FILE", "file": LOG })
    } else {
        json!({ "level": "INFO", "type": "STDOUT" })
    }
}

/// The client's configuration, for [`super::check`].
#[derive(Debug)]
pub struct Told {
    /// The thing.
    pub thing: String,
    /// Host of the MQTT endpoint.
    pub endpoint: String,
    /// The private key's label.
    pub key: String,
    /// The token's label.
    pub token: String,
}

impl Told {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is missing, is not JSON, or lacks one of these.
    pub fn read(folder: &Folder) -> Result<Self> {
        let found = read(folder)?;
        let text = |pointer: &str| match found.pointer(pointer).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(Error::Refused(format!(
                "{}: {} is missing: run the set-up again with --replace",
                folder.file(FILE).display(),
                &pointer[1..]
            ))),
        };
        Ok(Self {
            thing: text("/thing-name")?,
            endpoint: text("/endpoint")?,
            key: text("/secure-element/secure-element-key-label")?,
            token: text("/secure-element/secure-element-token-label")?,
        })
    }
}

fn read(folder: &Folder) -> Result<Value> {
    let file = folder.file(FILE).display().to_string();
    let Some(text) = folder.read(FILE)? else {
        return Err(Error::Refused(format!("{file} is missing: run the set-up again")));
    };
    serde_json::from_slice(&text).map_err(|error| {
        Error::Refused(format!("{file} is not JSON: {error}: correct it, or replace it with --replace"))
    })
}

/// Checks the file with the client's rules.
pub fn check(folder: &Folder, connection: &Connection<'_>, checks: &mut Checks) {
    const WHAT: &str = "Device Client configuration";
    let file = folder.file(FILE).display().to_string();
    let remedy = format!("correct {file}, or replace it with --replace");
    let found = match read(folder) {
        Ok(found) => found,
        Err(error) => return checks.fail(WHAT, error.to_string(), remedy),
    };
    let wanted = configuration(folder, connection);
    let must = [
        "/endpoint",
        "/cert",
        "/root-ca",
        "/thing-name",
        "/secure-element/enabled",
        "/secure-element/pkcs11-lib",
        "/secure-element/secure-element-key-label",
        "/secure-element/secure-element-token-label",
    ];
    let different: Vec<String> = must
        .iter()
        .filter(|key| found.pointer(key) != wanted.pointer(key))
        .map(|key| {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            format!("{} is {}, and should be {}", &key[1..], show(found.pointer(key)), show(wanted.pointer(key)))
        })
        .collect();
    if !different.is_empty() {
        return checks.fail(WHAT, format!("{file}: {}", different.join("; ")), remedy);
    }
    let pin = found.pointer("/secure-element/secure-element-pin").and_then(Value::as_str).unwrap_or_default();
    if pin.is_empty() {
        let check =
            Check::new(WHAT, Verdict::Failed, format!("{file}: secure-element-pin is empty")).with_remedy(remedy);
        return checks.push(says(check, messages::NO_PIN));
    }
    if connection.has_pin && pin == PIN_TO_ENTER {
        return checks.warn(
            WHAT,
            format!("{file}: the client needs the token's PIN as secure-element-pin"),
            "enter it there, or run the set-up again with --write-pin --replace",
        );
    }
    if connection.has_pin && found.pointer("/logging/type").and_then(Value::as_str) != Some("FILE") {
        return checks.warn(
            WHAT,
            format!("{file}: the client prints this file when it starts, with the PIN, and its log is not a file of its own"),
            format!("logging: \"type\": \"FILE\", \"file\": \"{LOG}\""),
        );
    }
    let remote = found.pointer("/config-shadow/enabled") == Some(&Value::Bool(true));
    if remote && !connection.features.contains(&Feature::ConfigShadow) {
        return checks.warn(
            WHAT,
            format!("{file}: config-shadow lets the cloud switch the client's features on, among them jobs, which run commands"),
            "\"config-shadow\": { \"enabled\": false }, if that is not wanted",
        );
    }
    checks.ok(WHAT, file);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(features: &[Feature], has_pin: bool) -> Value {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::existing(dir.path()).unwrap();
        let connection = Connection {
            thing: "gateway-1",
            endpoint: "host",
            key: "gateway-1",
            token: "gateway",
            slot: 0,
            has_pin,
            pin: "1234",
            features,
        };
        configuration(&folder, &connection)
    }

    #[test]
    fn the_cloud_may_configure_the_client_only_if_that_was_asked_for_by_name() {
        let remote = |features: &[Feature]| told(features, false)["config-shadow"]["enabled"].clone();
        assert_eq!(remote(&[Feature::Jobs, Feature::Shadow, Feature::Tunneling, Feature::Defender]), false);
        assert_eq!(remote(&[Feature::ConfigShadow]), true);
    }

    #[test]
    fn a_client_that_has_a_pin_prints_its_configuration_into_a_file_of_its_own() {
        assert_eq!(told(&[], true)["logging"], json!({ "level": "INFO", "type": "FILE", "file": LOG }));
        assert_eq!(told(&[], false)["logging"]["type"], "STDOUT");
    }
}
