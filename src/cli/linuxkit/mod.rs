//! linuxkit's command line, as its users' scripts write it, in lkit's words.
//!
//! A program that is called `linuxkit`, and `lkit linuxkit …`, take flags with one dash or two, before and after the
//! command, and mean by them what linuxkit means. Options of lkit are taken as well, so only what differs is written down,
//! in `table`. Nothing is looked up and nothing is run here: words go in, words come out.

mod help;
mod line;
mod meaning;
mod table;
mod word;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Command;

use self::line::Line;
use self::table::{FLAGS, NOT_DONE};
use super::report::Failure;

/// The version of linuxkit whose command line this is.
const VERSION: &str = "v1.8.2";
/// What a program is called that takes linuxkit's command line, or what its name begins with before a dash.
const NAME: &str = "linuxkit";

/// What the environment says to linuxkit.
#[derive(Debug, Default)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `LINUXKIT_CACHE`.
    pub cache: Option<OsString>,
    /// `LKIT_CACHE`, which our own parser reads.
    pub own_cache: Option<OsString>,
    /// `LINUXKIT_MIRROR`: mirrors with commas or spaces between them.
    pub mirrors: Option<OsString>,
    /// `LINUXKIT_CONFIG`.
    pub config: Option<OsString>,
    /// `LINUXKIT_QEMU_ACCEL`.
    pub accelerator: Option<OsString>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            home: variable("HOME").map(PathBuf::from),
            cache: variable("LINUXKIT_CACHE"),
            own_cache: variable("LKIT_CACHE"),
            mirrors: variable("LINUXKIT_MIRROR"),
            config: variable("LINUXKIT_CONFIG"),
            accelerator: variable("LINUXKIT_QEMU_ACCEL"),
        }
    }
}

/// What a command line of linuxkit comes to.
#[derive(Debug)]
pub enum Meant {
    /// A command line of lkit, the name of the program first.
    Call {
        /// Its words.
        words: Vec<OsString>,
        /// What of linuxkit's has no effect, and why.
        warnings: Vec<String>,
    },
    /// A text that answers it.
    Answer(String),
}

/// What follows the name of the program in a command line of linuxkit; nothing when it is one of lkit.
pub fn addressed(words: &[OsString]) -> Option<&[OsString]> {
    let (program, rest) = words.split_first()?;
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    if name == NAME || name.strip_prefix(NAME).is_some_and(|rest| rest.starts_with('-')) {
        return Some(rest);
    }
    rest.split_first().filter(|(first, _)| *first == NAME).map(|(_, rest)| rest)
}

/// What a command line of linuxkit means.
///
/// # Errors
/// When it is none, or asks for what lkit does not do.
pub fn meant(words: &[OsString], program: &Command, environment: &Environment) -> Result<Meant, Failure> {
    Line::of(words, program, environment)?.meant()
}

/// Whether linuxkit's `command` has a flag of this name that lkit's does not have.
pub fn has_flag(command: &str, name: &str) -> bool {
    [FLAGS, NOT_DONE].iter().any(|flags| table::find(flags, command, name).is_some())
}

#[cfg(test)]
mod tests;
