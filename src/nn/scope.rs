//! Where a layer stands in a model: its names, its parameters, its random numbers.

use super::Init;
use crate::error::{Error, Fault};
use crate::graph::{Builder, Distribution, Draws, Value, Var};
use crate::tensor::{Order, Shape};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// The most elements that a parameter may have: no machine holds more.
const MOST: u64 = 1 << 40;

/// How deep layers may be nested: a call takes some of the stack.
pub(super) const MOST_DEPTH: usize = 500;

/// A trainable parameter that a model asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Its full name, dots between the layers.
    pub name: String,
    /// Its shape, in its own order.
    pub shape: Shape,
    /// How it starts.
    pub init: Init,
    /// The order in which the device stores its axes.
    pub order: Order,
}

/// State that a model keeps from step to step and does not train.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferSpec {
    /// Its full name, dots between the layers.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How it starts.
    pub init: Init,
    /// The values that it starts with, where no rule makes them.
    pub values: Option<Arc<[f32]>>,
    /// The buffer counts: files hold it as a whole number (i64).
    pub counter: bool,
}

/// A layer as `summary` lists it.
#[derive(Debug, Clone)]
pub struct LayerRow {
    /// Its full name.
    pub name: String,
    /// The type's name.
    pub kind: &'static str,
    /// The shape of its output.
    pub output: Shape,
    /// Parameters that it made.
    pub parameters: usize,
    /// Its output in the graph that it was called for; `None` after a mistake.
    pub value: Option<Value>,
}

/// Where a layer stands in a model: gives names, parameters and the mode.
#[derive(Debug, Clone)]
pub struct Scope {
    shared: Rc<Shared>,
    path: String,
}

/// A parameter of the graph.
#[derive(Debug)]
struct Made {
    spec: ParameterSpec,
    /// As it is stored.
    stored: Var,
    /// With its axes in its own order.
    own: Var,
}

#[derive(Debug)]
struct Shared {
    builder: Builder,
    training: bool,
    parameters: RefCell<Vec<Made>>,
    layers: RefCell<Vec<LayerRow>>,
    buffers: RefCell<Vec<(BufferSpec, Var, String)>>,
    /// New values of buffers: the buffer's name, its value, the user's line.
    updates: RefCell<Vec<(String, Var, String)>>,
    /// The number of each buffer, by its value, with that of its update.
    buffer_of: RefCell<HashMap<Value, (usize, Option<usize>)>>,
    /// How many layers are being called now, one within another.
    depth: Cell<usize>,
    /// The names of parameters and buffers: the line, and a parameter's number.
    names: RefCell<HashMap<String, (String, Option<usize>)>>,
    frozen: Frozen,
    /// How often each place has drawn.
    draws: RefCell<HashMap<String, usize>>,
}

/// Which names the optimizer leaves alone.
struct Frozen(Box<dyn Fn(&str) -> bool>);

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frozen(..)")
    }
}

impl Scope {
    /// The root of a model.
    pub fn root(builder: &Builder, training: bool) -> Self {
        Self::root_with(builder, training, |_| false)
    }

    /// As [`Scope::root`]; `frozen` tells which full names an optimizer leaves alone.
    pub fn root_with(builder: &Builder, training: bool, frozen: impl Fn(&str) -> bool + 'static) -> Self {
        let shared = Shared {
            builder: builder.clone(),
            training,
            parameters: RefCell::default(),
            layers: RefCell::default(),
            buffers: RefCell::default(),
            updates: RefCell::default(),
            buffer_of: RefCell::default(),
            depth: Cell::default(),
            names: RefCell::default(),
            frozen: Frozen(Box::new(frozen)),
            draws: RefCell::default(),
        };
        Scope { shared: Rc::new(shared), path: String::new() }
    }

