//! Laying out a squashfs: places first, then the tables that name them.

use std::sync::Arc;

use super::data::{Content, Data, FRAGMENT_ENTRY};
use super::directory::{HeaderRun, runs};
use super::inode::{Inodes, Listing, Stored, seconds};
use super::metadata::{MetadataBlocks, Starts, emit_blocks};
use super::superblock::{DATA_BLOCK, Part, SIZE, Superblock};
use crate::base::Metadata;
use crate::extent::{Measure, PagedLayout, PagedMap, Places, Placing, SharedSource, Sink};
use crate::format::contents::Contents;
use crate::format::limits::{Room, check_inodes, count_of, ids};
use crate::format::{Codec, Error};
use crate::tree::{InodeId, Tree};

/// A squashfs, in messages.
pub(super) const NAME: &str = "a squashfs";
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
    check(&tree)?;
    // Content is packed: Linux copies it out of the blocks whatever their alignment is.
    let contents = Contents::new(tree.clone(), 1, |_| true);
    let data = Data::Plain(place_contents(&tree, &contents));
    let (placement, runs) = Placement::new(tree, data, None)?;
    let placement = Arc::new(placement);
    let inodes: SharedSource = Arc::new(PagedMap::new(InodeStream(placement.clone())));
    let listings: SharedSource = Arc::new(PagedMap::new(ListingStream { placement: placement.clone(), runs }));
    let image = Image {
        root: Starts::Stored.reference(placement.inodes.offset(InodeId::ROOT)),
        contents: Arc::new(PagedMap::new(contents)),
        inodes: Arc::new(MetadataBlocks(inodes)),
        listings: Arc::new(MetadataBlocks(listings)),
        placement,
    };
    Ok(image.place())
}

/// Refuses a tree that no squashfs can hold.
pub(super) fn check(tree: &Tree) -> Result<(), Error> {
    check_inodes(tree, NAME)?;
    ROOM.check(tree)
}

fn place_contents(tree: &Tree, contents: &Contents) -> Places<Content> {
    Places::measure(SIZE as u64, |sink| {
        sink.reserve(0, tree.inode_count());
        for id in contents.files() {
            sink.note(Content(*id));
            contents.emit_file(*id, sink);
        }
    })
}

/// A tree and where its inodes, listings and contents lie.
pub(super) struct Placement {
    pub tree: Arc<Tree>,
    pub inodes: Inodes,
    codec: Option<Codec>,
}

impl Placement {
    /// Places all of them, and tells what the listings are made of.
    pub fn new(tree: Arc<Tree>, data: Data, codec: Option<Codec>) -> Result<(Self, Vec<HeaderRun>), Error> {
        let mut inodes = Inodes::new(&tree, data, codec)?;
        inodes.places = place_inodes(&tree, &inodes, codec)?;
        let runs = place_listings(&tree, &mut inodes, codec)?;
        Ok((Self { tree, inodes, codec }, runs))
    }

    /// The inodes in the order in which they are stored.
    pub fn order(&self) -> impl Iterator<Item = InodeId> {
        order(&self.tree, self.codec)
    }
}

/// The order of inodes and listings: that of the tree; where they are compressed, what has no listing and then the
/// directories from the leaves up, since nothing can name a block whose place is not known yet.
fn order(tree: &Tree, codec: Option<Codec>) -> impl Iterator<Item = InodeId> {
    let is_directory = |id: &InodeId| tree.inode(*id).is_directory();
    let backwards = (0..tree.inode_count()).rev().filter_map(|index| tree.id(index));
    let first = ids(tree).filter(move |id| codec.is_none() || !is_directory(id));
    first.chain(backwards.filter(move |id| codec.is_some() && is_directory(id)))
}

fn place_inodes(tree: &Tree, inodes: &Inodes, codec: Option<Codec>) -> Result<Places<Stored>, Error> {
    let places = Places::measure(0, |sink| {
        sink.reserve(0, tree.inode_count());
        for id in order(tree, codec) {
            sink.note(Stored(id));
            inodes.emit(tree, id, &Starts::Stored, sink);
        }
    });
    fits(places.end())?;
    Ok(places)
}

fn place_listings(tree: &Tree, inodes: &mut Inodes, codec: Option<Codec>) -> Result<Vec<HeaderRun>, Error> {
    let mut all = Vec::new();
    for directory in order(tree, codec).filter(|id| tree.inode(*id).is_directory()) {
        runs(tree, inodes, directory, &mut all);
    }
    let mut sink = Measure::default();
    for run in &all {
        let start = sink.position();
        run.emit(tree, inodes, &Starts::Stored, &mut sink);
        let number = inodes.directory(run.directory());
        let listing = &mut inodes.listings[number];
        if listing.size == 0 {
            *listing = Listing { offset: start, size: 0 };
        }
        listing.size = sink.position() - listing.offset;
    }
    fits(sink.position()).map(|()| all)
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
        let Placement { tree, inodes, .. } = &*self.0;
        let all = page * PAGE..tree.inode_count().min((page + 1) * PAGE);
        all.filter_map(|index| tree.id(index)).for_each(|id| inodes.emit(tree, id, &Starts::Stored, sink));
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
        self.runs[page].emit(&self.placement.tree, &self.placement.inodes, &Starts::Stored, sink);
    }
}

/// The parts of an image.
pub(super) struct Image {
    pub placement: Arc<Placement>,
    /// Reference of the root's inode.
    pub root: u64,
    pub contents: SharedSource,
    /// Metadata blocks.
    pub inodes: SharedSource,
    pub listings: SharedSource,
}

impl Image {
    /// The whole image.
    pub fn place(&self) -> SharedSource {
        Places::measure(0, |sink| self.emit(sink)).lay_out(|sink| self.emit(sink))
    }

    fn emit(&self, sink: &mut Placing<'_, Part>) {
        let Placement { tree, inodes, codec } = &*self.placement;
        let fragments = inodes.data.encode_fragments();
        let superblock = Superblock {
            inodes: count_of(tree.inode_count()),
            mtime: seconds(Metadata::GENERATED_MTIME),
            owners: inodes.owners.count(),
            root: self.root,
            has_xattrs: !inodes.xattrs.is_empty(),
            fragments: count_of(fragments.len() / FRAGMENT_ENTRY),
            codec: *codec,
        };
        superblock.emit(sink);
        sink.whole(&self.contents);
        sink.note(Part::InodeTable);
        sink.whole(&self.inodes);
        sink.note(Part::DirectoryTable);
        sink.whole(&self.listings);
        emit_table(&fragments, *codec, Part::FragmentTable, sink);
        emit_table(&inodes.owners.encode(), *codec, Part::IdTable, sink);
        if superblock.has_xattrs {
            inodes.xattrs.emit(*codec, sink);
        }
        sink.note(Part::End);
        sink.align(END_ALIGNMENT);
    }
}

/// Adds a table, and the list of its blocks, which the superblock names.
fn emit_table(table: &[u8], codec: Option<Codec>, part: Part, sink: &mut Placing<'_, Part>) {
    let blocks = emit_blocks(table, codec, sink);
    sink.note(part);
    sink.bytes(&blocks);
}
