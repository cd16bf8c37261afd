//! The largest gradients alone, with error feedback: what is not pushed now is added to what comes.

/// What of the gradients so far was not pushed.
#[derive(Debug)]
pub(super) struct Top {
    part: f32,
    /// Without the loss scale, which moves.
    left: Vec<f32>,
    sizes: Vec<f32>,
    out: Vec<u32>,
}

impl Top {
    /// Of all gradients such a part is pushed.
    pub fn new(part: f32) -> Self {
        Top { part, left: vec![], sizes: vec![], out: vec![] }
    }

    /// The largest of these and of what was left, and 0 for the others. `scale`: what the loss was multiplied by.
    pub fn of(&mut self, gradients: &[u32], scale: Option<f32>) -> &[u32] {
        let (n, scale) = (gradients.len(), scale.unwrap_or(1.0));
        self.left.resize(n, 0.0);
        self.left.iter_mut().zip(gradients).for_each(|(l, g)| *l += f32::from_bits(*g) / scale);
        let k = ((n as f64 * f64::from(self.part)).ceil() as usize).clamp(1, n.max(1));
        self.sizes.clear();
        self.sizes.extend(self.left.iter().map(|l| l.abs()));
        let least = if k < n { *self.sizes.select_nth_unstable_by(n - k, f32::total_cmp).1 } else { 0.0 };
        // of those that are as large as the least only so many as there is room for
        let above = self.left.iter().filter(|l| l.abs() > least).count();
        let mut equal = k.saturating_sub(above);
        self.out.clear();
        self.out.extend(self.left.iter_mut().map(|l| {
            let taken = l.abs() > least || l.abs() == least && equal > 0;
            equal -= usize::from(taken && l.abs() == least);
            let sent = if taken { std::mem::take(l) * scale } else { 0.0 };
            sent.to_bits()
        }));
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(top: &mut Top, values: &[f32], scale: Option<f32>) -> Vec<f32> {
        let words: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
        top.of(&words, scale).iter().map(|w| f32::from_bits(*w)).collect()
    }

    #[test]
    fn what_is_not_pushed_is_added_to_the_next() {
        let mut top = Top::new(0.5);
        assert_eq!(of(&mut top, &[1.0, -3.0, 0.5, 2.0], None), [0.0, -3.0, 0.0, 2.0]);
        assert_eq!(of(&mut top, &[1.0, 0.1, 0.5, 0.1], None), [2.0, 0.0, 1.0, 0.0]);
        // under a loss scale that has moved
        assert_eq!(of(&mut top, &[0.0, 0.0, 16.0, 0.0], Some(4.0)), [0.0, 0.4, 16.0, 0.0]);
    }

    #[test]
    fn of_equal_ones_only_so_many() {
        let mut top = Top::new(0.5);
        assert_eq!(of(&mut top, &[1.0; 4], None), [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(of(&mut top, &[0.0; 4], None), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(of(&mut Top::new(1.0), &[0.25, -0.5], None), [0.25, -0.5]);
        assert_eq!(of(&mut Top::new(0.01), &[0.25, -0.5], None), [0.0, -0.5]);
    }
}
