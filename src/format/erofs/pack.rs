//! An EROFS that is compressed while it is written: contents first, then inodes and listings, and the superblock last.
//! Small files stand behind their inodes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::inode::Inodes;
use super::layout::{Nodes, check};
use super::packed::{EXTENT, Extent, LARGEST_CLUSTER, PackedFiles, extent_len, extents};
use super::superblock::{Algorithm, first_block};
use super::{BLOCK, NAME};
use crate::base::{GIB, in_memory};
use crate::extent::{MapBuilder, Sink as _, Source as _};
use crate::format::contents::Contents;
use crate::format::limits::check_holes;
use crate::format::packing::{Press, Pressed, data_from, read, write_from};
use crate::format::{Codec, Error, PackError, Packed, Packing};
use crate::tree::{Content, InodeId, Tree};

/// Most bytes of holes: the index of a file has eight bytes for each block, so 128 MiB for them.
const MOST_HOLES: u64 = 64 * GIB;

/// Writes a tree as a compressed EROFS.
///
/// # Errors
/// When [`erofs`](super::erofs) cannot lay it out, content cannot be read, or the output takes no more.
pub fn pack_erofs(tree: Arc<Tree>, mut packing: Packing<'_>) -> Result<Packed, PackError> {
    let algorithm = algorithm(packing.codec)?;
    check(&tree)?;
    check_holes(&tree, "a compressed EROFS", MOST_HOLES)?;
    packing.output.write_all(&[0; BLOCK as usize])?;
    let mut inodes = Inodes::compressed(&tree, algorithm);
    // The others stand behind their inodes.
    let contents = Contents::new(tree.clone(), BLOCK, |id| inodes.shape(&tree, id).is_compressed);
    let (files, end) = Writer::start(&mut packing, tree.inode_count())?.write(&tree, &contents)?;
    drop(contents);
    inodes.set_files(files);
    let nodes = Nodes::place(tree, inodes, end, None)?;
    let head = first_block(&nodes.superblock(Some(algorithm))).to_vec();
    let mut map = MapBuilder::default();
    map.zeros(u64::from(end) * BLOCK);
    nodes.emit(&mut map);
    let image = map.finish();
    write_from(&image, u64::from(end) * BLOCK, packing.output)?;
    Ok(Packed { head, size: image.size() })
}

fn algorithm(codec: Codec) -> Result<Algorithm, Error> {
    match codec {
        Codec::Lz4(_) => Ok(Algorithm::Lz4 { largest_cluster: LARGEST_CLUSTER }),
        Codec::Zstd(_) => Ok(Algorithm::Zstd),
        Codec::Gzip(_) | Codec::Xz(_) => Err(Error::NotPacked { format: NAME, codec: codec.name() }),
    }
}

/// What comes out of the press, in the order it went in.
enum Note {
    /// The extents behind it are those of this file.
    File(InodeId),
    Extent,
    /// As many extents of zeros, of this length in bytes; the first of a length comes with its block.
    Zeros(u64, u64),
}

/// Writes contents.
struct Writer<'a, 'b> {
    packing: &'a mut Packing<'b>,
    press: Press<Note>,
    files: PackedFiles,
    /// The lengths of extents of zeros that went into the press, and where those are stored that came out.
    given: HashSet<u64>,
    zeros: HashMap<u64, Extent>,
    /// The next block.
    block: u32,
}

impl<'a, 'b> Writer<'a, 'b> {
    fn start(packing: &'a mut Packing<'b>, inodes: usize) -> Result<Self, PackError> {
        let press = Press::start(packing.codec, packing.threads, in_memory(BLOCK))?;
        let (files, given, zeros) = (PackedFiles::new(inodes), HashSet::new(), HashMap::new());
        Ok(Self { packing, press, files, given, zeros, block: 1 })
    }

