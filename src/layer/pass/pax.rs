//! PAX extended headers: what they say about the next entry, or about all that follow.
//!
//! # Format
//! POSIX.1-2024 `pax`, "pax Extended Header": records `LEN KEY=VALUE\n`, where LEN counts the whole record. Keys beyond
//! POSIX: `SCHILY.xattr.*` (star) and `GNU.sparse.*` (GNU tar manual, "Storing Sparse Files").
//!
//! The `tar` crate's own reader splits records at line ends, which breaks binary attribute values.

use std::collections::BTreeMap;

use super::sparse::check_map;

/// Star's prefix of extended attributes.
const XATTR: &[u8] = b"SCHILY.xattr.";

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
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// GNU's sparse records.
    pub(crate) sparse: Sparse,
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
    /// Takes the records of one extended header.
    ///
    /// # Errors
    /// When a record is malformed, or a value that matters is.
    pub(crate) fn apply(&mut self, mut records: &[u8]) -> Result<(), String> {
        while !until_padding(records).is_empty() {
            let (key, value, rest) = record(records).ok_or("an extended header has a malformed record")?;
            self.set(key, value)?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if let Some(name) = key.strip_prefix(XATTR) {
            if name.is_empty() || name.contains(&0) {
                return Err("an extended attribute has no valid name".to_owned());
            }
            self.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        // An empty value takes back what an earlier header said.
        let given = !value.is_empty();
        match key {
            b"path" => self.path = given.then(|| value.to_vec()),
            b"linkpath" => self.link = given.then(|| value.to_vec()),
            b"size" => self.size = given.then(|| decimal(value)).transpose()?,
            b"uid" => self.uid = given.then(|| word(value)).transpose()?,
            b"gid" => self.gid = given.then(|| word(value)).transpose()?,
            b"mtime" => self.mtime = given.then(|| seconds(value)).transpose()?,
            b"GNU.sparse.name" => self.sparse.name = given.then(|| value.to_vec()),
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

impl Sparse {
    /// Whether the entry is sparse at all.
    pub(crate) const fn is_sparse(&self) -> bool {
        self.map_in_content || !self.map.is_empty() || self.size.is_some()
    }
}

/// Some writers pad the records with NULs.
fn until_padding(records: &[u8]) -> &[u8] {
    if records.iter().all(|b| *b == 0) { &[] } else { records }
}

/// The first record: key, value, what follows.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|b| *b == b' ')?;
    let len = usize::try_from(decimal(&records[..space]).ok()?).ok()?;
    let (record, rest) = records.split_at_checked(len)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

/// A decimal number.
///
/// # Errors
/// When it is none, or exceeds 64 bits.
pub(crate) fn decimal(text: &[u8]) -> Result<u64, String> {
    let value = text.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    value.filter(|_| !text.is_empty()).ok_or_else(|| format!("`{}` is not a number", shortened(text)))
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

/// A value for a message.
fn shortened(text: &[u8]) -> String {
    text[..text.len().min(40)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(records: &[u8]) -> Result<Extended, String> {
        let mut extended = Extended::default();
        extended.apply(records).map(|()| extended)
    }

    #[test]
    fn records_hold_any_bytes() {
        let extended = applied(b"31 SCHILY.xattr.user.k=\n\0=\xff 1\n\n12 path=a/b\n10 uid=12\n").unwrap();
        assert_eq!(extended.xattrs, BTreeMap::from([(b"user.k".to_vec(), b"\n\0=\xff 1\n".to_vec())]));
        assert_eq!((extended.path, extended.uid), (Some(b"a/b".to_vec()), Some(12)));
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
