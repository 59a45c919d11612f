//! Hyper-V's VHDX disk: used blocks behind tables that each carry a CRC-32C.
//!
//! ```text
//! 0    64K     128K    192K     256K     1M         2M        3M
//! id | header | header | regions | regions | log (none) | metadata | block allocation table | used blocks
//! ```
//!
//! # Format
//! Microsoft MS-VHDX, version 7.0; numbers are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::table::table;
use super::used::Used;
use super::{Error, Guid, derived_guid};
use crate::base::{Digest, GIB, KIB, MIB, align_up};
use crate::extent::{Label, Places, Placing, SharedSource, Sink};

/// Size of a block in bytes: the least the specification allows, and what Microsoft recommends for Linux guests.
const BLOCK: u64 = MIB;
/// Size of a logical sector in bytes.
const LOGICAL_SECTOR: u64 = 512;
/// Blocks to one (absent) sector bitmap block, section 2.5: "chunk ratio".
const CHUNK: u64 = (1 << 23) * LOGICAL_SECTOR / BLOCK;
/// `PAYLOAD_BLOCK_FULLY_PRESENT`, section 2.5.1.1.
const PRESENT: u64 = 6;
/// Largest disk, section 2.6.2.2.
const MAX_DISK: u64 = 64 * 1024 * GIB;

/// "Header", section 2.2.2.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Header {
    signature: [u8; 4],
    checksum: U32,
    sequence_number: U64,
    file_write_guid: [u8; 16],
    data_write_guid: [u8; 16],
    log_guid: [u8; 16],
    log_version: U16,
    version: U16,
    log_length: U32,
    log_offset: U64,
    reserved: [u8; 4016],
}

/// "Region Table Header" and "Region Table Entry", section 2.2.3.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct RegionTable {
    signature: [u8; 4],
    checksum: U32,
    entry_count: U32,
    reserved: U32,
    entries: [RegionTableEntry; 2],
    rest: [u8; 65_456],
}

#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct RegionTableEntry {
    guid: [u8; 16],
    file_offset: U64,
    length: U32,
    required: U32,
}

/// "Metadata Table Header" and "Metadata Table Entry", section 2.6.1.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct MetadataTable {
    signature: [u8; 8],
    reserved: U16,
    entry_count: U16,
    reserved2: [u8; 20],
    entries: [MetadataTableEntry; 5],
    rest: [u8; 65_344],
}

#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct MetadataTableEntry {
    item_id: [u8; 16],
    offset: U32,
    length: U32,
    flags: U32,
    reserved: U32,
}

const _: () = assert!(size_of::<Header>() as u64 == 4 * KIB);
const _: () = assert!(size_of::<RegionTable>() as u64 == 64 * KIB && size_of::<RegionTableEntry>() == 32);
const _: () = assert!(size_of::<MetadataTable>() as u64 == 64 * KIB && size_of::<MetadataTableEntry>() == 32);

const REGION_BAT: Guid = Guid::from_u128(0x2DC27766_F623_4200_9D64_115E9BFD4A08);
const REGION_METADATA: Guid = Guid::from_u128(0x8B7CA206_4790_4B9A_B8FE_575F050F886E);

/// Lays out `disk` as VHDX, in whole MiB.
///
/// # Errors
/// When `disk` is larger than 64 TiB.
pub fn vhdx(disk: &SharedSource, seed: &Digest) -> Result<SharedSource, Error> {
    let size = align_up(disk.size(), MIB);
    if size > MAX_DISK {
        return Err(Error::DiskTooLarge { size, format: "a VHDX disk", limit: MAX_DISK });
    }
    let vhdx = Vhdx { disk, size, used: Used::of(&**disk, BLOCK), guid: derived_guid(seed, "vhdx") };
    Ok(Places::measure(0, |sink| vhdx.emit(sink)).lay_out(|sink| vhdx.emit(sink)))
}

struct Vhdx<'a> {
    disk: &'a SharedSource,
    /// Size the guest sees, in bytes.
    size: u64,
    used: Used,
    guid: Guid,
}

/// What headers and tables name by its offset in bytes.
#[derive(Clone, Copy)]
enum Part {
    Log,
    Metadata,
    Bat,
    Data,
}

impl Label for Part {
    type Number = u64;

    fn slot(self) -> (usize, usize) {
        (0, self as usize)
    }
}

