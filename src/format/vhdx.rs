//! Hyper-V's VHDX disk: used blocks behind tables that each carry a CRC-32C.
//!
//! ```text
//! 0    64K     128K    192K     256K     1M         2M        3M
//! id | header | header | regions | regions | log (none) | metadata | block allocation table | used blocks
//! ```
//!
//! # Format
//! Microsoft MS-VHDX, version 7.0; numbers are little-endian.

use super::field::put;
use super::table::table;
use super::used::Used;
use super::{Error, Guid};
use crate::base::{Digest, GIB, KIB, MIB, align_up};
use crate::extent::{MapBuilder, Measure, SharedSource, Sink};

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

const REGION_BAT: Guid = Guid(0x2DC27766_F623_4200_9D64_115E9BFD4A08);
const REGION_METADATA: Guid = Guid(0x8B7CA206_4790_4B9A_B8FE_575F050F886E);

/// Lays out `disk` as VHDX, in whole MiB.
///
/// # Errors
/// When `disk` is larger than 64 TiB.
pub fn vhdx(disk: &SharedSource, seed: &Digest) -> Result<SharedSource, Error> {
    let size = align_up(disk.size(), MIB);
    if size > MAX_DISK {
        return Err(Error::DiskTooLarge { size, format: "a VHDX disk", limit: MAX_DISK });
    }
    let vhdx = Vhdx { disk, size, used: Used::of(&**disk, BLOCK), guid: Guid::derive(seed, "vhdx") };
    let places = vhdx.emit(&mut Measure::default(), &Places::default());
    let mut map = MapBuilder::default();
    vhdx.emit(&mut map, &places);
    Ok(map.share())
}

struct Vhdx<'a> {
    disk: &'a SharedSource,
    /// Size the guest sees, in bytes.
    size: u64,
    used: Used,
    guid: Guid,
}

/// Offset of each part in bytes, found by measuring.
#[derive(Default)]
struct Places {
    log: u64,
    metadata: u64,
    bat: u64,
    data: u64,
}

impl Vhdx<'_> {
    fn emit(&self, sink: &mut dyn Sink, places: &Places) -> Places {
        sink.bytes(b"vhdxfile");
        sink.bytes(&"lkit".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        for sequence in 1..=2 {
            sink.pad_to(sequence * 64 * KIB);
            sink.bytes(&self.header(sequence, places));
        }
        for copy in 3..=4 {
            sink.pad_to(copy * 64 * KIB);
            sink.bytes(&regions(places));
        }
        let log = next_mebibyte(sink);
        sink.zeros(MIB);
        let metadata = next_mebibyte(sink);
        sink.bytes(&self.metadata());
        let bat = next_mebibyte(sink);
        let (used, data) = (self.used.clone(), places.data);
        sink.whole(&table(self.bat_entries(), move |index| bat_entry(&used, index, data)));
        let data = next_mebibyte(sink);
        self.used.emit(self.disk, sink);
        Places { log, metadata, bat, data }
    }

    /// One entry a block, and one for a bitmap block behind each full chunk.
    fn bat_entries(&self) -> u64 {
        let blocks = self.size.div_ceil(BLOCK);
        blocks + blocks.saturating_sub(1) / CHUNK
    }

    /// Section 2.2.2; two of them, of which the higher sequence number holds.
    fn header(&self, sequence: u64, places: &Places) -> Vec<u8> {
        let mut header = vec![0; 4096];
        put(&mut header, 0, b"head");
        put(&mut header, 8, &sequence.to_le_bytes());
        put(&mut header, 16, &self.guid.to_mixed_endian());
        put(&mut header, 32, &self.guid.to_mixed_endian());
        put(&mut header, 66, &1_u16.to_le_bytes()); // version; the log GUID before it is 0: nothing to replay
        put(&mut header, 68, &small(MIB).to_le_bytes());
        put(&mut header, 72, &places.log.to_le_bytes());
        sealed(header)
    }

    /// Section 2.6: a table of items, whose values stand from 64 KiB on.
    fn metadata(&self) -> Vec<u8> {
        let items: [(Guid, u32, &[u8]); 5] = [
            // File parameters, required: block size, no parent.
            (Guid(0xCAA16737_FA36_4D43_B3B6_33F0AA44E76B), 4, &BLOCK.to_le_bytes()),
            // Virtual disk size; flags: of the disk, required.
            (Guid(0x2FA54224_CD1B_4876_B211_5DBED83BF4B8), 6, &self.size.to_le_bytes()),
            // Virtual disk id.
            (Guid(0xBECA12AB_B2E6_4523_93EF_C309E000C746), 6, &self.guid.to_mixed_endian()),
            // Logical and physical sector size.
            (Guid(0x8141BF1D_A96F_4709_BA47_F233A8FAAB5F), 6, &small(LOGICAL_SECTOR).to_le_bytes()),
            (Guid(0xCDA348C7_445D_4471_9CC9_E9885251C556), 6, &4096_u32.to_le_bytes()),
        ];
        let mut region = vec![0; 64 * 1024];
        put(&mut region, 0, b"metadata");
        put(&mut region, 10, &5_u16.to_le_bytes());
        for (slot, (item, flags, value)) in items.into_iter().enumerate() {
            let (entry, offset) = (32 + 32 * slot, region.len() as u64);
            put(&mut region, entry, &item.to_mixed_endian());
            put(&mut region, entry + 16, &small(offset).to_le_bytes());
            put(&mut region, entry + 20, &small(value.len() as u64).to_le_bytes());
            put(&mut region, entry + 24, &flags.to_le_bytes());
            region.extend_from_slice(value);
        }
        region
    }
}

/// Section 2.2.3: where the block allocation table and the metadata are.
fn regions(places: &Places) -> Vec<u8> {
    let mut region = vec![0; 64 * 1024];
    put(&mut region, 0, b"regi");
    put(&mut region, 8, &2_u32.to_le_bytes());
    let bat = (REGION_BAT, places.bat, places.data.saturating_sub(places.bat));
    for (slot, (kind, offset, len)) in [bat, (REGION_METADATA, places.metadata, MIB)].into_iter().enumerate() {
        let entry = 16 + 32 * slot;
        put(&mut region, entry, &kind.to_mixed_endian());
        put(&mut region, entry + 16, &offset.to_le_bytes());
        put(&mut region, entry + 24, &small(len).to_le_bytes());
        put(&mut region, entry + 28, &1_u32.to_le_bytes()); // required
    }
    sealed(region)
}

/// Section 2.5.1: offset in MiB and state; bitmap entries and unused blocks are 0 ("not present").
fn bat_entry(used: &Used, index: u64, data: u64) -> [u8; 8] {
    let (chunk, slot) = (index / (CHUNK + 1), index % (CHUNK + 1));
    let rank = if slot == CHUNK { None } else { used.rank(chunk * CHUNK + slot) };
    rank.map_or(0, |rank| (data + rank * BLOCK) | PRESENT).to_le_bytes()
}

/// Puts the CRC-32C of the whole structure at offset 4, which counts as 0.
fn sealed(mut structure: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&structure);
    put(&mut structure, 4, &checksum.to_le_bytes());
    structure
}

fn next_mebibyte(sink: &mut dyn Sink) -> u64 {
    sink.align(MIB);
    sink.position()
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
            Vhdx { disk: &disk, size: blocks * BLOCK, used, guid: Guid(1) }.bat_entries()
        };
        assert_eq!([1, 4096, 4097, 8192, 8193].map(entries), [1, 4096, 4098, 8193, 8195]);
    }
}