    /// Writes all of them; where they are, and the first block behind them.
    fn write(mut self, tree: &Tree, contents: &Contents) -> Result<(PackedFiles, u32), PackError> {
        for id in contents.files() {
            let content = tree.content(*id).expect("a regular file that is not empty has content");
            self.write_file(*id, &content)?;
        }
        while self.settle()? {}
        Ok((self.files, self.block))
    }

    fn write_file(&mut self, id: InodeId, content: &Content) -> Result<(), PackError> {
        self.press.note(Note::File(id));
        let (mut at, last) = (0, extents(content.size) - 1);
        while at <= last {
            let data = data_from(content, at * EXTENT);
            let hole = at..if data.is_empty() { last + 1 } else { last.min(data.start / EXTENT) };
            if hole.is_empty() {
                self.write_data(read(content, at * EXTENT, extent_len(content.size, at))?)?;
                at += 1;
            } else {
                at = hole.end;
                self.write_hole(content.size, hole)?;
            }
        }
        Ok(())
    }

    fn write_data(&mut self, bytes: Vec<u8>) -> Result<(), PackError> {
        let len = bytes.len() as u64;
        self.give(Note::Extent, bytes)?;
        self.packing.pass(len)
    }

    /// Writes extents of a file of `size` bytes that are holes.
    fn write_hole(&mut self, size: u64, hole: Range<u64>) -> Result<(), PackError> {
        // Only the last one of a file has a length of its own.
        let whole = hole.end.min(extents(size) - 1).max(hole.start);
        self.write_zeros(EXTENT, whole - hole.start)?;
        self.write_zeros(extent_len(size, whole), hole.end - whole)
    }

    /// Writes as many extents of `len` zeros, which are stored once.
    fn write_zeros(&mut self, len: u64, count: u64) -> Result<(), PackError> {
        if count == 0 {
            return Ok(());
        }
        if self.given.insert(len) {
            self.give(Note::Zeros(len, count), vec![0; in_memory(len)])?;
        } else {
            self.press.note(Note::Zeros(len, count));
        }
        self.packing.pass(len * count)
    }

    /// Hands a block to the press, once there is room in it.
    fn give(&mut self, note: Note, block: Vec<u8>) -> Result<(), PackError> {
        while self.press.is_full() {
            self.settle()?;
        }
        Ok(self.press.give(note, block)?)
    }

    /// Writes what comes out of the press next; whether there was something.
    fn settle(&mut self) -> Result<bool, PackError> {
        let Some((note, pressed)) = self.press.take()? else { return Ok(false) };
        let stored = pressed.map(|pressed| self.write_extent(&pressed)).transpose()?;
        match note {
            Note::File(id) => self.files.begin(id),
            Note::Extent => self.files.add(stored.expect("an extent has bytes"), 1),
            Note::Zeros(len, count) => {
                self.zeros.extend(stored.map(|extent| (len, extent)));
                self.files.add(self.zeros[&len], count);
            }
        }
        Ok(true)
    }

    /// Writes an extent; where it is stored. What it lacks of whole blocks stands in front of it where it is compressed, so
    /// that decoders find its end, and else behind it.
    fn write_extent(&mut self, Pressed { bytes, is_stored }: &Pressed) -> Result<Extent, PackError> {
        let blocks = bytes.len().div_ceil(in_memory(BLOCK));
        let zeros = vec![0; blocks * in_memory(BLOCK) - bytes.len()];
        let parts = if *is_stored { [bytes, &zeros] } else { [&zeros, bytes] };
        parts.into_iter().try_for_each(|part| self.packing.output.write_all(part))?;
        let blocks = u16::try_from(blocks).expect("an extent has few blocks");
        let extent = Extent { start: self.block, blocks: if *is_stored { 0 } else { blocks } };
        let next = self.block.checked_add(blocks.into());
        self.block = next.ok_or(Error::ImageTooLarge { format: NAME, limit: u64::from(u32::MAX) * BLOCK })?;
        Ok(extent)
    }
}
