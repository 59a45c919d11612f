//! Images for a spec: references resolved side by side, layers opened side by side, one tree for each.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stock::Stock;
use super::threads::{self, threads_for};
use super::{Error, IndexPlace, Origins, Prefetch, Problem};
use crate::base::{Digest, Ending, Event, Monitor, Platform, in_line};
use crate::blob::Store;
use crate::extent::{Bytes, SharedSource};
use crate::layer::{self, Layer, Layers, ReadList, Wanted};
use crate::oci::{self, Closure, Descriptor, Image, Reference, Resolver};
use crate::tree::TreeBuilder;

/// References asked for at once: enough to hide a registry's latency.
pub(super) const RESOLVERS: usize = 16;
/// Layers passed over at once. A pass keeps two cores busy; a third hides the network's pauses.
pub(super) const PASSES: usize = 3;
/// Bytes that all tables of contents may have together beyond what the sizes of their layers allow.
const TABLES_FREE: u64 = 32 << 20;
/// Entries of layers that may be merged again, after they were for the first image that has them, besides as many as all
/// layers have.
const MOST_AGAIN: u64 = 1_000_000;

/// SOCI's indexes.
#[derive(Default)]
pub(super) struct Ztocs {
    /// Digests of them, by the image that names them and the layer that they are of.
    pub named: HashMap<(Digest, Digest), Digest>,
    /// Their bytes, each once.
    pub bytes: HashMap<Digest, Arc<[u8]>>,
}

/// Finds images and opens their layers.
pub(super) struct Images<'a> {
    /// Layers, all over one cache of decoded content.
    pub layers: Arc<Layers>,
    /// Blobs.
    pub store: Arc<Store>,
    /// Finds images.
    pub resolver: Resolver,
    /// Where all three are kept, with what references mean.
    stock: Stock,
    /// What images are for.
    pub platform: &'a Platform,
    /// SOCI's indexes that were fetched.
    ztocs: Mutex<Ztocs>,
    /// Whose published indexes are used.
    pub trusted_indexes: &'a [IndexPlace],
    /// What happens is reported to it.
    pub monitor: &'a dyn Monitor,
    /// What is fetched before it is read.
    pub prefetch: &'a Prefetch,
    /// The read lists that were published of images, by the digest of their manifest.
    reads: Mutex<HashMap<Digest, ReadList>>,
    /// Images that were found, by the digest of their manifest: under how many names one is found, it is kept once.
    found: Mutex<HashMap<Digest, Image>>,
    /// Blobs that are shown as they are stored.
    blobs: Mutex<HashMap<Digest, SharedSource>>,
}

impl Ztocs {
    /// The one of a layer that an image names.
    pub fn of(&self, manifest: &Digest, layer: &Digest) -> Option<Arc<[u8]>> {
        self.bytes.get(self.named.get(&(*manifest, *layer))?).cloned()
    }
}

/// Something to do as soon as the layers of the first images are open.
pub(super) struct Sooner<'a> {
    /// Number of these images.
    pub images: usize,
    /// What is to be done; other layers are opened meanwhile.
    pub then: &'a (dyn Fn() + Sync),
}

/// The layers of an image merged.
#[derive(Clone)]
pub(super) struct Merged {
    /// Its files. Images of the same layers share them.
    pub tree: Arc<TreeBuilder>,
    /// Size of each layer's uncompressed tar in bytes.
    pub diff_sizes: Vec<u64>,
}

impl<'a> Images<'a> {
    /// Images from these origins.
    ///
    /// # Errors
    /// When the cache or a layout cannot be opened.
    pub fn new(origins: &'a Origins, monitor: &'a dyn Monitor) -> Result<Self, Error> {
        Ok(Self::over(&Stock::new(origins, monitor)?, origins, monitor))
    }

    /// The same over a stock that is there already.
    pub fn over(stock: &Stock, origins: &'a Origins, monitor: &'a dyn Monitor) -> Self {
        let Stock { layers, resolver, store, .. } = stock.clone();
        let stock = stock.clone();
        let Origins { platform, trusted_indexes, prefetch, .. } = origins;
        Self {
            layers,
            resolver,
            store,
            stock,
            platform,
            ztocs: Mutex::default(),
            trusted_indexes,
            monitor,
            prefetch,
            reads: Mutex::default(),
            found: Mutex::default(),
            blobs: Mutex::default(),
        }
    }

