//! A scanner of tar streams: fed with the decoded bytes as they pass, it keeps the headers and skips the content.
//!
//! # Format
//! POSIX.1-2024 `pax` (ustar and pax), v7, and GNU tar's `L`, `K` and `S` entries. Two zero blocks end the archive, the
//! end of the data does too. What only a header can have (links, devices, directories) has no content whatever its
//! size field says, as Go's reader and so every container runtime takes it.
//!
//! # Invariants
//! - Memory beside the table of contents is bounded by [`EXTENDED_MAX`] and the bounds of attributes, paths and sparse
//!   maps, whatever headers claim.
//! - Time is in proportion to the tar: a byte of it is looked at once, and what a global header says is shared by the
//!   entries behind it.

use super::header::{check_length, check_name, checksum_matches, link_name, name, number, unsigned, until_nul, word};
use super::pax::{Attributes, Extended, GLOBAL_MAX, LOCAL_MAX};
use super::sparse::{self, LeadingMap, check_map};
use crate::base::{FileKind, Metadata, Xattrs};
use crate::layer::error::Error;
use crate::layer::index::{Body, Entry, TocBuilder, toc_max};

/// Bytes in a block; headers and content start at multiples of it.
const BLOCK: usize = 512;
/// Most bytes of one extended header or long name; they are held in memory.
const EXTENDED_MAX: u64 = 1 << 20;

/// A scanner in the middle of a tar.
pub(crate) struct Scanner {
    /// Offset of the next byte of the stream.
    at: u64,
    /// Added to every content offset.
    base: u64,
    state: State,
    /// What is gathered of a block, an extended header or a map.
    gathered: Vec<u8>,
    /// Offset of the header being handled, for messages.
    header_at: u64,
    global: Extended,
    /// The attributes of `global`, for entries that have no others.
    global_xattrs: Xattrs,
    local: Extended,
    toc: TocBuilder,
    /// Most bytes that the table of contents may have.
    toc_max: u64,
}

/// What the next bytes are.
enum State {
    /// A header block.
    Header,
    /// A header block, behind one of zeros.
    LastHeader,
    /// Content up to an offset, then padding up to another.
    Content { end: u64, padded: u64 },
    /// So many bytes that say something about an entry.
    Extension { kind: u8, len: usize },
    /// An extension block of an old GNU sparse header.
    SparseExtension(Box<SparseFile>),
    /// The map before the content of a PAX 1.0 sparse file.
    LeadingMap(Box<SparseFile>, LeadingMap),
    /// Anything: the archive is over.
    End,
}

/// A sparse file whose map is not complete yet.
struct SparseFile {
    path: Vec<u8>,
    metadata: Metadata,
    xattrs: Xattrs,
    /// Size with holes.
    size: u64,
    /// Size in the tar.
    stored: u64,
    pairs: Vec<u64>,
}

type Outcome = Result<State, String>;

impl Scanner {
    /// A scanner at the start of a tar that lies at `base` in the diff its entries' offsets count in.
    pub(crate) fn new(base: u64) -> Self {
        Self {
            at: 0,
            base,
            state: State::Header,
            gathered: Vec::new(),
            header_at: 0,
            global: Extended::default(),
            global_xattrs: Xattrs::default(),
            local: Extended::default(),
            toc: TocBuilder::default(),
            toc_max: u64::MAX,
        }
    }

    /// The same for a tar that is stored as `blob_size` bytes: names, links and attributes that compress to nothing are
    /// taken only up to a size.
    pub(crate) fn within(self, blob_size: u64) -> Self {
        Self { toc_max: toc_max(blob_size), ..self }
    }

