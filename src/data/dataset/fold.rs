//! Splits that are drawn: two parts, or the folds of a cross-validation.

use super::{Dataset, Rows};
use crate::data::Split;
use crate::error::{Faults, Result};
use crate::rng::Philox;
use rand::Rng as _;
use std::collections::BTreeMap;

impl Dataset {
    /// Two sets, `fraction` of the rows (rounded) and the rest: `data.split(0.8, 7)?`, `data.split(0.8, Split::seeded(7).stratified())?` (PyTorch's
    /// `random_split`, scikit-learn's `train_test_split`). Which row falls where is drawn from the seed; each part keeps the set's order, and shares its
    /// values. Time series want [`Dataset::split_at`], which draws nothing.
    ///
    /// A `tracing` warning names each class of which one part has no row.
    ///
    /// Fails with `invalid-config` unless `fraction` is above 0 and below 1 and leaves both parts a row, and with `unsupported` if it is to be stratified
    /// and the labels are not one integer a row.
    ///
    /// ```
    /// use gradus::data::{Dataset, Split};
    /// use gradus::tensor::HostTensor;
    /// let y = HostTensor::u8([10], vec![0, 0, 0, 0, 0, 1, 1, 1, 1, 1])?;
    /// let set = Dataset::new(HostTensor::f32([10, 1], vec![0.0; 10])?, y)?;
    /// let (train, val) = set.split(0.8, Split::seeded(7).stratified())?;
    /// assert_eq!((train.class_counts()?, val.class_counts()?), (vec![(0, 4), (1, 4)], vec![(0, 1), (1, 1)]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias("random_split", "train_test_split", "validation_split"))]
    pub fn split(&self, fraction: f64, how: impl Into<Split>) -> Result<(Dataset, Dataset)> {
        let (how, n) = (how.into(), self.len());
        let mut f = Faults::default();
        let inside = fraction > 0.0 && fraction < 1.0;
        f.check(inside, "split.fraction", fraction, "give the first part's share of the rows, above 0 and below 1");
        let first = (n as f64 * fraction).round() as usize;
        let whole = !inside || first > 0 && first < n;
        let problem = format!("{fraction} of {n} rows leaves a part without a row");
        f.check(whole, "split.fraction", problem, "give a share of which each part has a row, or more rows");
        f.finish()?;
        let classes = self.classes_for(how, "Dataset::split")?;
        let shuffled = shuffled(n, how.seed);
        let mut in_first = vec![false; n];
        if how.stratified {
            let mut left = shares(&classes, first, n);
            let class_of = class_of(&classes, n);
            for &row in &shuffled {
                let left = &mut left[class_of[row as usize] as usize];
                in_first[row as usize] = *left > 0;
                *left = left.saturating_sub(1);
            }
        } else {
            shuffled[..first].iter().for_each(|&row| in_first[row as usize] = true);
        }
        self.warn_of_left_out(&classes, &|row| in_first[row as usize], "the split");
        Ok((self.part(&in_first, true), self.part(&in_first, false)))
    }

    /// `k` pairs of a training and a validation set for a cross-validation: each row is in the validation part of one of them (scikit-learn's `KFold` with
    /// `shuffle=True`; `StratifiedKFold` with `Split::seeded(7).stratified()`). The parts differ by a row at most, keep the set's order, and share its values. A
    /// `tracing` warning names each class of which a part has no row.
    ///
    /// Fails with `invalid-config` unless `k` is at least 2 and at most the number of rows, and as [`Dataset::split`] on labels.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let set = Dataset::new(HostTensor::f32([10, 1], vec![0.0; 10])?, HostTensor::f32([10], vec![1.0; 10])?)?;
    /// for (train, val) in set.k_fold(5, 0)? {
    ///     assert_eq!((train.len(), val.len()), (8, 2));
    /// }
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias("KFold", "StratifiedKFold", "cross_validation"))]
    pub fn k_fold(&self, k: usize, how: impl Into<Split>) -> Result<Vec<(Dataset, Dataset)>> {
        let (how, n) = (how.into(), self.len());
        let mut f = Faults::default();
        f.check((2..=n).contains(&k), "k_fold.k", format!("{k} folds of {n} rows"), "give at least 2 and at most one fold for each row");
        f.finish()?;
        let classes = self.classes_for(how, "Dataset::k_fold")?;
        let mut order = shuffled(n, how.seed);
        if how.stratified {
            // dealt class after class, each class goes round the folds, and so do the places where one ends and the next begins
            let class_of = class_of(&classes, n);
            order.sort_by_key(|&row| class_of[row as usize]);
        }
        let mut fold_of = vec![0; n];
        order.iter().enumerate().for_each(|(i, &row)| fold_of[row as usize] = i % k);
        let fold = |fold: usize| {
            let trains: Vec<bool> = fold_of.iter().map(|&f| f != fold).collect();
            self.warn_of_left_out(&classes, &|row| trains[row as usize], &format!("fold {fold} of {k}"));
            (self.part(&trains, true), self.part(&trains, false))
        };
        Ok((0..k).map(fold).collect())
    }

    /// The rows of each class, for strata and for warnings; none where there are no classes and none are needed.
    fn classes_for(&self, how: Split, call: &str) -> Result<BTreeMap<u32, Vec<u32>>> {
        if how.stratified || self.class_field().is_some() { self.rows_by_class(call) } else { Ok(BTreeMap::new()) }
    }

    /// The rows of which this holds, in order.
    fn part(&self, holds: &[bool], what: bool) -> Dataset {
        let rows = holds.iter().zip(0..).filter(|(h, _)| **h == what).map(|(_, row)| row).collect();
        self.clone().cut(&Rows::listed(rows))
    }
}

/// The numbers below `n` in an order in which each of all is equally likely: Fisher and Yates'.
fn shuffled(n: usize, seed: u64) -> Vec<u32> {
    let mut rng = Philox::new(seed, "split");
    let mut order: Vec<u32> = (0..n as u32).collect();
    for k in (1..n).rev() {
        let below = (u128::from(rng.next_u64()) * (k as u128 + 1)) >> 64;
        order.swap(k, below as usize);
    }
    order
}

/// The class of each row, by its place among the classes.
fn class_of(classes: &BTreeMap<u32, Vec<u32>>, n: usize) -> Vec<u32> {
    let mut of = vec![0; n];
    for (rows, place) in classes.values().zip(0..) {
        rows.iter().for_each(|&row| of[row as usize] = place);
    }
    of
}

/// How many rows of each class are among the first `first` of `n`: its share rounded down, and one more for those that have lost most by it.
fn shares(classes: &BTreeMap<u32, Vec<u32>>, first: usize, n: usize) -> Vec<usize> {
    let exact = |rows: &Vec<u32>| rows.len() as u128 * first as u128;
    let mut shares: Vec<usize> = classes.values().map(|rows| (exact(rows) / n as u128) as usize).collect();
    let mut lost: Vec<(u128, usize)> = classes.values().zip(0..).map(|(rows, place)| (exact(rows) % n as u128, place)).collect();
    lost.sort_by_key(|&(lost, place)| (std::cmp::Reverse(lost), place));
    let open = first - shares.iter().sum::<usize>();
    lost.iter().take(open).for_each(|&(_, place)| shares[place] += 1);
    shares
}
