//! A row of a field whose values come from other places than their own: the twin of what `kernels/gather/changed.rs` writes. A row goes through whole buffers of
//! floats, one step after the other, so that each step is a loop over neighbours.

use super::super::lib::draws;
use super::super::lib::fork::{f32s_mut, wide};
use super::plain::one_row;
use super::sample::Sampler;
use crate::graph::augment::{Augmentation, Drawn, ImageSize, NOISE, Partner, Touches};
use crate::graph::{Distribution, Field};
use crate::kernels::words::{STATE_BATCH, STATE_EPOCH, STATE_SEED_HI, STATE_SEED_LO};
use crate::kernels::{Draw, Gather, GatherField};
use crate::rng;
use crate::tensor::DType;

/// What is done to the rows of one batch.
pub(super) struct Change<'a> {
    by: Option<&'a Augmentation>,
    state: &'a [u32],
    noise: Draw,
    rows: usize,
    shown: [usize; 2],
    middle: [i32; 2],
}

/// What was drawn for a row, and for the one that it is mixed with.
#[derive(Clone, Copy)]
pub(super) struct Draws {
    own: Drawn,
    other: Drawn,
    pub partner: Option<Partner>,
}

/// Buffers of a thread.
pub(super) struct Scratch {
    /// A stored row as floats.
    plane: Vec<f32>,
    /// The row that another is mixed with.
    other: Vec<f32>,
    noise: Vec<f32>,
    sampler: Sampler,
}

impl Scratch {
    pub const NEW: Scratch = Scratch { plane: Vec::new(), other: Vec::new(), noise: Vec::new(), sampler: Sampler::NEW };
}

impl<'a> Change<'a> {
    /// None where every field is shown as it is stored.
    pub fn of(kernel: &'a Gather, state: &'a [u32]) -> Option<Self> {
        let (shown, middle) = kernel.image();
        let salt = kernel.augmentation().map_or(0, |a| a.salt);
        let noise = Draw { distribution: Distribution::Normal, stream: rng::stream(NOISE) ^ salt };
        let change = Change { by: kernel.augmentation(), state, noise, rows: kernel.batch, shown, middle };
        kernel.fields.iter().any(GatherField::is_changed).then_some(change)
    }

    /// Nanoseconds of a row, beside its copy.
    pub fn cost(&self, fields: &[GatherField]) -> f64 {
        let Some(by) = self.by else { return 0.0 };
        let mixed = if by.mixes() { 2.0 } else { 1.0 };
        let each = |f: &GatherField| {
            let affine = if by.is_affine() { 3.0 } else { 0.3 };
            let noise = if by.noise.chance.is_some() { 1.0 } else { 0.0 };
            let colours = if by.is_coloured() { 0.5 } else { 0.0 };
            f.field.width() as f64 * (mixed * (affine + colours) + noise)
        };
        100.0 * mixed + fields.iter().filter(|f| f.field.touches().is_some_and(|t| t != Touches::Mixing)).map(each).sum::<f64>()
    }

    /// What is drawn for a row of the batch.
    pub fn draw(&self, row: usize) -> Draws {
        let seed = u64::from(self.state[STATE_SEED_HI]) << 32 | u64::from(self.state[STATE_SEED_LO]);
        let (batch, epoch) = (self.state[STATE_BATCH], self.state[STATE_EPOCH]);
        let draw = |row| self.by.map(|a| a.draw(seed, batch, epoch, row, self.shown, self.middle));
        let partner = self.by.and_then(|a| a.partner(seed, batch, epoch, row, self.rows, self.shown)).filter(|p| p.share < 1.0);
        let own = draw(row).unwrap_or(Drawn::nothing(self.middle));
        Draws { own, other: partner.and_then(|p| draw(p.row)).unwrap_or(own), partner }
    }

    /// A row of a field, from stored to batch: of its own words and those of the row that it is mixed with.
    pub fn row(&self, f: &Field, [own, theirs]: [&[u32]; 2], draws: Draws, row: usize, scratch: &mut Scratch, to: &mut [u32]) {
        let partner = draws.partner.filter(|_| f.augmented.is_some()).map(|p| (p, theirs));
        if f.keep_integer && f.one_hot.is_none() {
            return integers(f, own, partner, &draws, to);
        }
        if f.one_hot.is_some() {
            one_row(f, own, to);
        } else {
            self.shown(f, own, &draws.own, scratch, f32s_mut(to));
        }
        if let Some((p, theirs)) = partner {
            let mut other = std::mem::take(&mut scratch.other);
            other.resize(to.len(), 0.0);
            if f.one_hot.is_some() {
                one_row(f, theirs, bytemuck::cast_slice_mut(&mut other));
            } else {
                self.shown(f, theirs, &draws.other, scratch, &mut other);
            }
            mixed(f, &p, &other, f32s_mut(to));
            scratch.other = other;
        }
        if f.touches() == Some(Touches::All) && draws.own.noise > 0.0 {
            scratch.noise.resize(to.len(), 0.0);
            draws::drawn(&mut scratch.noise, &self.noise, self.state, row * to.len().next_multiple_of(4));
            wide(Noise { to: f32s_mut(to), noise: &scratch.noise, deviation: draws.own.noise });
        }
    }

