//! Laying out a squashfs: places first, then the tables that name them.

use std::sync::Arc;

use super::directory::{Listings, Run, runs};
use super::inode::{DATA_BLOCK, Inodes, Listing, seconds};
use super::metadata::{MetadataBlocks, emit_indexed, reference};
use super::superblock::{SIZE, Superblock};
use crate::base::Metadata;
use crate::extent::{MapBuilder, Measure, PagedLayout, PagedMap, SharedSource, Sink};
use crate::format::Error;
use crate::format::contents::Contents;
use crate::format::limits::{Room, check_inodes, ids};
use crate::tree::{InodeId, Tree};

/// A squashfs, in messages.
const NAME: &str = "a squashfs";
/// Inodes laid out together.
const PAGE: usize = 64;
/// What an image is padded to, so that it can be a loop device.
const END_ALIGNMENT: u64 = 4096;
/// Largest stream of inodes or listings: blocks in it are named with 32 bits.
const LARGEST_TABLE: u64 = u32::MAX as u64 / 8194 * 8192;
/// Most bytes of a file: its list of blocks has four bytes for each block, and must fit such a stream.
const LARGEST: u64 = LARGEST_TABLE / 4 * DATA_BLOCK;
const ROOM: Room = Room { format: NAME, file: LARGEST, image: LARGEST };

/// Lays out a tree as a squashfs.
///
/// # Errors
/// When link targets, attributes or device numbers are larger than Linux allows, with more than 65535 different owners,
/// or when tables leave 4 GiB, which takes some 60 million files or 127 TiB of content.
pub fn squashfs(tree: Arc<Tree>) -> Result<SharedSource, Error> {
    check_inodes(&tree, NAME)?;
    ROOM.check(&tree)?;
    // Content is packed: Linux copies it out of the blocks whatever their alignment is.
    let contents = Contents::new(tree.clone(), 1, |_| true);
    let mut plan = Plan { inodes: Inodes::new(&tree)?, tree };
    plan.place_contents(&contents);
    plan.place_inodes()?;
    let runs = plan.place_listings()?;
    let plan = Arc::new(plan);
    let inodes: SharedSource = Arc::new(PagedMap::new(InodeStream(plan.clone())));
    let listings: SharedSource = Arc::new(PagedMap::new(Listings { plan: plan.clone(), runs }));
    let image = Image {
        contents: Arc::new(PagedMap::new(contents)),
        inodes: Arc::new(MetadataBlocks(inodes)),
        listings: Arc::new(MetadataBlocks(listings)),
        plan,
    };
    let superblock = image.emit(&Superblock::default(), &mut Measure::default());
    let mut map = MapBuilder::default();
    image.emit(&superblock, &mut map);
    Ok(map.share())
}

/// A tree and where its inodes, listings and contents lie.
pub(super) struct Plan {
    pub tree: Arc<Tree>,
    pub inodes: Inodes,
}

impl Plan {
    fn place_contents(&mut self, contents: &Contents) {
        let mut sink = Measure::at(SIZE as u64);
        for page in 0..contents.pages() {
            for id in contents.page(page) {
                self.inodes.starts[id.index()] = sink.position();
                contents.emit_file(*id, &mut sink);
            }
        }
    }

    fn place_inodes(&mut self) -> Result<(), Error> {
        let mut sink = Measure::default();
        for id in ids(&self.tree) {
            self.inodes.places[id.index()] = sink.position();
            self.inodes.emit(&self.tree, id, &mut sink);
        }
        fits(sink.position())
    }

    fn place_listings(&mut self) -> Result<Vec<Run>, Error> {
        let mut all = Vec::new();
        for directory in &self.inodes.directories {
            runs(&self.tree, &self.inodes, *directory, &mut all);
        }
        let mut sink = Measure::default();
        for run in &all {
            let start = sink.position();
            run.emit(&self.tree, &self.inodes, &mut sink);
            let number = self.inodes.directory(run.directory());
            let listing = &mut self.inodes.listings[number];
            if listing.size == 0 {
                *listing = Listing { offset: start, size: 0 };
            }
            listing.size = sink.position() - listing.offset;
        }
        fits(sink.position()).map(|()| all)
    }
}

fn fits(stream: u64) -> Result<(), Error> {
    if stream > LARGEST_TABLE {
        return Err(Error::TooMany { what: "bytes of names and inodes", format: NAME, limit: LARGEST_TABLE });
    }
    Ok(())
}

/// The stream of all inodes.
struct InodeStream(Arc<Plan>);

impl PagedLayout for InodeStream {
    fn pages(&self) -> usize {
        self.0.tree.inode_count().div_ceil(PAGE)
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let Plan { tree, inodes } = &*self.0;
        let all = page * PAGE..tree.inode_count().min((page + 1) * PAGE);
        all.filter_map(|index| tree.id(index)).for_each(|id| inodes.emit(tree, id, sink));
    }
}

/// The parts of an image.
struct Image {
    plan: Arc<Plan>,
    contents: SharedSource,
    inodes: SharedSource,
    listings: SharedSource,
}

impl Image {
    /// Lays out everything and gives the superblock that names the places.
    fn emit(&self, superblock: &Superblock, sink: &mut dyn Sink) -> Superblock {
        let Plan { tree, inodes } = &*self.plan;
        sink.bytes(&superblock.encode());
        sink.whole(&self.contents);
        let inode_table = sink.position();
        sink.whole(&self.inodes);
        let directory_table = sink.position();
        sink.whole(&self.listings);
        let id_table = emit_indexed(&inodes.owners.encode(), b"", sink);
        let xattr_table = (!inodes.xattrs.is_empty()).then(|| inodes.xattrs.emit(sink));
        let end = sink.position();
        sink.align(END_ALIGNMENT);
        Superblock {
            inodes: u32::try_from(tree.inode_count()).expect("a tree has fewer than 2^32 inodes"),
            mtime: seconds(Metadata::GENERATED_MTIME),
            owners: inodes.owners.count(),
            root: reference(inodes.places[InodeId::ROOT.index()]),
            inode_table,
            directory_table,
            id_table,
            xattr_table,
            end,
        }
    }
}
