//! The references of a spec: what each of them means now, or what it meant when the lock was made.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::images::Images;
use super::lock_file::{self, LockFile};
use super::report::Failure;
use super::settings::Settings;
use crate::base::{Digest, ErrorKind, Platform};
use crate::oci::{Image, Reference};
use crate::rootfs;
use crate::spec::{Located, Parsed};

/// A reference of the spec.
struct Name<'a> {
    written: &'a Located<String>,
    reference: Reference,
    /// What the lock says it means.
    digest: Option<Digest>,
}

impl Name<'_> {
    /// What is asked for.
    fn asked(&self) -> Reference {
        self.digest.map_or_else(|| self.reference.clone(), |digest| self.reference.pinned(digest))
    }

    /// An image that cannot be had, with its place in the spec.
    fn not_found(&self, parsed: &Parsed, problem: Failure) -> Failure {
        let written = self.written;
        let problem = problem.under(format!("cannot resolve image `{}`", written.value));
        let problem = match self.digest {
            Some(digest) if problem.kind == ErrorKind::ImageNotFound => {
                problem.hint(format!("the lock says `{digest}`; take what it means now with `lkit lock`"))
            }
            _ => problem,
        };
        problem.at(parsed.texts.excerpt(written.place))
    }
}

/// The images whose files are laid out, each reference once, as the spec writes it. A lock decides what they mean.
///
/// # Errors
/// When one cannot be found, or the lock does not have it; with its place.
pub fn resolve(
    parsed: &Parsed,
    images: &Images<'_>,
    settings: &Settings,
    lock: Option<&LockFile>,
) -> Result<Vec<(String, Image)>, Failure> {
    let names = names(parsed, rootfs::references(&parsed.spec), &settings.platform, lock)?;
    let asked: Vec<Reference> = names.iter().map(Name::asked).collect();
    let resolved = names.into_iter().zip(images.resolve(&asked)).map(|(name, image)| {
        let image = image.map_err(|problem| name.not_found(parsed, problem))?;
        Ok((name.written.value.clone(), Image { reference: name.reference, ..image }))
    });
    resolved.collect()
}

/// What to ask for where a volume holds an image as it is stored, by reference as the spec writes it.
///
/// # Errors
/// When a text is no reference, or the lock does not have it; with its place.
pub fn stored(
    parsed: &Parsed,
    settings: &Settings,
    lock: Option<&LockFile>,
) -> Result<HashMap<String, Reference>, Failure> {
    let names = names(parsed, rootfs::stored_references(&parsed.spec), &settings.platform, lock)?;
    Ok(names.iter().map(|name| (name.written.value.clone(), name.asked())).collect())
}

/// What every reference of the spec means now, for a lock.
///
/// # Errors
/// When one cannot be found; with its place.
pub fn digests(parsed: &Parsed, images: &Images<'_>, settings: &Settings) -> Result<BTreeMap<String, Digest>, Failure> {
    let resolved = resolve(parsed, images, settings, None)?;
    let mut digests: BTreeMap<String, Digest> =
        resolved.into_iter().map(|(_, image)| (image.reference.to_string(), image.root)).collect();
    for name in names(parsed, rootfs::stored_references(&parsed.spec), &settings.platform, None)? {
        let digest = images.digest(&name.reference).map_err(|problem| name.not_found(parsed, problem.into()))?;
        digests.insert(name.reference.to_string(), digest);
    }
    Ok(digests)
}

/// The lock beside the specs.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn read_lock(specs: &[PathBuf]) -> Result<LockFile, Failure> {
    let path = lock_file::path_of(specs)?;
    let missing = || Failure::usage(format!("there is no lock `{}`", path.display())).hint("make it with `lkit lock`");
    LockFile::read(&path)?.ok_or_else(missing)
}

fn names<'a>(
    parsed: &Parsed,
    written: Vec<&'a Located<String>>,
    platform: &Platform,
    lock: Option<&LockFile>,
) -> Result<Vec<Name<'a>>, Failure> {
    let name = |written: &'a Located<String>| {
        let at = |problem: Failure| problem.at(parsed.texts.excerpt(written.place));
        let reference: Reference = written.value.parse().map_err(|error| {
            at(Failure::caused(ErrorKind::Spec, format!("`{}` is no image reference", written.value), &error))
        })?;
        let digest = lock.map(|lock| locked(lock, &reference, platform)).transpose().map_err(at)?;
        Ok(Name { written, reference, digest })
    };
    written.into_iter().map(name).collect()
}

/// The digest that the lock has for a reference.
fn locked(lock: &LockFile, reference: &Reference, platform: &Platform) -> Result<Digest, Failure> {
    let hint = "record it with `lkit lock`";
    let Some(digest) = lock.digest(platform, &reference.to_string()) else {
        let message = format!("the lock does not record `{reference}` for {platform}");
        return Err(Failure::new(ErrorKind::ImageNotFound, message).hint(hint));
    };
    if reference.digest().is_some_and(|own| own != digest) {
        let message = format!("the lock says `{digest}` for `{reference}`");
        return Err(Failure::new(ErrorKind::ImageNotFound, message).hint(hint));
    }
    Ok(digest)
}
