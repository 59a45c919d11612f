//! What a mount shows of a system, or of an image.

use std::sync::Arc;

use super::Files;
use crate::base::{Digest, in_line, printable, printable_line};
use crate::output::{Artifact, Catalog, Obstacle};
use crate::tree::Tree;

impl Files {
    /// All that a mount shows of a system: its artifacts and its root, owned by the user of this process. Nothing is laid
    /// out before somebody asks; the log says what then turns out to be impossible. What a look at sizes and at the head of
    /// the kernel rules out is not shown, and `.lkit/why-not` says why. Of an early catalog what needs the whole root is awaited.
    pub fn of(catalog: &Catalog) -> Self {
        let (shown, ruled_out) = shown(catalog);
        let system = catalog.system();
        let generation = generation(&system.seed, shown.iter().map(Artifact::name));
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let files = match catalog.is_early() {
            true => Self::new(shown, None, owner).awaiting(catalog.clone()),
            false => Self::new(shown, Some(system.tree.clone()), owner),
        };
        let files = files.with_generation(generation);
        // The files that take the place of early ones tell it.
        if ruled_out.is_empty() || catalog.is_early() {
            return files;
        }
        tracing::warn!(
            "{} artifacts cannot be made; `.lkit/why-not` in the mount tells which and why",
            ruled_out.len()
        );
        files.with_why_not(ruled_out.iter().map(why_not).collect())
    }

    /// The files of the image with this digest, as they are in a container, apart from what a runtime mounts over them.
    pub fn of_image(tree: Arc<Tree>, digest: &Digest) -> Self {
        Self::of_tree(tree).with_generation(generation(digest, std::iter::empty()))
    }
}

/// The artifacts that are shown, and those that are not, with why.
pub(super) fn shown(catalog: &Catalog) -> (Vec<Artifact>, Vec<(Artifact, Obstacle)>) {
    let ruled_out = catalog.ruled_out();
    let is_shown = |artifact: &Artifact| ruled_out.iter().all(|(other, _)| other.name() != artifact.name());
    (catalog.mounted().into_iter().filter(is_shown).collect(), ruled_out)
}

/// A line that says why an artifact is not shown.
fn why_not((artifact, obstacle): &(Artifact, Obstacle)) -> String {
    format!("{}: {}\n", printable(artifact.name().as_bytes()), printable_line(&in_line(obstacle)))
}

/// A number for what the inode numbers stand for: the same for the same content and names.
fn generation<'a>(seed: &Digest, names: impl Iterator<Item = &'a str>) -> u32 {
    let text = names.fold(seed.to_string(), |text, name| text + "\n" + name);
    let [a, b, c, d, ..] = *Digest::of(text.as_bytes()).as_bytes();
    u32::from_be_bytes([a, b, c, d])
}