    /// A row as the model sees it, before rows are mixed.
    fn shown(&self, f: &Field, from: &[u32], drawn: &Drawn, scratch: &mut Scratch, to: &mut [f32]) {
        let touches = f.touches().unwrap_or(Touches::Mixing);
        match f.image {
            None => wide(Floats { f, from, to: &mut *to }),
            Some(image) => {
                let own = Drawn::nothing(image.middle());
                let drawn = if touches == Touches::Mixing { &own } else { drawn };
                let affine = touches != Touches::Mixing && self.by.is_some_and(Augmentation::is_affine);
                plane(f, from, &mut scratch.plane);
                if affine {
                    scratch.sampler.sample(image, drawn, &scratch.plane, f.stored == DType::U8, to);
                } else {
                    lines(image, drawn, &scratch.plane, to);
                }
            }
        }
        if let (Touches::All, Some(by), Some(image)) = (touches, self.by, f.image)
            && by.is_coloured()
        {
            wide(Colours { image, bytes: f.stored == DType::U8, mean: by.mean, by: drawn.colours, to: &mut *to });
        }
        wide(Affine { f, to: &mut *to });
        if let (Touches::All, Some(image)) = (touches, f.image) {
            let (hole, [rows, columns]) = (&drawn.hole, image.shown);
            for plane in to.chunks_exact_mut((rows * columns).max(1)) {
                for line in plane.chunks_exact_mut(columns.max(1)).take(hole.to[1] as usize).skip(hole.from[1] as usize) {
                    line[hole.from[0] as usize..hole.to[0] as usize].fill(0.0);
                }
            }
        }
    }
}

/// A stored row as floats.
fn plane(f: &Field, from: &[u32], out: &mut Vec<f32>) {
    out.resize(f.stored_width(), 0.0);
    wide(Floats { f, from, to: out });
}

/// An element of a stored row, as it is.
fn stored(f: &Field, from: &[u32], at: usize) -> u32 {
    if f.stored == DType::U8 { from[at / 4] >> (8 * (at % 4)) & 255 } else { from[at] }
}

fn number(stored: DType, word: u32) -> f32 {
    if stored == DType::F32 { f32::from_bits(word) } else { word as f32 }
}

/// The lines of the shown image, each a piece of a stored one or its mirror image.
fn lines(image: ImageSize, drawn: &Drawn, plane: &[f32], to: &mut [f32]) {
    let ([_, high, wide], [rows, columns]) = (image.stored, image.shown);
    let left = drawn.corner[0];
    // the shown columns that lie in the stored image, counted from the stored one's side
    let first = (-left).clamp(0, columns as i32) as usize;
    let last = (wide as i32 - left).clamp(first as i32, columns as i32) as usize;
    for (c, channel) in to.chunks_exact_mut((rows * columns).max(1)).enumerate() {
        for (y, line) in channel.chunks_exact_mut(columns.max(1)).enumerate() {
            let y = if drawn.mirrored[1] { rows - 1 - y } else { y } as i32 + drawn.corner[1];
            if y < 0 || y >= high as i32 || first == last {
                line.fill(0.0);
                continue;
            }
            let from = &plane[(c * high + y as usize) * wide..][..wide];
            let from = &from[(first as i32 + left) as usize..][..last - first];
            if drawn.mirrored[0] {
                line[columns - first..].fill(0.0);
                line[..columns - last].fill(0.0);
                line[columns - last..columns - first].iter_mut().zip(from.iter().rev()).for_each(|(t, v)| *t = *v);
            } else {
                line[..first].fill(0.0);
                line[last..].fill(0.0);
                line[first..last].copy_from_slice(from);
            }
        }
    }
}

/// Integers come from the nearest place.
fn integers(f: &Field, own: &[u32], partner: Option<(Partner, &[u32])>, draws: &Draws, to: &mut [u32]) {
    let Some(image) = f.image else {
        return to.iter_mut().enumerate().for_each(|(e, t)| *t = stored(f, own, e));
    };
    let [_, rows, columns] = [0, image.shown[0], image.shown[1]];
    let changed = f.touches().is_some_and(|t| t != Touches::Mixing);
    let at_rest = Drawn::nothing(image.middle());
    for (e, t) in to.iter_mut().enumerate() {
        let (x, y, channel) = (e % columns, e / columns % rows, e / columns / rows);
        let cut = partner.filter(|(p, _)| changed && p.cut.is_some_and(|c| c.holds(x as i32, y as i32)));
        let (words, drawn) = cut.map_or((own, &draws.own), |(_, theirs)| (theirs, &draws.other));
        let [px, py] = nearest(image, if changed { drawn } else { &at_rest }, x, y);
        let [_, high, wide] = image.stored.map(|n| n as i32);
        let inside = px >= 0 && py >= 0 && px < wide && py < high;
        *t = if inside { stored(f, words, ((channel as i32 * high + py) * wide + px) as usize) } else { 0 };
    }
}

