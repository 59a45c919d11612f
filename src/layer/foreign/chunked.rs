//! zstd:chunked: zstd frames, one for each chunk of a file, and a table of contents in a skippable frame.
//!
//! # Format
//! containers/storage, `pkg/chunked`. Annotations of the layer, with one of two prefixes, say where the table lies and what
//! it is: `manifest-position` is offset, length, length uncompressed and 1 with colons between, `manifest-checksum` the
//! SHA-256 of the compressed bytes. The footer of the blob says the same, but nothing vouches for it.

use std::io::Read as _;

use super::rows::{Table, json_max};
use super::{About, InBlob, check, range_of, refused};
use crate::base::Digest;
use crate::extent::Source;
use crate::layer::error::Error;
use crate::layer::index::{Codec, Draft};

/// Prefixes of the annotations: as they are written today, and up to containers/storage 1.43.
const PREFIXES: [&str; 2] = ["io.github.containers.zstd-chunked.", "io.containers.zstd-chunked."];
/// The only kind of table there is.
const KIND: u64 = 1;
/// Bytes before the content of a skippable frame (RFC 8878, section 3.1.2).
const FRAME_HEAD: u64 = 8;
/// Largest window of the frame with the table, as a power of two; it is what layers may have.
const WINDOW_LOG_MAX: u32 = 26;

/// Where a table of contents lies.
pub(super) struct Position {
    /// First byte in the blob.
    pub(super) offset: u64,
    /// Size in bytes, compressed and not.
    pub(super) size: u64,
    pub(super) raw_size: u64,
}

/// The index that these annotations name.
pub(super) fn annotated<'a>(value: &impl Fn(&str) -> Option<&'a str>) -> Option<InBlob> {
    PREFIXES.iter().find_map(|prefix| {
        let toc = value(&format!("{prefix}manifest-checksum"))?.parse().ok()?;
        let position = value(&format!("{prefix}manifest-position"))?;
        let numbers: Vec<u64> = position.split(':').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [offset, size, raw_size, KIND] = numbers[..] else { return None };
        Some(InBlob::Chunked { toc, offset, size, raw_size })
    })
}

/// Reads the index from the blob, and makes it ours.
///
/// # Errors
/// `Corrupt` when it is not what the annotations name, or is malformed; what reading the blob says.
pub(super) fn draft(digest: &Digest, position: &Position, about: &About, blob: &dyn Source) -> Result<Draft, Error> {
    let refused = refused("zstd:chunked");
    let Position { offset, size, raw_size } = *position;
    let end = offset.checked_add(size).filter(|end| *end <= about.size && offset >= FRAME_HEAD);
    if end.is_none() || size.max(raw_size) > json_max(size) {
        return Err(refused(format!("a table of contents of {size} bytes at byte {offset} is impossible")));
    }
    let packed = range_of(blob, offset, size)?;
    check(&packed, digest).map_err(&refused)?;
    let json = unpacked(&packed, raw_size).map_err(&refused)?;
    drop(packed);
    let table = Table::parse(&json, about);
    table.and_then(|table| table.draft(Codec::Zstd, about, (offset - FRAME_HEAD, size))).map_err(refused)
}

fn unpacked(packed: &[u8], size: u64) -> Result<Vec<u8>, String> {
    let damaged = |error: std::io::Error| format!("its table of contents is damaged: {error}");
    let mut decoder = zstd::stream::Decoder::with_buffer(packed).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    let mut json = Vec::new();
    decoder.take(size.saturating_add(1)).read_to_end(&mut json).map_err(damaged)?;
    if json.len() as u64 == size { Ok(json) } else { Err("its table of contents has another size".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_of_either_prefix_name_a_table() {
        let of = |prefix: &str, checksum: &str, position: &str| {
            let (checksum_key, position_key) =
                (format!("{prefix}manifest-checksum"), format!("{prefix}manifest-position"));
            annotated(&|key: &str| match key {
                _ if key == checksum_key => Some(checksum.to_owned().leak() as &str),
                _ if key == position_key => Some(position.to_owned().leak() as &str),
                _ => None,
            })
        };
        let digest = Digest::of(b"toc").to_string();
        let expected = InBlob::Chunked { toc: Digest::of(b"toc"), offset: 5, size: 6, raw_size: 7 };
        for prefix in PREFIXES {
            assert_eq!(of(prefix, &digest, "5:6:7:1"), Some(expected));
            for position in ["", "5:6:7", "5:6:7:2", "5:6:7:1:1", "-5:6:7:1", "5:6:x:1", "99999999999999999999:6:7:1"] {
                assert_eq!(of(prefix, &digest, position), None, "{position}");
            }
            assert_eq!(of(prefix, "sha256:0", "5:6:7:1"), None);
        }
        assert_eq!(of("other.", &digest, "5:6:7:1"), None);
    }

    #[test]
    fn a_table_decodes_to_its_size_alone() {
        let packed = zstd::bulk::compress(&[b' '; 1000], 3).unwrap();
        assert_eq!(unpacked(&packed, 1000).map(|json| json.len()), Ok(1000));
        for size in [0, 999, 1001] {
            assert_eq!(unpacked(&packed, size), Err("its table of contents has another size".to_owned()));
        }
        assert!(unpacked(b"none", 4).unwrap_err().starts_with("its table of contents is damaged"));
    }

    #[test]
    fn a_position_that_cannot_be_is_refused_before_anything_is_read() {
        let blob = crate::extent::Bytes(vec![0; 100].into());
        let about = About { blob: Digest::of(b""), size: 100, diff_id: Digest::of(b"") };
        for (offset, size, raw_size) in [(7, 1, 1), (90, 11, 1), (u64::MAX, 1, 1), (8, 1, json_max(1) + 1)] {
            let error = draft(&Digest::of(b""), &Position { offset, size, raw_size }, &about, &blob).unwrap_err();
            let problem = format!("a table of contents of {size} bytes at byte {offset} is impossible");
            assert_eq!(error.to_string(), format!("the zstd:chunked index cannot be used: {problem}"));
        }
    }
}
