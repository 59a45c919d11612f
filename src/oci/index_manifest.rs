//! The manifest that ties layer indexes of ours to the image they are of.
//!
//! # Format
//! OCI image specification 1.1, manifest.md, "Guidelines for Artifact Usage": an artifact of [`INDEX_TYPE`] with an empty
//! config, two layers (summaries and parts of the indexes), a third with a read list where there is one, and the manifest of the platform's image as its subject.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Descriptor;
use super::media_type::OCI_MANIFEST;
use crate::base::Digest;

/// Artifact type of the layer indexes of an image.
pub const INDEX_TYPE: &str = "application/vnd.lkit.index.v1";
/// Media type of what answers `stat`.
pub const SUMMARIES_TYPE: &str = "application/vnd.lkit.index.summaries.v1";
/// Media type of what reading in a span needs.
pub const PARTS_TYPE: &str = "application/vnd.lkit.index.parts.v1";
/// Media type of a list of what is read first, which may be there.
pub const READS_TYPE: &str = "application/vnd.lkit.index.reads.v1";
/// Media type of the empty config, and its bytes.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The bytes of the empty config.
pub const EMPTY: &[u8] = b"{}";

/// The blobs of an image's layer indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexManifest {
    /// The summaries.
    pub summaries: Descriptor,
    /// The parts.
    pub parts: Descriptor,
    /// The read list, if there is one.
    pub reads: Option<Descriptor>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
    subject: Descriptor,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl IndexManifest {
    /// The manifest about the image `subject`.
    pub fn to_bytes(&self, subject: &Descriptor) -> Vec<u8> {
        let manifest = Json {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            artifact_type: INDEX_TYPE.to_owned(),
            config: empty_config(),
            layers: [&self.summaries, &self.parts].into_iter().chain(&self.reads).cloned().collect(),
            subject: Descriptor::new(subject.media_type.clone(), subject.digest, subject.size),
            annotations: BTreeMap::new(),
        };
        serde_json::to_vec(&manifest).expect("descriptors hold only text and numbers")
    }

    /// Reads a manifest about the image `subject`.
    ///
    /// # Errors
    /// Why it is none, in a clause.
    pub fn parse(bytes: &[u8], subject: &Digest) -> Result<Self, String> {
        let manifest: Json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.artifact_type != INDEX_TYPE {
            return Err(format!("it is an artifact of type `{}`", manifest.artifact_type));
        }
        if manifest.subject.digest != *subject {
            return Err(format!("it is about `{}`", manifest.subject.digest));
        }
        let one = |media_type: &str| {
            let mut found = manifest.layers.iter().filter(|layer| layer.media_type == media_type);
            let first = found.next().cloned();
            first
                .filter(|_| found.next().is_none())
                .ok_or_else(|| format!("it has not one layer of type `{media_type}`"))
        };
        Ok(Self { summaries: one(SUMMARIES_TYPE)?, parts: one(PARTS_TYPE)?, reads: one(READS_TYPE).ok() })
    }
}

/// The descriptor of the empty config.
pub fn empty_config() -> Descriptor {
    Descriptor::new(EMPTY_TYPE, Digest::of(EMPTY), EMPTY.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_is_about_one_image() {
        let blob = |media_type: &str, bytes: &[u8]| Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        let (summaries, parts) = (blob(SUMMARIES_TYPE, b"s"), blob(PARTS_TYPE, b""));
        let index = IndexManifest { summaries, parts, reads: None };
        let subject = blob(OCI_MANIFEST, b"image");
        let bytes = index.to_bytes(&subject);
        assert_eq!(IndexManifest::parse(&bytes, &subject.digest), Ok(index.clone()));
        let with_reads = IndexManifest { reads: Some(blob(READS_TYPE, b"r")), ..index.clone() };
        assert_eq!(IndexManifest::parse(&with_reads.to_bytes(&subject), &subject.digest), Ok(with_reads));
        let other = IndexManifest::parse(&bytes, &Digest::of(b"other")).unwrap_err();
        assert_eq!(other, format!("it is about `{}`", subject.digest));
        let twice = IndexManifest { parts: index.summaries.clone(), ..index }.to_bytes(&subject);
        assert!(IndexManifest::parse(&twice, &subject.digest).unwrap_err().starts_with("it has not one layer"));
        for bytes in [&b""[..], b"{}", b"[]"] {
            assert!(IndexManifest::parse(bytes, &subject.digest).is_err());
        }
    }
}
