// SPDX-License-Identifier: MIT OR Apache-2.0
//! Greengrass v2 with its PKCS#11 provider: the installer's `--init-config`.
//!
//! According to "Install the AWS IoT Greengrass Core software with the private key and certificate in an HSM". The
//! provider finds key and certificate by their common label, and requires the certificate on the token.

use std::path::Path;

use zeroize::Zeroizing;

use super::device_client::{Connection, ROOT_CA};
use crate::chip_keys::uri;
use crate::cloud::folder::Folder;
use crate::cloud::identity::PIN_TO_ENTER;
use crate::cloud::literal::quoted;
use crate::output::check::Checks;

/// The file.
pub const FILE: &str = "greengrass.yaml";
/// Its mode: it may hold a PIN.
pub const MODE: u32 = 0o600;
/// Greengrass's default folder.
const ROOT: &str = "/greengrass/v2";

/// The additional values of a core device.
pub struct Core<'a> {
    /// Host that exchanges the certificate for credentials.
    pub credentials_endpoint: &'a str,
    /// The role alias of the token exchange role.
    pub role_alias: &'a str,
    /// The region.
    pub region: &'a str,
}

/// Returns the configuration. `module` is the installed one.
pub fn configuration(folder: &Folder, connection: &Connection<'_>, core: &Core<'_>, module: &Path) -> String {
    let mut text = String::from(
        "# Greengrass v2: give this to the installer with --init-config, and the provider with --trusted-plugin.\n---\n",
    );
    for line in lines(folder, connection, Some(core), module) {
        text += &line;
        text.push('\n');
    }
    text + &pair(6, "userPin", connection.pin) + "\n"
}

/// A line with a key and its value.
pub fn pair(indent: usize, key: &str, value: &str) -> String {
    format!("{}{key}: {}", " ".repeat(indent), quoted(value))
}

/// Returns all lines except the PIN, which a user may enter; without a core also without AWS's values.
fn lines(folder: &Folder, connection: &Connection<'_>, core: Option<&Core<'_>>, module: &Path) -> Vec<String> {
    let object = uri::encoded(connection.key);
    let mut lines = vec![
        "system:".to_owned(),
        pair(2, "certificateFilePath", &format!("pkcs11:object={object};type=cert")),
        pair(2, "privateKeyPath", &format!("pkcs11:object={object};type=private")),
        pair(2, "rootCaPath", &folder.file(ROOT_CA).display().to_string()),
        pair(2, "rootpath", ROOT),
        pair(2, "thingName", connection.thing),
        "services:".to_owned(),
        "  aws.greengrass.Nucleus:".to_owned(),
        "    configuration:".to_owned(),
    ];
    lines.extend(where_aws_is(connection, core));
    lines.extend([
        "  aws.greengrass.crypto.Pkcs11Provider:".to_owned(),
        "    configuration:".to_owned(),
        pair(6, "name", "atecc608"),
        pair(6, "library", &module.display().to_string()),
        format!("      slot: {}", connection.slot),
    ]);
    lines
}

/// Returns AWS's values for both nuclei.
pub fn where_aws_is(connection: &Connection<'_>, core: Option<&Core<'_>>) -> Vec<String> {
    let mut lines = vec![pair(6, "iotDataEndpoint", connection.endpoint)];
    if let Some(core) = core {
        lines.extend([
            pair(6, "awsRegion", core.region),
            pair(6, "iotRoleAlias", core.role_alias),
            pair(6, "iotCredEndpoint", core.credentials_endpoint),
        ]);
    }
    lines
}

/// Checks that the file still has the required lines; others may have been added.
pub fn check(
    folder: &Folder,
    connection: &Connection<'_>,
    core: Option<&Core<'_>>,
    module: &Path,
    checks: &mut Checks,
) {
    const WHAT: &str = "Greengrass configuration";
    let Some(text) = with_lines(folder, FILE, WHAT, &lines(folder, connection, core, module), checks) else { return };
    let file = folder.file(FILE).display().to_string();
    if connection.has_pin && text.lines().any(|line| line == pair(6, "userPin", PIN_TO_ENTER)) {
        return checks.warn(
            WHAT,
            format!("{file}: Greengrass needs the token's PIN as userPin"),
            "enter it there, or run the set-up again with --write-pin --replace",
        );
    }
    checks.ok(WHAT, file);
}

/// Returns the text of a file with all of these lines; else reports the problem.
pub fn with_lines(
    folder: &Folder,
    name: &str,
    what: &str,
    wanted: &[String],
    checks: &mut Checks,
) -> Option<Zeroizing<String>> {
    let file = folder.file(name).display().to_string();
    let text = match folder.read(name) {
        Ok(Some(text)) => Zeroizing::new(String::from_utf8_lossy(&text).into_owned()),
        Ok(None) => {
            checks.fail(what, format!("{file} is missing"), "run the set-up again");
            return None;
        }
        Err(error) => {
            checks.fail(what, error.to_string(), "make it readable");
            return None;
        }
    };
    let missing: Vec<&str> =
        wanted.iter().filter(|line| !text.lines().any(|found| found == *line)).map(|line| line.trim()).collect();
    if missing.is_empty() {
        return Some(text);
    }
    checks.fail(
        what,
        format!("{file} lacks {}", missing.join(", ")),
        "add the lines, or replace the file with --replace",
    );
    None
}
