//! Opening layers: from their index when it is there, else by one pass over the blob, fetched on the way if need be.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::error::Error;
use super::index::{Draft, Index, IndexBytes, Offer, Toc};
use super::pass::{self, Expected, Scanner, Search, Transfer};
use super::read::{Damaged, Diff, Forget, IndexedBlob, Pool};
use crate::base::{Digest, Event, Monitor, trim_heap};
use crate::blob::{self, AnyBlob, Fetch, Keep, Store};
use crate::extent::SharedSource;

/// How layers are indexed and read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of diff between two places where decoding can start; fewer where they take longer than usual, more where
    /// they take less. Smaller: quicker random reads, larger index.
    pub span_size: u64,
    /// Bytes of decoded content kept in memory, all layers together.
    pub cache: usize,
    /// Threads that decode ahead of sequential readers.
    pub workers: usize,
}

impl Default for Options {
    /// A span decodes in less than a millisecond, and an index is some 1.4 % of its blob; 16 MiB hold the spans of a few
    /// readers and what is decoded ahead of them; more workers than two wait for the readers.
    fn default() -> Self {
        Self { span_size: 640 << 10, cache: 16 << 20, workers: 2 }
    }
}

/// Names a layer of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Digest of the uncompressed tar, as the image config states it.
    pub diff_id: Digest,
}

/// An open layer. Holds its table of contents: drop it when the tree is merged, and keep the diff.
pub struct Layer {
    pub(super) toc: Toc,
    pub(super) diff: SharedSource,
    pub(super) diff_id: Digest,
}

impl Layer {
    /// What is in it. Offsets count in [`diff`](Self::diff).
    pub const fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The uncompressed tar, decoded where it is read.
    pub const fn diff(&self) -> &SharedSource {
        &self.diff
    }

    /// Size of the uncompressed tar in bytes.
    pub fn diff_size(&self) -> u64 {
        self.diff.size()
    }

    /// SHA-256 of the uncompressed tar.
    pub const fn diff_id(&self) -> &Digest {
        &self.diff_id
    }
}

type OpenDiffs = Vec<(Digest, Weak<Diff>)>;

/// Opens layers over a store. All layers it opens share one cache of decoded content.
pub struct Layers {
    pub(super) store: Arc<Store>,
    pub(super) options: Options,
    pub(super) pool: Arc<Pool>,
    /// Diffs that are in use, by what their index is about.
    open: Mutex<OpenDiffs>,
    /// Indexes that were published, for layers that have none here.
    offered: Mutex<HashMap<String, Offer>>,
}

impl Layers {
    /// Layers whose blobs and indexes are kept in `store`.
    pub fn new(store: Arc<Store>, options: Options) -> Self {
        let pool = Arc::new(Pool::new(options.cache, options.workers));
        Self { store, options, pool, open: Mutex::default(), offered: Mutex::default() }
    }

    /// Bytes decoded so far to answer reads; every span of a sequential read counts once.
    pub fn decoded(&self) -> u64 {
        self.pool.decoded()
    }

    /// Opens a layer. One that has no index yet costs one pass over its blob, which `fetch` gives when the store has
    /// not got it; processes that want the same one wait for each other.
    ///
    /// # Errors
    /// `Corrupt` when blob, diff id or tar are not what they should be; what `fetch` or the store say.
    pub fn open(&self, wanted: &Wanted, fetch: &Arc<dyn Fetch>, monitor: &dyn Monitor) -> Result<Layer, Error> {
        self.open_or_index(wanted, fetch, monitor).map_err(|error| error.of(wanted.digest))
    }

    fn open_or_index(&self, wanted: &Wanted, fetch: &Arc<dyn Fetch>, monitor: &dyn Monitor) -> Result<Layer, Error> {
        if let Some(layer) = self.indexed(wanted, fetch)? {
            return Ok(layer);
        }
        let _guard = self.store.lock(&wanted.digest)?;
        if let Some(layer) = self.indexed(wanted, fetch)? {
            return Ok(layer);
        }
        monitor.event(Event::LayerStarted { digest: wanted.digest, size: wanted.size });
        let (blob, draft) = self.pass(wanted, fetch, monitor)?;
        let (index, toc) = self.keep(&wanted.digest.hex(), &wanted.digest, &draft)?;
        // A diff that is still in use may be over a blob that turned out to be damaged.
        self.open_diffs().retain(|(subject, _)| *subject != wanted.digest);
        drop(draft);
        trim_heap();
        self.store.make_room()?;
        monitor.event(Event::LayerFinished { digest: wanted.digest });
        self.layer(wanted, blob, index, toc)
    }

    /// The layer, if a sound index of it is here.
    fn indexed(&self, wanted: &Wanted, fetch: &Arc<dyn Fetch>) -> Result<Option<Layer>, Error> {
        let Some((index, toc)) = self.kept(&wanted.digest.hex(), &wanted.digest, wanted.size)? else { return Ok(None) };
        let bytes = self.store.reach_for(&wanted.digest, wanted.size, fetch)?;
        self.layer(wanted, bytes, index, toc).map(Some)
    }

    fn layer(&self, wanted: &Wanted, bytes: AnyBlob, index: Index, toc: Toc) -> Result<Layer, Error> {
        let diff_id = *index.diff_id();
        if diff_id != wanted.diff_id {
            return Err(Error::DiffId { expected: wanted.diff_id, actual: diff_id });
        }
        let digest = wanted.digest;
        let diff = self.diff(digest, || IndexedBlob {
            forget: Some(self.forget(digest, &bytes)),
            ..IndexedBlob::local(self.pool.new_id(), digest.to_string(), bytes.source(), index)
        });
        Ok(Layer { toc, diff, diff_id })
    }

