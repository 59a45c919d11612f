//! Writing of zTOCs, byte for byte as SOCI writes them in Greenwich's zone.
//!
//! # Format
//! As `ztoc` reads it. SOCI adds the files last to first, and of each the strings, then its records, then the table.

use std::io::Read;

use super::archive::ArchiveEntry;
use super::builder::{Builder, Place, Value};
use super::scan::{Point, Scanned, scan};
use crate::base::Digest;
use crate::layer::error::Error;
use crate::layer::index::Codec;

/// Bytes of diff in a span as SOCI has it by default.
pub const ZTOC_SPAN: u64 = 4 << 20;
/// Longest span: a reader holds one to verify it.
const SPAN_MAX: u64 = 32 << 20;

/// Whether a layer has a zTOC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ztoc {
    /// It has this one.
    Made(Vec<u8>),
    /// It can have none; with the reason, a clause.
    None(String),
}

/// How a zTOC is written.
#[derive(Clone, Copy, Debug)]
pub struct ZtocOptions<'a> {
    /// Bytes of diff in a span.
    pub span_size: u64,
    /// What it says that made it.
    pub tool: &'a str,
}

impl Default for ZtocOptions<'_> {
    fn default() -> Self {
        Self { span_size: ZTOC_SPAN, tool: "lkit" }
    }
}

/// Reads the blob with this digest and size once, and makes SOCI's index of it. The same blob and options give the same
/// bytes anywhere.
///
/// Memory: 32 KiB for each span, and what names and attributes take.
///
/// # Errors
/// `Corrupt` when the blob is another, or damaged; `Io` when it cannot be read.
pub fn write_ztoc(blob: &mut dyn Read, digest: &Digest, size: u64, options: &ZtocOptions<'_>) -> Result<Ztoc, Error> {
    let ZtocOptions { span_size, tool } = *options;
    if span_size == 0 || span_size > SPAN_MAX {
        return Ok(Ztoc::None(format!("spans have 1 to {SPAN_MAX} bytes, not {span_size}")));
    }
    let scanned = scan(blob, size, span_size)?;
    match scanned.size {
        actual if actual > size => return Err(Error::BlobLong { expected: size }),
        actual if actual < size => return Err(Error::BlobShort { expected: size, actual }),
        _ if scanned.blob != *digest => return Err(Error::BlobDigest { actual: scanned.blob }),
        _ => {}
    }
    Ok(written(scanned, span_size, tool).map_or_else(Ztoc::None, Ztoc::Made))
}

fn written(scanned: Scanned, span_size: u64, tool: &str) -> Result<Vec<u8>, String> {
    let Scanned { codec, size, points, digests, archive, .. } = scanned;
    let (entries, end) = archive?.finish()?;
    if digests.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut builder = Builder::default();
    let (version, tool) = (builder.string(b"0.9"), builder.string(tool.as_bytes()));
    let mut files: Vec<Place> = entries.iter().rev().map(|entry| file(&mut builder, entry)).collect();
    files.reverse();
    let files = builder.vector(&files);
    let toc = builder.table(&[(0, Value::At(files))]);
    let checkpoints = match codec {
        Codec::Gzip => of_gzip(&points, span_size),
        Codec::Plain | Codec::Zstd => of_tar(size, span_size),
    };
    let checkpoints = builder.bytes(&checkpoints);
    let digests: Vec<Place> = digests.iter().map(|digest| builder.string(digest.to_string().as_bytes())).collect();
    let last = i32::try_from(digests.len() - 1).map_err(|_| "it has too many spans")?;
    let digests = builder.vector(&digests);
    // 1, gzip, is the default, which is left out as any is.
    let algorithm = if codec == Codec::Gzip { 0 } else { 2 };
    let info =
        [(1, Value::Int(last)), (2, Value::At(digests)), (3, Value::At(checkpoints)), (0, Value::Byte(algorithm))];
    let info = builder.table(&info);
    let root = builder.table(&[
        (0, Value::At(version)),
        (1, Value::At(tool)),
        (4, Value::At(toc)),
        (2, Value::Long(long(size))),
        (3, Value::Long(long(end))),
        (5, Value::At(info)),
    ]);
    Ok(builder.finish(root))
}

fn file(builder: &mut Builder, entry: &ArchiveEntry) -> Place {
    let texts =
        [&entry.name[..], entry.kind.as_bytes(), &entry.link, &entry.user, &entry.group, entry.mtime.as_bytes()];
    let [name, kind, link, user, group, mtime] = texts.map(|text| Value::At(builder.string(text)));
    let record = |(key, value): (&Vec<u8>, &Vec<u8>)| {
        let (key, value) = (builder.string(key), builder.string(value));
        builder.table(&[(0, Value::At(key)), (1, Value::At(value))])
    };
    let records: Vec<Place> = entry.records.iter().map(record).collect();
    let records = builder.vector(&records);
    builder.table(&[
        (0, name),
        (1, kind),
        (2, Value::Long(long(entry.offset))),
        (3, Value::Long(long(entry.size))),
        (4, link),
        (5, Value::Long(entry.mode)),
        (6, Value::Word(entry.uid)),
        (7, Value::Word(entry.gid)),
        (8, user),
        (9, group),
        (10, mtime),
        (11, Value::Long(entry.device.0)),
        (12, Value::Long(entry.device.1)),
        (13, Value::At(records)),
    ])
}

fn of_gzip(points: &[Point], span_size: u64) -> Vec<u8> {
    let count = i32::try_from(points.len()).expect("the scan bounds the checkpoints");
    let mut bytes = [&count.to_le_bytes()[..], &long(span_size).to_le_bytes()].concat();
    for Point { at, out, bits, window } in points {
        bytes.extend_from_slice(&long(*at).to_le_bytes());
        bytes.extend_from_slice(&long(*out).to_le_bytes());
        bytes.push(*bits);
        bytes.extend_from_slice(&window[..]);
    }
    bytes
}

fn of_tar(size: u64, span_size: u64) -> Vec<u8> {
    let mut builder = Builder::default();
    let root = builder.table(&[(0, Value::Int(2)), (1, Value::Long(long(span_size))), (2, Value::Long(long(size)))]);
    builder.finish(root)
}

fn long(number: u64) -> i64 {
    i64::try_from(number).expect("a blob has fewer than 2^63 bytes")
}
