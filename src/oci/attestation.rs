//! Attestations of an image, as BuildKit stores them: manifests in the image index that name the image they are about.
//!
//! # Format
//! BuildKit's `docs/attestations/attestation-storage.md`.

use std::collections::HashSet;

use super::manifest::{Document, MAX_MANIFEST};
use super::media_type::is_index;
use super::resolve::MAX_DEPTH;
use super::{Descriptor, Error, Image, OCI_MANIFEST, Problem, Resolver};
use crate::blob;

/// Says in an image index that a manifest is an attestation.
const TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
/// Says which manifest of the image index it is about.
const SUBJECT: &str = "vnd.docker.reference.digest";
/// Says of a layer what its statement is about.
const PREDICATE: &str = "in-toto.io/predicate-type";
/// Media type of a statement.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// Most attestation manifests of one image; BuildKit makes one.
const MOST_MANIFESTS: usize = 8;
/// Most image indexes inside one; there is one for each platform.
const MOST_INDEXES: usize = 64;

impl Resolver {
    /// The in-toto statements about `image` whose predicate is of a type, as the image index has them; none where the
    /// image is in no index.
    ///
    /// # Errors
    /// `Unsupported` above `limit` bytes in all, or when there are too many; else as [`resolve`](Self::resolve).
    pub fn statements(&self, image: &Image, predicate: &str, limit: u64) -> Result<Vec<Vec<u8>>, Error> {
        if image.root == *image.digest() {
            return Ok(Vec::new());
        }
        let attestations = self.attestations(image)?;
        let is_wanted = |layer: &Descriptor| {
            layer.media_type == STATEMENT && annotation(layer, PREDICATE).is_some_and(|of| of == predicate)
        };
        let mut left = limit;
        let mut statements = Vec::new();
        for manifest in attestations {
            let bytes = self.artifact(&image.reference, &manifest)?;
            let (document, _) = Document::parse(&bytes).map_err(|flaw| failed(image, flaw.of(manifest.digest)))?;
            let Document::Manifest(manifest) = document else { continue };
            for layer in manifest.layers.iter().filter(|layer| is_wanted(layer)) {
                left = left.checked_sub(layer.size).ok_or_else(|| {
                    failed(image, blob::Error::TooLarge { digest: layer.digest, size: layer.size, limit }.into())
                })?;
                statements.push(self.small(&image.reference, layer, limit)?);
            }
        }
        Ok(statements)
    }

    /// The manifests about `image` in the image index that its reference means, and in those inside it that are here, as all
    /// are on the way to the image. Nothing is fetched to look.
    fn attestations(&self, image: &Image) -> Result<Vec<Descriptor>, Error> {
        let root = Descriptor::new(OCI_MANIFEST, image.root, 0);
        let mut indexes = vec![(image.root, self.artifact(&image.reference, &root)?)];
        let (mut next, mut seen, mut found) = (0, HashSet::from([image.root]), Vec::<Descriptor>::new());
        for _ in 0..=MAX_DEPTH {
            let level = indexes.len();
            for at in next..level {
                let (digest, bytes) = &indexes[at];
                let (document, _) = Document::parse(bytes).map_err(|flaw| failed(image, flaw.of(*digest)))?;
                let Document::Index(entries) = document else { continue };
                let inner = entries.iter().filter(|entry| is_index(&entry.media_type) && seen.insert(entry.digest));
                for digest in inner.map(|entry| entry.digest).collect::<Vec<_>>() {
                    let here =
                        self.inner.store.small(&digest, MAX_MANIFEST).map_err(|error| failed(image, error.into()))?;
                    indexes.extend(here.map(|bytes| (digest, bytes)));
                }
                found.extend(entries.into_iter().filter(|entry| is_about(entry, image) && seen.insert(entry.digest)));
                check(image, indexes.len(), found.len())?;
            }
            next = level;
        }
        Ok(found)
    }
}

/// Whether an entry of an image index is an attestation of `image`.
fn is_about(entry: &Descriptor, image: &Image) -> bool {
    annotation(entry, TYPE) == Some(ATTESTATION)
        && annotation(entry, SUBJECT).is_some_and(|of| of == image.digest().to_string())
}

/// Refuses what would take too long.
fn check(image: &Image, indexes: usize, attestations: usize) -> Result<(), Error> {
    let reason = match (indexes, attestations) {
        (indexes, _) if indexes > MOST_INDEXES => format!("it has over {MOST_INDEXES} image indexes inside it"),
        (_, count) if count > MOST_MANIFESTS => format!("it has {count} attestations of one image"),
        _ => return Ok(()),
    };
    Err(failed(image, Problem::Unsupported { digest: image.root, reason }))
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor.annotations.as_ref()?.get(key).map(String::as_str)
}

fn failed(image: &Image, problem: Problem) -> Error {
    Error { reference: image.reference.to_string(), problem }
}
