//! The images that a spec names: what is asked for, what a lock decides, what is found.

use std::collections::BTreeMap;

use super::images::Images;
use super::lock_file::LockFile;
use super::{Error, ImageName, Origins, Problem};
use crate::base::Digest;
use crate::oci::{self, Image, Reference};
use crate::rootfs;
use crate::spec::{Located, Parsed, Texts};

/// All names of a spec.
pub(super) struct Names<'a> {
    /// Of the images whose files are laid out, in the order of [`rootfs::references`].
    pub laid_out: Vec<ImageName>,
    /// Of the images that volumes hold as they are stored, in the order of [`rootfs::stored_references`].
    pub stored: Vec<ImageName>,
    texts: &'a Texts,
    is_locked: bool,
}

impl<'a> Names<'a> {
    /// The names of a spec; what a lock records decides what they mean.
    ///
    /// # Errors
    /// When a text is no reference, or the lock does not have it; with its place.
    pub fn new(parsed: &'a Parsed, origins: &Origins, lock: Option<&LockFile>) -> Result<Self, Error> {
        let name = |written: &Located<String>| {
            let at = |problem: Problem| Error::at(Some(written.place), &parsed.texts, problem);
            let name = written.value.clone();
            let reference: Reference =
                written.value.parse().map_err(|source| at(Problem::NotAReference { name, source }))?;
            let digest = lock.map(|lock| locked(lock, &reference, origins)).transpose().map_err(at)?;
            Ok(ImageName { written: written.clone(), pinned: digest.or(reference.digest()), reference })
        };
        let names = |written: Vec<&Located<String>>| written.into_iter().map(name).collect::<Result<Vec<_>, Error>>();
        let laid_out = names(rootfs::references(&parsed.spec))?;
        let stored = names(rootfs::stored_references(&parsed.spec))?;
        Ok(Self { laid_out, stored, texts: &parsed.texts, is_locked: lock.is_some() })
    }

    /// The images whose files are laid out.
    ///
    /// # Errors
    /// When one cannot be found; with its place.
    pub fn resolve(&self, images: &Images<'_>) -> Result<Vec<Image>, Error> {
        let asked: Vec<Reference> = self.laid_out.iter().map(ImageName::asked).collect();
        let found = self.laid_out.iter().zip(images.resolve(&asked)).map(|(name, image)| {
            let image = image.map_err(|error| self.not_found(name, error))?;
            Ok(Image { reference: name.reference.clone(), ..image })
        });
        found.collect()
    }

    /// What every name means now, for a lock; `resolved` are the images whose files are laid out.
    ///
    /// # Errors
    /// When one cannot be found; with its place.
    pub fn digests(&self, resolved: &[Image], images: &Images<'_>) -> Result<BTreeMap<String, Digest>, Error> {
        let mut digests: BTreeMap<String, Digest> =
            resolved.iter().map(|image| (image.reference.to_string(), image.root)).collect();
        for name in &self.stored {
            let digest = images.digest(&name.reference).map_err(|error| self.not_found(name, error))?;
            digests.insert(name.reference.to_string(), digest);
        }
        Ok(digests)
    }

    /// A problem of the image of this name, with its place.
    pub fn error(&self, name: &ImageName, problem: Problem) -> Error {
        Error::at(Some(name.written.place), self.texts, problem)
    }

    fn not_found(&self, name: &ImageName, error: oci::Error) -> Error {
        let locked = name.pinned.filter(|_| self.is_locked);
        self.error(name, Problem::resolve(name.written.value.clone(), locked, error))
    }
}

/// The digest that the lock has for a reference.
fn locked(lock: &LockFile, reference: &Reference, origins: &Origins) -> Result<Digest, Problem> {
    let Some(digest) = lock.digest(&origins.platform, &reference.to_string()) else {
        return Err(Problem::NotLocked { reference: Box::new(reference.clone()), platform: origins.platform.clone() });
    };
    if reference.digest().is_some_and(|own| own != digest) {
        return Err(Problem::LockedOtherwise { reference: Box::new(reference.clone()), digest });
    }
    Ok(digest)
}
