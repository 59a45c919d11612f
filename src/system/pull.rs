//! Images into the cache, whole: what a mount fetches when it needs it is fetched now.

use std::collections::HashSet;

use super::images::{Images, PASSES, RESOLVERS, all_side_by_side};
use super::{Asked, Error, Origins, Problem};
use crate::base::{Digest, Event, Monitor, Platform, Silent, in_line};
use crate::oci::{Descriptor, Reference};
use crate::sbom::{MAX_STATEMENT, SPDX_PREDICATE};

/// An image that is whole in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Its name.
    pub reference: Reference,
    /// What the name means: an image index or a manifest.
    pub root: Digest,
    /// How many blobs it has on the platforms that were asked for.
    pub blobs: usize,
    /// Bytes of them.
    pub size: u64,
}

/// All that a pull came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// The images, in the order they were asked for.
    pub images: Vec<Pulled>,
    /// Bytes of layers that were not here before.
    pub fetched: u64,
}

/// Brings images into the cache, each blob once, and records their names. What is here is not fetched again, and a pull
/// that was interrupted goes on where it was. When registries are asked what names mean is up to `origins`.
///
/// # Errors
/// When an image cannot be found or a blob cannot be had; what is here by then stays.
pub fn pull(asked: &[Asked], origins: &Origins, monitor: &dyn Monitor) -> Result<Pull, Error> {
    let images = Images::new(origins, monitor)?;
    let closures = all_side_by_side(asked, RESOLVERS, |asked| {
        let closure = images.closure(&asked.reference, &asked.platforms);
        closure.map_err(|error| Problem::resolve(asked.reference.to_string(), None, error))
    })?;
    let mut seen = HashSet::new();
    let mut wanted: Vec<(&Reference, &Descriptor)> = Vec::new();
    for (asked, closure) in asked.iter().zip(&closures) {
        let layers = closure.layers.iter().filter(|layer| seen.insert(layer.digest));
        wanted.extend(layers.map(|layer| (&asked.reference, layer)));
    }
    let fetched = all_side_by_side(&wanted, PASSES, |(reference, layer)| complete(&images, reference, layer))?;
    for (asked, closure) in asked.iter().zip(&closures) {
        let reference = asked.reference.pinned(closure.root.digest);
        asked.platforms.iter().for_each(|platform| take_statements(&images, &reference, platform));
    }
    let pulled = asked.iter().zip(closures).map(|(asked, closure)| Pulled {
        reference: asked.reference.clone(),
        root: closure.root.digest,
        blobs: closure.documents.len() + closure.layers.len(),
        size: closure.blobs().map(|blob| blob.size).sum(),
    });
    Ok(Pull { images: pulled.collect(), fetched: fetched.iter().sum() })
}

/// Brings the SPDX documents of an image here, of which a later build makes an SBOM. The image is whole without them.
fn take_statements(images: &Images<'_>, reference: &Reference, platform: &Platform) {
    let image = images.resolver.resolve(reference, platform, &Silent);
    let taken = image.and_then(|image| images.resolver.statements(&image, SPDX_PREDICATE, MAX_STATEMENT));
    if let Err(error) = taken {
        let warning = format!("the SBOM of `{reference}` is not pulled: {}", in_line(&error));
        images.monitor.event(Event::Warning(warning));
    }
}

/// Brings one blob here; how many bytes of it were not.
fn complete(images: &Images<'_>, reference: &Reference, layer: &Descriptor) -> Result<u64, Problem> {
    let problem = |source| Problem::Blob { reference: Box::new(reference.clone()), source };
    if images.store.lookup(&layer.digest, layer.size).map_err(problem)?.is_some() {
        return Ok(0);
    }
    let fetch = images.resolver.fetcher(reference);
    images.store.obtain_telling(layer, &*fetch, images.monitor).map_err(problem)?;
    Ok(layer.size)
}
