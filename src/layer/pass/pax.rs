//! PAX extended headers: what they say about the next entry, or about all that follow.
//!
//! # Format
//! POSIX.1-2024 `pax`, "pax Extended Header": records `LEN KEY=VALUE\n`, where LEN counts the whole record. Keys beyond
//! POSIX: `SCHILY.xattr.*` (star) and `GNU.sparse.*` (GNU tar manual, "Storing Sparse Files").
//!
//! The `tar` crate's own reader splits records at line ends, which breaks binary attribute values.

use std::collections::BTreeMap;

use super::header::{check_length, decimal, shortened};
use super::sparse::check_map;
use crate::base::{Xattr, Xattrs};

/// Star's prefix of extended attributes.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// Most bytes of attributes that headers may give one entry, names and values together: as many as one header holds.
pub(crate) const LOCAL_MAX: usize = 1 << 20;
/// The same of global headers. Every entry with attributes of its own gets a copy, so it must stay in proportion to the
/// blocks such an entry takes in the tar.
pub(crate) const GLOBAL_MAX: usize = 1 << 10;

/// What extended headers say; later records and later headers win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    /// Instead of the header's name.
    pub(crate) path: Option<Vec<u8>>,
    /// Instead of the header's link target.
    pub(crate) link: Option<Vec<u8>>,
    /// Instead of the header's size.
    pub(crate) size: Option<u64>,
    /// Instead of the header's owner.
    pub(crate) uid: Option<u32>,
    /// Instead of the header's group.
    pub(crate) gid: Option<u32>,
    /// Instead of the header's time, in whole seconds.
    pub(crate) mtime: Option<i64>,
    /// Extended attributes.
    pub(crate) xattrs: Attributes,
    /// GNU's sparse records.
    pub(crate) sparse: Sparse,
}

/// Extended attributes as they are gathered, within Linux' limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of all names with a NUL behind each.
    names: usize,
    /// Bytes of all names and values.
    bytes: usize,
}

/// `GNU.sparse.*`, all three versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// The real name, in versions 0.1 and 1.0.
    pub(crate) name: Option<Vec<u8>>,
    /// The real size.
    pub(crate) size: Option<u64>,
    /// Offsets and lengths in turn, in versions 0.0 and 0.1.
    pub(crate) map: Vec<u64>,
    /// Whether this is version 1.0, whose map stands before the content.
    pub(crate) map_in_content: bool,
}

impl Extended {
    /// Takes the records of one extended header; all headers together may give `most` bytes of attributes.
    ///
    /// # Errors
    /// When a record is malformed, or a value that matters is, or is larger than a file can have it.
    pub(crate) fn apply(&mut self, mut records: &[u8], most: usize) -> Result<(), String> {
        while !until_padding(records).is_empty() {
            let (key, value, rest) = record(records).ok_or("an extended header has a malformed record")?;
            self.set(key, value, most)?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], most: usize) -> Result<(), String> {
        if let Some(name) = key.strip_prefix(XATTR) {
            return self.xattrs.set(name, value, most);
        }
        // An empty value takes back what an earlier header said.
        let given = !value.is_empty();
        match key {
            b"path" => self.path = path(value, "name")?,
            b"linkpath" => self.link = path(value, "link target")?,
            b"size" => self.size = given.then(|| decimal(value)).transpose()?,
            b"uid" => self.uid = given.then(|| word(value)).transpose()?,
            b"gid" => self.gid = given.then(|| word(value)).transpose()?,
            b"mtime" => self.mtime = given.then(|| seconds(value)).transpose()?,
            b"GNU.sparse.name" => self.sparse.name = path(value, "name")?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(decimal(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                check_map(self.sparse.map.len() as u64 + 1)?;
                self.sparse.map.push(decimal(value)?);
            }
            b"GNU.sparse.map" => {
                check_map(value.len() as u64 / 2)?;
                self.sparse.map = value.split(|b| *b == b',').map(decimal).collect::<Result<_, _>>()?;
            }
            b"GNU.sparse.major" => self.sparse.map_in_content = decimal(value)? == 1,
            _ => {}
        }
        Ok(())
    }
}

impl Attributes {
    /// Takes an attribute in place of one of the same name; all together may have `most` bytes.
    ///
    /// # Errors
    /// When a file cannot have it, or not with the others.
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8], most: usize) -> Result<(), String> {
        if name.is_empty() || name.contains(&0) {
            return Err("an extended attribute has no valid name".to_owned());
        }
        check_attribute("name", name.len(), Xattrs::NAME_MAX)?;
        check_attribute("value", value.len(), Xattrs::VALUE_MAX)?;
        if let Some(old) = self.values.insert(name.to_vec(), value.to_vec()) {
            self.bytes -= old.len();
        } else {
            self.names += name.len() + 1;
            self.bytes += name.len();
        }
        self.bytes += value.len();
        if self.names > Xattrs::LIST_MAX {
            return Err(format!("the names of its extended attributes have over {} bytes", Xattrs::LIST_MAX));
        }
        if self.bytes > most {
            return Err(format!("extended attributes of {} bytes are over {most}", self.bytes));
        }
        Ok(())
    }

    /// Takes those that it has not got itself.
    ///
    /// # Errors
    /// When there are then more than a file can have.
    pub(crate) fn inherit(&mut self, others: &Self) -> Result<(), String> {
        for (name, value) in &others.values {
            if !self.values.contains_key(name) {
                self.set(name, value, LOCAL_MAX + GLOBAL_MAX)?;
            }
        }
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The set that entries share.
    pub(crate) fn share(&self) -> Xattrs {
        self.values.iter().map(|(name, value)| Xattr { name: name[..].into(), value: value[..].into() }).collect()
    }
}

