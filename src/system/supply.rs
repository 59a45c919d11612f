//! What the assembly of a root asks for, from the images of the spec and the files of this machine.

use std::io;
use std::path::Path;

use super::images::Images;
use super::{ImageName, Stored, stored};
use crate::base::Platform;
use crate::extent::SharedSource;
use crate::layer::Inner;
use crate::oci::{Image, expanded};
use crate::rootfs::{self, Cause, HostFile, StoredImage, Supply};
use crate::sbom::{MAX_STATEMENT, SPDX_PREDICATE};
use crate::spec::{MetadataFormat, Spec};
use crate::tree::{Content, TreeBuilder};

/// The supply of one spec.
pub(super) struct Supplies<'a> {
    spec: &'a Spec,
    images: &'a Images<'a>,
    found: &'a [Image],
    names: &'a [ImageName],
    home: Option<&'a Path>,
    /// The stored images that were asked for so far.
    pub stored: Vec<Stored>,
}

impl<'a> Supplies<'a> {
    /// The supply of a spec; `found` are its images by number, `names` those of its stored images, `home` is where `~/`
    /// leads.
    pub fn new(
        spec: &'a Spec,
        images: &'a Images<'a>,
        (found, names): (&'a [Image], &'a [ImageName]),
        home: Option<&'a Path>,
    ) -> Self {
        Self { spec, images, found, names, home, stored: Vec::new() }
    }
}

impl Supply for Supplies<'_> {
    fn stored(&mut self, number: usize, platforms: &[Platform]) -> Result<StoredImage, Cause> {
        let name = &self.names[number];
        let image = stored::image(self.images, name, platforms)?;
        self.stored.push(Stored::new(name, &image));
        Ok(image)
    }

    fn statements(&mut self, number: usize) -> Result<Vec<Vec<u8>>, Cause> {
        let image = &self.found[number];
        self.images.resolver.statements(image, SPDX_PREDICATE, MAX_STATEMENT).map_err(Cause::new)
    }

    fn archive(&self, content: &Content) -> Result<TreeBuilder, Cause> {
        let layer = self.images.layers.open_nested(&inner(content)).map_err(Cause::new)?;
        let mut tree = TreeBuilder::new();
        tree.merge_archive(layer.toc(), layer.diff()).map_err(Cause::new)?;
        Ok(tree)
    }

    fn unpack(&self, content: &Content) -> Result<SharedSource, Cause> {
        self.images.layers.open_packed(&inner(content)).map_err(Cause::new)
    }

    fn host_file(&self, path: &str) -> io::Result<SharedSource> {
        HostFile::open(&rootfs::host_path(path, self.home)?)
    }

    fn metadata(&self, format: MetadataFormat) -> String {
        self.spec.to_text(format, &expanded)
    }
}

fn inner(content: &Content) -> Inner {
    Inner { source: content.source.clone(), offset: content.offset, size: content.size }
}
