//! The two sides of a product, for what differs between them by name alone.

/// An operand as a loader sees it.
pub(super) struct Side {
    /// `a` or `b`.
    pub name: &'static str,
    /// The size that says how many rows of A, or columns of B, there are.
    pub rows: &'static str,
    /// Vectors of four lie along its rows.
    pub turned: bool,
    /// It is read four elements at a time, which are aligned and whole: see `Matrix::in_fours`.
    pub vector: bool,
    /// It is f16.
    pub half: bool,
    /// The body asks for no term beyond the last.
    pub whole: bool,
}
