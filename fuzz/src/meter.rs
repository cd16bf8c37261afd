//! An allocator that counts: the most bytes held at a time since `begin`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// Counts what the program holds.
pub struct Meter {
    held: AtomicIsize,
    peak: AtomicIsize,
}

impl Meter {
    pub const fn new() -> Self {
        Meter { held: AtomicIsize::new(0), peak: AtomicIsize::new(0) }
    }

    /// Counts from here.
    pub fn begin(&self) {
        self.held.store(0, Relaxed);
        self.peak.store(0, Relaxed);
    }

    /// The most bytes held since then.
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed).max(0) as usize
    }

    fn add(&self, bytes: isize) {
        let now = self.held.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(now, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator with the caller's own arguments; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size() as isize);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.add(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    // The default copies into a fresh block: for a moment both are held, as the system's own may do.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
}
