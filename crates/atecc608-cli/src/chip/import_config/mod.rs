// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 import-config`: converts the configuration files of cryptoauthlib's PKCS#11 module, so that nothing must
//! be renamed: the same slots, tokens' labels and objects' labels.

mod vendor;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use toml_writer::TomlWrite;

use crate::error::{Error, Result};
use crate::files::less_umask;
use crate::output::{note, shell, visible, visible_in_strings, warn, Output};
use atecc608_token::config::Config;
use vendor::{Found, Kind, Token};

/// Arguments of `import-config`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder with 0.conf (/var/lib/cryptoauthlib), or the one with cryptoauthlib.conf (/etc/cryptoauthlib)
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Write the configuration to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    tokens: usize,
    configuration: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    warnings: &'a [String],
}

/// Reads the vendor's files and prints, or writes, a configuration of this module.
///
/// # Errors
/// [`Error::Refused`] for files that can't be read or parsed, with file and line; for an output file that exists.
pub fn run(arguments: &Arguments) -> Result<Output> {
    let Found { tokens, mut warnings } = vendor::read(&arguments.dir).map_err(Error::Refused)?;
    warnings.extend(tokens.iter().flat_map(not_carried_over));
    let text = configuration(&tokens);
    // The result must be readable: two equal labels, for instance, are not.
    let path = arguments.output.as_deref().unwrap_or(Path::new("the configuration that was made"));
    Config::parse(path, &text)?;
    for warning in &warnings {
        warn(warning);
    }
    if let Some(path) = &arguments.output {
        atecc608_files::create_new(path, text.as_bytes(), less_umask(0o644))
            .map_err(|error| Error::Refused(format!("{}: {error}", path.display())))?;
        note(&format!("written: {}. `atecc608 doctor` tries it", path.display()));
    }
    let file = arguments.output.as_ref().map(|path| path.display().to_string());
    let report = Report { tokens: tokens.len(), configuration: &text, file, warnings: &warnings };
    let shown = if arguments.output.is_some() { String::new() } else { text.clone() };
    Output::new(shown, &report)
}

#[cfg(fuzzing)]
pub(crate) fn fuzzed(folder: &Path) -> std::result::Result<String, String> {
    let Found { tokens, .. } = vendor::read(folder)?;
    let _ = tokens.iter().flat_map(not_carried_over).count();
    Ok(configuration(&tokens))
}

/// Returns the names that have no counterpart in this configuration.
fn not_carried_over(token: &Token) -> Vec<String> {
    let key = token.objects.values().find(|object| object.kind == Kind::Private).map(|key| key.label.clone());
    let others = token.objects.iter().filter(|(_, object)| object.kind != Kind::Private);
    others
        .filter_map(|(slot, object)| {
            let label = &object.label;
            let how = match object.kind {
                // Chips as sold have these names by default (docs/chips-as-sold.md).
                Kind::Certificate if slot.number() == 8 => return None,
                Kind::Certificate if label == "signer" || label == "root" || Some(label) == key.as_ref() => {
                    return None
                }
                Kind::Certificate => {
                    let line = shell::line("atecc608", &["cert", "import", "--label", label]);
                    format!("`{line}` keeps it under that name")
                }
                Kind::Private | Kind::Public | Kind::Secret => return None,
            };
            Some(format!("{}: {} \"{label}\" in slot {slot}: {how}", token.file.display(), object.kind.name()))
        })
        .collect()
}

fn configuration(tokens: &[Token]) -> String {
    let mut text = String::from(
        "# Made by `atecc608 import-config` from cryptoauthlib's files. conf/config.toml explains every key.\n",
    );
    for token in tokens {
        let address = format!("{:#04x}", token.address);
        text += &format!(
            "\n# {}\n[[token]]\nbus = \"/dev/i2c-{}\"\naddress = {address}\nlabel = {}\nslot = {}\n",
            visible(&token.file.display().to_string()),
            token.bus,
            toml_string(&token.label),
            token.slot
        );
        for (slot, object) in &token.objects {
            let kind = match object.kind {
                Kind::Private => "",
                // Slots 0 to 7 are too small for one: it is the public half of the key pair there.
                Kind::Public if slot.number() < 8 => "",
                Kind::Public => "type = \"public\"\n",
                Kind::Secret => "type = \"secret\"\n",
                // Only slot 8 is large enough for a whole certificate; the others hold compressed ones.
                Kind::Certificate if slot.number() == 8 => "type = \"certificate\"\n",
                // A certificate's label is its key's, or that in the certificate store.
                Kind::Certificate => continue,
            };
            text += &format!("\n[[token.object]]\nslot = {slot}\n{kind}label = {}\n", toml_string(&object.label));
        }
    }
    text
}

/// Quotes and escapes a TOML string.
fn toml_string(text: &str) -> String {
    let mut quoted = String::new();
    // Writing to a string does not fail.
    let _ = quoted.value(text);
    visible_in_strings(&quoted)
}
