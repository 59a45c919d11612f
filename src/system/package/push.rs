//! A package's images into its registry: one tag for each platform, and one image index of all that the registry has.

use serde_json::json;

use super::PackageError;
use super::keep::{for_platform, listed};
use crate::base::{Digest, ErrorKind, Fault as _, Monitor, Platform};
use crate::oci::{OCI_INDEX, Pull, Reference};
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
