//! The manifest of a system's artifacts in a registry.
//!
//! # Format
//! OCI image specification 1.1, manifest.md, "Guidelines for Artifact Usage": an artifact of [`ARTIFACTS_TYPE`] with an empty
//! config and a layer of [`FILE_TYPE`] for each file, whose annotation `org.opencontainers.image.title` is its name. The last
//! layer, of [`PIECES_TYPE`], has the SHA-256 of each [`PIECE`] bytes of the files, one file after the other, so that a part
//! of a file can be verified without the rest. A lock refers to it by an artifact of [`LOCK_TYPE`] with one layer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::index_manifest::empty_config;
use super::media_type::OCI_MANIFEST;
use super::{Descriptor, Error, Problem, Reference, Resolver};
use crate::base::{Digest, KIB, MIB, Monitor};

/// Artifact type of artifacts, media type of each, and of what verifies parts of them.
pub const ARTIFACTS_TYPE: &str = "application/vnd.lkit.artifacts.v1";
/// Media type of a file.
pub const FILE_TYPE: &str = "application/vnd.lkit.artifacts.file.v1";
/// Media type of the digests of pieces.
pub const PIECES_TYPE: &str = "application/vnd.lkit.artifacts.pieces.v1";
/// Artifact type and media type of the lock of what the artifacts were made of.
pub const LOCK_TYPE: &str = "application/vnd.lkit.lock.v1+json";
/// Bytes of a piece: what is fetched at least to read one byte. The digests of a file of 1 GiB are 128 KiB then.
pub const PIECE: u64 = 256 * KIB;
/// Most files, and the largest list of pieces: that of files of half a TiB.
const MOST_FILES: usize = 256;
/// Largest list of pieces in bytes: that of files of half a TiB.
pub const MOST_PIECES: u64 = 64 * MIB;
const TITLE: &str = "org.opencontainers.image.title";

/// The files of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactManifest {
    /// Their names and blobs.
    pub files: Vec<(String, Descriptor)>,
    /// The blob with the digests of pieces.
    pub pieces: Descriptor,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    schema_version: u32,
    media_type: String,
    artifact_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
}

fn manifest(artifact_type: &str, layers: Vec<Descriptor>, subject: Option<Descriptor>) -> Vec<u8> {
    let (media_type, artifact_type) = (OCI_MANIFEST.to_owned(), Some(artifact_type.to_owned()));
    let manifest = Json { schema_version: 2, media_type, artifact_type, config: empty_config(), layers, subject };
    serde_json::to_vec(&manifest).expect("descriptors hold only text and numbers")
}

/// The manifest of a lock of the artifacts `subject`.
pub fn lock_manifest(lock: Descriptor, subject: Descriptor) -> Vec<u8> {
    manifest(LOCK_TYPE, vec![lock], Some(subject))
}

impl ArtifactManifest {
    /// The manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let files = self.files.iter().map(|(name, blob)| {
            let annotations = Some(BTreeMap::from([(TITLE.to_owned(), name.clone())]));
            Descriptor { annotations, ..blob.clone() }
        });
        manifest(ARTIFACTS_TYPE, files.chain([self.pieces.clone()]).collect(), None)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// Why it is none, in a clause.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match manifest.artifact_type.as_deref() {
            Some(ARTIFACTS_TYPE) => {}
            Some(other) => return Err(format!("it is an artifact of type `{other}`")),
            None => return Err("it is an image".to_owned()),
        }
        let mut layers = manifest.layers;
        let pieces = layers.pop().filter(|last| last.media_type == PIECES_TYPE);
        let pieces = pieces.ok_or("it has no list of pieces")?;
        let files = layers.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<_> = files.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if files.is_empty() || files.len() > MOST_FILES || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it has no files, too many, or two of one name".to_owned());
        }
        let count = files.iter().try_fold(0_u64, |count, (_, blob)| count.checked_add(blob.size.div_ceil(PIECE)));
        match count.and_then(|count| count.checked_mul(32)) {
            Some(size) if size == pieces.size && size <= MOST_PIECES => Ok(Self { files, pieces }),
            _ => Err("its list of pieces has another length than its files".to_owned()),
        }
    }
}

/// A file by its name, which is one in a directory.
fn named(layer: Descriptor) -> Result<(String, Descriptor), String> {
    let name = layer.annotations.as_ref().and_then(|annotations| annotations.get(TITLE)).cloned().unwrap_or_default();
    let is_name = !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\0']);
    if layer.media_type != FILE_TYPE || !is_name {
        return Err(format!(
            "`{}` of type `{}` is no file in it",
            name.escape_debug(),
            layer.media_type.escape_debug()
        ));
    }
    Ok((name, layer))
}

impl Resolver {
    /// The artifacts that `reference` means, with the digest of their manifest.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); `Unsupported` when it means something else.
    pub fn artifacts(&self, reference: &Reference, monitor: &dyn Monitor) -> Result<(Digest, ArtifactManifest), Error> {
        let failed = |problem| Error { reference: reference.to_string(), problem };
        let (root, _) = self.root(reference, monitor).map_err(failed)?;
        let parsed = ArtifactManifest::parse(&root.bytes).map_err(Problem::NoArtifacts);
        Ok((root.descriptor.digest, parsed.map_err(failed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ArtifactManifest {
        let blob = |media_type: &str, size| Descriptor::new(media_type, Digest::of(media_type.as_bytes()), size);
        let files = [("kernel", PIECE + 1), ("x.img", 0), ("initrd.img", PIECE)];
        let files = files.map(|(name, size)| (name.to_owned(), blob(FILE_TYPE, size)));
        ArtifactManifest { files: files.into(), pieces: blob(PIECES_TYPE, 96) }
    }

    #[test]
    fn a_manifest_reads_back() {
        let read = ArtifactManifest::parse(&sample().to_bytes()).unwrap();
        let plain = |manifest: &ArtifactManifest| {
            manifest.files.iter().map(|(name, blob)| (name.clone(), blob.size)).collect::<Vec<_>>()
        };
        assert_eq!((plain(&read), read.pieces), (plain(&sample()), sample().pieces));
    }

    #[test]
    fn what_is_no_manifest_of_artifacts_is_refused_with_the_reason() {
        let with = |change: fn(&mut ArtifactManifest)| {
            let mut manifest = sample();
            change(&mut manifest);
            ArtifactManifest::parse(&manifest.to_bytes()).unwrap_err()
        };
        for name in ["", "..", ".lkit", "a/b", "a\0"] {
            let mut manifest = sample();
            manifest.files[0].0 = name.to_owned();
            assert!(ArtifactManifest::parse(&manifest.to_bytes()).unwrap_err().contains("is no file in it"), "{name}");
        }
        assert!(with(|manifest| manifest.files[0].0 = "x.img".to_owned()).contains("two of one name"));
        assert!(with(|manifest| manifest.files.clear()).contains("no files"));
        assert!(with(|manifest| manifest.pieces.size = 95).contains("another length"));
        assert!(with(|manifest| manifest.files[0].1.size = u64::MAX).contains("another length"));
        assert!(with(|manifest| manifest.pieces.media_type = "x".to_owned()).contains("no list of pieces"));
        let image = String::from_utf8(sample().to_bytes()).unwrap().replace(ARTIFACTS_TYPE, "x");
        assert_eq!(ArtifactManifest::parse(image.as_bytes()).unwrap_err(), "it is an artifact of type `x`");
        for bytes in [&b""[..], b"{}", b"[]"] {
            assert!(ArtifactManifest::parse(bytes).is_err());
        }
    }
}
