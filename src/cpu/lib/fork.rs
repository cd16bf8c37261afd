//! Work shared out to threads, and small things that many loops need.

use super::shared::Shared;
use crate::expr::{Binary, Expr, Node, Unary};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Buffers that a launch can write.
pub(crate) const WRITES: usize = 8;

/// What a launch writes, in binding order; the rest is empty.
pub(crate) type Writes<'a> = [&'a mut [u32]; WRITES];

/// Nanoseconds of work that are worth a thread of their own, while [`awake`](crate::cpu::awake) keeps them from sleeping (the article's step, on two
/// cores: 0.145 ms with this or half of it, 0.18 with 15,000; 0.25 with 12,000 where threads sleep, and 0.18 with 60,000).
const PART: f64 = 6000.0;

/// How many threads this much work is worth. It decides who computes, never what: cuts fall between units that do not know each other.
pub(crate) fn parts(nanoseconds: f64, threads: usize) -> usize {
    ((nanoseconds / PART) as usize).clamp(1, threads.max(1))
}

/// A guess at the nanoseconds that a formula takes for one value.
pub(crate) fn cost(f: &Expr) -> f64 {
    let unary = |u: Unary| match u {
        Unary::Exp => 0.4,
        Unary::Expm1 | Unary::Log | Unary::Tanh => 0.6,
        Unary::Sin | Unary::Cos | Unary::Sigmoid | Unary::Erf => 0.8,
        Unary::Softplus => 1.0,
        Unary::Sqrt => 0.25,
        Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Relu | Unary::Positive | Unary::Half => 0.08,
    };
    let binary = |b: Binary| match b {
        Binary::Pow => 2.3,
        Binary::Div => 0.25,
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min => 0.08,
        Binary::Less | Binary::LessEqual | Binary::Equal => 0.08,
    };
    let node = |n: &Node| match *n {
        Node::Input(_) => 0.05,
        Node::Rate(_) | Node::Const(_) => 0.0,
        Node::Unary(u, _) => unary(u),
        Node::Binary(b, ..) => binary(b),
        Node::Select(..) => 0.08,
    };
    f.nodes().iter().map(node).sum::<f64>() + 0.05 * f.outputs().len() as f64
}

