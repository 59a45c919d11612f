//! An image for AWS Nitro Enclaves: sections, and a header in front that knows where they are and ends with a checksum.
//!
//! ```text
//! header, CRC-32 | kernel | command line | metadata | ramdisk | ramdisk ... | signature
//! ```
//!
//! The checksum is over everything else, so its first read reads all data once, but no holes. It is kept from then on.
//!
//! # Format
//! AWS's crate `aws-nitro-enclaves-image-format` 0.8, `src/defs`, version 4. Numbers are big-endian.

use std::mem::offset_of;
use std::sync::Arc;

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::Error;
use super::computed::Computed;
use super::crc32::crc32;
use crate::base::{GIB, in_memory};
use crate::extent::{Bytes, MapBuilder, SharedSource, Sink};

/// Sections that the header has room for.
const MOST_SECTIONS: usize = 32;
/// The header's flag of an image for arm64.
const ARM64: u16 = 1;
/// What an enclave gets unless it is started with something else: AWS's own defaults.
const MEMORY: u64 = GIB;
const PROCESSORS: u64 = 2;
/// The largest image in bytes. `nitro-cli` wants four times as much memory for an enclave, which measures all of it when it
/// starts.
const LARGEST: u64 = 16 * GIB;

/// "EifHeader".
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: U16,
    flags: U16,
    default_mem: U64,
    default_cpus: U64,
    reserved: U16,
    num_sections: U16,
    section_offsets: [U64; MOST_SECTIONS],
    section_sizes: [U64; MOST_SECTIONS],
    unused: U32,
    eif_crc32: U32,
}

/// "EifSectionHeader".
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct SectionHeader {
    section_type: U16,
    flags: U16,
    section_size: U64,
}

const HEADER: u64 = size_of::<Header>() as u64;
const CHECKSUM: u64 = offset_of!(Header, eif_crc32) as u64;
const _: () = assert!(HEADER == 548 && CHECKSUM == 544 && size_of::<SectionHeader>() == 12);

/// "EifSectionType".
#[derive(Clone, Copy)]
enum Section {
    Kernel = 1,
    CommandLine = 2,
    Ramdisk = 3,
    Signature = 4,
    Metadata = 5,
}

/// What an image is made of.
pub struct Eif {
    /// Whether it is for arm64; else it is for x86-64.
    pub arm64: bool,
    /// The kernel: a bzImage, on arm64 an Image.
    pub kernel: SharedSource,
    /// The kernel command line.
    pub cmdline: SharedSource,
    /// What it says of itself, as JSON.
    pub metadata: Vec<u8>,
    /// Archives that the kernel unpacks in order.
    pub ramdisks: Vec<SharedSource>,
    /// Signatures as CBOR, where it is signed.
    pub signature: Option<Vec<u8>>,
}

impl Eif {
    /// Lays out the image.
    ///
    /// # Errors
    /// When there are more sections than the header has room for, or more than 16 GiB.
    pub fn layout(self) -> Result<SharedSource, Error> {
        let mut header = Header {
            magic: *b".eif",
            version: 4.into(),
            flags: (if self.arm64 { ARM64 } else { 0 }).into(),
            default_mem: MEMORY.into(),
            default_cpus: PROCESSORS.into(),
            ..FromZeros::new_zeroed()
        };
        let sections = self.sections();
        check(&sections)?;
        let mut body = MapBuilder::default();
        for ((kind, content), count) in sections.iter().zip(1_u16..) {
            let at = usize::from(count - 1);
            header.num_sections = count.into();
            header.section_offsets[at] = (HEADER + body.position()).into();
            header.section_sizes[at] = content.size().into();
            body.bytes(section_header(*kind, content.size()).as_bytes());
            body.whole(content);
        }
        let mut covered = MapBuilder::default();
        covered.bytes(&header.as_bytes()[..in_memory(CHECKSUM)]);
        covered.whole(&body.share());
        let covered = covered.share();
        let all = covered.clone();
        let checksum = move || Ok(crc32(&*all)?.to_be_bytes().to_vec());
        let checksum: SharedSource = Arc::new(Computed::new(HEADER - CHECKSUM, checksum));
        let mut image = MapBuilder::default();
        image.extent(&covered, 0, CHECKSUM);
        image.whole(&checksum);
        image.extent(&covered, CHECKSUM, covered.size() - CHECKSUM);
        Ok(image.share())
    }

    /// The sections in the order in which AWS's tools write them.
    fn sections(self) -> Vec<(Section, SharedSource)> {
        let generated = |bytes: Vec<u8>| Arc::new(Bytes(bytes.into())) as SharedSource;
        let mut sections = vec![
            (Section::Kernel, self.kernel),
            (Section::CommandLine, self.cmdline),
            (Section::Metadata, generated(self.metadata)),
        ];
        sections.extend(self.ramdisks.into_iter().map(|ramdisk| (Section::Ramdisk, ramdisk)));
        sections.extend(self.signature.map(|signature| (Section::Signature, generated(signature))));
        sections
    }
}

/// Refuses what the header cannot name.
fn check(sections: &[(Section, SharedSource)]) -> Result<(), Error> {
    if sections.len() > MOST_SECTIONS {
        return Err(Error::TooMany { what: "sections", format: "an EIF", limit: MOST_SECTIONS as u64 });
    }
    eif_holds(sections.iter().map(|(_, content)| content.size()))
}

