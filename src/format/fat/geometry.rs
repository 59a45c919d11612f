//! How large the parts of a FAT volume are.
//!
//! # Format
//! FAT32 File System Specification, "FAT Type Determination" and "FAT Data Structure Computation".

use super::FatOptions;
use crate::base::{SECTOR, align_up};
use crate::format::Error;

/// The width of a table entry in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    /// Fewer than 4085 clusters.
    Fat12,
    /// Fewer than 65525 clusters.
    Fat16,
    /// All above.
    Fat32,
}

/// Distance kept from the kinds' borders: the specification asks for it, since other writers miscounted by a few.
const MARGIN: u64 = 16;

impl FatKind {
    /// Bits of a table entry.
    pub(super) const fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// How many clusters a volume of this kind may have.
    const fn clusters(self) -> (u64, u64) {
        match self {
            Self::Fat12 => (1, 4084 - MARGIN),
            Self::Fat16 => (4085 + MARGIN, 65_524 - MARGIN),
            Self::Fat32 => (65_525 + MARGIN, 0x0fff_fff4),
        }
    }

    /// The kind for a count of clusters.
    const fn of(clusters: u64) -> Self {
        if clusters <= Self::Fat12.clusters().1 {
            Self::Fat12
        } else if clusters <= Self::Fat16.clusters().1 {
            Self::Fat16
        } else {
            Self::Fat32
        }
    }

    /// Reserved sectors: the boot sector; in FAT32 with FSInfo, backups and room, as every formatter leaves it.
    const fn reserved(self) -> u64 {
        match self {
            Self::Fat32 => 32,
            _ => 1,
        }
    }

    /// Entries of the root directory that is no cluster chain.
    pub(super) const fn root_entries(self) -> u16 {
        match self {
            Self::Fat32 => 0,
            _ => 512,
        }
    }

    const fn root_sectors(self) -> u64 {
        self.root_entries() as u64 * 32 / SECTOR
    }
}

/// Sectors of the smallest cluster: an ISO's logical block, so that both can name the same content.
const SMALLEST_CLUSTER: u64 = 4;
/// Sectors of the largest cluster all firmware knows: 32 KiB.
const LARGEST_CLUSTER: u64 = 64;
/// Above this many FAT32 clusters larger ones are taken: a table of 8 MiB is read by firmware in no time.
const COMFORTABLE: u64 = 1 << 21;

/// The sizes of a volume's parts. All but the counts of clusters are in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub kind: FatKind,
    pub cluster: u64,
    pub clusters: u64,
    pub reserved: u64,
    pub fat: u64,
    /// First sector of cluster 2.
    pub data: u64,
    pub total: u64,
}

impl Geometry {
    /// The geometry with the smallest clusters that hold the files; `needed` counts clusters of a size in bytes.
    pub fn choose(options: &FatOptions, needed: impl Fn(FatKind, u64) -> u64) -> Result<Self, Error> {
        let mut cluster = SMALLEST_CLUSTER;
        loop {
            let last = cluster == LARGEST_CLUSTER;
            let room = options.size.unwrap_or(0) / (cluster * SECTOR);
            let all = room.max(needed(FatKind::Fat32, cluster * SECTOR));
            let kind = options.kind.unwrap_or(FatKind::of(all));
            let needed = needed(kind, cluster * SECTOR);
            let fits = all <= kind.clusters().1 && (kind != FatKind::Fat32 || all <= COMFORTABLE);
            if fits || (last && needed <= kind.clusters().1) {
                return Self::with(kind, cluster, needed, options);
            }
            if last {
                let limit = kind.clusters().1 * cluster * SECTOR;
                return Err(Error::ImageTooLarge { format: "a FAT volume", limit });
            }
            cluster *= 2;
        }
    }

    fn with(kind: FatKind, cluster: u64, needed: u64, options: &FatOptions) -> Result<Self, Error> {
        let (least, most) = kind.clusters();
        let smallest = Self::of_clusters(kind, cluster, needed.max(least));
        let geometry = match options.size {
            None => smallest,
            Some(size) if size < smallest.total * SECTOR => {
                return Err(Error::ImageTooSmall { format: "a FAT volume", size, needed: smallest.total * SECTOR });
            }
            Some(size) => Self::filling(kind, cluster, most, size / SECTOR),
        };
        // The boot sector has 32 bits for the count of sectors.
        let limit = u64::from(u32::MAX);
        if geometry.total > limit {
            return Err(Error::ImageTooLarge { format: "a FAT volume", limit: limit * SECTOR });
        }
        Ok(geometry)
    }

