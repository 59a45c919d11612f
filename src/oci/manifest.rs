//! Manifests and image indexes, parsed from bytes that were checked against their digest.
//!
//! # Format
//! OCI image specification 1.1, manifest.md and image-index.md; docker's schema 2 has the same fields.

use serde::Deserialize;

use super::media_type::{LayerType, is_config, is_index, is_manifest, layer_type};
use super::{Descriptor, Descriptors, ImageConfig, Layer};
use crate::base::{Digest, ParseDigestError};

/// Largest manifest or image index, in bytes: twice what registries take.
pub(super) const MAX_MANIFEST: u64 = 8 << 20;
/// Largest image config, in bytes.
pub(super) const MAX_CONFIG: u64 = 8 << 20;
/// Most layers of an image, which may all be one: twice as many as Linux can lay over each other (`OVL_MAX_STACK`), and eight
/// times as many as docker makes.
const MAX_LAYERS: usize = 1024;

/// What a reference or an entry of an image index can lead to.
#[derive(Debug)]
pub(super) enum Document {
    /// One image for several platforms, or several indexes.
    Index(Vec<Descriptor>),
    /// An image.
    Manifest(Manifest),
}

/// An image's parts.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// Why a document is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not what the specification says.
    Malformed(String),
    /// It is something lkit does not make files from.
    Unsupported(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<Descriptors>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Document {
    /// Parses a manifest or image index and tells its media type.
    pub fn parse(bytes: &[u8]) -> Result<(Self, String), Flaw> {
        let json: Json = serde_json::from_slice(bytes).map_err(|error| flaw(bytes, &error))?;
        if json.schema_version == Some(1) {
            return Err(Flaw::Unsupported("it is a manifest of docker's old schema 1".to_owned()));
        }
        match (json.manifests, json.config, json.layers, json.media_type) {
            (Some(Descriptors(manifests)), None, None, media_type) if media_type.as_deref().is_none_or(is_index) => {
                Ok((Self::Index(manifests), media_type.unwrap_or_else(|| super::media_type::OCI_INDEX.to_owned())))
            }
            (None, Some(config), Some(layers), media_type) if media_type.as_deref().is_none_or(is_manifest) => {
                let media_type = media_type.unwrap_or_else(|| super::media_type::OCI_MANIFEST.to_owned());
                Ok((Self::Manifest(Manifest { config, layers }), media_type))
            }
            // Both at once is how one blob would be two things to two readers (image-spec, "ambiguous documents").
            (_, _, _, Some(media_type)) if !is_index(&media_type) && !is_manifest(&media_type) => {
                Err(Flaw::Unsupported(format!("it has media type `{media_type}`, which is no image")))
            }
            _ => Err(Flaw::Malformed("it is neither a manifest nor an image index".to_owned())),
        }
    }
}

/// What is wrong with a document that does not parse, such as that it names blobs by digests that lkit does not check.
fn flaw(bytes: &[u8], error: &serde_json::Error) -> Flaw {
    #[derive(Deserialize)]
    struct Names {
        config: Option<Name>,
        layers: Option<Vec<Name>>,
    }
    #[derive(Deserialize)]
    struct Name {
        digest: String,
    }
    let names: Option<Names> = serde_json::from_slice(bytes).ok();
    let names = names.into_iter().flat_map(|names| names.config.into_iter().chain(names.layers.unwrap_or_default()));
    let other = names.filter_map(|name| name.digest.parse::<Digest>().err()).find_map(Flaw::of_algorithm);
    other.unwrap_or_else(|| Flaw::Malformed(error.to_string()))
}

impl Flaw {
    /// The flaw of a digest that only others can check; none for a text that is no digest.
    pub fn of_algorithm(error: ParseDigestError) -> Option<Self> {
        match error {
            ParseDigestError::Algorithm(_) => Some(Self::Unsupported(error.to_string())),
            ParseDigestError::Malformed(_) => None,
        }
    }
}

impl Manifest {
    /// Whether its config is an image's, not an artifact's.
    pub fn is_image(&self) -> bool {
        is_config(&self.config.media_type)
    }

    /// The layers with their diff ids.
    pub fn layers(&self, config: &ImageConfig) -> Result<Vec<Layer>, Flaw> {
        if self.layers.len() != config.diff_ids.len() {
            let (layers, diff_ids) = (self.layers.len(), config.diff_ids.len());
            return Err(Flaw::Malformed(format!("it has {layers} layers, its image config has {diff_ids} diff ids")));
        }
        if self.layers.len() > MAX_LAYERS {
            let layers = self.layers.len();
            return Err(Flaw::Unsupported(format!("it has {layers} layers, lkit takes {MAX_LAYERS} at most")));
        }
        let layer = |(descriptor, diff_id): (&Descriptor, _)| match layer_type(&descriptor.media_type) {
            LayerType::Tar(compression) => Ok(Layer {
                digest: descriptor.digest,
                size: descriptor.size,
                media_type: descriptor.media_type.clone(),
                compression,
                diff_id,
                annotations: descriptor.annotations.clone().unwrap_or_default(),
            }),
            LayerType::Other => {
                Err(Flaw::Unsupported(format!("a layer of it has media type `{}`", descriptor.media_type)))
            }
        };
        self.layers.iter().zip(config.diff_ids.iter().copied()).map(layer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":3}}"#, Digest::of(b"abc"))
    }

    #[test]
    fn a_document_is_known_by_its_fields_when_it_has_no_media_type() {
        let config = descriptor("application/vnd.oci.image.config.v1+json");
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        assert!(matches!(Document::parse(manifest.as_bytes()), Ok((Document::Manifest(_), _))));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{config},{{"digest":"sha512:00"}}]}}"#);
        let Ok((Document::Index(entries), media_type)) = Document::parse(index.as_bytes()) else { panic!("no index") };
        assert_eq!((entries.len(), media_type.as_str()), (1, "application/vnd.oci.image.index.v1+json"));
    }

    #[test]
    fn ambiguous_old_and_unknown_documents_are_refused() {
        let config = descriptor("application/vnd.oci.image.config.v1+json");
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#);
        assert!(matches!(Document::parse(both.as_bytes()), Err(Flaw::Malformed(_))));
        let wrong = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","config":{config},"layers":[]}}"#
        );
        assert!(matches!(Document::parse(wrong.as_bytes()), Err(Flaw::Malformed(_))));
        assert!(matches!(Document::parse(br#"{"schemaVersion":1}"#), Err(Flaw::Unsupported(_))));
        assert!(matches!(Document::parse(br#"{"mediaType":"a/b"}"#), Err(Flaw::Unsupported(_))));
        assert!(matches!(Document::parse(b"nonsense"), Err(Flaw::Malformed(_))));
        let sha512 = |text: &str| text.replace("sha256:", "sha512:").replace(r#"","size""#, r#"0","size""#);
        let reason = "digest algorithm `sha512` is not supported, only `sha256`".to_owned();
        for (config, layer) in [(sha512(&config), config.clone()), (config.clone(), sha512(&config))] {
            let other = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
            assert_eq!(Document::parse(other.as_bytes()).unwrap_err(), Flaw::Unsupported(reason.clone()));
        }
        let none = format!(r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#, config.replace("sha256:", "sha256"));
        assert!(matches!(Document::parse(none.as_bytes()), Err(Flaw::Malformed(_))));
    }

    #[test]
    fn a_layer_keeps_the_annotations_that_name_an_index_in_its_blob() {
        let config = descriptor("application/vnd.oci.image.config.v1+json");
        let layer =
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip").replace('}', r#","annotations":{"k":"v"}}"#);
        let text = format!(r#"{{"config":{config},"layers":[{layer}]}}"#);
        let Ok((Document::Manifest(manifest), _)) = Document::parse(text.as_bytes()) else { panic!("no manifest") };
        let config = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, Digest::of(b""));
        let layers = manifest.layers(&ImageConfig::parse(config.as_bytes()).unwrap()).unwrap();
        assert_eq!(layers[0].annotations, BTreeMap::from([("k".to_owned(), "v".to_owned())]));
    }

    #[test]
    fn an_image_with_far_more_layers_than_any_has_is_refused() {
        let config = descriptor("application/vnd.oci.image.config.v1+json");
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar");
        let of = |count: usize| {
            let text = format!(r#"{{"config":{config},"layers":[{}]}}"#, vec![layer.clone(); count].join(","));
            let ids = vec![format!("\"{}\"", Digest::of(b"")); count].join(",");
            let config = ImageConfig::parse(format!(r#"{{"rootfs":{{"diff_ids":[{ids}]}}}}"#).as_bytes()).unwrap();
            let Ok((Document::Manifest(manifest), _)) = Document::parse(text.as_bytes()) else { panic!("no manifest") };
            manifest.layers(&config).map(|layers| layers.len())
        };
        assert_eq!(of(1024), Ok(1024));
        let reason = "it has 1025 layers, lkit takes 1024 at most".to_owned();
        assert_eq!(of(1025), Err(Flaw::Unsupported(reason)));
    }

    #[test]
    fn every_layer_needs_its_diff_id_and_a_type_that_is_known() {
        let config = |count: usize| {
            let ids = vec![format!("\"{}\"", Digest::of(b"")); count].join(",");
            ImageConfig::parse(format!(r#"{{"rootfs":{{"diff_ids":[{ids}]}}}}"#).as_bytes()).unwrap()
        };
        let manifest = |media_type: &str| {
            let config = descriptor("application/vnd.oci.image.config.v1+json");
            let text = format!(r#"{{"config":{config},"layers":[{}]}}"#, descriptor(media_type));
            let Ok((Document::Manifest(manifest), _)) = Document::parse(text.as_bytes()) else { panic!("no manifest") };
            manifest
        };
        let plain = manifest("application/vnd.oci.image.layer.v1.tar");
        assert_eq!(plain.layers(&config(1)).unwrap()[0].diff_id, Digest::of(b""));
        assert_eq!(plain.layers(&config(1)).unwrap()[0].annotations.len(), 0);
        assert!(matches!(plain.layers(&config(2)), Err(Flaw::Malformed(_))));
        assert!(matches!(manifest("text/plain").layers(&config(1)), Err(Flaw::Unsupported(_))));
    }
}
