//! Where the content of files lies, as their inodes tell it: blocks one after the other, the rest in a block with others.

use super::superblock::DATA_BLOCK;
use crate::extent::{Label, Places, Sink};
use crate::format::limits::count_of;
use crate::format::table::table;
use crate::tree::{InodeId, Tree};

/// Stands for no fragment.
const NO_FRAGMENT: u32 = u32::MAX;
/// In a block's length: stored as it is.
pub(super) const STORED: u32 = 1 << 24;
/// Bytes that the table of fragments has for each.
pub(super) const FRAGMENT_ENTRY: usize = 16;
/// Blocks of a file whose list is made at once: 4 KiB of it.
const LONG_LIST: usize = 1024;
/// The number of a file whose content is nowhere, since it is empty.
const NONE: u32 = u32::MAX;

/// The first byte of a file's content.
#[derive(Clone, Copy)]
pub(super) struct Content(pub InodeId);

impl Label for Content {
    type Number = u64;

    fn slot(self) -> (usize, usize) {
        (0, self.0.index())
    }
}

/// Content as it is stored.
pub(super) enum Data {
    /// As it is, where each file's begins.
    Plain(Places<Content>),
    /// Compressed.
    Packed(PackedFiles),
}

/// What the inode of a file says of its content, apart from the lengths of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset of the first block, in bytes.
    pub start: u64,
    /// Bytes of it in blocks of zeros, which are not stored.
    pub sparse: u64,
    /// The fragment with the rest, and where it is in there, in bytes.
    pub fragment: u32,
    pub offset: u32,
}

const NOWHERE: Place = Place { start: 0, sparse: 0, fragment: NO_FRAGMENT, offset: 0 };

impl Data {
    /// Where a file's content is.
    pub fn place(&self, id: InodeId) -> Place {
        match self {
            Self::Plain(places) => Place { start: places.get(Content(id)), ..NOWHERE },
            Self::Packed(files) => files.file(id).map_or(NOWHERE, |file| file.place),
        }
    }

    /// The table of fragments.
    pub fn encode_fragments(&self) -> Vec<u8> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Packed(files) => files.encode_fragments(),
        }
    }

    /// Adds the lengths of a file's blocks.
    pub fn emit_lengths(&self, tree: &Tree, id: InodeId, sink: &mut dyn Sink) {
        let size = tree.inode(id).size;
        match self {
            Self::Plain(_) => emit_plain_lengths(size, sink),
            Self::Packed(files) => files.emit_lengths(id, size / DATA_BLOCK, sink),
        }
    }
}

/// Adds the lengths of blocks that are stored as they are. A long list is made where it is read, so a file of any size takes
/// no memory.
fn emit_plain_lengths(size: u64, sink: &mut dyn Sink) {
    let blocks = size.div_ceil(DATA_BLOCK);
    let length = move |block: u64| {
        let len = (size - block * DATA_BLOCK).min(DATA_BLOCK);
        (STORED | u32::try_from(len).expect("a block is small")).to_le_bytes()
    };
    match usize::try_from(blocks) {
        Ok(count) if count <= LONG_LIST => sink.made(count * 4, &|| (0..blocks).flat_map(length).collect()),
        _ => sink.whole(&table(blocks, length)),
    }
}

/// A file with content.
#[derive(Clone, Copy)]
struct PackedFile {
    place: Place,
    /// Its first run of blocks.
    first_run: u32,
}

/// Blocks of one length, 0 for zeros.
struct Run {
    length: u32,
    count: u64,
}

/// Where compressed content is. Files with the same content are one.
pub(super) struct PackedFiles {
    /// Of each inode the number of its file.
    numbers: Vec<u32>,
    files: Vec<PackedFile>,
    /// Of all files; each ends with one of its own.
    runs: Vec<Run>,
    /// Offset and length of each fragment.
    fragments: Vec<(u64, u32)>,
}

impl PackedFiles {
    pub fn new(inodes: usize) -> Self {
        Self { numbers: vec![NONE; inodes], files: Vec::new(), runs: Vec::new(), fragments: Vec::new() }
    }

    fn file(&self, id: InodeId) -> Option<&PackedFile> {
        self.files.get(self.numbers[id.index()] as usize)
    }

    /// Adds a file.
    pub fn add(&mut self, id: InodeId) {
        self.numbers[id.index()] = count_of(self.files.len());
        self.files.push(PackedFile { place: NOWHERE, first_run: 0 });
    }