/// Runs `work` over all units, in contiguous parts that are cut at multiples of `grain` and that the workers take as they come to them: a part's neighbours
/// are mostly its worker's. A unit owns `widths[i]` words of write `i`; each part is handed the words of its own units.
pub(crate) fn fork<W, F>(workers: &mut [W], units: Range<usize>, grain: usize, widths: [usize; WRITES], writes: Writes<'_>, work: &F)
where
    W: Send,
    F: Fn(&mut W, Range<usize>, Writes<'_>) + Sync,
{
    fork_halves(workers, units, grain, widths.map(|w| 2 * w), writes, work);
}

/// As [`fork`]; the widths are of half words, and a grain of units fills whole ones.
pub(crate) fn fork_halves<W, F>(workers: &mut [W], units: Range<usize>, grain: usize, widths: [usize; WRITES], writes: Writes<'_>, work: &F)
where
    W: Send,
    F: Fn(&mut W, Range<usize>, Writes<'_>) + Sync,
{
    let (grain, threads) = (grain.max(1), workers.len());
    let grains = units.len().div_ceil(grain);
    if threads < 2 || grains < 2 {
        if let Some(w) = workers.first_mut() {
            work(w, units, writes);
        }
        return;
    }
    // a thread that others hold up leaves the rest of its parts to the others
    let parts = grains.min(threads * (grains / threads / GRAINS).clamp(1, PARTS));
    let writes = writes.map(Shared::new);
    share(&mut workers[..threads.min(parts)], parts, &|w: &mut W, part: usize| {
        let [from, to] = [part, part + 1].map(|p| (p * grains / parts * grain).min(units.len()));
        let own: Writes<'_> = std::array::from_fn(|i| {
            let [start, end] = [from, to].map(|unit| (unit * widths[i] / 2).min(writes[i].len()));
            // SAFETY: a part is taken once, and these words are its units' alone
            unsafe { writes[i].part(start..if part + 1 == parts { writes[i].len() } else { end }) }
        });
        work(w, units.start + from..units.start + to, own);
    });
}

/// Grains that are worth a part of their own.
const GRAINS: usize = 8;
/// Parts that a thread begins with, at most.
const PARTS: usize = 8;

/// Runs `work` on every one of so many units, whose results do not know each other. Each worker begins with neighbours of its own and helps the others once
/// they are done. [`fork`] shares out in the same places: a thread tends to find in its cache what the launch before left there.
pub(crate) fn share<W: Send>(workers: &mut [W], units: usize, work: &(impl Fn(&mut W, usize) + Sync)) {
    if let [one] = workers {
        return (0..units).for_each(|unit| work(one, unit));
    }
    let parts = workers.len().min(MOST_PARTS);
    let begun: [AtomicUsize; MOST_PARTS] = std::array::from_fn(|p| AtomicUsize::new(if p < parts { p * units / parts } else { units }));
    each(&mut workers[..parts], 0, &|w: &mut W, own: usize| {
        for part in (own..parts).chain(0..own) {
            let end = (part + 1) * units / parts;
            loop {
                let unit = begun[part].fetch_add(1, Ordering::Relaxed);
                if unit >= end {
                    break;
                }
                work(w, unit);
            }
        }
    });
}

/// Threads that share units; further ones have none. Counters that are made anew for every product must be few, and no allocation.
const MOST_PARTS: usize = 128;

/// Runs `work` once for each worker, which is told its number, on as many threads as are awake.
fn each<W: Send>(workers: &mut [W], first: usize, work: &(impl Fn(&mut W, usize) + Sync)) {
    match workers {
        [] => {}
        [one] => work(one, first),
        many => {
            let half = many.len() / 2;
            let (before, after) = many.split_at_mut(half);
            rayon::join(|| each(before, first, work), || each(after, first + half, work));
        }
    }
}

/// Runs with the machine's widest vectors. A struct and not a closure: what the compiler leaves uninlined keeps the narrow ones.
pub(crate) fn wide<T: pulp::NullaryFnOnce>(work: T) -> T::Output {
    pulp::Arch::new().dispatch(work)
}

/// Words as floats.
pub(crate) fn f32s(words: &[u32]) -> &[f32] {
    bytemuck::cast_slice(words)
}

/// Words as floats.
pub(crate) fn f32s_mut(words: &mut [u32]) -> &mut [f32] {
    bytemuck::cast_slice_mut(words)
}

/// The sum of `f(x)`: blocks of 256 in 32 lanes, the blocks in f64. The same bits at any vector width.
#[inline(always)]
pub(crate) fn total(x: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    total_of(x, x, |v, _| f(v))
}

/// The sum of `f(x, y)` over two rows, as [`total`].
#[inline(always)]
pub(crate) fn total_of(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut sums = [0.0f64; LANES];
    // what is summed is made first: two plain loops, and a lane stays in its register
    if x.len() <= LANES {
        let mut made = [0.0f32; LANES];
        for ((m, &a), &b) in made.iter_mut().zip(x).zip(y) {
            *m = f(a, b);
        }
        for (sum, m) in sums.iter_mut().zip(made) {
            *sum = f64::from(m);
        }
        return joined(sums);
    }
    for (x, y) in x.chunks(SUMMED).zip(y.chunks(SUMMED)) {
        let mut made = [0.0f32; SUMMED];
        for ((m, &a), &b) in made.iter_mut().zip(x).zip(y) {
            *m = f(a, b);
        }
        for (i, sum) in sums.iter_mut().enumerate() {
            let mut lane = 0.0;
            for row in 0..SUMMED / LANES {
                lane += made[row * LANES + i];
            }
            *sum += f64::from(lane);
        }
    }
    joined(sums)
}

/// The sum of all lanes, half of them to the other half: one after another each addition would wait for the one before it, longer than a short row takes.
#[inline(always)]
pub(crate) fn joined(mut lanes: [f64; LANES]) -> f64 {
    for half in [16, 8, 4, 2, 1] {
        let (to, from) = lanes.split_at_mut(half);
        to.iter_mut().zip(from).for_each(|(l, &mut o)| *l += o);
    }
    lanes[0]
}

/// Lanes of a sum.
pub(crate) const LANES: usize = 32;
/// Numbers that are summed in f32 before they go to the sum in f64.
pub(crate) const SUMMED: usize = 256;
