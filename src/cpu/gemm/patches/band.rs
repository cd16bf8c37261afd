//! What the patches of some positions see of their images, copied to where a kernel steps evenly: zeros stand where a patch reaches past its image, and
//! neighbouring positions lie equally far apart, whatever the channels and the stride.

use crate::cpu::lib::fork::wide;
use crate::kernels::{Patches, Walk};
use std::ops::Range;

/// Channels that lie side by side at a place of a band. Further ones lie a plane behind.
pub(super) const GROUP: usize = 16;

/// As many numbers, where a line of the cache begins: a vector that lies across two costs twice.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Line(pub [f32; GROUP]);

/// The numbers of so many lines.
pub(super) fn numbers(lines: &[Line]) -> &[f32] {
    // SAFETY: a line is its numbers, and nothing beside
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * GROUP) }
}

/// As [`numbers`].
pub(super) fn numbers_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: a line is its numbers, and nothing beside
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * GROUP) }
}

/// Some positions' part of their images. Channel `c` of a position and a tap is element `spot + tap + c / GROUP * plane + c % GROUP`; what stands behind the last
/// channel is of no meaning.
pub(super) struct Band {
    copied: Vec<Line>,
    /// Where spots are counted from: the above, or the images themselves.
    start: *const f32,
    /// Of each position.
    pub spots: Vec<usize>,
    /// Of each tap.
    pub taps: Vec<usize>,
    pub plane: usize,
    /// What the above were made for: they are the same for most blocks of a product.
    known: Option<(Shape, Range<usize>)>,
}

/// How a band lies.
#[derive(Clone, Copy, PartialEq)]
struct Shape {
    walks: [Walk; 2],
    /// Of each place, and those from one place of an image to the next.
    channels: [usize; 2],
    /// The first of the positions in a row that are looked at.
    first: usize,
    /// Places of a row, of those that leave the same rest by the stride.
    columns: usize,
}

/// Lines that a row of positions may see at most: 16 MiB of them.
const MOST: usize = 1 << 18;
/// Lines that several rows of positions should see at most.
const MANY: usize = 1 << 14;

impl Shape {
    /// For these positions, counted through all images. A part of a row of positions needs a part of the places.
    fn new(p: &Patches, walks: &[Walk; 2], rows: &Range<usize>) -> Shape {
        let [down, across] = *walks;
        let all = rows.start / across.positions != rows.end.saturating_sub(1) / across.positions;
        let (first, count) = if all { (0, across.positions) } else { (rows.start % across.positions, rows.len()) };
        let columns = (count.saturating_sub(1) * across.stride + across.reach()) / across.stride + 1;
        let apart = p.image / (down.extent * across.extent).max(1);
        Shape { walks: *walks, channels: [p.channels, apart], first, columns }
    }

    /// Rests by the stride that places of a row leave, as far as a tap sees them.
    fn rests(&self) -> usize {
        self.walks[1].stride.min(self.walks[1].reach() + 1)
    }

    /// Lines of a group of channels in a row: places that leave no rest by the stride, those that leave 1 ..
    fn plane(&self) -> usize {
        self.rests() * self.columns
    }

    /// Lines of a row.
    fn row(&self) -> usize {
        self.channels[0].div_ceil(GROUP) * self.plane()
    }

    /// Whether nothing need be copied: a window of one place sees whole groups of channels, and nothing beside the image.
    fn lies_in_images(&self) -> bool {
        let inside = |w: &Walk| w.taps == 1 && w.first == 0 && (w.positions - 1) * w.stride < w.extent;
        self.walks.iter().all(inside) && self.channels[0].is_multiple_of(GROUP)
    }

    /// Rows that so many rows of positions see.
    fn high(&self, rows: usize) -> usize {
        (rows - 1) * self.walks[0].stride + self.walks[0].reach() + 1
    }

    /// Each tap's distance from a spot.
    fn taps(&self) -> impl Iterator<Item = usize> {
        let [down, across] = self.walks;
        let along = move |u: usize| u % across.stride * self.columns + u / across.stride;
        let below = move |i: usize| down.above(i) * self.row();
        (0..down.taps).flat_map(move |i| (0..across.taps).map(move |j| (below(i) + along(across.above(j))) * GROUP))
    }
}

