// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks all files of a thing with the clients' rules, before the clients fail. Each problem is reported with the
//! client's own message for it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::clients::Clients;
use super::device_client::{self, CERTIFICATE, CERTIFICATE_MODE, MODULE_MODE, ROOT_CA};
use super::messages::{self, says};
use super::module_copy::{self, Copy};
use super::{greengrass, greengrass_lite};
use crate::cloud::checks::{certificate_file, Expected};
use crate::cloud::folder::{Folder, PRIVATE};
use crate::cloud::pem::certificates;
use crate::cloud::program;
use crate::host::module::MODULE;
use crate::output::check::{Check, Checks, Verdict};
use crate::output::shell;
use atecc608_token::config::CONF_VARIABLE;

/// The inputs of the checks.
pub struct Look<'a> {
    /// The thing's files.
    pub folder: &'a Folder,
    /// The clients' expected configuration.
    pub clients: &'a Clients<'a>,
    /// The key in the chip, and the certificate that AWS knows, or will know.
    pub expected: Expected<'a>,
    /// The token's serial number.
    pub serial_number: &'a str,
    /// The installed module.
    pub module: &'a Path,
}

impl Look<'_> {
    /// Runs all checks.
    pub fn run(&self, checks: &mut Checks) {
        checks.push(self.modes());
        let certificate = certificate_file(self.folder, CERTIFICATE, &self.expected);
        checks.push(says(certificate, messages::NO_TLS));
        checks.push(says(self.root_ca(), messages::NO_TLS));
        self.module(checks);
        device_client::check(self.folder, &self.clients.connection, checks);
        let core = self.clients.core.as_ref();
        let (lite, there) = (self.clients.lite, |name| self.folder.file(name).exists());
        if lite || there(greengrass_lite::FILE) {
            greengrass_lite::check(self.folder, self.clients, core.filter(|_| lite), self.module, checks);
        }
        if (core.is_some() && !lite) || there(greengrass::FILE) {
            greengrass::check(self.folder, &self.clients.connection, core, self.module, checks);
        }
    }

    /// Device Client compares modes by equality, and requires one owner: the user it runs as.
    fn modes(&self) -> Check {
        const WHAT: &str = "modes and owners";
        let failed = |found: String, remedy: String| Check::new(WHAT, Verdict::Failed, found).with_remedy(remedy);
        let folder = self.folder.path().to_owned();
        let owner = fs::metadata(&folder).map(|found| found.uid()).ok();
        let files = [
            (folder, PRIVATE, messages::MODULE_MODE),
            (self.folder.file(CERTIFICATE), CERTIFICATE_MODE, messages::CERTIFICATE_MODE),
            (self.folder.file(ROOT_CA), CERTIFICATE_MODE, messages::ROOT_CA_MODE),
            (self.folder.file(MODULE), MODULE_MODE, messages::MODULE_MODE),
        ];
        for (path, mode, message) in files {
            let place = path.display();
            let check = match fs::symlink_metadata(&path) {
                Err(error) => {
                    let check = failed(format!("{place}: {error}"), "run the set-up again".to_owned());
                    says(check, &format!("Failed to find {place}, cannot establish MQTT connection"))
                }
                Ok(found) if found.mode() & 0o7777 != mode => {
                    let found = found.mode() & 0o7777;
                    let found = format!("{place} has mode {found:03o}, and Device Client accepts {mode:03o} only");
                    says(failed(found, format!("chmod {mode:03o} {place}")), message)
                }
                Ok(found) if Some(found.uid()) != owner => failed(
                    format!("{place} belongs to user {}, and its folder to another one", found.uid()),
                    format!("chown -R USER {} (the user whom the client runs as)", self.folder.path().display()),
                ),
                Ok(_) => continue,
            };
            return check;
        }
        let owner = owner.unwrap_or_default();
        Check::new(WHAT, Verdict::Ok, format!("as Device Client demands them; it has to run as user {owner}"))
    }

    /// Checks that the file with the root CAs has at least one certificate.
    fn root_ca(&self) -> Check {
        const WHAT: &str = "root CA";
        let file = self.folder.file(ROOT_CA).display().to_string();
        let found = self.folder.read(ROOT_CA).map(Option::unwrap_or_default);
        match found.and_then(|contents| certificates(&file, &contents)) {
            Ok(found) if !found.is_empty() => Check::new(WHAT, Verdict::Ok, file),
            Ok(_) => Check::new(WHAT, Verdict::Failed, format!("{file} holds no certificate"))
                .with_remedy("run the set-up again with --replace"),
            Err(error) => {
                Check::new(WHAT, Verdict::Failed, error.to_string()).with_remedy("run the set-up again with --replace")
            }
        }
    }

    /// Checks that the copy is the installed module, and that a stock program finds the key through it, like a client.
    fn module(&self, checks: &mut Checks) {
        const WHAT: &str = "module";
        let copy = self.folder.file(MODULE).display().to_string();
        match module_copy::compare(self.module, self.folder.path()) {
            // A wrong mode is already reported.
            Ok(Copy::Current | Copy::Repaired) => {}
            Ok(_) => {
                let remedy = module_copy::refresh_command(self.folder.path());
                return checks.fail(WHAT, format!("{copy} is not the installed module"), remedy);
            }
            Err(error) => return checks.fail(WHAT, error.to_string(), "run the set-up again"),
        }
        let token = self.clients.connection.token;
        let arguments = ["--module", &copy, "--token-label", token, "--list-objects", "--type", "cert"];
        let variables: Vec<(&str, &str)> = self.clients.config.iter().map(|config| (CONF_VARIABLE, *config)).collect();
        let typed = shell::line("pkcs11-tool", &arguments);
        match program::run("pkcs11-tool", &arguments, &variables) {
            Err(_) => checks.warn(
                WHAT,
                format!("{copy} is the installed one; it was not loaded, since pkcs11-tool is not installed"),
                "sudo apt install opensc",
            ),
            Ok(said) if said.success && String::from_utf8_lossy(&said.stdout).contains(self.expected.label) => {
                checks.ok(WHAT, format!("{copy} loads and shows the token \"{token}\" with the certificate"));
            }
            Ok(said) => {
                let last = said.stderr.trim().lines().last().unwrap_or("it shows no such certificate").to_owned();
                checks.fail(
                    WHAT,
                    format!("{copy}, loaded by pkcs11-tool: {last} (token {})", self.serial_number),
                    format!("ATECC608_LOG=debug {typed}"),
                );
            }
        }
    }
}
