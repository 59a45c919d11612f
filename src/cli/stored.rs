//! Images as they are stored, for volumes that hold an OCI layout.

use std::sync::Arc;

use super::images::Images;
use crate::base::{Digest, Platform};
use crate::extent::{Bytes, SharedSource};
use crate::oci::Reference;
use crate::rootfs::{Cause, StoredImage};

/// Finds the image of a reference, as the spec writes it, for these platforms or for all when there are none.
pub type Keep<'a> = dyn Fn(&str, &[Platform]) -> Result<StoredImage, Cause> + 'a;

/// What `lkit inspect` tells of an image in a volume.
pub struct Stored {
    /// The reference as the spec writes it.
    pub text: String,
    /// Its expanded reference.
    pub reference: String,
    /// Digest of its manifest or image index.
    pub root: Digest,
    /// All blobs with their sizes in bytes.
    pub blobs: Vec<(Digest, u64)>,
}

impl Stored {
    /// What there is to tell of `image`.
    pub fn new(text: &str, image: &StoredImage) -> Self {
        let blobs = image.blobs.iter().map(|(digest, blob)| (*digest, blob.size())).collect();
        Self { text: text.to_owned(), reference: image.reference.clone(), root: image.root.digest, blobs }
    }
}

/// The image `asked` for with all its blobs, for `platforms`, or for all when there are none. It is called `name`.
///
/// # Errors
/// When the image or a blob cannot be had.
pub fn image(
    images: &Images<'_>,
    (asked, name): (&Reference, String),
    platforms: &[Platform],
) -> Result<StoredImage, Cause> {
    let closure = images.closure(asked, platforms).map_err(Cause::new)?;
    let documents = closure.documents.into_iter().map(|(descriptor, bytes)| {
        let source: SharedSource = Arc::new(Bytes(bytes.into_boxed_slice()));
        Ok((descriptor.digest, source))
    });
    let layers = closure.layers.iter().map(|descriptor| {
        let blob = images.blob(asked, descriptor).map_err(Cause::new)?;
        Ok((descriptor.digest, blob))
    });
    let blobs = documents.chain(layers).collect::<Result<_, Cause>>()?;
    Ok(StoredImage { reference: name, root: closure.root, blobs })
}
