//! Where the taps of patches lie in memory.

use crate::cpu::lib::fork::wide;
use crate::kernels::Patches;
use std::ops::Range;

/// Where the taps of some positions lie.
#[derive(Default)]
pub(super) struct Places {
    /// The first channel of each position's first tap, then of each position's second.
    pub at: Vec<*const f32>,
    /// How many positions these are.
    pub count: usize,
    /// What stands outside of the images.
    zeros: Vec<f32>,
    /// The first element of each position, which may lie before its image.
    starts: Vec<u32>,
    /// For 32 taps of each position bits of those that lie inside, then for the next 32.
    inside: Vec<u32>,
    /// Patches of few channels, put together.
    together: Vec<f32>,
}

/// Channels up to which a patch is put together first: a tap would be less work than to look where it lies.
const FEW: usize = 3;

impl Places {
    /// The taps of these rows of a factor, whose images begin at `x`; the last row is repeated to a multiple of `side`.
    pub fn find(&mut self, p: &Patches, x: &[f32], tables: &[u32], rows: Range<usize>, side: usize) {
        self.zeros.resize(self.zeros.len().max(p.channels), 0.0);
        let (words, own) = (p.words(), rows.len());
        self.count = own.next_multiple_of(side);
        self.at.resize(self.count * p.taps, self.zeros.as_ptr());
        self.starts.resize(self.count, 0);
        self.inside.resize(self.count * (words - 1), 0);
        let mut done = 0;
        // image by image, as all of its positions have one bound
        while done < own {
            let (image, position) = ((rows.start + done) / p.positions, (rows.start + done) % p.positions);
            let part = done..own.min(done + p.positions - position);
            let words_of = tables[p.starts + position * words..][..part.len() * words].chunks_exact(words);
            for (i, own) in part.clone().zip(words_of) {
                self.starts[i] = own[0];
                own[1..].iter().enumerate().for_each(|(w, &bits)| self.inside[w * self.count + i] = bits);
            }
            let image = &x[image * p.image..x.len().min((image + 1) * p.image)];
            for tap in 0..p.taps {
                let bits = &self.inside[tap / 32 * self.count..][..self.count];
                wide(Found {
                    at: &mut self.at[tap * self.count..][part.clone()],
                    starts: &self.starts[part.clone()],
                    inside: &bits[part.clone()],
                    bit: tap % 32,
                    step: tables[p.terms + 2 * tap * p.channels],
                    image,
                    zeros: &self.zeros[..p.channels],
                });
            }
            done = part.end;
        }
        for tap in self.at.chunks_exact_mut(self.count.max(1)) {
            let (own, rest) = tap.split_at_mut(own);
            own.last().iter().for_each(|&&last| rest.fill(last));
        }
    }

    /// The same patches, each as one tap, where they have few channels; else as they are.
    pub fn put_together(&mut self, p: Patches) -> Patches {
        let row = p.row();
        self.together.resize(self.at.len() * p.channels.min(FEW), 0.0);
        // SAFETY: each points to so many channels of an image, or to zeros
        unsafe {
            match p.channels {
                1 => copy::<1>(&self.at, self.count, &mut self.together),
                2 => copy::<2>(&self.at, self.count, &mut self.together),
                FEW => copy::<FEW>(&self.at, self.count, &mut self.together),
                _ => return p,
            }
        }
        self.at.clear();
        self.at.extend(self.together.chunks_exact(row).map(<[f32]>::as_ptr));
        Patches { taps: 1, channels: row, ..p }
    }
}

/// Where one tap of an image's positions lies: among the zeros where that is outside. As vectors: there are as many places as a thin convolution has work.
struct Found<'a> {
    at: &'a mut [*const f32],
    starts: &'a [u32],
    inside: &'a [u32],
    bit: usize,
    step: u32,
    image: &'a [f32],
    zeros: &'a [f32],
}

impl pulp::NullaryFnOnce for Found<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Found { at, starts, inside, bit, step, image, zeros } = self;
        // all channels must lie in the image, whatever the tables say
        let Some(last) = image.len().checked_sub(zeros.len()) else { return at.fill(zeros.as_ptr()) };
        for ((at, &start), &inside) in at.iter_mut().zip(starts).zip(inside) {
            let place = start.wrapping_add(step) as usize;
            let own = image.as_ptr().wrapping_add(place);
            *at = if inside >> bit & 1 == 1 && place <= last { own } else { zeros.as_ptr() };
        }
    }
}

/// Copies channels to where all of a position lie behind one another: of a known number, as three loads cost less than a copy of three.
///
/// # Safety
/// Each of `at`, which has so many positions of each tap, points to so many.
unsafe fn copy<const CHANNELS: usize>(at: &[*const f32], positions: usize, to: &mut [f32]) {
    let taps = at.len() / positions.max(1);
    for (tap, at) in at.chunks_exact(positions.max(1)).enumerate() {
        for (to, from) in to.as_chunks_mut::<CHANNELS>().0.iter_mut().skip(tap).step_by(taps).zip(at) {
            // SAFETY: as the caller has it
            *to = unsafe { from.cast::<[f32; CHANNELS]>().read() };
        }
    }
}
