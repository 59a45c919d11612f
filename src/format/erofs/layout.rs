//! Laying out an EROFS: listings are cut first, then inodes get their numbers, then contents their blocks.

use std::sync::Arc;

use super::directory::Listing;
use super::inode::{Inodes, SLOT};
use super::superblock::{INODES_BLOCK, first_block};
use super::{BLOCK, NAME, xattr};
use crate::base::{FileKind, Metadata};
use crate::extent::{MapBuilder, Measure, PagedLayout, PagedMap, SharedSource, Sink};
use crate::format::Error;
use crate::format::contents::Contents;
use crate::format::limits::{Room, check_inodes, ids, path_of};
use crate::tree::{InodeId, Tree};

/// Inodes laid out together.
const PAGE: usize = 64;

/// Blocks have numbers of 32 bits.
const LARGEST: u64 = u32::MAX as u64 * BLOCK;
const ROOM: Room = Room { format: NAME, file: LARGEST, image: LARGEST };

/// Lays out a tree as an EROFS.
///
/// # Errors
/// When link targets, attributes or device numbers are larger than Linux allows, when an inode has more than 256 KiB of
/// attributes, or when the image leaves 16 TiB.
pub fn erofs(tree: Arc<Tree>) -> Result<SharedSource, Error> {
    check_inodes(&tree, NAME)?;
    check_attributes(&tree)?;
    ROOM.check(&tree)?;
    let contents = Contents::new(tree.clone(), BLOCK, |_| true);
    let mut plan = Plan::new(tree);
    plan.place_inodes()?;
    let blocks = plan.own_blocks();
    let total = plan.place_contents(&blocks, &contents)?;
    let mut map = MapBuilder::default();
    map.bytes(&first_block(plan.tree.inode_count() as u64, total, Metadata::GENERATED_MTIME));
    let plan = Arc::new(plan);
    map.whole(&(Arc::new(PagedMap::new(InodePages(plan.clone()))) as SharedSource));
    map.whole(&(Arc::new(PagedMap::new(OwnBlocks { plan, blocks })) as SharedSource));
    map.whole(&(Arc::new(PagedMap::new(contents)) as SharedSource));
    Ok(map.share())
}

fn check_attributes(tree: &Tree) -> Result<(), Error> {
    let too_large = |id: &InodeId| xattr::count(xattr::encode(tree.xattrs(*id)).len()).is_none();
    match ids(tree).find(too_large) {
        Some(id) => Err(Error::Unheld { path: path_of(tree, id), what: "extended attributes", format: NAME }),
        None => Ok(()),
    }
}

/// A tree and where its inodes and contents lie.
struct Plan {
    tree: Arc<Tree>,
    inodes: Inodes,
    /// Bytes of all inodes, whole blocks.
    size: u64,
}

impl Plan {
    fn new(tree: Arc<Tree>) -> Self {
        let directories = ids(&tree).filter(|id| tree.inode(*id).is_directory());
        let listings = directories.map(|id| Listing::new(&tree, id)).collect();
        let unplaced = vec![0; tree.inode_count()];
        Self { inodes: Inodes { nids: unplaced.clone(), blocks: unplaced, listings }, tree, size: 0 }
    }

    fn place_inodes(&mut self) -> Result<(), Error> {
        let mut sink = Measure::default();
        for id in ids(&self.tree) {
            let shape = self.inodes.shape(&self.tree, id);
            Inodes::align(&shape, &mut sink);
            self.inodes.nids[id.index()] = u32::try_from(sink.position() / SLOT).map_err(|_| too_large())?;
            self.inodes.emit(&self.tree, id, &shape, &mut sink);
        }
        sink.align(BLOCK);
        self.size = sink.position();
        Ok(())
    }

    /// The whole blocks of listings and long link targets, in the order of their inodes.
    fn own_blocks(&self) -> Vec<OwnBlock> {
        let has_blocks =
            |id: &InodeId| matches!(self.tree.inode(*id).metadata.kind, FileKind::Directory | FileKind::Symlink);
        let blocks_of = |id: InodeId| {
            let blocks = self.inodes.shape(&self.tree, id).blocks();
            (0..u32::try_from(blocks).expect("listings are in memory")).map(move |block| OwnBlock { id, block })
        };
        ids(&self.tree).filter(has_blocks).flat_map(blocks_of).collect()
    }

    /// Gives everything behind the inodes its blocks; the number of all blocks.
    fn place_contents(&mut self, own: &[OwnBlock], contents: &Contents) -> Result<u32, Error> {
        let mut sink = Measure::at(u64::from(INODES_BLOCK) * BLOCK + self.size);
        for OwnBlock { id, block } in own {
            if *block == 0 {
                self.inodes.blocks[id.index()] = block_at(sink.position())?;
            }
            self.inodes.emit_block(&self.tree, *id, *block as usize, &mut sink);
        }
        for page in 0..contents.pages() {
            for id in contents.page(page) {
                self.inodes.blocks[id.index()] = block_at(sink.position())?;
                contents.emit_file(*id, &mut sink);
            }
        }
        block_at(sink.position())
    }
}

fn block_at(position: u64) -> Result<u32, Error> {
    u32::try_from(position / BLOCK).map_err(|_| too_large())
}

fn too_large() -> Error {
    Error::ImageTooLarge { format: NAME, limit: LARGEST }
}

/// The inodes; one page more, for the rest of their last block.
struct InodePages(Arc<Plan>);

impl PagedLayout for InodePages {
    fn pages(&self) -> usize {
        self.0.tree.inode_count().div_ceil(PAGE) + 1
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let Plan { tree, inodes, size } = &*self.0;
        if page + 1 == self.pages() {
            return sink.pad_to(*size);
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
    plan: Arc<Plan>,
    blocks: Vec<OwnBlock>,
}

impl PagedLayout for OwnBlocks {
    fn pages(&self) -> usize {
        self.blocks.len()
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let OwnBlock { id, block } = self.blocks[page];
        self.plan.inodes.emit_block(&self.plan.tree, id, block as usize, sink);
    }
}
