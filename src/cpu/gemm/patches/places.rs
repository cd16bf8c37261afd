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

/// Channels below which a patch is put together first: a tap would be less work than to look where it lies.
const FEW: usize = 4;

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
            for ((at, steps), &inside) in at.chunks_mut(32).zip(self.steps.chunks(32)).zip(&own[1..]) {
                for (t, (at, &step)) in at.iter_mut().zip(steps).enumerate() {
                    let start = own[0].wrapping_add(step) as usize;
                    if inside >> t & 1 == 1 && start + p.channels <= images.len() {
                        *at = images[start..].as_ptr();
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
        if p.channels >= FEW {
            return p;
        }
        let row = p.row();
        self.together.clear();
        for &from in &self.at {
            // SAFETY: each points to so many channels of an image, or to zeros
            self.together.extend_from_slice(unsafe { std::slice::from_raw_parts(from, p.channels) });
        }
        self.at.clear();
        self.at.extend(self.together.chunks_exact(row).map(<[f32]>::as_ptr));
        Patches { taps: 1, channels: row, ..p }
    }
}
