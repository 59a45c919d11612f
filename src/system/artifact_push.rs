//! Artifacts into a registry, as layers of one artifact, and the lock of what they were made of beside it.

use std::path::Path;
use std::sync::Arc;

use super::images::Images;
use super::lock_file::path_of;
use super::{Error, Input, Origins, Problem};
use crate::base::{Digest, Hasher, Monitor, in_memory};
use crate::extent::{Bytes, ReadError, SharedSource};
use crate::oci::{
    ArtifactManifest, Descriptor, EMPTY, FILE_TYPE, LOCK_TYPE, OCI_MANIFEST, PIECE, PIECES_TYPE, Pushed, Reference,
    empty_config, lock_manifest,
};
use crate::output::Artifact;
use crate::rootfs::{Cause, HostFile};

/// Artifacts that are in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedArtifacts {
    /// Digest of their manifest.
    pub digest: Digest,
    /// Bytes of all files.
    pub size: u64,
    /// Bytes of those that were not there before.
    pub sent: u64,
    /// Digest of the manifest of the lock, if one was pushed with them.
    pub lock: Option<Digest>,
}

/// The lock beside specs, where there is one.
///
/// # Errors
/// When it cannot be read.
pub fn lock_beside(inputs: &[Input]) -> Result<Option<SharedSource>, Error> {
    let Ok(path) = path_of(inputs) else { return Ok(None) };
    if !path.is_file() {
        return Ok(None);
    }
    Ok(Some(opened(&path)?))
}

fn opened(path: &Path) -> Result<SharedSource, Problem> {
    HostFile::open(path).map_err(|source| Problem::ReadShown { path: path.to_owned(), source })
}

/// Puts artifacts into the repository of `target` under its tag, read twice: for their digests, then to be sent. All of them
/// are there before the manifest that names them is.
///
/// # Errors
/// When one cannot be read, or the registry does not take it.
pub fn push_artifacts(
    artifacts: &[Artifact],
    target: &Reference,
    lock: Option<SharedSource>,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<PushedArtifacts, Error> {
    let images = Images::new(origins, monitor)?;
    let push = Push { images: &images, target };
    let pushed = push.all(artifacts, lock);
    Ok(pushed.map_err(|source| Problem::Artifacts { action: "push", reference: Box::new(target.clone()), source })?)
}

struct Push<'a> {
    images: &'a Images<'a>,
    target: &'a Reference,
}

impl Push<'_> {
    fn all(&self, artifacts: &[Artifact], lock: Option<SharedSource>) -> Result<PushedArtifacts, Cause> {
        let pusher = self.images.resolver.pusher(self.target, None).map_err(Cause::new)?;
        let (mut files, mut pieces) = (Vec::new(), Vec::new());
        let (mut size, mut sent) = (0, 0);
        for artifact in artifacts {
            let source = artifact.open().map_err(Cause::new)?;
            let blob = digested(source, &mut pieces).map_err(Cause::new)?;
            size += blob.size;
            if pusher.blob(&blob, source.clone(), self.images.monitor).map_err(Cause::new)? == Pushed::Sent {
                sent += blob.size;
            }
            files.push((artifact.name().to_owned(), blob));
        }
        let small = |media_type: &str, bytes: Vec<u8>| -> Result<Descriptor, Cause> {
            let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
            let source: SharedSource = Arc::new(Bytes(bytes.into()));
            pusher.blob(&descriptor, source, self.images.monitor).map_err(Cause::new)?;
            Ok(descriptor)
        };
        small(&empty_config().media_type, EMPTY.to_vec())?;
        let manifest = ArtifactManifest { files, pieces: small(PIECES_TYPE, pieces)? }.to_bytes();
        let tag = self.target.tag_or_latest();
        let digest = pusher.manifest(&manifest, OCI_MANIFEST, Some(tag)).map_err(Cause::new)?;
        let lock = match lock {
            None => None,
            Some(lock) => {
                let mut bytes = vec![0; in_memory(lock.size())];
                lock.read_at(&mut bytes, 0).map_err(Cause::new)?;
                let subject = Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64);
                let manifest = lock_manifest(small(LOCK_TYPE, bytes)?, subject);
                Some(pusher.manifest(&manifest, OCI_MANIFEST, None).map_err(Cause::new)?)
            }
        };
        Ok(PushedArtifacts { digest, size, sent, lock })
    }
}

/// The blob of a file; the digests of its pieces are added to `pieces`.
fn digested(source: &SharedSource, pieces: &mut Vec<u8>) -> Result<Descriptor, ReadError> {
    let (mut whole, mut at) = (Hasher::default(), 0);
    let mut piece = vec![0; in_memory(PIECE.min(source.size()))];
    while at < source.size() {
        let bytes = &mut piece[..in_memory(PIECE.min(source.size() - at))];
        source.read_at(bytes, at)?;
        whole.update(bytes);
        pieces.extend_from_slice(Digest::of(bytes).as_bytes());
        at += bytes.len() as u64;
    }
    Ok(Descriptor::new(FILE_TYPE, whole.finish(), source.size()))
}