/// Whether an image can hold sections of these sizes in bytes, as far as that is known without their number.
///
/// # Errors
/// When they have more than 16 GiB together.
pub fn eif_holds(sizes: impl IntoIterator<Item = u64>) -> Result<(), Error> {
    let fixed = HEADER + (MOST_SECTIONS * size_of::<SectionHeader>()) as u64;
    let left = sizes.into_iter().try_fold(LARGEST - fixed, u64::checked_sub);
    left.map(drop).ok_or(Error::ImageTooLarge { format: "an EIF", limit: LARGEST })
}

fn section_header(kind: Section, size: u64) -> SectionHeader {
    SectionHeader { section_type: (kind as u16).into(), flags: 0.into(), section_size: size.into() }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::base::{Digest, ErrorKind, MIB};
    use crate::extent::{ReadError, Source, Zeros};

    fn image(ramdisks: Vec<SharedSource>) -> Eif {
        let bytes = |text: &str| Arc::new(Bytes(text.as_bytes().into())) as SharedSource;
        Eif {
            arm64: true,
            kernel: bytes("KERNEL"),
            cmdline: bytes("quiet"),
            metadata: b"{}".to_vec(),
            ramdisks,
            signature: Some(b"S".to_vec()),
        }
    }

    #[test]
    fn the_header_names_each_section_and_ends_with_the_checksum_of_everything_else() {
        let source = image(vec![Arc::new(Zeros(7)), Arc::new(Zeros(0))]).layout().unwrap();
        let mut bytes = vec![0; in_memory(source.size())];
        source.read_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes.len(), 548 + 6 * 12 + 6 + 5 + 2 + 7 + 1);
        assert_eq!(bytes[..8], *b".eif\0\x04\0\x01");
        assert_eq!(bytes[24..28], [0, 0, 0, 6]);
        let at = |number: usize| u64::from_be_bytes(bytes[28 + number * 8..][..8].try_into().unwrap());
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(at), [548, 566, 583, 597, 616, 628, 0]);
        assert_eq!([32, 33, 34, 35, 36, 37, 38].map(at), [6, 5, 2, 7, 0, 1, 0]);
        assert_eq!(bytes[548..566], *b"\0\x01\0\0\0\0\0\0\0\0\0\x06KERNEL");
        assert_eq!(bytes[628..], *b"\0\x04\0\0\0\0\0\0\0\0\0\x01S");
        let covered = [&bytes[..544], &bytes[548..]].concat();
        assert_eq!(bytes[544..548], crc32fast::hash(&covered).to_be_bytes());
    }

    /// From AWS's crate `aws-nitro-enclaves-image-format` 0.8.1, by `EifBuilder::write_to` for the same parts. A signature there
    /// is never the same twice.
    #[test]
    fn the_bytes_are_those_of_awss_own_crate() {
        let bytes = |text: &str| Arc::new(Bytes(text.as_bytes().into())) as SharedSource;
        let metadata = concat!(
            r#"{"ImageName":"n","ImageVersion":"1","BuildMetadata":{"BuildTime":"t","BuildTool":"b","BuildToolVersion":"v","#,
            r#""OperatingSystem":"Linux","KernelVersion":"6"},"DockerInfo":{},"CustomMetadata":{}}"#
        );
        let digest = |arm64, ramdisks: &[&str]| {
            let ramdisks = ramdisks.iter().map(|text| bytes(text)).collect();
            let eif = Eif { arm64, metadata: metadata.into(), signature: None, ..image(ramdisks) };
            let source = eif.layout().unwrap();
            let mut all = vec![0; in_memory(source.size())];
            source.read_at(&mut all, 0).unwrap();
            Digest::of(&all).hex()
        };
        let one = "de098f4d6f21f65a95a2148c0a0220321562f575038d8f61f6d6522e55c5680d";
        let two = "d97b812e0602a517a3ed02af927e294833315facfc151aec0763d641765e6dce";
        assert_eq!([digest(false, &["FIRST RAMDISK"]), digest(true, &["FIRST RAMDISK", "SECOND"])], [one, two]);
    }

    #[test]
    fn what_the_header_cannot_name_is_refused() {
        let many = |count| image((0..count).map(|_| Arc::new(Zeros(1)) as SharedSource).collect()).layout();
        assert!(many(28).is_ok());
        assert_eq!(many(29).err().unwrap().to_string(), "an EIF cannot hold more than 32 sections");
        for sizes in [[LARGEST, 1], [1, LARGEST], [u64::MAX, u64::MAX]] {
            let large = image(sizes.map(|size| Arc::new(Zeros(size)) as SharedSource).into()).layout();
            assert_eq!(
                large.err().unwrap().to_string(),
                "the content is more than an EIF can hold (17179869184 bytes)"
            );
        }
    }

    #[test]
    fn holes_are_not_read_for_the_checksum() {
        let holes = image(vec![Arc::new(Unread(LARGEST - MIB))]).layout().unwrap();
        let mut checksum = [0; 4];
        holes.read_at(&mut checksum, CHECKSUM).unwrap();
        assert_ne!(checksum, [0; 4]);
    }

    /// Zeros that are not to be read.
    struct Unread(u64);

    impl Source for Unread {
        fn size(&self) -> u64 {
            self.0
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> Result<(), ReadError> {
            Err(ReadError::new(ErrorKind::Io, "it is not to be read"))
        }

        fn data_from(&self, _: u64) -> Option<Range<u64>> {
            None
        }
    }
}
