//! Images as they are stored, for volumes that hold an OCI layout.

use std::sync::Arc;

use super::images::Images;
use crate::base::Platform;
use crate::extent::{Bytes, SharedSource};
use crate::oci::Reference;
use crate::rootfs::{Cause, StoredImage};

/// The image `reference` with all its blobs, for `platforms`, or for all when there are none.
///
/// # Errors
/// When the image or a blob cannot be had.
pub fn image(images: &Images<'_>, reference: &str, platforms: &[Platform]) -> Result<StoredImage, Cause> {
    let reference: Reference = reference.parse().map_err(Cause::new)?;
    let closure = images.closure(&reference, platforms).map_err(Cause::new)?;
    let documents = closure.documents.into_iter().map(|(descriptor, bytes)| {
        let source: SharedSource = Arc::new(Bytes(bytes.into_boxed_slice()));
        Ok((descriptor.digest, source))
    });
    let layers = closure.layers.iter().map(|descriptor| {
        let blob = images.blob(&reference, descriptor).map_err(Cause::new)?;
        Ok((descriptor.digest, blob))
    });
    Ok(StoredImage {
        reference: reference.to_string(),
        root: closure.root,
        blobs: documents.chain(layers).collect::<Result<_, Cause>>()?,
    })
}
