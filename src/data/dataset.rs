//! A data set: fields of rows with how the model sees them, and which rows belong to it.

mod augment;
mod balance;
mod chunks;
mod classes;
mod concat;
mod fold;
mod limit;
mod normalize;
mod order;
mod parts;
mod vectors;
mod weights;

use super::look::Look;
use super::rows::Rows;
use super::source::{Source, read_tensor, read_words, source_error};
use crate::error::{Error, Faults, Result, panic_text, place};
use crate::graph::Field;
use crate::graph::augment::Augmentation;
use crate::tensor::{DType, HostTensor, Shape};
use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use augment::Augmenting;
use balance::Balance;
pub use chunks::Kept;
pub(crate) use limit::Limit;

/// Where all rows are read: words of a chunk (but at least one row), and most rows of a chunk.
const CHUNK_WORDS: usize = 1 << 20;
const CHUNK_ROWS: usize = 4096;
/// Bytes of memory that a set in files may take by default.
const DEFAULT_BUDGET: u64 = 256 << 20;

/// Examples: features `x`, labels `y` if there are any, and more fields by name. Cheap to clone: the values are shared.
///
/// `flatten`, `scale`, `one_hot` and their like are only noted; the device applies them when it gathers a batch.
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
#[derive(Clone)]
pub struct Dataset {
    name: Arc<str>,
    sources: Arc<[Arc<dyn Source>]>,
    /// How each source is shown, the features first.
    looks: Vec<Look>,
    rows: Rows,
    /// How training draws its rows, where that is not each once.
    balance: Option<Balance>,
    /// What the classes of `y` are called, from class 0 on.
    class_names: Option<Arc<[String]>>,
    /// For each field the values of this set's rows, copied at the first request. There is no copy where the set has all stored rows.
    own: Arc<[OnceLock<HostTensor>]>,
    budget: Option<u64>,
    /// The name of a field that a setter was called for and that does not exist.
    unknown: Option<String>,
    /// What training changes at random, and the exact numbers of it for these rows.
    augment: Option<Arc<Augmenting>>,
    drawn: Arc<OnceLock<Arc<Augmentation>>>,
}

impl Dataset {
    /// Features `[rows, ..]` and labels: classes `[rows]` (u8 or u32), or one for each position of a sequence, `[rows, positions]`; or real values
    /// `[rows]` or `[rows, ..]` (f32).
    ///
    /// Fails if the two have different numbers of rows or there is none.
    #[track_caller]
    pub fn new(x: HostTensor, y: HostTensor) -> Result<Self> {
        let one = y.shape().rank() != 1 && y.shape().size() == y.shape().dims().first().copied().unwrap_or(1);
        if y.dtype() != DType::F32 && one {
            return Err(Error::ShapeMismatch {
                op: "Dataset::new".into(),
                problem: format!("class labels have the shape {}, not [rows]", y.shape()),
                at: place(Location::caller()),
                help: "give one integer a row, or f32 rows for probabilities and real values".into(),
            });
        }
        Self::from_fields([("x", x), ("y", y)])
    }

    /// Features alone, for `predict`.
    #[track_caller]
    pub fn unlabelled(x: HostTensor) -> Result<Self> {
        Self::from_fields([("x", x)])
    }

