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
    pub config: ImageConfig,
    /// Its layers merged, nothing left out yet.
    pub tree: TreeBuilder,
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

/// Finds an image as it is stored.
type Stored<'a> = dyn Fn(&str, &[Platform]) -> Result<StoredImage, Cause> + 'a;

/// What an assembly asks for.
#[derive(Clone, Copy)]
pub struct Supply<'a> {
    /// The image that a reference of the spec means; asked for as often as [`uses`](super::uses) says.
    pub image: &'a dyn Fn(&str) -> Result<Arc<SourceImage>, Cause>,
    /// The image that a reference means, as it is stored, for these platforms or for all when there are none.
    pub stored: &'a Stored<'a>,
    /// The entries of a tar inside an image; their content stays where it is.
    pub archive: &'a dyn Fn(&Content) -> Result<TreeBuilder, Cause>,
    /// What a gzip stream inside an image decompresses to.
    pub inflate: &'a dyn Fn(&Content) -> Result<SharedSource, Cause>,
    /// A file of the host by its path in the spec.
    pub host_file: &'a dyn Fn(&str) -> io::Result<SharedSource>,
    /// The spec itself with its references expanded.
    pub metadata: &'a dyn Fn(MetadataFormat) -> String,
}
