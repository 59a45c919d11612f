//! What was found and opened for some specs, and is at hand when nearly the same specs are loaded again.
//!
//! # Invariants
//! - A tag that was asked for means the same until it is found to mean something else: loading again asks no
//!   registry for what it names.
//! - Layers stay open for as long as somebody reads from them, so their decoded content is kept across loads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Error, ImageName, Origins, Problem};
use crate::base::{Digest, Event, Monitor};
use crate::blob::{Keep, Store};
use crate::layer::{Layers, Options as LayerOptions};
use crate::oci::{Daemon, Options, Reference, Resolver, daemon_image, daemon_layout};

/// Blobs, layers and references of some origins. A copy is the same stock.
#[derive(Clone)]
pub(super) struct Stock {
    /// Layers, all over one cache of decoded content.
    pub layers: Arc<Layers>,
    /// Blobs.
    pub store: Arc<Store>,
    /// Finds images.
    pub resolver: Resolver,
    /// What references mean, as far as somebody asked.
    meanings: Arc<Mutex<BTreeMap<String, Meaning>>>,
}

/// What a reference means.
struct Meaning {
    reference: Reference,
    /// On all platforms.
    digest: Digest,
    /// Whether the load that goes on, or the last one, has asked for it.
    is_used: bool,
}

impl Stock {
    /// A stock of these origins, with nothing found yet.
    ///
    /// # Errors
    /// When the cache or a layout cannot be opened.
    pub fn new(origins: &Origins, monitor: &dyn Monitor) -> Result<Self, Error> {
        let found = layouts(origins, monitor)?;
        let store = match origins.keep {
            Keep::None => Store::transient(&found)?,
            keep => store(&origins.cache, &found)?.keeping(keep).limited(origins.cache_limit),
        };
        let store = Arc::new(match origins.recorder.clone() {
            Some(recorder) => store.recording(recorder),
            None => store,
        });
        let Origins { pull, mirrors, credentials, trust, ending, .. } = origins.clone();
        let layers = Arc::new(Layers::new(store.clone(), LayerOptions::default()));
        let options = Options { pull, mirrors, credentials, trust, ending, ..Options::default() };
        Ok(Self { layers, resolver: Resolver::new(store.clone(), options), store, meanings: Arc::default() })
    }

    /// What to ask for when a reference is asked for: what it meant before, if it was asked for.
    pub fn meaning(&self, reference: &Reference) -> Reference {
        let meanings = self.meanings();
        let known = meanings.get(&reference.to_string());
        known.map_or_else(|| reference.clone(), |meaning| reference.pinned(meaning.digest))
    }

    /// Takes note of what a reference means on all platforms.
    pub fn note(&self, reference: &Reference, digest: Digest) {
        let meaning = Meaning { reference: reference.clone(), digest, is_used: true };
        self.meanings().insert(reference.to_string(), meaning);
    }

    /// Takes note that a load begins.
    pub fn begin(&self) {
        self.meanings().values_mut().for_each(|meaning| meaning.is_used = false);
    }

    /// Takes note that it has come to its end: what it did not ask for is forgotten.
    pub fn end(&self) {
        self.meanings().retain(|_, meaning| meaning.is_used);
    }

    /// All references of which it is known what they mean.
    pub fn known(&self) -> Vec<(Reference, Digest)> {
        self.meanings().values().map(|meaning| (meaning.reference.clone(), meaning.digest)).collect()
    }

    fn meanings(&self) -> MutexGuard<'_, BTreeMap<String, Meaning>> {
        // An entry is put in whole, so a panic elsewhere does not spoil the map.
        self.meanings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// These origins with those images in front that the docker daemon has of `names`. A daemon that does not answer has none.
pub(super) fn with_daemon<'a>(
    origins: &Origins,
    names: impl Iterator<Item = &'a ImageName>,
    monitor: &dyn Monitor,
) -> Result<Origins, Problem> {
    let mut with = origins.clone();
    let daemon = Daemon::at(&origins.docker, origins.ending.clone())?;
    let tags: BTreeSet<String> =
        names.filter(|name| name.pinned.is_none()).map(|name| name.reference.tagged().to_string()).collect();
    let mut layouts = Vec::new();
    for image in &tags {
        match daemon.has(image) {
            Ok(true) => layouts.push(daemon_layout(image)),
            Ok(false) => {}
            Err(error) => {
                let message = format!("{error}: {}; images are looked for elsewhere", error.source);
                monitor.event(Event::Warning(message));
                break;
            }
        }
    }
    with.layouts.splice(..0, layouts);
    Ok(with)
}

/// The layouts of these origins; images of the docker daemon are in the cache then.
///
/// # Errors
/// When the daemon does not give an image.
pub(super) fn layouts(origins: &Origins, monitor: &dyn Monitor) -> Result<Vec<PathBuf>, Problem> {
    let spooled = |layout: &PathBuf| match daemon_image(layout) {
        None => Ok(layout.clone()),
        Some(image) => {
            let daemon = Daemon::at(&origins.docker, origins.ending.clone())?;
            Ok(daemon.archive(image, &origins.cache, monitor)?)
        }
    };
    origins.layouts.iter().map(spooled).collect()
}

/// The store over a cache directory and layouts.
///
/// # Errors
/// When one of them cannot be opened.
pub fn store(cache: &Path, layouts: &[PathBuf]) -> Result<Store, Error> {
    Ok(Store::open(cache, layouts)?)
}
