// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other things in the place of a file: a FIFO, a folder, a device, an endless file. The tool reports them at once,
//! also if another user made them, and accepts pipes where a user names an input.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::x509::{ok, openssl, with_key_and_authority};
use crate::support::{run_as, stderr, stdout, Bench, TOOL};
use atecc608_sim::Profile;

/// The tool, killed after a time in which it would have finished. The status is then 124.
fn run(bench: &Bench, config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("60").arg(TOOL).args(arguments).env("ATECC608_PKCS11_CONF", config).current_dir(bench.dir.path());
    command.env_remove("ATECC608_LOG").output().unwrap()
}

/// Makes things that are no regular file, and returns the tool's name for each.
fn odd(dir: &Path) -> [(&'static str, &'static str); 4] {
    assert!(Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap().success());
    std::fs::create_dir(dir.join("folder")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", dir.join("device")).unwrap();
    std::fs::File::create(dir.join("large")).unwrap().set_len(1 << 40).unwrap();
    [
        ("fifo", "it is a FIFO"),
        ("folder", "it is a folder"),
        ("device", "it is a device"),
        ("large", "bytes, the limit for"),
    ]
}

#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for part in parts {
        assert!(stderr(output).contains(part), "{part:?}: {output:?}");
    }
}

#[test]
fn the_configuration_and_what_it_names_are_regular_files() {
    let bench = Bench::with_chip(Profile::Blank608B);
    for (name, what) in odd(bench.dir.path()) {
        refused(&run(&bench, &bench.path(name), &["info"]), &[name, what]);
        let config = bench.path("odd.toml");
        let state = bench.path("state");
        let chip = format!("state_dir = {state:?}\n[[token]]\nbus = \"sim:{}\"\n", bench.path(name).display());
        std::fs::write(&config, chip).unwrap();
        refused(&run(&bench, &config, &["info"]), &[name, what]);
    }
}

#[test]
fn imported_and_vendored_files_are_regular_files() {
    let bench = Bench::new();
    for (name, what) in odd(bench.dir.path()) {
        std::fs::create_dir(bench.path("store")).unwrap();
        std::fs::rename(bench.path(name), bench.path("store/0.conf")).unwrap();
        refused(&run(&bench, &bench.path("config.toml"), &["import-config", "store"]), &["0.conf", what]);
        std::fs::rename(bench.path("store"), bench.path(&format!("store-{name}"))).unwrap();
    }
}

#[test]
fn inputs_on_the_command_line_are_finite_and_have_a_writer() {
    let bench = Bench::new();
    let config = bench.path("config.toml");
    for (name, what) in odd(bench.dir.path()) {
        // A device can be read, and so can a pipe.
        let what = match name {
            "fifo" => "no program writes to this pipe",
            "device" => "bytes, the limit for",
            _ => what,
        };
        for arguments in [
            &["cert", "import", name][..],
            &["config", "check", name],
            &["verify-attestation", name, "--attestation-key", name, "--any-challenge"],
            &["key", "import", name],
            &["--config", name, "info"],
        ] {
            refused(&run(&bench, &config, arguments), &[name, what]);
        }
    }
    for (name, what) in [("fifo", "no program writes"), ("folder", "folder")] {
        refused(&run(&bench, &config, &["manifest", "list", name]), &[name, what]);
        let pin = ["provision", "tls-pin", "--lock-forever", "--recovery-code-file", "code", "--pin-file", name];
        refused(&run(&bench, &config, &pin), &[name, what]);
    }
    refused(
        &run(&bench, &config, &["provision", "tls", "--batch", "fifo", "--manifest", "m"]),
        &["fifo", "no program writes"],
    );
    for (name, what) in [("fifo", "it is a FIFO"), ("folder", "it is a folder"), ("device", "it is a device")] {
        let batch = ["provision", "tls", "--batch", "config.toml", "--lock-forever", "--manifest", name];
        refused(&run(&bench, &config, &batch), &[name, what]);
    }
}

#[test]
fn inputs_on_the_command_line_may_be_pipes() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    openssl(dir, "req -new -key ca.key -subj /CN=theirs -out their.csr");
    openssl(dir, "pkcs8 -topk8 -in ca.key -passout pass:correct -out enc.key");
    let issue = format!("{TOOL} cert issue --ca ca.pem");
    for line in [
        format!("{issue} --ca-key ca.key --csr <(cat their.csr)"),
        format!("cat their.csr | {issue} --ca-key ca.key --csr /dev/stdin"),
        format!("cat their.csr | {issue} --ca-key ca.key --csr -"),
        format!("{issue} --ca-key ca.key --csr /dev/stdin < their.csr"),
        format!("mkfifo named; cat their.csr > named & {issue} --ca-key ca.key --csr named"),
        format!("{issue} --ca-key <(cat enc.key) --passphrase-file <(echo correct) --csr their.csr"),
    ] {
        let output = Command::new("bash").args(["-c", &line]).current_dir(dir).output().unwrap();
        ok(&output);
        assert!(stdout(&output).starts_with("-----BEGIN CERTIFICATE-----"), "{line}: {output:?}");
    }
}

#[test]
fn an_output_pipe_without_a_reader_is_refused_and_such_a_log_goes_to_stderr() {
    let bench = with_key_and_authority();
    let config = bench.path("config.toml");
    odd(bench.dir.path());
    refused(
        &run(&bench, &config, &["csr", "--subject", "/CN=x", "--output", "fifo", "--force"]),
        &["fifo", "No such device"],
    );
    let text = std::fs::read_to_string(&config).unwrap();
    for (name, what) in [("fifo", "No such device"), ("folder", "it is a folder")] {
        std::fs::write(&config, format!("log = \"warn:{}\"\n{text}", bench.path(name).display())).unwrap();
        let output = run(&bench, &config, &["key", "list"]);
        ok(&output);
        assert!(stderr(&output).contains(what) && stderr(&output).contains("logging to stderr"), "{output:?}");
        assert!(stderr(&output).contains("simulated"), "the log: {output:?}");
    }
    for stream in ["/dev/stderr", "/dev/fd/2"] {
        std::fs::write(&config, format!("log = \"warn:{stream}\"\n{text}")).unwrap();
        let output = run(&bench, &config, &["key", "list"]);
        assert!(stderr(&output).contains("simulated") && !stderr(&output).contains("logging to"), "{output:?}");
    }
    std::os::unix::fs::symlink("real.log", bench.path("link.log")).unwrap();
    std::fs::write(&config, format!("log = \"warn:{}\"\n{text}", bench.path("link.log").display())).unwrap();
    assert_eq!(stderr(&run(&bench, &config, &["key", "list"])), "");
    assert!(std::fs::read_to_string(bench.path("real.log")).unwrap().contains("simulated"));
}

#[test]
fn a_lock_file_of_another_user_is_named_with_the_command_that_opens_it() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not tested: only root runs the tool as another user");
    }
    let bench = Bench::with_chip(Profile::Blank608B);
    assert!(bench.run(&["info"]).status.success());
    let mode = |name: &str, mode| std::fs::set_permissions(bench.path(name), PermissionsExt::from_mode(mode)).unwrap();
    mode("", 0o777);
    mode("chip", 0o666);
    mode("chip.lock", 0o600);
    let (lock, folder) = (bench.path("chip.lock"), bench.path(""));
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let remedy = format!("sudo chgrp $(stat -c %g {folder}) {0} && sudo chmod 660 {0}", lock.display());
    let output = run_as(&bench, &bench.command(&["info"]), 65534, 65534);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("Permission denied"), "{output:?}");
    assert!(stderr(&output).contains(&remedy), "{remedy}: {output:?}");
}