impl Sparse {
    /// Whether the entry is sparse at all.
    pub(crate) const fn is_sparse(&self) -> bool {
        self.map_in_content || !self.map.is_empty() || self.size.is_some()
    }
}

fn check_attribute(what: &str, len: usize, most: usize) -> Result<(), String> {
    if len > most {
        return Err(format!("an extended attribute has a {what} of {len} bytes, over {most}"));
    }
    Ok(())
}

/// A path that a record gives; an empty one takes back what an earlier header said.
fn path(value: &[u8], what: &str) -> Result<Option<Vec<u8>>, String> {
    check_length(value, what)?;
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// Some writers pad the records with NULs.
fn until_padding(records: &[u8]) -> &[u8] {
    if records.iter().all(|b| *b == 0) { &[] } else { records }
}

/// The first record: key, value, what follows; `None` when it is malformed.
pub(crate) fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|b| *b == b' ')?;
    let len = usize::try_from(decimal(&records[..space]).ok()?).ok()?;
    let (record, rest) = records.split_at_checked(len)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

fn word(text: &[u8]) -> Result<u32, String> {
    let value = decimal(text)?;
    u32::try_from(value).map_err(|_| format!("owner {value} does not fit in 32 bits"))
}

/// Seconds since 1970, rounded down from a decimal fraction.
fn seconds(text: &[u8]) -> Result<i64, String> {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = match digits.iter().position(|b| *b == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &[][..]),
    };
    let malformed = || format!("`{}` is not a time", shortened(text));
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let whole = i64::try_from(decimal(whole)?).map_err(|_| malformed())?;
    let rounded_up = fraction.iter().any(|b| *b != b'0');
    Ok(if negative { -whole - i64::from(rounded_up) } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(records: &[u8]) -> Result<Extended, String> {
        let mut extended = Extended::default();
        extended.apply(records, LOCAL_MAX).map(|()| extended)
    }

    #[test]
    fn records_hold_any_bytes() {
        let extended = applied(b"31 SCHILY.xattr.user.k=\n\0=\xff 1\n\n12 path=a/b\n10 uid=12\n").unwrap();
        let [Xattr { name, value }] = &extended.xattrs.share()[..] else { panic!("{extended:?}") };
        assert_eq!((&name[..], &value[..]), (&b"user.k"[..], &b"\n\0=\xff 1\n"[..]));
        assert_eq!((extended.path, extended.uid), (Some(b"a/b".to_vec()), Some(12)));
    }

    #[test]
    fn attributes_have_the_limits_of_linux() {
        let set = |name: usize, value: usize, most| {
            Attributes::default().set(&vec![b'n'; name], &vec![b'v'; value], most).err()
        };
        assert_eq!(set(255, 65_536, LOCAL_MAX), None);
        let message = |what, len, most| Some(format!("an extended attribute has a {what} of {len} bytes, over {most}"));
        assert_eq!(set(256, 1, LOCAL_MAX), message("name", 256, 255));
        assert_eq!(set(1, 65_537, LOCAL_MAX), message("value", 65_537, 65_536));
        assert_eq!(set(24, 1000, GLOBAL_MAX), None);
        assert_eq!(set(25, 1000, GLOBAL_MAX), Some("extended attributes of 1025 bytes are over 1024".to_owned()));
    }

    #[test]
    fn an_attribute_that_is_set_again_counts_once() {
        let mut attributes = Attributes::default();
        (0..100).for_each(|_| attributes.set(b"user.a", &[b'v'; 1000], GLOBAL_MAX).unwrap());
        assert_eq!((attributes.names, attributes.bytes), (7, 1006));
        let names = (0..400).try_for_each(|n| attributes.set(format!("{n:0200}").as_bytes(), b"", LOCAL_MAX));
        assert_eq!(names, Err("the names of its extended attributes have over 65536 bytes".to_owned()));
    }

    #[test]
    fn times_round_down() {
        let table =
            [("12.9", Some(12)), ("-1.5", Some(-2)), ("-1.0", Some(-1)), ("0", Some(0)), ("1.x", None), ("", None)];
        for (text, value) in table {
            assert_eq!(seconds(text.as_bytes()).ok(), value, "{text}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for records in
            [&b"5 a=b\n"[..], b"x path=a\n", b"12 path=a/b", b"99 path=a\n", b"8 path \n", b"0 \n", b"13 size=1e99\n"]
        {
            assert!(applied(records).is_err(), "{}", records.escape_ascii());
        }
        assert_eq!(applied(b"9 path=a\n\0\0").unwrap().path, Some(b"a".to_vec()));
        assert_eq!(applied(b"9 path=a\n8 path=\n").unwrap().path, None);
    }
}
