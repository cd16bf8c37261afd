//! Where the elements of a product's operands and results lie.

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

/// What a product's factor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Operand {
    /// A stored matrix.
    #[default]
    Matrix,
    /// Patches of images, read where the images lie: a stored row for each position of each image.
    Patches,
    /// Rows that are 0 but for one 1, and not stored: where the 1 of a row stands is a number, `pitch` behind that of the row before. A product with
    /// the transpose sums up rows by number, in their order, and adds nothing beside: terms whose factor is 0 are passed over, be they NaN. So it is
    /// for staged tiles alone, as [`Gemm::by_number`](super::Gemm::by_number) makes it.
    OneHot,
}

/// Patches of images, channels last. The tables tell, for every geometry alike, where a patch begins and its terms lie: no kernel of a GPU knows of strides,
/// dilation or padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// Elements from one image to the next.
    pub image: usize,
    /// Numbers side by side at a place of an image. A stored row has those of its first tap, then those of the next.
    pub channels: usize,
    /// Positions in an image.
    pub positions: usize,
    /// Places of a patch.
    pub taps: usize,
    /// Where in the tables each term of a row has two words: how many elements behind a patch's first place it lies, modulo 2^32, and its tap.
    pub terms: usize,
    /// Where each position has its words: its first element, which may lie before the image (modulo 2^32), and bits for the taps that lie inside.
    pub starts: usize,
    /// The row of all images' positions at which this factor begins.
    pub first: usize,
    /// Rows from one matrix of the batch to the next.
    pub apart: usize,
    /// What the tables tell, down and across an image, for who would rather step than look up; where the tables follow from walks.
    pub walks: Option<[Walk; 2]>,
}

/// How positions and taps walk along an axis of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// Places of the image.
    pub extent: usize,
    /// Positions, and the step between them.
    pub positions: usize,
    pub stride: usize,
    /// Taps, where the first position has its first one, and the step between them.
    pub taps: usize,
    pub first: isize,
    pub step: isize,
}

impl Walk {
    /// Where the lowest tap of the first position lies.
    pub fn lowest(&self) -> isize {
        self.first.min(self.tap(self.taps.saturating_sub(1)))
    }

    /// Where a tap of the first position lies.
    pub fn tap(&self, tap: usize) -> isize {
        self.first + tap as isize * self.step
    }

    /// How far a tap lies behind the lowest.
    pub fn above(&self, tap: usize) -> usize {
        (self.tap(tap) - self.lowest()) as usize
    }

    /// Where a tap of a position lies.
    pub fn place(&self, position: usize, tap: usize) -> isize {
        (position * self.stride) as isize + self.tap(tap)
    }

    /// Whether that is in the image.
    pub fn is_inside(&self, position: usize, tap: usize) -> bool {
        (0..self.extent as isize).contains(&self.place(position, tap))
    }

    /// Places from the lowest tap to the highest.
    pub fn reach(&self) -> usize {
        self.taps.saturating_sub(1) * self.step.unsigned_abs()
    }
}

impl Patches {
    /// Elements of a stored row.
    pub fn row(&self) -> usize {
        self.taps * self.channels
    }

    /// Words of a position in the tables.
    pub(crate) fn words(&self) -> usize {
        1 + self.taps.div_ceil(32)
    }

    /// Words of the tables that it looks at end here.
    pub(crate) fn end(&self) -> usize {
        (self.terms + 2 * self.row()).max(self.starts + self.words() * self.positions)
    }
}

/// Rows of a result that lie apart in images, as the tables tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scattered {
    /// Elements from one image to the next.
    pub image: usize,
    /// Rows of an image.
    pub positions: usize,
    /// Where in the tables each of them has the first element of its row.
    pub starts: usize,
}

/// Where a result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// First element.
    pub offset: usize,
    /// The rows of a larger tensor that it fills: from one to the next, and the same along each axis of the batch. Else it lies without gaps.
    pub within: Option<(usize, [usize; 2])>,
    /// Its rows lie where the tables tell; for a product of one matrix and one result, to which nothing is fused.
    pub scattered: Option<Scattered>,
}

impl From<usize> for Output {
    fn from(offset: usize) -> Self {
        Output { offset, within: None, scattered: None }
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
