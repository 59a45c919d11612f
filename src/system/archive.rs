//! Images of the cache as one archive, laid out without copying a byte: it is read when it is written somewhere.
//!
//! # Format
//! OCI image specification 1.1, image-layout.md, as a tar; docker's image specification 1.2, "Combined Image JSON +
//! Filesystem Changeset Format", with the layers as tars; or the files of one image as a tar.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use super::held::{offline, whole};
use super::images::Images;
use super::{Asked, Error, Origins, Problem};
use crate::base::{MIB, Metadata, Monitor, in_memory};
use crate::extent::{Bytes, SharedSource, Source};
use crate::format::{Member, tar};
use crate::oci::{Image, OCI_LAYOUT, Reference, layout_entry};
use crate::tree::TreeBuilder;

/// How images are put into an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    /// As an OCI layout.
    Oci,
    /// As `docker save` does, for the platform of the origins.
    Docker,
    /// As the files of one image, for the platform of the origins.
    Filesystem,
}

/// An image that goes into an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The image.
    pub asked: Asked,
    /// Its name in the archive.
    pub name: Reference,
}

/// Images that are whole in the cache, as an archive. Their digests are checked now.
///
/// # Errors
/// When an image is not in the cache or not whole; `Corrupt` when a blob is damaged.
pub fn archive(
    packed: &[Packed],
    format: Archived,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<SharedSource, Error> {
    let held = offline(origins);
    let images = Images::new(&held, monitor)?;
    let members = match (format, packed) {
        (Archived::Oci, _) => layout(&images, packed)?,
        (Archived::Docker, _) => saved(&images, packed, origins)?,
        (Archived::Filesystem, [Packed { asked: Asked { reference, .. }, .. }]) => {
            whole(&images, &for_one(reference, origins))?;
            let (_, tree) = images.tree(reference)?;
            return Ok(tar(Vec::new(), Arc::new(tree.finish())).map_err(Problem::Archive)?);
        }
        (Archived::Filesystem, _) => return Err(Problem::ManyFilesystems(packed.len()).into()),
    };
    Ok(tar(members, Arc::new(TreeBuilder::new().finish())).map_err(Problem::Archive)?)
}

/// An image for the platform of the origins, as formats need it that know no other.
fn for_one(reference: &Reference, origins: &Origins) -> Asked {
    Asked { reference: reference.clone(), platforms: vec![origins.platform.clone()] }
}

/// The members of an OCI layout.
fn layout(images: &Images<'_>, packed: &[Packed]) -> Result<Vec<Member>, Problem> {
    let (mut entries, mut blobs) = (Vec::new(), BTreeMap::new());
    for Packed { asked, name } in packed {
        let closure = whole(images, asked)?;
        entries.push(layout_entry(&closure.root, &name.to_string()));
        for layer in &closure.layers {
            if let Entry::Vacant(place) = blobs.entry(layer.digest) {
                place.insert(stored(images, &asked.reference, layer)?);
            }
        }
        blobs.extend(closure.documents.into_iter().map(|(descriptor, bytes)| (descriptor.digest, source(bytes))));
    }
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                       "manifests": entries});
    let documents = [
        ("oci-layout".to_owned(), source(OCI_LAYOUT.as_bytes().to_vec())),
        ("index.json".to_owned(), source(index.to_string().into_bytes())),
    ];
    let blobs = blobs.into_iter().map(|(digest, blob)| (format!("blobs/sha256/{}", digest.hex()), blob));
    Ok(documents.into_iter().chain(blobs).map(member).collect())
}

/// The members that `docker load` takes: configs, layers as tars, and the list of images.
fn saved(images: &Images<'_>, packed: &[Packed], origins: &Origins) -> Result<Vec<Member>, Problem> {
    let (mut list, mut files) = (Vec::<Value>::new(), BTreeMap::new());
    for Packed { asked: Asked { reference, .. }, name } in packed {
        whole(images, &for_one(reference, origins))?;
        let image = images.resolve_one(reference);
        let image = image.map_err(|error| Problem::resolve(reference.to_string(), None, error))?;
        let diffs = images.diffs(&image)?;
        let layers = image.layers.iter().map(|layer| format!("{}.tar", layer.diff_id.hex()));
        let layers: Vec<String> = layers.collect();
        files.extend(layers.iter().cloned().zip(diffs));
        let Image { config_digest, config_bytes, .. } = image;
        let config = format!("{}.json", config_digest.hex());
        list.push(json!({"Config": config, "RepoTags": repo_tags(name), "Layers": layers}));
        files.insert(config, source(config_bytes.to_vec()));
    }
    files.insert("manifest.json".to_owned(), source(Value::from(list).to_string().into_bytes()));
    Ok(files.into_iter().map(member).collect())
}

/// The name of an image as docker takes it; one with a digest alone has none.
fn repo_tags(reference: &Reference) -> Vec<String> {
    let tag = reference.tag().or_else(|| reference.digest().is_none().then(|| reference.tag_or_latest()));
    tag.map(|tag| format!("{}/{}:{tag}", reference.registry(), reference.repository())).into_iter().collect()
}

/// Writes all bytes of a source, at most 1 MiB at a time.
///
/// # Errors
/// When a part cannot be read or written.
pub(super) fn pour(source: &dyn Source, out: &mut dyn Write) -> io::Result<()> {
    let (mut chunk, mut at) = (vec![0; in_memory(source.size().min(MIB))], 0);
    while at < source.size() {
        let bytes = &mut chunk[..in_memory((source.size() - at).min(MIB))];
        source.read_at(bytes, at)?;
        out.write_all(bytes)?;
        at += bytes.len() as u64;
    }
    out.flush()
}

fn stored(images: &Images<'_>, reference: &Reference, layer: &crate::oci::Descriptor) -> Result<SharedSource, Problem> {
    let blob = images.blob(reference, layer);
    blob.map_err(|source| Problem::Layer { reference: Box::new(reference.clone()), source })
}

fn source(bytes: Vec<u8>) -> SharedSource {
    Arc::new(Bytes(bytes.into_boxed_slice()))
}

fn member((path, content): (String, SharedSource)) -> Member {
    Member { path, metadata: Metadata::file(), content: Some(content) }
}
