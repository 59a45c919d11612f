//! SOCI's index of an image: a manifest whose layers are the zTOCs of the image's layers. From bytes to bytes; nothing is
//! fetched or pushed here.
//!
//! # Format
//! soci-snapshotter, `soci_index.go` and `convert.go`. Version 1 refers to the image by `subject`, and the image stays as it
//! is. In version 2 the image refers to its index by an annotation, and is another image for that: its manifests have OCI's
//! media types, and its image index names the indexes, too.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::manifest::MAX_MANIFEST;
use super::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, is_index, is_manifest, oci_type};
use super::{Descriptor, DescriptorPlatform, Descriptors, Problem};
use crate::base::Digest;

/// Media type of the config of an index of version 1, and so the artifact type that a registry lists it under.
pub const SOCI_V1: &str = "application/vnd.amazon.soci.index.v1+json";
/// The same of version 2.
pub const SOCI_V2: &str = "application/vnd.amazon.soci.index.v2+json";
/// The config of an index; it must be pushed as well.
pub const SOCI_CONFIG: &[u8] = b"{}";
/// Media type of a zTOC.
const ZTOC: &str = "application/octet-stream";

const LAYER_DIGEST: &str = "com.amazon.soci.image-layer-digest";
const LAYER_TYPE: &str = "com.amazon.soci.image-layer-mediaType";
const SPAN_SIZE: &str = "com.amazon.soci.span-size";
const TOOL: &str = "com.amazon.soci.build-tool-identifier";
const INDEX_DIGEST: &str = "com.amazon.soci.index-digest";
const IMAGE_DIGEST: &str = "com.amazon.soci.image-manifest-digest";

/// The zTOC of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerZtoc {
    /// Digest of the layer's blob.
    pub layer: Digest,
    /// Digest of the zTOC.
    pub ztoc: Digest,
    /// Size of the zTOC in bytes.
    pub size: u64,
}

/// How an index of an image is made.
pub struct SociIndex<'a> {
    /// The manifest of the image for one platform, where the index refers to it: version 1.
    pub subject: Option<&'a Descriptor>,
    /// The zTOCs in the order of the image's layers, each with the media type of its layer.
    pub ztocs: &'a [(LayerZtoc, String)],
    /// Bytes of diff in their spans.
    pub span_size: u64,
    /// What made it.
    pub tool: &'a str,
}

