//! Images of the cache that a package is built on: the builder takes them from there and not from a registry, as those
//! that were built before and pushed nowhere.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::PackageError;
use super::arguments::Pairs;
use super::dockerfile::{BaseImage, images};
use super::text::text;
use crate::base::{Digest, Monitor, Platform};
use crate::oci::{Image, Reference};
use crate::system::held::{offline, whole};
use crate::system::images::Images;
use crate::system::{Archived, Asked, Origins, Packed, archive, pour};

/// Which images of the cache builders use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bases {
    /// Those that are there.
    #[default]
    Cached,
    /// All, after what is missing was pulled.
    Pulled,
    /// None.
    Ignored,
}

/// An image that a Dockerfile names, and the cache has.
pub(super) struct Base {
    /// Its name as the Dockerfile has it.
    pub name: String,
    /// What the cache means by it.
    pub root: Digest,
    reference: Reference,
    platform: Platform,
    /// The archive of it that `buildah` reads.
    pub archive: PathBuf,
}

/// The images of `dockerfile` that are whole in the cache for what is built; their archives would be in `temporary`.
///
/// # Errors
/// When one that is to be pulled cannot be had, or the cache cannot be read.
pub(super) fn bases(
    (dockerfile, arguments): (&Path, &Pairs),
    target: &Platform,
    wanted: Bases,
    (origins, temporary): (&Origins, &Path),
    monitor: &dyn Monitor,
) -> Result<Vec<Base>, PackageError> {
    if wanted == Bases::Ignored {
        return Ok(Vec::new());
    }
    // The builder tells what is wrong with it.
    let text = text(dockerfile).unwrap_or_default();
    let (shown, host) = (target.to_string(), Platform::host().to_string());
    let known = [
        ("TARGETPLATFORM", &*shown),
        ("TARGETOS", &*target.os),
        ("TARGETARCH", &*target.architecture),
        ("BUILDPLATFORM", &*host),
    ];
    let named = images(&text, &known, arguments);
    // A name has one meaning for a builder, so one that is wanted for several platforms is left to it.
    let mut counts: HashMap<&str, usize> = HashMap::new();
    named.iter().for_each(|from| *counts.entry(&from.image).or_default() += 1);
    let is_single = |from: &&BaseImage| counts[&*from.image] == 1;
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let held = offline(origins);
    let here = Images::new(&held, monitor)?;
    let mut found = Vec::new();
    for (at, from) in named.iter().filter(is_single).enumerate() {
        let Some((reference, platform)) = meant(from, target) else { continue };
        let asked = Asked { reference: reference.clone(), platforms: vec![platform.clone()] };
        if whole(&here, &asked).is_err() {
            if wanted == Bases::Cached {
                continue;
            }
            crate::system::pull(&[asked], origins, monitor)?;
        }
        let Ok(image) = here.resolver.resolve(&reference, &platform, monitor) else { continue };
        if !is_laid_out(origins, &image) {
            continue;
        }
        let archive = temporary.join(format!("base-{at}-{}.tar", platform.architecture));
        found.push(Base { name: from.image.clone(), root: image.root, reference, platform, archive });
    }
    Ok(found)
}

/// Whether all of an image lies in the cache as an OCI layout has it, as BuildKit reads it.
fn is_laid_out(origins: &Origins, image: &Image) -> bool {
    let documents = [image.root, *image.digest(), image.config_digest];
    let mut blobs = documents.into_iter().chain(image.layers.iter().map(|layer| layer.digest));
    blobs.all(|digest| origins.cache.join("blobs/sha256").join(digest.hex()).is_file())
}

/// What a line means; nothing where it names no image.
fn meant(from: &BaseImage, target: &Platform) -> Option<(Reference, Platform)> {
    let platform = from.platform.as_ref().map_or_else(|| Some(target.clone()), |text| text.parse().ok())?;
    Some((from.image.parse().ok()?, platform))
}

impl Base {
    /// Its name as BuildKit compares it: short, and without the tag that goes without saying.
    pub fn familiar(&self) -> &str {
        let name = ["docker.io/library/", "docker.io/"].iter().find_map(|start| self.name.strip_prefix(start));
        let name = name.unwrap_or(&self.name);
        name.strip_suffix(":latest").unwrap_or(name)
    }

    /// Writes its archive.
    ///
    /// # Errors
    /// When a layer of it is damaged, or there is no room.
    pub fn write(&self, origins: &Origins, monitor: &dyn Monitor) -> Result<(), PackageError> {
        let asked = Asked { reference: self.reference.clone(), platforms: vec![self.platform.clone()] };
        let packed = Packed { asked, name: self.reference.clone() };
        let source = archive(&[packed], Archived::Oci, origins, monitor)?;
        let mut file = std::fs::File::create(&self.archive).map_err(PackageError::Temporary)?;
        pour(&*source, &mut file).map_err(PackageError::Temporary)
    }
}
