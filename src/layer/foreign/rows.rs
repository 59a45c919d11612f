//! The JSON table of contents that eStargz and zstd:chunked have in common.
//!
//! # Format
//! `{"version":1,"entries":[…]}`. An entry has `type`, `name`, `linkName`, `mode`, `uid`, `gid`, `modtime`, `devMajor`,
//! `devMinor`, `xattrs` (values in base64); what is absent is zero. A regular file has `size`, `offset` of the member or
//! frame, `innerOffset` in what that decodes to, `digest`, and `chunkSize` and `chunkDigest` of its first chunk; entries of
//! type `chunk` with their `chunkOffset` follow for the others. `chunkType` `zeros` is a hole. All is written by Go.
//!
//! # Invariants
//! Entries are handled as they are read, so that a list of many short ones takes no memory of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::entries::{Described, Entries, attributes};
use super::places::{Places, frame};
use super::{About, time};
use crate::base::Digest;
use crate::layer::index::{BlobOffset, Body, Codec, Draft, Entry, Hashed, Run, Whole, unpacked_max};

/// Most bytes of such a table (150 MiB in containers/storage).
const JSON_MAX: u64 = 150 << 20;
/// What Go writes for bytes that are no UTF-8.
const REPLACEMENT: char = '\u{fffd}';

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    link_name: Option<Cow<'a, str>>,
    #[serde(default)]
    mode: Option<i64>,
    #[serde(default)]
    uid: Option<i64>,
    #[serde(default)]
    gid: Option<i64>,
    #[serde(default, borrow)]
    modtime: Option<Cow<'a, str>>,
    #[serde(default)]
    dev_major: Option<i64>,
    #[serde(default)]
    dev_minor: Option<i64>,
    #[serde(default, borrow)]
    xattrs: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default, borrow)]
    digest: Option<Cow<'a, str>>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    inner_offset: Option<u64>,
    #[serde(default)]
    chunk_offset: Option<u64>,
    #[serde(default)]
    chunk_size: Option<u64>,
    #[serde(default, borrow)]
    chunk_digest: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    chunk_type: Option<Cow<'a, str>>,
}

/// A run of a file that is verified by itself.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// Where its member or frame starts in the blob.
    pub(super) offset: u64,
    /// Decoded bytes before it.
    pub(super) inner: u64,
    /// Size in bytes.
    pub(super) size: u64,
    /// SHA-256 of its content; `None` where it is a hole.
    pub(super) digest: Option<Digest>,
}

/// A regular file whose chunks are not all known.
struct File<'a> {
    row: Row<'a>,
    /// Content that was found.
    found: u64,
    runs: Vec<Run>,
}

/// Entries and chunks, as they are found.
pub(super) struct Table {
    entries: Entries,
    chunks: Vec<Chunk>,
    /// End of the content of all chunks, behind each other.
    end: u64,
}

/// Most bytes that a table may have which came in `packed` bytes.
pub(super) fn json_max(packed: u64) -> u64 {
    unpacked_max(packed).min(JSON_MAX)
}

