//! The kinds of operations, by which the passes treat them, and what some operations are told.

/// How the passes treat an operation. They ask for its kind and not for its name, so that an operation is added without a change to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A value that the step is given, and that is there before its first kernel: a field of the batch, a parameter, a buffer, a number of the state.
    Leaf,
    /// Random numbers: drawn by the maps that read them, stored only where another operation reads them.
    Random,
    /// One number everywhere. It has no operand, and rides on other kernels as a map does.
    Constant,
    /// A formula, element by element. It rides on the kernel that makes or takes its values.
    Map,
    /// The same elements as another dtype: a map in a kernel of its own.
    Cast,
    /// The same elements under another shape: no kernel at all.
    Alias,
    /// The same value, cut off from its gradient. Simplification takes it away, so that no later pass meets one.
    Detach,
    /// Elements in other places. With one operand it costs no kernel where maps read it.
    Move,
    /// Sums of products: work for a gemm kernel, which may use cooperative matrices. Maps ride on it.
    Product,
    /// Combines the elements along some axes. Maps before it ride on it.
    Reduce,
    /// Compares rows with labels. A second result is the gradient for the rows; one map may ride on that.
    Loss,
    /// Values of windows over images, in a kernel of its own, on which nothing rides. Between two products they are stored in their precision.
    Window,
    /// A kernel of its own, on which nothing rides.
    Alone,
}

impl Kind {
    /// Whether the operation passes elements on, each changed by itself or joined with its neighbours in an image. Between two products such values are stored in their precision.
    pub fn is_between(self) -> bool {
        matches!(self, Kind::Map | Kind::Move | Kind::Window)
    }
}

/// How a reduction combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReduceKind {
    /// The sum.
    Sum,
    /// The arithmetic mean.
    Mean,
    /// The arithmetic mean, summed as differences from the first element, `x0 + mean(x - x0)`: exact where all are equal, and near to it
    /// where they are far from 0 and close together. For statistics; a first element far from all others costs it digits.
    MeanFromFirst,
    /// The (biased) variance: the mean of the squares of what each is less their mean. In one pass over the elements.
    Variance,
    /// The largest; NaN if one is.
    Max,
}

/// What a convolution makes of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConvPart {
    /// Images and weights: the results.
    Forward,
    /// Results and weights: images. The gradient for the images, and a transposed convolution.
    Data,
    /// Images and results: weights. The gradient for the weights.
    Weights,
}

/// What a pool of largest values makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolPart {
    /// Of images: the largest value of each window.
    Largest,
    /// Of images and results: images, each result where its window's largest value stands. The gradient.
    Back,
    /// Of images and images: of each window the second's value where the first's largest stands. The gradient's gradient.
    Picked,
}

/// What the labels of a classification are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Labels {
    /// One u32 a row.
    Classes,
    /// A row of probabilities, as one-hot gives them.
    Probabilities,
    /// One u32 a row, and rows of this one do not count.
    ClassesBut(u32),
}

impl Labels {
    /// Whether they are numbers of classes.
    pub fn are_classes(self) -> bool {
        self != Labels::Probabilities
    }

    /// The label whose rows do not count.
    pub fn ignored(self) -> Option<u32> {
        if let Labels::ClassesBut(label) = self { Some(label) } else { None }
    }
}

/// What the integers of an operation's second operand must be below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The rows of the first operand: they are indices of a table.
    Rows,
    /// The last axis of the first operand: they are class labels.
    Classes,
}

/// How a map reads an operand of a [`Kind::Move`] without the move's own kernel: along its axes in this order, from this element on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    /// Axis `i` of the result steps along axis `order[i]` of the operand.
    pub order: Vec<usize>,
    /// The first element that is read, by its index along each axis.
    pub start: Vec<usize>,
    /// Where the operand begins within the result, with the number that stands around it.
    pub within: Option<(Vec<usize>, f64)>,
}

impl View {
    /// All of an operand of this rank, as it lies.
    pub fn whole(rank: usize) -> Self {
        View { order: (0..rank).collect(), start: vec![0; rank], within: None }
    }
}
