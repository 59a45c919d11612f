//! Memory: given by the system at once, and given back to it when it was freed.

/// Freed bytes at the end of a thread's pool that glibc may keep: the buffers of a busy network block device, which are needed
/// again at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 4 << 20;
/// Bytes from which an allocation is a mapping of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: libc::c_int = 1 << 20;

/// Makes the allocator give back freed memory. On its own glibc keeps as much as the largest buffers that it has seen, in the
/// pool of each thread: half of what a mount takes after a pass over its layers. To be called before threads start.
pub fn bound_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) changes numbers of the allocator, and no other thread allocates yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

/// Bytes of memory that are worth a system call.
#[cfg(target_os = "linux")]
const WORTH: usize = 64 << 10;

/// Reserves memory for this many more items, which will all be there soon, and has the system give it at once. A virtual
/// machine takes twice as long to give it page by page, when items are written.
pub fn reserve_now<T>(items: &mut Vec<T>, count: usize) {
    items.reserve(count);
    #[cfg(target_os = "linux")]
    {
        let spare = &mut items.spare_capacity_mut()[..count];
        let page = rustix::param::page_size();
        let skipped = spare.as_ptr().addr().next_multiple_of(page) - spare.as_ptr().addr();
        let pages = size_of_val(spare).saturating_sub(skipped) / page * page;
        if pages >= WORTH {
            // SAFETY: the pages lie within memory that is borrowed here, and what is in them stays. A system that does not
            // know the advice gives them later.
            unsafe {
                let start = spare.as_mut_ptr().wrapping_byte_add(skipped);
                libc::madvise(start.cast(), pages, libc::MADV_POPULATE_WRITE);
            }
        }
    }
}

/// Gives back what the allocator keeps of freed memory, for after work that needed much more than what follows: the
/// threads of a pass over a layer leave megabytes behind in pools of their own.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) may be called by any thread at any time; it moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    /// Bytes of this range that are in memory.
    fn resident(range: &[MaybeUninit<u64>]) -> usize {
        let page = rustix::param::page_size();
        let start = range.as_ptr().addr().next_multiple_of(page);
        let count = (range.as_ptr_range().end.addr() - start) / page;
        let mut pages = vec![0_u8; count];
        // SAFETY: the pages lie within the range, and there is a byte for each.
        let done = unsafe { libc::mincore(start as *mut libc::c_void, count * page, pages.as_mut_ptr()) };
        assert_eq!(done, 0);
        pages.iter().filter(|state| **state & 1 != 0).count() * page
    }

    #[test]
    fn memory_that_is_reserved_now_is_there_and_the_rest_is_not() {
        let mut items: Vec<u64> = Vec::with_capacity(4 << 20);
        reserve_now(&mut items, 1 << 20);
        let there = resident(items.spare_capacity_mut());
        assert!(((8 << 20) - 8192..=8 << 20).contains(&there), "{there}");
        reserve_now(&mut items, 0);
        assert_eq!(items.capacity(), 4 << 20);
    }
}
