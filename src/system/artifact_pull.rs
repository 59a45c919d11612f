//! Artifacts out of a registry: shown as files, of which what is read is fetched piece by piece.
//!
//! # Invariants
//! A byte is served when the piece that it is in has the digest that the artifact's list says; the list has the digest that
//! the manifest says. A piece of zeros is never fetched.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::images::Images;
use super::{Error, Origins, Problem};
use crate::base::{Digest, ErrorKind, Monitor, in_memory};
use crate::extent::{ReadError, SharedSource, Source, Traced, Visit};
use crate::oci::{ArtifactManifest, MOST_PIECES, PIECE, Reference};
use crate::output::{Artifact, CMDLINE_SUFFIX, KERNEL_SUFFIX, PLAIN_NAMES};
use crate::rootfs::Cause;

/// Pieces that are kept decoded of a file: what a few readers in order are in.
const KEPT: usize = 8;

/// The artifacts that a reference means, with the digest of their manifest. Kernel, initrd and command line have their plain
/// names, too.
///
/// # Errors
/// When they cannot be found, or it means an image.
pub fn load_artifacts(
    reference: &Reference,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<(Digest, Vec<Artifact>), Error> {
    let images = Images::new(origins, monitor)?;
    let loaded = load(&images, reference);
    Ok(loaded.map_err(|source| Problem::Artifacts {
        action: "find",
        reference: Box::new(reference.clone()),
        source,
    })?)
}

fn load(images: &Images<'_>, reference: &Reference) -> Result<(Digest, Vec<Artifact>), Cause> {
    let (digest, manifest) = images.resolver.artifacts(reference, images.monitor).map_err(Cause::new)?;
    let ArtifactManifest { files, pieces } = manifest;
    let list = images.resolver.small(reference, &pieces, MOST_PIECES).map_err(Cause::new)?;
    let list: Arc<[u8]> = list.into();
    let fetch = images.resolver.fetcher(reference);
    let (mut artifacts, mut plain, mut first) = (Vec::new(), Vec::new(), 0);
    for (name, blob) in files {
        let source = images.store.reach_for(&blob.digest, blob.size, &fetch).map_err(Cause::new)?.source();
        let source: SharedSource = Arc::new(Pieced { blob: source, list: list.clone(), first, kept: Mutex::default() });
        first += in_memory(blob.size.div_ceil(PIECE));
        if let Some(plain_name) = plain_name(&name) {
            plain.push(Artifact::ready(plain_name, source.clone()));
        }
        artifacts.push(Artifact::ready(name, source));
    }
    plain.extend(artifacts);
    Ok((digest, plain))
}

/// The name that a part has beside that of its system.
fn plain_name(name: &str) -> Option<&'static str> {
    let suffixes = [KERNEL_SUFFIX, "-initrd.img", CMDLINE_SUFFIX];
    PLAIN_NAMES.into_iter().zip(suffixes).find(|(_, suffix)| name.ends_with(suffix)).map(|(plain, _)| plain)
}

/// A file whose pieces have known digests.
struct Pieced {
    blob: SharedSource,
    /// The digests of all pieces of all files.
    list: Arc<[u8]>,
    /// Which of them is that of the first piece.
    first: usize,
    /// Pieces that were verified, those that were used last behind.
    kept: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl Pieced {
    fn range(&self, piece: u64) -> Range<u64> {
        piece * PIECE..self.blob.size().min((piece + 1) * PIECE)
    }

    /// The digest that a piece must have.
    fn expected(&self, piece: u64) -> &[u8] {
        let at = (self.first + in_memory(piece)) * 32;
        &self.list[at..at + 32]
    }

    fn is_zeros(&self, piece: u64) -> bool {
        let range = self.range(piece);
        range.end - range.start == PIECE && self.expected(piece) == zeros()
    }

    /// Fetches a whole piece; once more where it is not what it must be, since it may have been damaged on the way.
    fn fetch(&self, piece: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let range = self.range(piece);
        for is_last in [false, true] {
            self.blob.read_at(buf, range.start)?;
            if Digest::of(buf).as_bytes() == self.expected(piece) {
                return Ok(());
            }
            if is_last || !self.blob.renew() {
                break;
            }
        }
        let message =
            format!("bytes {} to {} of an artifact are damaged: they have another digest", range.start, range.end);
        Err(ReadError::new(ErrorKind::Corrupt, message))
    }

    fn kept(&self, piece: u64) -> Option<Arc<[u8]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(number, _)| *number == piece)?;
        let found = kept.remove(at)?;
        kept.push_back(found.clone());
        Some(found.1)
    }

    /// A verified piece.
    fn piece(&self, piece: u64) -> Result<Arc<[u8]>, ReadError> {
        if let Some(bytes) = self.kept(piece) {
            return Ok(bytes);
        }
        let range = self.range(piece);
        let mut bytes = vec![0; in_memory(range.end - range.start)];
        self.fetch(piece, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((piece, bytes.clone()));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(bytes)
    }
}

/// The digest of a piece of zeros.
fn zeros() -> &'static [u8; 32] {
    static ZEROS: std::sync::OnceLock<Digest> = std::sync::OnceLock::new();
    ZEROS.get_or_init(|| Digest::of(&vec![0; in_memory(PIECE)])).as_bytes()
}

impl Source for Pieced {
    fn size(&self) -> u64 {
        self.blob.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size()) {
            return Err(ReadError::out_of_range(offset, buf.len() as u64, self.size()));
        }
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            let (piece, range) = (at / PIECE, self.range(at / PIECE));
            let len = rest.len().min(in_memory(range.end - at));
            let (head, tail) = rest.split_at_mut(len);
            if self.is_zeros(piece) {
                head.fill(0);
            } else if len as u64 == range.end - range.start {
                self.fetch(piece, head)?;
            } else {
                let skip = in_memory(at - range.start);
                head.copy_from_slice(&self.piece(piece)?[skip..skip + len]);
            }
            at += len as u64;
            rest = tail;
        }
        Ok(())
    }

    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        let pieces = offset / PIECE..self.size().div_ceil(PIECE);
        let first = pieces.clone().find(|piece| !self.is_zeros(*piece)).filter(|_| offset < self.size())?;
        let end = (first..pieces.end).find(|piece| self.is_zeros(*piece)).map_or(self.size(), |piece| piece * PIECE);
        Some(offset.max(first * PIECE)..end)
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        self.blob.trace(range, visit)
    }
}
