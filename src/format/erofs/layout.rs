//! Laying out an EROFS: listings are cut first, then inodes get their numbers, then contents their blocks.

use std::sync::Arc;

use super::directory::Nid;
use super::inode::{FirstBlock, Inodes};
use super::superblock::{Algorithm, Superblock, first_block};
use super::{BLOCK, NAME, xattr};
use crate::base::{FileKind, Metadata};
use crate::extent::{MapBuilder, PagedLayout, PagedMap, Places, SharedSource, Sink};
use crate::format::Error;
use crate::format::contents::Contents;
use crate::format::limits::{Room, check_inodes, ids, path_of};
use crate::tree::{InodeId, Tree};

/// Inodes laid out together.
const PAGE: usize = 64;

/// The block that inode numbers count from, where contents stand behind the inodes.
const INODES_BLOCK: u32 = 1;
/// Blocks have numbers of 32 bits.
const LARGEST: u64 = u32::MAX as u64 * BLOCK;
const ROOM: Room = Room { format: NAME, file: LARGEST, image: LARGEST };

/// Lays out a tree as an EROFS.
///
/// # Errors
/// When link targets, attributes or device numbers are larger than Linux allows, when an inode has more than 256 KiB of
/// attributes, or when the image leaves 16 TiB.
pub fn erofs(tree: Arc<Tree>) -> Result<SharedSource, Error> {
    check(&tree)?;
    let contents = Contents::new(tree.clone(), BLOCK, |_| true);
    let inodes = Inodes::of(&tree);
    let nodes = Nodes::place(tree, inodes, INODES_BLOCK, Some(&contents))?;
    let mut map = MapBuilder::default();
    map.bytes(&first_block(&nodes.superblock(None)));
    nodes.emit(&mut map);
    map.whole(&(Arc::new(PagedMap::new(contents)) as SharedSource));
    Ok(map.share())
}

/// Refuses a tree that no EROFS can hold.
pub(super) fn check(tree: &Tree) -> Result<(), Error> {
    check_inodes(tree, NAME)?;
    check_attributes(tree)?;
    ROOM.check(tree)
}

fn check_attributes(tree: &Tree) -> Result<(), Error> {
    let too_large = |id: &InodeId| xattr::count(xattr::encode(tree.xattrs(*id)).len()).is_none();
    match ids(tree).find(too_large) {
        Some(id) => Err(Error::Unheld { path: path_of(tree, id), what: "extended attributes", format: NAME }),
        None => Ok(()),
    }
}

/// Inodes, listings and long link targets, in their places.
pub(super) struct Nodes {
    placement: Arc<Placement>,
    own: Vec<OwnBlock>,
    inodes_block: u32,
    /// Blocks of the image.
    blocks: u32,
}

impl Nodes {
    /// Places inodes from a block on, then listings and targets, then contents unless they stand before.
    pub fn place(
        tree: Arc<Tree>,
        mut inodes: Inodes,
        inodes_block: u32,
        contents: Option<&Contents>,
    ) -> Result<Self, Error> {
        inodes.nids = place_inodes(&tree, &inodes)?;
        let own = own_blocks(&tree, &inodes);
        let start = u64::from(inodes_block) * BLOCK + inodes.nids.end();
        inodes.blocks = place_blocks(&tree, &inodes, &own, (start, contents))?;
        let blocks = u32::try_from(inodes.blocks.end() / BLOCK).map_err(|_| too_large())?;
        Ok(Self { placement: Arc::new(Placement { tree, inodes }), own, inodes_block, blocks })
    }

    /// What the superblock tells.
    pub fn superblock(&self, algorithm: Option<Algorithm>) -> Superblock {
        let (inodes, mtime) = (self.placement.tree.inode_count() as u64, Metadata::GENERATED_MTIME);
        let is_shared = self.placement.inodes.is_shared();
        Superblock { inodes, blocks: self.blocks, inodes_block: self.inodes_block, mtime, algorithm, is_shared }
    }

