// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses TOML documents: typed keys, no unknown keys, and every problem with its position in the text.
//!
//! (Serde's derived visitors would take a quarter of the module's size.)

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use toml::Spanned;

/// A problem and its position in the text (bytes). One word in size, so that results that carry it stay small.
#[derive(Clone, Debug)]
pub struct Problem(Box<(Range<usize>, String)>);

impl Problem {
    /// A problem at this position.
    pub fn new(place: Range<usize>, problem: impl Into<String>) -> Self {
        Self(Box::new((place, problem.into())))
    }

    /// Returns the number of the line of its position; the first is 1.
    pub fn line(&self, text: &str) -> usize {
        1 + text.get(..self.0 .0.start).unwrap_or(text).matches('\n').count()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0 .1)
    }
}

/// A value and its position.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Its position.
    pub span: Range<usize>,
}

impl<T> Placed<T> {
    /// Converts the value, or reports a problem with it.
    ///
    /// # Errors
    /// The error of `check` at this value's position.
    pub fn check<U, E: Into<String>>(self, check: impl FnOnce(T) -> Result<U, E>) -> Result<U, Problem> {
        check(self.value).map_err(|problem| Problem::new(self.span, problem))
    }
}

/// A type of TOML values.
pub trait FromToml: Sized {
    /// The name of the type in an error.
    const EXPECTED: &'static str;

    /// Returns the value, if it has this type.
    fn from_toml(value: &DeValue<'_>) -> Option<Self>;
}

impl FromToml for String {
    const EXPECTED: &'static str = "a string";
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl FromToml for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl FromToml for i64 {
    const EXPECTED: &'static str = "an integer";
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let integer = value.as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }
}

/// Seconds, whole or with a fraction of at most nine digits.
impl FromToml for Duration {
    const EXPECTED: &'static str = "seconds, 0 or more";
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let Some(float) = value.as_float() else {
            return i64::from_toml(value).and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        };
        let (seconds, fraction) = float.as_str().split_once('.')?;
        let nanos = format!("{fraction:0<9}");
        Some(Duration::new(seconds.parse().ok()?, nanos.parse().ok().filter(|_| nanos.len() == 9)?))
    }
}

/// One table, whose keys are read one by one.
pub struct Table<'t> {
    name: &'static str,
    entries: DeTable<'t>,
    span: Range<usize>,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    /// Parses a document; returns its top-level table.
    ///
    /// # Errors
    /// A [`Problem`] if the text is not TOML.
    pub fn parse(text: &'t str) -> Result<Self, Problem> {
        let document = DeTable::parse(text)
            .map_err(|error| Problem::new(error.span().unwrap_or_default(), error.message().replace('\n', "; ")))?;
        let span = document.span();
        Ok(Self { name: "", entries: document.into_inner(), span, known: Vec::new() })
    }

    /// Returns the position of the table.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.entries.remove(key)
    }

    /// Returns the key's name in an error.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// Returns the key's value, if it is there.
    ///
    /// # Errors
    /// A [`Problem`] if the value has another type.
    pub fn optional<T: FromToml>(&mut self, key: &'static str) -> Result<Option<Placed<T>>, Problem> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let span = entry.span();
        match T::from_toml(entry.get_ref()) {
            Some(value) => Ok(Some(Placed { value, span })),
            None => {
                let found = entry.get_ref().type_str();
                Err(Problem::new(span, format!("{}: expected {}, found {found}", self.path(key), T::EXPECTED)))
            }
        }
    }

    /// Returns the key's value.
    ///
    /// # Errors
    /// A [`Problem`] if the key is missing, or its value has another type.
    pub fn required<T: FromToml>(&mut self, key: &'static str) -> Result<Placed<T>, Problem> {
        let missing = Problem::new(self.span(), format!("{} is missing: expected {}", self.path(key), T::EXPECTED));
        self.optional(key)?.ok_or(missing)
    }

    /// Returns the tables of `[[key]]` in order; an empty list without the key.
    ///
    /// # Errors
    /// A [`Problem`] if the key has another type.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table<'t>>, Problem> {
        let Some(entry) = self.take(key) else { return Ok(Vec::new()) };
        let wrong = Problem::new(entry.span(), format!("{}: expected tables, [[{}]]", self.path(key), self.path(key)));
        let DeValue::Array(array) = entry.into_inner() else { return Err(wrong) };
        array
            .into_iter()
            .map(|entry| {
                let span = entry.span();
                match entry.into_inner() {
                    DeValue::Table(entries) => Ok(Table { name: key, entries, span, known: Vec::new() }),
                    _ => Err(wrong.clone()),
                }
            })
            .collect()
    }

    /// Ends the table.
    ///
    /// # Errors
    /// A [`Problem`] if the table has an unknown key.
    pub fn finish(self) -> Result<(), Problem> {
        match self.entries.iter().next() {
            None => Ok(()),
            Some((key, _)) => Err(Problem::new(
                key.span(),
                format!("unknown key {}; expected one of {}", self.path(key.get_ref()), self.known.join(", ")),
            )),
        }
    }
}
