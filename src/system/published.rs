//! Layer indexes that are shared: pushed beside images, found there, and taken for layers that have none here.
//!
//! # Invariants
//! - An index that nobody here has verified is used only when it is named by the digest of its blobs in a lock, was pulled
//!   because somebody asked for it, or lies where [`Origins::trusted_indexes`](super::Origins) says. Even so each span is
//!   checked against it.
//! - An index that cannot be used is passed over with a warning: its layer is indexed here.

use std::collections::HashSet;
use std::sync::Arc;

use super::foreign::Soci;
use super::images::{Images, RESOLVERS, side_by_side};
use super::lock_file::{LockFile, PublishedAt};
use super::{Error, IndexPlace, Input, Options, Origins, Problem, load};
use crate::base::{Digest, Event, Hasher, MIB, Monitor};
use crate::blob::{AnyBlob, Descriptor};
use crate::extent::{Bytes, ReadError, SharedSource};
use crate::layer::ReadList;
use crate::oci::{
    EMPTY, INDEX_TYPE, Image, IndexManifest, OCI_MANIFEST, PARTS_TYPE, READS_TYPE, Reference, SUMMARIES_TYPE,
    empty_config,
};
use crate::rootfs::Cause;

/// Largest summaries of an image, in bytes: of some 30 GiB of layers.
const MAX_SUMMARIES: u64 = 64 * MIB;
/// Indexes of an image that are looked at, of those that a registry lists.
const CANDIDATES: usize = 4;
/// Bytes of parts that are hashed at a time.
const CHUNK: usize = 256 << 10;

/// Which images' indexes are meant.
#[derive(Clone, Debug)]
pub enum Subjects {
    /// Those of these specs.
    Specs(Vec<Input>),
    /// This one.
    Image(Box<Reference>),
}

/// An index that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPushed {
    /// The image.
    pub image: Reference,
    /// The repository that has the index now.
    pub repository: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of summaries and parts.
    pub bytes: u64,
}

/// An index that a registry lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFound {
    /// The image.
    pub image: Reference,
    /// The repository that has the index.
    pub repository: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes that are fetched before the first `stat`.
    pub summaries: u64,
    /// Bytes of which some are fetched with each span that is read.
    pub parts: u64,
}

/// Makes the indexes of images that have none here, and pushes them beside the images, or `to` another repository; with
/// `soci` in SOCI's format.
///
/// # Errors
/// What is wrong with specs, images or layers; when a registry does not take them.
pub fn push_indexes(
    subjects: &Subjects,
    origins: &Origins,
    (to, soci): (Option<&Reference>, Option<&Soci>),
    monitor: &dyn Monitor,
) -> Result<Vec<IndexPushed>, Error> {
    let found = match subjects {
        // The whole system is made, since a kernel's tar has an index of its own.
        Subjects::Specs(inputs) => {
            let system = load::load(inputs, origins, &Options::default(), monitor)?;
            system.images.into_iter().map(|used| used.image).collect()
        }
        Subjects::Image(reference) => vec![load::load_image(reference, origins, monitor)?.0],
    };
    let images = Images::new(origins, monitor)?;
    let push = |image: &Image| images.push(image, to, soci).map_err(|source| problem("push", image, source));
    Ok(each_once(found).iter().map(push).collect::<Result<_, _>>()?)
}

/// Fetches the indexes of images into the cache, where they are used from now on.
///
/// # Errors
/// What is wrong with specs or images; when nobody has published the indexes of one.
pub fn pull_indexes(
    subjects: &Subjects,
    origins: &Origins,
    from: &IndexPlace,
    monitor: &dyn Monitor,
) -> Result<Vec<IndexFound>, Error> {
    let images = Images::new(origins, monitor)?;
    let pull = |image: &Image| {
        let found = images.listed(image, from.of(&image.reference));
        let (found, manifest) = found
            .map_err(|source| problem("pull", image, source))?
            .into_iter()
            .next()
            .ok_or_else(|| Problem::NoIndexes { reference: Box::new(image.reference.clone()) })?;
        let pulled = images.keep_index(image, &found, &manifest);
        pulled.map(|()| found.described(image, &manifest)).map_err(|source| problem("pull", image, source))
    };
    Ok(subjects.resolve(origins, &images, monitor)?.iter().map(pull).collect::<Result<_, _>>()?)
}

/// The indexes of images that a registry lists.
///
/// # Errors
/// What is wrong with specs or images; when the registry does not answer.
pub fn list_indexes(
    subjects: &Subjects,
    origins: &Origins,
    from: &IndexPlace,
    monitor: &dyn Monitor,
) -> Result<Vec<IndexFound>, Error> {
    let images = Images::new(origins, monitor)?;
    let list = |image: &Image| {
        let listed =
            images.listed(image, from.of(&image.reference)).map_err(|source| problem("list", image, source))?;
        Ok(listed.iter().map(|(found, manifest)| found.described(image, manifest)).collect())
    };
    let found: Result<Vec<Vec<IndexFound>>, Problem> =
        subjects.resolve(origins, &images, monitor)?.iter().map(list).collect();
    Ok(found?.concat())
}