impl Table {
    /// Reads a whole table.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub(super) fn parse(json: &[u8], about: &About) -> Result<Self, String> {
        let mut table = Self { entries: Entries::new(about.size, json.len() as u64), chunks: Vec::new(), end: 0 };
        let mut json = serde_json::Deserializer::from_slice(json);
        let document = Document(&mut table).deserialize(&mut json);
        let version = document.and_then(|version| json.end().map(|()| version)).map_err(|e| e.to_string())?;
        match version {
            Some(1) => Ok(table),
            _ => Err("it has another version than 1".to_owned()),
        }
    }

    /// Adds an entry that a scanner found.
    ///
    /// # Errors
    /// When there is more in the table than a layer of this size may have.
    pub(super) fn push_entry(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        self.entries.push_entry(entry)
    }

    /// Adds a chunk, and returns where its content lies behind the others'.
    ///
    /// # Errors
    /// When it lies before one that was added.
    pub(super) fn push_chunk(&mut self, chunk: Chunk) -> Result<u64, String> {
        let start = self.end;
        if chunk.digest.is_some() {
            self.end = start.checked_add(chunk.size).ok_or("its content is impossibly large")?;
        }
        if self.chunks.last().is_some_and(|last| (last.offset, last.inner) >= (chunk.offset, chunk.inner)) {
            return Err(format!("the chunk at byte {} is out of order", chunk.offset));
        }
        self.chunks.push(chunk);
        Ok(start)
    }

    /// All of it as an index, of which `came` bytes came; the data of the last chunk ends at byte `end` of the blob.
    ///
    /// # Errors
    /// A clause that says which chunk cannot be.
    pub(super) fn draft(self, codec: Codec, about: &About, (end, came): (u64, u64)) -> Result<Draft, String> {
        let mut places = Places::new(codec, about.size, came);
        let mut ends = vec![end; self.chunks.len()];
        for at in (1..self.chunks.len()).rev() {
            let (before, next) = (self.chunks[at - 1].offset, self.chunks[at].offset);
            ends[at - 1] = if before < next { next } else { ends[at] };
        }
        for (chunk, end) in self.chunks.iter().zip(ends) {
            let Some(digest) = chunk.digest else { continue };
            let whole = Whole { hashed: Hashed::Decoded, digest, end: BlobOffset(end), skip: chunk.inner };
            places.push(frame(chunk.offset), Vec::new(), chunk.size, whole)?;
        }
        Ok(places.finish(about.blob, about.diff_id, self.entries.finish()))
    }

    fn file(&mut self, file: &mut File<'_>, chunk: Option<&Row<'_>>) -> Result<(), String> {
        let size = file.row.size.unwrap_or_default();
        let row = chunk.unwrap_or(&file.row);
        let at = row.chunk_offset.unwrap_or_default();
        let rest = size.checked_sub(at).filter(|rest| at == file.found && *rest > 0);
        let rest = rest.ok_or("the chunks of a file are not one behind the other")?;
        let len = row.chunk_size.filter(|len| *len > 0).unwrap_or(rest);
        if len > rest {
            return Err("a chunk is longer than its file".to_owned());
        }
        let whole_file = || file.row.digest.as_ref().filter(|_| len == size);
        let digest = match row.chunk_type.as_deref() {
            Some("zeros") => None,
            None | Some("") => {
                Some(digest_of(row.chunk_digest.as_ref().filter(|text| !text.is_empty()).or_else(whole_file))?)
            }
            Some(_) => return Err("a chunk has an unknown type".to_owned()),
        };
        let (offset, inner) = (row.offset.unwrap_or_default(), row.inner_offset.unwrap_or_default());
        let offset_in_diff = self.push_chunk(Chunk { offset, inner, size: len, digest })?;
        if digest.is_some() {
            file.push_run(Run { at, offset: offset_in_diff, len });
        }
        file.found += len;
        Ok(())
    }

    /// Adds a file whose chunks are all known.
    fn end_file(&mut self, file: Option<File<'_>>) -> Result<(), String> {
        let Some(File { row, found, runs, .. }) = file else { return Ok(()) };
        let size = row.size.unwrap_or_default();
        if found != size {
            return Err("the chunks of a file do not cover it".to_owned());
        }
        let body = match runs[..] {
            [] if size == 0 => Body::Content { offset: self.end, size },
            [Run { at: 0, offset, len }] if len == size => Body::Content { offset, size },
            _ => Body::Sparse { size, runs },
        };
        self.entry(&row, body)
    }

    fn entry(&mut self, row: &Row<'_>, body: Body<'_>) -> Result<(), String> {
        let name = row.name.as_deref().unwrap_or_default();
        let link = row.link_name.as_deref().unwrap_or_default();
        if name.contains(REPLACEMENT) || link.contains(REPLACEMENT) {
            return Err("it has a name that is no UTF-8, which it cannot tell".to_owned());
        }
        let mut xattrs = Vec::new();
        for (name, value) in row.xattrs.iter().flatten() {
            let value = STANDARD.decode(value.as_bytes()).map_err(|_| "an extended attribute is no base64")?;
            xattrs.push((name.as_bytes(), value));
        }
        let mtime = row.modtime.as_deref().filter(|time| !time.is_empty());
        let mtime = mtime.map_or(Some(0), |text| time::parsed(text.as_bytes())).ok_or("an entry has no sound time")?;
        let described = Described {
            kind: row.kind.as_bytes(),
            name: name.as_bytes(),
            link: link.as_bytes(),
            mode: row.mode.unwrap_or_default(),
            uid: row.uid.unwrap_or_default(),
            gid: row.gid.unwrap_or_default(),
            mtime,
            device: (row.dev_major.unwrap_or_default(), row.dev_minor.unwrap_or_default()),
            xattrs: attributes(xattrs.iter().map(|(name, value)| (*name, &value[..])))?,
        };
        self.entries.push(&described, body)
    }

    /// Handles the next row. A file is kept until the row behind its chunks.
    fn row<'a>(&mut self, row: Row<'a>, open: &mut Option<File<'a>>) -> Result<(), String> {
        if row.kind == "chunk" {
            let file = open.as_mut().ok_or("a chunk belongs to no file")?;
            return self.file(file, Some(&row));
        }
        self.end_file(open.take())?;
        if row.kind != "reg" {
            return self.entry(&row, Body::Empty);
        }
        let mut file = File { row, found: 0, runs: Vec::new() };
        if file.row.size.is_some_and(|size| size > 0) {
            self.file(&mut file, None)?;
        }
        *open = Some(file);
        Ok(())
    }
}

