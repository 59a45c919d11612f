//! All blobs that a reference leads to, as they are: what an OCI layout of it holds.

use std::collections::HashSet;

use super::manifest::Document;
use super::resolve::{Found, Graph};
use super::{Descriptor, Error, Problem, Reference, Resolver};
use crate::base::{Digest, Monitor, Platform};

/// What a reference leads to. Each blob once, parents before children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// The manifest or image index that the reference means.
    pub root: Descriptor,
    /// Image indexes, manifests and image configs, with their bytes.
    pub documents: Vec<(Descriptor, Vec<u8>)>,
    /// Layers, as the manifests list them.
    pub layers: Vec<Descriptor>,
}

impl Resolver {
    /// All that `reference` leads to; manifests in an image index only where their platform is one of `platforms`, or
    /// all when there are none. An image index stays whole, as its digest demands.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); `ImageNotFound` when a platform has no manifest.
    pub fn closure(
        &self,
        reference: &Reference,
        platforms: &[Platform],
        monitor: &dyn Monitor,
    ) -> Result<Closure, Error> {
        let walk = || {
            let (root, graph) = self.root(reference, monitor)?;
            let descriptor = root.descriptor.clone();
            let mut walk = Walk { graph, platforms, seen: HashSet::new(), met: HashSet::new(), others: Vec::new() };
            let mut closure = Closure { root: descriptor, documents: Vec::new(), layers: Vec::new() };
            walk.enter(root, &mut closure)?;
            walk.check()?;
            Ok(closure)
        };
        walk().map_err(|problem| Error { reference: reference.to_string(), problem })
    }
}

struct Walk<'a> {
    graph: Graph,
    platforms: &'a [Platform],
    seen: HashSet<Digest>,
    /// Places in `platforms` that have a manifest.
    met: HashSet<usize>,
    others: Vec<Platform>,
}

impl Walk<'_> {
    fn enter(&mut self, found: Found, closure: &mut Closure) -> Result<(), Problem> {
        if !self.seen.insert(found.descriptor.digest) {
            return Ok(());
        }
        closure.documents.push((found.descriptor, found.bytes));
        match found.document {
            // Ends, since no document can hold its own digest.
            Document::Index(entries) => {
                for entry in entries {
                    if self.wants(&entry) {
                        self.enter(self.graph.document(&entry)?, closure)?;
                    }
                }
            }
            Document::Manifest(manifest) => {
                if self.seen.insert(manifest.config.digest) {
                    let bytes = self.graph.small(&manifest.config)?;
                    closure.documents.push((manifest.config, bytes));
                }
                let seen = &mut self.seen;
                closure.layers.extend(manifest.layers.into_iter().filter(|layer| seen.insert(layer.digest)));
            }
        }
        Ok(())
    }

    fn wants(&mut self, entry: &Descriptor) -> bool {
        let Some(platform) = entry.platform.as_ref().map(Platform::from) else { return true };
        let wanted = self.platforms.iter().enumerate().filter(|(_, wanted)| wanted.accepts(&platform));
        let before = self.met.len();
        let places: Vec<usize> = wanted.map(|(place, _)| place).collect();
        let is_wanted = self.platforms.is_empty() || !places.is_empty();
        self.met.extend(places);
        debug_assert!(self.met.len() >= before);
        if !is_wanted {
            self.others.push(platform);
        }
        is_wanted
    }

    /// Fails when a platform had nothing, though there was something to choose from.
    fn check(self) -> Result<(), Problem> {
        let missing = self.platforms.iter().enumerate().find(|(place, _)| !self.met.contains(place));
        match missing {
            Some((_, wanted)) if !self.others.is_empty() => {
                Err(Problem::Platform { wanted: wanted.clone(), available: self.others })
            }
            _ => Ok(()),
        }
    }
}
