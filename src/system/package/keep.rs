//! What was built, into the cache: one image index of all platforms.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::PackageError;
use crate::base::{Digest, Monitor, Platform};
use crate::blob::Store;
use crate::oci::{Descriptor, DescriptorPlatform, Image, OCI_INDEX, OCI_MANIFEST, Options, Pull, Reference, Resolver};
use crate::system::{Error, import, store};

/// Largest image index, in bytes.
const LARGEST_INDEX: u64 = 8 << 20;

/// An image as a builder left it.
pub(super) struct Built {
    pub platform: Platform,
    /// An OCI layout as a tar, with this image alone.
    pub archive: PathBuf,
}

/// Brings images into the cache and names them together `reference`, beside what that means for other platforms.
///
/// # Errors
/// When an archive does not have the image, or the cache cannot be written; the name means then what it meant before.
pub(super) fn keep(
    reference: &Reference,
    built: &[Built],
    cache: &Path,
    monitor: &dyn Monitor,
) -> Result<Digest, PackageError> {
    let mut entries: Vec<Descriptor> = Vec::new();
    for image in built {
        entries.extend(bring(reference, image, cache, monitor)?);
    }
    let store = store(cache, &[])?;
    let known = known(&store, reference)?;
    let is_new =
        |entry: &Descriptor| entries.iter().any(|new| new.platform.is_some() && new.platform == entry.platform);
    let (replaced, kept): (Vec<_>, Vec<_>) = known.into_iter().partition(|entry| is_image(entry) && is_new(entry));
    let about = |entry: &Descriptor| entry.annotations.as_ref().and_then(|all| all.get(SUBJECT).cloned());
    let is_gone = |entry: &Descriptor| {
        about(entry).is_some_and(|subject| replaced.iter().any(|image| image.digest.to_string() == subject))
    };
    let mut all: Vec<Descriptor> = kept.into_iter().filter(|entry| !is_gone(entry)).chain(entries).collect();
    // Images before what is about them, each by its platform: the same images give the same index.
    all.sort_by_key(|entry| (!is_image(entry), order(entry), about(entry)));
    all.dedup_by_key(|entry| entry.digest);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": all}).to_string();
    let digest = store.put(index.as_bytes()).map_err(Error::from)?;
    let root = Descriptor::new(OCI_INDEX, digest, index.len() as u64);
    store.record_name(&reference.to_string(), &root).map_err(Error::from)?;
    Ok(digest)
}

/// Says of an attestation which image it is about.
const SUBJECT: &str = "vnd.docker.reference.digest";

fn is_image(entry: &Descriptor) -> bool {
    entry.artifact_type.is_none() && entry.annotations.as_ref().is_none_or(|all| !all.contains_key(SUBJECT))
}

fn order(entry: &Descriptor) -> Option<[String; 3]> {
    let DescriptorPlatform { os, architecture, variant } = entry.platform.clone()?;
    Some([os, architecture, variant.unwrap_or_default()])
}

/// Brings one image into the cache; what an image index lists of it.
fn bring(
    reference: &Reference,
    built: &Built,
    cache: &Path,
    monitor: &dyn Monitor,
) -> Result<Vec<Descriptor>, PackageError> {
    let name = for_platform(reference, &built.platform)?;
    let imported = import(&built.archive, Some(&name), cache, monitor)?;
    let store = Arc::new(store(cache, &[])?);
    let image = imported.first().expect("an import under a name is of one image");
    let resolver = Resolver::new(store.clone(), Options { pull: Pull::Never, ..Options::default() });
    let found = resolver.resolve(&name.pinned(image.root), &built.platform, monitor);
    let other = |error| PackageError::Other { platform: built.platform.to_string(), source: Box::new(error) };
    let image = found.map_err(other)?;
    listed(&store, &image)
}

/// What the image for one platform is called, as linuxkit calls it: with the architecture behind the tag.
///
/// # Errors
/// When the tag becomes too long.
pub(super) fn for_platform(reference: &Reference, platform: &Platform) -> Result<Reference, PackageError> {
    let name = format!("{reference}-{}", platform.architecture);
    name.parse().map_err(|error| PackageError::Invalid(format!("`{name}` names no image: {error}")))
}

/// What an image index lists of an image that was found: itself, or all that stands beside it in its own.
///
/// # Errors
/// When the store fails.
pub(super) fn listed(store: &Store, image: &Image) -> Result<Vec<Descriptor>, PackageError> {
    if image.root != *image.digest() {
        return entries(store, &image.root);
    }
    let Platform { os, architecture, variant } = image.config.platform.clone();
    let platform = Some(DescriptorPlatform { architecture, os, variant });
    Ok(vec![Descriptor { platform, ..image.manifest.clone() }])
}

/// What the cache has under this name now, if it is an image index.
fn known(store: &Store, reference: &Reference) -> Result<Vec<Descriptor>, PackageError> {
    let named = store.entries().map_err(Error::from)?;
    let name = reference.to_string();
    let found = named.into_iter().find(|entry| entry.names.contains(&name));
    match found.filter(|entry| entry.descriptor.media_type != OCI_MANIFEST) {
        Some(entry) => entries(store, &entry.descriptor.digest),
        None => Ok(Vec::new()),
    }
}

/// The entries of an image index in the cache.
fn entries(store: &Store, digest: &Digest) -> Result<Vec<Descriptor>, PackageError> {
    #[derive(serde::Deserialize)]
    struct Index {
        #[serde(default)]
        manifests: Vec<Descriptor>,
    }
    let Some(bytes) = store.small(digest, LARGEST_INDEX).map_err(Error::from)? else { return Ok(Vec::new()) };
    let index: Result<Index, _> = serde_json::from_slice(&bytes);
    let index = index.map_err(|error| PackageError::Invalid(format!("`{digest}` is no image index: {error}")))?;
    Ok(index.manifests)
}
