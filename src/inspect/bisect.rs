//! Which kernel is wrong: the reference up to a cut, the device after it, and the cut moved by halves.

use super::workbench::{Difference, Plant, Workbench};
use crate::data::Dataset;
use crate::error::{Error, Result, place};
use crate::graph::NodeId;
use crate::model::core::Core;
use crate::model::inputs::{check_batch_size, in_call};
use crate::model::shared::Model;
use crate::plan::{Program, Purpose};
use std::fmt;

/// Where a step can be cut: in front of the launch that makes a node's value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutPoint {
    /// The node's number in the simplified graph, as [`Graph`](crate::graph::Graph) prints it.
    pub node: NodeId,
    /// Its operation and its layer, as in `matmul in blocks.2.fc1`.
    pub name: String,
    /// The launch that makes it; several nodes fused into one kernel share it.
    pub launch: usize,
}

/// A run with the reference up to a launch and the device from there on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// The step's purpose.
    pub purpose: Purpose,
    /// The first launch that ran on the device.
    pub first: usize,
    /// The launch behind the last one that did.
    pub end: usize,
    /// The largest difference, in tolerances, of all that was left at the end; `None` if no launch ran.
    pub largest: Option<Difference>,
}

impl Trial {
    /// Whether device and reference agree.
    pub fn agrees(&self) -> bool {
        self.largest.as_ref().is_none_or(|d| d.ratio <= 1.0)
    }
}

/// A launch that gives wrong values for right ones.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WrongLaunch {
    /// The step's purpose.
    pub purpose: Purpose,
    /// Its place in the program, from 0; where a sum is made in two launches, the first of them.
    pub launch: usize,
    /// The kernel; two of them where a sum is made in two launches.
    pub kernel: String,
    /// What it computes: shapes, maps that ride on it, the layer.
    pub label: String,
    /// The nodes that it makes, those fused away included: number, operation and layer.
    pub nodes: Vec<(NodeId, String)>,
    /// The layer of the first of them.
    pub layer: String,
    /// The line that made the first of them: the user's, or that of the layer of gradus' that the user called.
    pub place: String,
    /// The worst of what it makes from the reference's values.
    pub difference: Difference,
    /// Whether it is off when it runs alone. If not, many roundings have added up to more than was foreseen.
    pub alone: bool,
}

/// What [`Model::bisect`] found. Prints as a few lines.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Bisection {
    /// The device.
    pub device: String,
    /// Rows of the batch.
    pub batch: usize,
    /// What was run, in order.
    pub trials: Vec<Trial>,
    /// The launches that are wrong, the step's first one first. Empty: no difference.
    pub wrong: Vec<WrongLaunch>,
}

impl Bisection {
    /// Whether device and reference agree.
    pub fn agrees(&self) -> bool {
        self.wrong.is_empty()
    }
}

fn name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Train => "training",
        Purpose::Evaluate => "evaluation",
        Purpose::Predict => "inference",
        Purpose::Update => "an update",
    }
}

impl fmt::Display for CutPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{} {}, made by launch {}", self.node, self.name, self.launch)
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.agrees() { "agrees" } else { "differs" };
        write!(f, "{}, launches {} to {} on the device: {verdict}", name(self.purpose), self.first, self.end.saturating_sub(1))?;
        self.largest.as_ref().map_or(Ok(()), |d| write!(f, ", at most {:.2} of the tolerance in {}", d.ratio, d.value))
    }
}

impl fmt::Display for WrongLaunch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, launch {} is wrong: {} {}", name(self.purpose), self.launch, self.kernel, self.label)?;
        let nodes: Vec<String> = self.nodes.iter().map(|(id, n)| format!("%{id} {n}")).collect();
        writeln!(f, "  makes   {}", nodes.join(", "))?;
        writeln!(f, "  where   {}", self.place)?;
        write!(f, "  gives   {}", self.difference)?;
        if self.alone { Ok(()) } else { write!(f, "\n  alone it is within its tolerance: roundings add up") }
    }
}

impl fmt::Display for Bisection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.agrees() { "no difference" } else { "a difference" };
        writeln!(f, "bisection, batch {}: {verdict} between {} and the reference", self.batch, self.device)?;
        for t in &self.trials {
            writeln!(f, "  {t}")?;
        }
        self.wrong.iter().try_for_each(|w| writeln!(f, "{w}"))
    }
}

