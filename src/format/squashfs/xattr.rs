//! Extended attributes: the pairs of each set once, and a table that tells where a set's pairs are.
//!
//! # Format
//! `squashfs_fs.h`: `squashfs_xattr_entry`, `squashfs_xattr_val`, `squashfs_xattr_id`, `squashfs_xattr_id_table`.
//! Only three namespaces have a number; attributes of others (POSIX ACLs) are left out, as mksquashfs does.

use std::collections::HashMap;
use std::sync::Arc;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes};

use super::metadata::{MetadataBlocks, PackedBlocks, Starts, emit_blocks};
use super::superblock::Part;
use crate::base::Xattr;
use crate::extent::{Bytes, Placing, SharedSource, Sink as _};
use crate::format::Codec;
use crate::format::limits::{count_of, ids};
use crate::tree::{InodeId, Tree};

/// The number of an inode that has no attributes.
pub(super) const NONE: u32 = u32::MAX;

const NAMESPACES: [(&[u8], u16); 3] = [(b"user.", 0), (b"trusted.", 1), (b"security.", 2)];

/// `squashfs_xattr_entry`; the name follows.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct XattrEntry {
    kind: U16,
    size: U16,
}

/// `squashfs_xattr_id`.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct XattrId {
    xattr: U64,
    count: U32,
    size: U32,
}

/// `squashfs_xattr_id_table`.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct XattrIdTable {
    xattr_table_start: U64,
    xattr_ids: U32,
    unused: U32,
}

const _: () = assert!(size_of::<XattrEntry>() == 4);
const _: () = assert!(size_of::<XattrId>() == 16 && size_of::<XattrIdTable>() == 16);

/// The attribute sets of a tree.
pub(super) struct Xattrs {
    /// Number of each inode's set; empty when no inode has any.
    numbers: Vec<u32>,
    /// All pairs, as metadata blocks, and where these start.
    pairs: SharedSource,
    starts: Starts,
    /// Of each set where it starts among the pairs, how many it has, and their bytes.
    sets: Vec<Set>,
}

struct Set {
    offset: u64,
    count: u32,
    size: u32,
}

impl Xattrs {
    /// The sets of a tree whose attributes Linux can hold.
    pub fn of(tree: &Tree, codec: Option<Codec>) -> Self {
        let mut numbers = if tree.has_xattrs() { vec![NONE; tree.inode_count()] } else { Vec::new() };
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        let (mut stream, mut sets) = (Vec::new(), Vec::new());
        for id in ids(tree).take(numbers.len()) {
            let (pairs, count) = encode_pairs(tree.xattrs(id));
            if count == 0 {
                continue;
            }
            numbers[id.index()] = known.get(&pairs).copied().unwrap_or_else(|| {
                let number = count_of(sets.len());
                let size = u32::try_from(pairs.len()).expect("an inode's attributes have less than 4 GiB");
                sets.push(Set { offset: stream.len() as u64, count, size });
                stream.extend_from_slice(&pairs);
                known.insert(pairs, number);
                number
            });
        }
        let (pairs, starts) = blocks_of(stream, codec);
        Self { numbers, pairs, starts, sets }
    }

    /// The number of an inode's set, or [`NONE`].
    pub fn number(&self, id: InodeId) -> u32 {
        self.numbers.get(id.index()).copied().unwrap_or(NONE)
    }

    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Adds the pairs and the table.
    pub fn emit(&self, codec: Option<Codec>, sink: &mut Placing<'_, Part>) {
        let pairs = sink.position();
        sink.whole(&self.pairs);
        let id = |set: &Set| XattrId {
            xattr: self.starts.reference(set.offset).into(),
            count: set.count.into(),
            size: set.size.into(),
        };
        let ids: Vec<XattrId> = self.sets.iter().map(id).collect();
        let head =
            XattrIdTable { xattr_table_start: pairs.into(), xattr_ids: count_of(ids.len()).into(), unused: 0.into() };
        let blocks = emit_blocks(ids.as_bytes(), codec, sink);
        sink.note(Part::XattrTable);
        sink.bytes(head.as_bytes());
        sink.bytes(&blocks);
    }
}

/// A stream as metadata blocks, and where they start.
fn blocks_of(stream: Vec<u8>, codec: Option<Codec>) -> (SharedSource, Starts) {
    let Some(codec) = codec else {
        let stream: SharedSource = Arc::new(Bytes(stream.into_boxed_slice()));
        return (Arc::new(MetadataBlocks(stream)), Starts::Stored);
    };
    let mut blocks = PackedBlocks::new(codec);
    blocks.bytes(&stream);
    let PackedBlocks { bytes, starts, .. } = blocks.finish();
    (Arc::new(Bytes(bytes.into_boxed_slice())), starts)
}

fn encode_pairs(xattrs: &[Xattr]) -> (Vec<u8>, u32) {
    let (mut pairs, mut count) = (Vec::new(), 0);
    for xattr in xattrs {
        let namespace =
            NAMESPACES.iter().find_map(|(prefix, number)| Some((xattr.name.strip_prefix(*prefix)?, *number)));
        let Some((name, number)) = namespace else { continue };
        let name_len = u16::try_from(name.len()).expect("longer names are refused");
        let value_len = u32::try_from(xattr.value.len()).expect("larger values are refused");
        pairs.extend(XattrEntry { kind: number.into(), size: name_len.into() }.as_bytes());
        pairs.extend(name);
        pairs.extend(value_len.to_le_bytes());
        pairs.extend(&xattr.value);
        count += 1;
    }
    (pairs, count)
}
