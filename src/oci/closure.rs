//! All blobs that a reference leads to, as they are: what an OCI layout of it holds.

use std::collections::HashSet;

use serde::Serialize as _;
use serde_json::json;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::manifest::Document;
use super::media_type::{OCI_INDEX, is_config, is_index, is_manifest};
use super::resolve::{Fetched, Graph, MAX_DEPTH, too_deep};
use super::{Descriptor, Error, Image, ImageConfig, Layer, Problem, Reference, Resolver};
use crate::base::{Digest, Monitor, Platform};

/// A small blob with its bytes.
pub type Held = (Descriptor, Vec<u8>);

/// What a reference leads to. Each blob once, parents before children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// The manifest or image index that the reference means.
    pub root: Descriptor,
    /// Image indexes, manifests and image configs, with their bytes.
    pub documents: Vec<Held>,
    /// Layers, as the manifests list them.
    pub layers: Vec<Descriptor>,
}

impl Closure {
    /// All blobs: documents, then layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.documents.iter().map(|(descriptor, _)| descriptor).chain(&self.layers)
    }

    /// Takes the documents apart into manifests and image indexes, and image configs and the like.
    pub fn split_documents(&self) -> (Vec<&Held>, Vec<&Held>) {
        self.documents
            .iter()
            .partition(|(descriptor, _)| is_index(&descriptor.media_type) || is_manifest(&descriptor.media_type))
    }
}

/// The file `oci-layout`, byte for byte as linuxkit writes it into a volume.
pub const OCI_LAYOUT: &str = "{\n\t\t\"imageLayoutVersion\": \"1.0.0\"\n\t}";

/// The `index.json` of a layout that holds what `root` leads to and calls it `name`, byte for byte as linuxkit writes it.
pub fn layout_index(root: &Descriptor, name: &str) -> Vec<u8> {
    let Descriptor { media_type, digest, size, .. } = root;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{
            "mediaType": media_type,
            "size": size,
            "digest": digest.to_string(),
            "annotations": {"org.opencontainers.image.ref.name": name},
        }],
    });
    let mut text = Vec::new();
    let mut writer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"   "));
    index.serialize(&mut writer).expect("a JSON value is written to memory");
    text
}

/// An entry of the `index.json` of a layout, with the name both as containerd and as others look for it.
pub fn layout_entry(root: &Descriptor, name: &str) -> Descriptor {
    let annotations = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
    let annotations = annotations.map(|key| (key.to_owned(), name.to_owned())).into();
    Descriptor { annotations: Some(annotations), ..root.clone() }
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
        self.walk(reference, platforms, Absent::IsAnError, monitor)
    }

    /// The same on all platforms whose manifests can be had: a layout that names an image of several platforms may hold
    /// one of them.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); `ImageNotFound` when there is no manifest at all.
    pub fn closure_of_present(&self, reference: &Reference, monitor: &dyn Monitor) -> Result<Closure, Error> {
        self.walk(reference, &[], Absent::IsPassedOver, monitor)
    }

    fn walk(
        &self,
        reference: &Reference,
        platforms: &[Platform],
        absent: Absent,
        monitor: &dyn Monitor,
    ) -> Result<Closure, Error> {
        let walk = || {
            let (root, graph) = self.root(reference, monitor)?;
            let descriptor = root.descriptor.clone();
            let (seen, met, others) = (HashSet::new(), HashSet::new(), Vec::new());
            let mut walk = Walk { graph, platforms, absent, seen, met, others, lacked: None };
            let mut closure = Closure { root: descriptor, documents: Vec::new(), layers: Vec::new() };
            let is_index = matches!(root.document, Document::Index(_));
            walk.seen.insert(closure.root.digest);
            walk.enter(root, &mut closure, MAX_DEPTH)?;
            walk.check(&closure)?;
            if !is_index {
                suits(&closure, platforms)?;
            }
            Ok(closure)
        };
        walk().map_err(|problem| Error { reference: reference.to_string(), problem })
    }
}

