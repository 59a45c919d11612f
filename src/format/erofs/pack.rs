//! An EROFS that is compressed while it is written: contents first, then inodes and listings, and the superblock last.
//! Small files stand behind their inodes.

use std::sync::Arc;

use super::inode::Inodes;
use super::layout::{Nodes, check};
use super::packed::{EXTENT, Extent, LARGEST_CLUSTER, PackedFiles, extent_len, extents};
use super::superblock::{Algorithm, first_block};
use super::{BLOCK, NAME};
use crate::base::in_memory;
use crate::extent::{MapBuilder, Sink as _, Source as _};
use crate::format::contents::Contents;
use crate::format::packing::{Press, Pressed, read, write_from};
use crate::format::{Codec, Error, PackError, Packed, Packing};
use crate::tree::{Content, InodeId, Tree};

/// Writes a tree as a compressed EROFS.
///
/// # Errors
/// When [`erofs`](super::erofs) cannot lay it out, content cannot be read, or the output takes no more.
pub fn pack_erofs(tree: Arc<Tree>, mut packing: Packing<'_>) -> Result<Packed, PackError> {
    let algorithm = algorithm(packing.codec)?;
    check(&tree)?;
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
}

/// Writes contents.
struct Writer<'a, 'b> {
    packing: &'a mut Packing<'b>,
    press: Press<Note>,
    files: PackedFiles,
    /// The next block.
    block: u32,
}

impl<'a, 'b> Writer<'a, 'b> {
    fn start(packing: &'a mut Packing<'b>, inodes: usize) -> Result<Self, PackError> {
        let press = Press::start(packing.codec, packing.threads, in_memory(BLOCK))?;
        Ok(Self { packing, press, files: PackedFiles::new(inodes), block: 1 })
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
        for extent in 0..extents(content.size) {
            let bytes = read(content, extent * EXTENT, extent_len(content.size, extent))?;
            let len = bytes.len() as u64;
            while self.press.is_full() {
                self.settle()?;
            }
            self.press.give(Note::Extent, bytes)?;
            self.packing.pass(len)?;
        }
        Ok(())
    }

    /// Writes what comes out of the press next; whether there was something.
    fn settle(&mut self) -> Result<bool, PackError> {
        match self.press.take()? {
            None => return Ok(false),
            Some((Note::File(id), _)) => self.files.begin(id),
            Some((Note::Extent, pressed)) => self.write_extent(&pressed.expect("an extent has bytes"))?,
        }
        Ok(true)
    }

    /// Writes an extent. What it lacks of whole blocks stands in front of it where it is compressed, so that decoders find
    /// its end, and else behind it.
    fn write_extent(&mut self, Pressed { bytes, is_stored }: &Pressed) -> Result<(), PackError> {
        let blocks = bytes.len().div_ceil(in_memory(BLOCK));
        let zeros = vec![0; blocks * in_memory(BLOCK) - bytes.len()];
        let parts = if *is_stored { [bytes, &zeros] } else { [&zeros, bytes] };
        parts.into_iter().try_for_each(|part| self.packing.output.write_all(part))?;
        let blocks = u16::try_from(blocks).expect("an extent has few blocks");
        self.files.add(Extent { start: self.block, blocks: if *is_stored { 0 } else { blocks } });
        let next = self.block.checked_add(blocks.into());
        self.block = next.ok_or(Error::ImageTooLarge { format: NAME, limit: u64::from(u32::MAX) * BLOCK })?;
        Ok(())
    }
}
