//! The store: a cache that blobs are kept in, and read-only layouts beside it.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archives::ARCHIVES;
use super::folder::{self, INDEX_LOCK, INDEXES, LOCKS, PARTS, SPARSE};
use super::layout::BlobBytes;
use super::regular::{self, Opened, remove, unless_read_only};
use super::stash::Stash;
use super::traffic::Counted;
use super::transient::Transient;
use super::usage::files;
use super::write::{TEMPORARY, Temporary};
use super::{Blob, Error, Fetch, Guard, Layout, Note, Traffic};
use crate::base::Digest;

/// What of a layer stays in the cache when it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Blobs as far as they were fetched, and their indexes.
    #[default]
    Full,
    /// Indexes alone: blobs are fetched again, by the ranges that are read.
    Index,
    /// Nothing.
    None,
}

/// Blobs by digest, and small files made from them. Shared between threads and processes.
#[derive(Debug)]
pub struct Store {
    cache: Layout,
    layouts: Vec<Layout>,
    keep: Keep,
    stash: Arc<Stash>,
    traffic: Arc<Traffic>,
    limit: Option<u64>,
    /// Files of a store that keeps nothing.
    transient: Option<Transient>,
    record: Option<Arc<dyn Note>>,
}

impl Store {
    /// The store with its cache in `cache`, made when it is missing and mended when it is damaged, and blobs of `layouts`
    /// in reach as they are. A cache that cannot be written to is used as it is.
    ///
    /// # Errors
    /// When the cache cannot be made or read, or the folder holds something else; when a layout is none.
    pub fn open(cache: &Path, layouts: &[PathBuf]) -> Result<Self, Error> {
        let layouts = opened_layouts(layouts)?;
        folder::prepare(cache)?;
        Ok(Self {
            cache: Layout::at(cache),
            layouts,
            keep: Keep::Full,
            stash: Arc::default(),
            traffic: Arc::default(),
            limit: None,
            transient: None,
            record: None,
        })
    }

    /// A store that keeps nothing on the disk, and blobs of `layouts` in reach.
    ///
    /// # Errors
    /// When a layout is none.
    pub fn transient(layouts: &[PathBuf]) -> Result<Self, Error> {
        Ok(Self {
            cache: Layout::at(Path::new("")),
            layouts: opened_layouts(layouts)?,
            keep: Keep::None,
            stash: Arc::default(),
            traffic: Arc::default(),
            limit: None,
            transient: Some(Transient::default()),
            record: None,
        })
    }