impl Model {
    /// Looks for a kernel that computes wrong values, and names it.
    ///
    /// The training step over the first `batch_size` rows, then the evaluation of them, run on the device and in the
    /// [reference](crate::reference), with the weights as they are. Where the results differ by more than roundings can explain, the step
    /// is cut: the reference's values go in, the device runs the launches behind the cut, the very ones of the whole step, with all that
    /// was fused into them; and the cut moves by halves until one launch is left, which is then run alone. What stands before it is
    /// searched in the same way; and where the results agree, each launch is run once alone, because a small error can drown in the
    /// roundings behind it. The optimizer's launch is no part of the graph and is not looked at; nor does the model change.
    ///
    /// How far a value may be off is tried out in the reference: every operation is disturbed by `1e-6 + 1e-5 |y|`, or `1e-6 sqrt(K)` for
    /// a sum of K terms, and so are all that follow. An error below that is not seen.
    ///
    /// The reference is slow: take a small batch. Fails as `fit` does, and where the reference cannot run the model.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([64, 8], vec![0.5; 512])?, HostTensor::u8([64], vec![1; 64])?)?;
    /// let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(3));
    /// let mut model = net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([8]).device(Device::cpu()))?;
    /// let found = model.bisect(&data, 8)?;
    /// assert!(found.agrees(), "{found}");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn bisect(&self, data: &Dataset, batch_size: usize) -> Result<Bisection> {
        self.lock().bisect(data, batch_size)
    }

    /// As [`Model::bisect`] with errors planted in the programs: for tests.
    #[doc(hidden)]
    pub fn bisect_planted(&self, data: &Dataset, batch_size: usize, plant: &dyn Fn(Program) -> Program) -> Result<Bisection> {
        self.lock().bisect_planted(data, batch_size, plant)
    }

    /// Where the training step over such batches can be cut: every node that a launch makes, by its number.
    pub fn cut_points(&self, data: &Dataset, batch_size: usize) -> Result<Vec<CutPoint>> {
        self.lock().cut_points(data, batch_size)
    }

    /// The training step with the reference up to this node of the simplified graph ([`Model::cut_points`] lists them) and the device from
    /// there on: from the launch that makes it. Fails for a number that is not there.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([64, 8], vec![0.5; 512])?, HostTensor::u8([64], vec![1; 64])?)?;
    /// let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(3));
    /// let mut model = net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([8]).device(Device::cpu()))?;
    /// let points = model.cut_points(&data, 8)?;
    /// let loss = points.iter().find(|p| p.name.starts_with("cross_entropy")).unwrap();
    /// assert!(model.bisect_at(&data, 8, loss.node)?.agrees());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn bisect_at(&self, data: &Dataset, batch_size: usize, node: NodeId) -> Result<Trial> {
        self.lock().bisect_at(data, batch_size, node)
    }

    /// As [`Model::bisect_at`] with errors planted in the program: for tests.
    #[doc(hidden)]
    pub fn bisect_at_planted(&self, data: &Dataset, batch_size: usize, node: NodeId, plant: Plant<'_>) -> Result<Trial> {
        self.lock().bisect_at_planted(data, batch_size, node, plant)
    }
}

impl Core {
    pub(crate) fn bisect(&mut self, data: &Dataset, batch_size: usize) -> Result<Bisection> {
        self.bisect_planted(data, batch_size, &|p| p)
    }

    pub(crate) fn bisect_planted(&mut self, data: &Dataset, batch_size: usize, plant: &dyn Fn(Program) -> Program) -> Result<Bisection> {
        let batch = checked(data, batch_size)?;
        let mut out = Bisection { device: self.engine.device.name(), batch, trials: vec![], wrong: vec![] };
        for purpose in [Purpose::Train, Purpose::Evaluate] {
            let mut bench = Workbench::new(self, data, purpose, batch, plant)?;
            let wrong = search(&mut bench, purpose, &mut out.trials)?;
            out.wrong.extend(wrong);
        }
        Ok(out)
    }

    pub(crate) fn cut_points(&mut self, data: &Dataset, batch_size: usize) -> Result<Vec<CutPoint>> {
        let batch = checked(data, batch_size)?;
        let bench = Workbench::new(self, data, Purpose::Train, batch, &|p| p)?;
        Ok(points(&bench))
    }

    pub(crate) fn bisect_at(&mut self, data: &Dataset, batch_size: usize, node: NodeId) -> Result<Trial> {
        self.bisect_at_planted(data, batch_size, node, &|p| p)
    }

