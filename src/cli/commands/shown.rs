//! Names, paths and types as `inspect` and `diff` print them.

use std::fmt::Display;

use serde_json::{Map, Value};

use crate::base::{FileKind, printable};

/// A name as a terminal may show it.
pub fn shown(name: &dyn Display) -> String {
    printable(name.to_string().as_bytes()).to_string()
}

/// A path as JSON: `path`, and where that is no UTF-8, its bytes in hexadecimal as `pathHex`.
pub fn path_json(path: &[u8]) -> Map<String, Value> {
    let mut row = Map::from_iter([("path".to_owned(), String::from_utf8_lossy(path).into())]);
    if std::str::from_utf8(path).is_err() {
        row.insert("pathHex".to_owned(), base16ct::lower::encode_string(path).into());
    }
    row
}

/// The type of a file in words.
pub const fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "link",
        FileKind::CharDevice => "character device",
        FileKind::BlockDevice => "block device",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
    }
}
