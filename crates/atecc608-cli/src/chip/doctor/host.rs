// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's checks: the module as a client loads it, p11-kit, OpenSSL.
//!
//! Safe Rust can't load a shared object. So a stock program, pkcs11-tool or p11tool, loads the module through its C ABI
//! like any client.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::host::module::{self, MODULE};
use crate::output::check::{Checks, Verdict};
use crate::output::note;
use atecc608_token::config::{Config, CONF_VARIABLE};

/// The OpenSSL configuration of the packages.
const OPENSSL_CONF: &str = "/etc/atecc608-pkcs11/openssl-pkcs11.cnf";

/// The folders in which p11-kit looks for module files.
const P11_KIT_FOLDERS: [&str; 3] = ["/etc/pkcs11/modules", "/usr/share/p11-kit/modules", "/usr/lib/p11-kit/modules"];

/// Loads the module, and checks whether it shows the tokens with these serial numbers.
pub(super) fn module(given: Option<&Path>, config: &Config, serials: &[String], checks: &mut Checks) {
    const LINK: &str = "module";
    let Some(path) = given.map(Path::to_owned).or_else(module::find) else {
        not_installed(checks);
        return;
    };
    if !path.exists() {
        checks.fail(LINK, format!("{} does not exist", path.display()), "give --module the module's file");
        return;
    }
    let module = path.display().to_string();
    let programs: [(&str, &[&str]); 2] =
        [("pkcs11-tool", &["--module", &module, "-L"]), ("p11tool", &["--provider", &module, "--list-tokens"])];
    for (program, arguments) in programs {
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(path) = config.path.as_ref().and_then(|path| std::path::absolute(path).ok()) {
            command.env(CONF_VARIABLE, path);
        }
        let typed = format!("{program} {}", arguments.join(" "));
        let output = match command.output() {
            Ok(output) => output,
            Err(_) => continue,
        };
        // The module's log lines help to find the problem.
        let logged = String::from_utf8_lossy(&output.stderr);
        let is_reported =
            |line: &str| checks.as_slice().iter().any(|check| check.has_failed() && line.contains(&check.detail));
        logged.lines().filter(|line| line.starts_with("atecc608-pkcs11[") && !is_reported(line)).for_each(note);
        let said = String::from_utf8_lossy(&output.stdout).to_uppercase();
        let missing: Vec<&str> = serials.iter().map(String::as_str).filter(|serial| !said.contains(serial)).collect();
        if !output.status.success() || !missing.is_empty() {
            let last = String::from_utf8_lossy(&output.stderr);
            let last = last.lines().last().unwrap_or("it said nothing").trim().to_owned();
            let problem = if output.status.success() {
                format!("{path:?} was loaded, but shows no token with the serial number {}", missing.join(", "))
            } else {
                format!("{program} could not use {path:?}: {last}")
            };
            checks.fail(LINK, problem, format!("ATECC608_LOG=debug {typed}"));
        } else if serials.is_empty() {
            checks.ok(LINK, format!("{module} loads ({program}); there is no initialized token to show"));
        } else {
            checks.ok(LINK, format!("{module} loads and shows the token ({program})"));
        }
        return;
    }
    checks.warn(
        LINK,
        format!("{module} is there; it was not loaded, since neither pkcs11-tool nor p11tool is installed"),
        "sudo apt install opensc",
    );
}

fn not_installed(checks: &mut Checks) {
    checks.fail(
        "module",
        format!("{MODULE} is neither beside this program nor in /usr/local/lib nor in a pkcs11 folder"),
        format!("sudo install -m 644 target/release/{MODULE} /usr/local/lib/    (or use --module FILE)"),
    );
}

