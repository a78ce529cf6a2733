// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs other programs with arguments, never through a shell.

use std::ffi::OsStr;
use std::process::Command;

/// The output of a program.
#[derive(Debug)]
pub struct Said {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program to its end, without input.
///
/// # Errors
/// An I/O error if it can't be started.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S], variables: &[(&str, &str)]) -> std::io::Result<Said> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null());
    for (name, value) in variables {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let output = command.output()?;
    Ok(Said {
        success: output.status.success(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_the_caller_has_set_is_left_alone() {
        let said = run("sh", &["-c", "printf \"$PATH$OURS_ALONE\""], &[("PATH", "/nowhere"), ("OURS_ALONE", "x")]);
        let text = String::from_utf8(said.unwrap().stdout).unwrap();
        assert!(text.ends_with('x') && !text.contains("/nowhere"), "{text}");
    }
}
