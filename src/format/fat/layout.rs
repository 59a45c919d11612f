//! Laying out a FAT volume: directories first, then the files in the order given, each in one run of clusters.

use std::sync::Arc;

use super::boot_sector::reserved_sectors;
use super::directory::{Directory, Placed, Target, directories};
use super::geometry::Geometry;
use super::table::Table;
use super::{Fat, FatFile, FatKind, FatOptions};
use crate::base::SECTOR;
use crate::extent::{MapBuilder, SharedSource, Sink};
use crate::format::Error;
use crate::format::limits::Room;

/// Directory entries have 32 bits for a size in bytes, boot sectors 32 bits for a count of sectors.
const ROOM: Room = Room { format: "a FAT volume", file: u32::MAX as u64, image: u32::MAX as u64 * SECTOR };

/// Lays out a volume with these files.
///
/// # Errors
/// When a file is over 4 GiB, a name cannot be held or stands twice, or the files do not fit the size asked for.
pub fn fat(files: &[FatFile], options: &FatOptions) -> Result<Fat, Error> {
    if let Some(file) = files.iter().find(|file| file.content.size() > ROOM.file) {
        return Err(ROOM.too_large(file.path.clone(), file.content.size()));
    }
    let directories = directories(files)?;
    if directories[0].entry_count(true) > u64::from(FatKind::Fat16.root_entries()) {
        let limit = u64::from(FatKind::Fat16.root_entries());
        return Err(Error::TooMany { what: "names in its root", format: "a FAT volume", limit });
    }
    let geometry = Geometry::choose(options, |kind, cluster| clusters(files, &directories, kind, cluster))?;
    Ok(Layout::new(files, directories, geometry).finish(options))
}

/// Clusters of `size` bytes that files and directories take.
fn clusters(files: &[FatFile], directories: &[Directory], kind: FatKind, size: u64) -> u64 {
    let files: u64 = files.iter().map(|file| file.content.size().div_ceil(size)).sum();
    let numbered = directories.iter().enumerate();
    let directories: u64 = numbered.map(|(number, dir)| dir_size(dir, number, kind).div_ceil(size)).sum();
    files + directories
}

/// Bytes of a directory's cluster chain; none for the root that lies before the data area.
fn dir_size(directory: &Directory, number: usize, kind: FatKind) -> u64 {
    match (number, kind) {
        (0, FatKind::Fat12 | FatKind::Fat16) => 0,
        _ => directory.entry_count(number == 0) * 32,
    }
}

struct Layout<'a> {
    files: &'a [FatFile],
    directories: Vec<Directory>,
    geometry: Geometry,
    /// First cluster of each directory and file, 0 where there is none.
    directory_clusters: Vec<u32>,
    file_clusters: Vec<u32>,
    /// Last cluster of each chain.
    ends: Vec<u32>,
}

impl<'a> Layout<'a> {
    fn new(files: &'a [FatFile], directories: Vec<Directory>, geometry: Geometry) -> Self {
        let mut ends = Vec::new();
        let mut next = 2;
        let mut allocate = |size: u64| {
            let count = size.div_ceil(geometry.cluster_size());
            let count = u32::try_from(count).expect("the geometry counted these clusters");
            if count == 0 {
                return 0;
            }
            next += count;
            ends.push(next - 1);
            next - count
        };
        let numbered = directories.iter().enumerate();
        let directory_clusters = numbered.map(|(number, dir)| allocate(dir_size(dir, number, geometry.kind))).collect();
        let file_clusters = files.iter().map(|file| allocate(file.content.size())).collect();
        Self { files, directories, geometry, directory_clusters, file_clusters, ends }
    }

    fn finish(self, options: &FatOptions) -> Fat {
        let mut map = MapBuilder::default();
        let geometry = self.geometry;
        let used = self.ends.last().map_or(0, |last| last - 1);
        map.bytes(&reserved_sectors(&geometry, options, used));
        map.pad_to(geometry.reserved * SECTOR);
        let ends = self.ends.clone();
        let table: SharedSource = Arc::new(Table { kind: geometry.kind, ends, size: geometry.fat * SECTOR });
        map.whole(&table);
        map.whole(&table);
        for (number, directory) in self.directories.iter().enumerate() {
            if let Some(offset) = self.offset(self.directory_clusters[number]) {
                map.pad_to(offset);
            }
            map.bytes(&directory.encode(number, options, |target| self.place(target)));
        }
        let mut offsets = Vec::new();
        for (file, cluster) in self.files.iter().zip(&self.file_clusters) {
            let Some(offset) = self.offset(*cluster) else { continue };
            map.pad_to(offset);
            offsets.push((file.path.clone(), offset));
            map.whole(&file.content);
        }
        map.pad_to(geometry.total * SECTOR);
        Fat { image: map.share(), offsets }
    }

    fn offset(&self, cluster: u32) -> Option<u64> {
        (cluster != 0).then(|| self.geometry.offset(cluster))
    }

    fn place(&self, target: Target) -> Placed {
        match target {
            Target::Directory(number) => Placed { cluster: self.directory_clusters[number], size: 0 },
            Target::File(number) => {
                let size = u32::try_from(self.files[number].content.size()).expect("larger files are refused");
                Placed { cluster: self.file_clusters[number], size }
            }
        }
    }
}
