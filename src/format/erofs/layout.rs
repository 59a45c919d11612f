//! Laying out an EROFS: listings are cut first, then inodes get their numbers, then contents their blocks.

use std::sync::Arc;

use super::directory::Nid;
use super::inode::{FirstBlock, Inodes};
use super::superblock::{INODES_BLOCK, first_block};
use super::{BLOCK, NAME, xattr};
use crate::base::{FileKind, Metadata};
use crate::extent::{MapBuilder, PagedLayout, PagedMap, Places, SharedSource, Sink};
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
    let mut inodes = Inodes::of(&tree);
    inodes.nids = place_inodes(&tree, &inodes)?;
    let blocks = own_blocks(&tree, &inodes);
    inodes.blocks = place_blocks(&tree, &inodes, &blocks, &contents)?;
    let total = u32::try_from(inodes.blocks.end() / BLOCK).map_err(|_| too_large())?;
    let mut map = MapBuilder::default();
    map.bytes(&first_block(tree.inode_count() as u64, total, Metadata::GENERATED_MTIME));
    let placement = Arc::new(Placement { tree, inodes });
    map.whole(&(Arc::new(PagedMap::new(InodePages(placement.clone()))) as SharedSource));
    map.whole(&(Arc::new(PagedMap::new(OwnBlocks { placement, blocks })) as SharedSource));
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
    contents: &Contents,
) -> Result<Places<FirstBlock>, Error> {
    let blocks = Places::measure(u64::from(INODES_BLOCK) * BLOCK + inodes.nids.end(), |sink| {
        sink.reserve(0, tree.inode_count());
        for OwnBlock { id, block } in own {
            if *block == 0 {
                sink.note(FirstBlock(*id));
            }
            inodes.emit_block(tree, *id, *block as usize, sink);
        }
        for id in (0..contents.pages()).flat_map(|page| contents.page(page)) {
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
