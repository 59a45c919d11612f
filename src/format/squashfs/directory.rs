//! Directory listings: runs of names whose inodes lie in one metadata block, each run behind a header.
//!
//! # Format
//! `squashfs_fs.h`: `squashfs_dir_header`, `squashfs_dir_entry`. Names are sorted by their bytes.

use zerocopy::little_endian::{I16, U16, U32};
use zerocopy::{Immutable, IntoBytes};

use super::inode::{Inodes, basic_type, number};
use super::metadata::{Starts, block_of, offset_in_block};
use crate::extent::Sink;
use crate::format::limits::count_of;
use crate::tree::{InodeId, Tree};

/// Most names behind one header.
const LONGEST_RUN: usize = 256;

/// `squashfs_dir_header`.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct DirHeader {
    count: U32,
    start_block: U32,
    inode_number: U32,
}

/// `squashfs_dir_entry`; the name follows.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct DirEntry {
    offset: U16,
    inode_number: I16,
    kind: U16,
    size: U16,
}

const _: () = assert!(size_of::<DirHeader>() == 12 && size_of::<DirEntry>() == 8);

/// A run of names of one directory.
pub(super) struct HeaderRun {
    directory: InodeId,
    first: u32,
    len: u32,
}

/// The runs of a directory; the inodes' places must be known.
pub(super) fn runs(tree: &Tree, inodes: &Inodes, directory: InodeId, runs: &mut Vec<HeaderRun>) {
    let mut children = tree.children(directory).map(|(_, id)| id).enumerate().peekable();
    while let Some((first, head)) = children.next() {
        let belongs = |at: usize, id: InodeId| {
            let same_block = block_of(inodes.offset(id)) == block_of(inodes.offset(head));
            same_block && at - first < LONGEST_RUN && i16::try_from(distance(head, id)).is_ok()
        };
        let mut len = 1;
        while children.next_if(|(at, id)| belongs(*at, *id)).is_some() {
            len += 1;
        }
        let first = count_of(first);
        runs.push(HeaderRun { directory, first, len });
    }
}

fn distance(from: InodeId, to: InodeId) -> i64 {
    i64::from(number(to)) - i64::from(number(from))
}

impl HeaderRun {
    pub fn directory(&self) -> InodeId {
        self.directory
    }

    /// Adds the header and its names; the blocks of all inodes start as `starts` says.
    pub fn emit(&self, tree: &Tree, inodes: &Inodes, starts: &Starts, sink: &mut dyn Sink) {
        let mut head = None;
        for (name, id) in tree.children_from(self.directory, self.first as usize).take(self.len as usize) {
            let place = inodes.offset(id);
            let head = *head.get_or_insert_with(|| {
                let block = u32::try_from(starts.block(place)).expect("larger tables are refused");
                let (count, start_block, inode_number) = ((self.len - 1).into(), block.into(), number(id).into());
                sink.bytes(DirHeader { count, start_block, inode_number }.as_bytes());
                id
            });
            let distance = i16::try_from(distance(head, id)).expect("a run ends before the distance is too large");
            let entry = DirEntry {
                offset: offset_in_block(place).into(),
                inode_number: distance.into(),
                kind: basic_type(tree.inode(id).metadata.kind).into(),
                size: u16::try_from(name.len() - 1).expect("a tree's names have at most 255 bytes").into(),
            };
            sink.bytes(entry.as_bytes());
            sink.bytes(name);
        }
    }
}
