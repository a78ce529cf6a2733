// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other processes that use the module, too: the test's own executable, started again to run one function.
//!
//! A test file that needs them has a test `helper_process`, which does what [`role`] says, nothing without a role, and
//! names itself with `module_path!()`. Helper and test take turns through the helper's stdin and stdout.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::module::Module;

const ROLE: &str = "ABI_TEST_ROLE";
/// The mark of a helper's own output; the rest is the test harness's.
const MARK: &str = "=> ";

/// The role of this process; `None` in a test.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Sends the test a line.
pub fn say(text: &str) {
    println!("{MARK}{text}");
    std::io::stdout().flush().unwrap();
}

/// Waits for [`Helper::go`].
pub fn wait() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// A number of this process in /proc/self/status, in KiB.
pub fn status_kb(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// A process with the test's configuration. Killed when dropped.
pub struct Helper {
    pub child: Child,
    output: BufReader<ChildStdout>,
}

impl Helper {
    pub fn start(file: &str, module: &Module, role: &str) -> Self {
        Self::start_with(file, module, role, &[])
    }

    /// With more variables.
    pub fn start_with(file: &str, module: &Module, role: &str, variables: &[(&str, String)]) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), file, module, role, variables)
    }

    /// Started by another program, whose last argument is the executable to start.
    pub fn start_under(mut program: Command, file: &str, module: &Module, role: &str) -> Self {
        program.arg(std::env::current_exe().unwrap());
        Self::start_by(program, file, module, role, &[])
    }

    fn start_by(mut command: Command, file: &str, module: &Module, role: &str, variables: &[(&str, String)]) -> Self {
        let (_, file) = file.split_once("::").unwrap();
        let mut child = command
            .args(["--exact", &format!("{file}::helper_process"), "--nocapture"])
            .env(ROLE, role)
            .env("ATECC608_PKCS11_CONF", module.configuration())
            // A killed helper leaves its temporary folder, which is removed with the test's.
            .env("TMPDIR", module.folder.path())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Its next line; `None` when it has ended.
    pub fn heard(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, text)) = line.trim_end().split_once(MARK) {
                return Some(text.to_owned());
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        assert_eq!(self.heard().as_deref(), Some(text));
    }

    /// Lets it go on after [`wait`].
    pub fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// The rest of its output; it must succeed.
    #[track_caller]
    pub fn finish(mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(text) = self.heard() {
            said.push(text);
        }
        assert!(self.child.wait().unwrap().success(), "the helper failed: {said:?}");
        said
    }

    /// The rest of its output, and its status.
    pub fn end(mut self) -> (Vec<String>, Option<i32>) {
        let said = std::iter::from_fn(|| self.heard()).collect();
        (said, self.child.wait().unwrap().code())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