    /// Named fields `[rows, ..]`: `x` are the features (else the first field is), `y` the labels, and others a general step reads by name.
    ///
    /// Fails if they have different numbers of rows, if two have one name, if there is none or one is empty.
    ///
    /// ```
    /// use gradus::data::Dataset;
    /// use gradus::tensor::HostTensor;
    /// let x = HostTensor::u32([2, 3], vec![4, 0, 0, 7, 2, 0])?;
    /// let mask = HostTensor::u8([2, 3], vec![1, 0, 0, 1, 1, 0])?;
    /// let y = HostTensor::f32([2], vec![0.5, 1.5])?;
    /// let set = Dataset::from_fields([("x", x), ("mask", mask), ("y", y)])?.integers();
    /// let names: Vec<String> = set.fields().into_iter().map(|f| f.name).collect();
    /// assert_eq!(names, ["x", "mask", "y"]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn from_fields<N: Into<String>>(fields: impl IntoIterator<Item = (N, HostTensor)>) -> Result<Self> {
        Self::from_sources(fields.into_iter().map(|(n, t)| (n, Arc::new(t) as Arc<dyn Source>)))
    }

    /// As [`Dataset::from_fields`], from sources, whose values may be anywhere.
    #[track_caller]
    pub fn from_sources<N: Into<String>>(fields: impl IntoIterator<Item = (N, Arc<dyn Source>)>) -> Result<Self> {
        let mut fields: Vec<(String, Arc<dyn Source>)> = fields.into_iter().map(|(n, s)| (n.into(), s)).collect();
        let at = place(Location::caller());
        let mut faults = Faults::default();
        let mut seen: HashSet<&str> = HashSet::new();
        for (name, source) in &fields {
            let key = format!("data.{name}");
            faults.check(!name.is_empty(), "data", "a field has no name", "name every field");
            faults.check(seen.insert(name), &key, "two fields have this name", "give each field a name of its own");
            let held = matches!(source.dtype(), DType::F32 | DType::U32 | DType::U8);
            faults.check(held, &key, format!("its values are {}", source.dtype()), "give f32, u32 or u8");
        }
        faults.finish()?;
        let wrong = |problem: String, help: &str| Error::ShapeMismatch { op: "Dataset".into(), problem, at, help: help.into() };
        let Some((first, rows)) = fields.first().map(|(n, s)| (n, s.len())) else {
            return Err(wrong("there is no field".into(), "give at least the features `x`"));
        };
        let shape = |s: &dyn Source| s.row().batched(s.len());
        if let Some((name, s)) = fields.iter().find(|(_, s)| s.len() != rows) {
            let problem = format!("`{first}` {} and `{name}` {} have different numbers of rows", shape(&*fields[0].1), shape(&**s));
            return Err(wrong(problem, "the first axis of all fields is the row"));
        }
        if let Some((name, s)) = fields.iter().find(|(_, s)| rows == 0 || rows > u32::MAX as usize || s.row().size() == 0) {
            let problem = format!("`{name}` of shape {} holds no usable rows", shape(&**s));
            return Err(wrong(problem, "give between 1 and 2^32 - 1 rows of at least one element"));
        }
        // a stable sort: the other fields keep their order
        fields.sort_by_key(|(n, _)| n != "x");
        Ok(Dataset {
            name: "data".into(),
            looks: fields.iter().map(|(n, s)| Look::new(n, &**s)).collect(),
            own: nothing_yet(fields.len()),
            sources: fields.into_iter().map(|(_, s)| s).collect(),
            rows: Rows::Range(0..rows),
            balance: None,
            class_names: None,
            budget: None,
            unknown: None,
            augment: None,
            drawn: Arc::default(),
        })
    }

    /// Names the set, for banners and files.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Bytes of memory that the values may take while they are in use, on the host and on the device together. A set that needs more is
    /// streamed: a thread reads blocks of a quarter of this (16 MiB at most, one batch at least) ahead of the training, and the results are the
    /// same to the bit. The default for a set that is not in memory is 256 MiB; a set in memory is streamed only if one of its fields is larger
    /// than the device's largest buffer.
    #[must_use]
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.budget = Some(bytes);
        self
    }

    /// Changes how one field is shown to the model: `.on("mask", |f| f.scale(1.0 / 255.0))`. A field that is not there is an `Err` of `fit`.
    #[must_use]
    pub fn on(mut self, field: &str, f: impl FnOnce(Look) -> Look) -> Self {
        match self.looks.iter_mut().find(|l| *l.name == *field) {
            Some(look) => (*look, self.drawn) = (f(look.clone()), Arc::default()),
            None => self.unknown = Some(field.into()),
        }
        self
    }

    fn features_as(mut self, f: impl FnOnce(Look) -> Look) -> Self {
        (self.looks[0], self.drawn) = (f(self.looks[0].clone()), Arc::default());
        self
    }

    /// Each row of features as one axis: `[rows, 28, 28]` becomes `[rows, 784]`.
    #[must_use]
    pub fn flatten(self) -> Self {
        self.features_as(Look::flatten)
    }

    /// Multiplies every feature, in the gather on the device.
    #[must_use]
    pub fn scale(self, factor: f32) -> Self {
        self.features_as(|x| x.scale(factor))
    }

    /// Adds to every feature, after any scaling so far.
    #[must_use]
    pub fn shift(self, offset: f32) -> Self {
        self.features_as(|x| x.shift(offset))
    }

    /// The middle of each image, `size` rows and columns (torchvision's `CenterCrop`): of features `[height, width]` or `[channels, height, width]`.
    #[must_use]
    pub fn center_crop(self, size: usize) -> Self {
        self.features_as(|x| x.center_crop(size))
    }

    /// Features stored as u8 or u32 stay integers (u32), as an embedding takes them, and do not become f32.
    #[must_use]
    pub fn integers(self) -> Self {
        self.features_as(Look::integers)
    }

    /// Class labels become rows of `classes` probabilities, one of them 1. Labels out of range are an `Err` of `fit` and `evaluate`.
    #[must_use]
    pub fn one_hot(self, classes: usize) -> Self {
        if self.position("y").is_some() { self.on("y", |y| y.one_hot(classes)) } else { self }
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
        self.looks[0].row()
    }

    /// The values of the features as stored, of this set's rows, if they are in memory: as [`Dataset::values`].
    pub fn features(&self) -> Option<&HostTensor> {
        self.own_values(0)
    }

    /// The values of the labels as stored, of this set's rows, if there are labels and they are in memory: as [`Dataset::values`].
    ///
    /// ```
    /// use gradus::data::Dataset;
    /// use gradus::tensor::HostTensor;
    /// let set = Dataset::new(HostTensor::f32([4, 1], vec![0.0; 4])?, HostTensor::u32([4], vec![3, 1, 4, 1])?)?;
    /// let (train, val) = set.split_at(3)?;
    /// assert_eq!(train.labels().and_then(HostTensor::as_u32), Some(&[3, 1, 4][..]));
    /// assert_eq!(val.labels().and_then(HostTensor::as_u32), Some(&[1][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn labels(&self) -> Option<&HostTensor> {
        self.values("y")
    }

    /// Whether it has labels, wherever they are.
    pub fn has_labels(&self) -> bool {
        self.position("y").is_some()
    }

    /// A field's values `[rows, ..]` as stored (before `flatten`, `scale`, `one_hot`), one row for each row of this set, if there is such a
    /// field and it is in memory. Of a part of a set, as [`Dataset::split`] makes it, this is a copy of its rows, made at the first
    /// call and kept with the set.
    pub fn values(&self, field: &str) -> Option<&HostTensor> {
        self.position(field).and_then(|i| self.own_values(i))
    }

    fn own_values(&self, field: usize) -> Option<&HostTensor> {
        let source = &self.sources[field];
        if let Some(all) = source.tensor().filter(|_| self.rows == Rows::Range(0..source.len())) {
            return Some(all);
        }
        if !source.is_in_memory() {
            return None;
        }
        if let Some(copy) = self.own[field].get() {
            return Some(copy);
        }
        let copy = read_tensor(&**source, &self.rows).ok()?;
        Some(self.own[field].get_or_init(|| copy))
    }

    /// Which rows of those that the first set was made of belong to this one, after `take`, `select`, `split` and their like.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The fields of a batch, features first.
    pub fn fields(&self) -> Vec<Field> {
        let fields = self.looks.iter().map(Look::field).collect();
        self.augmented(fields)
    }

    fn position(&self, field: &str) -> Option<usize> {
        self.looks.iter().position(|l| *l.name == *field)
    }

    /// Fails on wrong settings, which the setters themselves cannot refuse.
    pub(crate) fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        self.looks.iter().for_each(|l| l.check(&mut f));
        self.check_augment(&mut f);
        f.finish()?;
        self.stored_mean()?;
        match &self.unknown {
            None => Ok(()),
            Some(name) => Err(Error::NotFound {
                what: "field".into(),
                name: name.clone(),
                at: format!("the data set `{}`", self.name),
                known: self.looks.iter().map(|l| l.name.to_string()).collect(),
            }),
        }
    }

    /// Rows of one field as the device stores them: words, `u8` rows padded to a whole word. Rows count from the source's first.
    pub(super) fn read(&self, field: usize, rows: &[u32], out: &mut [u32]) -> Result<()> {
        let (source, look) = (&self.sources[field], &self.looks[field]);
        // a user's source may panic, and on a thread of ours
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_words(&**source, rows, out)));
        let read = read.unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic)).into()));
        read.map_err(|e| source_error(e, &look.name, &self.name, rows))
    }

    /// All rows of one field as the device stores them.
    pub(crate) fn words(&self, field: usize) -> Result<Vec<u32>> {
        let mut out = Vec::new();
        self.each_chunk(field, |_, words| {
            out.extend_from_slice(words);
            Ok(())
        })?;
        Ok(out)
    }

    /// These rows of one field as the device stores them. Rows count from the source's first.
    pub(crate) fn words_of(&self, field: usize, rows: &[u32]) -> Result<Vec<u32>> {
        let mut out = vec![0; rows.len() * self.row_words(field)];
        self.read(field, rows, &mut out)?;
        Ok(out)
    }

    /// The first rows of each field, by its name: enough to tell one set from another. A field that cannot be read is left out.
    pub(crate) fn first_rows(&self) -> Vec<(String, Vec<u32>)> {
        const MOST_WORDS: usize = 1 << 16;
        let of = |i: usize| {
            let rows = (MOST_WORDS / self.row_words(i).max(1)).clamp(1, CHUNK_ROWS).min(self.len());
            let rows: Vec<u32> = self.rows.iter().take(rows).map(|r| r as u32).collect();
            Some((self.looks[i].name.to_string(), self.words_of(i, &rows).ok()?))
        };
        (0..self.looks.len()).filter_map(of).collect()
    }

    /// Reads a field from end to end, a bounded number of rows at a time.
    pub(crate) fn each_chunk(&self, field: usize, mut f: impl FnMut(usize, &[u32]) -> Result<()>) -> Result<()> {
        let words = self.row_words(field);
        let (mut rows, mut out) = (Vec::new(), Vec::new());
        let chunk = (CHUNK_WORDS / words.max(1)).clamp(1, CHUNK_ROWS);
        for first in (0..self.len()).step_by(chunk) {
            rows.clear();
            rows.extend((first..self.len().min(first + chunk)).map(|i| self.rows.at(i) as u32));
            out.clear();
            out.resize(rows.len() * words, 0);
            self.read(field, &rows, &mut out)?;
            f(first, &out)?;
        }
        Ok(())
    }

    /// The bytes that the set may take; none for a set in memory that was given no budget.
    pub(crate) fn budget(&self) -> Option<u64> {
        self.budget.or_else(|| self.sources.iter().any(|s| !s.is_in_memory()).then_some(DEFAULT_BUDGET))
    }

    /// Words of a stored row of one field.
    pub(crate) fn row_words(&self, field: usize) -> usize {
        let source = &self.sources[field];
        let width = source.row().size();
        if source.dtype() == DType::U8 { width.div_ceil(4) } else { width }
    }

    /// The values of a field whose rows overlap, as many as these rows have, and how far they are apart: where the rows are a range.
    pub(crate) fn overlapping(&self, field: usize) -> Option<(&[f32], usize)> {
        let Rows::Range(rows) = &self.rows else { return None };
        let (values, step) = self.sources[field].overlapping()?;
        let (first, last) = (rows.start.checked_mul(step)?, rows.end.checked_sub(1)?.checked_mul(step)?);
        Some((values.get(first..last.checked_add(self.row_words(field))?)?, step))
    }

    /// Words of a field on the device, where all rows lie there.
    pub(crate) fn words_in_all(&self, field: usize) -> usize {
        self.overlapping(field).map_or_else(|| self.row_words(field).saturating_mul(self.len()), |(values, _)| values.len())
    }

    /// Whether a field holds integers.
    pub(crate) fn holds_integers(&self, field: usize) -> bool {
        self.sources[field].dtype() != DType::F32
    }

    /// Whether two sets have the same rows of the same sources in the same order, so that the device keeps one copy of these.
    pub(crate) fn same_rows(&self, other: &Dataset) -> bool {
        Arc::ptr_eq(&self.sources, &other.sources) && self.rows == other.rows && self.balance == other.balance
    }
}

/// Empty places for the values of so many fields.
fn nothing_yet(fields: usize) -> Arc<[OnceLock<HostTensor>]> {
    (0..fields).map(|_| OnceLock::new()).collect()
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("name", &self.name).field("rows", &RowsInWords(&self.rows)).field("fields", &self.looks).finish()
    }
}

/// Two data sets are equal if they show the same rows of the same values in the same way.
impl PartialEq for Dataset {
    fn eq(&self, other: &Self) -> bool {
        self.same_rows(other) && self.looks == other.looks && self.augment == other.augment
    }
}

/// A list of rows may have millions: its length is told.
struct RowsInWords<'a>(&'a Rows);

impl fmt::Debug for RowsInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rows::Range(r) => write!(f, "{r:?}"),
            Rows::Index(list) => write!(f, "a list of {}", list.len()),
        }
    }
}