    /// The same store, noting every range that is read of its blobs.
    #[must_use]
    pub fn recording(self, record: Arc<dyn Note>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// The same store, keeping this of layers.
    #[must_use]
    pub fn keeping(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// The same store, with a cache of at most `limit` bytes, as far as what is in use allows.
    #[must_use]
    pub fn limited(self, limit: Option<u64>) -> Self {
        Self { limit, ..self }
    }

    /// Most bytes of the cache.
    pub(super) fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// What it keeps of layers.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// What it fetches, writes and waits for.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Asks `fetch`, and counts what comes.
    pub fn counted<F: Deref<Target: Fetch> + Send + Sync>(&self, fetch: F) -> impl Fetch + use<F> {
        Counted { fetch, traffic: self.traffic.clone() }
    }

    /// The cache, as a layout.
    pub fn cache(&self) -> &Layout {
        &self.cache
    }

    /// The layouts beside the cache, in the order they were given.
    pub fn layouts(&self) -> &[Layout] {
        &self.layouts
    }

    /// The blob `digest` of `size` bytes, if it is here: in the cache, else in a layout.
    ///
    /// # Errors
    /// `Corrupt` when a layout has it in another size. In the cache such a blob is removed, as if it was never there.
    pub fn lookup(&self, digest: &Digest, size: u64) -> Result<Option<Blob>, Error> {
        if let Some(bytes) = self.cached(digest)? {
            if bytes.size == size {
                regular::hold(&bytes.file, &self.blob_path(digest));
                return Ok(Some(self.blob(digest, bytes)));
            }
            self.pass_over(digest)?;
        }
        self.beside(digest, size)
    }

    /// The same in the layouts alone.
    pub(super) fn beside(&self, digest: &Digest, size: u64) -> Result<Option<Blob>, Error> {
        for layout in &self.layouts {
            if let Some(bytes) = layout.open_blob(digest)? {
                if bytes.size == size {
                    return Ok(Some(self.blob(digest, bytes)));
                }
                let reason = format!("it has {} bytes, its descriptor says {size}", bytes.size);
                return Err(Error::Damaged { digest: *digest, path: layout.blob_path(digest), reason });
            }
        }
        Ok(None)
    }

    /// The bytes of a small blob such as a manifest, verified; `None` when it is not here.
    ///
    /// # Errors
    /// `Unsupported` above `limit` bytes, `Corrupt` when a layout has other bytes. In the cache such a blob is as if it
    /// was never there; it is removed, unless it is above the limit and may be a layer.
    pub fn small(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let bytes = self.verified(digest, limit)?;
        regular::note_use(&self.blob_path(digest));
        Ok(bytes)
    }

    /// The same, which counts as no use of the blob.
    pub(super) fn verified(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        if let Some(opened) = self.cached(digest)?.filter(|bytes| bytes.size <= limit) {
            let bytes = read_small(digest, opened, limit, &self.blob_path(digest))?;
            if Digest::of(&bytes) == *digest {
                return Ok(Some(bytes));
            }
            self.pass_over(digest)?;
        }
        for layout in &self.layouts {
            if let Some(manifest) = layout.manifest(digest) {
                return Ok(Some(manifest.to_vec()));
            }
            if let Some(opened) = layout.open_blob(digest)? {
                let path = layout.blob_path(digest);
                let bytes = read_small(digest, opened, limit, &path)?;
                if Digest::of(&bytes) == *digest {
                    return Ok(Some(bytes));
                }
                let reason = "its bytes have another digest".to_owned();
                return Err(Error::Damaged { digest: *digest, path, reason });
            }
        }
        Ok(None)
    }

    /// Keeps a small blob in the cache and tells its digest.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        let here = self.cached(&digest)?.filter(|here| here.size == bytes.len() as u64);
        // Read again rather than trusted, so that a damaged one is mended.
        if let Some(here) = here {
            let (path, limit) = (self.blob_path(&digest), here.size);
            if read_small(&digest, here, limit, &path)? == bytes {
                return Ok(digest);
            }
        }
        self.write_file(&self.blob_path(&digest), bytes)?;
        Ok(digest)
    }

    /// Removes the cache's copy of a blob that turned out to be damaged; whether there was one. A copy in a layout is
    /// never touched.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn discard(&self, digest: &Digest) -> Result<bool, Error> {
        remove(&self.blob_path(digest))
    }

