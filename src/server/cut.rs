//! Where the parameters are cut for several servers: at borders of tensors.

use std::ops::Range;

/// Tensors of these sizes in so many ranges, each of one tensor at least: such that the largest range is as small as can be. None where there are fewer tensors
/// than ranges.
pub(super) fn cut(sizes: &[usize], of: usize) -> Option<Vec<Range<usize>>> {
    if of == 0 || sizes.len() < of {
        return None;
    }
    // the least that a range must hold: between the largest tensor and all
    let (mut least, mut most) = (sizes.iter().copied().max()?, sizes.iter().sum::<usize>());
    while least < most {
        let half = least + (most - least) / 2;
        if filled(sizes, half, 0).len() <= of { most = half } else { least = half + 1 }
    }
    Some(filled(sizes, most, of))
}

/// Ranges that hold no more than `most`, each as full as can be; but so that there are at least `of`.
fn filled(sizes: &[usize], most: usize, of: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = vec![];
    let mut held = 0;
    for (i, size) in sizes.iter().enumerate() {
        // whether all that are left are wanted as ranges of their own
        let scarce = ranges.len() + sizes.len() - i <= of;
        match ranges.last_mut().filter(|_| held + size <= most && !scarce) {
            Some(last) => (last.end, held) = (i + 1, held + size),
            None => {
                ranges.push(i..i + 1);
                held = *size;
            }
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest(sizes: &[usize], ranges: &[Range<usize>]) -> usize {
        ranges.iter().map(|r| sizes[r.clone()].iter().sum()).max().unwrap()
    }

    /// All cuts of `n` tensors in `of` ranges.
    fn all(first: usize, n: usize, of: usize) -> Vec<Vec<Range<usize>>> {
        use std::iter::once;
        if of == 1 {
            return vec![once(first..n).collect()];
        }
        let with = |end: usize| all(end, n, of - 1).into_iter().map(move |rest| once(first..end).chain(rest).collect());
        (first + 1..=n - (of - 1)).flat_map(with).collect()
    }

    /// Ranges follow one another and hold a tensor each, and no cut has a smaller largest one.
    #[test]
    fn no_cut_is_better() {
        let mut random = crate::rng::Philox::new(7, "cut");
        for n in 1..8 {
            for _ in 0..40 {
                let sizes: Vec<usize> = (0..n).map(|_| 1 + (random.uniform() * 100.0) as usize).collect();
                for of in 1..=n {
                    let ranges = cut(&sizes, of).unwrap();
                    assert_eq!(ranges.len(), of, "{sizes:?}");
                    assert!(ranges[0].start == 0 && ranges[of - 1].end == n && ranges.windows(2).all(|w| w[0].end == w[1].start));
                    assert!(ranges.iter().all(|r| !r.is_empty()), "{sizes:?}: {ranges:?}");
                    let best = all(0, n, of).iter().map(|r| largest(&sizes, r)).min().unwrap();
                    assert_eq!(largest(&sizes, &ranges), best, "{sizes:?} in {of}: {ranges:?}");
                }
            }
        }
    }

    #[test]
    fn a_tensor_is_not_cut() {
        assert_eq!(cut(&[100, 1, 1, 1], 3), Some(vec![0..1, 1..3, 3..4]));
        assert_eq!(cut(&[1, 1, 100], 2), Some(vec![0..2, 2..3]));
        assert_eq!(cut(&[5, 5], 3), None);
        assert_eq!(cut(&[5], 0), None);
        assert_eq!(cut(&[], 1), None);
    }
}
