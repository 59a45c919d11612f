//! Memory that was freed, given back to the system.

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

/// Gives back what the allocator keeps of freed memory, for after work that needed much more than what follows: the
/// threads of a pass over a layer leave megabytes behind in pools of their own.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) may be called by any thread at any time; it moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