    /// The read lists that were published.
    pub fn reads(&self) -> MutexGuard<'_, HashMap<Digest, ReadList>> {
        locked(&self.reads)
    }

    /// All blobs that a reference leads to on these platforms, or on all when there are none.
    ///
    /// # Errors
    /// When a manifest cannot be had.
    pub fn closure(&self, reference: &Reference, platforms: &[Platform]) -> Result<Closure, oci::Error> {
        let closure = self.resolver.closure(&self.stock.meaning(reference), platforms, self.monitor)?;
        self.stock.note(reference, closure.root.digest);
        Ok(closure)
    }

    /// The digest of what a reference means on all platforms.
    ///
    /// # Errors
    /// When it cannot be found.
    pub fn digest(&self, reference: &Reference) -> Result<Digest, oci::Error> {
        self.resolver.digest(reference, self.monitor)
    }

    /// An image with the files of all its layers.
    ///
    /// # Errors
    /// When it cannot be found, or a layer cannot be had or is corrupt.
    pub fn tree(&self, reference: &Reference) -> Result<(Image, TreeBuilder), Problem> {
        let image = self.resolve_one(reference);
        let image = image.map_err(|error| Problem::resolve(reference.to_string(), None, error))?;
        self.take_published(std::slice::from_ref(&image), None);
        let trees = self.trees(std::slice::from_ref(&image), None).map_err(|(_, problem)| problem)?;
        let Merged { tree, .. } = trees.into_iter().next().expect("one image has one tree");
        Ok((image, Arc::unwrap_or_clone(tree)))
    }

    /// Resolves references, each once; results in the order asked for.
    pub fn resolve(&self, references: &[Reference]) -> Vec<Result<Image, oci::Error>> {
        let is_near = |reference| self.resolver.is_near(&self.stock.meaning(reference));
        let threads = if references.iter().all(is_near) { 1 } else { RESOLVERS };
        side_by_side(references, threads, |reference| self.resolve_one(reference))
    }

    /// Whether a reference means something else than it did. If so, that is what it means from now on.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub fn has_moved(&self, reference: &Reference, digest: &Digest) -> Result<bool, oci::Error> {
        let latest = self.resolver.latest(reference, self.monitor)?;
        let Some(latest) = latest.filter(|latest| latest != digest) else { return Ok(false) };
        self.resolver.renew(reference, self.monitor)?;
        self.stock.note(reference, latest);
        Ok(true)
    }

    /// Resolves one reference.
    pub fn resolve_one(&self, reference: &Reference) -> Result<Image, oci::Error> {
        let image = self.resolver.resolve(&self.stock.meaning(reference), self.platform, self.monitor)?;
        self.stock.note(reference, image.root);
        let root = image.root;
        let image = locked(&self.found).entry(*image.digest()).or_insert(image).clone();
        Ok(Image { reference: reference.clone(), root, ..image })
    }

    /// Makes all layers of `images` ready, then merges each list of layers into a tree. What is to be done `sooner` is done
    /// at most once.
    ///
    /// # Errors
    /// When a layer cannot be had or is corrupt; with the place in `images` of the first image that has it.
    pub fn trees(&self, images: &[Image], sooner: Option<Sooner<'_>>) -> Result<Vec<Merged>, (usize, Problem)> {
        let wanted = wanted(images);
        let is_first = |place: usize| sooner.as_ref().is_some_and(|sooner| place < sooner.images);
        let first_left = AtomicUsize::new(wanted.iter().filter(|(_, place, _)| is_first(*place)).count());
        // Without one of them the others are of no use.
        let has_failed = Arc::new(AtomicBool::new(false));
        let stop = Ending::when(has_failed.clone());
        let are_indexed = wanted.iter().all(|(wanted, ..)| self.layers.has_index(&wanted.digest));
        let sizes = wanted.iter().map(|(wanted, ..)| wanted.size);
        let threads = if are_indexed { threads_for(sizes, threads::BLOBS, PASSES) } else { PASSES };
        let beyond = AtomicU64::new(0);
        let opened = side_by_side(&wanted, threads, |(wanted, place, naming)| {
            let image = &images[*place];
            let layer = (!stop.is_near()).then(|| self.open((wanted, *naming), image, &stop))?;
            let layer = layer.and_then(|layer| among(&beyond, layer, wanted, image));
            if layer.is_ok() && is_first(*place) && first_left.fetch_sub(1, Ordering::SeqCst) == 1 {
                sooner.iter().for_each(|sooner| (sooner.then)());
            }
            // Only the first has failed by itself.
            if layer.is_err() && has_failed.swap(true, Ordering::SeqCst) { None } else { Some(layer) }
        });
        let mut layers = HashMap::new();
        for ((name, place, _), layer) in wanted.iter().zip(opened) {
            if let Some(layer) = layer {
                layers.insert((name.digest, name.diff_id), layer.map_err(|problem| (*place, problem))?);
            }
        }
        let lists = Lists::of(images);
        lists.check(images, &layers)?;
        let entries = |place: &usize| images[*place].layers.iter().map(|layer| layers[&key(layer)].toc().len()).sum();
        let threads = threads_for(lists.first.iter().map(entries), threads::ENTRIES, PASSES);
        let trees = side_by_side(&lists.first, threads, |place| {
            merged(&images[*place], &layers).map_err(|problem| (*place, problem))
        });
        let trees = trees.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(lists.number.into_iter().map(|number| trees[number].clone()).collect())
    }

    /// The layers of an image as uncompressed tars.
    ///
    /// # Errors
    /// When one cannot be had or is corrupt.
    pub fn diffs(&self, image: &Image) -> Result<Vec<SharedSource>, Problem> {
        let wanted = image.layers.iter();
        let wanted = wanted.map(|layer| Wanted { digest: layer.digest, size: layer.size, diff_id: layer.diff_id });
        wanted.map(|wanted| Ok(self.index(&wanted, &image.reference, &Ending::default())?.diff().clone())).collect()
    }

    /// A blob as it is stored, its digest checked when it is asked for first.
    ///
    /// # Errors
    /// When it cannot be had or is damaged.
    pub fn blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<SharedSource, layer::Error> {
        let known = locked(&self.blobs).get(&descriptor.digest).cloned();
        if let Some(blob) = known.filter(|blob| blob.size() == descriptor.size) {
            return Ok(blob);
        }
        let fetch = self.resolver.fetcher(reference);
        let blob = self.layers.stored(descriptor, &*fetch)?;
        locked(&self.blobs).insert(descriptor.digest, blob.clone());
        Ok(blob)
    }

    /// The bytes of a manifest or image config, verified before, as a blob.
    pub fn document(&self, descriptor: &Descriptor, bytes: Vec<u8>) -> SharedSource {
        let mut blobs = locked(&self.blobs);
        blobs.entry(descriptor.digest).or_insert_with(|| Arc::new(Bytes(bytes.into_boxed_slice()))).clone()
    }

    /// Keeps the cache within its limit. What cannot be removed stays.
    pub fn make_room(&self) {
        if let Err(error) = self.store.make_room() {
            self.monitor.event(Event::Warning(format!("the cache cannot be made smaller: {}", in_line(&error))));
        }
    }

    /// See `take_ztocs`.
    pub fn ztocs(&self) -> MutexGuard<'_, Ztocs> {
        locked(&self.ztocs)
    }

    /// A layer of an image, which has named an index of it only for itself: what others see of it is not up to that image.
    fn open(&self, (wanted, naming): (&Wanted, Naming), image: &Image, stop: &Ending) -> Result<Layer, Problem> {
        let foreign = if naming == Naming::ByOne { self.foreign(wanted, image) } else { None };
        foreign.map_or_else(|| self.index(wanted, &image.reference, stop), Ok)
    }

    /// A layer by an index of ours; what is being fetched of it fails soon when `stop` is near.
    fn index(&self, wanted: &Wanted, reference: &Reference, stop: &Ending) -> Result<Layer, Problem> {
        let fetch = self.resolver.fetcher_until(reference, stop);
        let layer = self.layers.open(wanted, &fetch, self.monitor);
        layer.map_err(|source| Problem::Layer { reference: Box::new(reference.clone()), source })
    }
}