    /// Adds an entry to the table of contents.
    fn keep(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        self.toc.push(entry);
        match self.toc.len() {
            len if len > self.toc_max => Err(format!(
                "names, links and attributes take more than {} bytes, which is too much for a layer of this size",
                self.toc_max
            )),
            _ => Ok(()),
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// At the first header that is damaged or lies.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let len = match &self.state {
                State::End => bytes.len(),
                State::Content { padded, .. } => self.skip(*padded, bytes.len()),
                _ => self.gather(bytes)?,
            };
            self.at += len as u64;
            bytes = &bytes[len..];
            if matches!(self.state, State::Content { padded, .. } if padded == self.at) {
                self.state = State::Header;
            }
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// When it ends inside a header or content.
    pub(crate) fn finish(self) -> Result<TocBuilder, Error> {
        let whole = match &self.state {
            State::Header | State::LastHeader => self.gathered.is_empty(),
            State::Content { end, .. } => *end <= self.at,
            State::End => true,
            _ => false,
        };
        if whole { Ok(self.toc) } else { Err(self.error("the archive ends within this entry".to_owned())) }
    }

    fn skip(&self, until: u64, available: usize) -> usize {
        usize::try_from(until - self.at).map_or(available, |left| left.min(available))
    }

    /// Gathers what the state wants of `bytes` and handles it when it is complete. Returns the number taken.
    fn gather(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if self.gathered.is_empty() && matches!(self.state, State::Header | State::LastHeader) {
            self.header_at = self.at;
        }
        let wanted = match self.state {
            State::Extension { len, .. } => len,
            _ => BLOCK,
        };
        let len = (wanted - self.gathered.len()).min(bytes.len());
        self.gathered.extend_from_slice(&bytes[..len]);
        if self.gathered.len() == wanted {
            let state = std::mem::replace(&mut self.state, State::End);
            let mut gathered = std::mem::take(&mut self.gathered);
            let next = self.handle(state, &mut gathered, self.at + len as u64);
            self.state = next.map_err(|problem| self.error(problem))?;
            self.gathered = gathered;
        }
        Ok(len)
    }

    /// Handles what was gathered, up to the offset `end`, and empties it.
    fn handle(&mut self, state: State, gathered: &mut Vec<u8>, end: u64) -> Outcome {
        let next = match state {
            State::Header | State::LastHeader => {
                let block = gathered.as_slice().try_into().expect("a header is gathered block by block");
                self.header(block, matches!(state, State::LastHeader), end)?
            }
            State::Extension { kind, len } => self.extension(kind, &gathered[..len], end)?,
            State::SparseExtension(mut file) => {
                file.pairs.extend(sparse::old_pairs(&gathered[..504])?);
                self.old_sparse(file, gathered[504] != 0, end)?
            }
            State::LeadingMap(file, mut map) => match map.push(gathered)? {
                true => self.sparse_file(*file, map.numbers(), map.len(), end)?,
                false if map.len() >= file.stored => return Err("the sparse map does not end".to_owned()),
                false => State::LeadingMap(file, map),
            },
            State::Content { .. } | State::End => state,
        };
        gathered.clear();
        Ok(next)
    }

    fn header(&mut self, block: &[u8; BLOCK], last: bool, end: u64) -> Outcome {
        if block.iter().all(|b| *b == 0) {
            return Ok(if last { State::End } else { State::LastHeader });
        }
        if last {
            return Err("a single block of zeros stands before it".to_owned());
        }
        if !checksum_matches(block) {
            return Err("its checksum does not match".to_owned());
        }
        let size = || unsigned(&block[124..136]);
        match block[156] {
            kind @ (b'x' | b'X' | b'g' | b'L' | b'K') => extension_of(kind, size()?),
            b'V' => self.content(size()?, end),
            kind => self.entry(block, kind, end),
        }
    }

    /// Takes what an extended header or long name says of the next entry.
    fn extension(&mut self, kind: u8, bytes: &[u8], end: u64) -> Outcome {
        match kind {
            b'g' => {
                self.global.apply(bytes, GLOBAL_MAX)?;
                // As container runtimes have it, one name for all files is none; kept, it would be part of every entry.
                (self.global.path, self.global.link) = (None, None);
                self.global_xattrs = self.global.xattrs.share();
            }
            b'L' => self.local.path = Some(long(bytes, "name")?),
            b'K' => self.local.link = Some(long(bytes, "link target")?),
            _ => self.local.apply(bytes, LOCAL_MAX)?,
        }
        self.content(0, end)
    }

    fn entry(&mut self, block: &[u8; BLOCK], kind: u8, end: u64) -> Outcome {
        let mut extended = std::mem::take(&mut self.local);
        inherit(&mut extended, &self.global);
        let path = extended.sparse.name.take().or(extended.path.take()).unwrap_or_else(|| name(block));
        check_name(&path, "name")?;
        let metadata = metadata(block, file_kind(kind, &path)?, &extended)?;
        let xattrs = self.xattrs(std::mem::take(&mut extended.xattrs))?;
        let link = match kind {
            b'1' | b'2' => extended.link.take().unwrap_or_else(|| link_name(block)),
            _ if metadata.kind == FileKind::File => {
                return self.file(block, &extended, SparseFile::of(path, metadata, xattrs), end);
            }
            _ => Vec::new(),
        };
        let body = match kind {
            b'1' => Body::HardLink(named(&link)?),
            b'2' => Body::Symlink(named(&link)?),
            _ => Body::Empty,
        };
        self.keep(&Entry { path: &path, metadata, body, xattrs })?;
        // GNU's dumped directories list their names as content.
        self.content(if kind == b'D' { unsigned(&block[124..136])? } else { 0 }, end)
    }

    /// The attributes of an entry that has these of its own.
    fn xattrs(&self, mut own: Attributes) -> Result<Xattrs, String> {
        if own.is_empty() {
            return Ok(self.global_xattrs.clone());
        }
        own.inherit(&self.global.xattrs)?;
        Ok(own.share())
    }

    fn file(&mut self, block: &[u8; BLOCK], extended: &Extended, mut file: SparseFile, end: u64) -> Outcome {
        file.stored = extended.size.map_or_else(|| unsigned(&block[124..136]), Ok)?;
        if block[156] == b'S' {
            file.size = unsigned(&block[483..495])?;
            file.pairs = sparse::old_pairs(&block[386..482])?;
            return self.old_sparse(Box::new(file), block[482] != 0, end);
        }
        if !extended.sparse.is_sparse() {
            let next = self.content(file.stored, end)?;
            let body = Body::Content { offset: self.base + end, size: file.stored };
            self.keep(&file.entry(body))?;
            return Ok(next);
        }
        file.size = extended.sparse.size.ok_or("the sparse file has no size")?;
        if extended.sparse.map_in_content {
            return Ok(State::LeadingMap(Box::new(file), LeadingMap::default()));
        }
        self.sparse_file(file, &extended.sparse.map, 0, end)
    }

    fn old_sparse(&mut self, file: Box<SparseFile>, extended: bool, end: u64) -> Outcome {
        check_map(file.pairs.len() as u64)?;
        if extended {
            return Ok(State::SparseExtension(file));
        }
        let mut file = file;
        let pairs = std::mem::take(&mut file.pairs);
        self.sparse_file(*file, &pairs, 0, end)
    }

    /// Takes a sparse file whose map is known; `map` bytes of what is stored were the map itself.
    fn sparse_file(&mut self, file: SparseFile, pairs: &[u64], map: u64, end: u64) -> Outcome {
        let stored = file.stored.checked_sub(map).ok_or("the sparse map is longer than the entry")?;
        let next = self.content(stored, end)?;
        let body = sparse::body(pairs, file.size, self.base + end, stored)?;
        self.keep(&file.entry(body))?;
        Ok(next)
    }

    /// Content of `size` bytes from the offset `start`, padded to a block.
    fn content(&self, size: u64, start: u64) -> Outcome {
        let end = start.checked_add(size).filter(|end| *end <= u64::MAX - self.base);
        let padded = end.and_then(|end| end.checked_next_multiple_of(BLOCK as u64));
        match (end, padded) {
            (Some(_), Some(padded)) if padded == start => Ok(State::Header),
            (Some(end), Some(padded)) => Ok(State::Content { end, padded }),
            _ => Err(format!("a size of {size} bytes is impossible")),
        }
    }

    fn error(&self, problem: String) -> Error {
        Error::Tar { at: self.header_at, problem }
    }
}

impl SparseFile {
    fn of(path: Vec<u8>, metadata: Metadata, xattrs: Xattrs) -> Self {
        Self { path, metadata, xattrs, size: 0, stored: 0, pairs: Vec::new() }
    }

