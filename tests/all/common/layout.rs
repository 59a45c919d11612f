//! OCI layouts made from text, for images whose bytes do not matter.

use std::fs;
use std::path::{Path, PathBuf};

use lkit::base::Digest;
use serde_json::{Value, json};

/// A layout that is being made.
pub struct LayoutMaker {
    pub dir: PathBuf,
    entries: Vec<Value>,
}

impl LayoutMaker {
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let maker = Self { dir: dir.to_owned(), entries: Vec::new() };
        maker.write_index();
        maker
    }

    /// Keeps a blob.
    pub fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.path(&digest), bytes).unwrap();
        digest
    }

    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// A descriptor of a blob that is kept with it.
    pub fn described(&self, media_type: &str, bytes: &[u8]) -> Value {
        json!({"mediaType": media_type, "digest": self.blob(bytes).to_string(), "size": bytes.len()})
    }

    /// An image of one uncompressed layer for each of `layers`; its descriptor with a platform.
    pub fn image(&self, arch: &str, layers: &[&[u8]]) -> Value {
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({"architecture": arch, "os": "linux", "config": {"Cmd": ["sh"], "Env": ["A=b"]},
                            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.described("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let layer = |bytes: &&[u8]| self.described("application/vnd.oci.image.layer.v1.tar", bytes);
        self.document(
            json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                   "layers": layers.iter().map(layer).collect::<Vec<_>>()}),
            Some(arch),
        )
    }

    /// An image index of these.
    pub fn index(&self, manifests: &[Value]) -> Value {
        self.document(
            json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}),
            None,
        )
    }

    /// Any document with a media type.
    pub fn document(&self, document: Value, arch: Option<&str>) -> Value {
        let mut descriptor = self.described(document["mediaType"].as_str().unwrap(), document.to_string().as_bytes());
        if let Some(arch) = arch {
            descriptor["platform"] = json!({"architecture": arch, "os": "linux"});
        }
        descriptor
    }

    /// Names what a descriptor describes, and nothing else any more.
    pub fn name(&mut self, name: &str, descriptor: &Value) {
        let mut entry = descriptor.clone();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.entries.retain(|other| other["annotations"] != entry["annotations"]);
        self.entries.push(entry);
        self.write_index();
    }

    fn write_index(&self) {
        let index = json!({"schemaVersion": 2, "manifests": self.entries});
        fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }
}

/// The digest of a descriptor.
pub fn digest_of(descriptor: &Value) -> Digest {
    descriptor["digest"].as_str().unwrap().parse().unwrap()
}
