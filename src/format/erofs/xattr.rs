//! Extended attributes, which stand right behind their inode.
//!
//! # Format
//! `erofs_fs.h`: `erofs_xattr_ibody_header`, `erofs_xattr_entry`. Names lose a prefix that has a number; attributes of
//! other namespaces are left out, as mkfs.erofs does.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::base::Xattr;

/// `erofs_xattr_ibody_header`; no attribute is shared.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct IbodyHeader {
    h_name_filter: U32,
    h_shared_count: u8,
    h_reserved2: [u8; 7],
}

/// `erofs_xattr_entry`; name and value follow.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct XattrEntry {
    e_name_len: u8,
    e_name_index: u8,
    e_value_size: U16,
}

/// Prefixes and their numbers; those of POSIX ACLs are whole names.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];
/// Bytes before the first attribute.
const HEAD: usize = size_of::<IbodyHeader>();
const _: () = assert!(HEAD == 12 && size_of::<XattrEntry>() == 4);
/// The unit of an attribute's size, and of the count in the inode.
const UNIT: usize = 4;

/// The attributes of an inode as they are stored; nothing when it has none.
pub(super) fn encode(xattrs: &[Xattr]) -> Vec<u8> {
    let mut bytes = IbodyHeader::new_zeroed().as_bytes().to_vec();
    for xattr in xattrs {
        let found = PREFIXES.iter().find_map(|(prefix, number)| Some((xattr.name.strip_prefix(*prefix)?, *number)));
        let Some((name, number)) = found else { continue };
        let entry = XattrEntry {
            e_name_len: u8::try_from(name.len()).expect("longer names are refused"),
            e_name_index: number,
            e_value_size: u16::try_from(xattr.value.len()).expect("larger values are refused").into(),
        };
        bytes.extend(entry.as_bytes());
        bytes.extend(name);
        bytes.extend(&xattr.value);
        bytes.resize(bytes.len().next_multiple_of(UNIT), 0);
    }
    if bytes.len() == HEAD { Vec::new() } else { bytes }
}

/// What the inode says of `len` bytes of attributes; `None` when its field is too small.
pub(super) fn count(len: usize) -> Option<u16> {
    u16::try_from(len.checked_sub(HEAD).map_or(0, |len| len / UNIT + 1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_prefix_and_entries_are_padded() {
        let xattr = |name: &str, value: &[u8]| Xattr { name: name.as_bytes().into(), value: value.into() };
        let set = [xattr("security.ab", b"123"), xattr("system.posix_acl_access", b"4567"), xattr("odd", b"8")];
        let bytes = encode(&set);
        assert_eq!(bytes[12..], *b"\x02\x06\x03\0ab123\0\0\0\0\x02\x04\x004567");
        assert_eq!((count(bytes.len()), count(0), count(HEAD + 4 * 65_535)), (Some(6), Some(0), None));
        assert!(encode(&set[2..]).is_empty());
    }
}
