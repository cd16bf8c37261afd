//! Axes of a shape that are one to all that steps along them.

/// The axes of a shape, merged with their neighbours where every operand steps on evenly from one to the other: the numbers of the axes that
/// make each one up, outermost first. `steps` are an operand's over the shape; an axis of size 1 belongs to none, and one that is `apart` to no outer one.
pub fn merged(shape: &[usize], steps: &[&[usize]], apart: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = Vec::new();
    for axis in (0..shape.len()).filter(|&a| shape[a] != 1) {
        let even = |outer: usize| !apart(axis) && steps.iter().all(|s| s[outer] == s[axis] * shape[axis]);
        match out.last_mut().and_then(|group| Some((*group.last()?, group))) {
            Some((outer, group)) if even(outer) => group.push(axis),
            _ => out.push(vec![axis]),
        }
    }
    out
}

/// The steps over another shape of as many elements that lead to the same elements in the same order, if there are any.
pub fn reshaped(shape: &[usize], steps: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    // of each merged axis what is left of its extent, and its step
    let mut axes: Vec<(usize, usize)> = merged(shape, &[steps], |_| false)
        .iter()
        .map(|group| (group.iter().map(|&a| shape[a]).product(), group.last().map_or(0, |&a| steps[a])))
        .collect();
    let mut out = vec![0; to.len()];
    for (axis, &size) in to.iter().enumerate().rev().filter(|(_, size)| **size != 1) {
        let (left, step) = axes.last_mut()?;
        if !left.is_multiple_of(size) {
            return None;
        }
        out[axis] = *step;
        (*left, *step) = (*left / size, *step * size);
        if *left == 1 {
            axes.pop();
        }
    }
    axes.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shape and the steps of operands over it, and the axes that are left.
    #[test]
    fn axes_are_merged() {
        let all = |shape: &[usize], steps: &[&[usize]]| merged(shape, steps, |_| false);
        // all of a tensor as it lies; a bias along its last axis; one value for each image
        let whole: &[usize] = &[60, 20, 5, 1];
        assert_eq!(all(&[2, 3, 4, 5], &[whole]), [[0, 1, 2, 3]]);
        assert_eq!(all(&[2, 3, 4, 5], &[whole, &[0, 0, 0, 1]]), [vec![0, 1, 2], vec![3]]);
        assert_eq!(all(&[2, 3, 4, 5], &[whole, &[1, 0, 0, 0]]), [vec![0], vec![1, 2, 3]]);
        assert_eq!(all(&[2, 3, 4, 5], &[whole, &[0, 4, 1, 0]]), [vec![0], vec![1, 2], vec![3]]);
        // permuted; axes of one element in between, whatever their steps
        assert_eq!(all(&[3, 2], &[&[1, 3]]), [[0], [1]]);
        assert_eq!(all(&[2, 1, 3, 1], &[&[3, 7, 1, 9]]), [[0, 2]]);
        assert!(all(&[1, 1], &[&[5, 5]]).is_empty() && all(&[], &[&[]]).is_empty());
        assert_eq!(merged(&[2, 3], &[&[3, 1]], |axis| axis == 1), [[0], [1]]);
    }

    #[test]
    fn steps_go_through_a_reshape() {
        assert_eq!(reshaped(&[2, 3, 4], &[12, 4, 1], &[6, 4]), Some(vec![4, 1]));
        assert_eq!(reshaped(&[6, 4], &[4, 1], &[2, 1, 3, 2, 2]), Some(vec![12, 0, 4, 2, 1]));
        // repeated along the outer axes; rows of a wider matrix
        assert_eq!(reshaped(&[2, 3, 4], &[0, 0, 1], &[6, 4]), Some(vec![0, 1]));
        assert_eq!(reshaped(&[6, 4], &[8, 1], &[2, 3, 4]), Some(vec![24, 8, 1]));
        // what no steps lead to
        assert_eq!(reshaped(&[6, 4], &[8, 1], &[24]), None);
        assert_eq!(reshaped(&[3, 2], &[1, 3], &[2, 3]), None);
        assert_eq!(reshaped(&[1, 1], &[5, 7], &[]), Some(vec![]));
    }

    /// Every element is found where the plain order has it.
    #[test]
    fn reshapes_keep_the_order() {
        let places = |shape: &[usize], steps: &[usize]| -> Vec<usize> {
            let size: usize = shape.iter().product();
            let place = |mut e: usize| {
                let axes = shape.iter().zip(steps).rev();
                axes.fold(0, |at, (&d, &s)| {
                    let c = e % d;
                    e /= d;
                    at + c * s
                })
            };
            (0..size).map(place).collect()
        };
        let shapes: [&[usize]; 6] = [&[2, 3, 4], &[6, 4], &[24], &[4, 1, 6], &[2, 12], &[3, 2, 2, 2]];
        for steps in [[12, 4, 1], [4, 8, 1], [0, 4, 1], [1, 2, 6], [24, 8, 2], [12, 4, 0]] {
            for to in shapes {
                if let Some(found) = reshaped(&[2, 3, 4], &steps, to) {
                    assert_eq!(places(&[2, 3, 4], &steps), places(to, &found), "{steps:?} to {to:?}");
                }
            }
        }
    }
}
