// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the tests of keys and certificates: third-party tools that make keys and authorities and judge the
//! results; and a user at a terminal.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Bench, TOOL};

/// Runs a program in `dir`; returns its standard output.
pub fn tool(dir: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs OpenSSL in `dir` with the words of a line.
pub fn openssl(dir: &Path, words: &str) -> String {
    tool(dir, "openssl", &words.split_whitespace().collect::<Vec<_>>())
}

/// A key of an authority, as `openssl ecparam -genkey` writes it: after an EC PARAMETERS block.
pub fn ecparam_key(dir: &Path, name: &str) {
    openssl(dir, &format!("ecparam -name prime256v1 -genkey -out {name}"));
    assert!(std::fs::read_to_string(dir.join(name)).unwrap().starts_with("-----BEGIN EC PARAMETERS-----"));
}

/// A certification authority's certificate for the key, made by OpenSSL such that its own strict mode accepts it.
pub fn authority(dir: &Path, key: &str, certificate: &str) {
    authority_with(dir, key, certificate, "-days 7300");
}

/// The same with more options.
pub fn authority_with(dir: &Path, key: &str, certificate: &str, options: &str) {
    let usage = "-addext keyUsage=critical,keyCertSign,cRLSign";
    openssl(dir, &format!("req -x509 -new -key {key} -subj /CN=Acme-CA {usage} {options} -out {certificate}"));
}

/// OpenSSL in its strict mode accepts the certificate for a TLS client, and GnuTLS accepts it.
pub fn assert_accepted(dir: &Path, authority: &str, certificate: &str) {
    openssl(dir, &format!("verify -x509_strict -purpose sslclient -CAfile {authority} {certificate}"));
    let told = tool(dir, "certtool", &["--verify", "--load-ca-certificate", authority, "--infile", certificate]);
    assert!(told.contains("Verified. The certificate is trusted"), "{told}");
}

pub fn subject(dir: &Path, certificate: &str) -> String {
    let told = openssl(dir, &format!("x509 -in {certificate} -noout -subject -nameopt utf8,sep_comma_plus"));
    told.trim_end().to_owned()
}

/// OpenSSL's text of a certificate.
pub fn text(dir: &Path, certificate: &str) -> String {
    openssl(dir, &format!("x509 -in {certificate} -noout -text"))
}

pub fn ok(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A provisioned chip with a key "gateway" and an authority in `ca.pem` and `ca.key`.
pub fn with_key_and_authority() -> Bench {
    let bench = Bench::new();
    bench.provision();
    ok(&bench.run(&["key", "generate", "--label", "gateway"]));
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
    bench
}

/// `cert issue` for the key "gateway" with this authority; the certificate is in `gateway.pem`.
pub fn issue(bench: &Bench, arguments: &[&str]) -> Output {
    let fixed = ["cert", "issue", "--key", "gateway", "--subject", "/CN=gateway-1", "--output", "gateway.pem"];
    bench.run(&[&fixed, arguments].concat())
}

/// The command fails with status 1, prints all these parts, and writes no `gateway.pem`.
pub fn refused(bench: &Bench, output: &Output, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
    assert!(!bench.path("gateway.pem").exists(), "{said}");
}

/// Runs the tool at its own terminal and types this when `prompt` appears. Returns the terminal's contents, and the
/// exit status.
pub fn at_terminal(bench: &Bench, arguments: &[&str], prompt: &str, line: &str) -> (String, i32) {
    typed_at_terminal(bench, arguments, &[(prompt, line)])
}

/// The same with several prompts, in their order.
pub fn typed_at_terminal(bench: &Bench, arguments: &[&str], typed: &[(&str, &str)]) -> (String, i32) {
    const TYPIST: &str = r#"
import os, pty, sys
typed = sys.argv[1:sys.argv.index("--")]
typed, command = [text.encode() for text in typed], sys.argv[sys.argv.index("--") + 1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
shown, seen = b"", 0
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if typed and typed[0] in shown[seen:]:
        # The prompt comes before the terminal is told to show nothing: a person is slower.
        import termios, time
        # What is proposed in brackets is no secret, and is shown.
        while not typed[0].endswith(b"]: ") and termios.tcgetattr(terminal)[3] & termios.ECHO:
            time.sleep(0.005)
        os.write(terminal, typed[1])
        typed, seen = typed[2:], len(shown)
_, status = os.waitpid(child, 0)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status))
"#;
    let mut command = Command::new("python3");
    command.args(["-c", TYPIST]).args(typed.iter().flat_map(|(prompt, line)| [prompt, line]));
    command.args(["--", TOOL]).args(arguments);
    command.env("ATECC608_PKCS11_CONF", bench.path("config.toml")).current_dir(bench.dir.path());
    let output = command.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}
