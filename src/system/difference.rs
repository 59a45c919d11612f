//! What differs between two systems, each from specs or as a directory shows it, and between two locks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::lock_file::LockFile;
use super::shown::{Shown, shown};
use super::{Error, Problem, System};
use crate::base::{Digest, ErrorKind, Fault as _};
use crate::extent::{Compared, Likeness, ReadError, SharedSource, Span, likeness};
use crate::output::{Artifact, PLAIN_NAMES};
use crate::tree::{self, Tree};

/// What the name of an artifact that every system has ends in.
const ALWAYS_THERE: &str = "-initrd.img";
/// Stands for the name of the system in names of artifacts.
const NAME: &str = "N";

/// A system to be compared.
pub struct Side {
    /// What the names of its artifacts begin with.
    pub name: String,
    /// The root.
    pub tree: Arc<Tree>,
    artifacts: Vec<Artifact>,
    images: Option<BTreeMap<String, Digest>>,
}

/// Something with a name that one side lacks, or that both have otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed<T> {
    /// Its name.
    pub name: String,
    /// What the first side has under that name.
    pub before: Option<T>,
    /// What the second has.
    pub after: Option<T>,
}

/// An artifact that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedArtifact {
    /// Its sizes in bytes; `N` in its name stands for the name of the system.
    pub sizes: Changed<u64>,
    /// `Unknown` where it may differ.
    pub likeness: Likeness,
}

/// All that differs between two sides.
pub struct Differences {
    /// The images by reference, with what is meant by it; none when a side does not tell its images.
    pub images: Vec<Changed<Digest>>,
    /// The paths of the root.
    pub paths: Vec<tree::Difference>,
    /// The artifacts.
    pub artifacts: Vec<ChangedArtifact>,
}

impl Side {
    /// A system made of specs.
    pub fn of(system: &System) -> Self {
        let used = system.images.iter().map(|used| (used.name.reference.to_string(), used.image.root));
        let stored = system.stored.iter().map(|stored| (stored.name.reference.to_string(), stored.root));
        Self {
            name: system.catalog.name().to_owned(),
            tree: system.catalog.system().tree.clone(),
            artifacts: system.catalog.mounted(),
            images: Some(used.chain(stored).collect()),
        }
    }

    /// A system that a directory shows, such as a mount of lkit.
    ///
    /// # Errors
    /// When it shows none, or cannot be read.
    pub fn shown(dir: &Path) -> Result<Self, Error> {
        let Shown { tree, artifacts } = shown(dir)?;
        let name = artifacts.iter().find_map(|artifact| artifact.name().strip_suffix(ALWAYS_THERE));
        Ok(Self { name: name.unwrap_or_default().to_owned(), tree: Arc::new(tree), artifacts, images: None })
    }

    /// The artifacts that can be laid out, each once, by their names without that of the system.
    fn artifacts(&self) -> Result<BTreeMap<String, SharedSource>, ReadError> {
        let mut artifacts = BTreeMap::new();
        // The plain names show what others show.
        for artifact in self.artifacts.iter().filter(|artifact| !PLAIN_NAMES.contains(&artifact.name())) {
            let name = artifact.name();
            let name = name.strip_prefix(&self.name).map_or_else(|| name.to_owned(), |rest| format!("{NAME}{rest}"));
            match artifact.open() {
                Ok(source) => drop(artifacts.insert(name, source.clone())),
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => return Err(error),
            }
        }
        Ok(artifacts)
    }
}

/// Compares two sides. Content is read only where `compared` says so and nothing else tells.
///
/// # Errors
/// When an artifact, or content that is compared, cannot be read.
pub fn differences(before: &Side, after: &Side, compared: Compared) -> Result<Differences, Error> {
    let images = match (&before.images, &after.images) {
        (Some(before), Some(after)) => changed(before, after),
        _ => Vec::new(),
    };
    let cannot = Problem::Compare;
    let paths = tree::differences(&before.tree, &after.tree, compared).map_err(cannot)?;
    let artifacts = [before.artifacts().map_err(cannot)?, after.artifacts().map_err(cannot)?];
    let artifacts = changed_artifacts(&artifacts, compared).map_err(cannot)?;
    Ok(Differences { images, paths, artifacts })
}

fn changed_artifacts(
    [before, after]: &[BTreeMap<String, SharedSource>; 2],
    compared: Compared,
) -> Result<Vec<ChangedArtifact>, ReadError> {
    let mut changed = Vec::new();
    for name in both(before, after) {
        let sources = (before.get(name), after.get(name));
        let likeness = match sources {
            (Some(before), Some(after)) => likeness(Span::whole(&**before), Span::whole(&**after), compared)?,
            _ => Likeness::Different,
        };
        if likeness != Likeness::Same {
            let size = |source: Option<&SharedSource>| source.map(|source| source.size());
            let sizes = Changed { name: name.clone(), before: size(sources.0), after: size(sources.1) };
            changed.push(ChangedArtifact { sizes, likeness });
        }
    }
    Ok(changed)
}

/// What two locks record differently, for each platform that one of them has.
///
/// # Errors
/// When a file cannot be read or is no lock.
pub fn lock_differences(before: &Path, after: &Path) -> Result<BTreeMap<String, Vec<Changed<Digest>>>, Error> {
    let read = |path: &Path| LockFile::read(path)?.ok_or_else(|| Problem::NoLock(path.to_owned()));
    let (before, after) = (read(before)?, read(after)?);
    let (before, after) = (before.digests(), after.digests());
    let none = BTreeMap::new();
    let of_platform = |platform: &String| {
        let changed = changed(before.get(platform).unwrap_or(&none), after.get(platform).unwrap_or(&none));
        (platform.clone(), changed)
    };
    Ok(both(&before, &after).into_iter().map(of_platform).filter(|(_, changed)| !changed.is_empty()).collect())
}

/// The names that one of two maps has, sorted.
fn both<'a, T>(before: &'a BTreeMap<String, T>, after: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    before.keys().chain(after.keys()).collect()
}

fn changed<T: Copy + PartialEq>(before: &BTreeMap<String, T>, after: &BTreeMap<String, T>) -> Vec<Changed<T>> {
    let names = both(before, after).into_iter();
    let changed = names.map(|name| {
        let (before, after) = (before.get(name).copied(), after.get(name).copied());
        Changed { name: name.clone(), before, after }
    });
    changed.filter(|changed| changed.before != changed.after).collect()
}