/// The stored place that is nearest to where one of the shown image comes from.
fn nearest(image: ImageSize, drawn: &Drawn, x: usize, y: usize) -> [i32; 2] {
    let p = [(x, image.shown[1], 0), (y, image.shown[0], 1)].map(|(v, n, axis)| {
        let v = if drawn.mirrored[axis] { n - 1 - v } else { v };
        v as i32 + drawn.corner[axis]
    });
    if drawn.inverse == [1.0, 0.0, 0.0, 1.0] && drawn.moved == [0.0; 2] {
        return p;
    }
    let middle = [image.stored[2], image.stored[1]].map(|n| 0.5 * (n as f32 - 1.0));
    let q = [0, 1].map(|i| p[i] as f32 - middle[i] - drawn.moved[i]);
    let [a, b, c, d] = drawn.inverse;
    [((a * q[0] + b * q[1]) + middle[0] + 0.5).floor() as i32, ((c * q[0] + d * q[1]) + middle[1] + 0.5).floor() as i32]
}

/// Two rows become one: pixels within a box are the other's, or all are blended.
fn mixed(f: &Field, p: &Partner, other: &[f32], to: &mut [f32]) {
    let pixels = f.image.filter(|_| f.touches().is_some_and(|t| t != Touches::Mixing));
    if let (Some(image), Some(cut)) = (pixels, p.cut) {
        let [rows, columns] = image.shown;
        for (e, (line, theirs)) in to.chunks_exact_mut(columns.max(1)).zip(other.chunks_exact(columns.max(1))).enumerate() {
            let y = (e % rows.max(1)) as i32;
            if y >= cut.from[1] && y < cut.to[1] {
                let part = cut.from[0] as usize..cut.to[0] as usize;
                line[part.clone()].copy_from_slice(&theirs[part]);
            }
        }
        return;
    }
    to.iter_mut().zip(other).for_each(|(t, o)| *t = o * (1.0 - p.share) + *t * p.share);
}

/// Stored values as floats.
struct Floats<'a> {
    f: &'a Field,
    from: &'a [u32],
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Floats<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Floats { f, from, to } = self;
        match f.stored {
            DType::U8 if cfg!(target_endian = "little") => {
                let bytes: &[u8] = bytemuck::cast_slice(from);
                to.iter_mut().zip(bytes).for_each(|(t, &b)| *t = b.into());
            }
            DType::U8 => to.iter_mut().zip(from.iter().flat_map(|w| w.to_le_bytes())).for_each(|(t, b)| *t = b.into()),
            kind => to.iter_mut().zip(from).for_each(|(t, &w)| *t = number(kind, w)),
        }
    }
}

/// Brightness, contrast and saturation.
struct Colours<'a> {
    image: ImageSize,
    bytes: bool,
    mean: f32,
    by: [f32; 3],
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Colours<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Colours { image, bytes, mean, by: [brightness, contrast, saturation], to } = self;
        // what is no byte has no bounds
        let bounded = |v: f32| if bytes { v.clamp(0.0, 255.0) } else { v };
        if brightness != 1.0 {
            to.iter_mut().for_each(|v| *v = bounded(*v * brightness));
        }
        if contrast != 1.0 {
            to.iter_mut().for_each(|v| *v = bounded(mean + (*v - mean) * contrast));
        }
        if saturation != 1.0 && image.stored[0] == 3 {
            let each = image.shown[0] * image.shown[1];
            let (red, rest) = to.split_at_mut(each);
            let (green, blue) = rest.split_at_mut(each);
            for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
                let grey = 0.2989 * *r + 0.587 * *g + 0.114 * *b;
                for v in [r, g, b] {
                    *v = bounded(grey + (*v - grey) * saturation);
                }
            }
        }
    }
}

/// The scale and the shift, or those of the channels.
struct Affine<'a> {
    f: &'a Field,
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Affine<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Affine { f, to } = self;
        match &f.channels {
            Some(c) if c.each == 1 => {
                for row in to.chunks_exact_mut(c.scale.len().max(1)) {
                    row.iter_mut().zip(&c.scale).zip(&c.shift).for_each(|((v, scale), shift)| *v = *v * scale + shift);
                }
            }
            Some(c) => {
                for (i, part) in to.chunks_mut(c.each.max(1)).enumerate() {
                    let (scale, shift) = c.of(i * c.each);
                    part.iter_mut().for_each(|v| *v = *v * scale + shift);
                }
            }
            None if f.shift == 0.0 => to.iter_mut().for_each(|v| *v *= f.scale),
            None => to.iter_mut().for_each(|v| *v = *v * f.scale + f.shift),
        }
    }
}

/// Normal noise of this deviation upon each value.
struct Noise<'a> {
    to: &'a mut [f32],
    noise: &'a [f32],
    deviation: f32,
}

impl pulp::NullaryFnOnce for Noise<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Noise { to, noise, deviation } = self;
        to.iter_mut().zip(noise).for_each(|(t, n)| *t += deviation * n);
    }
}
