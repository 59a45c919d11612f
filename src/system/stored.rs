//! Images as they are stored, for volumes that hold an OCI layout.

use super::ImageName;
use super::images::Images;
use crate::base::{Digest, Platform};
use crate::layer;
use crate::rootfs::{Cause, StoredImage};

/// An image that a volume holds as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its name in the spec.
    pub name: ImageName,
    /// Digest of its manifest or image index.
    pub root: Digest,
    /// All blobs with their sizes in bytes.
    pub blobs: Vec<(Digest, u64)>,
}

impl Stored {
    /// What there is to tell of `image`.
    pub(super) fn new(name: &ImageName, image: &StoredImage) -> Self {
        let blobs = image.blobs.iter().map(|(digest, blob)| (*digest, blob.size())).collect();
        Self { name: name.clone(), root: image.root.digest, blobs }
    }
}

/// The image of a name with all its blobs, for `platforms`, or for all when there are none.
///
/// # Errors
/// When the image or a blob cannot be had.
pub(super) fn image(images: &Images<'_>, name: &ImageName, platforms: &[Platform]) -> Result<StoredImage, Cause> {
    let asked = name.asked();
    let closure = images.closure(&asked, platforms).map_err(Cause::new)?;
    let documents = closure.documents.into_iter();
    let documents = documents.map(|(descriptor, bytes)| Ok((descriptor.digest, images.document(&descriptor, bytes))));
    let layers = closure.layers.iter();
    let layers = layers.map(|descriptor| Ok((descriptor.digest, images.blob(&asked, descriptor)?)));
    let blobs = documents.chain(layers).collect::<Result<_, layer::Error>>().map_err(Cause::new)?;
    Ok(StoredImage { reference: name.completed(), root: closure.root, blobs })
}