/// Maps that others use as well. An entry is put in whole, so a panic elsewhere does not spoil them.
fn locked<M>(map: &Mutex<M>) -> MutexGuard<'_, M> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The layer, unless the tables of contents of all layers are together too far `beyond` what their sizes allow.
fn among(beyond: &AtomicU64, layer: Layer, wanted: &Wanted, image: &Image) -> Result<Layer, Problem> {
    let own = layer.toc().beyond(wanted.size);
    if beyond.fetch_add(own, Ordering::Relaxed).saturating_add(own) <= TABLES_FREE {
        return Ok(layer);
    }
    let source = Box::new(layer::Error::TablesTooLarge);
    let source = layer::Error::Layer { layer: wanted.digest.to_string(), source };
    Err(Problem::Layer { reference: Box::new(image.reference.clone()), source })
}

/// Whether several images have a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    ByOne,
    ByMany,
}

/// The layers of images, each once, by the place of the first image that has it.
fn wanted(images: &[Image]) -> Vec<(Wanted, usize, Naming)> {
    let mut wanted: HashMap<Key, (Wanted, usize, Naming)> = HashMap::new();
    for (place, image) in images.iter().enumerate() {
        for layer in image.layers.iter() {
            let name = Wanted { digest: layer.digest, size: layer.size, diff_id: layer.diff_id };
            let known = wanted.entry(key(layer)).or_insert((name, place, Naming::ByOne));
            if known.1 != place {
                known.2 = Naming::ByMany;
            }
        }
    }
    let mut wanted: Vec<_> = wanted.into_values().collect();
    wanted.sort_by_key(|(_, place, _)| *place);
    wanted
}

