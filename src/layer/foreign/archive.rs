//! A tar as Go's `archive/tar` sees it, which is what SOCI's zTOC keeps of one: names, owners and records as they stand in
//! the headers, and where content lies.
//!
//! What the two may see differently, or SOCI's builder refuses, is no error but a reason why the layer gets no zTOC: global
//! headers, sparse files, unknown types, a link with a size.
//!
//! # Format
//! As `pass` reads it. Of a name that does not fit, a pax record or GNU's `L` and `K` tell all.

use std::collections::BTreeMap;

use super::time;
use crate::layer::index::toc_max;
use crate::layer::pass::{checksum_matches, link_name, number, record, until_nul};

const BLOCK: usize = 512;
/// Most bytes of one extended header or long name.
const EXTENDED_MAX: u64 = 1 << 20;

/// An entry as a zTOC has it.
pub(super) struct ArchiveEntry {
    pub(super) kind: &'static str,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) user: Vec<u8>,
    pub(super) group: Vec<u8>,
    /// As RFC 3339 has it.
    pub(super) mtime: String,
    /// First byte of content, and size.
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) mode: i64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) device: (i64, i64),
    /// All pax records.
    pub(super) records: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Reads a tar as it passes.
pub(super) struct Archive {
    /// Offset of the next byte.
    at: u64,
    state: State,
    gathered: Vec<u8>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    entries: Vec<ArchiveEntry>,
    /// Bytes of names and records, and how many there may be.
    kept: u64,
    most: u64,
}

#[derive(Clone, Copy)]
enum State {
    Header,
    /// Behind a block of zeros.
    LastHeader,
    /// An extended header of this many bytes.
    Extension {
        kind: u8,
        len: usize,
    },
    /// Content or padding up to an offset.
    Content {
        until: u64,
    },
    /// Behind the end, which is at this offset.
    End(u64),
}

