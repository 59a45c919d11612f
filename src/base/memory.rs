//! Memory that was freed, given back to the system.

/// Gives back what the allocator keeps of freed memory, for after work that needed much more than what follows: the
/// threads of a pass over a layer leave megabytes behind in pools of their own.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) may be called by any thread at any time; it moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
