//! The content descriptor: what names a blob in manifests, image indexes and layouts.
//!
//! # Format
//! OCI image specification 1.1, descriptor.md; fields lkit has no use for are not kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

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

/// The descriptors of a JSON list. What is none, or names a blob by another digest than lkit can check, is for others
/// and passed over, without being kept in memory meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptors(pub Vec<Descriptor>);

impl<'de> Deserialize<'de> for Descriptors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Descriptors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Descriptors, A::Error> {
                let mut found = Vec::new();
                while let Some(text) = list.next_element::<&RawValue>()? {
                    // Refused by its first letter where that is possible: an error for each number takes its time.
                    let object = Some(text.get()).filter(|text| text.starts_with('{'));
                    found.extend(object.and_then(|text| serde_json::from_str::<Descriptor>(text).ok()));
                }
                Ok(Descriptors(found))
            }
        }
        deserializer.deserialize_seq(List)
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
    fn what_is_no_descriptor_is_passed_over_in_a_list() {
        let good = format!(r#"{{"mediaType":"a/b","digest":"{}","size":7}}"#, Digest::of(b"x"));
        let text = format!(r#"[7,{good},null,{{"digest":"sha512:00","size":1}},[[]],{good}]"#);
        let Descriptors(found) = serde_json::from_str(&text).unwrap();
        assert_eq!(found, vec![Descriptor::new("a/b", Digest::of(b"x"), 7); 2]);
        for text in ["7", "{}", "[7", "[,]"] {
            assert!(serde_json::from_str::<Descriptors>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_below_zero_is_refused() {
        let text = format!(r#"{{"mediaType":"a/b","digest":"{}","size":-1}}"#, Digest::of(b"x"));
        assert!(serde_json::from_str::<Descriptor>(&text).is_err());
    }
}
