//! U-Boot's older image: a header of 64 bytes with checksums, and the content behind it.
//!
//! The header has a checksum of the content, so its first read reads all data of that once.
//!
//! # Format
//! U-Boot's `include/image.h`, "legacy format image header". Numbers are big-endian.

use std::sync::Arc;

use zerocopy::big_endian::U32;
use zerocopy::{Immutable, IntoBytes};

use super::Error;
use super::computed::Computed;
use super::crc32::crc32;
use super::field::padded;
use crate::base::Metadata;
use crate::extent::{MapBuilder, ReadError, SharedSource, Sink as _, Source};

/// "legacy_img_hdr".
#[derive(Clone, Immutable, IntoBytes)]
#[repr(C)]
struct Header {
    magic: U32,
    hcrc: U32,
    time: U32,
    size: U32,
    load: U32,
    ep: U32,
    dcrc: U32,
    os: u8,
    arch: u8,
    kind: u8,
    comp: u8,
    name: [u8; 32],
}

const HEADER: u64 = size_of::<Header>() as u64;
const _: () = assert!(HEADER == 64);
const MAGIC: u32 = 0x2705_1956;
/// "IH_OS_LINUX", "IH_ARCH_ARM64".
const LINUX: u8 = 5;
const ARM64: u8 = 22;
/// Sizes have 32 bits, and headers are added to them.
const LARGEST: u64 = u32::MAX as u64 - HEADER;

/// What an image holds, for Linux on arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyKind {
    /// A kernel that is copied to an address and started there; compressed with gzip or not.
    Kernel {
        /// The address.
        load: u32,
        /// Whether U-Boot decompresses it.
        gzip: bool,
    },
    /// An initrd.
    Ramdisk,
    /// Commands of U-Boot.
    Script,
}

/// An image of a content, with a name of at most 32 bytes.
///
/// # Errors
/// When the content has 4 GiB or more.
pub fn legacy_image(kind: LegacyKind, name: &str, content: &SharedSource) -> Result<SharedSource, Error> {
    let content = if kind == LegacyKind::Script { script(content)? } else { content.clone() };
    let header = header(kind, name, content.size())?;
    let covered = content.clone();
    let head: SharedSource = Arc::new(Computed::new(HEADER, move || with_checksums(&header, &*covered)));
    let mut image = MapBuilder::default();
    image.whole(&head);
    image.whole(&content);
    Ok(image.share())
}

/// A script as the only part of a "multi-file" content: its size, the end of the list of sizes, its text.
fn script(text: &SharedSource) -> Result<SharedSource, Error> {
    let mut content = MapBuilder::default();
    content.bytes(&size(text.size())?.to_be_bytes());
    content.zeros(4);
    content.whole(text);
    Ok(content.share())
}

fn header(kind: LegacyKind, name: &str, len: u64) -> Result<Header, Error> {
    let (number, comp, load) = match kind {
        LegacyKind::Kernel { load, gzip } => (2, u8::from(gzip), load),
        LegacyKind::Ramdisk => (3, 0, 0),
        LegacyKind::Script => (6, 0, 0),
    };
    Ok(Header {
        magic: MAGIC.into(),
        hcrc: 0.into(),
        time: u32::try_from(Metadata::GENERATED_MTIME).unwrap_or_default().into(),
        size: size(len)?.into(),
        load: load.into(),
        ep: load.into(),
        dcrc: 0.into(),
        os: LINUX,
        arch: ARM64,
        kind: number,
        comp,
        name: padded(name.as_bytes(), 0),
    })
}

fn size(len: u64) -> Result<u32, Error> {
    let fits = u32::try_from(len).ok().filter(|_| len <= LARGEST);
    fits.ok_or(Error::ImageTooLarge { format: "an image of U-Boot", limit: LARGEST })
}

/// The header with the checksum of the content, and then its own over all of it.
fn with_checksums(header: &Header, content: &dyn Source) -> Result<Vec<u8>, ReadError> {
    let mut header = Header { dcrc: crc32(content)?.into(), ..header.clone() };
    header.hcrc = crc32fast::hash(header.as_bytes()).into();
    Ok(header.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory;
    use crate::extent::{Bytes, Zeros};

    fn image(kind: LegacyKind, content: &str) -> Vec<u8> {
        let content: SharedSource = Arc::new(Bytes(content.as_bytes().into()));
        let image = legacy_image(kind, "name", &content).unwrap();
        let mut bytes = vec![0; in_memory(image.size())];
        image.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn the_header_has_the_fields_and_checksums_that_u_boot_reads() {
        let bytes = image(LegacyKind::Kernel { load: 0x80000, gzip: true }, "KERNEL");
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([0, 8, 12, 16, 20].map(word), [MAGIC, 1_492_533_000, 6, 0x80000, 0x80000]);
        assert_eq!(word(24), crc32fast::hash(b"KERNEL"));
        assert_eq!(
            (&bytes[28..32], &bytes[32..38], &bytes[64..]),
            (&[5, 22, 2, 1][..], &b"name\0\0"[..], &b"KERNEL"[..])
        );
        let mut header = bytes[..64].to_vec();
        header[4..8].fill(0);
        assert_eq!(word(4), crc32fast::hash(&header));
        assert_eq!(image(LegacyKind::Ramdisk, "I")[28..32], [5, 22, 3, 0]);
    }

    #[test]
    fn a_script_stands_behind_its_size() {
        let bytes = image(LegacyKind::Script, "echo a\n");
        assert_eq!((bytes[28..32].to_vec(), &bytes[64..]), (vec![5, 22, 6, 0], &b"\0\0\0\x07\0\0\0\0echo a\n"[..]));
    }

    #[test]
    fn what_has_no_size_of_32_bits_is_refused() {
        let large: SharedSource = Arc::new(Zeros(u64::from(u32::MAX)));
        let error = legacy_image(LegacyKind::Ramdisk, "x", &large).err().unwrap();
        assert_eq!(error.to_string(), "the content is more than an image of U-Boot can hold (4294967231 bytes)");
    }
}
