//! Layers inside layers: a file that is a tar (`kernel.tar`) or a gzip (a kernel for arm64).
//!
//! The index of such a file is made from the decoded bytes of the layer it lies in, once, and kept beside that layer's
//! own. The content of an uncompressed tar stays what it is: ranges of the layer.

use std::io::{self, Read};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::engine::sniff;
use super::error::Error;
use super::gunzip::Gunzip;
use super::index::{Codec, Draft, Index, Toc};
use super::layers::{Layer, Layers};
use super::pass::{self, Expected, Input, Scanner, Search, Transfer, diff_max};
use super::read::{Diff, IndexedBlob};
use crate::base::{Attempt, Digest, ErrorKind, Fault as _};
use crate::extent::{Origin, ReadError, SharedSource, Slice, Source, Span, Traced, Visit, origins, trace_as};

/// Bytes that tell a compression.
const SNIFFED: u64 = 6;
/// CRC and size at the end of a gzip file (RFC 1952, section 2.3.1).
const TRAILER: u64 = 8;
/// The least a gzip file can have: header, an empty block, trailer.
const GZIP_MIN: u64 = 20;

/// Bytes at the start of a gzip file that are read without an index.
const HEAD: u64 = 4096;
/// Bytes that are taken for stored of a file that lies in no layer. It may unpack to a gigabyte then.
const STORED: u64 = 32 << 10;

/// A file of a layer.
#[derive(Clone)]
pub struct Inner {
    /// The diff of the layer, or whatever else the file is a range of.
    pub source: SharedSource,
    /// First byte in it.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Layers {
    /// Opens a tar, compressed or not, that lies in another layer. The offsets of an uncompressed one count in the diff
    /// of that layer.
    ///
    /// # Errors
    /// `Corrupt` when it is no sound tar; what reading the layer says.
    pub fn open_nested(&self, file: &Inner) -> Result<Layer, Error> {
        let (subject, index, toc) = self.index_nested(file, Content::Tar)?;
        let diff_id = *index.diff_id();
        let diff = match index.codec() {
            Codec::Plain => file.source.clone(),
            Codec::Gzip | Codec::Zstd => self.diff_of(subject, file, index)?,
        };
        Ok(Layer { toc, diff, diff_id })
    }

    /// The uncompressed content of a gzip file that lies in a layer. Only its last bytes are read now, which tell the
    /// size; it is indexed when more than its head is first read.
    ///
    /// # Errors
    /// `Corrupt` when it is too short to be gzip; what reading the layer says.
    pub fn open_gzip(self: &Arc<Self>, file: &Inner) -> Result<SharedSource, Error> {
        if file.size < GZIP_MIN || file.codec()? != Codec::Gzip {
            let problem = "it does not start as gzip data does".to_owned();
            return Err(Error::Stream { format: "gzip", at: 0, problem }.of(file));
        }
        let mut size = [0; 4];
        file.source.read_at(&mut size, file.offset + file.size - TRAILER / 2).map_err(Error::Content)?;
        let size = u32::from_le_bytes(size).into();
        Ok(Arc::new(Inflated { layers: self.clone(), file: file.clone(), size, content: Attempt::default() }))
    }

    fn diff_of(&self, subject: Digest, file: &Inner, index: Index) -> Result<SharedSource, Error> {
        let (blob, name) = (file.slice()?, file.to_string());
        let stored = self.stored_below(file)?;
        Ok(self.diff(subject, || IndexedBlob { stored, ..IndexedBlob::local(self.pool.new_id(), name, blob, index) }))
    }

    /// Bytes that are stored of the layer that a file lies in, also where it has holes.
    pub(super) fn stored_below(&self, file: &Inner) -> Result<u64, Error> {
        if let Some(stored) = Diff::stored_of(&*file.source) {
            return Ok(stored);
        }
        let layer = file.place().map_err(Error::Content)?.map(|(layer, _)| layer);
        let open = self.open_diffs();
        let diff = open.iter().filter(|(subject, _)| Some(*subject) == layer).find_map(|(_, diff)| diff.upgrade());
        Ok(diff.and_then(|diff| Diff::stored_of(&*diff)).unwrap_or(STORED))
    }

    /// The index of a file in a layer: kept, or made now.
    fn index_nested(&self, file: &Inner, content: Content) -> Result<(Digest, Index, Toc), Error> {
        let outer = Diff::subject_of(&*file.source);
        let subject = file.subject(outer.as_ref(), content == Content::Tar);
        let key = outer.map(|outer| format!("{}-{}", outer.hex(), &subject.hex()[..32]));
        let kept = || key.iter().find_map(|key| self.kept(key, &subject, file.size).transpose()).transpose();
        if let Some((index, toc)) = kept()? {
            return Ok((subject, index, toc));
        }
        let _guard = key.iter().map(|_| self.store.lock(&subject)).next().transpose()?;
        let (index, toc) = match (kept()?, &key) {
            (Some(kept), _) => kept,
            (None, Some(key)) => self.keep(key, &subject, &self.pass_nested(file, content)?)?,
            (None, None) => Self::in_memory(self.pass_nested(file, content)?.encode(&subject), &subject, file.size)?,
        };
        Ok((subject, index, toc))
    }

    /// Reads the file; nothing of it is looked at before, so that one with an index costs no read.
    fn pass_nested(&self, file: &Inner, content: Content) -> Result<Draft, Error> {
        let stored = self.stored_below(file)?;
        if file.size > diff_max(stored) {
            return Err(Error::Bloated.of(file));
        }
        let codec = file.codec()?;
        let start = if codec == Codec::Plain { file.offset } else { 0 };
        let scanner = (content == Content::Tar).then(|| Scanner::new(start));
        let mut input = InnerInput(InnerReader::new(file.clone()));
        let expected = Expected { size: file.size, stored, digest: None, diff_id: None };
        let search = Search { span_size: self.options.span_size, scanner };
        let transfer = Transfer { input: &mut input, copy: None, progress: &|_| {} };
        let draft = pass::pass(transfer, &expected, search).map_err(|error| error.of(file))?;
        Ok(if codec == Codec::Plain { draft.without_spans() } else { draft })
    }
}