impl File<'_> {
    /// Adds a run, to the one before where it goes on.
    fn push_run(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if (last.at + last.len, last.offset + last.len) == (run.at, run.offset) => last.len += run.len,
            _ => self.runs.push(run),
        }
    }
}

fn digest_of(text: Option<&Cow<'_, str>>) -> Result<Digest, String> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| "a chunk has no SHA-256 digest".to_owned())
}

/// The object that holds the entries; gives the version.
struct Document<'t>(&'t mut Table);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of contents")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut version, mut seen) = (None, false);
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match &*key {
                "version" => version = Some(map.next_value()?),
                "entries" if seen => return Err(A::Error::duplicate_field("entries")),
                "entries" => {
                    map.next_value_seed(Rows(self.0))?;
                    seen = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(version)
    }
}

struct Rows<'t>(&'t mut Table);

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut open = None;
        while let Some(row) = list.next_element::<Row<'de>>()? {
            self.0.row(row, &mut open).map_err(A::Error::custom)?;
        }
        self.0.end_file(open).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::index::Toc;

    fn about() -> About {
        About { blob: Digest::of(b"blob"), size: 1000, diff_id: Digest::of(b"diff") }
    }

    fn drafted(entries: &str) -> Result<Draft, String> {
        let json = format!(r#"{{"version":1,"entries":[{entries}]}}"#).replace("SHA", &Digest::of(b"").to_string());
        Table::parse(json.as_bytes(), &about())?.draft(Codec::Zstd, &about(), (900, 0))
    }

    #[test]
    fn chunks_lie_one_behind_the_other_and_zeros_are_holes() {
        let draft = drafted(
            r#"{"type":"reg","name":"a","size":10,"offset":100,"digest":"SHA"},
               {"type":"reg","name":"b","size":90,"offset":200,"chunkSize":30,"chunkDigest":"SHA"},
               {"type":"chunk","name":"b","offset":300,"chunkOffset":30,"chunkSize":20,"chunkType":"zeros"},
               {"type":"chunk","offset":400,"chunkOffset":50,"chunkSize":10,"chunkDigest":"SHA"},
               {"type":"chunk","offset":400,"innerOffset":77,"chunkOffset":60,"chunkDigest":"SHA"},
               {"type":"reg","name":"c"}"#,
        )
        .unwrap();
        let spans: Vec<_> = draft.spans.iter().map(|span| (span.start.byte().0, span.whole.unwrap())).collect();
        let whole = |end, skip| Whole { hashed: Hashed::Decoded, digest: Digest::of(b""), end: BlobOffset(end), skip };
        let expected = [(100, whole(200, 0)), (200, whole(300, 0)), (400, whole(900, 0)), (400, whole(900, 77))];
        assert_eq!((&spans[..], draft.diff_size), (&expected[..], 80));
        let mut bodies = Vec::new();
        let toc = Toc::decode(&draft.toc, 1000).unwrap();
        toc.each(|entry| {
            bodies.push(match entry.body {
                Body::Content { offset, size } => (offset, size, Vec::new()),
                Body::Sparse { size, runs } => (0, size, runs),
                other => panic!("{other:?}"),
            });
            Ok::<_, ()>(())
        })
        .unwrap();
        let runs = vec![Run { at: 0, offset: 10, len: 30 }, Run { at: 50, offset: 40, len: 40 }];
        assert_eq!(bodies, [(0, 10, vec![]), (0, 90, runs), (80, 0, vec![])]);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told() {
        const BEHIND: &str = "the chunks of a file are not one behind the other";
        let table = [
            (r#"{"type":"chunk","chunkDigest":"SHA"}"#, "a chunk belongs to no file"),
            (r#"{"type":"dir","name":"d"},{"type":"chunk","chunkDigest":"SHA"}"#, "a chunk belongs to no file"),
            (r#"{"type":"reg","name":"a","size":5}"#, "a chunk has no SHA-256 digest"),
            (r#"{"type":"reg","name":"a","size":5,"digest":"md5:0"}"#, "a chunk has no SHA-256 digest"),
            (r#"{"type":"reg","name":"a","size":5,"chunkSize":2,"digest":"SHA"}"#, "a chunk has no SHA-256 digest"),
            (
                r#"{"type":"reg","name":"a","size":5,"chunkSize":2,"chunkDigest":"SHA"}"#,
                "the chunks of a file do not cover it",
            ),
            (
                r#"{"type":"reg","name":"a","size":5,"chunkSize":6,"chunkDigest":"SHA"}"#,
                "a chunk is longer than its file",
            ),
            (r#"{"type":"reg","name":"a","size":5,"chunkOffset":1,"digest":"SHA"}"#, BEHIND),
            (
                r#"{"type":"reg","name":"a","size":5,"digest":"SHA"},{"type":"chunk","chunkOffset":5,"chunkDigest":"SHA"}"#,
                BEHIND,
            ),
            (
                r#"{"type":"reg","name":"a","size":5,"chunkSize":2,"chunkDigest":"SHA"},{"type":"chunk","chunkOffset":1}"#,
                BEHIND,
            ),
            (r#"{"type":"reg","name":"a","size":5,"digest":"SHA","chunkType":"holes"}"#, "a chunk has an unknown type"),
            (
                r#"{"type":"reg","name":"a","size":5,"offset":9,"digest":"SHA"},{"type":"reg","name":"b","size":5,"offset":9,"digest":"SHA"}"#,
                "the chunk at byte 9 is out of order",
            ),
            (
                r#"{"type":"reg","name":"a","size":5,"offset":901,"digest":"SHA"}"#,
                "the span at byte 901 leaves the blob",
            ),
            (
                r#"{"type":"reg","name":"a","size":4611686018427387904,"digest":"SHA"}"#,
                "900 bytes at 0 cannot hold 4611686018427387904",
            ),
            (
                r#"{"type":"reg","name":"a","size":5,"innerOffset":16777217,"digest":"SHA"}"#,
                "its span at byte 0 is too long to be verified as a whole",
            ),
            (r#"{"type":"dir","name":"\ufffd"}"#, "it has a name that is no UTF-8, which it cannot tell"),
            (r#"{"type":"dir","name":"a","modtime":"now"}"#, "an entry has no sound time"),
            (r#"{"type":"dir","name":"a","xattrs":{"user.a":"*"}}"#, "an extended attribute is no base64"),
            (r#"{"type":"dir"}"#, "the entry has no name"),
            (r#"{"type":"socket","name":"a"}"#, "an entry has the unknown type `socket`"),
            (r#"{"name":"a"}"#, "missing field `type`"),
            (r#"{"type":"reg","name":"a","size":-1}"#, "invalid value"),
            ("[]", "invalid length"),
        ];
        for (entries, problem) in table {
            let error = drafted(entries).map(drop).unwrap_err();
            assert!(error.starts_with(problem), "{entries}: {error}");
        }
    }

    #[test]
    fn a_document_that_is_none_is_refused() {
        let table = [
            ("", "EOF"),
            ("[]", "invalid type"),
            (r#"{"version":2,"entries":[]}"#, "it has another version than 1"),
            (r#"{"entries":[]}"#, "it has another version than 1"),
            (r#"{"version":1,"entries":[],"entries":[]}"#, "duplicate field `entries`"),
            (r#"{"version":1,"entries":[]} x"#, "trailing characters"),
            (r#"{"version":1,"entries":{}}"#, "invalid type"),
        ];
        for (json, problem) in table {
            let error = Table::parse(json.as_bytes(), &about()).map(drop).unwrap_err();
            assert!(error.starts_with(problem), "{json}: {error}");
        }
        let table = Table::parse(br#"{"more":[{}],"version":1,"entries":[]}"#, &about()).unwrap();
        assert_eq!(table.draft(Codec::Zstd, &about(), (900, 0)).unwrap().diff_size, 0);
    }
}
