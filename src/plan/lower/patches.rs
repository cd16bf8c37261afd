//! Tables for patches of images: where each position and each term of a patch lies.

use super::known::Known;
use super::lowering::Lowering;
use crate::graph::Window;
use crate::kernels::{Patches, Scattered, Walk};

impl Lowering<'_> {
    /// Patches of images with so many channels, of which so many belong to a group. Where no tap lies inside there is one that never does.
    pub(super) fn patches(&mut self, walks: [Walk; 2], channels: [usize; 2]) -> Patches {
        if let Some(known) = self.patches.iter().find(|k| k.walks == walks && k.channels == channels) {
            return known.patches;
        }
        let ([down, across], [all, own]) = (&walks, channels);
        let pairs = |a: usize, b: usize| (0..a).flat_map(move |i| (0..b).map(move |j| (i, j)));
        let taps: Vec<(usize, usize)> = pairs(down.taps, across.taps).collect();
        // addresses are counted modulo 2^32: a patch may begin before its image
        let at = |row: isize, column: isize| ((row * across.extent as isize + column) * all as isize) as u32;
        let tables = &mut self.draft.tables;
        let terms = tables.len();
        for (t, &(i, j)) in taps.iter().enumerate() {
            let step = at(down.tap(i), across.tap(j));
            tables.extend((0..own as u32).flat_map(|c| [step.wrapping_add(c), t as u32]));
        }
        if taps.is_empty() {
            tables.extend((0..own as u32).flat_map(|c| [c, 0]));
        }
        let starts = tables.len();
        for (row, column) in pairs(down.positions, across.positions) {
            tables.push(at((row * down.stride) as isize, (column * across.stride) as isize));
            let inside = |&(i, j): &(usize, usize)| down.is_inside(row, i) && across.is_inside(column, j);
            tables.extend(taps.chunks(32).map(|some| some.iter().enumerate().fold(0, |bits, (b, t)| bits | u32::from(inside(t)) << b)));
            tables.extend(taps.is_empty().then_some(0));
        }
        let (image, positions) = (down.extent * across.extent * all, down.positions * across.positions);
        let outside = |w: Walk| Walk { taps: 1, first: w.extent as isize, step: 0, ..w };
        let told = Some(if taps.is_empty() { walks.map(outside) } else { walks });
        let patches = Patches { image, channels: own, positions, taps: taps.len().max(1), terms, starts, first: 0, apart: 0, walks: told };
        self.patches.push(Known { walks, channels, patches });
        patches
    }

    /// Every `stride`-th row and column of an image, `rest` the first.
    pub(super) fn scattered(&mut self, w: &Window, channels: usize, rest: [usize; 2]) -> Scattered {
        let starts = self.draft.tables.len();
        let [height, width] = w.image;
        for row in (rest[0]..height).step_by(w.stride[0]) {
            self.draft.tables.extend((rest[1]..width).step_by(w.stride[1]).map(|column| ((row * width + column) * channels) as u32));
        }
        Scattered { image: height * width * channels, positions: self.draft.tables.len() - starts, starts }
    }
}
