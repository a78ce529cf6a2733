// SPDX-License-Identifier: MIT OR Apache-2.0
//! Greengrass nucleus lite, 2.5.0 and newer: its configuration, OpenSSL's, and a systemd drop-in for the services that
//! load the key.
//!
//! According to its `docs/PKCS11_SUPPORT.md` (aws-greengrass/aws-greengrass-lite, 2.6.0). `iotcored`, `tesd` and
//! `ggdeploymentd` open key and certificate with OSSL_STORE and can't ask for a PIN, so the URIs name its file. The
//! services run as their own users and can't read the thing's private folder: the files are installed to [`INSTALLED`].

use std::path::Path;

use super::clients::Clients;
use super::device_client::{Connection, ROOT_CA};
use super::greengrass::{pair, where_aws_is, with_lines, Core};
use super::unit;
use crate::chip_keys::uri;
use crate::cloud::folder::Folder;
use crate::cloud::program;
use crate::error::{Error, Result};
use crate::output::check::Checks;
use crate::output::shell;
use atecc608_token::config::CONF_VARIABLE;

/// The configuration's file.
pub const FILE: &str = "greengrass-lite.yaml";
/// OpenSSL's configuration for it.
pub const OPENSSL_FILE: &str = "openssl-greengrass.cnf";
/// The drop-in for its services.
pub const DROP_IN_FILE: &str = "greengrass-lite.conf";
/// The mode of all three: they contain no secret.
pub const MODE: u32 = 0o644;

/// The folder from which its services read them.
const INSTALLED: &str = "/etc/greengrass";
/// The file with the token's PIN.
const PIN_FILE: &str = "/etc/greengrass/token-pin";
/// The services that load the key.
const SERVICES: [&str; 3] = ["iotcored", "tesd", "ggdeploymentd"];
/// Maximum length of a URI in bytes: `ggdeploymentd` has room for 127 and a zero (`get_private_key_path`), and makes no
/// deployment with a longer one.
const LONGEST: usize = 127;

/// Returns the URIs of a key and its certificate, with the PIN's file if the token has one.
fn uris(token: &str, key: &str, has_pin: bool) -> [String; 2] {
    let pin = if has_pin { format!("?pin-source=file:{PIN_FILE}") } else { String::new() };
    let uri = |kind| format!("pkcs11:token={};object={};type={kind}{pin}", uri::encoded(token), uri::encoded(key));
    [uri("private"), uri("cert")]
}

/// Checks that the names are short enough.
///
/// # Errors
/// [`Error::Refused`] if a URI with them is too long for one of the services.
pub fn ensure_short(token: &str, key: &str, has_pin: bool) -> Result<()> {
    match uris(token, key, has_pin).into_iter().find(|uri| uri.len() > LONGEST) {
        None => Ok(()),
        Some(uri) => Err(Error::Refused(format!(
            "{uri} has {} characters, and Greengrass lite accepts {LONGEST}: give the key a shorter label with --key, \
             or the token one (`label` in config.toml)",
            uri.len()
        ))),
    }
}

/// Writes the three files. `module` is the installed one.
///
/// # Errors
/// [`Error::Refused`] if a file can't be written.
pub fn write(folder: &mut Folder, clients: &Clients<'_>, core: &Core<'_>, module: &Path) -> Result<()> {
    let thing = clients.connection.thing;
    let mut text =
        format!("# Greengrass nucleus lite for the thing {thing}: install this as {INSTALLED}/config.yaml.\n---\n");
    for line in lines(&clients.connection, Some(core)) {
        text += &line;
        text.push('\n');
    }
    folder.place_or_note(FILE, text.as_bytes(), MODE)?;
    folder.place_or_note(OPENSSL_FILE, openssl(module).as_bytes(), MODE)?;
    folder.place_or_note(DROP_IN_FILE, drop_in(clients.config).as_bytes(), MODE)
}

/// Returns the configuration; without a core without AWS's values.
fn lines(connection: &Connection<'_>, core: Option<&Core<'_>>) -> Vec<String> {
    let [key, certificate] = uris(connection.token, connection.key, connection.has_pin);
    let mut lines = vec![
        "system:".to_owned(),
        pair(2, "privateKeyPath", &key),
        pair(2, "certificateFilePath", &certificate),
        pair(2, "rootCaPath", &format!("{INSTALLED}/{ROOT_CA}")),
        pair(2, "rootPath", "/var/lib/greengrass"),
        pair(2, "thingName", connection.thing),
        "services:".to_owned(),
        "  aws.greengrass.NucleusLite:".to_owned(),
        pair(4, "componentType", "NUCLEUS"),
        "    configuration:".to_owned(),
    ];
    lines.extend(where_aws_is(connection, core));
    lines.extend([
        // ggdeploymentd requires a text, not a number.
        pair(6, "greengrassDataPlanePort", "8443"),
        "      runWithDefault:".to_owned(),
        pair(8, "posixUser", "gg_component:gg_component"),
    ]);
    lines
}

