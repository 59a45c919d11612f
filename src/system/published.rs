//! Layer indexes that are shared: found next to images, and taken for layers that have none here.
//!
//! # Invariants
//! - An index that lkit has not compared with its layer is used only when it is named by the digest of its blobs in a lock, was pulled
//!   because somebody asked for it, or lies where [`Origins::trusted_indexes`](super::Origins) says. Even so each span is
//!   checked against it.
//! - An index that cannot be used is passed over with a warning: its layer is indexed here.

use std::collections::HashSet;

use super::images::{Images, RESOLVERS, side_by_side};
use super::lock_file::{LockFile, PublishedAt};
use super::{Error, IndexPlace, IndexTarget, Input, Origins, Problem, load};
use crate::base::{Digest, Event, MIB, Monitor, in_line};
use crate::blob::{AnyBlob, Descriptor, Layout, Named};
use crate::layer::ReadList;
use crate::oci::{INDEX_TYPE, Image, IndexManifest, Reference};
use crate::rootfs::Cause;

/// Largest summaries of an image, in bytes: of some 30 GiB of layers.
const MAX_SUMMARIES: u64 = 64 * MIB;
/// Indexes of an image that are looked at, of those that a registry lists.
const CANDIDATES: usize = 4;

/// Which images' indexes are meant.
#[derive(Clone, Debug)]
pub enum Subjects {
    /// Those of these specs.
    Specs(Vec<Input>),
    /// This one.
    Image(Box<Reference>),
}

/// An index that a registry or a layout lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFound {
    /// The image.
    pub image: Reference,
    /// What has the index.
    pub target: IndexTarget,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes that are fetched before the first `stat`.
    pub summaries: u64,
    /// Bytes of which some are fetched with each span that is read.
    pub parts: u64,
    /// Bytes of the read list that was pushed with it, if one was.
    pub reads: Option<u64>,
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
        let found = images.listed(image, from).map_err(|source| problem("pull", image, source))?;
        let newest = found.into_iter().next();
        let newest = newest.ok_or_else(|| Problem::NoIndexes { reference: Box::new(image.reference.clone()) })?;
        let pulled = images.keep_index(image, &newest.at, &newest.manifest);
        pulled.map(|()| newest.described(image)).map_err(|source| problem("pull", image, source))
    };
    Ok(subjects.resolve(origins, &images, monitor)?.iter().map(pull).collect::<Result<_, _>>()?)
}

/// The indexes of images that a registry lists, or a layout.
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
        let listed = images.listed(image, from).map_err(|source| problem("list", image, source))?;
        Ok(listed.into_iter().map(|listed| listed.described(image)).collect())
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

pub(super) fn each_once(images: Vec<Image>) -> Vec<Image> {
    let mut seen = HashSet::new();
    images.into_iter().filter(|image| seen.insert(*image.digest())).collect()
}

pub(super) fn problem(action: &'static str, image: &Image, source: Cause) -> Problem {
    Problem::Indexes { action, reference: Box::new(image.reference.clone()), source }
}

/// An index that is listed.
struct Listed {
    at: PublishedAt,
    manifest: Descriptor,
    target: IndexTarget,
}

impl Listed {
    fn described(self, image: &Image) -> IndexFound {
        IndexFound {
            image: image.reference.clone(),
            target: self.target,
            digest: self.manifest.digest,
            summaries: self.at.blobs.summaries.size,
            parts: self.at.blobs.parts.size,
            reads: self.at.blobs.reads.as_ref().map(|reads| reads.size),
        }
    }
}

