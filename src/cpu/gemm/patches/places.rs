//! Where the taps of patches lie in memory.

use crate::kernels::Patches;
use std::ops::Range;

/// Where the taps of some positions lie.
#[derive(Default)]
pub(super) struct Places {
    /// The first channel of each tap, position by position.
    pub at: Vec<*const f32>,
    /// What stands outside of the images.
    zeros: Vec<f32>,
    /// How far the taps lie behind a patch's first place.
    steps: Vec<u32>,
    /// Patches of few channels, put together.
    together: Vec<f32>,
}

/// Channels up to which a patch is put together first: a tap would be less work than to look where it lies.
const FEW: usize = 3;

impl Places {
    /// The taps of these rows of a factor, whose images begin at `x`; the last row is repeated to a multiple of `side`.
    pub fn find(&mut self, p: &Patches, x: &[f32], tables: &[u32], rows: Range<usize>, side: usize) {
        self.steps.clear();
        self.steps.extend((0..p.taps).map(|t| tables[p.terms + 2 * t * p.channels]));
        self.zeros.resize(self.zeros.len().max(p.channels), 0.0);
        let (words, count, outside) = (p.words(), rows.len(), self.zeros.as_ptr());
        self.at.clear();
        self.at.resize(count * p.taps, outside);
        let (mut image, mut position) = (rows.start / p.positions, rows.start % p.positions);
        for at in self.at.chunks_exact_mut(p.taps) {
            let own = &tables[p.starts + position * words..][..words];
            // a patch's channels lie within its image
            let images = &x[image * p.image..x.len().min((image + 1) * p.image)];
            if !all_inside(p, own, &self.steps, images, at) {
                for ((at, steps), &inside) in at.chunks_mut(32).zip(self.steps.chunks(32)).zip(&own[1..]) {
                    for (t, (at, &step)) in at.iter_mut().zip(steps).enumerate() {
                        let start = own[0].wrapping_add(step) as usize;
                        if inside >> t & 1 == 1 && start + p.channels <= images.len() {
                            *at = images[start..].as_ptr();
                        }
                    }
                }
            }
            position += 1;
            if position == p.positions {
                (image, position) = (image + 1, 0);
            }
        }
        let last = self.at.len() - p.taps..self.at.len();
        for _ in count..count.next_multiple_of(side) {
            self.at.extend_from_within(last.clone());
        }
    }

    /// The same patches, each as one tap, where they have few channels; else as they are.
    pub fn put_together(&mut self, p: Patches) -> Patches {
        let row = p.row();
        self.together.resize(self.at.len() * p.channels.min(FEW), 0.0);
        // SAFETY: each points to so many channels of an image, or to zeros
        unsafe {
            match p.channels {
                1 => copy::<1>(&self.at, &mut self.together),
                2 => copy::<2>(&self.at, &mut self.together),
                FEW => copy::<FEW>(&self.at, &mut self.together),
                _ => return p,
            }
        }
        self.at.clear();
        self.at.extend(self.together.chunks_exact(row).map(<[f32]>::as_ptr));
        Patches { taps: 1, channels: row, ..p }
    }
}

/// Where the taps of a position lie, if all are inside: most positions', whose taps need not be looked at one by one.
#[inline]
fn all_inside(p: &Patches, own: &[u32], steps: &[u32], images: &[f32], at: &mut [*const f32]) -> bool {
    let full = own[1..].iter().enumerate().all(|(word, &inside)| inside.count_ones() as usize == (p.taps - 32 * word).min(32));
    let last = steps.iter().fold(0, |last: u32, &step| last.max(own[0].wrapping_add(step))) as usize;
    if !full || last + p.channels > images.len() {
        return false;
    }
    let first = images.as_ptr();
    at.iter_mut().zip(steps).for_each(|(at, &step)| *at = first.wrapping_add(own[0].wrapping_add(step) as usize));
    true
}

/// Copies channels to where they lie behind one another: of a known number, as three loads cost less than a copy of three.
///
/// # Safety
/// Each of `at` points to so many.
unsafe fn copy<const CHANNELS: usize>(at: &[*const f32], to: &mut [f32]) {
    for (to, from) in to.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(at) {
        // SAFETY: as the caller has it
        *to = unsafe { from.cast::<[f32; CHANNELS]>().read() };
    }
}
