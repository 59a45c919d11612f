//! eStargz: gzip members, one for each chunk of a file, and a table of contents in the last.
//!
//! # Format
//! stargz-snapshotter, `docs/estargz.md`. The last 51 bytes are an empty member whose extra field is `SG`, 22 as u16, the
//! offset of the table in 16 hex digits, `STARGZ`; 47 bytes without `SG` and length in older files. From that offset to
//! there lies a member with a tar of one file, `stargz.index.json`. The digest of that file is in the annotation
//! `containerd.io/snapshot/stargz/toc.digest` of the layer.

use std::convert::Infallible;
use std::io::Read as _;
use std::ops::Range;

use super::rows::{Chunk, Table, json_max};
use super::{About, check, range_of, refused};
use crate::base::{Digest, in_memory};
use crate::extent::Source;
use crate::layer::error::Error;
use crate::layer::gunzip::Gunzip;
use crate::layer::index::{Body, Codec, Draft, Entry, Toc};
use crate::layer::pass::Scanner;

const ANNOTATION: &str = "containerd.io/snapshot/stargz/toc.digest";
const NAME: &[u8] = b"stargz.index.json";
/// Lengths of the footer, and where the offset stands in it.
const FOOTER: usize = 51;
const OLD_FOOTER: usize = 47;
const DIGITS: usize = 16;
/// Where the extra field of a member starts: magic, deflate, flags, five zeros, the operating system (RFC 1952, section 2.3).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
const MAGIC: &[u8] = b"STARGZ";
/// Headers and padding around the table in its tar, in bytes: far more than there are.
const TAR_MAX: u64 = 64 << 10;

/// The index that these annotations name.
pub(super) fn annotated<'a>(value: &impl Fn(&str) -> Option<&'a str>) -> Option<super::InBlob> {
    Some(super::InBlob::Estargz { toc: value(ANNOTATION)?.parse().ok()? })
}

/// Reads the index from the blob, and makes it ours.
///
/// # Errors
/// `Corrupt` when it is not what the annotation names, or is malformed; what reading the blob says.
pub(super) fn draft(digest: &Digest, about: &About, blob: &dyn Source) -> Result<Draft, Error> {
    let refused = refused("eStargz");
    let footer_size = (FOOTER as u64).min(about.size);
    let footer = range_of(blob, about.size - footer_size, footer_size)?;
    let (toc_at, len) = toc_offset(&footer).ok_or_else(|| refused("the blob has no footer".to_owned()))?;
    let toc_end = about.size - len as u64;
    let size = toc_end.checked_sub(toc_at).filter(|size| *size <= json_max(*size));
    let size = size.ok_or_else(|| refused("its table of contents is impossibly large".to_owned()))?;
    let tar = unpacked(&range_of(blob, toc_at, size)?).map_err(&refused)?;
    with_tar(&tar, digest, toc_at..toc_end, about).map_err(refused)
}

/// Where the table of contents starts, and the length of the footer.
fn toc_offset(footer: &[u8]) -> Option<(u64, usize)> {
    [(FOOTER, &b"\x1a\0SG\x16\0"[..]), (OLD_FOOTER, b"\x16\0")].into_iter().find_map(|(len, start)| {
        let footer = &footer[footer.len().checked_sub(len)?..];
        let extra = footer.strip_prefix(&HEAD)?.strip_prefix(start)?;
        let (digits, rest) = extra.split_at_checked(DIGITS)?;
        let is_hex = rest.starts_with(MAGIC) && digits.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
        Some((u64::from_str_radix(text, 16).ok()?, len))
    })
}

/// What the member with the table holds, bounded.
fn unpacked(member: &[u8]) -> Result<Vec<u8>, String> {
    let mut tar = Vec::new();
    let most = json_max(member.len() as u64) + TAR_MAX;
    let read = Gunzip::new(member).take(most + 1).read_to_end(&mut tar);
    read.map_err(|error| format!("its table of contents is damaged: {error}"))?;
    if tar.len() as u64 > most { Err("its table of contents is too large".to_owned()) } else { Ok(tar) }
}

/// Makes an index of the tar that holds the table of contents, and lies in `place` of the blob.
fn with_tar(tar: &[u8], digest: &Digest, place: Range<u64>, about: &About) -> Result<Draft, String> {
    let mut scanner = Scanner::new(0);
    let scanned = scanner.push(tar).and_then(|()| scanner.finish());
    let toc = scanned.map_err(|error| error.to_string())?.finish();
    let toc = Toc::decode(&toc, u64::MAX).expect("a table that was just written is sound");
    let mut made = None;
    let Ok(()) = toc.each(|entry| {
        if let (Body::Content { offset, size }, NAME, None) = (&entry.body, entry.path, &made) {
            let json = &tar[in_memory(*offset)..in_memory(offset + size)];
            let chunk = Chunk { offset: place.start, inner: *offset, size: *size, digest: Some(*digest) };
            let table = with_json(json, chunk, &entry, about);
            made = Some(table.and_then(|table| table.draft(Codec::Gzip, about, (place.end, place.end - place.start))));
        }
        Ok::<_, Infallible>(())
    });
    made.unwrap_or_else(|| Err("it has no table of contents".to_owned()))
}

/// Reads the table of contents, which is a file of the layer itself: a runtime that unpacks the layer has it.
fn with_json(json: &[u8], chunk: Chunk, entry: &Entry<'_>, about: &About) -> Result<Table, String> {
    chunk.digest.map_or(Ok(()), |digest| check(json, &digest))?;
    let mut table = Table::parse(json, about)?;
    let offset = table.push_chunk(chunk)?;
    let (body, xattrs) = (Body::Content { offset, size: chunk.size }, entry.xattrs.clone());
    table.push_entry(&Entry { body, xattrs, path: entry.path, metadata: entry.metadata })?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer(extra: &str) -> Vec<u8> {
        let len = u16::try_from(extra.len()).unwrap().to_le_bytes();
        [&HEAD[..], &len, extra.as_bytes(), b"\x01\0\0\xff\xff", &[0; 8]].concat()
    }

    #[test]
    fn the_offset_stands_in_either_footer_and_in_no_other() {
        let table = [
            ("SG\x16\0", "0000000000018bfcSTARGZ", Some((0x18bfc, 51))),
            ("", "0000000000018bfcSTARGZ", Some((0x18bfc, 47))),
            ("SG\x16\0", "ffffffffffffffffSTARGZ", Some((u64::MAX, 51))),
            ("SG\x16\0", "+000000000018bfcSTARGZ", None),
            ("SG\x16\0", "000000000018bfcxSTARGZ", None),
            ("SG\x16\0", "0000000000018bfcSTARGX", None),
            ("SG\x11\0", "STARGZEXTERNALTOC", None),
        ];
        for (field, extra, expected) in table {
            let extra = [field, extra].concat();
            assert_eq!(toc_offset(&footer(&extra)), expected, "{extra}");
            let behind = [&b"more"[..], &footer(&extra)].concat();
            assert_eq!(toc_offset(&behind), expected, "{extra}");
        }
        assert_eq!((toc_offset(b""), toc_offset(&[0; 51])), (None, None));
    }
}
