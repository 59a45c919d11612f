//! A squashfs that is compressed while it is written: content first, in the order it lies in the layers, then the tables,
//! which name where blocks have come to lie.
//!
//! # Format
//! As mksquashfs writes it: blocks of 128 KiB, what is left of files together in fragments, blocks of zeros nowhere.

use std::sync::Arc;

use super::data::{Data, PackedFiles, STORED};
use super::layout::{Image, NAME, Placement, check};
use super::metadata::PackedBlocks;
use super::superblock::{DATA_BLOCK, SIZE, number};
use crate::base::in_memory;
use crate::extent::{Bytes, Zeros};
use crate::format::contents::Contents;
use crate::format::packing::{Press, Pressed, Twins, data_from, read, write_from};
use crate::format::{Error, PackError, Packed, Packing};
use crate::tree::{Content, InodeId, Tree};

/// Writes a tree as a compressed squashfs.
///
/// # Errors
/// When [`squashfs`](super::squashfs) cannot lay it out, content cannot be read, or the output takes no more.
pub fn pack_squashfs(tree: Arc<Tree>, mut packing: Packing<'_>) -> Result<Packed, PackError> {
    if number(Some(packing.codec)).is_none() {
        return Err(Error::NotPacked { format: NAME, codec: packing.codec.name() }.into());
    }
    check(&tree)?;
    packing.output.write_all(&[0; SIZE])?;
    let contents = Contents::new(tree.clone(), 1, |_| true);
    let (files, end) = Writer::start(&mut packing, tree.inode_count())?.write(&tree, &contents)?;
    drop(contents);
    let image = lay_out(tree, files, end, &packing)?.place();
    write_from(&*image, end, packing.output)?;
    let mut head = vec![0; SIZE];
    image.read_at(&mut head, 0)?;
    Ok(Packed { head, size: image.size() })
}

/// The tables behind content that ends at `end`; zeros stand for the content. A listing names where inodes are, and a
/// directory's inode where its listing is. So inodes without a listing come first, then each directory behind those in it.
fn lay_out(tree: Arc<Tree>, files: PackedFiles, end: u64, packing: &Packing<'_>) -> Result<Image, PackError> {
    let codec = packing.codec;
    let (placement, runs) = Placement::new(tree, Data::Packed(files), Some(codec))?;
    let Placement { tree, inodes, .. } = &placement;
    let (mut nodes, mut listings) = (PackedBlocks::new(codec), PackedBlocks::new(codec));
    let mut runs = runs.iter().peekable();
    for id in placement.order() {
        while let Some(run) = runs.next_if(|run| run.directory() == id) {
            run.emit(tree, inodes, &nodes.starts, &mut listings);
        }
        inodes.emit(tree, id, &listings.starts, &mut nodes);
    }
    let (nodes, listings) = (nodes.finish(), listings.finish());
    Ok(Image {
        root: nodes.starts.reference(inodes.offset(InodeId::ROOT)),
        contents: Arc::new(Zeros(end - SIZE as u64)),
        inodes: Arc::new(Bytes(nodes.bytes.into_boxed_slice())),
        listings: Arc::new(Bytes(listings.bytes.into_boxed_slice())),
        placement: Arc::new(placement),
    })
}

/// What comes out of the press, in the order it went in.
enum Note {
    /// The blocks behind it are those of this file.
    File(InodeId),
    /// As many blocks of zeros.
    Zeros(u64),
    Block,
    Fragment,
}

/// Writes content.
struct Writer<'a, 'b> {
    packing: &'a mut Packing<'b>,
    press: Press<Note>,
    files: PackedFiles,
    /// The fragment that is being filled, and its number.
    rest: Vec<u8>,
    fragment: u32,
    /// Where the next block will be, in bytes.
    position: u64,
}