/// Returns conf/openssl-pkcs11.cnf for these services alone.
fn openssl(module: &Path) -> String {
    format!(
        "# OpenSSL for Greengrass nucleus lite: keys on the token, through pkcs11-provider. Install this in {INSTALLED}.
openssl_conf = openssl_init
[openssl_init]
providers = provider_sect
[provider_sect]
default = default_sect
pkcs11 = pkcs11_sect
[default_sect]
activate = 1
[pkcs11_sect]
activate = 1
pkcs11-module-path = {}
pkcs11-module-load-behavior = early
",
        module.display()
    )
}

fn drop_in(config: Option<&str>) -> String {
    let config = unit::environment(config);
    format!(
        "# For {}: where OpenSSL finds the token.
[Service]
Environment=OPENSSL_CONF={INSTALLED}/{OPENSSL_FILE}
{config}",
        SERVICES.map(|service| format!("ggl.core.{service}.service")).join(", ")
    )
}

/// Returns the next commands.
pub fn next_steps(folder: &Folder, has_pin: bool) -> String {
    let file = |name: &str| folder.file(name).display().to_string();
    let mut text = format!(
        "  Greengrass lite: sudo install -D -m 644 {} {INSTALLED}/config.yaml\n    sudo install -m 644 {} {} {INSTALLED}/\n",
        file(FILE),
        file(ROOT_CA),
        file(OPENSSL_FILE)
    );
    for service in SERVICES {
        text += &format!(
            "    sudo install -D -m 644 {} /etc/systemd/system/ggl.core.{service}.service.d/atecc608.conf\n",
            file(DROP_IN_FILE)
        );
    }
    if has_pin {
        text += &format!(
            "    sudo install -m 640 -g ggcore PIN-FILE {PIN_FILE}      (the token's PIN is its first line)\n"
        );
    }
    text + "    sudo usermod -aG atecc608,i2c ggcore && sudo systemctl daemon-reload && sudo systemctl restart greengrass-lite.target\n"
}

/// Checks that the files still have the required contents, and, on a token without a PIN, that OpenSSL finds the key
/// with them.
pub fn check(folder: &Folder, clients: &Clients<'_>, core: Option<&Core<'_>>, module: &Path, checks: &mut Checks) {
    let connection = &clients.connection;
    const CONFIGURATION: &str = "Greengrass lite configuration";
    if with_lines(folder, FILE, CONFIGURATION, &lines(connection, core), checks).is_some() {
        checks.ok(CONFIGURATION, folder.file(FILE).display().to_string());
    }
    let wanted: Vec<String> =
        openssl(module).lines().map(str::to_owned).filter(|line| !line.starts_with('#')).collect();
    let setting: Vec<String> =
        drop_in(clients.config).lines().map(str::to_owned).filter(|line| !line.starts_with('#')).collect();
    if with_lines(folder, DROP_IN_FILE, "Greengrass lite's services", &setting, checks).is_none() {
        return;
    }
    const WHAT: &str = "Greengrass lite's key";
    if with_lines(folder, OPENSSL_FILE, WHAT, &wanted, checks).is_none() {
        return;
    }
    if connection.has_pin {
        return checks.skip(&[WHAT], "OpenSSL would log in with the PIN of the services, and a check uses no PIN");
    }
    let mut arguments = vec![format!("OPENSSL_CONF={}", folder.file(OPENSSL_FILE).display())];
    arguments.extend(clients.config.map(|config| format!("{CONF_VARIABLE}={config}")));
    let [key, _] = uris(connection.token, connection.key, false);
    arguments.extend(["openssl", "storeutl", "-noout", &key].map(str::to_owned));
    let typed = shell::line("env", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    match program::run("env", &arguments, &[]) {
        Err(error) => checks.warn(WHAT, format!("not checked with OpenSSL: {error}"), typed),
        Ok(said)
            if said.success
                && String::from_utf8_lossy(&said.stdout).lines().any(|line| line.trim() == "Total found: 1") =>
        {
            checks.ok(WHAT, format!("OpenSSL finds {key}"));
        }
        Ok(said) => {
            let last = said.stderr.trim().lines().last().unwrap_or("there is none").to_owned();
            checks.fail(
                WHAT,
                format!(
                    "OpenSSL does not find {key}: {last}; Greengrass lite says \"Failed to open cert store.\" or \"Failed to load key info.\""
                ),
                format!("sudo apt install openssl pkcs11-provider; {typed}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_a_uri_has_them_and_a_pin_only_as_the_file_that_has_it() {
        let [key, certificate] = uris("my gateway", "core;1", true);
        assert_eq!(
            key,
            "pkcs11:token=my%20gateway;object=core%3B1;type=private?pin-source=file:/etc/greengrass/token-pin"
        );
        assert_eq!(certificate, key.replace("private", "cert"));
    }

    #[test]
    fn names_that_no_deployment_could_be_made_with_are_refused() {
        let rest = uris("gateway", "", false)[0].len();
        let longest = "x".repeat(LONGEST - rest);
        ensure_short("gateway", &longest, false).unwrap();
        let error = ensure_short("gateway", &(longest.clone() + "x"), false).unwrap_err().to_string();
        assert!(
            error.contains("has 128 characters, and Greengrass lite accepts 127") && error.contains("--key"),
            "{error}"
        );
        assert!(ensure_short("gateway", &longest, true).is_err());
    }
}
