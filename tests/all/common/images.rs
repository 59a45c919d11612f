//! Files of the example images, read with the system's tar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The file `path` of the example image `name` for `architecture`, if that image was made.
pub fn file(layout: &Path, name: &str, architecture: &str, path: &str) -> Option<Vec<u8>> {
    let manifest = read_json(&blob(layout, &manifest_digest(layout, name, architecture)?));
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().rev().find_map(|layer| {
        let blob = blob(layout, layer["digest"].as_str().unwrap());
        let output = Command::new("tar").arg("-xOf").arg(blob).arg(path).output().unwrap();
        output.status.success().then_some(output.stdout)
    })
}

fn manifest_digest(layout: &Path, name: &str, architecture: &str) -> Option<String> {
    let index = read_json(&layout.join("index.json"));
    let named =
        |m: &&Value| m["annotations"]["org.opencontainers.image.ref.name"] == format!("docker.io/{name}:example");
    let entry = index["manifests"].as_array().unwrap().iter().find(named)?.clone();
    let entry = if entry["mediaType"].as_str().is_some_and(|media_type| media_type.contains("index")) {
        let images = read_json(&blob(layout, entry["digest"].as_str().unwrap()));
        let fits = |m: &&Value| m["platform"]["architecture"] == architecture;
        images["manifests"].as_array().unwrap().iter().find(fits)?.clone()
    } else {
        Some(entry).filter(|m| m["platform"]["architecture"] == architecture)?
    };
    Some(entry["digest"].as_str().unwrap().to_owned())
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
