//! Where an assembly gets what it does not make: images, archives inside them, files of the host.

use std::io;
use std::sync::Arc;

use super::Cause;
use crate::base::{Digest, Platform};
use crate::extent::SharedSource;
use crate::oci::{Descriptor, ImageConfig};
use crate::spec::MetadataFormat;
use crate::tree::{Content, TreeBuilder};

/// An image, ready to be laid out.
pub struct SourceImage {
    /// Its expanded reference. Bundles of the same one share their files.
    pub reference: String,
    /// Its image config.
    pub config: Arc<ImageConfig>,
    /// Its layers merged, nothing left out yet. Images of the same layers share it.
    pub tree: Arc<TreeBuilder>,
}

/// An image as it is stored: all the blobs of an OCI layout.
pub struct StoredImage {
    /// Its expanded reference.
    pub reference: String,
    /// Names the manifest or image index.
    pub root: Descriptor,
    /// All blobs that it leads to, itself included.
    pub blobs: Vec<(Digest, SharedSource)>,
}

/// What an assembly asks for while it goes on.
pub trait Supply {
    /// The image with this number among [`stored_references`](super::stored_references) as it is stored, for these
    /// platforms, or for all when there are none.
    ///
    /// # Errors
    /// When the image or a blob of it cannot be had.
    fn stored(&mut self, number: usize, platforms: &[Platform]) -> Result<StoredImage, Cause>;

    /// The attestations of the image with this number among [`references`](super::references) that hold an SPDX document.
    ///
    /// # Errors
    /// When one that the image names cannot be had.
    fn statements(&mut self, number: usize) -> Result<Vec<Vec<u8>>, Cause>;

    /// The entries of a tar inside an image; their content stays where it is.
    ///
    /// # Errors
    /// When it is no tar, or cannot be read.
    fn archive(&self, content: &Content) -> Result<TreeBuilder, Cause>;

    /// What a packed stream inside an image holds.
    ///
    /// # Errors
    /// When it is packed in a way that is not known, or cannot be read.
    fn unpack(&self, content: &Content) -> Result<SharedSource, Cause>;

    /// A file of the host by its path in the spec.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn host_file(&self, path: &str) -> io::Result<SharedSource>;

    /// The spec itself with its references expanded.
    fn metadata(&self, format: MetadataFormat) -> String;
}
