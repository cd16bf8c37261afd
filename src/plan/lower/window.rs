//! Pools, changes of size and depthwise convolutions: tables of what each row and each column of the result sees, and a launch over them.

use super::known::Places;
use super::lowering::Lowering;
use super::reduce::Sums;
use super::unplaced::{Place, Symbol, TABLES};
use crate::error::Result;
use crate::expr::Expr;
use crate::graph::op::{Conv, ConvPart, MaxPool, PoolPart, Resample};
use crate::graph::{NodeId, Sampling, Value, Window};
use crate::kernels::{self, Halves, Images, Join, Kernel, List, Map, Strided, Term, WindowFormula, WindowSpec};
use crate::plan::fuse::Group;

/// Entries of both axes together above which each axis has a launch of its own.
const APART: usize = 64;
/// Terms of a sum over positions that go to one place of a weight's gradient, about.
const TOGETHER: usize = 512;

/// The places that each position of a window sees, with their taps.
fn of_positions(w: &Window, axis: usize) -> Places {
    let taps = |p: usize| (0..w.kernel[axis]).filter_map(|k| Some((w.place(axis, p, k)?, k as u32))).collect();
    (0..w.positions[axis]).map(taps).collect()
}

/// The positions whose window sees each place, in order, with its taps.
fn of_places(w: &Window, axis: usize) -> Places {
    let mut all = vec![vec![]; w.image[axis]];
    for (position, list) in of_positions(w, axis).into_iter().enumerate() {
        list.into_iter().for_each(|(place, tap)| all[place].push((position, tap)));
    }
    all
}

/// The positions at which each tap sees a place, with that place; band by band of so many positions.
fn of_taps(w: &Window, axis: usize, band: usize) -> Places {
    let own = |first: usize, k: usize| {
        let last = w.positions[axis].min(first + band);
        (first..last).filter_map(|p| Some((p, w.place(axis, p, k)? as u32))).collect()
    };
    (0..w.positions[axis])
        .step_by(band)
        .flat_map(|first| (0..w.kernel[axis]).map(move |k| (first, k)))
        .map(|(first, k)| own(first, k))
        .collect()
}

