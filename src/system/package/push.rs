//! A package's images into its registry: one tag for each platform, and one image index of all that the registry has.

use serde_json::json;

use super::PackageError;
use super::keep::{for_platform, listed};
use crate::base::{Digest, ErrorKind, Fault as _, Monitor, Platform};
use crate::oci::{Descriptor, OCI_INDEX, OCI_MANIFEST, Pull, Reference};
use crate::system::images::Images;
use crate::system::{Asked, Error, Origins, Problem, push as push_images};

/// An image index of what a registry has of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its digest.
    pub digest: Digest,
    /// What it is for.
    pub platforms: Vec<Platform>,
    bytes: Vec<u8>,
}

/// Puts the images of these platforms into the registry, each under its own tag.
///
/// # Errors
/// When one is not whole in the cache, or the registry does not take it.
pub fn push_platforms(
    reference: &Reference,
    platforms: &[Platform],
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<(), PackageError> {
    for platform in platforms {
        let name = for_platform(reference, platform)?;
        let store = crate::system::store(&origins.cache, &[])?;
        let named = store.entries().map_err(Error::from)?;
        // What was built here has a name of its own, with its attestations.
        let asked = if named.iter().any(|entry| entry.names.contains(&name.to_string())) {
            Asked { reference: name.clone(), platforms: Vec::new() }
        } else {
            Asked { reference: reference.clone(), platforms: vec![platform.clone()] }
        };
        push_images(&[asked], Some(&name), origins, monitor)?;
    }
    Ok(())
}

/// Puts an image index of all images that the registry has of a package for `arches` there, under the name of the package.
///
/// # Errors
/// When it has none, or does not answer.
pub fn push_index(
    reference: &Reference,
    arches: &[String],
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<Index, PackageError> {
    let index = index(reference, arches, origins, monitor)?;
    put(reference, &index, origins, monitor)?;
    Ok(index)
}

/// Puts an image index there under a release's name, unless that is taken; whether it was put there.
///
/// # Errors
/// When the registry does not answer or does not take it.
pub fn release(
    reference: &Reference,
    index: &Index,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<bool, PackageError> {
    let asked = Origins { pull: Pull::Always, ..origins.clone() };
    match Images::new(&asked, monitor)?.digest(reference) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::ImageNotFound => {
            put(reference, index, origins, monitor)?;
            Ok(true)
        }
        Err(error) => Err(not_resolved(reference, error)),
    }
}

fn put(reference: &Reference, index: &Index, origins: &Origins, monitor: &dyn Monitor) -> Result<(), PackageError> {
    let images = Images::new(origins, monitor)?;
    let pusher = images.resolver.pusher(reference, None).map_err(Error::from)?;
    pusher.manifest(&index.bytes, OCI_INDEX, Some(reference.tag_or_latest())).map_err(Error::from)?;
    Ok(())
}

fn index(
    reference: &Reference,
    arches: &[String],
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<Index, PackageError> {
    let asked = Origins { pull: Pull::Always, ..origins.clone() };
    let images = Images::new(&asked, monitor)?;
    let (mut entries, mut platforms) = (Vec::new(), Vec::new());
    for arch in arches {
        let platform = Platform::linux(arch);
        match images.resolver.resolve(&for_platform(reference, &platform)?, &platform, monitor) {
            Ok(image) => {
                entries.extend(listed(&images.store, &image)?);
                platforms.push(platform);
            }
            Err(error) if error.kind() == ErrorKind::ImageNotFound => {}
            Err(error) => return Err(not_resolved(reference, error)),
        }
    }
    if entries.is_empty() {
        return Err(PackageError::NothingThere(Box::new(reference.clone())));
    }
    let bytes = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string().into_bytes();
    Ok(Index { digest: Digest::of(&bytes), platforms, bytes })
}

fn not_resolved(reference: &Reference, error: crate::oci::Error) -> PackageError {
    Error::from(Problem::resolve(reference.to_string(), None, error)).into()
}

/// Gives what a registry has as `from` the name `to`, in its own repository without moving a byte, in another one by way of
/// the cache; whether it did not have that name already.
///
/// # Errors
/// When a registry does not have it, does not answer or does not take it.
pub fn remote_tag(
    from: &Reference,
    to: &Reference,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<bool, PackageError> {
    let asked = Origins { pull: Pull::Always, ..origins.clone() };
    let resolver = Images::new(&asked, monitor)?.resolver;
    let latest = |reference: &Reference| resolver.latest(reference, monitor).map(|found| found.or(reference.digest()));
    let digest = latest(from).map_err(|error| not_resolved(from, error))?;
    match latest(to) {
        Ok(found) if found == digest => return Ok(false),
        // A registry denies what it does not have to who has not logged in; whoever has is told when it is put there.
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::ImageNotFound | ErrorKind::Denied) => {}
        Err(error) => return Err(not_resolved(to, error)),
    }
    match digest.filter(|_| (from.registry(), from.repository()) == (to.registry(), to.repository())) {
        Some(digest) => {
            let bytes = resolver.artifact(from, &Descriptor::new("", digest, 0));
            let bytes = bytes.map_err(|error| not_resolved(from, error))?;
            let pusher = resolver.pusher(to, None).map_err(Error::from)?;
            pusher.manifest(&bytes, &media_type(&bytes), Some(to.tag_or_latest())).map_err(Error::from)?;
        }
        None => {
            let image = [Asked { reference: from.clone(), platforms: Vec::new() }];
            crate::system::pull(&image, &asked, monitor)?;
            push_images(&image, Some(to), origins, monitor)?;
        }
    }
    Ok(true)
}

/// What a manifest or image index calls itself; an OCI image index where it does not say.
fn media_type(bytes: &[u8]) -> String {
    let document: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let named = document.as_ref().and_then(|document| document.get("mediaType")?.as_str().map(str::to_owned));
    let is_manifest = document.is_some_and(|document| document.get("config").is_some());
    named.unwrap_or_else(|| if is_manifest { OCI_MANIFEST } else { OCI_INDEX }.to_owned())
}