/// A layer as an image names it; two images may name one blob with different diff ids, of which one is wrong.
type Key = (Digest, Digest);

fn key(layer: &oci::Layer) -> Key {
    (layer.digest, layer.diff_id)
}

/// The lists of layers that images have, each once.
#[derive(Default)]
struct Lists {
    /// The place of the first image that has it.
    first: Vec<usize>,
    /// Of each image the number of its list.
    number: Vec<usize>,
}

impl Lists {
    fn of(images: &[Image]) -> Self {
        let (mut lists, mut known) = (Self::default(), HashMap::new());
        for (place, image) in images.iter().enumerate() {
            let list: Vec<Key> = image.layers.iter().map(key).collect();
            let number = *known.entry(list).or_insert(lists.first.len());
            if number == lists.first.len() {
                lists.first.push(place);
            }
            lists.number.push(number);
        }
        lists
    }

    /// Refuses lists that name the same layers so often that what is merged is out of proportion to the blobs.
    fn check(&self, images: &[Image], layers: &HashMap<Key, Layer>) -> Result<(), (usize, Problem)> {
        let mut left = MOST_AGAIN;
        let mut seen = HashSet::new();
        for place in &self.first {
            for layer in images[*place].layers.iter() {
                let is_new = seen.insert(key(layer));
                let entries = layers[&key(layer)].toc().len();
                let rest = if is_new { left.checked_add(entries) } else { left.checked_sub(entries) };
                let again = || Problem::Again { reference: Box::new(images[*place].reference.clone()) };
                left = rest.ok_or_else(|| (*place, again()))?;
            }
        }
        Ok(())
    }
}

fn merged(image: &Image, layers: &HashMap<Key, Layer>) -> Result<Merged, Problem> {
    let mut tree = TreeBuilder::new();
    for layer in image.layers.iter() {
        let open = &layers[&key(layer)];
        tree.merge_layer(open.toc(), open.diff()).map_err(|source| {
            let (digest, reference) = (layer.digest, Box::new(image.reference.clone()));
            Problem::Merge { digest, reference, source }
        })?;
    }
    let diff_sizes = image.layers.iter().map(|layer| layers[&key(layer)].diff_size()).collect();
    Ok(Merged { tree: Arc::new(tree), diff_sizes })
}

/// The same for work that can fail: after the first failure nothing more is begun, and its error counts.
pub(super) fn all_side_by_side<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let has_failed = AtomicBool::new(false);
    let results = side_by_side(items, threads, |item| {
        let result = (!has_failed.load(Ordering::Relaxed)).then(|| work(item));
        has_failed.fetch_or(matches!(result, Some(Err(_))), Ordering::Relaxed);
        result
    });
    results.into_iter().flatten().collect()
}

/// Applies `work` to all items on a few threads, this one among them; results in the items' order.
pub(super) fn side_by_side<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let lock = |slot: &Mutex<Option<R>>, result| *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    let take = || {
        while let Some((item, slot)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((items.get(at)?, done.get(at)?)))
        {
            lock(slot, work(item));
        }
    };
    std::thread::scope(|scope| {
        (1..threads.min(items.len())).for_each(|_| drop(scope.spawn(take)));
        take();
    });
    let results = done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    results.map(|result| result.expect("every item was taken by a thread that ran to its end")).collect()
}
