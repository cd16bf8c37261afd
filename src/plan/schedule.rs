//! In which order a program's launches run: the one place that knows.

use super::program::Program;
#[cfg(feature = "gpu")]
use crate::kernels::DIMS;

/// A launch as a step runs it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dispatch {
    /// Its place in [`Program::launches`].
    pub launch: usize,
    /// How often the step has run it before.
    pub trip: usize,
    /// The row of the program's sizes that it reads.
    pub row: usize,
}

/// So many launches, in the order in which they run. Each runs once.
pub(super) fn schedule(launches: usize) -> impl Iterator<Item = Dispatch> + Clone {
    (0..launches).map(|launch| Dispatch { launch, trip: 0, row: launch })
}

impl Program {
    /// The dispatches of a step, in order. Whoever runs, times, counts or places launches goes through it, so that nothing else knows how
    /// often a launch runs, and when.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # let data = Dataset::new(HostTensor::f32([4, 2], vec![0.0; 8])?, HostTensor::f32([4, 1], vec![0.0; 4])?)?;
    /// let net = Sequential::new().add(Linear::new(1));
    /// let model = net.compile(Compile::new(Sgd::default(), Mse::new()).input([2]).device(Device::cpu()))?;
    /// let program = model.prepare(&data, 4)?;
    /// let names: Vec<String> = program.schedule().map(|d| program.launches[d.launch].kernel.name()).collect();
    /// assert_eq!((names[0].as_str(), names[names.len() - 1].as_str()), ("gather", "tick"));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn schedule(&self) -> impl Iterator<Item = Dispatch> + Clone {
        schedule(self.launches.len())
    }

    /// How often a step runs each launch.
    pub(crate) fn trips(&self) -> Vec<u64> {
        let mut trips = vec![0; self.launches.len()];
        self.schedule().for_each(|d| trips[d.launch] += 1);
        trips
    }

    /// Rows of sizes: one for each dispatch whose sizes are no other's.
    pub(crate) fn rows(&self) -> usize {
        self.schedule().map(|d| d.row + 1).max().unwrap_or(0)
    }

    /// The sizes of all dispatches, a row of [`DIMS`] words each.
    #[cfg(feature = "gpu")]
    pub(crate) fn sizes(&self) -> Vec<u32> {
        let mut words = vec![0; DIMS * self.rows()];
        for d in self.schedule() {
            let sizes = self.launches[d.launch].kernel.dims();
            words[d.row * DIMS..][..sizes.len()].copy_from_slice(&sizes);
        }
        words
    }
}
