//! A table of learned vectors.

use super::kind::LayerKind;
use crate::error::{Error, Fault};
use crate::graph::Var;
use crate::nn::{Init, InitScheme, Scope};
use serde::{Deserialize, Serialize};

/// A table of learned vectors, looked up by number: integers `[..]` to `[.., embedding_dim]` (PyTorch's and Keras' `Embedding`).
///
/// The parameter `weight` `[num_embeddings, embedding_dim]` starts as N(0, 1), PyTorch's default; one row of it may stand for
/// nothing ([`Embedding::padding_idx`]). The input must be integers: `.integers()` on the data set and `.input_dtype(DType::U32)` on
/// [`Compile`](crate::train::Compile). Numbers that the table has not are an `Err` of `fit`, `evaluate` and `predict`. The gradient of a row is the sum over the places
/// that name it, in their order in the batch, one after another in f32, on every device: the same bits at every run.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::tensor::{DType, HostTensor};
/// let words = HostTensor::u32([4, 3], vec![0, 1, 2, 3, 4, 5, 0, 0, 5, 1, 1, 1])?;
/// let data = Dataset::new(words, HostTensor::f32([4, 1], vec![0.0, 1.0, 0.0, 1.0])?)?.integers();
/// let net = module(|s, x| {
///     let h = s.at("embed").call(&Embedding::new(6, 8), x); // [batch, 3] to [batch, 3, 8]
///     s.at("head").call(&Linear::new(1), &h.mean_axes(&[1]))
/// });
/// let settings = Compile::new(Adam::new(0.1), Mse::new()).input([3]).input_dtype(DType::U32).device(Device::cpu());
/// let mut model = net.compile(settings)?;
/// let history = model.fit(&data, Fit::new().epochs(20).verbose(0))?;
/// assert!(history.last("loss").unwrap() < 0.1);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Embedding {
    /// Rows of the table: indices run from 0 to one less.
    pub num_embeddings: usize,
    /// Size of a vector.
    pub embedding_dim: usize,
    /// A row that starts as zeros and is not trained, for places that hold nothing; none by default.
    #[serde(default)]
    pub padding_idx: Option<usize>,
    /// How the table starts; PyTorch's N(0, 1) where it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_init: Option<Init>,
}

impl Embedding {
    /// A table of this many vectors of this size.
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Self {
        Embedding { num_embeddings, embedding_dim, padding_idx: None, weight_init: None }
    }

    /// The number that stands for nothing: its row starts as zeros and gets no gradient. (An optimizer with weight decay still pulls it towards 0.)
    pub fn padding_idx(mut self, row: usize) -> Self {
        self.padding_idx = Some(row);
        self
    }

    /// How the table starts. With a padding row it must be `Init::Normal` or `Init::Uniform`.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight_init = Some(init);
        self
    }

    /// How the table starts, by PyTorch's scheme or by Keras' (uniform within 0.05). An initialiser of weights says nothing of a table.
    pub fn init(mut self, scheme: impl Into<InitScheme>) -> Self {
        match scheme.into() {
            InitScheme::Pytorch => self.weight_init = None,
            InitScheme::Keras => self.weight_init = Some(Init::Uniform(0.05)),
            InitScheme::Weights(_) => {}
        }
        self
    }
}

impl LayerKind for Embedding {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let table = |init| s.param("weight", [self.num_embeddings, self.embedding_dim], init);
        let init = self.weight_init.unwrap_or(Init::Normal(1.0));
        match self.padding_idx.map(|padding| (padding, init.padded(padding))) {
            None => table(init).take(x),
            Some((padding, Some(padded))) => table(padded).take_padded(x, padding),
            Some((_, None)) => {
                let key = format!("the table `{}.weight`", s.path());
                let problem = format!("a padding row in a table that starts as {init:?}");
                let help = "give `Init::Normal` or `Init::Uniform`, or no padding row".into();
                s.builder().fail(Error::InvalidConfig { faults: vec![Fault { key, problem, help }] });
                s.builder().poisoned()
            }
        }
    }

    fn with_init(&self, scheme: InitScheme) -> Option<Self> {
        Some(self.init(scheme))
    }
}
