//! Fuzz targets of the documents of an image.

use super::config::ImageConfig;
use super::manifest::{Document, Manifest};
use crate::base::{Digest, Platform};
use crate::blob::Descriptor;

/// A manifest or image index.
pub fn manifest(data: &[u8]) {
    let Ok((document, media_type)) = Document::parse(data) else { return };
    assert!(!media_type.is_empty());
    match document {
        Document::Index(entries) => entries.iter().for_each(written),
        Document::Manifest(manifest) => with_layers(&manifest),
    }
}

fn with_layers(manifest: &Manifest) {
    written(&manifest.config);
    manifest.layers.iter().for_each(written);
    let mut config = ImageConfig::parse(b"{}").expect("an empty config is one");
    config.diff_ids = vec![Digest::of(b""); manifest.layers.len()];
    if let Ok(layers) = manifest.layers(&config) {
        assert_eq!(layers.len(), manifest.layers.len());
    }
    assert!(manifest.is_image() || manifest.config.media_type != "application/vnd.oci.image.config.v1+json");
}

/// A descriptor reads back as it is written.
fn written(descriptor: &Descriptor) {
    let text = serde_json::to_vec(descriptor).expect("a descriptor can be written");
    assert_eq!(serde_json::from_slice::<Descriptor>(&text).ok().as_ref(), Some(descriptor));
}

/// An image config.
pub fn config(data: &[u8]) {
    let Ok(config) = ImageConfig::parse(data) else { return };
    let wanted = Platform::linux("amd64");
    assert!(config.suits(&wanted) || config.platform != wanted);
}
