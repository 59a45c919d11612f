//! The images of a spec by number. An image that is used several times is shared, and its last use gets it for itself.

use std::collections::HashMap;
use std::sync::Arc;

use super::supply::SourceImage;
use crate::oci::ImageConfig;
use crate::spec::{Located, Spec, VolumeFormat};

/// The references of all images whose files are laid out, each once; the place in this list is an image's number.
pub fn references(spec: &Spec) -> Vec<&Located<String>> {
    each_once(uses(spec))
}

/// How many of [`references`] are those of the kernel and of init, which come first.
pub fn boot_images(spec: &Spec) -> usize {
    each_once(boot_uses(spec)).len()
}

/// The references of all images that volumes hold as they are stored, each once; the place in this list is an image's
/// number.
pub fn stored_references(spec: &Spec) -> Vec<&Located<String>> {
    let volumes = spec.volumes.iter().filter(|volume| volume.format == VolumeFormat::Oci);
    each_once(volumes.filter_map(|volume| volume.image.as_ref()))
}

/// The references of all images whose files are laid out, as often as they are used.
fn uses(spec: &Spec) -> impl Iterator<Item = &Located<String>> {
    let volumes = spec.volumes.iter().filter(|volume| volume.format == VolumeFormat::Filesystem);
    let containers = spec.onboot.iter().chain(&spec.onshutdown).chain(&spec.services);
    boot_uses(spec)
        .chain(volumes.filter_map(|volume| volume.image.as_ref()))
        .chain(containers.map(|container| &container.image))
}

/// The references of the images that `boot/` comes from, as often as they are used.
fn boot_uses(spec: &Spec) -> impl Iterator<Item = &Located<String>> {
    let kernel = spec.kernel.iter().map(|kernel| &kernel.image).filter(|image| !image.value.is_empty());
    kernel.chain(&spec.init)
}

fn each_once<'a>(references: impl Iterator<Item = &'a Located<String>>) -> Vec<&'a Located<String>> {
    let mut seen = std::collections::HashSet::new();
    references.filter(|reference| seen.insert(reference.value.as_str())).collect()
}

/// Images that wait to be laid out.
pub(super) struct Images<'a> {
    numbers: HashMap<&'a str, usize>,
    /// Of each image the number of the first one with the same tree.
    trees: Vec<usize>,
    stored: HashMap<&'a str, usize>,
    /// Of each image a handle for every use that is to come.
    handles: Vec<Vec<Arc<SourceImage>>>,
}

impl<'a> Images<'a> {
    /// The images of a spec, in the order of [`references`]; those that are not used may be missing at the end.
    pub fn new(spec: &'a Spec, images: Vec<SourceImage>) -> Self {
        let numbers = numbered(references(spec));
        let images: Vec<Arc<SourceImage>> = images.into_iter().map(Arc::new).collect();
        let mut first = HashMap::new();
        let mut tree =
            |(number, image): (usize, &Arc<SourceImage>)| *first.entry(Arc::as_ptr(&image.tree)).or_insert(number);
        let trees = images.iter().enumerate().map(&mut tree).collect();
        let mut handles = vec![Vec::new(); numbers.len()];
        for reference in uses(spec) {
            let number = numbers[reference.value.as_str()];
            handles[number].extend(images.get(number).cloned());
        }
        Self { numbers, trees, stored: numbered(stored_references(spec)), handles }
    }

    /// The image for one use; once for each use that the spec has.
    pub fn take(&mut self, reference: &Located<String>) -> Arc<SourceImage> {
        let number = self.number(reference);
        self.handles[number].pop().expect("there was a handle for each use")
    }

    /// The config of an image, as long as a use of it is to come.
    pub fn config(&self, reference: &Located<String>) -> Option<&ImageConfig> {
        self.handles[self.number(reference)].last().map(|image| &*image.config)
    }

    /// The number of an image whose files are laid out.
    pub fn number(&self, reference: &Located<String>) -> usize {
        self.numbers[reference.value.as_str()]
    }

    /// The number of the first image that has the same files.
    pub fn first_alike(&self, reference: &Located<String>) -> usize {
        self.trees[self.number(reference)]
    }

    /// The number of an image that a volume holds as it is stored.
    pub fn stored(&self, reference: &Located<String>) -> usize {
        self.stored[reference.value.as_str()]
    }
}

fn numbered(references: Vec<&Located<String>>) -> HashMap<&str, usize> {
    references.into_iter().enumerate().map(|(number, reference)| (reference.value.as_str(), number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::{image, spec, tree};

    #[test]
    fn each_image_is_referred_to_once_and_stored_ones_are_not() {
        let text = "kernel: {image: k}\ninit: [a, b, a]\nservices: [{name: s, image: b}, {name: t, image: c}]\n\
                    volumes: [{name: v, image: o, format: oci}, {name: w, image: d}, {name: x}]";
        let spec = spec(text);
        let names: Vec<&str> = references(&spec).into_iter().map(|reference| reference.value.as_str()).collect();
        assert_eq!(names, ["k", "a", "b", "d", "c"]);
        assert_eq!(stored_references(&spec).len(), 1);
    }

    #[test]
    fn the_last_use_of_an_image_has_it_for_itself() {
        let spec = spec("init: [a, b, a]");
        let all = ["a", "b"].map(|name| image(name, tree(&["x=1"]))).into();
        let mut images = Images::new(&spec, all);
        let shared: Vec<bool> = spec.init.iter().map(|name| Arc::try_unwrap(images.take(name)).is_err()).collect();
        assert_eq!(shared, [true, false, false]);
    }
}
