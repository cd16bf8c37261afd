//! What training would see of a set, made once on the host.

use super::batch::{Drawn, batches_of};
use crate::data::{Augment, Dataset};
use crate::error::Result;
use crate::reference::Data;
use crate::rng::stream;
use crate::tensor::{DType, HostTensor};

/// Rows that are made at a time: as many belong to a batch, in which rows are mixed.
const ROWS: usize = 256;
/// The epoch whose strength counts: the last.
const EPOCH: u32 = u32::MAX / 2;

impl Dataset {
    /// A copy of the set in memory, every row changed once by these draws: to test a model on rows that are noisy, shifted or turned, the same ones each time. What
    /// training with [`Dataset::augment`] sees is drawn anew for each batch instead. Of an [`Augment::strength`] that grows, the last one counts.
    ///
    /// All fields of the copy are as the model sees them, f32 or u32: scaled, normalised, one-hot. Rows are mixed, where they are, with rows of the same 256.
    ///
    /// Fails as [`Dataset::augment`] does in `fit`, and where rows cannot be read.
    ///
    /// ```
    /// use gradus::data::{self, Augment};
    /// let (_, test) = data::synthetic_digits(0, 10, 50)?;
    /// let noisy = test.flatten().scale(1.0 / 255.0).changed(&Augment::new().noise(0.3), 7)?;
    /// assert_eq!((noisy.len(), noisy.input_shape().dims()), (50, &[784][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn changed(&self, augment: &Augment, seed: u64) -> Result<Dataset> {
        self.undrawn().augment(augment.clone()).changed_as_told(seed)
    }

    /// The same by what [`Dataset::augment`] told.
    pub(super) fn changed_as_told(&self, seed: u64) -> Result<Dataset> {
        self.check()?;
        // other numbers than a training with this seed has drawn
        let seed = seed ^ stream("changed");
        let fields = self.fields();
        let mut made: Vec<Vec<Data<f64>>> = vec![Vec::new(); fields.len()];
        for (batch, first) in (0..self.len()).step_by(ROWS).enumerate() {
            let rows: Vec<u32> = (first..self.len().min(first + ROWS)).map(|i| self.rows().at(i) as u32).collect();
            let stored = (0..fields.len()).map(|i| self.words_of(i, &rows)).collect::<Result<Vec<_>>>()?;
            let mut batches = batches_of(&fields, &stored, rows.len(), Drawn { seed, batch: batch as u32, epoch: EPOCH })?;
            for (f, made) in fields.iter().zip(&mut made) {
                made.extend(batches.remove(&f.name));
            }
        }
        let tensor = |(f, parts): (&crate::graph::Field, Vec<Data<f64>>)| {
            let shape = f.out_row().batched(self.len());
            let integers = parts.iter().all(|p| p.as_integer().is_some());
            let tensor = if integers {
                HostTensor::u32(shape, parts.iter().filter_map(Data::as_integer).flatten().copied().collect())
            } else {
                HostTensor::f32(shape, parts.iter().flat_map(Data::to_f64).map(|v| v as f32).collect())
            };
            tensor.map(|t| (f.name.clone(), t))
        };
        let tensors = fields.iter().zip(made).map(tensor).collect::<Result<Vec<_>>>()?;
        let integers = fields.iter().filter(|f| f.out_dtype() == DType::U32);
        let copy = Dataset::from_fields(tensors)?.named(&format!("{}, changed", self.name())).classes_as(self);
        Ok(integers.fold(copy, |copy, f| copy.on(&f.name, |look| look.integers())))
    }
}
