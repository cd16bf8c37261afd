//! The twin of `shaders/window.wgsl`: a row of the result after another, channels side by side in vectors. Every sum is in the order of its terms.

mod back;
mod blocks;

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts, wide};
use crate::error::Result;
use crate::kernels::{Images, List, Window, WindowFormula};
use blocks::Row;
use std::borrow::Cow;
use std::ops::Range;

/// Nanoseconds of one place of one window.
const PLACE: f64 = 0.12;

/// A launch with its operands as the loops read them.
struct Operands<'a> {
    k: &'a Window,
    x: &'a [f32],
    /// A depthwise convolution's weights lie tap by tap, channels side by side.
    y: Cow<'a, [f32]>,
    tables: &'a [u32],
}

impl Twin for Window {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let y = self.y.map(|y| (y, &f32s(reads[1])[y.offset..]));
        let y = match (y, self.spec.formula) {
            (Some((i, y)), WindowFormula::Depthwise | WindowFormula::DepthwiseBack) => Cow::Owned(turned(i, y)),
            (Some((_, y)), _) => Cow::Borrowed(y),
            (None, _) => Cow::Borrowed(&[][..]),
        };
        let o = Operands { k: self, x: &f32s(reads[0])[self.x.offset..], y, tables: reads[1 + usize::from(self.y.is_some())] };
        let width = self.out.columns * self.out.channels;
        let mut workers = vec![(); parts(self.work(), threads)];
        fork(&mut workers, 0..self.made() * self.out.rows, 1, [width; WRITES], writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
            let out = f32s_mut(w[0]);
            if self.spec.formula == WindowFormula::Back {
                return back::rows(&o, rows, out);
            }
            for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
                wide(Row { o: &o, image: row / self.out.rows, row: row % self.out.rows, out });
            }
        });
        Ok(())
    }

    fn work(&self) -> f64 {
        let [down, across] = self.windows.unwrap_or(self.lists);
        PLACE * (self.images * down.all * across.all * self.out.channels.max(self.x.channels)) as f64
    }
}

/// `[channels, taps]` as `[taps, channels]`.
fn turned(i: Images, y: &[f32]) -> Vec<f32> {
    let taps = i.rows * i.columns;
    (0..i.plane()).map(|e| y[e % i.channels * taps + e / i.channels]).collect()
}

/// The words of a list's entries, two each.
#[inline(always)]
fn entries<'a>(tables: &'a [u32], list: &List, i: usize) -> &'a [u32] {
    &tables[tables[list.starts + i] as usize..tables[list.starts + i + 1] as usize]
}

/// The first element of a place.
#[inline(always)]
fn place(i: &Images, image: usize, row: u32, column: u32) -> usize {
    ((image * i.rows + row as usize) * i.columns + column as usize) * i.channels
}
