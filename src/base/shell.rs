//! Words as a POSIX shell takes them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::printable::steers;

/// Words as a shell takes them for one command.
pub fn shell_line<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> String {
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// The same of a command and the path that it is about.
pub fn shell_line_on(command: &[&str], path: &Path) -> String {
    shell_line(command.iter().map(OsStr::new).chain([path.as_os_str()]))
}

/// A word for a POSIX shell; quoted only where it must be.
fn quoted(word: &OsStr) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./,:=+@%".contains(&b);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        Some(text) if !text.contains(steers) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => dollar_quoted(word.as_bytes()),
    }
}

/// A word between `$'` and `'` (POSIX.1-2024, section 2.2.4), for bytes that a terminal does not show as they are.
fn dollar_quoted(word: &[u8]) -> String {
    let escaped = word.iter().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        // Of exactly three digits, so that no digit that follows is taken for one of them.
        _ => format!("\\{byte:03o}"),
    });
    format!("$'{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_steer_a_terminal_or_are_no_text_are_quoted_byte_by_byte() {
        let rows: [(&[u8], &str); 3] = [
            (b"a\x1b[2J7'\\\n", r"$'a\033[2J7\'\\\012'"),
            (b"x\xff,", r"$'x\377,'"),
            ("\u{202e}".as_bytes(), r"$'\342\200\256'"),
        ];
        for (word, shown) in rows {
            assert_eq!(quoted(OsStr::from_bytes(word)), shown);
        }
        assert_eq!(shell_line_on(&["mkdir", "-p"], Path::new("a b/it's")), r"mkdir -p 'a b/it'\''s'");
    }
}
