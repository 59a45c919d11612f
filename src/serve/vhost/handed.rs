//! The memory that a front end has handed over: files that it shares, and may shorten at any time.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::fstatfs;
use vm_memory::{GuestMemoryBackend as _, GuestMemoryRegion as _, GuestRegionMmap};

use super::chain::Memory;
use super::faults::Watched;

/// Regions that a front end may hand over, as the protocol's back end says they may be.
const MOST_REGIONS: usize = 509;
/// The type of a file system with huge pages: `HUGETLBFS_MAGIC` of statfs(2).
const HUGE_PAGES: u64 = 0x9584_58f6;

/// The memory of a guest, for as long as it is used.
#[derive(Default)]
pub(super) struct Handed {
    // Watched no longer than it is mapped: they are dropped in this order.
    watched: Vec<Arc<Watched>>,
    memory: Memory,
}

impl Handed {
    /// Memory that was handed over after other memory, with which it may share regions. A region that is lost sets the flag.
    ///
    /// # Errors
    /// When it has too many regions, or one that is no whole number of its huge pages.
    pub fn new(memory: Memory, before: &Self, is_lost: &Arc<AtomicBool>) -> io::Result<Self> {
        if memory.num_regions() > MOST_REGIONS {
            return Err(io::Error::other("the memory is in too many regions"));
        }
        let watched = memory.iter().map(|region| before.watched(region).map_or_else(|| watch(region, is_lost), Ok));
        Ok(Self { watched: watched.collect::<io::Result<_>>()?, memory })
    }

    /// The memory itself.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How a region is watched already. Two that begin at one place are one: this one is still mapped.
    fn watched(&self, region: &GuestRegionMmap) -> Option<Arc<Watched>> {
        self.watched.iter().find(|watched| watched.start() == region.as_ptr().addr()).cloned()
    }
}

fn watch(region: &GuestRegionMmap, is_lost: &Arc<AtomicBool>) -> io::Result<Arc<Watched>> {
    let len = usize::try_from(region.len()).map_err(io::Error::other)?;
    if huge_page(region)?.is_some_and(|size| !region.len().is_multiple_of(size)) {
        return Err(io::Error::other("a region of the memory is no whole number of its huge pages"));
    }
    // SAFETY: the region is a mapping of its own, which stays while `Handed` has its memory. Guests write to it at any time.
    unsafe { Watched::new(region.as_ptr().addr(), len, is_lost.clone()) }.map(Arc::new)
}

/// Size in bytes of the huge pages that a region is made of, if it is.
fn huge_page(region: &GuestRegionMmap) -> io::Result<Option<u64>> {
    let Some(file) = region.file_offset() else { return Ok(None) };
    let system = fstatfs(file.file().as_fd())?;
    let size = (u64::try_from(system.f_type) == Ok(HUGE_PAGES)).then(|| u64::try_from(system.f_bsize));
    size.transpose().map_err(io::Error::other)
}