    /// The place of a layer below this one: `s.at("fc1")`, `s.at(0)`.
    pub fn at(&self, name: impl Display) -> Scope {
        Scope { shared: self.shared.clone(), path: self.full(&name.to_string()) }
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// A line as messages show it.
    fn line(&self, l: &Location<'_>) -> String {
        self.shared.builder.place(l)
    }

    /// Runs a layer of this type here, on behalf of this line.
    pub(super) fn run(&self, kind: &'static str, line: &'static Location<'static>, layer: impl FnOnce() -> Var) -> Var {
        let depth = self.shared.depth.get();
        if depth >= MOST_DEPTH {
            return self.refuse_depth();
        }
        self.shared.depth.set(depth + 1);
        let out = self.listed(kind, line, layer);
        self.shared.depth.set(depth);
        out
    }

    pub(super) fn refuse_depth(&self) -> Var {
        let at: String = self.path.chars().take(60).collect();
        self.shared.builder.fail(Error::Unsupported {
            what: format!("a model whose layers are nested more than {MOST_DEPTH} deep"),
            at: crate::error::layer(format!("{at}..")),
            help: "put layers one after another into one `Sequential`, and not each into the next".into(),
        });
        self.shared.builder.poisoned()
    }

    /// Runs a layer, and lists it before the layers that it calls.
    fn listed(&self, kind: &'static str, line: &'static Location<'static>, layer: impl FnOnce() -> Var) -> Var {
        let before = self.shared.builder.enter(&self.path);
        let from = self.shared.builder.on_line(Some(line));
        let made = self.shared.parameters.borrow().len();
        let row = self.shared.layers.borrow().len();
        let out = layer();
        let parameters = self.shared.parameters.borrow()[made..].iter().map(|p| p.spec.shape.size()).sum();
        let line = LayerRow { name: self.path.clone(), kind, output: out.shape(), parameters, value: out.value() };
        self.shared.layers.borrow_mut().insert(row, line);
        self.shared.builder.enter(&before);
        self.shared.builder.back_on_line(from);
        out
    }

    /// A trainable parameter of this layer. The same full name twice is an error that names both lines.
    #[track_caller]
    pub fn param(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Var {
        self.ordered_param(name, shape.into(), init, Order::default())
    }

    /// As [`Scope::param`], of a parameter whose axes the device stores in this order: of one that is only read with its axes so, nothing is moved in a
    /// step. Models, files and optimizers know it in its own order.
    ///
    /// ```
    /// use gradus::graph::Convolution;
    /// use gradus::prelude::*;
    /// use gradus::tensor::Order;
    /// // convolutions read their weights channels last
    /// let layer = module(|s, x| {
    ///     let w = s.ordered_param("weight", [8, 3, 5, 5], Init::Normal(0.1), Order::of([0, 2, 3, 1]));
    ///     x.conv2d(&w, Convolution::new())
    /// });
    /// let model = layer.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([3, 9, 9]).device(Device::cpu()))?;
    /// assert_eq!(model.parameter("weight")?.shape().dims(), [8, 3, 5, 5]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn ordered_param(&self, name: &str, shape: impl Into<Shape>, init: Init, order: Order) -> Var {
        let (name, shape, at) = (self.full(name), shape.into(), self.line(Location::caller()));
        if let Some(e) = self.refused("parameter", "param", &name, &shape, init, &at) {
            self.shared.builder.fail(e);
            return self.shared.builder.poisoned();
        }
        if !order.fits(&shape) {
            let (op, problem) = ("ordered_param".into(), format!("{order:?} for the parameter `{name}` {shape}"));
            let help = "name each axis once, counting from 0".into();
            self.shared.builder.fail(Error::ShapeMismatch { op, problem, at, help });
            return self.shared.builder.poisoned();
        }
        let stored = self.shared.builder.parameter(&name, order.stored(&shape));
        let own = match order.back() {
            None => stored.clone(),
            Some(axes) => stored.permute(&axes),
        };
        let mut parameters = self.shared.parameters.borrow_mut();
        self.shared.names.borrow_mut().insert(name.clone(), (at.clone(), Some(parameters.len())));
        parameters.push(Made { spec: ParameterSpec { name, shape, init, order }, stored, own: own.clone() });
        own
    }

    /// The error, if a parameter or buffer of this name and shape, and with these first values, is not allowed.
    fn refused(&self, what: &str, op: &str, name: &str, shape: &Shape, init: Init, at: &str) -> Option<Error> {
        let (name, at) = (name.to_string(), at.to_string());
        if let Some(first) = self.shared.names.borrow().get(&name).map(|(at, _)| at.clone()) {
            return Some(Error::DuplicateName { name, first, second: at });
        }
        if shape.size() == 0 || shape.size() as u64 > MOST {
            let problem = format!("the {what} `{name}` would have the shape {shape}");
            let help = format!("every size of a layer must be at least 1, and no {what} has more than {MOST} elements");
            return Some(Error::ShapeMismatch { op: op.into(), problem, at, help });
        }
        let (problem, help) = init.fault(shape)?;
        Some(Error::InvalidConfig { faults: vec![Fault { key: format!("the {what} `{name}`, {at}"), problem, help: help.into() }] })
    }

    /// State of this layer that is not trained: f32, kept from step to step, as a running mean. [`Scope::update`] says what becomes of it.
    /// It is saved and loaded with the weights, under its full name. The same full name twice is an error that names both lines.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// // the largest value that training has met
    /// let net = module(|s, x| {
    ///     let largest = s.buffer("largest", [1], Init::Zeros);
    ///     s.update(&largest, &largest.maximum(&x.abs().max()));
    ///     s.at("fc").call(&Linear::new(1), x)
    /// });
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([8, 2], (0..16).map(|i| i as f32).collect())?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// let mut model = net.compile(Compile::new(Sgd::new(1e-3), Mse::new()).input([2]).device(Device::cpu()))?;
    /// model.fit(&data, Fit::new().batch_size(4).verbose(0))?;
    /// assert_eq!(model.buffer("largest")?.as_f32(), Some(&[15.0][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn buffer(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Var {
        self.state(name, shape.into(), init, None, self.line(Location::caller()))
    }

