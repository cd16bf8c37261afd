use super::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::kernels::{FIRST, LAST, ScatterAdd, ScatterLinks, Take};
use std::ops::Range;

/// Nanoseconds of an element that is copied or added.
const ELEMENT: f64 = 0.3;

pub(super) fn take_spans(k: &Take) -> Vec<Range<usize>> {
    let lengths = [k.rows * k.width, k.count, k.count * k.width];
    k.offsets.iter().zip(lengths).map(|(&o, n)| o..o + n).collect()
}

/// The twin of `shaders/take.wgsl`.
pub(super) fn take(k: &Take, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let table = &reads[0][k.offsets[0]..];
    let indices = &reads[1][k.offsets[1]..];
    let mut workers = vec![(); parts((ELEMENT * k.width as f64 + 3.0) * k.count as f64, threads)];
    fork(&mut workers, 0..k.count, 1, [k.width; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
        for (i, out) in part.zip(w[0].chunks_exact_mut(k.width.max(1))) {
            match indices[i] as usize {
                row if row < k.rows => out.copy_from_slice(&table[row * k.width..][..k.width]),
                _ => out.fill(f32::NAN.to_bits()),
            }
        }
    });
}

pub(super) fn links_spans(k: &ScatterLinks) -> Vec<Range<usize>> {
    vec![k.offset..k.offset + k.count, 0..k.count]
}

/// The twin of `shaders/scatter_links.wgsl`: the same links, in one pass from the end.
pub(super) fn links(k: &ScatterLinks, reads: &[&[u32]], writes: Writes<'_>) {
    let indices = &reads[0][k.offset..][..k.count];
    let links = &mut *writes.into_iter().next().unwrap_or_default();
    let mut next = vec![LAST; k.rows];
    for (i, &index) in indices.iter().enumerate().rev() {
        match next.get_mut(index as usize) {
            Some(next) if Some(index as usize) != k.padding => links[i] = std::mem::replace(next, i as u32),
            // chained too, as on a GPU, but nothing walks it
            _ => links[i] = LAST,
        }
    }
    next.iter().filter(|&&n| n != LAST).for_each(|&n| links[n as usize] |= FIRST);
}

pub(super) fn add_spans(k: &ScatterAdd) -> Vec<Range<usize>> {
    let [values, indices, out] = k.offsets;
    vec![values..values + k.count * k.width, indices..indices + k.count, 0..k.count, out..out + k.rows * k.width]
}

/// The twin of `shaders/scatter_add.wgsl`: a part of the table's rows for each thread, every row's values in index order.
pub(super) fn add(k: &ScatterAdd, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let values = &f32s(reads[0])[k.offsets[0]..];
    let (indices, links) = (&reads[1][k.offsets[1]..][..k.count], reads[2]);
    let mut workers = vec![(); parts(ELEMENT * (k.count * k.width) as f64, threads)];
    fork(&mut workers, 0..k.rows, 1, [k.width; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
        let [out, ..] = w;
        let out = f32s_mut(out);
        for (first, &row) in indices.iter().enumerate() {
            let row = row as usize;
            if links[first] & FIRST == 0 || !part.contains(&row) {
                continue;
            }
            let sum = &mut out[(row - part.start) * k.width..][..k.width];
            sum.copy_from_slice(&values[first * k.width..][..k.width]);
            let mut next = links[first] & LAST;
            while let Some(link) = links.get(next as usize) {
                sum.iter_mut().zip(&values[next as usize * k.width..]).for_each(|(s, v)| *s += v);
                next = link & LAST;
            }
        }
    });
}