impl<'a, 'b> Writer<'a, 'b> {
    fn start(packing: &'a mut Packing<'b>, inodes: usize) -> Result<Self, PackError> {
        let press = Press::start(packing.codec, packing.threads, 1)?;
        let (files, position) = (PackedFiles::new(inodes), SIZE as u64);
        Ok(Self { packing, press, files, rest: Vec::new(), fragment: 0, position })
    }

    /// Writes all of it; where its files are and where it ends.
    fn write(mut self, tree: &Tree, contents: &Contents) -> Result<(PackedFiles, u64), PackError> {
        let mut twins = Twins::among(tree, contents);
        for id in contents.files() {
            let content = tree.content(*id).expect("a regular file that is not empty has content");
            self.write_file(*id, &content, &mut twins)?;
        }
        self.end_fragment()?;
        while self.settle()? {}
        Ok((self.files, self.position))
    }

    fn write_file(&mut self, id: InodeId, content: &Content, twins: &mut Twins) -> Result<(), PackError> {
        let whole = content.size / DATA_BLOCK * DATA_BLOCK;
        let small = (whole == 0).then(|| read(content, 0, content.size)).transpose()?;
        if let Some(first) = twins.of(id, content, small.as_deref())? {
            self.files.add_twin(id, first);
            return self.packing.pass(content.size);
        }
        self.files.add(id);
        self.write_blocks(id, content, whole)?;
        let rest = small.map_or_else(|| read(content, whole, DATA_BLOCK), Ok)?;
        self.add_rest(id, &rest)
    }

    /// Writes the blocks of a file up to `end`.
    fn write_blocks(&mut self, id: InodeId, content: &Content, end: u64) -> Result<(), PackError> {
        if end > 0 {
            self.press.note(Note::File(id));
        }
        let mut at = 0;
        while at < end {
            let data = data_from(content, at).start.min(end) / DATA_BLOCK * DATA_BLOCK;
            if data > at {
                self.skip(id, data - at)?;
                at = data;
                continue;
            }
            let block = read(content, at, DATA_BLOCK)?;
            at += DATA_BLOCK;
            if block.iter().all(|byte| *byte == 0) {
                self.skip(id, DATA_BLOCK)?;
            } else {
                self.give(Note::Block, block)?;
                self.packing.pass(DATA_BLOCK)?;
            }
        }
        Ok(())
    }

    /// Leaves out whole blocks of zeros.
    fn skip(&mut self, id: InodeId, bytes: u64) -> Result<(), PackError> {
        self.press.note(Note::Zeros(bytes / DATA_BLOCK));
        self.files.add_zeros(id, bytes);
        self.packing.pass(bytes)
    }

    /// Puts what is left of a file into a fragment.
    fn add_rest(&mut self, id: InodeId, rest: &[u8]) -> Result<(), PackError> {
        if rest.is_empty() {
            return Ok(());
        }
        if self.rest.len() + rest.len() > in_memory(DATA_BLOCK) {
            self.end_fragment()?;
        }
        self.files.set_rest(id, self.fragment, self.rest.len());
        self.rest.extend_from_slice(rest);
        self.packing.pass(rest.len() as u64)
    }

    fn end_fragment(&mut self) -> Result<(), PackError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.rest);
        self.fragment += 1;
        self.give(Note::Fragment, rest)
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
        let start = self.position;
        let length = pressed.map_or(Ok(0), |pressed| self.write_block(&pressed))?;
        match note {
            Note::File(id) => self.files.begin(id, start),
            Note::Zeros(count) => self.files.add_blocks(0, count),
            Note::Block => self.files.add_blocks(length, 1),
            Note::Fragment => self.files.add_fragment(start, length),
        }
        Ok(true)
    }

    /// Writes a block; its length as inodes tell it.
    fn write_block(&mut self, Pressed { bytes, is_stored }: &Pressed) -> Result<u32, PackError> {
        self.packing.output.write_all(bytes)?;
        self.position += bytes.len() as u64;
        let length = u32::try_from(bytes.len()).expect("a block is small");
        Ok(if *is_stored { STORED | length } else { length })
    }
}
