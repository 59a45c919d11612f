//! Laying out the pages of an ISO with as many places as are known.

use super::boot_catalog::{BootImage, Platform, boot_catalog};
use super::hierarchy::ViewName;
use super::outline::{JOLIET, NamePage, Outline, PRIMARY, Part, PrimaryPage};
use super::places::Known;
use super::record::{
    DIRECTORY, DOT, DOT_DOT, Location, MULTI_EXTENT, Record, emit_within_block, head_len, path_record,
};
use super::rock_ridge::{Entries, announcement, entries, split};
use super::volume::{Volume, boot_record, terminator};
use super::{BLOCK, FIRST_BLOCK};
use crate::base::FileKind;
use crate::extent::{Measure, PagedLayout as _, Sink};
use crate::tree::InodeId;

/// Most bytes of one directory record's content: the largest multiple of a block in 32 bits, less one block, as other
/// writers choose it.
const SECTION: u64 = 0xffff_f800;
const BLOCKS_OF_SECTION: u32 = 0x001f_ffff;

/// An outline and what is known of its places.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    pub outline: &'a Outline,
    pub known: &'a Known,
}

impl Pages<'_> {
    /// Lays out one page; position 0 is block 16.
    pub fn emit(self, page: usize, sink: &mut dyn Sink) {
        match self.outline.part(page) {
            Part::Descriptors => self.emit_descriptors(sink),
            Part::PathTables(page) => self.emit_path_table(page, sink),
            Part::Primary(PrimaryPage::Records(page)) => self.emit_records(page as usize, sink),
            Part::Primary(PrimaryPage::Continuations(page)) => self.emit_continuations(page as usize, sink),
            Part::Joliet(page) => self.emit_joliet_records(page, sink),
            Part::Boot => self.emit_boot(sink),
            Part::Contents(page) => self.outline.contents.emit(page, sink),
        }
    }

    fn emit_descriptors(self, sink: &mut dyn Sink) {
        sink.bytes(&self.volume(PRIMARY));
        if self.outline.has_boot() {
            sink.bytes(&boot_record(self.known.catalog()));
        }
        sink.bytes(&self.volume(JOLIET));
        sink.bytes(&terminator());
    }

    fn volume(self, side: usize) -> [u8; BLOCK as usize] {
        Volume {
            view: self.outline.sides[side].view,
            id: self.outline.volume_id,
            mtime: self.outline.mtime,
            blocks: self.known.volume_blocks,
            path_table_size: self.outline.sides[side].path_table_size,
            path_tables: self.known.path_tables(side),
            root: self.known.directory(side, 0),
        }
        .encode()
    }

    fn emit_path_table(self, page: usize, sink: &mut dyn Sink) {
        let page = self.outline.path_page(page);
        let side = &self.outline.sides[page.side];
        for number in side.path_part(page.part) {
            let name = side.hierarchy.own_name(&self.outline.tree, number);
            // Parents beyond 65535 cannot be told; readers that follow directory records do not miss it.
            let parent = u16::try_from(side.hierarchy.parent(number) + 1).unwrap_or(u16::MAX);
            sink.bytes(&path_record(&name, self.known.directory(page.side, number).block, parent, page.order));
        }
        if page.part + 1 == side.path_pages() {
            sink.align(BLOCK);
        }
    }

    fn emit_records(self, number: usize, sink: &mut dyn Sink) {
        let page = &self.outline.sides[PRIMARY].pages[number];
        let mut continuations = Measure::at(self.known.continuations(number).unwrap_or(0));
        self.for_each_name(page, |name, id, entries| {
            let system_use = split(entries, head_len(name.len())).emit(FIRST_BLOCK, &mut continuations);
            self.emit_record(PRIMARY, name, id, &system_use, sink);
        });
        self.end_page(PRIMARY, page, sink);
    }

    fn emit_continuations(self, number: usize, sink: &mut dyn Sink) {
        let page = &self.outline.sides[PRIMARY].pages[number];
        if self.known.continuations(number).is_some() {
            self.for_each_name(page, |name, _, entries| {
                split(entries, head_len(name.len())).emit(FIRST_BLOCK, sink);
            });
        }
        self.end_page(PRIMARY, page, sink);
    }

    /// Calls `emit` with the name, inode and Rock Ridge entries of each record of a page.
    fn for_each_name(self, page: &NamePage, mut emit: impl FnMut(&[u8], InodeId, Entries)) {
        let (tree, side) = (&self.outline.tree, &self.outline.sides[PRIMARY]);
        let hierarchy = &side.hierarchy;
        if page.first == 0 {
            let (own, parent) = (hierarchy.id(page.directory), hierarchy.id(hierarchy.parent(page.directory)));
            let mut own_entries = if own == InodeId::ROOT { announcement() } else { Vec::new() };
            // SP must be the first, and ER is so long that it always goes on elsewhere: so it stands last.
            let at = own_entries.len().min(1);
            own_entries.splice(at..at, entries(tree, own, None));
            emit(DOT, own, own_entries);
            emit(DOT_DOT, parent, entries(tree, parent, None));
        }
        for ViewName { shown, raw, id } in side.names(tree, page) {
            emit(&shown, id, entries(tree, id, Some(raw)));
        }
    }

    fn emit_joliet_records(self, number: usize, sink: &mut dyn Sink) {
        let side = &self.outline.sides[JOLIET];
        let page = &side.pages[number];
        if page.first == 0 {
            let parent = side.hierarchy.parent(page.directory);
            self.emit_record(JOLIET, DOT, side.hierarchy.id(page.directory), &[], sink);
            self.emit_record(JOLIET, DOT_DOT, side.hierarchy.id(parent), &[], sink);
        }
        for name in side.names(&self.outline.tree, page) {
            self.emit_record(JOLIET, &name.shown, name.id, &[], sink);
        }
        self.end_page(JOLIET, page, sink);
    }

    /// A record, or one for each section of a file over 4 GiB.
    fn emit_record(self, side: usize, name: &[u8], id: InodeId, system_use: &[u8], sink: &mut dyn Sink) {
        let inode = self.outline.tree.inode(id);
        let mtime = inode.metadata.mtime;
        if let Some(number) = self.outline.sides[side].hierarchy.number(id) {
            let record = Record { name, place: self.known.directory(side, number), flags: DIRECTORY, mtime };
            return emit_within_block(&record.encode(system_use), sink);
        }
        let mut left = if inode.metadata.kind == FileKind::File { inode.size } else { 0 };
        let mut block = self.known.content(self.outline, id);
        loop {
            let size = u32::try_from(left.min(SECTION)).expect("a section has 32 bits");
            left -= u64::from(size);
            let flags = if left > 0 { MULTI_EXTENT } else { 0 };
            let record = Record { name, place: Location { block, size }, flags, mtime };
            emit_within_block(&record.encode(system_use), sink);
            if left == 0 {
                return;
            }
            block += BLOCKS_OF_SECTION;
        }
    }

    /// A directory takes whole blocks.
    fn end_page(self, side: usize, page: &NamePage, sink: &mut dyn Sink) {
        if self.outline.sides[side].is_last(page) {
            sink.align(BLOCK);
        }
    }

    fn emit_boot(self, sink: &mut dyn Sink) {
        let bios = self.outline.bios_image.map(|_| BootImage {
            platform: Platform::Bios,
            block: self.known.bios_image_block(),
            // One block: our loader reads the rest itself.
            sectors: 4,
        });
        let efi = self.outline.partition.as_ref().map(|_| BootImage {
            platform: Platform::Efi,
            block: self.known.partition_block,
            // Up to the end of the volume (UEFI 2.10 section 13.3.2.1): a count has only 16 bits.
            sectors: 0,
        });
        sink.bytes(&boot_catalog(&bios.into_iter().chain(efi).collect::<Vec<_>>()));
        sink.align(BLOCK);
        if let Some(size) = self.outline.bios_image {
            let end = sink.position() + size;
            if let Some(image) = &self.known.bios_image {
                sink.whole(image);
            }
            sink.pad_to(end);
            sink.align(BLOCK);
        }
    }
}
