//! Read lists: taken from a file, a lock, or what is published with layer indexes, and fetched ahead of the readers.

use std::io::Read as _;
use std::path::Path;

use super::images::Images;
use super::lock_file::LockFile;
use super::{Error, Prefetch, Problem};
use crate::base::{Event, in_line, write_whole};
use crate::blob::open_regular;
use crate::layer::ReadList;
use crate::oci::{Descriptor, Image, Reference};

/// Reads a read list.
///
/// # Errors
/// When it cannot be read or is not a read list.
pub fn read_list(path: &Path) -> Result<ReadList, Error> {
    let mut text = Vec::new();
    let read = open_regular(path).and_then(|file| file.take(ReadList::LARGEST + 1).read_to_end(&mut text));
    read.map_err(|source| Problem::ReadReads { path: path.to_owned(), source })?;
    Ok(ReadList::parse(&text).map_err(|reason| Problem::NotReads { path: path.to_owned(), reason })?)
}

/// Writes a read list, in the place of what is there.
///
/// # Errors
/// When it cannot be written.
pub fn write_read_list(path: &Path, list: &ReadList) -> Result<(), Error> {
    let written = write_whole(path, &list.to_bytes());
    Ok(written.map_err(|source| Problem::WriteReads { path: path.to_owned(), source })?)
}

impl Images<'_> {
    /// Fetches in the background what is known to be read of images whose layers are open.
    pub fn prefetch(&self, images: &[Image], lock: Option<&LockFile>) {
        let list = match self.prefetch {
            Prefetch::Nothing => return,
            Prefetch::Listed(list) => list.clone(),
            Prefetch::Known => match lock.and_then(|lock| lock.reads(self.platform)) {
                Some(locked) => locked.clone(),
                None => self.published_reads(images),
            },
        };
        self.layers.prefetch(&list);
    }

    /// Takes the read list that was published with an index which is used. One that cannot be had is passed over with a
    /// warning.
    pub(super) fn take_reads(&self, image: &Image, repository: &Reference, reads: Option<&Descriptor>) {
        let (Prefetch::Known, Some(reads)) = (self.prefetch, reads) else { return };
        let bytes = self.resolver.small(repository, reads, ReadList::LARGEST);
        let list = bytes.map_err(|error| in_line(&error)).and_then(|bytes| ReadList::parse(&bytes));
        match list {
            Ok(list) => drop(self.reads().insert(*image.digest(), list.of_layers(&image.layer_digests()))),
            Err(reason) => self.monitor.event(Event::Warning(format!(
                "the published read list of `{}` is passed over: {reason}",
                image.reference
            ))),
        }
    }

    fn published_reads(&self, images: &[Image]) -> ReadList {
        let mut all = ReadList::default();
        let mut found = self.reads();
        images.iter().filter_map(|image| found.remove(image.digest())).for_each(|list| all.append(list));
        all
    }

    /// What of a given list is about an image.
    pub(super) fn listed_of(&self, image: &Image) -> Option<ReadList> {
        let Prefetch::Listed(list) = self.prefetch else { return None };
        Some(list.of_layers(&image.layer_digests())).filter(|list| !list.is_empty())
    }
}
