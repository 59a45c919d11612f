//! Images out of archives and other layouts into the cache.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::{Error, Problem};
use crate::base::{Digest, Event, Monitor};
use crate::blob::{self, Layout, Named, Store};
use crate::oci::{self, Closure, Options, Pull, Reference, Resolver};

/// An image that was brought into the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its name.
    pub reference: Reference,
    /// What the name means now: an image index or a manifest.
    pub root: Digest,
    /// How many blobs it has.
    pub blobs: usize,
    /// Bytes of them.
    pub size: u64,
}

/// What images are in.
#[derive(Clone, Copy)]
struct Source<'a> {
    path: &'a Path,
    /// What messages call it.
    shown: &'a Path,
}

/// The same as [`import`] of a tar that comes as a stream; it is kept in the cache meanwhile.
///
/// # Errors
/// As [`import`], and when the stream cannot be read or kept.
pub fn import_stream(
    input: &mut dyn Read,
    name: Option<&Reference>,
    cache: &Path,
    monitor: &dyn Monitor,
) -> Result<Vec<Imported>, Error> {
    let spool = Store::open(cache, &[])?.spool(input)?;
    let source = Source { path: spool.path(), shown: Path::new("standard input") };
    Ok(import_from(source, name, cache, monitor)?)
}

/// Copies the images of an OCI layout, in a folder or a tar, or of what `docker save` writes, into the cache at `cache`,
/// and records their names. With a `name` there must be one image, which gets it in the place of its own.
///
/// # Errors
/// When there is no image, or a name for none; when a blob is missing or damaged.
pub fn import(
    path: &Path,
    name: Option<&Reference>,
    cache: &Path,
    monitor: &dyn Monitor,
) -> Result<Vec<Imported>, Error> {
    Ok(import_from(Source { path, shown: path }, name, cache, monitor)?)
}

fn import_from(
    source: Source<'_>,
    name: Option<&Reference>,
    cache: &Path,
    monitor: &dyn Monitor,
) -> Result<Vec<Imported>, Problem> {
    let path = source.shown.to_owned();
    let store = Store::open(cache, &[source.path.to_owned()]).map_err(|error| match error {
        blob::Error::NotALayout { reason, .. } => blob::Error::NotALayout { path: path.clone(), reason },
        other => other,
    });
    let store = Arc::new(store?);
    let entries = store.layouts().iter().map(Layout::entries).collect::<Result<Vec<_>, _>>()?.concat();
    let resolver = Resolver::new(store.clone(), Options { pull: Pull::Never, ..Options::default() });
    let mut taken = Vec::new();
    let imported = named(entries, name, &path, monitor)?.into_iter().map(|(reference, digest)| {
        let lacks = |digest| Problem::Lacks { path: path.clone(), reference: Box::new(reference.clone()), digest };
        let closure = resolver.closure_of_present(&reference.pinned(digest), monitor);
        let closure = closure.map_err(|error| match error.problem {
            oci::Problem::BlobNotHere { digest } => lacks(digest),
            problem => Problem::resolve(reference.to_string(), None, oci::Error { problem, ..error }),
        })?;
        if let Some(missing) = take(&store, &closure)? {
            return Err(lacks(missing));
        }
        taken.push((reference.to_string(), closure.root.clone()));
        Ok(imported(&reference, &closure))
    });
    let imported = imported.collect();
    // Also where one that comes later cannot be had.
    store.record_names(&taken)?;
    imported
}

fn imported(reference: &Reference, closure: &Closure) -> Imported {
    Imported {
        reference: reference.clone(),
        root: closure.root.digest,
        blobs: closure.blobs().count(),
        size: closure.blobs().map(|blob| blob.size).sum(),
    }
}

/// The images with the names that they get.
fn named(
    entries: Vec<Named>,
    name: Option<&Reference>,
    path: &Path,
    monitor: &dyn Monitor,
) -> Result<Vec<(Reference, Digest)>, Problem> {
    if let Some(name) = name {
        let mut digests: Vec<Digest> = entries.iter().map(|entry| entry.descriptor.digest).collect();
        digests.dedup();
        return match digests[..] {
            [digest] => Ok(vec![(name.clone(), digest)]),
            _ => Err(Problem::NotOneImage { path: path.to_owned(), images: digests.len() }),
        };
    }
    let mut found = Vec::new();
    for Named { names, descriptor } in entries {
        // A bare tag, as some tools write it, is no name.
        let references = names.iter().filter(|name| name.contains(['/', ':', '@']));
        let mut references: Vec<Reference> = references.filter_map(|name| name.parse().ok()).collect();
        references.dedup();
        if references.is_empty() {
            let digest = descriptor.digest;
            monitor.event(Event::Warning(format!("image `{digest}` has no name, and is passed over")));
        }
        found.extend(references.into_iter().map(|reference| (reference, descriptor.digest)));
    }
    if found.is_empty() { Err(Problem::NamesNothing(path.to_owned())) } else { Ok(found) }
}

/// Copies an image; the answer is a layer that is not there.
fn take(store: &Store, closure: &Closure) -> Result<Option<Digest>, Problem> {
    for (_, bytes) in &closure.documents {
        store.put(bytes)?;
    }
    for layer in &closure.layers {
        if !store.adopt(layer)? {
            return Ok(Some(layer.digest));
        }
    }
    Ok(None)
}