/// A single image is for one platform; fails when others are wanted.
fn suits(closure: &Closure, platforms: &[Platform]) -> Result<(), Problem> {
    let config = closure.documents.iter().find(|(descriptor, _)| is_config(&descriptor.media_type));
    let config = config.and_then(|(_, bytes)| ImageConfig::parse(bytes).ok());
    let missing = config.and_then(|config| {
        let wanted = platforms.iter().find(|wanted| !config.suits(wanted))?;
        Some(Problem::Platform { wanted: wanted.clone(), available: vec![config.platform] })
    });
    missing.map_or(Ok(()), Err)
}

/// What it means that a manifest of an image index is not here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    IsAnError,
    IsPassedOver,
}

struct Walk<'a> {
    graph: Graph,
    platforms: &'a [Platform],
    absent: Absent,
    /// A manifest that was passed over.
    lacked: Option<Digest>,
    seen: HashSet<Digest>,
    /// Places in `platforms` that have a manifest.
    met: HashSet<usize>,
    others: Vec<Platform>,
}

impl Walk<'_> {
    /// Takes in what was found and all below it, each document once.
    fn enter(&mut self, found: Fetched, closure: &mut Closure, depth: u32) -> Result<(), Problem> {
        let digest = found.descriptor.digest;
        closure.documents.push((found.descriptor, found.bytes));
        match found.document {
            Document::Index(_) if depth == 0 => return Err(too_deep(digest)),
            Document::Index(entries) => {
                for entry in entries {
                    if self.wants(&entry) && self.seen.insert(entry.digest) {
                        match self.graph.document(&entry) {
                            Err(Problem::BlobNotHere { digest }) if self.absent == Absent::IsPassedOver => {
                                self.lacked = Some(digest);
                            }
                            found => self.enter(found?, closure, depth - 1)?,
                        }
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
        let places: Vec<usize> = wanted.map(|(place, _)| place).collect();
        let is_wanted = self.platforms.is_empty() || !places.is_empty();
        self.met.extend(places);
        if !is_wanted {
            self.others.push(platform);
        }
        is_wanted
    }

    /// Fails when a platform had nothing, though there was something to choose from.
    fn check(self, closure: &Closure) -> Result<(), Problem> {
        // An image has a config at least.
        if let Some(digest) = self.lacked.filter(|_| closure.documents.len() == 1) {
            return Err(Problem::BlobNotHere { digest });
        }
        let missing = self.platforms.iter().enumerate().find(|(place, _)| !self.met.contains(place));
        match missing {
            Some((_, wanted)) if !self.others.is_empty() => {
                Err(Problem::Platform { wanted: wanted.clone(), available: self.others })
            }
            _ => Ok(()),
        }
    }
}

impl From<Image> for Closure {
    /// What the image of one platform leads to.
    fn from(image: Image) -> Self {
        let layer = |layer: &Layer| Descriptor::new(&*layer.media_type, layer.digest, layer.size);
        let config = Descriptor::new(image.config_type, image.config_digest, image.config_bytes.len() as u64);
        Self {
            root: image.manifest.clone(),
            documents: vec![(image.manifest, image.manifest_bytes.to_vec()), (config, image.config_bytes.to_vec())],
            layers: image.layers.iter().map(layer).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_written_as_linuxkit_writes_it() {
        let digest = "sha256:6f0fb0eeef42105f3523eda96405a3966b4620f88df0986ca78fa9a566a304b8".parse().unwrap();
        let root = Descriptor::new(OCI_INDEX, digest, 491);
        let text = layout_index(&root, "localhost:5555/lk/multi:1");
        let expected = "7268a8e4aa2d8504a7b1dc6b69380083a6d4384c1a54b61a363c36263d89adcd";
        assert_eq!(Digest::of(&text).hex(), expected);
        let expected = "4b449ea627976fc352d644e28ecee5844f03f9f20130043f367d82ba456cce17";
        assert_eq!(Digest::of(OCI_LAYOUT.as_bytes()).hex(), expected);
    }
}
