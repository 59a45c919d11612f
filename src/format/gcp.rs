//! A Google Compute Engine image: `disk.raw`, a whole number of GiB, in a GNU tar in a gzip file.
//!
//! # Format
//! Compute Engine documentation, "Manually import boot disks"; GNU tar's base-256 sizes from 8 GiB on.

use super::gzip_stored::gzip_stored;
use crate::base::{GIB, SECTOR, align_up};
use crate::extent::{MapBuilder, SharedSource, Sink};

/// GNU tar's usual record: archives are padded to it.
const RECORD: u64 = 20 * SECTOR;

/// Lays out `disk` as N.img.tar.gz.
pub fn gcp(disk: &SharedSource) -> SharedSource {
    let size = align_up(disk.size(), GIB);
    let mut archive = MapBuilder::default();
    archive.bytes(header(size).as_bytes());
    archive.whole(disk);
    archive.zeros(size - disk.size());
    archive.zeros(2 * SECTOR);
    let end = archive.position().next_multiple_of(RECORD);
    archive.pad_to(end);
    gzip_stored(archive.share())
}

fn header(size: u64) -> ::tar::Header {
    let mut header = ::tar::Header::new_gnu();
    header.set_path("disk.raw").expect("the name is short");
    header.set_entry_type(::tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::Zeros;

    #[test]
    fn a_disk_is_rounded_to_a_gibibyte() {
        let disk: SharedSource = Arc::new(Zeros(GIB + 1));
        assert_eq!(header(disk.size().next_multiple_of(GIB)).size().unwrap(), 2 * GIB);
        // The first 128 KiB, which hold the tar header, and a bit of a thousandth of the zeros behind it.
        assert_eq!(gcp(&disk).size(), 2_212_871);
        assert_eq!(header(9 * GIB).size().unwrap(), 9 * GIB);
    }
}
