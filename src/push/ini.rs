//! Files of sections with keys and values, as the tools of AWS and Google Cloud keep what they know of the user.
//!
//! # Format
//! "Configuration and credential file settings in the AWS CLI": `[section]`, `key = value`, comments behind `#` or `;` at the
//! beginning of a line. Lines that are indented belong to the key before, and are passed over.

use std::path::Path;

use super::Error;
use crate::base::ErrorKind;
use crate::blob::open_regular;

/// Longest file in bytes.
const MOST: u64 = 1 << 20;

/// A file as it is; nothing where there is none.
///
/// # Errors
/// When it cannot be read, is too long, or no text.
pub(super) fn text(path: &Path) -> Result<Option<String>, Error> {
    use std::io::Read as _;
    let unreadable = || Error::new(ErrorKind::Io, format!("cannot read `{}`", path.display()));
    let file = match open_regular(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| unreadable().because(error))?,
    };
    let mut text = String::new();
    let read = file.take(MOST + 1).read_to_string(&mut text);
    let read = read.map_err(|error| unreadable().because(error))?;
    if read as u64 > MOST { Err(unreadable().because(format!("it has over {MOST} bytes"))) } else { Ok(Some(text)) }
}

/// The value of a key in a section.
pub(super) fn value<'a>(text: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut is_here = false;
    let mut found = None;
    for line in text.lines().filter(|line| !line.starts_with([' ', '\t', '#', ';'])) {
        if let Some(name) = line.trim_end().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_here = name.split_whitespace().eq(section.split_whitespace());
        } else if let Some((_, value)) = line.split_once('=').filter(|(name, _)| is_here && name.trim() == key) {
            found = Some(value.trim());
        }
    }
    found.filter(|value| !value.is_empty())
}

/// Whether there is such a section.
pub(super) fn has(text: &str, section: &str) -> bool {
    let mut names = text.lines().filter_map(|line| line.trim_end().strip_prefix('[')?.strip_suffix(']'));
    names.any(|name| name.split_whitespace().eq(section.split_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_its_section_alone() {
        let text = "# x\n[default]\na = 1\n[profile  b]\na=2 \ns3 =\n  a = 3\n;a = 4\nempty =\n";
        assert_eq!((value(text, "default", "a"), value(text, "profile b", "a")), (Some("1"), Some("2")));
        assert_eq!([value(text, "profile b", "empty"), value(text, "c", "a"), value(text, "default", "b")], [None; 3]);
        assert!(has(text, "profile b") && !has(text, "b"));
    }
}
