//! The order of axes in which a tensor's elements are stored.

use super::Shape;
use std::borrow::Cow;

/// How a tensor lies in memory where its axes stand there in another order than its user knows. The default is as they are.
///
/// ```
/// use gradus::tensor::Order;
/// // a convolution's weights [out, in, height, width], the channels last
/// let order = Order::of([0, 2, 3, 1]);
/// assert_eq!(order.stored(&[8, 3, 5, 5].into()), [8, 5, 5, 3].into());
/// assert_eq!(*order.store(&[1, 2, 1, 2].into(), &[1, 2, 3, 4]), [1, 3, 2, 4]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Order(Vec<usize>);

impl Order {
    /// Axis `i` of what is stored is axis `axes[i]` of the tensor. What is no order of a tensor's axes leaves it as it is: [`Order::fits`].
    pub fn of(axes: impl Into<Vec<usize>>) -> Self {
        Order(axes.into())
    }

    /// Whether each axis of such a shape is named once, or none is.
    pub fn fits(&self, shape: &Shape) -> bool {
        self.0.is_empty() || (self.0.len() == shape.rank() && (0..shape.rank()).all(|a| self.0.contains(&a)))
    }

    /// The shape of what is stored for a tensor of this shape.
    pub fn stored(&self, shape: &Shape) -> Shape {
        if self.0.is_empty() || !self.fits(shape) { shape.clone() } else { self.0.iter().map(|&a| shape[a]).collect::<Vec<_>>().into() }
    }

    /// The axes of the tensor, in its order, as those of what is stored; none where both are the same.
    pub fn back(&self) -> Option<Vec<usize>> {
        let mut back = vec![0; self.0.len()];
        self.0.iter().enumerate().for_each(|(i, &a)| back.get_mut(a).into_iter().for_each(|to| *to = i));
        (!back.is_empty()).then_some(back)
    }

    /// A tensor's elements, in its own order, as they are stored.
    pub fn store<'a, T: Copy>(&self, shape: &Shape, own: &'a [T]) -> Cow<'a, [T]> {
        if self.fits(shape) { moved(own, shape, &self.0) } else { Cow::Borrowed(own) }
    }

    /// What is stored for a tensor of this shape, in the tensor's own order.
    pub fn restore<'a, T: Copy>(&self, shape: &Shape, stored: &'a [T]) -> Cow<'a, [T]> {
        if self.fits(shape) { moved(stored, &self.stored(shape), &self.back().unwrap_or_default()) } else { Cow::Borrowed(stored) }
    }
}

/// Elements of this shape with their axes in this order.
fn moved<'a, T: Copy>(from: &'a [T], shape: &Shape, axes: &[usize]) -> Cow<'a, [T]> {
    if axes.is_sorted() {
        return Cow::Borrowed(from);
    }
    let steps = shape.strides();
    let walk: Vec<(usize, usize)> = axes.iter().map(|&a| (shape[a], steps[a])).collect();
    let mut to = Vec::with_capacity(from.len());
    walk_on(&walk, 0, &mut |at| to.extend(from.get(at).copied()));
    Cow::Owned(to)
}

/// Visits all places that these extents and steps lead to, the last axis fastest.
fn walk_on(walk: &[(usize, usize)], at: usize, visit: &mut impl FnMut(usize)) {
    match walk {
        [] => visit(at),
        [(extent, step), rest @ ..] => (0..*extent).for_each(|i| walk_on(rest, at + i * step, visit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Element by element as the axes say, and back.
        #[test]
        fn elements_are_where_the_axes_say(dims in prop::collection::vec(1usize..4, 4), axes in Just(vec![0, 1, 2, 3]).prop_shuffle()) {
            let (shape, order) = (Shape::from(dims), Order::of(axes.clone()));
            let own: Vec<u32> = (0..shape.size() as u32).collect();
            let stored = order.store(&shape, &own);
            let (steps, stored_steps) = (shape.strides(), order.stored(&shape).strides());
            for (e, value) in own.iter().enumerate() {
                let index: Vec<usize> = (0..4).map(|a| e / steps[a] % shape[a]).collect();
                let at: usize = (0..4).map(|i| index[axes[i]] * stored_steps[i]).sum();
                prop_assert_eq!(stored[at], *value);
            }
            prop_assert_eq!(&*order.restore(&shape, &stored), &own);
        }
    }

    #[test]
    fn what_is_no_order_changes_nothing() {
        let shape = Shape::from([2, 3]);
        for axes in [vec![1], vec![0, 0], vec![1, 2], vec![0, 1, 2]] {
            let order = Order::of(axes);
            assert!(!order.fits(&shape) && order.stored(&shape) == shape);
            assert_eq!(*order.restore(&shape, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
        }
    }
}
