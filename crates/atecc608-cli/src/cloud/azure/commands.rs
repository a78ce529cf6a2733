// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines for the Azure CLI (`az` with its extension azure-iot), as arguments. One enrols the device; a CA is
//! enrolled once for all its devices.
//!
//! | | self-signed by the chip's key | signed by a CA |
//! | --- | --- | --- |
//! | IoT Hub | device with the certificate's thumbprint | CA of the hub, device of the kind x509_ca |
//! | DPS | individual enrolment with the certificate | CA of the service if it is a root, enrolment group |

use std::path::Path;

/// The service for the device.
#[derive(Clone, Debug)]
pub enum Service {
    /// IoT Hub, by its name or host.
    Hub(String),
    /// The Device Provisioning Service.
    Dps {
        /// Its name in the Azure CLI.
        name: String,
        /// Its resource group.
        resource_group: String,
        /// The ID scope for devices.
        scope: String,
    },
}

/// How the device is authenticated.
#[derive(Clone, Debug)]
pub enum Trust<'a> {
    /// By this certificate.
    Certificate {
        /// Its file.
        file: &'a Path,
        /// SHA-256 of it, upper-case hex digits.
        thumbprint: &'a str,
    },
    /// By a CA.
    Authority {
        /// The CA's certificate.
        file: &'a Path,
        /// Its name at Azure.
        name: &'a str,
        /// Whether it is self-signed.
        root: bool,
    },
}

/// Arguments of `az`.
pub type Line = Vec<String>;

/// The lines, in order.
pub fn lines(service: &Service, device: &str, trust: &Trust<'_>, edge: bool) -> Vec<Line> {
    let mut lines = match (service, trust) {
        (Service::Hub(hub), Trust::Certificate { thumbprint, .. }) => {
            vec![words(&[
                "iot",
                "hub",
                "device-identity",
                "create",
                "--hub-name",
                hub_name(hub),
                "--device-id",
                device,
                "--auth-method",
                "x509_thumbprint",
                "--primary-thumbprint",
                thumbprint,
            ])]
        }
        (Service::Hub(hub), Trust::Authority { file, name, .. }) => {
            let hub = hub_name(hub);
            vec![
                words(&[
                    "iot",
                    "hub",
                    "certificate",
                    "create",
                    "--hub-name",
                    hub,
                    "--name",
                    name,
                    "--path",
                    &file.display().to_string(),
                    "--verified",
                    "true",
                ]),
                words(&[
                    "iot",
                    "hub",
                    "device-identity",
                    "create",
                    "--hub-name",
                    hub,
                    "--device-id",
                    device,
                    "--auth-method",
                    "x509_ca",
                ]),
            ]
        }
        (Service::Dps { name: dps, resource_group, .. }, Trust::Certificate { file, .. }) => {
            vec![words(&[
                "iot",
                "dps",
                "enrollment",
                "create",
                "--dps-name",
                dps,
                "--resource-group",
                resource_group,
                "--enrollment-id",
                device,
                "--device-id",
                device,
                "--attestation-type",
                "x509",
                "--certificate-path",
                &file.display().to_string(),
            ])]
        }
        (Service::Dps { name: dps, resource_group, .. }, Trust::Authority { file, name, root }) => {
            let file = file.display().to_string();
            let group = [
                "iot",
                "dps",
                "enrollment-group",
                "create",
                "--dps-name",
                dps,
                "--resource-group",
                resource_group,
                "--enrollment-id",
                name,
            ];
            if *root {
                vec![
                    words(&[
                        "iot",
                        "dps",
                        "certificate",
                        "create",
                        "--dps-name",
                        dps,
                        "--resource-group",
                        resource_group,
                        "--certificate-name",
                        name,
                        "--path",
                        &file,
                        "--verified",
                        "true",
                    ]),
                    words(&[&group[..], &["--ca-name", name]].concat()),
                ]
            } else {
                vec![words(&[&group[..], &["--certificate-path", &file]].concat())]
            }
        }
    };
    if edge {
        // The last line is for the device, or its group.
        if let Some(last) = lines.last_mut() {
            last.extend(words(&["--edge-enabled", "true"]));
        }
    }
    lines
}

fn words(words: &[&str]) -> Line {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Returns the host of a hub that may be given by its name only.
pub fn hub_host(hub: &str) -> String {
    if hub.contains('.') {
        hub.to_owned()
    } else {
        format!("{hub}.azure-devices.net")
    }
}

/// Returns the name of a hub that may be given by its host.
fn hub_name(hub: &str) -> &str {
    hub.split('.').next().unwrap_or(hub)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::shell::line;

    fn shown(service: &Service, trust: &Trust<'_>, edge: bool) -> Vec<String> {
        lines(service, "gateway-1", trust, edge).iter().map(|words| line("az", words)).collect()
    }

    #[test]
    fn each_way_has_its_lines() {
        let hub = Service::Hub("acme.azure-devices.net".to_owned());
        let dps = Service::Dps { name: "acme".to_owned(), resource_group: "iot".to_owned(), scope: "0ne0".to_owned() };
        let own = Trust::Certificate { file: Path::new("/x/device.pem"), thumbprint: "AB12" };
        let root = Trust::Authority { file: Path::new("/x/ca.pem"), name: "acme-ca", root: true };
        let below = Trust::Authority { file: Path::new("/x/ca.pem"), name: "acme-ca", root: false };
        assert_eq!(
            shown(&hub, &own, true),
            ["az iot hub device-identity create --hub-name acme --device-id gateway-1 --auth-method x509_thumbprint \
              --primary-thumbprint AB12 --edge-enabled true"]
        );
        assert_eq!(
            shown(&hub, &root, false),
            [
                "az iot hub certificate create --hub-name acme --name acme-ca --path /x/ca.pem --verified true",
                "az iot hub device-identity create --hub-name acme --device-id gateway-1 --auth-method x509_ca",
            ]
        );
        assert_eq!(
            shown(&dps, &own, false),
            ["az iot dps enrollment create --dps-name acme --resource-group iot --enrollment-id gateway-1 --device-id gateway-1 \
              --attestation-type x509 --certificate-path /x/device.pem"]
        );
        assert_eq!(
            shown(&dps, &root, false),
            [
                "az iot dps certificate create --dps-name acme --resource-group iot --certificate-name acme-ca --path /x/ca.pem \
                 --verified true",
                "az iot dps enrollment-group create --dps-name acme --resource-group iot --enrollment-id acme-ca --ca-name acme-ca",
            ]
        );
        assert_eq!(
            shown(&dps, &below, false),
            ["az iot dps enrollment-group create --dps-name acme --resource-group iot --enrollment-id acme-ca --certificate-path \
              /x/ca.pem"]
        );
    }
}
