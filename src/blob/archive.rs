//! Images in a tar, read where they lie: an OCI layout, or what `docker save` writes.
//!
//! # Format
//! - An OCI image layout whose files are members (`oci-archive` of skopeo and podman, `docker save` since version 25).
//! - Docker's image specification 1.2, "Combined Image JSON + Filesystem Changeset Format": `manifest.json` lists images, each
//!   with the member that is its config, the members that are its layers, as tars, and its names. Their manifests are made
//!   here; a layer's digest is its diff id, or for one that is stored compressed, what its name says.
//!
//! # Invariants
//! Opening an archive reads the tar headers and the small JSON documents, and no layer. The digest in a member's name is
//! not checked then: the caller that reads a blob compares its bytes with the digest.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use serde::Deserialize;
use serde_json::json;

use super::Descriptor;
use super::documents::{Entries, INDEX, MARK, MAX_INDEX, NAME_ANNOTATIONS, Named, entries, mark_flaw, named};
use crate::base::{Digest, in_memory, printable};

/// Most members of an archive: each is a file of an image layout, of which images have some dozens.
const MAX_MEMBERS: usize = 1 << 17;
/// Most images of docker's list, and the largest config that one may have, in bytes.
const MAX_IMAGES: usize = 256;
const MAX_CONFIG: u64 = 4 << 20;
/// Most names of all images in docker's list.
const MAX_NAMES: usize = 4096;
/// Docker's list of the images.
const MANIFEST: &str = "manifest.json";
/// How compressed layers begin, and what their media types end with.
const LAYER_TYPES: [(&[u8], &str); 2] = [(COMPRESSED[0], "+gzip"), (COMPRESSED[1], "+zstd")];
/// How compressed files begin: gzip, Zstandard, xz, bzip2.
const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"];

/// An archive with images.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    blobs: HashMap<Digest, Member>,
    /// Manifests that were made here.
    manifests: HashMap<Digest, Vec<u8>>,
    entries: Vec<Named>,
}

/// Where a member's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Offset of its first byte in the archive.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Members by their names; a link has the name that it leads to.
type Members = HashMap<String, Result<Member, String>>;

