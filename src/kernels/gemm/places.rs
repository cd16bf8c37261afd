//! Where the elements of a product's operands lie.

/// A stored matrix: `major` rows of `minor` contiguous elements, `pitch` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// First element.
    pub offset: usize,
    /// Elements from one stored row to the next.
    pub pitch: usize,
    /// Elements from one matrix to the next along each axis of the batch; 0 repeats.
    pub batch: [usize; 2],
}

impl Matrix {
    /// One matrix, for every product of the batch.
    pub fn new(offset: usize, pitch: usize) -> Self {
        Matrix { offset, pitch, batch: [0, 0] }
    }

    /// Whether it can be read four elements at a time, with so many in a stored row: where rows start and end at fours.
    pub(crate) fn in_fours(&self, minor: usize) -> bool {
        [self.offset, self.pitch, self.batch[0], self.batch[1], minor].iter().all(|v| v.is_multiple_of(4))
    }
}

/// An operand of the epilogue, read at (batch, row, column).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// First element.
    pub offset: usize,
    /// Step along rows; 0 repeats.
    pub row: usize,
    /// Step along columns; 0 repeats.
    pub column: usize,
    /// Step along each axis of the batch; 0 repeats.
    pub batch: [usize; 2],
}

impl Plane {
    /// One value for each column.
    pub fn along_columns(offset: usize) -> Self {
        Plane { offset, row: 0, column: 1, batch: [0, 0] }
    }
}
