//! Other people's programs: run with arguments, never through a shell; and shown as lines that can be typed into one.

use std::ffi::OsStr;
use std::process::Command;

/// What a program said.
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
/// Those of starting it.
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

/// The line that a person would type.
pub fn line(program: &str, arguments: &[impl AsRef<str>]) -> String {
    let words = std::iter::once(program).chain(arguments.iter().map(AsRef::as_ref));
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_quoted_as_a_shell_reads_it() {
        assert_eq!(line("aws", &["iot", "--thing-name", "a:b-1"]), "aws iot --thing-name a:b-1");
        assert_eq!(line("az", &["it's", "", "$x"]), r"az 'it'\''s' '' '$x'");
        let said = run("sh", &["-c", &line("printf", &["%s", r"a 'b' $c \d"])], &[]).unwrap();
        assert_eq!((said.success, said.stdout.as_slice()), (true, br"a 'b' $c \d".as_slice()));
    }

    #[test]
    fn a_variable_that_the_caller_has_set_is_left_alone() {
        let said = run("sh", &["-c", "printf \"$PATH$OURS_ALONE\""], &[("PATH", "/nowhere"), ("OURS_ALONE", "x")]);
        let text = String::from_utf8(said.unwrap().stdout).unwrap();
        assert!(text.ends_with('x') && !text.contains("/nowhere"), "{text}");
    }
}
