// SPDX-License-Identifier: MIT OR Apache-2.0
//! A search for secrets in files, in every usual encoding.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use base64ct::{Base64, Base64Url, Encoding};

/// Bytes of a secret that are searched for as one piece: the chance of eight others with the same values is negligible.
const PIECE: usize = 8;
/// From the beginning of a piece to that of the next one.
const STEP: usize = 4;

/// Every form in which a piece of a secret may be written: its name, and its bytes.
fn forms(piece: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let reversed: Vec<u8> = piece.iter().rev().copied().collect();
    let mut forms = vec![("bytes", piece.to_vec()), ("reversed bytes", reversed.clone())];
    forms.push(("UTF-16, low byte first", piece.iter().flat_map(|byte| [*byte, 0]).collect()));
    forms.push(("UTF-16, high byte first", piece.iter().flat_map(|byte| [0, *byte]).collect()));
    for bytes in [piece, &reversed] {
        for separator in ["", " ", ":", ", ", ", 0x"] {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            forms.push(("hex", digits.join(separator).into_bytes()));
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            forms.push(("hex", digits.join(separator).into_bytes()));
        }
        for separator in [", ", ",", " "] {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            forms.push(("decimal numbers", numbers.join(separator).into_bytes()));
        }
    }
    // After none, one and two bytes of other data: without the characters that hold bits of those or of what follows.
    for (before, from) in [(0, 0), (1, 2), (2, 3)] {
        let bytes = [vec![0; before], piece.to_vec()].concat();
        let whole = bytes.len() * 8 / 6;
        forms.push(("base64", Base64::encode_string(&bytes).as_bytes()[from..whole].to_vec()));
        forms.push(("base64url", Base64Url::encode_string(&bytes).as_bytes()[from..whole].to_vec()));
    }
    forms
}

/// What is looked for.
#[derive(Default)]
pub struct Search {
    secrets: BTreeMap<Vec<u8>, String>,
}

impl Search {
    /// Adds a secret of at least [`PIECE`] bytes, if it is not there yet. Pieces of one repeated byte are left out: a slot may hold
    /// zeros beside a secret.
    pub fn add(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= PIECE, "{name} is too short to be looked for");
        self.secrets.entry(secret.to_vec()).or_insert_with(|| name.to_owned());
    }

    /// The number of different secrets.
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// The findings in each file below a folder: the secret's name and its form. Files without findings are left out.
    pub fn in_files(&self, folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
        let wanted = Wanted::new(&self.secrets);
        let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                let kind = fs::symlink_metadata(&path).unwrap().file_type();
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                let mut here = wanted.within(name.as_bytes());
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    here.extend(wanted.within(&fs::read(&path).unwrap()));
                }
                if !here.is_empty() {
                    found.insert(name, here);
                }
            }
        }
        found
    }
}

/// All forms of all pieces, by their first three bytes; and for each three bytes whether one begins with them, which is
/// faster to look up.
struct Wanted {
    begins: Vec<bool>,
    by_begin: HashMap<u32, Vec<(Vec<u8>, String)>>,
}

impl Wanted {
    fn new(secrets: &BTreeMap<Vec<u8>, String>) -> Self {
        let mut wanted = Self { begins: vec![false; 1 << 24], by_begin: HashMap::new() };
        for (secret, name) in secrets {
            for piece in secret.windows(PIECE).step_by(STEP).filter(|piece| piece.iter().any(|byte| *byte != piece[0]))
            {
                for (form, bytes) in forms(piece) {
                    let begin = bytes[..3].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                    wanted.begins[begin as usize] = true;
                    wanted.by_begin.entry(begin).or_default().push((bytes, format!("{name} as {form}")));
                }
            }
        }
        wanted
    }

    fn within(&self, bytes: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut begin = 0;
        for (at, byte) in bytes.iter().enumerate() {
            begin = begin << 8 & 0xFF_FFFF | u32::from(*byte);
            if self.begins[begin as usize] && at >= 2 {
                let here = self.by_begin[&begin].iter();
                found.extend(here.filter(|(form, _)| bytes[at - 2..].starts_with(form)).map(|(_, name)| name.clone()));
            }
        }
        found
    }
}

/// As other programs write it, within other data.
fn written(secret: &[u8], text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    let mut written = vec![
        ("bytes", secret.to_vec()),
        ("reversed bytes", reversed.clone()),
        ("UTF-16, low byte first", utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect()),
        ("UTF-16, high byte first", utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect()),
        ("hex", base16ct::lower::encode_string(secret).into_bytes()),
        ("hex", base16ct::upper::encode_string(secret).into_bytes()),
        ("hex", base16ct::upper::encode_string(&reversed).into_bytes()),
        ("hex", format!("{secret:02X?}").into_bytes()),
        ("decimal numbers", format!("{secret:?}").into_bytes()),
        ("decimal numbers", format!("{secret:?}").replace(' ', "").into_bytes()),
    ];
    for before in 0..4 {
        let bytes = [&vec![0x5C; before][..], secret, &[0x5C; 5]].concat();
        written.push(("base64", Base64::encode_string(&bytes).into_bytes()));
        written.push(("base64url", Base64Url::encode_string(&bytes).into_bytes()));
    }
    written
}

#[test]
fn a_secret_is_found_in_every_form_and_only_in_its_file() {
    let text = "fjord ÿ glyph".chars().filter(char::is_ascii).collect::<String>();
    let bytes: [u8; 32] = std::array::from_fn(|i| (i as u8).wrapping_mul(73) ^ 0xEB);
    for (secret, text) in [(text.as_bytes().to_vec(), text.clone()), (bytes.to_vec(), String::new())] {
        let mut search = Search::default();
        search.add("it", &secret);
        search.add("another", b"what is nowhere at all");
        for (form, bytes) in written(&secret, &text).into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("a")).unwrap();
            fs::write(folder.path().join("a/planted"), [&b"before"[..], &bytes, b"after"].concat()).unwrap();
            fs::write(folder.path().join("a/other"), [0x5C; 4096]).unwrap();
            let found = search.in_files(folder.path());
            assert_eq!(found.keys().collect::<Vec<_>>(), ["a/planted"], "{form}");
            assert!(found["a/planted"].contains(&format!("it as {form}")), "{form}: {found:?}");
            assert!(!found["a/planted"].iter().any(|name| name.starts_with("another")), "{found:?}");
        }
    }
}

#[test]
fn eleven_bytes_of_a_secret_are_enough_wherever_they_are_from() {
    let secret: [u8; 32] = std::array::from_fn(|i| (i as u8).wrapping_mul(73) ^ 0xEB);
    let mut search = Search::default();
    search.add("it", &secret);
    for part in secret.windows(PIECE + STEP - 1) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("part"), part).unwrap();
        assert_eq!(search.in_files(folder.path()).len(), 1);
    }
}
