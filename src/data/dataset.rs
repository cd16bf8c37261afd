use crate::error::{Error, Result, place};
use crate::graph::Field;
use crate::tensor::{DType, HostTensor, Shape};
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

/// Examples and their labels. Cheap to clone: the values are shared.
///
/// What is asked of it here (`flatten`, `scale`, `one_hot`) is only noted down; the gather does it on the device, batch by batch.
///
/// ```
/// use gradus::data::Dataset;
/// use gradus::tensor::HostTensor;
/// let x = HostTensor::u8([4, 2, 2], (0..16).collect())?;
/// let y = HostTensor::u8([4], vec![0, 1, 2, 1])?;
/// let set = Dataset::new(x, y)?.flatten().scale(1.0 / 255.0).one_hot(3);
/// assert_eq!((set.len(), set.input_shape().dims()), (4, &[4][..]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    name: Arc<str>,
    x: Arc<HostTensor>,
    y: Option<Arc<HostTensor>>,
    rows: Range<usize>,
    row: Shape,
    scale: f32,
    shift: f32,
    one_hot: Option<usize>,
}

impl Dataset {
    /// Features `[rows, ..]` and labels: classes `[rows]` (u8 or u32), or real values `[rows]` or `[rows, ..]` (f32).
    ///
    /// Fails if the two have different numbers of rows or there is none.
    #[track_caller]
    pub fn new(x: HostTensor, y: HostTensor) -> Result<Self> {
        let at = place(Location::caller());
        let rows = |t: &HostTensor| t.shape().dims().first().copied().unwrap_or(0);
        if rows(&x) != rows(&y) {
            return Err(Error::ShapeMismatch {
                op: "Dataset::new".into(),
                problem: format!("features {} and labels {} have different numbers of rows", x.shape(), y.shape()),
                at,
                help: "the first axis of both is the row".into(),
            });
        }
        if y.dtype() != DType::F32 && y.shape().rank() != 1 {
            return Err(Error::ShapeMismatch {
                op: "Dataset::new".into(),
                problem: format!("class labels have the shape {}, not [rows]", y.shape()),
                at,
                help: "give one integer a row, or f32 rows for probabilities and real values".into(),
            });
        }
        Self::checked(x, Some(y), at)
    }

    /// Features alone, for `predict`.
    #[track_caller]
    pub fn unlabelled(x: HostTensor) -> Result<Self> {
        Self::checked(x, None, place(Location::caller()))
    }

    fn checked(x: HostTensor, y: Option<HostTensor>, at: String) -> Result<Self> {
        let rows = x.shape().dims().first().copied().unwrap_or(0);
        if x.shape().size() == 0 || rows > u32::MAX as usize {
            return Err(Error::ShapeMismatch {
                op: "Dataset".into(),
                problem: format!("features of shape {} hold no usable rows", x.shape()),
                at,
                help: "give between 1 and 2^32 - 1 rows of at least one element".into(),
            });
        }
        Ok(Dataset {
            name: "data".into(),
            row: x.shape().dims()[1..].into(),
            x: Arc::new(x),
            y: y.map(Arc::new),
            rows: 0..rows,
            scale: 1.0,
            shift: 0.0,
            one_hot: None,
        })
    }

    /// Gives it a name, for banners and files.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Each row as one axis: `[rows, 28, 28]` becomes `[rows, 784]`.
    #[must_use]
    pub fn flatten(mut self) -> Self {
        self.row = [self.row.size()].into();
        self
    }

    /// Multiplies every feature, in the gather on the device.
    #[must_use]
    pub fn scale(mut self, factor: f32) -> Self {
        self.scale *= factor;
        self.shift *= factor;
        self
    }

    /// Adds to every feature, after any scaling so far.
    #[must_use]
    pub fn shift(mut self, offset: f32) -> Self {
        self.shift += offset;
        self
    }

    /// Class labels become rows of `classes` probabilities, one of them 1. Labels out of range are an `Err` of `fit` and `evaluate`.
    #[must_use]
    pub fn one_hot(mut self, classes: usize) -> Self {
        self.one_hot = Some(classes);
        self
    }