impl Images<'_> {
    /// Takes indexes that were published, for images with a layer that has none here.
    pub fn take_published(&self, images: &[Image], lock: Option<&LockFile>) {
        let wanting: Vec<_> = images.iter().filter(|image| !self.is_indexed(image)).collect();
        side_by_side(&wanting, RESOLVERS, |image| {
            if let Err(error) = self.take(image, lock) {
                let warning = format!(
                    "the published layer indexes of `{}` are passed over: {}",
                    image.reference,
                    in_line(&error)
                );
                self.monitor.event(Event::Warning(warning));
            }
        });
    }

    /// Where the indexes of these images are that a lock may record: verified by those that are here, or trusted.
    pub fn published_at(&self, images: &[Image]) -> Vec<Option<PublishedAt>> {
        side_by_side(images, RESOLVERS, |image| {
            let found = self.verified(image);
            found.unwrap_or_else(|error| {
                let warning =
                    format!("the lock records no layer indexes of `{}`: {}", image.reference, in_line(&error));
                self.monitor.event(Event::Warning(warning));
                None
            })
        })
    }

    /// Whether all layers of an image have an index here.
    pub(super) fn is_indexed(&self, image: &Image) -> bool {
        image.layers.iter().all(|layer| self.layers.has_index(&layer.digest))
    }

    fn take(&self, image: &Image, lock: Option<&LockFile>) -> Result<(), Cause> {
        let Some(found) = self.known(image, lock)? else { return self.take_ztocs(image) };
        let summaries = self.summaries(&found)?;
        let parts = self.parts(&found)?;
        self.layers.offer(&image.layer_digests(), &summaries, &parts).map_err(Cause::new)?;
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
            if let Some(first) = self.listed(image, place)?.into_iter().next() {
                return Ok(Some(first.at));
            }
        }
        Ok(None)
    }

    /// The index for a lock: one that is trusted, or agrees with what was made here.
    fn verified(&self, image: &Image) -> Result<Option<PublishedAt>, Cause> {
        if let Some(known) = self.known(image, None)? {
            return Ok(Some(known));
        }
        if !self.is_indexed(image) {
            return Ok(None);
        }
        for Listed { at, .. } in self.listed_in(image, &image.reference)? {
            if self.layers.agrees(&self.summaries(&at)?).map_err(Cause::new)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// What is listed as indexes of an image, the newest first: beside it means in a layout that lists some, else in its
    /// repository.
    fn listed(&self, image: &Image, place: &IndexPlace) -> Result<Vec<Listed>, Cause> {
        if *place == IndexPlace::Beside {
            for layout in self.store.layouts() {
                let listed = self.listed_beside(image, layout)?;
                if !listed.is_empty() {
                    return Ok(listed);
                }
            }
        }
        self.listed_in(image, place.of(&image.reference))
    }

    fn listed_beside(&self, image: &Image, layout: &Layout) -> Result<Vec<Listed>, Cause> {
        let name = name_in_layout(image);
        let entries = layout.entries().map_err(Cause::new)?.into_iter().rev();
        let mut found = Vec::new();
        for Named { descriptor: manifest, .. } in entries.filter(|entry| entry.names.contains(&name)).take(CANDIDATES) {
            let bytes = self.store.small(&manifest.digest, MIB).map_err(Cause::new)?;
            if let Some(blobs) = bytes.and_then(|bytes| IndexManifest::parse(&bytes, image.digest()).ok()) {
                let at = PublishedAt { repository: image.reference.clone(), blobs };
                found.push(Listed { at, manifest, target: IndexTarget::Layout(layout.dir().to_owned()) });
            }
        }
        Ok(found)
    }

    /// What a repository lists as indexes of an image; what is none is passed over.
    fn listed_in(&self, image: &Image, repository: &Reference) -> Result<Vec<Listed>, Cause> {
        let listed = self.resolver.referrers(repository, image.digest(), INDEX_TYPE, self.monitor);
        let mut found = Vec::new();
        for manifest in listed.map_err(Cause::new)?.into_iter().rev().take(CANDIDATES) {
            let bytes = self.resolver.artifact(repository, &manifest).map_err(Cause::new)?;
            match IndexManifest::parse(&bytes, image.digest()) {
                Ok(blobs) => {
                    let at = PublishedAt { repository: repository.clone(), blobs };
                    let target = IndexTarget::Repository(Box::new(repository.clone()));
                    found.push(Listed { at, manifest, target });
                }
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
}

/// The name that the index of an image has in a layout: that of the tag which lists what refers to the image, and what
/// it is.
pub(super) fn name_in_layout(image: &Image) -> String {
    format!("sha256-{}.index", image.digest().hex())
}

/// The name that a pulled index has in the cache.
fn name_in_cache(image: &Image) -> String {
    let Image { reference, .. } = image;
    format!("{}/{}:{}", reference.registry(), reference.repository(), name_in_layout(image))
}
