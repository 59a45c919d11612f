//! A unified kernel image: an EFI program with its command line, initrd and kernel as further sections.
//!
//! ```text
//! headers of the stub, more section headers | sections of the stub | .osrel | .cmdline | .initrd | .linux
//! ```
//!
//! # Format
//! Microsoft "PE Format" (PE32+); UAPI Group "Unified Kernel Image".

use super::Error;
use super::field::put;
use crate::base::align_up;
use crate::extent::{MapBuilder, Measure, SharedSource, Sink};

/// Size of a section header in bytes.
const SECTION_HEADER: usize = 40;
/// Pages of the processor: sections must not share one.
const PAGE: u64 = 4096;
/// Largest image: its addresses are signed in many loaders.
const MAX_IMAGE: u64 = i32::MAX as u64;

/// A section to add.
pub struct Section {
    /// At most eight bytes.
    pub name: &'static str,
    /// What it holds.
    pub content: SharedSource,
    /// Bytes it takes in memory, if more than the content: a kernel says so in its own header.
    pub memory: u64,
    /// Whether it is code.
    pub code: bool,
}

impl Section {
    /// A section of data.
    pub const fn data(name: &'static str, content: SharedSource) -> Self {
        Self { name, content, memory: 0, code: false }
    }
}

/// Adds `sections` to the EFI program `stub`; empty ones are left out, since two sections cannot share an address.
///
/// # Errors
/// When `stub` is no PE32+ program with aligned sections, or the image passes 2 GiB.
pub fn uki(stub: &[u8], sections: &[Section]) -> Result<SharedSource, Error> {
    let sections: Vec<_> = sections.iter().filter(|section| section.content.size() > 0).collect();
    let mut image = Uki { stub: Stub::parse(stub).ok_or(Error::StubMalformed)?, sections: &sections };
    image.stub.insert_headers(sections.len());
    if image.stub.headers.len() as u64 > image.stub.first_address {
        return Err(Error::StubMalformed);
    }
    let places = image.emit(&mut Measure::default(), &vec![Place::default(); sections.len()]);
    let end = places.last().map_or(image.stub.end, |last| last.address_end);
    if end > MAX_IMAGE {
        let largest = sections.iter().max_by_key(|s| s.content.size()).expect("something passed the limit");
        return Err(Error::FileTooLarge {
            path: largest.name.to_owned(),
            size: largest.content.size(),
            format: "a unified kernel image",
            limit: MAX_IMAGE,
            instead: "the ISO and the disks",
        });
    }
    let mut map = MapBuilder::default();
    image.emit(&mut map, &places);
    Ok(map.share())
}

struct Uki<'a> {
    stub: Stub,
    sections: &'a [&'a Section],
}

/// Where a section stands.
#[derive(Clone, Default)]
struct Place {
    /// Offset in the file, and bytes there.
    raw: u64,
    raw_size: u64,
    /// Address and end in memory, relative to the image.
    address: u64,
    address_end: u64,
}

impl Uki<'_> {
    fn emit(&self, sink: &mut dyn Sink, places: &[Place]) -> Vec<Place> {
        sink.bytes(&self.headers(places));
        sink.bytes(&self.stub.body);
        sink.align(self.stub.file_alignment);
        let mut address_end = self.stub.end;
        let mut found = Vec::new();
        for section in self.sections {
            let raw = sink.position();
            sink.whole(&section.content);
            sink.align(self.stub.file_alignment);
            let address = align_up(address_end, self.stub.section_alignment);
            address_end = address.saturating_add(section.memory.max(section.content.size()));
            found.push(Place { raw, raw_size: sink.position() - raw, address, address_end });
        }
        found
    }

    fn headers(&self, places: &[Place]) -> Vec<u8> {
        let Stub { pe, table, count, .. } = self.stub;
        let mut headers = self.stub.headers.clone();
        for (slot, (section, place)) in self.sections.iter().zip(places).enumerate() {
            let at = table + SECTION_HEADER * (count + slot);
            put(&mut headers, at, section.name.as_bytes());
            put(&mut headers, at + 8, &word(place.address_end - place.address));
            put(&mut headers, at + 12, &word(place.address));
            put(&mut headers, at + 16, &word(place.raw_size));
            put(&mut headers, at + 20, &word(place.raw));
            put(&mut headers, at + 36, &section.characteristics().to_le_bytes());
        }
        let initialized: u64 = places.iter().map(|place| place.raw_size).sum();
        let end = places.last().map_or(self.stub.end, |last| last.address_end);
        let optional = pe + 24;
        let total = u16::try_from(count + self.sections.len()).expect("a handful of sections");
        put(&mut headers, pe + 6, &total.to_le_bytes());
        put(&mut headers, optional + 8, &word(self.stub.initialized + initialized));
        put(&mut headers, optional + 56, &word(align_up(end, self.stub.section_alignment)));
        put(&mut headers, optional + 60, &word(self.stub.headers.len() as u64));
        put(&mut headers, optional + 64, &[0; 4]); // no checksum
        headers
    }
}