    /// Says where the rest of a file is.
    pub fn set_rest(&mut self, id: InodeId, fragment: u32, offset: usize) {
        let place = &mut self.files[self.numbers[id.index()] as usize].place;
        (place.fragment, place.offset) = (fragment, count_of(offset));
    }

    /// Adds a file whose content is that of an earlier one.
    pub fn add_twin(&mut self, id: InodeId, first: InodeId) {
        self.numbers[id.index()] = self.numbers[first.index()];
    }

    /// Says that the blocks which are added now are those of a file, and begin at `start`.
    pub fn begin(&mut self, id: InodeId, start: u64) {
        let first_run = count_of(self.runs.len());
        self.runs.push(Run { length: 0, count: 0 });
        let file = &mut self.files[self.numbers[id.index()] as usize];
        (file.place.start, file.first_run) = (start, first_run);
    }

    /// Adds blocks of this length to the file that was begun last.
    pub fn add_blocks(&mut self, length: u32, count: u64) {
        match self.runs.last_mut() {
            Some(run) if run.length == length || run.count == 0 => *run = Run { length, count: run.count + count },
            _ => self.runs.push(Run { length, count }),
        }
    }

    /// Says how many bytes of a file are in blocks of zeros.
    pub fn add_zeros(&mut self, id: InodeId, bytes: u64) {
        self.files[self.numbers[id.index()] as usize].place.sparse += bytes;
    }

    pub fn add_fragment(&mut self, start: u64, length: u32) {
        self.fragments.push((start, length));
    }

    /// The fragments as `squashfs_fragment_entry` has them: offset, length, and four bytes that are not used.
    fn encode_fragments(&self) -> Vec<u8> {
        let entry = |(start, length): &(u64, u32)| [start.to_le_bytes(), u64::from(*length).to_le_bytes()].concat();
        self.fragments.iter().flat_map(entry).collect()
    }

    fn emit_lengths(&self, id: InodeId, blocks: u64, sink: &mut dyn Sink) {
        let mut left = blocks;
        let first = self.file(id).map_or(0, |file| file.first_run as usize);
        for Run { length, count } in self.runs.iter().skip(first) {
            if left == 0 {
                return;
            }
            match length {
                0 => sink.zeros(4 * count),
                _ => (0..*count).for_each(|_| sink.bytes(&length.to_le_bytes())),
            }
            left -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::{ExtentMap, MapBuilder, Source as _};

    fn listed(size: u64) -> ExtentMap {
        let mut map = MapBuilder::default();
        emit_plain_lengths(size, &mut map);
        map.finish()
    }

    #[test]
    fn a_long_list_of_blocks_is_not_kept_and_reads_as_a_short_one() {
        let (short, long) = (listed(1024 * DATA_BLOCK), listed(1024 * DATA_BLOCK + 5));
        assert_eq!((short.inline_size(), long.inline_size()), (4096, 0));
        let (mut all, mut same, mut last) = ([0; 4096], [0; 4096], [0; 4]);
        short.read_at(&mut all, 0).unwrap();
        long.read_at(&mut same, 0).unwrap();
        long.read_at(&mut last, 4096).unwrap();
        assert!(all == same && all.chunks(4).all(|length| length == [0, 0, 2, 1]));
        assert_eq!((last, long.size()), ([5, 0, 0, 1], 4100));
        assert_eq!((listed(1 << 46).size(), listed(1 << 46).inline_size()), (1 << 31, 0));
    }

    #[test]
    fn the_blocks_of_a_compressed_file_are_its_own_and_zeros_take_no_memory() {
        let mut files = PackedFiles::new(2);
        files.add(InodeId::ROOT);
        files.set_rest(InodeId::ROOT, 3, 70);
        files.begin(InodeId::ROOT, 96);
        files.add_blocks(500, 1);
        files.add_blocks(0, 1 << 40);
        files.add_zeros(InodeId::ROOT, 1 << 57);
        files.add_blocks(0, 2);
        files.add_blocks(9, 2);
        files.begin(InodeId::ROOT, 7000);
        files.add_blocks(9, 1);
        assert_eq!((files.runs.len(), files.files[0].first_run), (4, 3));
        files.files[0].first_run = 0;
        let mut map = MapBuilder::default();
        files.emit_lengths(InodeId::ROOT, (1 << 40) + 5, &mut map);
        let map = map.finish();
        assert_eq!((map.size(), map.inline_size()), (4 * ((1 << 40) + 5), 12));
        let place = Place { start: 7000, sparse: 1 << 57, fragment: 3, offset: 70 };
        assert_eq!(Data::Packed(files).place(InodeId::ROOT), place);
    }
}