impl Subjects {
    /// The images, each once; no layer is opened.
    fn resolve(&self, origins: &Origins, images: &Images<'_>, monitor: &dyn Monitor) -> Result<Vec<Image>, Error> {
        let found = match self {
            Self::Specs(inputs) => load::resolve(inputs, origins, images, monitor)?,
            Self::Image(reference) => {
                let image = images.resolve_one(reference);
                vec![image.map_err(|error| Problem::resolve(reference.to_string(), None, error))?]
            }
        };
        Ok(each_once(found))
    }
}

fn each_once(images: Vec<Image>) -> Vec<Image> {
    let mut seen = HashSet::new();
    images.into_iter().filter(|image| seen.insert(*image.digest())).collect()
}

fn problem(action: &'static str, image: &Image, source: Cause) -> Problem {
    Problem::Indexes { action, reference: Box::new(image.reference.clone()), source }
}

impl PublishedAt {
    fn described(&self, image: &Image, manifest: &Descriptor) -> IndexFound {
        IndexFound {
            image: image.reference.clone(),
            repository: self.repository.clone(),
            digest: manifest.digest,
            summaries: self.blobs.summaries.size,
            parts: self.blobs.parts.size,
        }
    }
}

impl Images<'_> {
    /// Takes indexes that were published, for images with a layer that has none here.
    pub fn take_published(&self, images: &[Image], lock: Option<&LockFile>) {
        side_by_side(images, RESOLVERS, |image| {
            if let Err(error) = self.take(image, lock) {
                let warning = format!("the published layer indexes of `{}` are passed over: {error}", image.reference);
                self.monitor.event(Event::Warning(warning));
            }
        });
    }

    /// Where the indexes of these images are that a lock may record: verified by those that are here, or trusted.
    pub fn published_at(&self, images: &[Image]) -> Vec<Option<PublishedAt>> {
        side_by_side(images, RESOLVERS, |image| {
            let found = self.verified(image);
            found.unwrap_or_else(|error| {
                let warning = format!("the lock records no layer indexes of `{}`: {error}", image.reference);
                self.monitor.event(Event::Warning(warning));
                None
            })
        })
    }

    /// Whether all of these layers have an index here.
    fn is_indexed(&self, layers: &[Digest]) -> Result<bool, Cause> {
        for layer in layers {
            if !self.layers.has_index(layer).map_err(Cause::new)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&self, image: &Image, lock: Option<&LockFile>) -> Result<(), Cause> {
        let layers = image.layer_digests();
        if self.is_indexed(&layers)? {
            return Ok(());
        }
        let Some(found) = self.known(image, lock)? else { return self.take_ztocs(image) };
        let summaries = self.summaries(&found)?;
        let parts = self.parts(&found)?;
        self.layers.offer(&layers, &summaries, &parts).map_err(Cause::new)?;
        if lock.is_none_or(|lock| lock.reads(self.platform).is_none()) {
            self.take_reads(image, &found.repository, found.blobs.reads.as_ref());
        }
        Ok(())
    }

    /// Where the indexes of an image are: as the lock says, as they were pulled, or where they are trusted.
    fn known(&self, image: &Image, lock: Option<&LockFile>) -> Result<Option<PublishedAt>, Cause> {
        if let Some(locked) = lock.and_then(|lock| lock.index(image.digest())) {
            return Ok(Some(locked));
        }
        match self.pulled(image)? {
            Some(pulled) => Ok(Some(pulled)),
            None => self.trusted(image),
        }
    }

    fn trusted(&self, image: &Image) -> Result<Option<PublishedAt>, Cause> {
        for place in self.trusted_indexes {
            let listed = self.listed(image, place.of(&image.reference))?;
            if let Some((found, _)) = listed.into_iter().next() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The index for a lock: one that is trusted, or agrees with what was made here.
    fn verified(&self, image: &Image) -> Result<Option<PublishedAt>, Cause> {
        if let Some(known) = self.known(image, None)? {
            return Ok(Some(known));
        }
        if !self.is_indexed(&image.layer_digests())? {
            return Ok(None);
        }
        for (found, _) in self.listed(image, &image.reference)? {
            if self.layers.agrees(&self.summaries(&found)?).map_err(Cause::new)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What a repository lists as indexes of an image, the newest first, each with its manifest; what is none is passed
    /// over.
    fn listed(&self, image: &Image, repository: &Reference) -> Result<Vec<(PublishedAt, Descriptor)>, Cause> {
        let listed = self.resolver.referrers(repository, image.digest(), INDEX_TYPE, self.monitor);
        let mut found = Vec::new();
        for manifest in listed.map_err(Cause::new)?.into_iter().rev().take(CANDIDATES) {
            let bytes = self.resolver.artifact(repository, &manifest).map_err(Cause::new)?;
            match IndexManifest::parse(&bytes, image.digest()) {
                Ok(blobs) => found.push((PublishedAt { repository: repository.clone(), blobs }, manifest)),
                Err(reason) => self.monitor.event(Event::Warning(format!(
                    "`{}` in `{repository}` is no layer index: {reason}",
                    manifest.digest
                ))),
            }
        }
        Ok(found)
    }

    /// The index that was pulled for an image.
    fn pulled(&self, image: &Image) -> Result<Option<PublishedAt>, Cause> {
        let name = name_in_cache(image);
        let entries = self.store.entries().map_err(Cause::new)?;
        let Some(entry) = entries.iter().find(|entry| entry.names.contains(&name)) else { return Ok(None) };
        let bytes = self.store.small(&entry.descriptor.digest, MIB).map_err(Cause::new)?;
        let blobs = bytes.and_then(|bytes| IndexManifest::parse(&bytes, image.digest()).ok());
        Ok(blobs.map(|blobs| PublishedAt { repository: image.reference.clone(), blobs }))
    }

    fn summaries(&self, found: &PublishedAt) -> Result<Vec<u8>, Cause> {
        let PublishedAt { repository, blobs } = found;
        self.resolver.small(repository, &blobs.summaries, MAX_SUMMARIES).map_err(Cause::new)
    }

    fn parts(&self, found: &PublishedAt) -> Result<AnyBlob, Cause> {
        let Descriptor { digest, size, .. } = found.blobs.parts;
        let fetch = self.resolver.fetcher(&found.repository);
        self.store.reach_for(&digest, size, &fetch).map_err(Cause::new)
    }

    /// Fetches an index whole, and notes that it was asked for.
    fn keep_index(&self, image: &Image, found: &PublishedAt, manifest: &Descriptor) -> Result<(), Cause> {
        self.summaries(found)?;
        let fetch = self.resolver.fetcher(&found.repository);
        self.store.obtain(&found.blobs.parts, &*fetch).map_err(Cause::new)?;
        if let Some(reads) = &found.blobs.reads {
            self.resolver.small(&found.repository, reads, ReadList::LARGEST).map_err(Cause::new)?;
        }
        self.store.record_name(&name_in_cache(image), manifest).map_err(Cause::new)
    }

    fn push(&self, image: &Image, to: Option<&Reference>, soci: Option<&Soci>) -> Result<IndexPushed, Cause> {
        let repository = to.unwrap_or(&image.reference);
        match soci {
            None => self.push_index(image, repository),
            Some(soci) => {
                let (digest, bytes) = self.push_soci(image, repository, soci)?;
                Ok(IndexPushed { image: image.reference.clone(), repository: repository.clone(), digest, bytes })
            }
        }
    }

    fn push_index(&self, image: &Image, repository: &Reference) -> Result<IndexPushed, Cause> {
        let layers = image.layer_digests();
        let published = self.layers.published(&layers).map_err(Cause::new)?;
        let described = |media_type: &str, content: &SharedSource| {
            let digest = digest_of(content).map_err(Cause::new)?;
            Ok(Descriptor::new(media_type, digest, content.size()))
        };
        let summaries: SharedSource = Arc::new(Bytes(published.summaries.into()));
        let reads = self.listed_of(image).map(|list| Arc::new(Bytes(list.to_bytes().into())) as SharedSource);
        let blobs = IndexManifest {
            summaries: described(SUMMARIES_TYPE, &summaries)?,
            parts: described(PARTS_TYPE, &published.parts)?,
            reads: reads.as_ref().map(|reads| described(READS_TYPE, reads)).transpose()?,
        };
        let pusher = self.resolver.pusher(repository, None).map_err(Cause::new)?;
        let empty: SharedSource = Arc::new(Bytes(EMPTY.into()));
        let wanted =
            [(empty_config(), empty), (blobs.summaries.clone(), summaries), (blobs.parts.clone(), published.parts)];
        for (descriptor, content) in wanted.into_iter().chain(blobs.reads.clone().zip(reads)) {
            pusher.blob(&descriptor, content, self.monitor).map_err(Cause::new)?;
        }
        let digest = pusher.manifest(&blobs.to_bytes(&image.manifest), OCI_MANIFEST, None).map_err(Cause::new)?;
        let bytes = blobs.summaries.size + blobs.parts.size;
        Ok(IndexPushed { image: image.reference.clone(), repository: repository.clone(), digest, bytes })
    }
}

/// The name that a pulled index has in the cache: that of the tag which lists what refers to the image, and what it is.
fn name_in_cache(image: &Image) -> String {
    let Image { reference, .. } = image;
    format!("{}/{}:sha256-{}.index", reference.registry(), reference.repository(), image.digest().hex())
}

fn digest_of(content: &SharedSource) -> Result<Digest, ReadError> {
    let (mut hash, mut chunk, mut at) = (Hasher::default(), vec![0; CHUNK], 0);
    while at < content.size() {
        let len = usize::try_from(content.size() - at).map_or(CHUNK, |left| left.min(CHUNK));
        content.read_at(&mut chunk[..len], at)?;
        hash.update(&chunk[..len]);
        at += len as u64;
    }
    Ok(hash.finish())
}