    /// Forgets what is damaged. Best effort: what cannot be removed is found damaged again by the next read.
    fn forget(&self, digest: Digest, bytes: &AnyBlob) -> Forget {
        let store = self.store.clone();
        match bytes {
            AnyBlob::Here(_) => Box::new(move |damaged| {
                if damaged == Damaged::Blob {
                    store.discard(&digest).ok();
                }
                store.drop_index(&digest.hex()).ok();
            }),
            AnyBlob::There(_) => Box::new(move |damaged| {
                if damaged == Damaged::Index {
                    store.drop_index(&digest.hex()).ok();
                }
            }),
        }
    }

    /// One pass over the blob, from the store or from where it can be fetched. A damaged copy in the cache is fetched
    /// again.
    fn pass(&self, wanted: &Wanted, fetch: &Arc<dyn Fetch>, monitor: &dyn Monitor) -> Result<(AnyBlob, Draft), Error> {
        while let Some(blob) = self.store.lookup(&wanted.digest, wanted.size)? {
            match self.read_through(wanted, &mut blob.reader(), None, monitor) {
                Err(error) if error.blames_blob() && self.store.discard(&wanted.digest)? => {}
                result => return result.map(|draft| (AnyBlob::Here(blob), draft)),
            }
        }
        if self.store.keep() != Keep::Full {
            let mut input = self.store.counted(fetch.clone()).fetch_whole(&wanted.digest, wanted.size)?;
            let draft = self.read_through(wanted, &mut *input, None, monitor)?;
            let ranged = self.store.ranged(&wanted.digest, wanted.size, fetch)?;
            return Ok((AnyBlob::There(ranged), draft));
        }
        let received = self.store.receive(&wanted.digest, wanted.size, &**fetch, |input, writer| {
            let draft = self.read_through(wanted, input, Some(writer), monitor)?;
            Ok((draft.blob, draft))
        });
        received.map(|(blob, draft)| (AnyBlob::Here(blob), draft))
    }

    fn read_through(
        &self,
        wanted: &Wanted,
        mut input: &mut (dyn Read + Send),
        copy: Option<&mut (dyn Write + Send)>,
        monitor: &dyn Monitor,
    ) -> Result<Draft, Error> {
        let digest = wanted.digest;
        let progress = |done| monitor.event(Event::LayerProgress { digest, done });
        let Wanted { size, diff_id, .. } = *wanted;
        let expected = Expected { size, stored: size, digest: Some(digest), diff_id: Some(diff_id) };
        let search = Search { span_size: self.options.span_size, scanner: Some(Scanner::new(0)) };
        // Reborrowed, so that the flow may live shorter than the writer.
        let copy = copy.map(|copy| &mut *copy as &mut (dyn Write + Send));
        let draft = pass::pass(Transfer { input: &mut input, copy, progress: &progress }, &expected, search);
        draft.map_err(|error| error.out_of_stream(&digest))
    }

    /// An index that was kept, or else offered, with its table of contents; a damaged one is dropped.
    pub(super) fn kept(&self, key: &str, subject: &Digest, size: u64) -> Result<Option<(Index, Toc)>, Error> {
        let Some(file) = self.store.index(key)? else {
            let offered = self.offered();
            return Ok(offered.get(key).and_then(|offer| offer.open(subject, size)));
        };
        let opened = Index::open(IndexBytes::File(file), subject, size);
        if opened.is_none() {
            match self.store.drop_index(key) {
                Ok(_) | Err(blob::Error::ReadOnly { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(opened)
    }

    /// Keeps a new index, and opens what was kept.
    pub(super) fn keep(&self, key: &str, subject: &Digest, draft: &Draft) -> Result<(Index, Toc), Error> {
        let bytes = draft.encode(subject);
        if self.store.keep() == Keep::None {
            return Self::in_memory(bytes, subject, draft.blob_size);
        }
        match self.store.keep_index(key, &bytes) {
            // A damaged one that cannot be replaced; this process gets one of its own.
            Err(blob::Error::ReadOnly { .. }) if self.store.index(key)?.is_some() => {
                return Self::in_memory(bytes, subject, draft.blob_size);
            }
            result => result?,
        }
        match self.kept(key, subject, draft.blob_size)? {
            Some(kept) => Ok(kept),
            // Somebody cleans the cache just now.
            None => Self::in_memory(bytes, subject, draft.blob_size),
        }
    }

    /// Opens an index that is not kept.
    ///
    /// # Errors
    /// When it is larger than lkit takes.
    pub(super) fn in_memory(bytes: Vec<u8>, subject: &Digest, size: u64) -> Result<(Index, Toc), Error> {
        Index::open(IndexBytes::Memory(bytes), subject, size).ok_or(Error::IndexTooLarge)
    }

    /// The diff of an indexed blob: the one in use, if there is one, so that its content is cached once.
    pub(super) fn diff(&self, subject: Digest, open_blob: impl FnOnce() -> IndexedBlob) -> SharedSource {
        let mut open = self.open_diffs();
        open.retain(|(_, diff)| diff.strong_count() > 0);
        let in_use = open.iter().filter(|(of, _)| *of == subject).find_map(|(_, diff)| diff.upgrade());
        in_use.unwrap_or_else(|| {
            let diff = Arc::new(Diff::new(subject, Arc::new(open_blob()), self.pool.clone()));
            open.push((subject, Arc::downgrade(&diff)));
            diff
        })
    }

    pub(super) fn offered(&self) -> MutexGuard<'_, HashMap<String, Offer>> {
        self.offered.lock().expect("nothing panics while it holds the offers")
    }

    pub(super) fn open_diffs(&self) -> MutexGuard<'_, OpenDiffs> {
        self.open.lock().expect("nothing panics while it holds the list")
    }
}
