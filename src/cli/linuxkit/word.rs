//! A word of a command line: a flag with one dash or two, perhaps with its value, or something else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// What a word is.
#[derive(Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// `--`: no flags follow.
    End,
    /// A flag.
    Flag(Given<'a>),
    /// Anything else, `-` included.
    Plain(&'a OsStr),
}

/// A flag as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given<'a> {
    /// Its name without dashes and value.
    pub name: &'a str,
    /// What follows `=`.
    pub value: Option<&'a OsStr>,
    /// Whether it has one dash.
    pub is_single: bool,
}

impl<'a> Word<'a> {
    /// What `word` is. A flag whose name is not UTF-8 counts as a plain word.
    pub fn of(word: &'a OsStr) -> Self {
        let bytes = word.as_bytes();
        let Some(rest) = bytes.strip_prefix(b"-").filter(|rest| !rest.is_empty()) else { return Self::Plain(word) };
        let (rest, is_single) = rest.strip_prefix(b"-").map_or((rest, true), |rest| (rest, false));
        if rest.is_empty() {
            return Self::End;
        }
        let at = rest.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((rest, None), |at| (&rest[..at], Some(OsStr::from_bytes(&rest[at + 1..]))));
        std::str::from_utf8(name).map_or(Self::Plain(word), |name| Self::Flag(Given { name, value, is_single }))
    }
}

impl Given<'_> {
    /// The flag for messages.
    pub fn shown(&self) -> String {
        format!("{}{}", if self.is_single { "-" } else { "--" }, self.name)
    }

    /// Whether a switch is on, as Go reads it; `None` for what is neither.
    pub fn is_on(&self) -> Option<bool> {
        let Some(value) = self.value else { return Some(true) };
        match value.to_str()? {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        }
    }
}

/// `--name=value`, or `--name`.
pub fn option(name: &str, value: Option<&OsStr>) -> OsString {
    let mut word = OsString::from(format!("--{name}"));
    if let Some(value) = value {
        word.push("=");
        word.push(value);
    }
    word
}
