//! Images as the cache holds them, whole: what is pushed, and put into archives.

use std::sync::Arc;

use super::images::Images;
use super::{Asked, Origins, Problem};
use crate::base::{Digest, nearest};
use crate::blob::Store;
use crate::extent::SharedSource;
use crate::oci::{self, Closure, Descriptor, Pull, Reference};

/// Origins that ask no registry.
pub(super) fn offline(origins: &Origins) -> Origins {
    Origins { pull: Pull::Never, ..origins.clone() }
}

/// All that an image leads to: on one platform the image for it, else what the name means as it is.
///
/// # Errors
/// When the cache has no such name, or a blob of the image is not here.
pub(super) fn whole(images: &Images<'_>, asked: &Asked) -> Result<Closure, Problem> {
    let closure = closure(images, asked)?;
    closure.layers.iter().try_for_each(|blob| layer(images, &asked.reference, blob).map(drop))?;
    Ok(closure)
}

fn closure(images: &Images<'_>, asked: &Asked) -> Result<Closure, Problem> {
    let Asked { reference, platforms } = asked;
    let found = match &platforms[..] {
        [platform] => images.resolver.resolve(reference, platform, images.monitor).map(Closure::from),
        _ => images.closure(reference, platforms),
    };
    found.map_err(|error| match error.problem {
        oci::Problem::NotHere => not_in_cache(&images.store, &reference.to_string()),
        oci::Problem::BlobNotHere { digest } if reference.digest() == Some(digest) => {
            not_in_cache(&images.store, &reference.to_string())
        }
        oci::Problem::BlobNotHere { digest } => incomplete(reference, digest),
        problem => Problem::resolve(reference.to_string(), None, oci::Error { reference: error.reference, problem }),
    })
}

/// A layer as it is stored.
///
/// # Errors
/// When it is not here.
pub(super) fn layer(images: &Images<'_>, reference: &Reference, layer: &Descriptor) -> Result<SharedSource, Problem> {
    let problem = |source| Problem::Blob { reference: Box::new(reference.clone()), source };
    let blob = images.store.lookup(&layer.digest, layer.size).map_err(problem)?;
    blob.map(|blob| Arc::new(blob) as SharedSource).ok_or_else(|| incomplete(reference, layer.digest))
}

fn incomplete(reference: &Reference, digest: Digest) -> Problem {
    Problem::Incomplete { reference: Box::new(reference.clone()), digest }
}

/// The problem of a name that the cache does not have, with the one that may be meant.
pub(super) fn not_in_cache(store: &Store, name: &str) -> Problem {
    match store.entries() {
        Ok(entries) => {
            let names: Vec<String> = entries.into_iter().flat_map(|entry| entry.names).collect();
            let like = [path, last_part, untagged].into_iter().find_map(|part| like(name, &names, part));
            Problem::NotInCache { name: name.to_owned(), like }
        }
        Err(error) => error.into(),
    }
}

/// The one of `names` whose part, such as the path, is most like that of `name`.
fn like(name: &str, names: &[String], part: fn(&str) -> &str) -> Option<String> {
    let nearest = nearest(part(name), names.iter().map(|name| part(name)))?;
    names.iter().find(|name| part(name) == nearest).cloned()
}

/// A name without its registry, which many names have in common.
fn path(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, path)| path)
}

fn last_part(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

fn untagged(name: &str) -> &str {
    last_part(name).split([':', '@']).next().unwrap_or_default()
}