/// How many positions at a time are worth a band, of so many that would be fine: none where even a row of them sees too much.
pub(super) fn positions(p: &Patches, walks: &[Walk; 2], fine: usize) -> usize {
    let across = walks[1].positions;
    let shape = Shape::new(p, walks, &(0..across.min(fine)));
    let lines = |rows: usize| shape.high(rows).saturating_mul(shape.row());
    if lines(1) > MOST {
        return 0;
    }
    let whole = Shape::new(p, walks, &(0..across));
    let image = whole.high(walks[0].positions).saturating_mul(whole.row());
    // several images, or less
    if p.positions < fine && image > 0 { fine.min((MANY / image).max(1) * p.positions) } else { fine }
}

impl Default for Band {
    fn default() -> Self {
        Band { copied: vec![], start: std::ptr::null(), spots: vec![], taps: vec![], plane: 0, known: None }
    }
}

impl Band {
    /// Of these rows of a factor, whose images begin at `x`.
    pub fn fill(&mut self, p: &Patches, walks: &[Walk; 2], x: &[f32], rows: Range<usize>) {
        let shape = Shape::new(p, walks, &rows);
        let ([down, across], row, lent) = (walks, shape.row(), shape.lies_in_images());
        // where in an image these lie decides where they are here
        let start = rows.start % p.positions;
        let within = if lent { start } else { start % across.positions };
        let known = (start + rows.len() <= p.positions).then(|| (shape, within..within + rows.len()));
        let found = known.is_some() && known == self.known;
        if !found {
            self.known = None;
            self.spots.clear();
            self.taps.clear();
            self.taps.extend(shape.taps());
            self.plane = if lent { GROUP } else { shape.plane() * GROUP };
        }
        let (mut done, mut size) = (rows.start, 0);
        let images = &x[rows.start / p.positions * p.image..];
        while done < rows.end {
            let (image, position) = ((done - (rows.start - start)) / p.positions, done % p.positions);
            let own = position..p.positions.min(position + rows.end - done);
            let (top, bottom) = (own.start / across.positions, own.end.div_ceil(across.positions));
            let end = size + shape.high(bottom - top) * row;
            if !found {
                let place = |at: usize| [at / across.positions, at % across.positions];
                let seen = |[y, x]: [usize; 2]| (y * down.stride * across.extent + x * across.stride) * shape.channels[1] + image * p.image;
                let spot = |[y, x]: [usize; 2]| (size + (y - top) * down.stride * row + x - shape.first) * GROUP;
                self.spots.extend(own.clone().map(place).map(|at| if lent { seen(at) } else { spot(at) }));
            }
            if !lent {
                if self.copied.len() < end {
                    self.copied.resize(end, Line::default());
                }
                let origin = [(top * down.stride) as isize + down.lowest(), (shape.first * across.stride) as isize + across.lowest()];
                wide(Copied { to: &mut self.copied[size..end], from: &images[image * p.image..], shape: &shape, origin });
            }
            (size, done) = (end, done + own.len());
        }
        self.known = known;
        self.start = self.copied.as_ptr().cast();
        if lent {
            // whole groups of channels behind each
            assert!(self.spots.iter().all(|spot| spot + shape.channels[0] <= images.len()));
            self.start = images.as_ptr();
        }
    }

    /// Where the channels of the first tap of spot 0 are; all others lie behind. What it points to is there while the images of the last `fill` are.
    pub fn start(&self) -> *const f32 {
        self.start
    }
}

/// Rows of an image, with zeros for what lies outside of it.
struct Copied<'a> {
    to: &'a mut [Line],
    from: &'a [f32],
    shape: &'a Shape,
    /// The first row and column.
    origin: [isize; 2],
}

impl pulp::NullaryFnOnce for Copied<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Copied { to, from, shape, origin: [top, left] } = self;
        let ([down, across], [own, apart]) = (&shape.walks, shape.channels);
        let stride = across.stride;
        for (v, to) in to.chunks_exact_mut(shape.row().max(1)).enumerate() {
            let y = top + v as isize;
            if !(0..down.taps).any(|tap| v >= down.above(tap) && (v - down.above(tap)).is_multiple_of(down.stride)) {
                continue;
            }
            let inside = (0..down.extent as isize).contains(&y);
            for (i, to) in to.chunks_exact_mut(shape.columns).enumerate() {
                let (group, rest) = (i / shape.rests(), i % shape.rests());
                if stride > 1 && (0..across.taps).all(|tap| across.above(tap) % stride != rest) {
                    continue;
                }
                let x = left + rest as isize;
                let before = |end: isize| ((end - x).max(0) as usize).div_ceil(stride).min(shape.columns);
                let (first, last) = if inside { (before(0), before(across.extent as isize)) } else { (shape.columns, shape.columns) };
                to[..first].fill(Line::default());
                to[last..].fill(Line::default());
                if first < last {
                    let place = y as usize * across.extent + (x + (first * stride) as isize) as usize;
                    let channels = GROUP.min(own - group * GROUP);
                    places(&mut to[first..last], &from[place * apart + group * GROUP..], channels, stride * apart);
                }
            }
        }
    }
}

