//! What is served without a file system: artifacts by name, and what takes their place when the spec changes.

use std::net::SocketAddrV4;
use std::sync::{Arc, PoisonError, RwLock};

use super::Artifact;
use super::identity::identity;
use super::shown::shown;
use crate::base::Digest;
use crate::output::{Catalog, Product};

/// The artifacts of one system, and what they are made from.
pub struct Generation {
    /// The artifacts; no two have one name.
    pub artifacts: Vec<Artifact>,
    /// Changes when the bytes of an artifact may; the same for the same spec and images, whoever serves them.
    pub seed: Digest,
    /// What machines may boot from in the place of the whole initrd, when it is served to them.
    pub root: Option<RemoteRoot>,
    /// The early catalog that the artifacts are of, if it is one.
    early: Option<Catalog>,
}

/// A root that machines read by NBD while they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRoot {
    /// The artifact with the root.
    pub disk: String,
    /// The artifact with the small initrd that mounts it.
    pub initrd: String,
    /// Where it is served.
    pub server: SocketAddrV4,
}

impl Generation {
    /// The artifacts of a catalog that a mount shows.
    pub fn of(catalog: &Catalog) -> Self {
        let early = catalog.is_early().then(|| catalog.clone());
        Self { early, ..Self::new(shown(catalog).0, identity(catalog.system())) }
    }

    /// These artifacts.
    pub const fn new(artifacts: Vec<Artifact>, seed: Digest) -> Self {
        Self { artifacts, seed, root: None, early: None }
    }

    /// The same, and machines may boot from a root that is served.
    pub fn with_root(self, root: Option<RemoteRoot>) -> Self {
        Self { root, ..self }
    }

    /// The early catalog, if an artifact of this name needs the whole one.
    fn awaited(&self, name: &str) -> Option<&Catalog> {
        self.early
            .as_ref()
            .filter(|_| self.get(name).and_then(Artifact::product).is_some_and(Product::needs_whole_root))
    }

    /// The artifact with this name.
    pub fn get(&self, name: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.name() == name)
    }
}

/// The generation that is served. A copy is the same exports: all of them see the next generation at once.
#[derive(Clone)]
pub struct Exports(Arc<RwLock<Arc<Generation>>>);

impl Exports {
    /// Serves this generation.
    pub fn new(generation: Generation) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(generation))))
    }

    /// What is served now. Who holds it may read it for as long as they like, also after another took its place.
    pub fn now(&self) -> Arc<Generation> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is served now, or what takes its place where an artifact of this name is still to come: clients compare what it is
    /// made from.
    pub fn now_with(&self, name: &str) -> Arc<Generation> {
        let now = self.now();
        match now.awaited(name).map(Catalog::wait_for_whole) {
            Some(Ok(_)) => self.now(),
            Some(Err(_)) | None => now,
        }
    }

    /// Puts another generation in the place of what is served.
    pub fn replace(&self, generation: Generation) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Zeros;

    fn generation(name: &str) -> Generation {
        let artifacts = vec![Artifact::ready(name, Arc::new(Zeros(1)))];
        Generation::new(artifacts, Digest::of(name.as_bytes()))
    }

    #[test]
    fn who_holds_a_generation_keeps_it_when_another_takes_its_place() {
        let exports = Exports::new(generation("kernel"));
        let held = exports.now();
        exports.clone().replace(generation("initrd.img"));
        assert!(held.get("kernel").is_some() && held.get("initrd.img").is_none());
        assert!(exports.now().get("kernel").is_none() && exports.now().get("initrd.img").is_some());
    }
}
