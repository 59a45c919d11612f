//! A unified kernel image: an EFI program with its command line, initrd and kernel as further sections.
//!
//! ```text
//! headers of the stub, more section headers | sections of the stub | .osrel | .cmdline | .initrd | .linux
//! ```
//!
//! # Format
//! Microsoft "PE Format" (PE32+); UAPI Group "Unified Kernel Image".

use std::mem::offset_of;
use std::ops::Range;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, FromZeros};

use super::Error;
use super::field::padded;
use super::pe::{Headers, PE32_PLUS, SIGNATURE, SIGNATURE_OFFSET, SectionHeader};
use crate::base::{align_up, in_memory};
use crate::extent::{Label, Places, Placing, SharedSource, Sink};

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
    let mut stub = Stub::parse(stub).ok_or(Error::StubMalformed)?;
    stub.insert_headers(sections.len());
    if stub.headers.len() as u64 > stub.first_address {
        return Err(Error::StubMalformed);
    }
    let addresses = stub.addresses(&sections);
    let end = addresses.last().map_or(stub.end, |last| last.end);
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
    let image = Uki { stub, sections: &sections, addresses, end };
    Ok(Places::measure(0, |sink| image.emit(sink)).lay_out(|sink| image.emit(sink)))
}

struct Uki<'a> {
    stub: Stub,
    sections: &'a [&'a Section],
    /// Addresses of each section in memory, relative to the image, and the end of the last.
    addresses: Vec<Range<u64>>,
    end: u64,
}

/// An added section, whose header names its offset in the file.
#[derive(Clone, Copy)]
struct Added(usize);

impl Label for Added {
    type Number = u64;

    fn slot(self) -> (usize, usize) {
        (0, self.0)
    }
}

impl Uki<'_> {
    fn emit(&self, sink: &mut Placing<'_, Added>) {
        sink.bytes(&self.headers(sink));
        sink.bytes(&self.stub.body);
        sink.align(self.stub.file_alignment);
        for (number, section) in self.sections.iter().enumerate() {
            sink.note(Added(number));
            sink.whole(&section.content);
            sink.align(self.stub.file_alignment);
        }
    }

    fn headers(&self, sink: &Placing<'_, Added>) -> Vec<u8> {
        let mut stub = self.stub.clone();
        let total = stub.count + self.sections.len();
        let added = stub.section_headers(total).iter_mut().skip(self.stub.count);
        for (number, header) in added.enumerate() {
            *header = self.section_header(number, sink.place(Added(number)));
        }
        let initialized: u64 = self.sections.iter().map(|section| self.size_in_file(section)).sum();
        let (size, image) = (stub.headers.len() as u64, align_up(self.end, stub.section_alignment));
        let Headers { coff, optional, .. } = stub.pe_headers();
        coff.number_of_sections = u16::try_from(total).expect("a handful of sections").into();
        optional.size_of_initialized_data = word(u64::from(optional.size_of_initialized_data.get()) + initialized);
        optional.size_of_image = word(image);
        optional.size_of_headers = word(size);
        optional.check_sum = 0.into();
        stub.headers
    }

    fn section_header(&self, number: usize, offset: u64) -> SectionHeader {
        let (section, Range { start, end }) = (self.sections[number], self.addresses[number].clone());
        SectionHeader {
            name: padded(section.name.as_bytes(), 0),
            virtual_size: word(end - start),
            virtual_address: word(start),
            size_of_raw_data: word(self.size_in_file(section)),
            pointer_to_raw_data: word(offset),
            characteristics: section.characteristics().into(),
            ..FromZeros::new_zeroed()
        }
    }

    fn size_in_file(&self, section: &Section) -> u64 {
        align_up(section.content.size(), self.stub.file_alignment)
    }
}

impl Section {
    /// "Section Flags": code that may be executed, or data; readable both.
    const fn characteristics(&self) -> u32 {
        if self.code { 0x6000_0020 } else { 0x4000_0040 }
    }
}

/// What of a PE32+ file matters for adding sections.
#[derive(Clone)]
struct Stub {
    headers: Vec<u8>,
    /// The rest of the file.
    body: Vec<u8>,
    /// Offset of the signature.
    pe: usize,
    /// Offset of the section table, and its entries.
    table: usize,
    count: usize,
    section_alignment: u64,
    file_alignment: u64,
    /// Address of the first section and end of the last, relative to the image.
    first_address: u64,
    end: u64,
}