    fn of_clusters(kind: FatKind, cluster: u64, clusters: u64) -> Self {
        let fat = ((clusters + 2) * kind.bits()).div_ceil(8 * SECTOR);
        let before = kind.reserved() + 2 * fat + kind.root_sectors();
        // The reserved sectors take up what is missing to the alignment of the data.
        let data = align_up(before, SMALLEST_CLUSTER);
        let reserved = kind.reserved() + (data - before);
        Self { kind, cluster, clusters, reserved, fat, data, total: data + clusters * cluster }
    }

    /// The most clusters that fit `total` sectors.
    fn filling(kind: FatKind, cluster: u64, most: u64, total: u64) -> Self {
        let (mut low, mut high) = (0, (total / cluster).min(most));
        while low < high {
            let middle = (low + high).div_ceil(2);
            if Self::of_clusters(kind, cluster, middle).total <= total { low = middle } else { high = middle - 1 }
        }
        Self { total, ..Self::of_clusters(kind, cluster, low) }
    }

    /// First byte of a cluster; clusters count from 2.
    pub fn offset(&self, cluster: u32) -> u64 {
        (self.data + (u64::from(cluster) - 2) * self.cluster) * SECTOR
    }

    /// Size of a cluster in bytes.
    pub fn cluster_size(&self) -> u64 {
        self.cluster * SECTOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{GIB, MIB};

    fn choose(kind: Option<FatKind>, size: Option<u64>, content: u64) -> Result<Geometry, Error> {
        let options = FatOptions { kind, size, ..FatOptions::default() };
        Geometry::choose(&options, |_, cluster| content.div_ceil(cluster))
    }

    #[test]
    fn the_content_decides_the_kind_and_never_comes_near_a_border() {
        let rows = [
            (MIB, FatKind::Fat12, 4, 512),
            (8 * MIB, FatKind::Fat16, 4, 4101),
            (64 * MIB, FatKind::Fat16, 4, 32_768),
            (128 * MIB, FatKind::Fat32, 4, 65_541),
            (4 * GIB, FatKind::Fat32, 4, 1 << 21),
            (5 * GIB, FatKind::Fat32, 8, 5 << 18),
            (300 * GIB, FatKind::Fat32, 64, 300 << 15),
        ];
        for (content, kind, cluster, clusters) in rows {
            let geometry = choose(None, None, content).unwrap();
            assert_eq!((geometry.kind, geometry.cluster, geometry.clusters), (kind, cluster, clusters), "{content}");
            assert_eq!(geometry.data % 4, 0);
        }
    }

    #[test]
    fn a_fat32_volume_of_a_small_file_is_padded_with_free_clusters() {
        let geometry = choose(Some(FatKind::Fat32), None, 1).unwrap();
        assert_eq!((geometry.clusters, geometry.fat, geometry.reserved), (65_541, 513, 34));
        assert_eq!(geometry.total * SECTOR, 134_770_688);
    }

    #[test]
    fn a_given_size_is_filled_up() {
        for size in [4 * MIB, 33 * MIB + 512, GIB, 2 * GIB + 1536, 100 * GIB] {
            let geometry = choose(None, Some(size), MIB).unwrap();
            assert_eq!(geometry.total * SECTOR, size);
            let end = geometry.data + geometry.clusters * geometry.cluster;
            assert!(geometry.total - end < 2 * geometry.cluster + 8, "{geometry:?}");
            assert_eq!(FatKind::of(geometry.clusters), geometry.kind);
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let error = choose(Some(FatKind::Fat32), Some(64 * MIB), 1).err().unwrap();
        assert_eq!(error.to_string(), "a FAT volume of 67108864 bytes is too small, it needs 134770688");
        assert!(choose(None, None, 9 << 40).is_err());
        assert!(choose(Some(FatKind::Fat12), None, GIB).is_err());
    }
}