impl Section {
    /// "Section Flags": code that may be executed, or data; readable both.
    const fn characteristics(&self) -> u32 {
        if self.code { 0x6000_0020 } else { 0x4000_0040 }
    }
}

/// What of a PE32+ file matters for adding sections.
struct Stub {
    headers: Vec<u8>,
    /// The rest of the file.
    body: Vec<u8>,
    /// Offset of the signature `PE\0\0`.
    pe: usize,
    /// Offset of the section table, and its entries.
    table: usize,
    count: usize,
    section_alignment: u64,
    file_alignment: u64,
    /// "SizeOfInitializedData".
    initialized: u64,
    /// Address of the first section and end of the last, relative to the image.
    first_address: u64,
    end: u64,
}

impl Stub {
    fn parse(file: &[u8]) -> Option<Self> {
        let pe = usize::try_from(u32_at(file, 0x3c)?).ok()?;
        let optional = pe.checked_add(24)?;
        let magic = (file.get(..2)?, file.get(pe..pe + 4)?, u16_at(file, optional)?);
        if magic != (b"MZ", b"PE\0\0", 0x20b) {
            return None;
        }
        let count = usize::from(u16_at(file, pe + 6)?);
        let table = optional + usize::from(u16_at(file, pe + 20)?);
        let section_alignment = u64::from(u32_at(file, optional + 32)?).max(PAGE);
        let file_alignment = u64::from(u32_at(file, optional + 36)?);
        let size_of_headers = usize::try_from(u32_at(file, optional + 60)?).ok()?;
        let (headers, body) = (file.get(..size_of_headers)?.to_vec(), file.get(size_of_headers..)?.to_vec());
        let aligned = section_alignment.is_power_of_two() && file_alignment.is_power_of_two();
        let (mut first_address, mut end) = (u64::MAX, 0);
        for slot in 0..count {
            let at = table + SECTION_HEADER * slot;
            let (size, address) = (u64::from(u32_at(file, at + 8)?), u64::from(u32_at(file, at + 12)?));
            let raw_size = u64::from(u32_at(file, at + 16)?);
            first_address = first_address.min(address);
            end = end.max(address + size.max(raw_size));
        }
        let complete = aligned && table + SECTION_HEADER * count <= size_of_headers;
        let initialized = u64::from(u32_at(file, optional + 8)?);
        let stub = Self {
            headers,
            body,
            pe,
            table,
            count,
            section_alignment,
            file_alignment,
            initialized,
            first_address,
            end,
        };
        complete.then_some(stub)
    }

    /// Makes room for more section headers, and moves what stands behind.
    fn insert_headers(&mut self, more: usize) {
        let needed = (self.table + SECTION_HEADER * (self.count + more)) as u64;
        let needed = usize::try_from(align_up(needed, self.file_alignment)).expect("a handful of headers");
        let shift = needed.saturating_sub(self.headers.len());
        self.headers.resize(self.headers.len() + shift, 0);
        for slot in 0..self.count {
            let at = self.table + SECTION_HEADER * slot + 20;
            let raw = u32_at(&self.headers, at).expect("the table was read before");
            if raw != 0 {
                put(&mut self.headers, at, &word(u64::from(raw) + shift as u64));
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(field.try_into().expect("two bytes were asked for")))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().expect("four bytes were asked for")))
}