    /// Waits until nobody else, in this process or another, holds the lock of `digest`, and takes it: held while a blob
    /// or something made from it is made. Never take it twice in one thread. In a read-only cache it guards nothing.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn lock(&self, digest: &Digest) -> Result<Guard, Error> {
        if self.is_transient() {
            return Ok(Guard::of_nothing());
        }
        Guard::acquire_to_make(&self.lock_dir().join(digest.hex()))
    }

    /// The index file `key`, open; `None` when there is none that may be read. What it holds is checked by who wrote it.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn index(&self, key: &str) -> Result<Option<fs::File>, Error> {
        let path = self.index_path(key)?;
        if self.is_transient() {
            return Ok(None);
        }
        match regular::open(&path) {
            Ok(Opened::File(file, _)) => {
                regular::hold(&file, &path);
                Ok(Some(file))
            }
            Ok(Opened::Missing) => Ok(None),
            Ok(Opened::Other(_)) => unless_read_only(remove(&path).map(drop)).map(|()| None),
            Err(error) => error.unless_forbidden(),
        }
    }

    /// Whether there is an index file of the blob `digest` itself that begins with `start`; it counts as no use.
    pub fn has_index(&self, digest: &Digest, start: &[u8]) -> bool {
        let mut found = vec![0; start.len()];
        !self.is_transient()
            && regular::open_regular(&self.index_dir().join(digest.hex()))
                .is_ok_and(|file| file.read_exact_at(&mut found, 0).is_ok() && found == start)
    }

    /// The keys of the index files that belong to the blob `digest`, sorted; none where nothing is kept.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn index_keys(&self, digest: &Digest) -> Result<Vec<String>, Error> {
        if self.is_transient() {
            return Ok(Vec::new());
        }
        let mut keys: Vec<String> = files(&self.index_dir())?.into_iter().map(|(name, _)| name).collect();
        keys.retain(|key| key.starts_with(&digest.hex()));
        keys.sort_unstable();
        Ok(keys)
    }

    /// Keeps an index file: `key` is letters, digits, `.`, `-` and `_`, and begins with the 64 hex digits of the blob
    /// it belongs to, with which [`clean`](Self::clean) removes it.
    ///
    /// # Errors
    /// When the key is none, or the file system fails; an older file of that key is whole then.
    pub fn keep_index(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write_file(&self.index_path(key)?, bytes)
    }

    /// Removes an index file; whether there was one.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn drop_index(&self, key: &str) -> Result<bool, Error> {
        remove(&self.index_path(key)?)
    }

    /// Whether nothing is kept on the disk.
    pub(super) fn is_transient(&self) -> bool {
        self.transient.is_some()
    }

    pub(super) fn lock_index(&self) -> Result<Guard, Error> {
        Guard::acquire(&self.cache.dir().join(INDEX_LOCK))
    }

    pub(super) fn index_dir(&self) -> PathBuf {
        self.cache.dir().join(INDEXES)
    }

    pub(super) fn lock_dir(&self) -> PathBuf {
        self.cache.dir().join(LOCKS)
    }

    pub(super) fn temporary_dir(&self) -> PathBuf {
        self.cache.dir().join(TEMPORARY)
    }

    pub(super) fn parts_dir(&self) -> PathBuf {
        self.cache.dir().join(PARTS)
    }

    pub(super) fn sparse_path(&self, digest: &Digest) -> PathBuf {
        self.sparse_dir().join(digest.hex())
    }

    pub(super) fn archives_dir(&self) -> PathBuf {
        self.cache.dir().join(ARCHIVES)
    }

    pub(super) fn sparse_dir(&self) -> PathBuf {
        self.cache.dir().join(SPARSE)
    }

    pub(super) fn stash(&self) -> &Arc<Stash> {
        &self.stash
    }

    pub(super) fn record(&self) -> Option<&Arc<dyn Note>> {
        self.record.as_ref()
    }

    pub(super) fn part_path(&self, digest: &Digest) -> PathBuf {
        self.parts_dir().join(digest.hex())
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.cache.blob_path(digest)
    }

    /// The blob that was just put at `path`.
    pub(super) fn opened(&self, digest: &Digest, path: &Path, size: u64) -> Result<Blob, Error> {
        match regular::open(path)? {
            Opened::File(file, found) if found == size => {
                regular::hold(&file, path);
                Ok(self.blob(digest, BlobBytes { file, start: 0, size }))
            }
            _ => {
                let reason = "it was changed while it was put into the cache".to_owned();
                Err(Error::Damaged { digest: *digest, path: path.to_owned(), reason })
            }
        }
    }

    /// Removes the cache's copy of a damaged blob where that is possible; elsewhere it is as if it was not there.
    fn pass_over(&self, digest: &Digest) -> Result<(), Error> {
        unless_read_only(self.discard(digest).map(drop))
    }

    fn blob(&self, digest: &Digest, bytes: BlobBytes) -> Blob {
        let BlobBytes { file, start, size } = bytes;
        Blob { digest: *digest, size, file: Arc::new(file), start, record: self.record.clone() }
    }

    /// Like [`Layout::open_blob`] in the cache; what has the name of a blob and is no file, or may not be read, counts as
    /// none.
    fn cached(&self, digest: &Digest) -> Result<Option<BlobBytes>, Error> {
        if let Some(transient) = &self.transient {
            let path = self.blob_path(digest);
            return transient.open(&path).map_err(Error::io("open", &path));
        }
        match self.cache.open_blob(digest) {
            Err(Error::Damaged { .. }) => Ok(None),
            Err(error) => error.unless_forbidden(),
            found => found,
        }
    }

    fn index_path(&self, key: &str) -> Result<PathBuf, Error> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if key.len() > 200 || !key.bytes().all(plain) || !key.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        {
            return Err(Error::Key(key.to_owned()));
        }
        Ok(self.index_dir().join(key))
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        if let Some(transient) = &self.transient {
            return transient.put(path, bytes).map_err(Error::io("hold", path));
        }
        self.traffic.wrote(bytes.len());
        let mut temporary = Temporary::create(&self.temporary_dir())?;
        temporary.write_all(bytes)?;
        temporary.rename(path)
    }
}

fn opened_layouts(layouts: &[PathBuf]) -> Result<Vec<Layout>, Error> {
    layouts.iter().map(|dir| Layout::open(dir)).collect()
}

fn read_small(digest: &Digest, opened: BlobBytes, limit: u64, path: &Path) -> Result<Vec<u8>, Error> {
    let BlobBytes { file, start, size } = opened;
    if size > limit {
        return Err(Error::TooLarge { digest: *digest, size, limit });
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    file.read_exact_at(&mut bytes, start).map_err(Error::io("read", path))?;
    Ok(bytes)
}