    /// A buffer `[n]` that starts with these values.
    #[track_caller]
    pub(super) fn buffer_of(&self, name: &str, values: Arc<[f32]>) -> Var {
        self.state(name, [values.len()].into(), Init::Zeros, Some(values), self.line(Location::caller()))
    }

    /// A buffer `[]` that counts from 0. It is kept in f32, where it stops at 16,777,216; files hold it as i64, as PyTorch's do.
    #[track_caller]
    pub fn counter(&self, name: &str) -> Var {
        let var = self.state(name, Shape::default(), Init::Zeros, None, self.line(Location::caller()));
        if let (Some(_), Some((spec, ..))) = (var.value(), self.shared.buffers.borrow_mut().last_mut()) {
            spec.counter = true;
        }
        var
    }

    #[track_caller]
    fn state(&self, name: &str, shape: Shape, init: Init, values: Option<Arc<[f32]>>, at: String) -> Var {
        let name = self.full(name);
        if let Some(e) = self.refused("buffer", "buffer", &name, &shape, init, &at) {
            self.shared.builder.fail(e);
            return self.shared.builder.poisoned();
        }
        let var = self.shared.builder.buffer(&name, shape.clone());
        self.shared.names.borrow_mut().insert(name.clone(), (at.clone(), None));
        let mut buffers = self.shared.buffers.borrow_mut();
        var.value().map(|v| self.shared.buffer_of.borrow_mut().insert(v, (buffers.len(), None)));
        buffers.push((BufferSpec { name, shape, init, values, counter: false }, var.clone(), at));
        var
    }

    /// Says what a buffer becomes at the end of a training step: a value of its shape, once for each buffer. All of the step reads the old
    /// value; no gradient flows through the new one. A step that halts (its loss is not finite) leaves it as it is. Outside of training
    /// nothing changes, and this does nothing.
    #[track_caller]
    pub fn update(&self, buffer: &Var, value: &Var) {
        let at = self.line(Location::caller());
        let (Some(_), Some(of)) = (value.value(), buffer.value()) else { return };
        let buffers = self.shared.buffers.borrow();
        let mut known = self.shared.buffer_of.borrow_mut();
        let Some((number, updated)) = known.get_mut(&of) else {
            let what = "an update of what is no buffer".into();
            self.shared.builder.fail(Error::Unsupported { what, at, help: "give a Var that `s.buffer(..)` made".into() });
            return;
        };
        let spec = &buffers[*number].0;
        let name = spec.name.clone();
        if value.shape() != spec.shape {
            let problem = format!("the buffer `{name}` is {} and its new value {}", spec.shape, value.shape());
            let help = "give a value of the buffer's shape".into();
            self.shared.builder.fail(Error::ShapeMismatch { op: "update".into(), problem, at, help });
            return;
        }
        let mut updates = self.shared.updates.borrow_mut();
        if let Some((_, _, first)) = updated.and_then(|i| updates.get(i)) {
            self.shared.builder.fail(Error::Unsupported {
                what: format!("a second update of the buffer `{name}`"),
                at: format!("first {first}, again {at}"),
                help: "a buffer changes once a step: say its last value".into(),
            });
            return;
        }
        if self.training() {
            *updated = Some(updates.len());
            updates.push((name, value.clone(), at));
        }
    }

    /// Whether a frozen group of the optimizer covers this name of this layer: a parameter's, or a buffer's.
    pub fn frozen(&self, name: &str) -> bool {
        (self.shared.frozen.0)(&self.full(name))
    }

    /// The buffers so far, in the order they were made.
    pub fn buffers(&self) -> Vec<BufferSpec> {
        self.shared.buffers.borrow().iter().map(|(b, ..)| b.clone()).collect()
    }

    /// What becomes of buffers, by name.
    pub fn updates(&self) -> Vec<(String, Var)> {
        self.shared.updates.borrow().iter().map(|(n, v, _)| (n.clone(), v.clone())).collect()
    }