/// Checks whether p11-kit knows the module: programs with GnuTLS or p11-kit-proxy then need no path to it.
pub(super) fn p11_kit(checks: &mut Checks) {
    const LINK: &str = "p11-kit";
    // p11-kit reads a user's own folder, except root's.
    let home = std::env::var_os("HOME").filter(|_| !rustix::process::geteuid().is_root());
    let home = home.map(|home| Path::new(&home).join(".config/pkcs11/modules"));
    let folders = P11_KIT_FOLDERS.iter().map(PathBuf::from).chain(home);
    let Some((file, module)) = folders.filter_map(|folder| registration(&folder)).next() else {
        checks.warn(
            LINK,
            "not registered: programs need the module's path",
            "sudo install -D -m 644 conf/atecc608.module /etc/pkcs11/modules/atecc608.module",
        );
        return;
    };
    // p11-kit looks for a bare name in its own folder.
    if module.is_absolute() && !module.exists() {
        checks.fail(
            LINK,
            format!("{} names {}, which does not exist", file.display(), module.display()),
            format!("correct the line `module:` in {}", file.display()),
        );
        return;
    }
    checks.ok(LINK, file.display().to_string());
}

/// Returns the first file in the folder whose `module:` line names this module, and the path there.
fn registration(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let text = atecc608_files::read_text(&entry.path(), crate::input::MOST).ok()?;
        let module = text.lines().find_map(|line| line.trim().strip_prefix("module:"))?.trim();
        module.ends_with(MODULE).then(|| (entry.path(), PathBuf::from(module)))
    })
}

/// Checks whether OpenSSL has pkcs11-provider, loads it, and it is new enough.
pub(super) fn openssl(checks: &mut Checks) {
    const LINK: &str = "OpenSSL provider";
    // Loading a provider accesses no token.
    const LOADING: [&str; 6] = ["list", "-providers", "-provider", "default", "-provider", "pkcs11"];
    let run = |arguments: &[&str]| Command::new("openssl").args(arguments).output().ok();
    let folder = run(&["version", "-m"]).as_ref().and_then(modules_folder);
    let Some((provider, loaded)) = folder.and_then(|folder| Some((folder.join("pkcs11.so"), run(&LOADING)?))) else {
        checks.warn(
            LINK,
            "openssl 3 is not installed: only needed to use keys with OpenSSL",
            "sudo apt install openssl",
        );
        return;
    };
    let path = provider.display();
    if !provider.exists() {
        checks.warn(
            LINK,
            format!("{path} is missing: only needed to use keys with OpenSSL"),
            "sudo apt install pkcs11-provider    (1.0 or newer: Debian 13, or Debian 12 with backports)",
        );
    } else if !loaded.status.success() {
        let said = String::from_utf8_lossy(&loaded.stderr);
        let why = said.lines().find(|line| line.contains("error:")).unwrap_or("it said nothing").trim();
        checks.fail(
            LINK,
            format!("{path} is there, but OpenSSL can't load it: {why}"),
            format!("openssl {}     says more; sudo apt install --reinstall pkcs11-provider", LOADING.join(" ")),
        );
    } else if let Some(version) = packaged_version(&provider).filter(|version| version.starts_with("0.")) {
        checks.warn(
            LINK,
            format!("{path} loads, but is version {}: docs/openssl.md needs 1.0 or newer", version.trim()),
            "sudo apt install -t bookworm-backports pkcs11-provider    (docs/openssl.md; elsewhere any 1.0 or newer)",
        );
    } else {
        checks.ok(LINK, format!("{path} loads"));
    }
}

