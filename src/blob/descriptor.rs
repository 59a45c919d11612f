//! The content descriptor: what names a blob in manifests, image indexes and layouts.
//!
//! # Format
//! OCI image specification 1.1, descriptor.md; fields lkit has no use for are not kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Platform};

/// Names a blob: what it is, which it is, how long it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is; empty where a sloppy writer left it out.
    #[serde(default)]
    pub media_type: String,
    /// Which blob.
    #[serde(with = "digest_text")]
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// In an image index: what the image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescriptorPlatform>,
    /// Such as the reference name in a layout's `index.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// In an image index: set when the manifest is no image but something about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor without platform or annotations.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.into(), digest, size, platform: None, annotations: None, artifact_type: None }
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// The platform of a descriptor, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorPlatform {
    /// GOARCH name.
    pub architecture: String,
    /// GOOS name.
    pub os: String,
    /// Such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl From<&DescriptorPlatform> for Platform {
    fn from(platform: &DescriptorPlatform) -> Self {
        let variant = platform.variant.clone().filter(|v| !v.is_empty());
        Self { os: platform.os.clone(), variant, architecture: platform.architecture.clone() }
    }
}

/// Digests as text.
mod digest_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::base::Digest;

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_reads_back_as_it_is_written() {
        let text = format!(
            r#"{{"mediaType":"a/b","digest":"{}","size":7,"platform":{{"architecture":"arm64","os":"linux","variant":"v8"}},"annotations":{{"k":"v"}}}}"#,
            Digest::of(b"x")
        );
        let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
        assert_eq!(descriptor.annotation("k"), Some("v"));
        assert_eq!(Platform::from(descriptor.platform.as_ref().unwrap()).to_string(), "linux/arm64/v8");
        assert_eq!(serde_json::to_string(&descriptor).unwrap(), text);
    }

    #[test]
    fn a_size_below_zero_is_refused() {
        let text = format!(r#"{{"mediaType":"a/b","digest":"{}","size":-1}}"#, Digest::of(b"x"));
        assert!(serde_json::from_str::<Descriptor>(&text).is_err());
    }
}