    /// Adds all of them.
    pub fn emit(self, sink: &mut dyn Sink) {
        sink.whole(&(Arc::new(PagedMap::new(InodePages(self.placement.clone()))) as SharedSource));
        sink.whole(
            &(Arc::new(PagedMap::new(OwnBlocks { placement: self.placement, blocks: self.own })) as SharedSource),
        );
    }
}

/// A tree and where its inodes and contents lie.
struct Placement {
    tree: Arc<Tree>,
    inodes: Inodes,
}

/// Gives inodes their numbers; together they take whole blocks.
fn place_inodes(tree: &Tree, inodes: &Inodes) -> Result<Places<Nid>, Error> {
    let nids = Places::measure(0, |sink| {
        sink.reserve(0, tree.inode_count());
        for id in ids(tree) {
            let shape = inodes.shape(tree, id);
            Inodes::align(&shape, sink);
            sink.note(Nid(id));
            inodes.emit(tree, id, &shape, sink);
        }
        sink.align(BLOCK);
    });
    nids.checked().ok_or_else(too_large)
}

/// The whole blocks of listings and long link targets, in the order of their inodes.
fn own_blocks(tree: &Tree, inodes: &Inodes) -> Vec<OwnBlock> {
    let has_blocks = |id: &InodeId| matches!(tree.inode(*id).metadata.kind, FileKind::Directory | FileKind::Symlink);
    let blocks_of = |id: InodeId| {
        let blocks = inodes.shape(tree, id).blocks();
        (0..u32::try_from(blocks).expect("listings are in memory")).map(move |block| OwnBlock { id, block })
    };
    ids(tree).filter(has_blocks).flat_map(blocks_of).collect()
}

/// Gives everything behind the inodes its blocks.
fn place_blocks(
    tree: &Tree,
    inodes: &Inodes,
    own: &[OwnBlock],
    (start, contents): (u64, Option<&Contents>),
) -> Result<Places<FirstBlock>, Error> {
    let blocks = Places::measure(start, |sink| {
        sink.reserve(0, tree.inode_count());
        for OwnBlock { id, block } in own {
            if *block == 0 {
                sink.note(FirstBlock(*id));
            }
            inodes.emit_block(tree, *id, *block as usize, sink);
        }
        for (contents, id) in contents.iter().flat_map(|contents| contents.files().iter().map(|id| (*contents, id))) {
            sink.note(FirstBlock(*id));
            contents.emit_file(*id, sink);
        }
    });
    blocks.checked().ok_or_else(too_large)
}

fn too_large() -> Error {
    Error::ImageTooLarge { format: NAME, limit: LARGEST }
}

/// The inodes; one page more, for the rest of their last block.
struct InodePages(Arc<Placement>);

impl PagedLayout for InodePages {
    fn pages(&self) -> usize {
        self.0.tree.inode_count().div_ceil(PAGE) + 1
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let Placement { tree, inodes } = &*self.0;
        if page + 1 == self.pages() {
            return sink.pad_to(inodes.nids.end());
        }
        for index in page * PAGE..tree.inode_count().min((page + 1) * PAGE) {
            let id = tree.id(index).expect("the index is below the count");
            let shape = inodes.shape(tree, id);
            Inodes::align(&shape, sink);
            inodes.emit(tree, id, &shape, sink);
        }
    }
}

/// A block of a listing or of a link's target.
#[derive(Clone, Copy)]
struct OwnBlock {
    id: InodeId,
    block: u32,
}

/// Those blocks, each a page.
struct OwnBlocks {
    placement: Arc<Placement>,
    blocks: Vec<OwnBlock>,
}

impl PagedLayout for OwnBlocks {
    fn pages(&self) -> usize {
        self.blocks.len()
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let OwnBlock { id, block } = self.blocks[page];
        self.placement.inodes.emit_block(&self.placement.tree, id, block as usize, sink);
    }
}