impl SociIndex<'_> {
    /// The manifest's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let config = if self.subject.is_some() { SOCI_V1 } else { SOCI_V2 };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor::new(config, Digest::of(SOCI_CONFIG), SOCI_CONFIG.len() as u64),
            "layers": self.ztocs.iter().map(|(ztoc, media_type)| self.layer(ztoc, media_type)).collect::<Vec<_>>(),
        });
        if let Some(subject) = self.subject {
            manifest["subject"] = json!(Descriptor::new(&*subject.media_type, subject.digest, subject.size));
        }
        manifest["annotations"] = json!({ TOOL: self.tool });
        written(&manifest)
    }

    fn layer(&self, ztoc: &LayerZtoc, media_type: &str) -> Descriptor {
        let annotations = [
            (LAYER_DIGEST, ztoc.layer.to_string()),
            (LAYER_TYPE, media_type.to_owned()),
            (SPAN_SIZE, self.span_size.to_string()),
        ];
        let annotations: BTreeMap<_, _> = annotations.map(|(key, value)| (key.to_owned(), value)).into();
        Descriptor { annotations: Some(annotations), ..Descriptor::new(ZTOC, ztoc.ztoc, ztoc.size) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Descriptors>,
    subject: Option<Descriptor>,
}

/// The zTOCs that an index has of the image whose manifest has digest `manifest`, and whose blobs are `layers`. What the
/// index has beside them is passed over.
///
/// # Errors
/// `Corrupt` when it is no index of SOCI's, or is of another image.
pub fn ztocs_of(index: &[u8], manifest: &Digest, layers: &[Digest]) -> Result<Vec<LayerZtoc>, Problem> {
    ztocs(index, manifest, layers).map_err(|reason| malformed(index, reason))
}

fn ztocs(index: &[u8], manifest: &Digest, layers: &[Digest]) -> Result<Vec<LayerZtoc>, String> {
    if index.len() as u64 > MAX_MANIFEST {
        return Err(format!("it has {} bytes, over {MAX_MANIFEST}", index.len()));
    }
    let json: Json = serde_json::from_slice(index).map_err(|error| error.to_string())?;
    let is_manifest = json.media_type.as_deref().is_none_or(|media_type| media_type == OCI_MANIFEST);
    if json.schema_version != Some(2) || !is_manifest {
        return Err("it is no manifest".to_owned());
    }
    match (json.config.map(|config| config.media_type).as_deref(), json.subject) {
        (Some(SOCI_V1), Some(subject)) if subject.digest == *manifest => {}
        (Some(SOCI_V1), Some(subject)) => return Err(format!("it is an index of image `{}`", subject.digest)),
        (Some(SOCI_V1), None) => return Err("it does not say which image it is an index of".to_owned()),
        (Some(SOCI_V2), None) => {}
        (Some(SOCI_V2), Some(_)) => return Err("it is of version 2, and yet refers to an image".to_owned()),
        _ => return Err("it is no index of SOCI's".to_owned()),
    }
    let mut found: Vec<LayerZtoc> = Vec::new();
    for descriptor in json.layers.ok_or("it has no layers")?.0 {
        let Some(layer) = descriptor.annotation(LAYER_DIGEST).filter(|_| descriptor.media_type == ZTOC) else {
            continue;
        };
        let layer: Digest = layer.parse().map_err(|error| format!("a zTOC is of no layer: {error}"))?;
        if !layers.contains(&layer) {
            return Err(format!("it has a zTOC of `{layer}`, which is no layer of the image"));
        }
        let ztoc = LayerZtoc { layer, ztoc: descriptor.digest, size: descriptor.size };
        match found.iter().find(|other| other.layer == layer || other.ztoc == ztoc.ztoc) {
            Some(other) if other.layer != layer => {
                return Err(format!("it has one zTOC for layers `{}` and `{layer}`", other.layer));
            }
            Some(other) if *other != ztoc => return Err(format!("it has two zTOCs of layer `{layer}`")),
            Some(_) => {}
            None => found.push(ztoc),
        }
    }
    Ok(found)
}

/// The index of version 2 that a manifest names.
///
/// # Errors
/// `Corrupt` when the manifest is no JSON, or what it names is no digest.
pub fn named_index(manifest: &[u8]) -> Result<Option<Digest>, Problem> {
    let of = || -> Result<Option<Digest>, String> {
        let manifest = object(manifest)?;
        let name = manifest.get("annotations").and_then(|annotations| annotations.get(INDEX_DIGEST));
        let name = name.map(|name| name.as_str().ok_or("the SOCI index it names is no text")).transpose()?;
        name.map(|name| name.parse().map_err(|error| format!("the SOCI index it names: {error}"))).transpose()
    };
    of().map_err(|reason| malformed(manifest, reason))
}

/// The manifest of an image, as it names its index of version 2.
///
/// # Errors
/// `Corrupt` when it is no manifest of an image.
pub fn with_named_index(manifest: &[u8], index: &Digest) -> Result<Vec<u8>, Problem> {
    let of = || {
        let mut image = object(manifest)?;
        if !image.get("mediaType").is_none_or(|media_type| media_type.as_str().is_some_and(is_manifest)) {
            return Err("it is no manifest of an image".to_owned());
        }
        image.insert("mediaType".to_owned(), json!(OCI_MANIFEST));
        let config = image.get_mut("config").and_then(Value::as_object_mut).ok_or("it has no config")?;
        config.insert("mediaType".to_owned(), json!(OCI_CONFIG));
        for layer in image.get_mut("layers").and_then(Value::as_array_mut).ok_or("it has no layers")? {
            if let Some(media_type) = layer.get_mut("mediaType")
                && let Some(oci) = media_type.as_str().and_then(oci_type)
            {
                *media_type = json!(oci);
            }
        }
        annotate(&mut image, INDEX_DIGEST, index)?;
        Ok(written(&Value::Object(image)))
    };
    of().map_err(|reason| malformed(manifest, reason))
}

/// An image of an image index that was given an index of version 2.
pub struct Converted {
    /// Digest of its manifest as it was.
    pub original: Digest,
    /// Digest and size of its [manifest as it is now](with_named_index).
    pub manifest: (Digest, u64),
    /// Digest and size of its index.
    pub index: (Digest, u64),
    /// What it runs on.
    pub platform: DescriptorPlatform,
}

/// The image index with images as they are now, and their indexes behind them. Without one, an image index of the images.
///
/// # Errors
/// `Corrupt` when it is no image index, or has none of the images.
pub fn with_soci_indexes(image_index: Option<&[u8]>, images: &[Converted]) -> Result<Vec<u8>, Problem> {
    let bytes = image_index.unwrap_or_default();
    let of = || {
        let mut index = match image_index {
            Some(bytes) => object(bytes)?,
            None => new_index(images),
        };
        if !index.get("mediaType").is_none_or(|media_type| media_type.as_str().is_some_and(is_index)) {
            return Err("it is no image index".to_owned());
        }
        index.insert("mediaType".to_owned(), json!(OCI_INDEX));
        let entries = index.get_mut("manifests").and_then(Value::as_array_mut).ok_or("it has no manifests")?;
        images.iter().try_for_each(|image| convert(entries, image))?;
        Ok(written(&Value::Object(index)))
    };
    of().map_err(|reason| malformed(bytes, reason))
}

fn new_index(images: &[Converted]) -> Map<String, Value> {
    let entry = |image: &Converted| {
        let descriptor = Descriptor::new(OCI_MANIFEST, image.original, image.manifest.1);
        json!(Descriptor { platform: Some(image.platform.clone()), ..descriptor })
    };
    let mut index = Map::new();
    index.insert("schemaVersion".to_owned(), json!(2));
    index.insert("mediaType".to_owned(), json!(OCI_INDEX));
    index.insert("manifests".to_owned(), images.iter().map(entry).collect());
    index
}

/// Puts the new manifest in the place of the original one, and its index behind all, or in the place of one before.
fn convert(entries: &mut Vec<Value>, image: &Converted) -> Result<(), String> {
    let original = image.original.to_string();
    let entry = entries.iter_mut().find(|entry| entry.get("digest").and_then(Value::as_str) == Some(&original));
    let entry = entry.and_then(Value::as_object_mut).ok_or_else(|| format!("it has no image `{original}`"))?;
    entry.insert("mediaType".to_owned(), json!(OCI_MANIFEST));
    entry.insert("digest".to_owned(), json!(image.manifest.0.to_string()));
    entry.insert("size".to_owned(), json!(image.manifest.1));
    let platform = json!(image.platform);
    let is_of_platform = |entry: &Value| {
        entry.get("artifactType").and_then(Value::as_str) == Some(SOCI_V2) && entry.get("platform") == Some(&platform)
    };
    entries.retain(|entry| !is_of_platform(entry));
    let annotations = BTreeMap::from([(IMAGE_DIGEST.to_owned(), image.manifest.0.to_string())]);
    entries.push(json!(Descriptor {
        platform: Some(image.platform.clone()),
        annotations: Some(annotations),
        artifact_type: Some(SOCI_V2.to_owned()),
        ..Descriptor::new(OCI_MANIFEST, image.index.0, image.index.1)
    }));
    Ok(())
}

fn annotate(document: &mut Map<String, Value>, key: &str, digest: &Digest) -> Result<(), String> {
    let annotations = document.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = json!({});
    }
    let annotations = annotations.as_object_mut().ok_or("its annotations are none")?;
    annotations.insert(key.to_owned(), json!(digest.to_string()));
    Ok(())
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(format!("it has {} bytes, over {MAX_MANIFEST}", bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn written(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).expect("a JSON value can be written")
}

fn malformed(document: &[u8], reason: String) -> Problem {
    Problem::Malformed { digest: Digest::of(document), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn ztoc(name: &str, size: u64) -> (LayerZtoc, String) {
        let ztoc = digest(&format!("ztoc of {name}"));
        (LayerZtoc { layer: digest(name), ztoc, size }, "application/vnd.oci.image.layer.v1.tar+gzip".to_owned())
    }

    fn index(subject: Option<&Descriptor>) -> String {
        let ztocs = [ztoc("a", 7), ztoc("c", 9)];
        let index = SociIndex { subject, ztocs: &ztocs, span_size: 4 << 20, tool: "lkit" };
        String::from_utf8(index.to_bytes()).unwrap()
    }

    fn platform() -> DescriptorPlatform {
        DescriptorPlatform { architecture: "arm64".to_owned(), os: "linux".to_owned(), variant: None }
    }

    const V1: &str = "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\
        \"application/vnd.amazon.soci.index.v1+json\",\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060\
        f61caaff8a\",\"size\":2},\"layers\":[{\"mediaType\":\"application/octet-stream\",\"digest\":\"ZA\",\"size\":7,\
        \"annotations\":{\"com.amazon.soci.image-layer-digest\":\"A\",\"com.amazon.soci.image-layer-mediaType\":\
        \"application/vnd.oci.image.layer.v1.tar+gzip\",\"com.amazon.soci.span-size\":\"4194304\"}}],\"subject\":{\"mediaType\":\
        \"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"M\",\"size\":5},\"annotations\":\
        {\"com.amazon.soci.build-tool-identifier\":\"lkit\"}}";

    #[test]
    fn an_index_of_version_1_refers_to_its_image() {
        let subject = Descriptor { platform: Some(platform()), ..Descriptor::new(OCI_MANIFEST, digest("image"), 5) };
        let ztocs = [ztoc("a", 7)];
        let made = SociIndex { subject: Some(&subject), ztocs: &ztocs, span_size: 4 << 20, tool: "lkit" }.to_bytes();
        let names = [("\"ZA\"", digest("ztoc of a")), ("\"A\"", digest("a")), ("\"M\"", digest("image"))];
        let expected =
            names.iter().fold(V1.to_owned(), |text, (name, digest)| text.replace(name, &format!("\"{digest}\"")));
        assert_eq!(String::from_utf8(made).unwrap(), expected);
    }

    #[test]
    fn an_index_that_is_written_is_read() {
        let subject = Descriptor::new(OCI_MANIFEST, digest("image"), 5);
        let layers = ["a", "b", "c"].map(digest);
        for index in [index(Some(&subject)), index(None)] {
            let found = ztocs_of(index.as_bytes(), &digest("image"), &layers).unwrap();
            assert_eq!(found, [ztoc("a", 7).0, ztoc("c", 9).0]);
        }
    }

    #[test]
    fn what_is_wrong_with_an_index_is_told() {
        let subject = Descriptor::new(OCI_MANIFEST, digest("image"), 5);
        let (one, two) = (index(Some(&subject)), index(None));
        let (a, c) = (digest("a").to_string(), digest("c").to_string());
        let (za, zc) = (digest("ztoc of a").to_string(), digest("ztoc of c").to_string());
        let table = [
            (String::new(), "EOF while parsing a value at line 1 column 0".to_owned()),
            (one.replace("\"schemaVersion\":2", "\"schemaVersion\":1"), "it is no manifest".to_owned()),
            (one.replacen("image.manifest", "image.index", 1), "it is no manifest".to_owned()),
            (one.replace("soci.index.v1", "soci.index.v3"), "it is no index of SOCI's".to_owned()),
            (
                one.replace("soci.index.v1", "soci.index.v2"),
                "it is of version 2, and yet refers to an image".to_owned(),
            ),
            (two.replace("soci.index.v2", "soci.index.v1"), "it does not say which image it is an index of".to_owned()),
            (
                one.replace(&subject.digest.to_string(), &digest("other").to_string()),
                format!("it is an index of image `{}`", digest("other")),
            ),
            (two.replace("\"layers\"", "\"other\""), "it has no layers".to_owned()),
            (
                two.replace(&a, &digest("x").to_string()),
                format!("it has a zTOC of `{}`, which is no layer of the image", digest("x")),
            ),
            (two.replace(&a, &c), format!("it has two zTOCs of layer `{c}`")),
            (two.replace(&a, "sha256:0"), "a zTOC is of no layer: `sha256:0` is not a digest".to_owned()),
            (two.replace(&zc, &za), format!("it has one zTOC for layers `{a}` and `{c}`")),
        ];
        for (index, reason) in table {
            let problem = ztocs_of(index.as_bytes(), &digest("image"), &["a", "b", "c"].map(digest)).unwrap_err();
            let expected = format!("`{}` is not valid: {reason}", Digest::of(index.as_bytes()));
            assert_eq!(problem.to_string(), expected);
        }
        let prefetch = two.replace("application/octet-stream", "application/vnd.amazon.soci.prefetch.v1+json");
        assert_eq!(ztocs_of(prefetch.as_bytes(), &digest("image"), &[]).unwrap(), []);
    }

    #[test]
    fn an_image_that_names_its_index_has_the_media_types_of_oci() {
        let docker = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"D","size":1},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":2,"urls":["u"]},{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar","size":3},{"mediaType":"a/b"}],"more":1}"#;
        let named = with_named_index(docker.as_bytes(), &digest("index")).unwrap();
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"D","size":1}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":2,"urls":["u"]}},{{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","size":3}},{{"mediaType":"a/b"}}],"more":1,"annotations":{{"com.amazon.soci.index-digest":"{}"}}}}"#,
            digest("index")
        );
        assert_eq!(std::str::from_utf8(&named), Ok(&expected[..]));
        assert_eq!(with_named_index(&named, &digest("index")).unwrap(), named);
        assert_eq!(
            (named_index(&named).unwrap(), named_index(docker.as_bytes()).unwrap()),
            (Some(digest("index")), None)
        );
        for text in ["", "[]", "{}", r#"{"config":{},"layers":7}"#, r#"{"config":{},"layers":[],"annotations":7}"#] {
            assert!(with_named_index(text.as_bytes(), &digest("index")).is_err(), "{text}");
        }
        for text in [
            "",
            r#"{"annotations":{"com.amazon.soci.index-digest":7}}"#,
            r#"{"annotations":{"com.amazon.soci.index-digest":"7"}}"#,
        ] {
            assert!(named_index(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_index_names_the_indexes_of_its_images_once() {
        let converted = |round: u32, original: &str| Converted {
            original: digest(original),
            manifest: (digest(&format!("new {round}")), 50),
            index: (digest(&format!("index {round}")), 60),
            platform: platform(),
        };
        let list = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{{"mediaType":"x","digest":"{}","size":4,"platform":{{"architecture":"arm64","os":"linux"}},"urls":[]}},{{"digest":"other"}}]}}"#,
            digest("old")
        );
        let first = with_soci_indexes(Some(list.as_bytes()), &[converted(1, "old")]).unwrap();
        let index = |round: u32| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":60,"platform":{{"architecture":"arm64","os":"linux"}},"annotations":{{"com.amazon.soci.image-manifest-digest":"{}"}},"artifactType":"application/vnd.amazon.soci.index.v2+json"}}"#,
                digest(&format!("index {round}")),
                digest(&format!("new {round}"))
            )
        };
        let expected = |round: u32| {
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":50,"platform":{{"architecture":"arm64","os":"linux"}},"urls":[]}},{{"digest":"other"}},{}]}}"#,
                digest(&format!("new {round}")),
                index(round)
            )
        };
        assert_eq!(std::str::from_utf8(&first), Ok(&expected(1)[..]));
        let second = with_soci_indexes(Some(&first), &[converted(2, "new 1")]).unwrap();
        assert_eq!(std::str::from_utf8(&second), Ok(&expected(2)[..]));
        let alone = with_soci_indexes(None, &[converted(1, "old")]).unwrap();
        let expected = expected(1).replace(r#","urls":[]},{"digest":"other"}"#, "}");
        assert_eq!(std::str::from_utf8(&alone), Ok(&expected[..]));
        let absent = with_soci_indexes(Some(list.as_bytes()), &[converted(1, "absent")]).unwrap_err();
        assert!(absent.to_string().ends_with(&format!("it has no image `{}`", digest("absent"))), "{absent}");
        assert!(with_soci_indexes(Some(b"{}"), &[]).is_err());
    }
}