/// So many channels of each place, so far apart in an image.
#[inline(always)]
fn places(to: &mut [Line], from: &[f32], channels: usize, apart: usize) {
    // as whole vectors where they are there, which costs less than the channels alone
    let whole = if from.len() < GROUP { 0 } else { ((from.len() - GROUP) / apart + 1).min(to.len()) };
    let (most, rest) = to.split_at_mut(whole);
    if apart == GROUP {
        numbers_mut(most).copy_from_slice(&from[..whole * GROUP]);
    } else {
        for (i, to) in most.iter_mut().enumerate() {
            // SAFETY: `whole` is how often as many elements lie behind a place
            to.0 = unsafe { from.as_ptr().add(i * apart).cast::<[f32; GROUP]>().read() };
        }
    }
    for (i, to) in rest.iter_mut().enumerate() {
        to.0[..channels].copy_from_slice(&from[(whole + i) * apart..][..channels]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Anything, or what can be read where the images lie.
    fn walk() -> impl Strategy<Value = Walk> {
        let anywhere = (1..7usize, 1..9usize, 1..4usize, 1..4usize, -4..5isize, -3..4isize);
        (anywhere, any::<bool>()).prop_map(|((extent, positions, stride, taps, first, step), plain)| {
            let (taps, first) = if plain { (1, 0) } else { (taps, first) };
            Walk { extent, positions, stride, taps, first, step }
        })
    }

    proptest! {
        /// Every tap of every position, wherever its window walks: the image's channels, or zeros outside. One band is filled again and again, for two
        /// convolutions in turns.
        #[test]
        fn a_band_holds_what_patches_see(
            both in [[walk(), walk()], [walk(), walk()]],
            channels in [prop::sample::select(vec![1, 3, 16, 20, 32, 35]), prop::sample::select(vec![16, 32])],
            beside in 0..3usize,
            fills in prop::collection::vec((0..200usize, 1..60usize), 1..8),
        ) {
            let mut band = Band::default();
            for (turn, (first, count)) in fills.into_iter().enumerate() {
                let (walks, channels) = (both[turn % 2], channels[turn % 2]);
                let [down, across] = walks;
                let (positions, apart) = (down.positions * across.positions, channels + beside);
                let image = down.extent * across.extent * apart;
                let taps = down.taps * across.taps;
                let p = Patches { image, channels, positions, taps, terms: 0, starts: 0, first: 0, apart: 0, walks: Some(walks) };
                let images = 3;
                // what stands behind belongs to others
                let mut x: Vec<f32> = (1..=images * image).map(|v| v as f32).collect();
                x.resize(2 * x.len() + 1000, f32::NAN);
                let first = first % (images * positions);
                let rows = first..(first + count).min(images * positions);
                band.fill(&p, &walks, &x, rows.clone());
                prop_assert_eq!((band.spots.len(), band.taps.len()), (rows.len(), p.taps));
                for (row, spot) in rows.zip(&band.spots) {
                    let at = [row % positions / across.positions, row % positions % across.positions];
                    for (tap, behind) in band.taps.iter().enumerate() {
                        let taps = [tap / across.taps, tap % across.taps];
                        let place = [0, 1].map(|axis| (at[axis] * walks[axis].stride) as isize + walks[axis].tap(taps[axis]));
                        let inside = [0, 1].iter().all(|&axis| (0..walks[axis].extent as isize).contains(&place[axis]));
                        for channel in 0..channels {
                            let seen = (place[0] * across.extent as isize + place[1]) * apart as isize + channel as isize;
                            let want = if inside { x[row / positions * image + seen as usize] } else { 0.0 };
                            let own = spot + behind + channel / GROUP * band.plane + channel % GROUP;
                            // SAFETY: what the band says of itself
                            let got = unsafe { *band.start().add(own) };
                            prop_assert_eq!(got, want, "row {}, tap {}, channel {}", row, tap, channel);
                        }
                    }
                }
            }
        }
    }
}