    /// A parameter that a layer before this one made, by its full name: one tensor in two places (tied weights). Its gradient is the
    /// sum over all its uses; files hold it once.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let autoencoder = module(|s, x| {
    ///     let h = s.at("encoder").call(&Linear::new(8), x).tanh(); // weight [8, 784]
    ///     h.matmul(&s.shared("encoder.weight")) // [batch, 8] times [8, 784]
    /// });
    /// let model = autoencoder.compile(Compile::new(Adam::default(), Mse::new()).input([784]).device(Device::cpu()))?;
    /// assert_eq!(model.parameter_names().collect::<Vec<_>>(), ["encoder.weight", "encoder.bias"]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn shared(&self, name: &str) -> Var {
        let parameters = self.shared.parameters.borrow();
        match self.shared.names.borrow().get(name).and_then(|(_, number)| *number) {
            Some(number) => parameters[number].own.clone(),
            None => {
                let known = parameters.iter().map(|p| p.spec.name.clone()).collect();
                let at = self.line(Location::caller());
                self.shared.builder.fail(Error::NotFound { what: "parameter".into(), name: name.into(), at, known });
                self.shared.builder.poisoned()
            }
        }
    }

    /// Random numbers of a training step, uniform in [0, 1): others in every step, at every call and for every seed, the same on every device
    /// and however steps are cut into submits. A stream's name is the path of this place and how often it has drawn before. Backward draws
    /// them again; nothing is stored. Outside of training nothing is drawn: asking for it is an error, so ask [`Scope::training`] first.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// // DropConnect: a weight is left out, not a value
    /// let layer = module(|s, x| {
    ///     let w = s.param("weight", [4, 8], Init::Normal(0.1));
    ///     let w = if s.training() { &w * s.bernoulli(0.5, [4, 8]) * 2.0 } else { w };
    ///     x.matmul(&w.t())
    /// });
    /// # layer.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([8]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn uniform(&self, shape: impl Into<Shape>) -> Var {
        self.drawn(Distribution::Uniform, shape.into(), self.line(Location::caller()))
    }

    /// As [`Scope::uniform`], from the standard normal distribution.
    #[track_caller]
    pub fn normal(&self, shape: impl Into<Shape>) -> Var {
        self.drawn(Distribution::Normal, shape.into(), self.line(Location::caller()))
    }

    /// As [`Scope::uniform`]: 1 with the probability `p` (to the next of 2^24 steps), else 0.
    #[track_caller]
    pub fn bernoulli(&self, p: f64, shape: impl Into<Shape>) -> Var {
        let at = self.line(Location::caller());
        if !(0.0..=1.0).contains(&p) {
            let fault = Fault { key: format!("bernoulli, {at}"), problem: p.to_string(), help: "give a probability from 0 to 1".into() };
            self.shared.builder.fail(Error::InvalidConfig { faults: vec![fault] });
            return self.shared.builder.poisoned();
        }
        self.drawn(Distribution::bernoulli(p), shape.into(), at)
    }

    #[track_caller]
    fn drawn(&self, distribution: Distribution, shape: Shape, at: String) -> Var {
        let refuse = |e: Error| {
            self.shared.builder.fail(e);
            self.shared.builder.poisoned()
        };
        if !self.training() {
            let help = "ask `s.training()` first: evaluation and inference draw nothing".into();
            return refuse(Error::Unsupported { what: "a random number outside of training".into(), at, help });
        }
        let mut draws = self.shared.draws.borrow_mut();
        let count = draws.entry(self.path.clone()).or_default();
        let stream = format!("{}#{count}", self.path);
        *count += 1;
        self.shared.builder.random(Draws { distribution, shape, stream })
    }

    /// Whether the step is one of training.
    pub fn training(&self) -> bool {
        self.shared.training
    }

    /// The full name of this place.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The graph under construction.
    pub fn builder(&self) -> &Builder {
        &self.shared.builder
    }

    /// The parameters so far, in the order they were made.
    pub fn parameters(&self) -> Vec<(ParameterSpec, Var)> {
        self.shared.parameters.borrow().iter().map(|p| (p.spec.clone(), p.own.clone())).collect()
    }

    /// The parameters so far, in the order they were made, as the device stores them: what gradients are taken by.
    #[doc(hidden)]
    pub fn stored_parameters(&self) -> Vec<(ParameterSpec, Var)> {
        self.shared.parameters.borrow().iter().map(|p| (p.spec.clone(), p.stored.clone())).collect()
    }

    /// The layers so far, outer before inner.
    pub fn layers(&self) -> Vec<LayerRow> {
        self.shared.layers.borrow().clone()
    }
}