/// What a file is read as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A tar, compressed or not.
    Tar,
    /// Whatever the compressed stream holds.
    Bytes,
}

impl Inner {
    fn codec(&self) -> Result<Codec, Error> {
        let mut start = [0; 6];
        let len = usize::try_from(self.size.min(SNIFFED)).expect("six fits in usize");
        self.source.read_at(&mut start[..len], self.offset).map_err(Error::Content)?;
        sniff(&start[..len]).map_err(|error| error.of(self))
    }

    fn slice(&self) -> Result<SharedSource, Error> {
        let slice = Slice::new(self.source.clone(), self.offset, self.size).map_err(Error::Content)?;
        Ok(Arc::new(slice))
    }

    /// The layer that its first byte lies in, and where in the tar of that.
    fn place(&self) -> Result<Option<(Digest, u64)>, ReadError> {
        let mut place = None;
        origins(Span { source: &*self.source, offset: self.offset, len: self.size.min(1) }, &mut |_, origin| {
            if let Origin::Layer { digest, offset, .. } = origin {
                place = Some((*digest, *offset));
            }
            ControlFlow::Break(())
        })?;
        Ok(place)
    }

    /// The origin of a byte of what the file decompresses to.
    pub(super) fn unpacked(&self, offset: u64) -> Result<Origin, ReadError> {
        let place = self.place()?;
        let (digest, at) = (place.map(|(layer, _)| layer), place.map_or(self.offset, |(_, at)| at));
        let outer = Diff::subject_of(&*self.source);
        Ok(Origin::Unpacked { digest, at, subject: self.subject(outer.as_ref(), false), offset })
    }

    /// What an index of the file is about: where it lies, and whether it is read as a tar.
    fn subject(&self, outer: Option<&Digest>, tar: bool) -> Digest {
        let outer = outer.map_or([0; 32], |outer| *outer.as_bytes());
        let place = [self.offset.to_le_bytes(), self.size.to_le_bytes()].concat();
        Digest::of(&[&b"lkit nested"[..], &outer, &place, &[u8::from(tar)]].concat())
    }
}

impl std::fmt::Display for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "file at byte {} of a layer", self.offset)
    }
}

/// Reads a file of a layer from front to back.
pub(super) struct InnerReader {
    file: Inner,
    at: u64,
}

impl InnerReader {
    /// A reader at the beginning.
    pub fn new(file: Inner) -> Self {
        Self { file, at: 0 }
    }

    /// Fills the start of a buffer; returns how many bytes came.
    fn next(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        let left = usize::try_from(self.file.size - self.at).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        let at = self.file.offset + self.at;
        self.file.source.read_at(&mut buf[..len], at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// For decoders of others, whose errors are of this type.
impl Read for InnerReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.next(buf).map_err(io::Error::other)
    }
}

/// The same for a pass.
struct InnerInput(InnerReader);

impl Input for InnerInput {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.0.next(buf).map_err(Error::Content)
    }
}

/// The content of a gzip file, indexed when it is first read.
struct Inflated {
    layers: Arc<Layers>,
    file: Inner,
    /// As the file's last four bytes say.
    size: u64,
    content: Attempt<SharedSource, ReadError>,
}

impl Inflated {
    fn index(&self) -> Result<SharedSource, ReadError> {
        let (subject, index, _) = self.layers.index_nested(&self.file, Content::Bytes).map_err(unreadable)?;
        let actual = index.diff_size();
        if actual != self.size {
            return Err(unreadable(Error::TrailerSize { expected: self.size, actual }.of(&self.file)));
        }
        self.layers.diff_of(subject, &self.file, index).map_err(unreadable)
    }
}

fn unreadable(error: Error) -> ReadError {
    ReadError::wrap("cannot read compressed content", error)
}

impl Inflated {
    /// The first bytes of the content, as many as the first bytes of the file decode to.
    fn head(&self) -> Result<Vec<u8>, ReadError> {
        let len = usize::try_from(self.file.size.min(HEAD)).expect("a few KiB");
        let mut packed = vec![0; len];
        self.file.source.read_at(&mut packed, self.file.offset)?;
        let mut content = Vec::new();
        let mut reader = Gunzip::new(&packed[..]).take(HEAD);
        match reader.read_to_end(&mut content) {
            // The first bytes of the file end somewhere.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && len as u64 == HEAD => Ok(content),
            Err(error) => {
                let (at, problem) = (self.file.offset, error.to_string());
                Err(unreadable(Error::Stream { format: "gzip", at, problem }.of(&self.file)))
            }
            Ok(_) => Ok(content),
        }
    }
}

impl Source for Inflated {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        if let Some(content) = self.content.kept() {
            return content.map_err(Clone::clone)?.read_at(buf, offset);
        }
        // What tells how a kernel is started needs no index.
        if offset == 0
            && buf.len() as u64 <= HEAD
            && self.size > HEAD
            && let Some(head) = self.head()?.get(..buf.len())
        {
            buf.copy_from_slice(head);
            return Ok(());
        }
        // What may pass, such as a full disk, is tried again by the next read.
        let content = self.content.get_or_make(|| self.index(), |error| error.kind() == ErrorKind::Corrupt);
        content?.read_at(buf, offset)
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(self.file.unpacked(range.start)?, &range, visit)
    }
}