    /// The first `rows` rows (all, if there are fewer).
    #[must_use]
    pub fn take(mut self, rows: usize) -> Self {
        self.rows.end = self.rows.end.min(self.rows.start + rows.max(1));
        self
    }

    /// Two sets: the first `rows` rows, and the rest. Fails if one of them would be empty.
    #[track_caller]
    pub fn split_at(&self, rows: usize) -> Result<(Dataset, Dataset)> {
        if rows == 0 || rows >= self.len() {
            return Err(Error::ShapeMismatch {
                op: "Dataset::split_at".into(),
                problem: format!("{} rows cannot be split at {rows}", self.len()),
                at: place(Location::caller()),
                help: format!("split between 1 and {}", self.len() - 1),
            });
        }
        let (mut a, mut b) = (self.clone(), self.clone());
        a.rows.end = a.rows.start + rows;
        b.rows.start += rows;
        Ok((a, b))
    }

    /// How many rows.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one row of features.
    pub fn input_shape(&self) -> &Shape {
        &self.row
    }

    /// The features as stored, all rows.
    pub fn features(&self) -> &HostTensor {
        &self.x
    }

    /// The labels as stored, all rows.
    pub fn labels(&self) -> Option<&HostTensor> {
        self.y.as_deref()
    }

    /// The rows of the stored tensors that belong to this set.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The fields of a batch, features first.
    pub fn fields(&self) -> Vec<Field> {
        let mut out = vec![Field {
            name: "x".into(),
            stored: self.x.dtype(),
            row: self.row.clone(),
            scale: self.scale,
            shift: self.shift,
            keep_integer: false,
            one_hot: None,
        }];
        if let Some(y) = &self.y {
            let classes = y.dtype() != DType::F32;
            out.push(Field {
                name: "y".into(),
                stored: y.dtype(),
                row: y.shape().dims()[1..].into(),
                scale: 1.0,
                shift: 0.0,
                keep_integer: classes,
                one_hot: self.one_hot.filter(|_| classes),
            });
        }
        out
    }

    /// The rows of one field as the device stores them: words, `u8` rows padded to a whole word.
    pub(crate) fn words(&self, field: usize) -> Vec<u32> {
        let t = if field == 0 { Some(&self.x) } else { self.y.as_ref() };
        let Some(t) = t else { return Vec::new() };
        let width = t.shape().size() / t.shape()[0];
        let range = self.rows.start * width..self.rows.end * width;
        if let Some(v) = t.as_f32() {
            v[range].iter().map(|x| x.to_bits()).collect()
        } else if let Some(v) = t.as_u32() {
            v[range].to_vec()
        } else {
            let v = t.as_u8().unwrap_or(&[]);
            let word = |c: &[u8]| c.iter().rev().fold(0, |w, &b| w << 8 | u32::from(b));
            v[range].chunks(width).flat_map(|row| row.chunks(4).map(word)).collect()
        }
    }

    /// Fails if a class label has no output among `classes`.
    pub(crate) fn check_labels(&self, classes: usize) -> Result<()> {
        let Some(y) = &self.y else { return Ok(()) };
        let bad = |v: &mut dyn Iterator<Item = u64>| v.enumerate().find(|&(_, l)| l >= classes as u64);
        let hit = match (y.as_u8(), y.as_u32()) {
            (Some(v), _) => bad(&mut v[self.rows()].iter().map(|&l| l.into())),
            (_, Some(v)) => bad(&mut v[self.rows()].iter().map(|&l| l.into())),
            _ => None,
        };
        match hit {
            None => Ok(()),
            Some((row, label)) => Err(Error::LabelOutOfRange { label, row, classes, at: format!("the data set `{}`", self.name) }),
        }
    }

    /// One number for what this set holds, so that the device keeps one copy of it.
    pub(crate) fn identity(&self) -> (usize, usize, usize) {
        (Arc::as_ptr(&self.x) as usize, self.rows.start, self.rows.end)
    }
}

/// Two data sets are equal if they show the same rows of the same tensors in the same way.
impl PartialEq for Dataset {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity() && self.fields() == other.fields()
    }
}
