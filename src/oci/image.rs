//! An image for one platform: everything about it but the bytes of its layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Compression, Descriptor, ImageConfig, Reference};
use crate::base::Digest;

/// An image that was found, with its manifest and image config verified. A copy shares all that is large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The name it was found under.
    pub reference: Reference,
    /// Digest of what the reference means: of the image index it was chosen from, or of the manifest itself.
    pub root: Digest,
    /// Its manifest: digest, size in bytes, media type.
    pub manifest: Descriptor,
    /// The manifest's bytes.
    pub manifest_bytes: Arc<[u8]>,
    /// The image config.
    pub config: Arc<ImageConfig>,
    /// Media type of the image config.
    pub config_type: String,
    /// Digest of the image config's bytes.
    pub config_digest: Digest,
    /// The image config's bytes.
    pub config_bytes: Arc<[u8]>,
    /// The layers, lowest first.
    pub layers: Arc<[Layer]>,
}

impl Image {
    /// Digest of the manifest for the platform.
    pub fn digest(&self) -> &Digest {
        &self.manifest.digest
    }

    /// Digests of the layers' blobs, lowest first.
    pub fn layer_digests(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.digest).collect()
    }
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob as stored.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Media type as the manifest has it.
    pub media_type: String,
    /// Compression as the media type says; a hint.
    pub compression: Compression,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// What the manifest notes of it, such as where an index of it is.
    pub annotations: BTreeMap<String, String>,
}
