//! Attestations of an image, as BuildKit stores them: manifests in the image index that name the image they are about.
//!
//! # Format
//! BuildKit's `docs/attestations/attestation-storage.md`.

use super::manifest::Document;
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

    /// The manifests about `image` in its image index.
    fn attestations(&self, image: &Image) -> Result<Vec<Descriptor>, Error> {
        let root = Descriptor::new(OCI_MANIFEST, image.root, 0);
        let bytes = self.artifact(&image.reference, &root)?;
        let (document, _) = Document::parse(&bytes).map_err(|flaw| failed(image, flaw.of(image.root)))?;
        let Document::Index(entries) = document else { return Ok(Vec::new()) };
        let subject = image.digest().to_string();
        let is_about = |entry: &Descriptor| {
            annotation(entry, TYPE) == Some(ATTESTATION) && annotation(entry, SUBJECT) == Some(&subject)
        };
        let found: Vec<Descriptor> = entries.into_iter().filter(is_about).collect();
        if found.len() > MOST_MANIFESTS {
            let reason = format!("it has {} attestations of one image", found.len());
            return Err(failed(image, Problem::Unsupported { digest: image.root, reason }));
        }
        Ok(found)
    }
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor.annotations.as_ref()?.get(key).map(String::as_str)
}

fn failed(image: &Image, problem: Problem) -> Error {
    Error { reference: image.reference.to_string(), problem }
}