    pub(crate) fn bisect_at_planted(&mut self, data: &Dataset, batch_size: usize, node: NodeId, plant: Plant<'_>) -> Result<Trial> {
        let batch = checked(data, batch_size)?;
        let mut bench = Workbench::new(self, data, Purpose::Train, batch, plant)?;
        let units = &bench.program.units;
        let end = units.len();
        let Some(first) = units.iter().position(|u| u.nodes.contains(&node)) else {
            let known = points(&bench).iter().map(|p| format!("%{} {}", p.node, p.name)).collect();
            return Err(Error::NotFound {
                what: "node that a launch makes".into(),
                name: format!("%{node}"),
                at: "the training step".into(),
                known,
            });
        };
        trial(&mut bench, Purpose::Train, first, end)
    }
}

fn checked(data: &Dataset, batch_size: usize) -> Result<usize> {
    check_batch_size(batch_size).map_err(in_call("bisect"))?;
    Ok(batch_size.min(data.len()))
}

fn points(bench: &Workbench) -> Vec<CutPoint> {
    let of = |u: &crate::plan::Unit| u.nodes.iter().map(|&node| (node, u.launches.start)).collect::<Vec<_>>();
    let all = bench.program.units.iter().flat_map(of);
    all.map(|(node, launch)| CutPoint { node, name: bench.node(node), launch }).collect()
}

/// Units `first..end` on the device.
fn trial(bench: &mut Workbench, purpose: Purpose, first: usize, end: usize) -> Result<Trial> {
    let largest = bench.run(first..end)?;
    let launch = |u: usize| bench.program.units.get(u).map(|u| u.launches.start);
    let behind = bench.program.units[..end].last().map_or(0, |u| u.launches.end);
    Ok(Trial { purpose, first: launch(first).unwrap_or(behind), end: behind, largest })
}

/// All wrong launches: the last by bisection, then those before it; where nothing shows at the end, each alone.
fn search(bench: &mut Workbench, purpose: Purpose, trials: &mut Vec<Trial>) -> Result<Vec<WrongLaunch>> {
    let mut wrong = Vec::new();
    let mut end = bench.program.units.len();
    while end > 0 {
        let mut run = |bench: &mut Workbench, first: usize| -> Result<Option<Difference>> {
            let t = trial(bench, purpose, first, end)?;
            let off = if t.agrees() { None } else { t.largest.clone() };
            trials.push(t);
            Ok(off)
        };
        let Some(mut seen) = run(bench, 0)? else {
            // what is off by little may drown in the roundings of the launches behind it
            for unit in (0..end).rev() {
                if let Some(d) = bench.run_alone(unit)?.filter(|d| d.ratio > 1.0) {
                    wrong.push(describe(bench, purpose, unit, Some(d.clone()), d));
                }
            }
            break;
        };
        // from `lo` on the device is wrong, from `hi` on it is right
        let (mut lo, mut hi) = (0, end);
        while hi - lo > 1 {
            let middle = lo + (hi - lo) / 2;
            match run(bench, middle)? {
                Some(d) => (lo, seen) = (middle, d),
                None => hi = middle,
            }
        }
        let alone = bench.run_alone(lo)?.filter(|d| d.ratio > 1.0);
        wrong.push(describe(bench, purpose, lo, alone, seen));
        end = lo;
    }
    wrong.reverse();
    Ok(wrong)
}

fn describe(bench: &Workbench, purpose: Purpose, unit: usize, alone: Option<Difference>, seen: Difference) -> WrongLaunch {
    let u = &bench.program.units[unit];
    let launches = &bench.program.launches[u.launches.clone()];
    // a copy makes no node: it is named by what it copies
    let nodes = if u.nodes.is_empty() { u.made.iter().map(|m| m.value.node).collect() } else { u.nodes.clone() };
    let first = nodes.first().map(|&n| &bench.graph.nodes[n]);
    WrongLaunch {
        purpose,
        launch: u.launches.start,
        kernel: launches.iter().map(|l| l.kernel.name()).collect::<Vec<_>>().join(" + "),
        label: launches.last().map(|l| l.label.clone()).unwrap_or_default(),
        layer: first.map(|n| n.layer.clone()).unwrap_or_default(),
        place: first.map(|n| place(n.place)).unwrap_or_default(),
        nodes: nodes.iter().map(|&n| (n, bench.node(n))).collect(),
        alone: alone.is_some(),
        difference: alone.unwrap_or(seen),
    }
}
