// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files for clients on this machine: the key as a file for programs that open files, an example for the Azure IoT
//! SDK for Python, and the configuration of IoT Edge and IoT Identity Service.

use der::asn1::AnyRef;
use der::pem::{encode_string, LineEnding};
use der::{Encode, Tag};

use super::commands::{hub_host, Service};
use crate::chip_keys::uri;
use crate::cloud::literal::quoted;

/// The certificate, with its chain if a CA signed it.
pub const CERTIFICATE: &str = "device.pem";
/// The key's URI as a PEM file.
pub const KEY: &str = "device-key.pem";
/// The example.
pub const PROGRAM: &str = "sdk_connect.py";
/// The configuration of IoT Edge.
pub const EDGE: &str = "edge-config.toml";
/// The lines for the Azure CLI.
pub const COMMANDS: &str = "enrol.sh";
/// Global host of the Device Provisioning Service.
pub const DPS_HOST: &str = "global.azure-devices-provisioning.net";

/// Returns a key as a file, for programs that open one: OpenSSL with pkcs11-provider then uses the token. It contains
/// no secret.
///
/// # Errors
/// An encoding error.
pub fn key_file(uri: &str) -> der::Result<String> {
    let version = AnyRef::new(Tag::VisibleString, b"PKCS#11 Provider URI v1.0")?;
    let der = vec![version, AnyRef::new(Tag::Utf8String, uri.as_bytes())?].to_der()?;
    Ok(encode_string("PKCS#11 PROVIDER URI", LineEnding::LF, &der)?)
}

/// Returns an example that connects and sends one message.
pub fn program(service: &Service, device: &str, certificate: &str, key: &str) -> String {
    let (imports, options, find_hub) = match service {
        Service::Hub(hub) => (
            "X509, IoTHubDeviceClient",
            format!("parser.add_argument(\"--hub\", default={}, help=\"the hub's host\")\n", quoted(&hub_host(hub))),
            format!("hub, device = arguments.hub, {}\n", quoted(device)),
        ),
        Service::Dps { scope, .. } => (
            "X509, IoTHubDeviceClient, ProvisioningDeviceClient",
            String::new(),
            format!(
                "registration = ProvisioningDeviceClient.create_from_x509_certificate(\n    provisioning_host={},\n    \
                 registration_id={},\n    id_scope={},\n    x509=x509,\n    **trust,\n).register()\nassert registration.status == \
                 \"assigned\", registration.status\nhub, device = registration.registration_state.assigned_hub, \
                 registration.registration_state.device_id\n",
                quoted(DPS_HOST),
                quoted(device),
                quoted(scope)
            ),
        ),
    };
    format!(
        r#"#!/usr/bin/env python3
"""Connect to Azure IoT Hub as the device {device}, whose private key is in the chip, and send a message: pip install azure-iot-device

The key's file holds its PKCS#11 URI, so Python's OpenSSL needs pkcs11-provider:
run this with OPENSSL_CONF=/etc/atecc608-pkcs11/openssl-pkcs11.cnf
"""

import argparse

from azure.iot.device import {imports}

parser = argparse.ArgumentParser()
{options}parser.add_argument("--server-ca", help="the CA of the server, if it is none that the system trusts")
arguments = parser.parse_args()
trust = {{}}
if arguments.server_ca:
    with open(arguments.server_ca, encoding="ascii") as file:
        trust["server_verification_cert"] = file.read()

x509 = X509(
    cert_file={certificate},
    key_file={key},
)
{find_hub}client = IoTHubDeviceClient.create_from_x509_certificate(x509, hostname=hub, device_id=device, **trust)
client.connect()
client.send_message("hello")
print("connected to", hub, "as", device, "and sent a message")
client.shutdown()
"#,
        certificate = quoted(certificate),
        key = quoted(key),
    )
}

/// Returns a part of `/etc/aziot/config.toml`: IoT Edge, or IoT Identity Service alone.
///
/// According to the template of the service (Azure/iot-identity-service, July 2026). `pkcs11_base_slot` is omitted:
/// keys that the services generate for themselves would fill the chip's few slots, so they stay files.
pub fn edge(service: &Service, device: &str, certificate: &str, key: &EdgeKey<'_>) -> String {
    let pin = key.pin.map_or_else(String::new, |pin| format!("?pin-value={}", uri::encoded(pin)));
    let uri = format!("pkcs11:token={};object={}{pin}", uri::encoded(key.token), uri::encoded(key.label));
    let identity =
        format!("identity_cert = {}\nidentity_pk = {}\n", quoted(&format!("file://{certificate}")), quoted(&uri));
    let provisioning = match service {
        Service::Hub(hub) => format!(
            "[provisioning]\nsource = \"manual\"\niothub_hostname = {}\ndevice_id = {}\n\n[provisioning.authentication]\nmethod = \
             \"x509\"\n{identity}",
            quoted(&hub_host(hub)),
            quoted(device)
        ),
        Service::Dps { scope, .. } => format!(
            "[provisioning]\nsource = \"dps\"\nglobal_endpoint = {}\nid_scope = {}\n\n[provisioning.attestation]\nmethod = \
             \"x509\"\nregistration_id = {}\n{identity}",
            quoted(&format!("https://{DPS_HOST}/")),
            quoted(scope),
            quoted(device)
        ),
    };
    format!(
        "# Part of /etc/aziot/config.toml. The user aziotks needs the chip: usermod -aG atecc608,i2c aziotks\n{provisioning}\n\
         [aziot_keys]\npkcs11_lib_path = {}\n",
        quoted(key.module)
    )
}

/// The key in IoT Edge's configuration.
pub struct EdgeKey<'a> {
    /// The token's label.
    pub token: &'a str,
    /// The key's label.
    pub label: &'a str,
    /// The placeholder of the PIN, if the token has one.
    pub pin: Option<&'a str>,
    /// The installed module.
    pub module: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_is_what_pkcs11_provider_reads() {
        let pem = key_file(&uri::private_key("gateway", "dev-key")).unwrap();
        let (label, der) = der::pem::decode_vec(pem.as_bytes()).unwrap();
        assert_eq!(label, "PKCS#11 PROVIDER URI");
        let uri = "pkcs11:token=gateway;object=dev-key;type=private";
        let mut expected = vec![0x30, (2 + 25 + 2 + uri.len()) as u8, 0x1A, 25];
        expected.extend_from_slice(b"PKCS#11 Provider URI v1.0");
        expected.extend_from_slice(&[0x0C, uri.len() as u8]);
        expected.extend_from_slice(uri.as_bytes());
        assert_eq!(der, expected);
    }

    #[test]
    fn edges_configuration_names_key_certificate_and_module_and_leaves_other_keys_to_files() {
        let key = EdgeKey { token: "my token", label: "dev-key", pin: None, module: "/usr/lib/m.so" };
        let dps = Service::Dps { name: "d".to_owned(), resource_group: "g".to_owned(), scope: "0ne0".to_owned() };
        for (service, section) in
            [(Service::Hub("acme".to_owned()), "[provisioning.authentication]"), (dps, "[provisioning.attestation]")]
        {
            let text = edge(&service, "gateway-1", "/x/device.pem", &key);
            for line in [
                section,
                "identity_pk = \"pkcs11:token=my%20token;object=dev-key\"",
                "identity_cert = \"file:///x/device.pem\"",
                "pkcs11_lib_path = \"/usr/lib/m.so\"",
            ] {
                assert!(text.lines().any(|found| found == line), "{line}\n{text}");
            }
            assert!(!text.contains("base_slot") && !text.contains("pin-value"), "{text}");
        }
    }
}