impl Vhdx<'_> {
    fn emit(&self, sink: &mut Placing<'_, Part>) {
        sink.bytes(b"vhdxfile");
        sink.bytes(&"lkit".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        for sequence in 1..=2 {
            sink.pad_to(sequence * 64 * KIB);
            sink.bytes(self.header(sequence, sink.place(Part::Log)).as_bytes());
        }
        for copy in 3..=4 {
            sink.pad_to(copy * 64 * KIB);
            sink.bytes(regions(sink).as_bytes());
        }
        begin(Part::Log, sink);
        sink.zeros(MIB);
        begin(Part::Metadata, sink);
        sink.bytes(&self.metadata());
        begin(Part::Bat, sink);
        let (used, data) = (self.used.clone(), sink.place(Part::Data));
        sink.whole(&table(self.bat_entries(), move |index| bat_entry(&used, index, data)));
        begin(Part::Data, sink);
        self.used.emit(self.disk, sink);
    }

    /// One entry a block, and one for a bitmap block behind each full chunk.
    fn bat_entries(&self) -> u64 {
        let blocks = self.size.div_ceil(BLOCK);
        blocks + blocks.saturating_sub(1) / CHUNK
    }

    /// One of the two, of which that with the higher sequence number holds.
    fn header(&self, sequence: u64, log: u64) -> Header {
        let mut header = Header {
            signature: *b"head",
            sequence_number: sequence.into(),
            file_write_guid: self.guid.to_bytes_le(),
            data_write_guid: self.guid.to_bytes_le(),
            log_guid: [0; 16], // nothing to replay
            version: 1.into(),
            log_length: small(MIB).into(),
            log_offset: log.into(),
            ..FromZeros::new_zeroed()
        };
        header.checksum = crc32c::crc32c(header.as_bytes()).into();
        header
    }

    /// Section 2.6: a table of items, whose values follow it.
    fn metadata(&self) -> Vec<u8> {
        let items: [(Guid, u32, &[u8]); 5] = [
            // File parameters, required: block size, no parent.
            (Guid::from_u128(0xCAA16737_FA36_4D43_B3B6_33F0AA44E76B), 4, &BLOCK.to_le_bytes()),
            // Virtual disk size; flags: of the disk, required.
            (Guid::from_u128(0x2FA54224_CD1B_4876_B211_5DBED83BF4B8), 6, &self.size.to_le_bytes()),
            // Virtual disk id.
            (Guid::from_u128(0xBECA12AB_B2E6_4523_93EF_C309E000C746), 6, &self.guid.to_bytes_le()),
            // Logical and physical sector size.
            (Guid::from_u128(0x8141BF1D_A96F_4709_BA47_F233A8FAAB5F), 6, &small(LOGICAL_SECTOR).to_le_bytes()),
            (Guid::from_u128(0xCDA348C7_445D_4471_9CC9_E9885251C556), 6, &4096_u32.to_le_bytes()),
        ];
        let mut values = Vec::new();
        let entries = items.map(|(item, flags, value)| {
            let offset = small((size_of::<MetadataTable>() + values.len()) as u64);
            values.extend_from_slice(value);
            MetadataTableEntry {
                item_id: item.to_bytes_le(),
                offset: offset.into(),
                length: small(value.len() as u64).into(),
                flags: flags.into(),
                reserved: 0.into(),
            }
        });
        let table =
            MetadataTable { signature: *b"metadata", entry_count: 5.into(), entries, ..FromZeros::new_zeroed() };
        [table.as_bytes(), &values].concat()
    }
}

/// Where the block allocation table and the metadata are.
fn regions(sink: &Placing<'_, Part>) -> RegionTable {
    let region = |guid: Guid, offset: u64, len| RegionTableEntry {
        guid: guid.to_bytes_le(),
        file_offset: offset.into(),
        length: small(len).into(),
        required: 1.into(),
    };
    let (bat, data) = (sink.place(Part::Bat), sink.place(Part::Data));
    let mut table = RegionTable {
        signature: *b"regi",
        entry_count: 2.into(),
        entries: [region(REGION_BAT, bat, data - bat), region(REGION_METADATA, sink.place(Part::Metadata), MIB)],
        ..FromZeros::new_zeroed()
    };
    table.checksum = crc32c::crc32c(table.as_bytes()).into();
    table
}

/// Section 2.5.1: offset in MiB and state; bitmap entries and unused blocks are 0 ("not present").
fn bat_entry(used: &Used, index: u64, data: u64) -> [u8; 8] {
    let (chunk, slot) = (index / (CHUNK + 1), index % (CHUNK + 1));
    let rank = if slot == CHUNK { None } else { used.rank(chunk * CHUNK + slot) };
    rank.map_or(0, |rank| (data + rank * BLOCK) | PRESENT).to_le_bytes()
}

/// Begins a part at the next whole MiB.
fn begin(part: Part, sink: &mut Placing<'_, Part>) {
    sink.align(MIB);
    sink.note(part);
}

fn small(value: u64) -> u32 {
    u32::try_from(value).expect("sizes and offsets of VHDX metadata are a few MiB")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::Zeros;

    #[test]
    fn an_empty_disk_is_four_mebibytes() {
        let disk: SharedSource = Arc::new(Zeros(GIB));
        assert_eq!(vhdx(&disk, &Digest::of(b"")).unwrap().size(), 4 * MIB);
    }

    #[test]
    fn each_full_chunk_has_one_entry_for_its_bitmap() {
        let disk: SharedSource = Arc::new(Zeros(0));
        let entries = |blocks: u64| {
            let used = Used::of(&*disk, BLOCK);
            Vhdx { disk: &disk, size: blocks * BLOCK, used, guid: Guid::from_u128(1) }.bat_entries()
        };
        assert_eq!([1, 4096, 4097, 8192, 8193].map(entries), [1, 4096, 4098, 8193, 8195]);
    }
}