impl Stub {
    fn parse(file: &[u8]) -> Option<Self> {
        let (pe, _) = U32::read_from_prefix(file.get(SIGNATURE_OFFSET..)?).ok()?;
        let pe = usize::try_from(pe.get()).ok()?;
        let (Headers { signature, coff, optional }, _) = Headers::read_from_prefix(file.get(pe..)?).ok()?;
        if (&file[..2], signature, optional.magic.get()) != (b"MZ", SIGNATURE, PE32_PLUS) {
            return None;
        }
        let count = usize::from(coff.number_of_sections.get());
        let table = pe + offset_of!(Headers, optional) + usize::from(coff.size_of_optional_header.get());
        let (headers, body) = file.split_at_checked(usize::try_from(optional.size_of_headers.get()).ok()?)?;
        let (sections, _) = <[SectionHeader]>::ref_from_prefix_with_elems(headers.get(table..)?, count).ok()?;
        let (mut first_address, mut end) = (u64::MAX, 0);
        for section in sections {
            let address = u64::from(section.virtual_address.get());
            let size = section.virtual_size.get().max(section.size_of_raw_data.get());
            first_address = first_address.min(address);
            end = end.max(address + u64::from(size));
        }
        let section_alignment = u64::from(optional.section_alignment.get()).max(PAGE);
        let file_alignment = u64::from(optional.file_alignment.get());
        let is_sound = section_alignment.is_power_of_two()
            && file_alignment.is_power_of_two()
            && pe + size_of::<Headers>() <= headers.len();
        let (headers, body) = (headers.to_vec(), body.to_vec());
        is_sound.then_some(Self {
            headers,
            body,
            pe,
            table,
            count,
            section_alignment,
            file_alignment,
            first_address,
            end,
        })
    }

    fn pe_headers(&mut self) -> &mut Headers {
        Headers::mut_from_prefix(&mut self.headers[self.pe..]).expect("the headers were read before").0
    }

    fn section_headers(&mut self, count: usize) -> &mut [SectionHeader] {
        let table = <[SectionHeader]>::mut_from_prefix_with_elems(&mut self.headers[self.table..], count);
        table.expect("the headers have room for the table").0
    }

    /// Where sections come to stand in memory, behind those of the stub.
    fn addresses(&self, sections: &[&Section]) -> Vec<Range<u64>> {
        let mut end = self.end;
        let addresses = sections.iter().map(|section| {
            let start = align_up(end, self.section_alignment);
            end = start.saturating_add(section.memory.max(section.content.size()));
            start..end
        });
        addresses.collect()
    }

    /// Makes room for more section headers, and moves what stands behind.
    fn insert_headers(&mut self, more: usize) {
        let needed = (self.table + size_of::<SectionHeader>() * (self.count + more)) as u64;
        let needed = in_memory(align_up(needed, self.file_alignment));
        let shift = needed.saturating_sub(self.headers.len());
        self.headers.resize(self.headers.len() + shift, 0);
        for section in self.section_headers(self.count) {
            let raw = u64::from(section.pointer_to_raw_data.get());
            if raw != 0 {
                section.pointer_to_raw_data = word(raw + shift as u64);
            }
        }
    }
}

/// A 32-bit field: everything in an image below 2 GiB fits it.
fn word(value: u64) -> U32 {
    u32::try_from(value).unwrap_or(u32::MAX).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::stub;
    use super::*;
    use crate::extent::{Bytes, Zeros};

    fn u32_at(file: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
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
        let field = |at| u32_at(&file, at);
        assert_eq!((file[0x46], field(0x58 + 56), field(0x58 + 60)), (3, 0x8000, 1024));
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
        assert_eq!((u32_at(&file, 0x58 + 60), u32_at(&file, 0x58 + 240 + 20)), (1024, 1024));
        assert_eq!(&file[1024..1028], b"code");
    }

    #[test]
    fn a_stub_whose_headers_end_before_their_last_field_is_refused() {
        for (size_of_headers, is_sound) in [(0x9b, false), (0x9c, true)] {
            let mut file = stub(512);
            let Headers { coff, optional, .. } = Headers::mut_from_prefix(&mut file[0x40..]).unwrap().0;
            (coff.number_of_sections, coff.size_of_optional_header) = (0.into(), 0.into());
            (optional.file_alignment, optional.size_of_headers) = (1.into(), size_of_headers.into());
            assert_eq!(uki(&file, &[]).is_ok(), is_sound, "{size_of_headers:#x}");
        }
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