impl Archive {
    /// Before a tar, which is stored as this many bytes.
    pub(super) fn new(blob_size: u64) -> Self {
        Self {
            at: 0,
            state: State::Header,
            gathered: Vec::new(),
            records: BTreeMap::new(),
            long_name: None,
            long_link: None,
            entries: Vec::new(),
            kept: 0,
            most: toc_max(blob_size),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// A clause that says why there is no zTOC of this tar.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let len = match self.state {
                State::End(_) => return Ok(()),
                State::Content { until } => {
                    usize::try_from(until - self.at).map_or(bytes.len(), |left| left.min(bytes.len()))
                }
                State::Extension { len, .. } => self.gather(bytes, len)?,
                State::Header | State::LastHeader => self.gather(bytes, BLOCK)?,
            };
            self.at += len as u64;
            bytes = &bytes[len..];
            if matches!(self.state, State::Content { until } if until == self.at) {
                self.state = State::Header;
            }
        }
        Ok(())
    }

    /// Ends the tar: its entries, and where its reader stops.
    ///
    /// # Errors
    /// A clause that says why there is no zTOC of this tar.
    pub(super) fn finish(self) -> Result<(Vec<ArchiveEntry>, u64), String> {
        match self.state {
            State::End(at) => Ok((self.entries, at)),
            State::Header | State::LastHeader if self.gathered.is_empty() => Ok((self.entries, self.at)),
            _ => Err("its tar ends within an entry".to_owned()),
        }
    }

    fn gather(&mut self, bytes: &[u8], wanted: usize) -> Result<usize, String> {
        let len = (wanted - self.gathered.len()).min(bytes.len());
        self.gathered.extend_from_slice(&bytes[..len]);
        if self.gathered.len() == wanted {
            let gathered = std::mem::take(&mut self.gathered);
            self.state = self.handle(&gathered, self.at + len as u64)?;
        }
        Ok(len)
    }

    /// Handles what was gathered up to the offset `end`.
    fn handle(&mut self, gathered: &[u8], end: u64) -> Result<State, String> {
        if let State::Extension { kind, .. } = self.state {
            self.extension(kind, gathered)?;
            return Ok(padding(end, end));
        }
        let block: &[u8; BLOCK] = gathered.try_into().expect("a header is gathered as one block");
        match (block.iter().all(|byte| *byte == 0), self.state) {
            (true, State::LastHeader) => return Ok(State::End(end)),
            (true, _) => return Ok(State::LastHeader),
            (false, State::LastHeader) => return Err("its tar has a single block of zeros".to_owned()),
            (false, _) => {}
        }
        if !checksum_matches(block) {
            return Err(format!("its tar has a bad header at byte {}", end - BLOCK as u64));
        }
        match block[156] {
            kind @ (b'x' | b'L' | b'K') => match size(block)? {
                0 => Ok(State::Header),
                len if len <= EXTENDED_MAX => Ok(State::Extension { kind, len: crate::base::in_memory(len) }),
                _ => Err("its tar has an extended header that is too long".to_owned()),
            },
            kind => self.entry(block, kind, end),
        }
    }

    fn extension(&mut self, kind: u8, bytes: &[u8]) -> Result<(), String> {
        match kind {
            b'L' => self.long_name = Some(until_nul(bytes).to_vec()),
            b'K' => self.long_link = Some(until_nul(bytes).to_vec()),
            _ => self.records = records_of(bytes)?,
        }
        Ok(())
    }

    fn entry(&mut self, block: &[u8; BLOCK], kind: u8, end: u64) -> Result<State, String> {
        let records = std::mem::take(&mut self.records);
        let (long_name, long_link) = (self.long_name.take(), self.long_link.take());
        let said = |key: &[u8]| records.get(key).filter(|value| !value.is_empty()).cloned();
        let (path, link) = (said(b"path"), said(b"linkpath"));
        if (long_name.is_some() && path.is_some()) || (long_link.is_some() && link.is_some()) {
            return Err("its tar names an entry twice, as pax and as GNU do".to_owned());
        }
        let name = long_name.or(path).unwrap_or_else(|| short_name(block));
        let link = long_link.or(link).unwrap_or_else(|| link_name(block));
        let kind = kind_of(kind, &name)?;
        let size = said(b"size").map_or_else(|| size(block), |text| decimal(&text))?;
        if kind != "reg" && size > 0 {
            return Err("its tar has an entry with a size that only files can have".to_owned());
        }
        let is_ustar = block[257..262] == *b"ustar";
        let device = |range: std::ops::Range<usize>| if is_ustar { number(&block[range]) } else { Ok(0) };
        let (seconds, nanoseconds) =
            said(b"mtime").map_or_else(|| Ok((number(&block[136..148])?, 0)), |text| pax_time(&text))?;
        let mtime = time::written(seconds, nanoseconds).ok_or("its tar has a time that RFC 3339 cannot write")?;
        let entry = ArchiveEntry {
            kind,
            name,
            link,
            user: said(b"uname").unwrap_or_else(|| until_nul(&block[265..297]).to_vec()),
            group: said(b"gname").unwrap_or_else(|| until_nul(&block[297..329]).to_vec()),
            mtime,
            offset: end,
            size,
            mode: number(&block[100..108])?,
            uid: owner(said(b"uid"), &block[108..116])?,
            gid: owner(said(b"gid"), &block[116..124])?,
            device: (device(329..337)?, device(337..345)?),
            records,
        };
        self.keep(entry)?;
        let content = end.checked_add(size).filter(|end| end.checked_next_multiple_of(BLOCK as u64).is_some());
        Ok(padding(end, content.ok_or("its tar has an entry of an impossible size")?))
    }

    fn keep(&mut self, entry: ArchiveEntry) -> Result<(), String> {
        let records = entry.records.iter().map(|(key, value)| key.len() + value.len());
        let bytes = entry.name.len() + entry.link.len() + records.sum::<usize>();
        self.kept += bytes as u64;
        if self.kept > self.most {
            return Err("its tar has more names, links and attributes than a layer of its size may have".to_owned());
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// The state at `at` of content that ends at `end`.
const fn padding(at: u64, end: u64) -> State {
    match end.next_multiple_of(BLOCK as u64) {
        until if until == at => State::Header,
        until => State::Content { until },
    }
}

fn kind_of(kind: u8, name: &[u8]) -> Result<&'static str, String> {
    match kind {
        0 if name.ends_with(b"/") => Ok("dir"),
        0 | b'0' => Ok("reg"),
        b'1' => Ok("hardlink"),
        b'2' => Ok("symlink"),
        b'3' => Ok("char"),
        b'4' => Ok("block"),
        b'5' => Ok("dir"),
        b'6' => Ok("fifo"),
        b'g' => Err("its tar has a global header".to_owned()),
        b'S' => Err("its tar has a sparse file".to_owned()),
        other => Err(format!("its tar has an entry of type `{}`", other.escape_ascii())),
    }
}

/// The name, with the prefix that headers of POSIX have.
fn short_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = if block[257..263] == *b"ustar\0" { until_nul(&block[345..500]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn size(block: &[u8; BLOCK]) -> Result<u64, String> {
    u64::try_from(number(&block[124..136])?).map_err(|_| "its tar has a negative size".to_owned())
}

fn records_of(mut bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let (key, value, rest) = record(bytes).ok_or("its tar has a malformed record")?;
        if key.is_empty() || key.contains(&0) || (is_text(key) && value.contains(&0)) {
            return Err("its tar has a record with a NUL in it".to_owned());
        }
        if key.starts_with(b"GNU.sparse.") {
            return Err("its tar has a sparse file".to_owned());
        }
        records.insert(key.to_vec(), value.to_vec());
        bytes = rest;
    }
    Ok(records)
}

/// Records that Go takes for text.
fn is_text(key: &[u8]) -> bool {
    [&b"path"[..], b"linkpath", b"uname", b"gname"].contains(&key)
}

fn decimal(text: &[u8]) -> Result<u64, String> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| "its tar has a record that is no number".to_owned())
}

fn owner(said: Option<Vec<u8>>, field: &[u8]) -> Result<u32, String> {
    let value = match said {
        Some(text) => decimal(&text)?,
        None => u64::try_from(number(field)?).map_err(|_| "its tar has a negative owner".to_owned())?,
    };
    u32::try_from(value).map_err(|_| format!("its tar has the owner {value}, which a zTOC cannot tell"))
}

/// Seconds and nanoseconds since 1970 of a pax time; digits behind the ninth are cut.
fn pax_time(text: &[u8]) -> Result<(i64, u32), String> {
    let malformed = || "its tar has a time that is no number".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| malformed())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| malformed())?;
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(malformed());
    }
    let digits = format!("{:0<9}", &fraction[..fraction.len().min(9)]);
    let nanoseconds: u32 = digits.parse().map_err(|_| malformed())?;
    match text.starts_with('-') && nanoseconds > 0 {
        true => Ok((seconds.checked_sub(1).ok_or_else(malformed)?, 1_000_000_000 - nanoseconds)),
        false => Ok((seconds, nanoseconds)),
    }
}
