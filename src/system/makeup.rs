//! What a system is made of, in numbers: what each image brings to the root, what is here of it, what is there twice.

use std::collections::{HashMap, HashSet};
use std::error::Error as _;
use std::ops::ControlFlow;

use super::stock::layouts;
use super::{Error, Origins, Problem, System, store};
use crate::base::{Digest, Silent, in_line};
use crate::extent::{Origin, Span, origins};
use crate::output::Artifact;
use crate::tree::{EntryId, InodeId, Tree};

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a system is made of.
pub struct Makeup {
    /// What each image brings to the root, in the order of [`System::images`].
    pub images: Vec<ImageShare>,
    /// All files of the root, each once however many names it has.
    pub root: Share,
    /// Files of the root that show a range of a layer that another file shows, too, so that it is stored once.
    pub repeated: Share,
    /// Each layer once, in the order in which images name them.
    pub layers: Vec<LayerUse>,
}

/// What an image brings to the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageShare {
    /// The files that lie in its layers.
    pub all: Share,
    /// Those of them in layers that other images have, too.
    pub shared: Share,
}

/// A layer of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// Digest of its blob.
    pub digest: Digest,
    /// Size of its blob in bytes.
    pub size: u64,
    /// Size of its uncompressed tar in bytes.
    pub diff_size: u64,
    /// Number of images that have it.
    pub images: usize,
    /// Whether its blob is in the cache, not in a layout alone.
    pub is_cached: bool,
    /// Size of its index in the cache in bytes; `None` where there is none.
    pub index_size: Option<u64>,
}

/// Adds up what a system is made of. Nothing is fetched, and no content is read.
///
/// # Errors
/// When the cache cannot be read.
pub fn makeup(system: &System, from: &Origins) -> Result<Makeup, Error> {
    let layers = layers(system, from)?;
    let tree = &system.catalog.system().tree;
    let (mut root, mut repeated) = (Share::default(), Share::default());
    let (mut by_layer, mut seen) = (HashMap::<Digest, Share>::new(), HashSet::new());
    for id in (0..tree.inode_count()).filter_map(|number| tree.id(number)) {
        let Some((source, offset)) = tree.extent(id) else { continue };
        let size = tree.inode(id).size;
        root.add(size);
        let mut places = Vec::new();
        origins(Span { source: &**source, offset, len: size }, &mut |range, origin| {
            if let Some(layer) = origin.layer() {
                places.push((*layer, range.end - range.start, place_in(origin)));
            }
            ControlFlow::Continue(())
        })
        .map_err(Problem::Compare)?;
        let Some((first, _, place)) = places.first().copied() else { continue };
        if !seen.insert((place, size)) {
            repeated.add(size);
        }
        by_layer.entry(first).or_default().files += 1;
        places.iter().for_each(|(layer, len, _)| by_layer.entry(*layer).or_default().bytes += len);
    }
    let images = system.images.iter().map(|used| {
        let mut share = ImageShare::default();
        let own: HashSet<Digest> = used.image.layers.iter().map(|layer| layer.digest).collect();
        for layer in layers.iter().filter(|layer| own.contains(&layer.digest)) {
            let brought = by_layer.get(&layer.digest).copied().unwrap_or_default();
            share.all.join(brought);
            share.shared.join(if layer.images > 1 { brought } else { Share::default() });
        }
        share
    });
    Ok(Makeup { images: images.collect(), root, repeated, layers })
}

/// The place of a range: what it is in, and where.
fn place_in(origin: &Origin) -> (Option<Digest>, u64) {
    match origin {
        Origin::Layer { digest, offset, .. } => (Some(*digest), *offset),
        Origin::Unpacked { subject, offset, .. } => (Some(*subject), *offset),
        _ => (None, 0),
    }
}

impl LayerUse {
    /// Bytes of its blob that are in the cache.
    pub const fn cached(&self) -> u64 {
        if self.is_cached { self.size } else { 0 }
    }
}

impl Share {
    fn add(&mut self, bytes: u64) {
        self.join(Self { files: 1, bytes });
    }

    fn join(&mut self, other: Self) {
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

fn layers(system: &System, from: &Origins) -> Result<Vec<LayerUse>, Error> {
    let store = store(&from.cache, &layouts(from, &Silent)?)?;
    let mut layers: Vec<LayerUse> = Vec::new();
    for used in &system.images {
        let mut own = HashSet::new();
        for (layer, diff_size) in used.image.layers.iter().zip(&used.diff_sizes) {
            let is_first = own.insert(layer.digest);
            if let Some(known) = layers.iter_mut().find(|known| known.digest == layer.digest) {
                known.images += usize::from(is_first);
                continue;
            }
            let index = store.index(&layer.digest.hex())?;
            let index_size = index.and_then(|file| file.metadata().ok()).map(|metadata| metadata.len());
            let is_cached = store.cache().has(&layer.digest, layer.size)?;
            let (digest, size, diff_size) = (layer.digest, layer.size, *diff_size);
            layers.push(LayerUse { digest, size, diff_size, images: 1, is_cached, index_size });
        }
    }
    Ok(layers)
}

/// The largest files of a tree, by one of their names, the largest first; of one size in the order of a walk.
pub fn largest(tree: &Tree, count: usize) -> Vec<EntryId> {
    let mut seen: HashSet<InodeId> = HashSet::new();
    let files = tree.walk().filter(|entry| tree.extent(tree.entry_inode(*entry)).is_some());
    let mut files: Vec<EntryId> = files.filter(|entry| seen.insert(tree.entry_inode(*entry))).collect();
    files.sort_by_key(|entry| std::cmp::Reverse(tree.inode(tree.entry_inode(*entry)).size));
    files.truncate(count);
    files
}

/// The artifacts of a system.
#[derive(Default)]
pub struct Artifacts {
    /// Those that can be made, with their sizes in bytes.
    pub made: Vec<(Artifact, u64)>,
    /// The others, with the reason.
    pub not_made: Vec<(Artifact, String)>,
}

/// The artifacts of a system, each laid out to tell its size.
pub fn artifacts(system: &System) -> Artifacts {
    let mut artifacts = Artifacts::default();
    for artifact in system.catalog.mounted() {
        match artifact.open().map(|source| source.size()) {
            Ok(size) => artifacts.made.push((artifact, size)),
            Err(error) => {
                let reason = error.source().map_or_else(|| error.to_string(), in_line);
                artifacts.not_made.push((artifact, reason));
            }
        }
    }
    artifacts
}
