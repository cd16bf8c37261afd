use super::{Init, Module};
use crate::error::{Error, Fault, place};
use crate::graph::{Builder, Value, Var};
use crate::tensor::Shape;
use std::cell::RefCell;
use std::fmt::Display;
use std::panic::Location;
use std::rc::Rc;

/// Elements of the largest parameter that is believed: more fit in no machine.
const MOST: usize = 1 << 40;

/// A trainable parameter that a model asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Its full name, dots between the layers.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How it starts.
    pub init: Init,
}

/// A layer as `summary` lists it.
#[derive(Debug, Clone)]
pub struct LayerRow {
    /// Its full name.
    pub name: String,
    /// The type's name.
    pub kind: &'static str,
    /// The shape of what it gives.
    pub output: Shape,
    /// Parameters that it made.
    pub parameters: usize,
    /// What it gives, in the graph that it was called for; `None` after a mistake.
    pub value: Option<Value>,
}

/// Where a layer stands in a model: gives names, parameters and the mode.
#[derive(Debug, Clone)]
pub struct Scope {
    shared: Rc<Shared>,
    path: String,
}

#[derive(Debug)]
struct Shared {
    builder: Builder,
    training: bool,
    parameters: RefCell<Vec<(ParameterSpec, Var, String)>>,
    layers: RefCell<Vec<LayerRow>>,
}

impl Scope {
    /// The root of a model.
    pub fn root(builder: &Builder, training: bool) -> Self {
        let shared = Shared { builder: builder.clone(), training, parameters: RefCell::default(), layers: RefCell::default() };
        Scope { shared: Rc::new(shared), path: String::new() }
    }

    /// The place of a layer below this one: `s.at("fc1")`, `s.at(0)`.
    pub fn at(&self, name: impl Display) -> Scope {
        Scope { shared: self.shared.clone(), path: self.full(&name.to_string()) }
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// Runs a layer here.
    pub fn call<M: Module + ?Sized>(&self, layer: &M, x: &Var) -> Var {
        let before = self.shared.builder.enter(&self.path);
        let made = self.shared.parameters.borrow().len();
        let row = self.shared.layers.borrow().len();
        let out = layer.forward(self, x);
        let parameters = self.shared.parameters.borrow()[made..].iter().map(|(p, _, _)| p.shape.size()).sum();
        let line = LayerRow { name: self.path.clone(), kind: layer.name(), output: out.shape(), parameters, value: out.value() };
        self.shared.layers.borrow_mut().insert(row, line);
        self.shared.builder.enter(&before);
        out
    }

    /// A trainable parameter of this layer. The same full name twice is an error that names both lines.
    #[track_caller]
    pub fn param(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Var {
        let (name, shape, at) = (self.full(name), shape.into(), place(Location::caller()));
        let taken = self.shared.parameters.borrow().iter().find(|(p, _, _)| p.name == name).map(|(_, _, at)| at.clone());
        if let Some(first) = taken {
            self.shared.builder.fail(Error::DuplicateName { name, first, second: at });
            return self.shared.builder.poisoned();
        }
        if shape.size() == 0 || shape.size() > MOST {
            let problem = format!("the parameter `{name}` would have the shape {shape}");
            let help = format!("every size of a layer must be at least 1, and no parameter has more than {MOST} elements");
            self.shared.builder.fail(Error::ShapeMismatch { op: "param".into(), problem, at, help });
            return self.shared.builder.poisoned();
        }
        if let Some((problem, help)) = init.fault(&shape) {
            let fault = Fault { key: format!("the parameter `{name}`, {at}"), problem, help: help.into() };
            self.shared.builder.fail(Error::InvalidConfig { faults: vec![fault] });
            return self.shared.builder.poisoned();
        }
        let var = self.shared.builder.parameter(&name, shape.clone());
        self.shared.parameters.borrow_mut().push((ParameterSpec { name, shape, init }, var.clone(), at));
        var
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
        match parameters.iter().find(|(p, _, _)| p.name == name) {
            Some((_, var, _)) => var.clone(),
            None => {
                let known = parameters.iter().map(|(p, _, _)| p.name.clone()).collect();
                let at = place(Location::caller());
                self.shared.builder.fail(Error::NotFound { what: "parameter".into(), name: name.into(), at, known });
                self.shared.builder.poisoned()
            }
        }
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
        self.shared.parameters.borrow().iter().map(|(p, v, _)| (p.clone(), v.clone())).collect()
    }

    /// The layers so far, outer before inner.
    pub fn layers(&self) -> Vec<LayerRow> {
        self.shared.layers.borrow().clone()
    }
}