/// Checks whether the configuration that OpenSSL will use loads the provider: the file in `OPENSSL_CONF`, else the
/// packages' own.
pub(super) fn openssl_configuration(checks: &mut Checks) {
    const LINK: &str = "OpenSSL configuration";
    let provider = checks.as_slice().last();
    if provider.is_none_or(|check| check.result != Verdict::Ok) {
        checks.skip(&[LINK], "OpenSSL can't use the provider");
        return;
    }
    let named = std::env::var_os("OPENSSL_CONF").filter(|name| !name.is_empty()).map(PathBuf::from);
    let file = named.clone().unwrap_or_else(|| PathBuf::from(OPENSSL_CONF));
    let shown = file.display();
    let text = match atecc608_files::read_text(&file, crate::input::MOST) {
        Ok(text) => text,
        Err(error) if named.is_none() => {
            checks.warn(
                LINK,
                format!("OPENSSL_CONF is not set, and {shown} can't be read ({error}): only needed to use keys with OpenSSL"),
                format!("sudo install -D -m 644 conf/openssl-pkcs11.cnf {shown}, and correct pkcs11-module-path in it"),
            );
            return;
        }
        Err(error) => {
            checks.fail(
                LINK,
                format!("OPENSSL_CONF names {shown}: {error}"),
                format!("export OPENSSL_CONF={OPENSSL_CONF}"),
            );
            return;
        }
    };
    let listed = Command::new("openssl").args(["list", "-providers"]).env("OPENSSL_CONF", &file).output();
    if listed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("PKCS#11 Provider")) {
        let hint = if named.is_none() { format!(": export OPENSSL_CONF={shown}") } else { String::new() };
        checks.ok(LINK, format!("{shown} loads the provider{hint}"));
        return;
    }
    match module_path(&text) {
        None => checks.warn(
            LINK,
            format!("{shown} does not load the provider: programs that use this file find no key in the chip"),
            format!("export OPENSSL_CONF={OPENSSL_CONF}, or copy that file's sections into {shown}"),
        ),
        Some(module) if !Path::new(module).exists() => checks.fail(
            LINK,
            format!("{shown}: pkcs11-module-path names {module}, which does not exist"),
            format!("write the module's path there: ls /usr/lib/*/pkcs11/{MODULE} /usr/local/lib/{MODULE}"),
        ),
        Some(_) => checks.fail(
            LINK,
            format!("with {shown} OpenSSL does not load the provider"),
            format!("OPENSSL_CONF={shown} ATECC608_LOG=debug openssl list -providers -verbose     says more"),
        ),
    }
}

/// Returns the module in an OpenSSL configuration.
fn module_path(text: &str) -> Option<&str> {
    // The last one counts.
    text.lines().rev().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "pkcs11-module-path").then(|| value.trim())
    })
}

/// Returns where OpenSSL looks for providers: `MODULESDIR: "/usr/lib/x86_64-linux-gnu/ossl-modules"`; the variable
/// takes precedence, as in OpenSSL.
fn modules_folder(version: &Output) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(&version.stdout);
    let compiled_in = text.split('"').nth(1)?;
    Some(std::env::var_os("OPENSSL_MODULES").map_or_else(|| PathBuf::from(compiled_in), PathBuf::from))
}

/// Returns the version of the Debian package of the file, if there is one. The provider can't be queried: the `version`
/// in `openssl list -providers` is that of the OpenSSL it was built with.
fn packaged_version(file: &Path) -> Option<String> {
    let dpkg = |arguments: &[&OsStr]| {
        let output = Command::new("dpkg-query").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // pkcs11-provider:amd64: /usr/lib/x86_64-linux-gnu/ossl-modules/pkcs11.so
    let owner = dpkg(&["--search".as_ref(), file.as_os_str()])?;
    let package = owner.split(": ").next()?;
    dpkg(&["--show".as_ref(), "--showformat=${Version}".as_ref(), package.as_ref()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_nowhere_is_said_with_how_to_install_it() {
        let mut checks = Checks::default();
        not_installed(&mut checks);
        assert!(checks.as_slice()[0].remedy.as_ref().unwrap().contains("/usr/local/lib"));
    }

    #[test]
    fn a_registration_with_p11_kit_is_found_by_its_module_line() {
        let dir = tempfile::tempdir().unwrap();
        assert!(registration(dir.path()).is_none());
        std::fs::write(dir.path().join("other.module"), "module: /usr/lib/opensc-pkcs11.so\n").unwrap();
        assert!(registration(dir.path()).is_none());
        std::fs::write(dir.path().join("x.module"), "# ours\nmodule: /opt/libatecc608_pkcs11.so\ncritical: no\n")
            .unwrap();
        let (file, module) = registration(dir.path()).unwrap();
        assert_eq!(file, dir.path().join("x.module"));
        assert_eq!(module, Path::new("/opt/libatecc608_pkcs11.so"));
    }
}
