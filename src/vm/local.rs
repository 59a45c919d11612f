//! Paths as monitors take them: always a file of this machine, never a protocol or a list of options.
//!
//! # Format
//! QEMU takes what stands before the first `:` of a name for a protocol (`nbd:`, `fat:`, `json:`), unless a `/` comes
//! first (`path_has_protocol` in block.c). Its option lists end a value at a comma, and take two commas for one
//! (`get_opt_value` in util/qemu-option.c).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The path with `./` in front where that is needed: what begins with a directory is no protocol and no option.
pub fn local(path: &Path) -> PathBuf {
    let begins_with_a_directory =
        ["/", "./", "../"].iter().any(|begin| path.as_os_str().as_bytes().starts_with(begin.as_bytes()));
    if begins_with_a_directory { path.to_owned() } else { Path::new(".").join(path) }
}

/// The same as a value in a list of options.
pub(super) fn value(path: &Path) -> OsString {
    let path = local(path).into_os_string().into_vec();
    OsString::from_vec(path.split(|byte| *byte == b',').collect::<Vec<_>>().join(&b",,"[..]))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn no_name_is_a_protocol_an_option_or_a_list() {
        let rows: [(&[u8], &[u8]); 10] = [
            (b"x:y.img", b"./x:y.img"),
            (b"fat:rw:/etc", b"./fat:rw:/etc"),
            (b"json:{\"driver\":\"nbd\"}", b"./json:{\"driver\":\"nbd\"}"),
            (b"-snapshot", b"./-snapshot"),
            (b"a,b,,c.img", b"./a,,b,,,,c.img"),
            (b"/m/a,readonly=off", b"/m/a,,readonly=off"),
            (b"\xff,x=y", b"./\xff,,x=y"),
            (b"../x:y", b"../x:y"),
            (b".x:y", b"./.x:y"),
            (b"./x", b"./x"),
        ];
        for (path, expected) in rows {
            assert_eq!(value(Path::new(OsStr::from_bytes(path))).as_bytes(), expected);
        }
    }
}
