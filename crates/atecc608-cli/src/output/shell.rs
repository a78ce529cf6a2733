// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shell commands.

/// Returns the line that runs `program` with these arguments, quoted for a POSIX shell.
pub fn line(program: &str, arguments: &[impl AsRef<str>]) -> String {
    let words = std::iter::once(program).chain(arguments.iter().map(AsRef::as_ref));
    words.map(word).collect::<Vec<_>>().join(" ")
}

/// Returns one word of such a line.
pub fn word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_line_is_quoted_as_a_shell_reads_it() {
        assert_eq!(line("aws", &["iot", "--thing-name", "a:b-1"]), "aws iot --thing-name a:b-1");
        assert_eq!(line("az", &["it's", "", "$x"]), r"az 'it'\''s' '' '$x'");
        let shell = Command::new("sh").args(["-c", &line("printf", &["%s", r"a 'b' $c \d"])]).output().unwrap();
        assert_eq!((shell.status.success(), shell.stdout.as_slice()), (true, br"a 'b' $c \d".as_slice()));
    }
}
