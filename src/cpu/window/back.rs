//! The gradient of largest values: window by window, each to where its largest stands. Rows of the result are cut anywhere: a window that reaches into two
//! parts is looked at for both.

use super::{Operands, entries, place};
use crate::cpu::lib::fork::wide;
use std::ops::Range;

/// These rows of the result, counted through all images.
pub(super) fn rows(o: &Operands<'_>, rows: Range<usize>, out: &mut [f32]) {
    let (height, width) = (o.k.out.rows, o.k.out.columns * o.k.out.channels);
    let Some(windows) = &o.k.windows else { return };
    let (mut first, mut rest) = (rows.start, out);
    while first < rows.end {
        let (image, end) = (first / height, rows.end.min((first / height + 1) * height));
        let (own, behind) = rest.split_at_mut((end - first) * width);
        let band = first % height..first % height + (end - first);
        wide(Band { o, image, band, windows, out: own });
        (first, rest) = (end, behind);
    }
}

struct Band<'a, 'b> {
    o: &'a Operands<'b>,
    image: usize,
    /// Rows of the image that are made.
    band: Range<usize>,
    windows: &'a [crate::kernels::List; 2],
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Band<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Band { o, image, band, windows, out } = self;
        let width = o.k.out.columns * o.k.out.channels;
        // the rows of windows that reach into these rows; with a dilation a later row may have earlier ones
        let (mut first, mut last) = (usize::MAX, 0);
        for row in band.clone() {
            for w in entries(o.tables, &o.k.lists[0], row).chunks_exact(2) {
                (first, last) = (first.min(w[0] as usize), last.max(w[0] as usize + 1));
            }
        }
        // rows up to this one are there
        let mut filled = band.start;
        for window in first..last {
            let down = entries(o.tables, &windows[0], window);
            let end = down.chunks_exact(2).last().map_or(filled, |w| (w[0] as usize + 1).clamp(filled, band.end));
            out[(filled - band.start) * width..(end - band.start) * width].fill(0.0);
            filled = end;
            for column in 0..o.k.y.map_or(0, |y| y.columns) {
                let across = entries(o.tables, &windows[1], column);
                let at = At { o, image, down, across, window: [window as u32, column as u32], band: &band };
                at.give(out);
            }
        }
        out[(filled - band.start) * width..].fill(0.0);
    }
}

/// A window.
struct At<'a, 'b> {
    o: &'a Operands<'b>,
    image: usize,
    down: &'a [u32],
    across: &'a [u32],
    window: [u32; 2],
    band: &'a Range<usize>,
}

impl At<'_, '_> {
    /// Adds its gradient where its largest values stand.
    #[inline(always)]
    fn give(&self, out: &mut [f32]) {
        let channels = self.o.k.out.channels;
        let mut c = 0;
        while c + 64 <= channels {
            self.block::<64>(out, c);
            c += 64;
        }
        while c + 16 <= channels {
            self.block::<16>(out, c);
            c += 16;
        }
        while c < channels {
            self.block::<1>(out, c);
            c += 1;
        }
    }

    #[inline(always)]
    fn block<const L: usize>(&self, out: &mut [f32], c: usize) {
        let (o, x) = (self.o, &self.o.k.x);
        let (mut most, mut largest, mut tap) = ([f32::NEG_INFINITY; L], [0u32; L], 0u32);
        for a in self.down.chunks_exact(2) {
            for b in self.across.chunks_exact(2) {
                let from = place(x, self.image, a[0], b[0]) + c;
                let v = &o.x[from..from + L];
                // of equal ones the first counts, of NaN the last
                for i in 0..L {
                    let larger = (v[i] > most[i]) | v[i].is_nan();
                    most[i] = if larger { v[i] } else { most[i] };
                    largest[i] = if larger { tap } else { largest[i] };
                }
                tap += 1;
            }
        }
        let Some(y) = &o.k.y else { return };
        let from = place(y, self.image, self.window[0], self.window[1]) + c;
        let gradient = &o.y[from..from + L];
        tap = 0;
        for a in self.down.chunks_exact(2) {
            let inside = self.band.contains(&(a[0] as usize));
            for b in self.across.chunks_exact(2) {
                if inside {
                    let to = ((a[0] as usize - self.band.start) * x.columns + b[0] as usize) * x.channels + c;
                    let out = &mut out[to..to + L];
                    for i in 0..L {
                        out[i] += if largest[i] == tap { gradient[i] } else { 0.0 };
                    }
                }
                tap += 1;
            }
        }
    }
}
