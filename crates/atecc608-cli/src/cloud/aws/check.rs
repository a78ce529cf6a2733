//! A look at everything that a set-up wrote, with the clients' eyes: before they say "failed to initialize".

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::clients::Clients;
use super::device_client::{self, CERTIFICATE, CERTIFICATE_MODE, MODULE_MODE, ROOT_CA};
use super::greengrass;
use super::module_copy::{self, Copy};
use crate::chip_keys::ChipKey;
use crate::cloud::checks::certificate_file;
use crate::cloud::folder::{Folder, PRIVATE};
use crate::cloud::program;
use crate::host::module::MODULE;
use crate::output::check::Checks;
use crate::output::shell;
use crate::x509::certificate::Certificate;
use atecc608_token::config::CONF_VARIABLE;

/// What is looked at.
pub struct Look<'a> {
    /// The thing's files.
    pub folder: &'a Folder,
    /// What the clients are to be told.
    pub clients: &'a Clients<'a>,
    /// The certificate that AWS knows, or will.
    pub certificate: &'a Certificate,
    /// The key in the chip.
    pub key: &'a ChipKey,
    /// The token's serial number.
    pub serial_number: &'a str,
    /// The installed module.
    pub module: &'a Path,
}

impl Look<'_> {
    /// Looks at all of it.
    pub fn run(&self, checks: &mut Checks) {
        self.modes(checks);
        certificate_file(self.folder, CERTIFICATE, self.certificate, self.key, checks);
        self.module(checks);
        device_client::check(self.folder, &self.clients.connection, checks);
        if let Some(core) = &self.clients.core {
            greengrass::check(self.folder, &self.clients.connection, core, checks);
        }
    }

    /// Device Client compares modes by equality, and wants one owner: the user whom it runs as.
    fn modes(&self, checks: &mut Checks) {
        const WHAT: &str = "modes and owners";
        let files = [(CERTIFICATE, CERTIFICATE_MODE), (ROOT_CA, CERTIFICATE_MODE), (MODULE, MODULE_MODE)];
        let paths = files.map(|(name, mode)| (self.folder.file(name), mode));
        let folder = self.folder.path().to_owned();
        let owner = fs::metadata(&folder).map(|found| found.uid()).ok();
        for (path, mode) in std::iter::once((folder, PRIVATE)).chain(paths) {
            let place = path.display();
            match fs::symlink_metadata(&path) {
                Err(error) => return checks.fail(WHAT, format!("{place}: {error}"), "run the set-up again"),
                Ok(found) if found.mode() & 0o7777 != mode => {
                    return checks.fail(
                        WHAT,
                        format!(
                            "{place} has mode {:03o}, and Device Client takes {mode:03o} only",
                            found.mode() & 0o7777
                        ),
                        format!("chmod {mode:03o} {place}"),
                    )
                }
                Ok(found) if Some(found.uid()) != owner => {
                    return checks.fail(
                        WHAT,
                        format!("{place} belongs to user {}, and its folder to another one", found.uid()),
                        format!("chown -R USER {} (the user whom the client runs as)", self.folder.path().display()),
                    )
                }
                Ok(_) => {}
            }
        }
        let owner = owner.unwrap_or_default();
        checks.ok(WHAT, format!("as Device Client demands them; it has to run as user {owner}"));
    }

    /// The copy is the installed module, and a stock program finds the key through it, as a client would.
    fn module(&self, checks: &mut Checks) {
        const WHAT: &str = "module";
        let copy = self.folder.file(MODULE).display().to_string();
        match module_copy::compare(self.module, self.folder.path()) {
            Ok(Copy::Current) => {}
            Ok(_) => return checks.fail(WHAT, format!("{copy} is not the installed module"), "atecc608 aws refresh"),
            Err(error) => return checks.fail(WHAT, error.to_string(), "run the set-up again"),
        }
        let arguments =
            ["--module", &copy, "--token-label", self.clients.connection.token, "--list-objects", "--type", "cert"];
        let variables: Vec<(&str, &str)> = self.clients.config.iter().map(|config| (CONF_VARIABLE, *config)).collect();
        let typed = shell::line("pkcs11-tool", &arguments);
        match program::run("pkcs11-tool", &arguments, &variables) {
            Err(_) => checks.warn(
                WHAT,
                format!("{copy} is the installed one; it was not loaded, since pkcs11-tool is not installed"),
                "sudo apt install opensc",
            ),
            Ok(said) if said.success && String::from_utf8_lossy(&said.stdout).contains(&self.key.label) => {
                checks.ok(
                    WHAT,
                    format!(
                        "{copy} loads and shows the token \"{}\" with the certificate",
                        self.clients.connection.token
                    ),
                );
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
