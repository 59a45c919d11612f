//! Media types of files, as clients of this door ask for them: firmware, boot loaders, browsers.

/// Types by the end of a name, in small letters. Those of what UEFI's HTTP boot starts are those that EDK II knows
/// (`NetworkPkg/HttpBootDxe`).
const TYPES: [(&str, &str); 19] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", super::reply::TEXT),
    ("log", super::reply::TEXT),
    ("cfg", super::reply::TEXT),
    ("ipxe", super::reply::TEXT),
    ("yml", super::reply::TEXT),
    ("yaml", super::reply::TEXT),
    ("json", "application/json"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("tar", "application/x-tar"),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
    ("iso", "application/vnd.efi-iso"),
    ("img", "application/vnd.efi-img"),
    ("efi", "application/efi"),
];

/// The type of a file by the end of its name.
pub(super) fn of_name(path: &[u8]) -> &'static str {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let end = name.iter().rposition(|byte| *byte == b'.').map(|dot| &name[dot + 1..]).unwrap_or_default();
    let found = TYPES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(end));
    found.map_or("application/octet-stream", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_tells_its_type() {
        let rows = [
            (&b"a/x.ISO"[..], "application/vnd.efi-iso"),
            (b"kernel", "application/octet-stream"),
            (b"a.html/kernel", "application/octet-stream"),
            (b"x.tar.gz", "application/gzip"),
            (b"boot.ipxe", "text/plain; charset=utf-8"),
            (b"", "application/octet-stream"),
        ];
        for (path, kind) in rows {
            assert_eq!(of_name(path), kind, "{}", String::from_utf8_lossy(path));
        }
    }
}