/// An image as docker's list has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// What is read of an image config.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Archive {
    /// Finds the images of an archive.
    ///
    /// # Errors
    /// A clause that says why it has none.
    pub fn open(file: File) -> Result<Self, String> {
        let mut start = [0; 6];
        let read = file.read_at(&mut start, 0).map_err(|error| error.to_string())?;
        if COMPRESSED.iter().any(|magic| start[..read].starts_with(magic)) {
            return Err("it is compressed, so nothing can be read where it lies; decompress it".to_owned());
        }
        let members = members(&file)?;
        let mut archive = Self { file, blobs: HashMap::new(), manifests: HashMap::new(), entries: Vec::new() };
        if let Some(mark) = archive.text(&members, MARK, MAX_INDEX)? {
            mark_flaw(&mark).map_or(Ok(()), Err)?;
            archive.take_layout(&members)?;
        } else if let Some(list) = archive.text(&members, MANIFEST, MAX_INDEX)? {
            let list: Vec<Saved> = serde_json::from_slice(&list).map_err(|error| format!("`{MANIFEST}`: {error}"))?;
            if list.len() > MAX_IMAGES {
                return Err(format!("`{MANIFEST}`: it lists {} images, over the limit of {MAX_IMAGES}", list.len()));
            }
            let names: usize = list.iter().filter_map(|image| image.repo_tags.as_ref()).map(Vec::len).sum();
            if names > MAX_NAMES {
                return Err(format!("`{MANIFEST}`: it has {names} names, over the limit of {MAX_NAMES}"));
            }
            list.iter().try_for_each(|image| archive.take_saved(&members, image))?;
        } else {
            return Err(format!("it has no member `{MARK}` or `{MANIFEST}`"));
        }
        Ok(archive)
    }

    /// What has names.
    pub fn entries(&self) -> &[Named] {
        &self.entries
    }

    /// The archive, and where in it a blob is.
    pub fn blob(&self, digest: &Digest) -> Option<(&File, Member)> {
        self.blobs.get(digest).map(|member| (&self.file, *member))
    }

    /// A manifest that the archive itself does not have.
    pub fn manifest(&self, digest: &Digest) -> Option<&[u8]> {
        self.manifests.get(digest).map(Vec::as_slice)
    }

    /// Takes what an OCI layout has.
    fn take_layout(&mut self, members: &Members) -> Result<(), String> {
        let index = self.text(members, INDEX, MAX_INDEX)?.ok_or_else(|| format!("it has no member `{INDEX}`"))?;
        let index: Entries = serde_json::from_slice(&index).map_err(|error| format!("`{INDEX}`: {error}"))?;
        self.entries = entries(index);
        for (name, member) in members {
            let digest = name.strip_prefix("blobs/sha256/").and_then(|hex| format!("sha256:{hex}").parse().ok());
            if let (Some(digest), Ok(member)) = (digest, member) {
                self.blobs.insert(digest, *member);
            }
        }
        Ok(())
    }

    /// Takes an image of docker's list, and makes its manifest.
    fn take_saved(&mut self, members: &Members, image: &Saved) -> Result<(), String> {
        let missing = |name: &str| format!("`{MANIFEST}` names `{}`, which is not there", printable(name.as_bytes()));
        let config = self.text(members, &image.config, MAX_CONFIG)?.ok_or_else(|| missing(&image.config))?;
        let flaw = |reason: String| format!("image config `{}`: {reason}", printable(image.config.as_bytes()));
        let Config { rootfs } = serde_json::from_slice(&config).map_err(|error| flaw(error.to_string()))?;
        if rootfs.diff_ids.len() != image.layers.len() {
            return Err(flaw(format!("it has {} diff ids for {} layers", rootfs.diff_ids.len(), image.layers.len())));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(rootfs.diff_ids) {
            let member = find(members, name).ok_or_else(|| missing(name))?;
            let diff_id: Digest = diff_id.parse().map_err(|error| flaw(format!("{error}")))?;
            let (digest, suffix) = self.stored_as(name, member, diff_id)?;
            self.blobs.insert(digest, member);
            let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
            layers.push(Descriptor::new(media_type, digest, member.size));
        }
        let digest = Digest::of(&config);
        self.blobs.extend(find(members, &image.config).map(|member| (digest, member)));
        let config = Descriptor::new("application/vnd.oci.image.config.v1+json", digest, config.len() as u64);
        self.take_manifest(&config, &layers, image.repo_tags.as_deref().unwrap_or_default());
        Ok(())
    }

    /// The digest of a layer as it is stored, and what its media type ends with. Some tools store layers compressed, and
    /// name them by their digest.
    fn stored_as(&self, name: &str, member: Member, diff_id: Digest) -> Result<(Digest, &'static str), String> {
        let mut start = [0; 4];
        let wanted = in_memory(member.size.min(4));
        let failed = |error: std::io::Error| format!("`{}`: {error}", printable(name.as_bytes()));
        self.file.read_exact_at(&mut start[..wanted], member.start).map_err(failed)?;
        let found = LAYER_TYPES.iter().find(|(magic, _)| start[..wanted].starts_with(magic));
        let Some((_, suffix)) = found else { return Ok((diff_id, "")) };
        let stem = name.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        let digest = format!("sha256:{}", stem.trim_start_matches("sha256:")).parse();
        let unknown = |_| format!("`{}` is compressed, and not named by its digest", printable(name.as_bytes()));
        Ok((digest.map_err(unknown)?, suffix))
    }

    fn take_manifest(&mut self, config: &Descriptor, layers: &[Descriptor], names: &[String]) {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
        let manifest = manifest.to_string().into_bytes();
        let mut descriptor = Descriptor::new(media_type, Digest::of(&manifest), manifest.len() as u64);
        self.manifests.insert(descriptor.digest, manifest);
        for name in names {
            descriptor.annotations = Some([(NAME_ANNOTATIONS[0].to_owned(), name.clone())].into());
            self.entries.push(named(descriptor.clone()));
        }
    }

    /// The bytes of a small member.
    fn text(&self, members: &Members, name: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(Member { start, size }) = find(members, name) else { return Ok(None) };
        let of = |reason: String| format!("`{}`: {reason}", printable(name.as_bytes()));
        let len = usize::try_from(size).ok().filter(|_| size <= limit);
        let mut text = vec![0; len.ok_or_else(|| of(format!("it has {size} bytes, over the limit of {limit}")))?];
        self.file.read_exact_at(&mut text, start).map_err(|error| of(error.to_string()))?;
        Ok(Some(text))
    }
}

/// The member of a name; links are followed once, as docker writes them.
fn find(members: &Members, name: &str) -> Option<Member> {
    match members.get(name)? {
        Ok(member) => Some(*member),
        Err(target) => members.get(target)?.as_ref().ok().copied(),
    }
}

/// The members whose names fit into a header, as all of an image's do.
fn members(file: &File) -> Result<Members, String> {
    let mut members = Members::new();
    let mut archive = tar::Archive::new(file);
    let no_tar = |error: std::io::Error| format!("it is no tar: {error}");
    for member in archive.entries_with_seek().map_err(no_tar)?.raw(true) {
        let member = member.map_err(no_tar)?;
        if members.len() == MAX_MEMBERS {
            return Err(format!("it has over {MAX_MEMBERS} members"));
        }
        let path = member.path_bytes();
        let Ok(name) = str::from_utf8(path.strip_prefix(b"./").unwrap_or(&path)) else { continue };
        let kind = member.header().entry_type();
        if kind.is_file() {
            members.insert(name.to_owned(), Ok(Member { start: member.raw_file_position(), size: member.size() }));
        } else if let Some(target) = member.link_name_bytes().filter(|_| kind.is_symlink() || kind.is_hard_link()) {
            let target = String::from_utf8_lossy(&target);
            // `docker save` links a repeated layer to the folder of the first, which is a sibling of the link's folder.
            let target = target.strip_prefix("../").unwrap_or(&target);
            members.insert(name.to_owned(), Err(target.to_owned()));
        }
    }
    Ok(members)
}
