//! How wide a line of the log is, and how many the ring holds: both follow from what a program logs.

use super::words::{LOG_ROWS, LOG_WIDTH};

/// Words in front of a line's metrics: batch, loss, gradient norm, what became of the step.
pub const LOG_HEAD: usize = 4;
/// Words that the rings of wide lines stay below: 4 MiB.
const LOG_WORDS: usize = 1 << 20;
/// Fewest lines of a ring.
const LEAST_ROWS: usize = 64;
/// Most columns of all metrics of a step together.
pub const MAX_COLUMNS: usize = LOG_WORDS / LEAST_ROWS - LOG_HEAD;

/// Where a program's lines lie in its lane's log. Programs of one lane may differ: each submit's lines are copied out behind its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogShape {
    /// Values of all metrics together.
    pub columns: usize,
    /// Words of a line.
    pub width: usize,
    /// Lines of the ring, a power of two: the batch counter may wrap around.
    pub rows: usize,
}

impl LogShape {
    /// For so many columns; above [`MAX_COLUMNS`] the ring would be too short, and the plan refuses that.
    pub fn of(columns: usize) -> Self {
        let width = (LOG_HEAD + columns).next_multiple_of(4).max(LOG_WIDTH);
        let most = (LOG_WORDS / width).clamp(LEAST_ROWS, LOG_ROWS);
        LogShape { columns, width, rows: 1 << most.ilog2() }
    }

    /// Words of the ring.
    pub fn words(&self) -> usize {
        self.rows * self.width
    }

    /// Most steps of one submit: two in flight never lap the ring.
    pub fn most_steps(&self) -> usize {
        self.rows / 4
    }

    /// The first word of a batch's line.
    pub fn line(&self, batch: u32) -> usize {
        (batch as usize % self.rows) * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to 12 columns a line is as it always was; no ring is above 4 MiB, and none below 64 lines.
    #[test]
    fn rings_stay_bounded() {
        assert_eq!(LogShape::of(12), LogShape { columns: 12, width: 16, rows: 4096 });
        assert_eq!(LogShape::of(13).width, 20);
        for columns in (0..MAX_COLUMNS).step_by(97).chain([MAX_COLUMNS]) {
            let l = LogShape::of(columns);
            assert!(l.width >= LOG_HEAD + columns && l.width.is_multiple_of(4) && l.rows.is_power_of_two(), "{l:?}");
            assert!(l.words() <= LOG_WORDS && (LEAST_ROWS..=LOG_ROWS).contains(&l.rows), "{l:?}");
        }
        assert_eq!((LogShape::of(MAX_COLUMNS).rows, LogShape::of(MAX_COLUMNS).words()), (LEAST_ROWS, LOG_WORDS));
    }
}
