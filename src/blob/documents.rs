//! The documents of an OCI image layout: `oci-layout`, which makes it one, and `index.json`, which names blobs.
//!
//! # Format
//! OCI image specification 1.1, image-layout.md.

use serde::Deserialize;
use serde_json::Value;

use super::{Descriptor, Descriptors};

/// Annotations of `index.json` that hold a reference; containerd's comes first since it is always a full one.
pub(super) const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Longest `index.json` lkit reads, in bytes: some ten thousand images.
pub(super) const MAX_INDEX: u64 = 8 << 20;
/// The file that makes a folder an OCI image layout.
pub(super) const MARK: &str = "oci-layout";
/// The file that names blobs.
pub(super) const INDEX: &str = "index.json";

/// What is read of an `index.json`.
#[derive(Deserialize)]
pub(super) struct Entries {
    manifests: Option<Descriptors>,
}

/// An entry of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name annotations, as they are written.
    pub names: Vec<String>,
    /// What it names: an image index or a manifest.
    pub descriptor: Descriptor,
}

/// What is wrong with the content of an `oci-layout`.
pub(super) fn mark_flaw(text: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(text) {
        Ok(mark) if mark["imageLayoutVersion"].as_str().is_some_and(|version| version.starts_with("1.")) => None,
        Ok(_) => Some("it does not say version 1".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// What an `index.json` names, in its order.
pub(super) fn entries(index: Entries) -> Vec<Named> {
    index.manifests.unwrap_or_default().0.into_iter().map(named).collect()
}

/// The names of an entry of `index.json`.
pub(super) fn names(entry: &Value) -> impl Iterator<Item = &str> {
    NAME_ANNOTATIONS.iter().filter_map(|key| entry["annotations"][*key].as_str())
}

/// What an entry of `index.json` names.
pub(super) fn named(descriptor: Descriptor) -> Named {
    let names = NAME_ANNOTATIONS.iter().filter_map(|key| descriptor.annotation(key)).map(str::to_owned).collect();
    Named { names, descriptor }
}