    fn entry<'a>(&'a self, body: Body<'a>) -> Entry<'a> {
        Entry { path: &self.path, metadata: self.metadata, body, xattrs: self.xattrs.clone() }
    }
}

/// The state that gathers an extended header or long name of `size` bytes.
fn extension_of(kind: u8, size: u64) -> Outcome {
    match usize::try_from(size) {
        Ok(0) => Ok(State::Header),
        Ok(len) if size <= EXTENDED_MAX => Ok(State::Extension { kind, len }),
        _ => Err(format!("an extended header of {size} bytes is over {EXTENDED_MAX}")),
    }
}

/// The path in a GNU header of a long name.
fn long(bytes: &[u8], what: &str) -> Result<Vec<u8>, String> {
    let path = until_nul(bytes);
    check_length(path, what).map(|()| path.to_vec())
}

fn named(target: &[u8]) -> Result<&[u8], String> {
    check_name(target, "link target").map(|()| target)
}

/// Fills in what global headers say and the entry's own do not.
fn inherit(local: &mut Extended, global: &Extended) {
    local.size = local.size.or(global.size);
    local.uid = local.uid.or(global.uid);
    local.gid = local.gid.or(global.gid);
    local.mtime = local.mtime.or(global.mtime);
}

fn file_kind(kind: u8, path: &[u8]) -> Result<FileKind, String> {
    match kind {
        // v7 has no type for directories.
        0 | b'0' | b'7' if path.ends_with(b"/") => Ok(FileKind::Directory),
        0 | b'0' | b'7' | b'S' | b'1' => Ok(FileKind::File),
        b'2' => Ok(FileKind::Symlink),
        b'3' => Ok(FileKind::CharDevice),
        b'4' => Ok(FileKind::BlockDevice),
        b'5' | b'D' => Ok(FileKind::Directory),
        b'6' => Ok(FileKind::Fifo),
        _ => Err(format!("it has the unknown type `{}`", kind.escape_ascii())),
    }
}

fn metadata(block: &[u8; BLOCK], kind: FileKind, extended: &Extended) -> Result<Metadata, String> {
    let mode = number(&block[100..108])? & 0o7777;
    let rdev = match kind {
        FileKind::CharDevice | FileKind::BlockDevice => (word(&block[329..337])?, word(&block[337..345])?),
        _ => (0, 0),
    };
    Ok(Metadata {
        kind,
        mode: u16::try_from(mode).expect("twelve bits fit in sixteen"),
        uid: extended.uid.map_or_else(|| word(&block[108..116]), Ok)?,
        gid: extended.gid.map_or_else(|| word(&block[116..124]), Ok)?,
        mtime: extended.mtime.map_or_else(|| number(&block[136..148]), Ok)?,
        rdev,
    })
}
