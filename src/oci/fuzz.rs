//! Fuzz targets of the documents of an image.

use super::artifact_manifest::ArtifactManifest;
use super::config::ImageConfig;
use super::manifest::{Document, Manifest};
use super::soci::{named_index, with_named_index, with_soci_indexes, ztocs_of};
use crate::base::{Digest, Platform};
use crate::blob::Descriptor;

/// A manifest or image index, also as one of SOCI's, or of artifacts.
pub fn manifest(data: &[u8]) {
    soci(data);
    if let Ok(artifacts) = ArtifactManifest::parse(data) {
        let names: Vec<_> = artifacts.files.iter().map(|(name, _)| name).collect();
        let read = ArtifactManifest::parse(&artifacts.to_bytes()).expect("what was read can be written");
        assert!(read.files.iter().map(|(name, _)| name).eq(names));
    }
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

/// What is named is found again, whatever else is in a document.
fn soci(data: &[u8]) {
    let (image, layer) = (Digest::of(b"image"), Digest::of(b"layer"));
    if let Ok(ztocs) = ztocs_of(data, &image, &[layer]) {
        assert!(ztocs.len() <= 1 && ztocs.iter().all(|ztoc| ztoc.layer == layer));
    }
    if let Ok(named) = with_named_index(data, &image) {
        assert_eq!(named_index(&named).ok(), Some(Some(image)));
    }
    if let Ok(index) = with_soci_indexes(Some(data), &[]) {
        assert!(matches!(Document::parse(&index), Ok((Document::Index(_), _)) | Err(_)));
    }
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
