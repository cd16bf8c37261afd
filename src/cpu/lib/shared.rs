//! A slice that many threads write, each its own elements.

use std::marker::PhantomData;
use std::ops::Range;

/// Elements that many threads write, each its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T = f32> {
    at: *mut T,
    len: usize,
    of: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, and `part` leaves it to its caller that no two threads hold the same element.
unsafe impl<T: Send> Send for Shared<'_, T> {}
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<T> Default for Shared<'_, T> {
    fn default() -> Self {
        Shared::new(&mut [])
    }
}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(x: &'a mut [T]) -> Self {
        Shared { at: x.as_mut_ptr(), len: x.len(), of: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the first element lies.
    pub(crate) fn start(&self) -> *mut T {
        self.at
    }

    /// # Safety
    /// Nobody else may hold any of these elements while the part lives.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: within the slice that this was made of; the caller answers for the rest
        unsafe { std::slice::from_raw_parts_mut(self.at.add(range.start), range.len()) }
    }
}