impl Lowering<'_> {
    /// The lists in the tables, each once.
    fn list(&mut self, places: Places) -> List {
        if let Some((_, known)) = self.lists.iter().find(|(p, _)| *p == places) {
            return *known;
        }
        let tables = &mut self.draft.tables;
        let starts = tables.len();
        let mut at = starts + places.len() + 1;
        tables.push(at as u32);
        for list in &places {
            at += 2 * list.len();
            tables.push(at as u32);
        }
        tables.extend(places.iter().flatten().flat_map(|&(place, word)| [place as u32, word]));
        let longest = places.iter().map(Vec::len).max().unwrap_or(0);
        let list = List { starts, end: at, longest, all: places.iter().map(Vec::len).sum() };
        self.lists.push((places, list));
        list
    }

    fn lists(&mut self, of: impl Fn(usize) -> Places) -> [List; 2] {
        [0, 1].map(|axis| self.list(of(axis)))
    }

    /// A value `[N, H, W, C]` as an operand.
    fn images(&self, v: Value) -> (Symbol, Images) {
        let (from, offset) = self.place(v);
        (from, self.images_at(v, offset))
    }

    fn images_at(&self, v: Value, offset: usize) -> Images {
        let s = self.g.shape(v);
        Images { offset, rows: s[1], columns: s[2], channels: s[3] }
    }

    fn spec(&self, formula: WindowFormula, inputs: &[Value], output: bool) -> WindowSpec {
        let halves = Halves::new(inputs.iter().map(|v| self.half(self.g.base(*v))).collect(), vec![output]);
        WindowSpec { formula, fours: false, halves }
    }

    /// The largest values of windows, or what belongs to them.
    pub(super) fn max_pool(&mut self, node: NodeId, op: &MaxPool) {
        let w = &op.window;
        let inputs = self.g.nodes[node].inputs.clone();
        let of = |axis| if op.part == PoolPart::Back { of_places(w, axis) } else { of_positions(w, axis) };
        let lists = self.lists(of);
        let windows = (op.part == PoolPart::Back).then(|| self.lists(|axis| of_positions(w, axis)));
        let formula = match op.part {
            PoolPart::Largest => WindowFormula::Largest,
            PoolPart::Back => WindowFormula::Back,
            PoolPart::Picked => WindowFormula::Picked,
        };
        let operands: Vec<(Symbol, Images)> = inputs.iter().map(|v| self.images(*v)).collect();
        let to = self.assign(node.into());
        let kernel = kernels::Window {
            spec: self.spec(formula, &inputs, self.half(node.into())),
            images: self.g.shape(inputs[0])[0],
            x: operands[0].1,
            y: operands.get(1).map(|y| y.1),
            out: self.images_at(node.into(), to.1),
            lists,
            windows,
            each: 1,
            together: 1,
        };
        let buffers = operands.iter().map(|o| o.0).chain([TABLES, to.0]).collect();
        let label = self.label(node, format!("{w} {}", self.g.shape(node.into())), &[]);
        self.push(Kernel::Window(kernel.by_fours()), buffers, label);
    }

    /// Weighted sums along both axes: at once, or one axis after the other where that is less.
    pub(super) fn resample(&mut self, node: NodeId, op: &Resample) {
        let [down, across] = &op.0;
        let input = self.g.nodes[node].inputs[0];
        let shape = self.g.shape(input).clone();
        let words = |s: &Sampling| -> Places {
            s.lists().into_iter().map(|l| l.into_iter().map(|(p, w)| (p, (w as f32).to_bits())).collect()).collect()
        };
        let same = |n: usize| -> Places { (0..n).map(|p| vec![(p, 1f32.to_bits())]).collect() };
        let both = [self.list(words(down)), self.list(words(across))];
        let ((from, x), to) = (self.images(input), self.assign(node.into()));
        let out = self.images_at(node.into(), to.1);
        let label = self.label(node, format!("{down}, {across} {}", self.g.shape(node.into())), &[]);
        let (half, half_out) = (self.half(input), self.half(node.into()));
        let kernel = |x: Images, out: Images, lists: [List; 2], [half, half_out]: [bool; 2]| {
            let spec = WindowSpec { formula: WindowFormula::Sum, fours: false, halves: Halves::new(vec![half], vec![half_out]) };
            let all = kernels::Window { spec, images: shape[0], x, y: None, out, lists, windows: None, each: 1, together: 1 };
            Kernel::Window(all.by_fours())
        };
        if both[0].longest.saturating_mul(both[1].longest) <= APART || both.iter().any(|l| l.longest == 1) {
            return self.push(kernel(x, out, both, [half, half_out]), vec![from, TABLES, to.0], label);
        }
        // that axis first which leaves less
        let rows_first = out.rows * x.columns <= x.rows * out.columns;
        let (rows, columns) = if rows_first { (out.rows, x.columns) } else { (x.rows, out.columns) };
        let between = Images { offset: 0, rows, columns, channels: x.channels };
        let stays = self.list(same(if rows_first { columns } else { rows }));
        let then = self.list(same(if rows_first { out.rows } else { out.columns }));
        let (first, second) = if rows_first { ([both[0], stays], [then, both[1]]) } else { ([stays, both[1]], [both[0], then]) };
        let temporary = self.temporary(shape[0] * between.plane());
        self.push(kernel(x, between, first, [half, false]), vec![from, TABLES, temporary], format!("{label}, one axis"));
        self.push(kernel(between, out, second, [false, half_out]), vec![temporary, TABLES, to.0], label);
    }

    /// A convolution of which every channel is a group, or one of its gradients, if this is one.
    pub(super) fn depthwise(&mut self, node: NodeId, group: &Group, op: &Conv) -> Option<Result<()>> {
        let inputs = [0, 1].map(|i| self.g.nodes[node].inputs[i]);
        let channels = match op.part {
            ConvPart::Forward | ConvPart::Weights => self.g.shape(inputs[0])[3],
            ConvPart::Data => self.g.shape(node.into())[3],
        };
        if op.groups == 1 || channels != op.groups {
            return None;
        }
        // what rides on it has a launch of its own
        let outputs = self.groups.outputs(group);
        let alone = group.maps.is_empty();
        let to = if alone { self.assign(node.into()) } else { (self.temporary(self.size(node.into())), 0) };
        let half = alone && self.half(node.into());
        match op.part {
            ConvPart::Weights => self.depthwise_weights(node, op, inputs, to),
            _ => self.depthwise_images(node, op, inputs, to, half),
        }
        if let Some(sum) = group.row_sum {
            self.bias_sums(inputs[1], sum);
        }
        Some(if alone { Ok(()) } else { self.riding(node, group, &outputs, to) })
    }

    fn depthwise_images(&mut self, node: NodeId, op: &Conv, inputs: [Value; 2], to: Place, half: bool) {
        let w = &op.window;
        let forward = op.part == ConvPart::Forward;
        let lists = self.lists(|axis| if forward { of_positions(w, axis) } else { of_places(w, axis) });
        let ((from, x), (weights, offset)) = (self.images(inputs[0]), self.place(inputs[1]));
        let results = self.g.shape(inputs[1])[0];
        let kernel = kernels::Window {
            spec: self.spec(if forward { WindowFormula::Depthwise } else { WindowFormula::DepthwiseBack }, &inputs, half),
            images: self.g.shape(inputs[0])[0],
            x,
            y: Some(Images { offset, rows: w.kernel[0], columns: w.kernel[1], channels: results }),
            out: self.images_at(node.into(), to.1),
            lists,
            windows: None,
            each: results / op.groups,
            together: 1,
        };
        let label = self.label(node, format!("{w} {}", self.g.shape(node.into())), &[]);
        self.push(Kernel::Window(kernel.by_fours()), vec![from, weights, TABLES, to.0], label);
    }

    /// Sums over some images and a band of their positions, then over all of these.
    fn depthwise_weights(&mut self, node: NodeId, op: &Conv, inputs: [Value; 2], to: Place) {
        let w = &op.window;
        let [(x, images), (y, results)] = inputs.map(|v| self.images(v));
        let n = self.g.shape(inputs[0])[0];
        let band = (TOGETHER / w.positions[1].max(1)).clamp(1, w.positions[0].max(1));
        let together = (TOGETHER / (band * w.positions[1]).max(1)).clamp(1, n.max(1));
        let (bands, [rows, columns]) = (w.positions[0].div_ceil(band), w.kernel);
        let lists = [self.list(of_taps(w, 0, band)), self.list(of_taps(w, 1, w.positions[1]))];
        let out = Images { offset: 0, rows: bands * rows, columns, channels: results.channels };
        let spec = self.spec(WindowFormula::DepthwiseWeights, &inputs, false);
        let each = results.channels / op.groups;
        let kernel = kernels::Window { spec, images: n, x: images, y: Some(results), out, lists, windows: None, each, together };
        let parts = self.temporary(kernel.size());
        let (pieces, taps, channels) = (kernel.made() * bands, w.taps(), results.channels);
        let label = self.label(node, format!("{w} {}", self.g.shape(node.into())), &[]);
        self.push(Kernel::Window(kernel.by_fours()), vec![x, y, TABLES, parts], format!("{label}, pieces"));
        let terms = vec![Term { offset: 0, outer: 1, along: taps * channels, inner: channels }];
        let (f, joins, extents) = (Expr::identity(), vec![Join::Sum], [channels, pieces, taps]);
        self.sums(Sums { f, halves: vec![], terms, from: vec![parts], extents, joins, to: vec![to] }, &label);
    }

    /// The sums of results over all positions: a bias' gradient.
    fn bias_sums(&mut self, results: Value, sum: NodeId) {
        let channels = self.g.shape(results)[3];
        let ((from, offset), to) = (self.place(results), self.assign(sum.into()));
        let terms = vec![Term { offset, outer: 0, along: channels, inner: 1 }];
        let (f, extents) = (Expr::identity(), [1, self.size(results) / channels, channels]);
        let label = self.label(sum, self.g.shape(sum.into()), &[]);
        self.sums(
            Sums { f, halves: vec![self.half(results)], terms, from: vec![from], extents, joins: vec![Join::Sum], to: vec![to] },
            &label,
        );
    }

    /// The maps of a group, over a value that its core has left there.
    fn riding(&mut self, node: NodeId, group: &Group, outputs: &[Value], (core, offset): Place) -> Result<()> {
        let shape = self.g.shape(node.into()).clone();
        let (f, inputs) = self.formula(group, Some(node.into()), outputs);
        let (draws, inputs) = self.draws(group, inputs);
        let mut reads = vec![Strided::new(offset, shape.strides())];
        let mut buffers: Vec<Symbol> = (!draws.is_empty()).then(|| self.state()).into_iter().chain([core]).collect();
        for o in &inputs {
            let (from, read) = self.read(*o, &shape);
            buffers.push(from);
            reads.push(read);
        }
        let places: Vec<Place> = outputs.iter().map(|v| self.assign(*v)).collect();
        let halves = std::iter::once(false).chain(inputs.iter().map(|o| self.half(o.value))).collect();
        let halves = Halves::new(halves, outputs.iter().map(|v| self.half(*v)).collect());
        let mut map = Map::new(f, shape.dims(), reads, places.iter().map(|p| p.1).collect()).storing(halves).drawing(draws);
        map.spec.via = super::unplaced::bind(&mut buffers, places.iter().map(|p| p.0));
        let label = self.label(node, &shape, &group.maps);
        self.push(Kernel::Map(map), buffers, label);
        Ok(())
    }
}
