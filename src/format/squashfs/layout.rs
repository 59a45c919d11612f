//! Laying out a squashfs: places first, then the tables that name them.

use std::sync::Arc;

use super::directory::{HeaderRun, runs};
use super::inode::{Content, Inodes, Listing, Stored, seconds};
use super::metadata::{MetadataBlocks, emit_blocks, reference};
use super::superblock::{DATA_BLOCK, Part, SIZE, Superblock};
use crate::base::Metadata;
use crate::extent::{Measure, PagedLayout, PagedMap, Places, Placing, SharedSource, Sink};
use crate::format::Error;
use crate::format::contents::Contents;
use crate::format::limits::{Room, check_inodes, count_of, ids};
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
    let mut placement = Placement { inodes: Inodes::new(&tree)?, tree };
    placement.place_contents(&contents);
    placement.place_inodes()?;
    let runs = placement.place_listings()?;
    let placement = Arc::new(placement);
    let inodes: SharedSource = Arc::new(PagedMap::new(InodeStream(placement.clone())));
    let listings: SharedSource = Arc::new(PagedMap::new(ListingStream { placement: placement.clone(), runs }));
    let image = Image {
        contents: Arc::new(PagedMap::new(contents)),
        inodes: Arc::new(MetadataBlocks(inodes)),
        listings: Arc::new(MetadataBlocks(listings)),
        placement,
    };
    Ok(Places::measure(0, |sink| image.emit(sink)).lay_out(|sink| image.emit(sink)))
}

/// A tree and where its inodes, listings and contents lie.
struct Placement {
    tree: Arc<Tree>,
    inodes: Inodes,
}

impl Placement {
    fn place_contents(&mut self, contents: &Contents) {
        self.inodes.contents = Places::measure(SIZE as u64, |sink| {
            sink.reserve(0, self.tree.inode_count());
            for id in (0..contents.pages()).flat_map(|page| contents.page(page)) {
                sink.note(Content(*id));
                contents.emit_file(*id, sink);
            }
        });
    }

    fn place_inodes(&mut self) -> Result<(), Error> {
        let places = Places::measure(0, |sink| {
            sink.reserve(0, self.tree.inode_count());
            for id in ids(&self.tree) {
                sink.note(Stored(id));
                self.inodes.emit(&self.tree, id, sink);
            }
        });
        fits(places.end())?;
        self.inodes.places = places;
        Ok(())
    }

    fn place_listings(&mut self) -> Result<Vec<HeaderRun>, Error> {
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
struct InodeStream(Arc<Placement>);

impl PagedLayout for InodeStream {
    fn pages(&self) -> usize {
        self.0.tree.inode_count().div_ceil(PAGE)
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let Placement { tree, inodes } = &*self.0;
        let all = page * PAGE..tree.inode_count().min((page + 1) * PAGE);
        all.filter_map(|index| tree.id(index)).for_each(|id| inodes.emit(tree, id, sink));
    }
}

/// The stream of all listings, one run a page.
struct ListingStream {
    placement: Arc<Placement>,
    runs: Vec<HeaderRun>,
}

impl PagedLayout for ListingStream {
    fn pages(&self) -> usize {
        self.runs.len()
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        self.runs[page].emit(&self.placement.tree, &self.placement.inodes, sink);
    }
}

/// The parts of an image.
struct Image {
    placement: Arc<Placement>,
    contents: SharedSource,
    inodes: SharedSource,
    listings: SharedSource,
}

impl Image {
    fn emit(&self, sink: &mut Placing<'_, Part>) {
        let Placement { tree, inodes } = &*self.placement;
        let superblock = Superblock {
            inodes: count_of(tree.inode_count()),
            mtime: seconds(Metadata::GENERATED_MTIME),
            owners: inodes.owners.count(),
            root: reference(inodes.offset(InodeId::ROOT)),
            has_xattrs: !inodes.xattrs.is_empty(),
        };
        superblock.emit(sink);
        sink.whole(&self.contents);
        sink.note(Part::InodeTable);
        sink.whole(&self.inodes);
        sink.note(Part::DirectoryTable);
        sink.whole(&self.listings);
        let owners = emit_blocks(&inodes.owners.encode(), sink);
        sink.note(Part::IdTable);
        sink.bytes(&owners);
        if superblock.has_xattrs {
            inodes.xattrs.emit(sink);
        }
        sink.note(Part::End);
        sink.align(END_ALIGNMENT);
    }
}
