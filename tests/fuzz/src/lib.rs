//! What all fuzz targets share: their entry point, which bounds the memory that one input may take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that any input may take: buffers of fixed sizes, on every thread.
const BASE: usize = 16 << 20;
/// Bytes for each byte of an input.
const EACH: usize = 300;

/// The entry point of a target: a function of `lkit::fuzz`.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::within_bounds(data, lkit::fuzz::$name));
    };
}

/// Calls a target; panics when more memory was in use meanwhile than an input of this size is worth.
pub fn within_bounds(data: &[u8], target: fn(&[u8])) {
    let before = USED.load(Relaxed);
    PEAK.store(before, Relaxed);
    target(data);
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    assert!(peak <= BASE + EACH * data.len(), "{} bytes of input took {peak} bytes of memory", data.len());
}

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's memory, counted.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn more(size: usize) {
    PEAK.fetch_max(USED.fetch_add(size, Relaxed).wrapping_add(size), Relaxed);
}

// SAFETY: everything is passed on to the system as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}