/// A 32-bit field; what passes it is refused before it is written, so that a measuring pass may hold anything.
fn word(value: u64) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::{Bytes, Zeros};

    /// A program of one section, as small as can be.
    fn stub(size_of_headers: u32) -> Vec<u8> {
        let mut file = vec![0; size_of_headers as usize + 512];
        put(&mut file, 0, b"MZ");
        put(&mut file, 0x3c, &0x40_u32.to_le_bytes());
        put(&mut file, 0x40, b"PE\0\0\x64\x86\x01\0");
        put(&mut file, 0x40 + 20, &240_u16.to_le_bytes());
        put(&mut file, 0x58, &0x20b_u16.to_le_bytes());
        put(&mut file, 0x58 + 32, &[0, 16, 0, 0, 0, 2, 0, 0]);
        put(&mut file, 0x58 + 60, &size_of_headers.to_le_bytes());
        let section = 0x58 + 240;
        put(&mut file, section, b".text");
        put(&mut file, section + 8, &[9_u32, 0x1000, 512, size_of_headers].map(u32::to_le_bytes).concat());
        put(&mut file, size_of_headers as usize, b"code");
        file
    }

    fn sample() -> [Section; 2] {
        let kernel =
            Section { memory: 0x5000, code: true, ..Section::data(".linux", Arc::new(Bytes([2; 600].into()))) };
        [Section::data(".cmdline", Arc::new(Bytes(b"quiet".as_slice().into()))), kernel]
    }

    #[test]
    fn sections_stand_behind_those_of_the_stub() {
        let map = uki(&stub(1024), &sample()).unwrap();
        let mut file = vec![0; usize::try_from(map.size()).unwrap()];
        map.read_at(&mut file, 0).unwrap();
        let field = |at| u32_at(&file, at).unwrap();
        assert_eq!((u16_at(&file, 0x46), field(0x58 + 56), field(0x58 + 60)), (Some(3), 0x8000, 1024));
        let cmdline = 0x58 + 240 + 40;
        assert_eq!(&file[cmdline..cmdline + 8], b".cmdline");
        assert_eq!([8, 12, 16, 20].map(|at| field(cmdline + at)), [5, 0x2000, 512, 1536]);
        assert_eq!([8, 12, 16, 20].map(|at| field(cmdline + 40 + at)), [0x5000, 0x3000, 1024, 2048]);
        assert_eq!(&file[1536..1541], b"quiet");
        assert_eq!(file.len(), 3072);
    }

    #[test]
    fn an_empty_section_is_left_out() {
        let [cmdline, kernel] = sample();
        let with_empty = [cmdline, Section::data(".initrd", Arc::new(Zeros(0))), kernel];
        let bytes = |sections: &[Section]| {
            let map = uki(&stub(1024), sections).unwrap();
            let mut file = vec![0; usize::try_from(map.size()).unwrap()];
            map.read_at(&mut file, 0).unwrap();
            file
        };
        assert_eq!(bytes(&with_empty), bytes(&sample()));
    }

    #[test]
    fn headers_without_room_are_made_longer() {
        let sections = [sample(), sample()].into_iter().flatten().collect::<Vec<_>>();
        let map = uki(&stub(512), &sections).unwrap();
        let mut file = vec![0; usize::try_from(map.size()).unwrap()];
        map.read_at(&mut file, 0).unwrap();
        assert_eq!((u32_at(&file, 0x58 + 60), u32_at(&file, 0x58 + 240 + 20)), (Some(1024), Some(1024)));
        assert_eq!(&file[1024..1028], b"code");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let section = Section::data(".initrd", Arc::new(Zeros(3 << 30)));
        assert!(matches!(uki(&stub(1024), &[section]), Err(Error::FileTooLarge { .. })));
        for cut in 0..700 {
            uki(&stub(512)[..cut], &[]).map(|_| ()).unwrap_or_default();
        }
        assert!(matches!(uki(b"MZ", &[]), Err(Error::StubMalformed)));
    }
}
