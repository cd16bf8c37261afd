//! Convolutions as products: patches of images are rows of a factor that is never stored.
//!
//! | | rows | columns | terms | A | B |
//! | --- | --- | --- | --- | --- | --- |
//! | forward | positions of all images | O | taps, channels | patches of the images | weights |
//! | data | places of all images | channels | taps, O | patches of the results | weights with taps in front |
//! | weights | O | taps, channels | positions of all images | results, turned | patches of the images |
//!
//! Groups are the batch. Where the window steps by more than one place the data's gradient is one product for each rest that a place leaves: every one
//! has its own taps, and none is multiplied by zeros.

use super::known::{over_images, over_results};
use super::lowering::Lowering;
use super::reduce::Sums;
use super::unplaced::{Place, Symbol, TABLES, bind};
use crate::error::Result;
use crate::expr::Expr;
use crate::graph::op::{Conv, ConvPart};
use crate::graph::{NodeId, Value, Window};
use crate::kernels::{Gemm, GemmSpec, Halves, Join, Kernel, Map, Matrix, Operand, Output, Plane, Strided, Term, Tile};
use crate::plan::fuse::Group;
use crate::plan::views::matrix_steps;
use crate::tensor::DType;

impl Lowering<'_> {
    /// A convolution or one of its gradients, with its epilogue.
    pub(super) fn conv(&mut self, node: NodeId, group: &Group, op: &Conv) -> Result<()> {
        if let Some(lowered) = self.depthwise(node, group, op) {
            return lowered;
        }
        match op.part {
            ConvPart::Forward => self.conv_forward(node, group, op),
            ConvPart::Data if op.rests() == 1 => self.conv_data(node, group, op),
            ConvPart::Data => {
                let to = self.assign(node.into());
                let rests = |axis: usize| 0..op.window.stride[axis].min(op.window.image[axis]);
                for rest in rests(0).flat_map(|i| rests(1).map(move |j| [i, j])) {
                    self.conv_rest(node, op, rest, to);
                }
                Ok(())
            }
            ConvPart::Weights => self.conv_weights(node, group, op),
        }
    }

    fn conv_forward(&mut self, node: NodeId, group: &Group, op: &Conv) -> Result<()> {
        let [x, w] = self.operands(node);
        let (n, channels, out) = (self.g.shape(x)[0], self.g.shape(x)[3], self.g.shape(w)[0]);
        let (within, each) = (channels / op.groups, out / op.groups);
        let patches = self.patches([0, 1].map(|axis| over_images(&op.window, axis)), [channels, within]);
        let size = [n * patches.positions, each, patches.row()];
        let (from, weights) = (self.place(x), self.place(w));
        let mut k = Gemm::new(self.conv_spec([false, true], size, [x, w]), size);
        k.spec.a = Operand::Patches;
        (k.a, k.b) = (
            Matrix { offset: from.1, pitch: 0, batch: [0, within] },
            Matrix { offset: weights.1, pitch: size[2], batch: [0, each * size[2]] },
        );
        (k.batch, k.patches) = ([1, op.groups], Some(patches));
        self.conv_ending(node, group, k, [from.0, weights.0], out)
    }

    /// The gradient for the images of a window that moves by single places.
    fn conv_data(&mut self, node: NodeId, group: &Group, op: &Conv) -> Result<()> {
        let (k, buffers, channels) = self.data_product(node, op, [0, 0]);
        self.conv_ending(node, group, k, buffers, channels)
    }

    /// The gradient for the places that leave this rest.
    fn conv_rest(&mut self, node: NodeId, op: &Conv, rest: [usize; 2], to: Place) {
        let (k, [a, b], channels) = self.data_product(node, op, rest);
        let scattered = self.scattered(&op.window, channels, rest);
        let label = format!("{}, rest {}x{}", self.label(node, self.g.shape(node.into()), &[]), rest[0], rest[1]);
        // rows that lie apart are those of one matrix: groups one after the other
        for group in 0..op.groups {
            let mut own = k.clone();
            own.batch = [1, 1];
            own.a.offset += group * k.a.batch[1];
            own.b.offset += group * k.b.batch[1];
            let offset = to.1 + group * own.n;
            own.outputs = vec![Output { offset, within: None, scattered: Some(scattered) }];
            own.spec.halves = Halves::new(vec![own.spec.halves.input(0), own.spec.halves.input(1)], vec![self.half(node.into())]);
            self.push_product(own.reading_fours(), vec![a, b, TABLES, to.0], label.clone());
        }
    }

    /// The product, its factors' buffers, and the channels of all groups.
    fn data_product(&mut self, node: NodeId, op: &Conv, rest: [usize; 2]) -> (Gemm, [Symbol; 2], usize) {
        let [y, w] = self.operands(node);
        let (n, out, within) = (self.g.shape(y)[0], self.g.shape(y)[3], self.g.shape(w)[3]);
        let each = out / op.groups;
        let [(down, rows), (across, columns)] = [0, 1].map(|axis| over_results(&op.window, axis, rest[axis]));
        let turned = self.turned_weights(w, op, [&rows, &columns]);
        let patches = self.patches([down, across], [out, each]);
        let from = self.place(y);
        let size = [n * patches.positions, within, patches.row()];
        let mut k = Gemm::new(self.conv_spec([false, false], size, [y, w]), size);
        k.spec.a = Operand::Patches;
        (k.a, k.b) =
            (Matrix { offset: from.1, pitch: 0, batch: [0, each] }, Matrix { offset: 0, pitch: within, batch: [0, size[2] * within] });
        (k.batch, k.patches) = ([1, op.groups], Some(patches));
        (k, [from.0, turned], within * op.groups)
    }

    /// The weights `[O, kh, kw, I]` of some taps, as `[groups, taps, O / groups, I]`.
    fn turned_weights(&mut self, w: Value, op: &Conv, [rows, columns]: [&[usize]; 2]) -> Symbol {
        let shape = self.g.shape(w).clone();
        let (each, taps, within) = (shape[0] / op.groups, op.window.taps(), shape[3]);
        let (from, offset) = self.place(w);
        // taps that lie evenly apart; none stands for one that is never inside
        let first = |of: &[usize]| of.first().copied().unwrap_or(0);
        let step = |of: &[usize]| if of.len() > 1 { of[1] - of[0] } else { 1 };
        let wide = op.window.kernel[1];
        let dims = [op.groups, rows.len().max(1), columns.len().max(1), each, within];
        let strides = vec![each * taps * within, step(rows) * wide * within, step(columns) * within, taps * within, 1];
        let start = offset + (first(rows) * wide + first(columns)) * within;
        let half = self.half(self.g.base(w));
        let to = self.stored(dims.iter().product(), if half { DType::F16 } else { DType::F32 });
        let map =
            Map::new(Expr::identity(), &dims, vec![Strided::new(start, strides)], vec![0]).storing(Halves::new(vec![half], vec![half]));
        self.push(Kernel::Map(map), vec![from, to], format!("weights {shape} turned"));
        to
    }

    fn conv_weights(&mut self, node: NodeId, group: &Group, op: &Conv) -> Result<()> {
        let [x, y] = self.operands(node);
        let (n, channels, out) = (self.g.shape(x)[0], self.g.shape(x)[3], self.g.shape(y)[3]);
        let (within, each) = (channels / op.groups, out / op.groups);
        let patches = self.patches([0, 1].map(|axis| over_images(&op.window, axis)), [channels, within]);
        let size = [each, patches.row(), n * patches.positions];
        let (from, results) = (self.place(x), self.place(y));
        let mut k = Gemm::new(self.conv_spec([true, false], size, [y, x]), size);
        k.spec.b = Operand::Patches;
        (k.a, k.b) = (Matrix { offset: results.1, pitch: out, batch: [0, each] }, Matrix { offset: from.1, pitch: 0, batch: [0, within] });
        (k.batch, k.patches) = ([1, op.groups], Some(patches));
        self.conv_ending(node, group, k, [results.0, from.0], size[1])
    }

    fn operands(&self, node: NodeId) -> [Value; 2] {
        let inputs = &self.g.nodes[node].inputs;
        [inputs[0], inputs[1]]
    }

    /// The spec of a product of these values, stored as it is.
    fn conv_spec(&self, [ta, tb]: [bool; 2], size: [usize; 3], [a, b]: [Value; 2]) -> GemmSpec {
        let tile = Tile::choose(self.r.target, self.r.caps.registers, size);
        GemmSpec { halves: Halves::new([a, b].map(|v| self.half(self.g.base(v))).to_vec(), vec![]), ..GemmSpec::new([ta, tb], tile) }
    }

    /// What rides on the product, where its results go, and how its factors are read. Rows of the result have so many elements in all groups.
    fn conv_ending(&mut self, node: NodeId, group: &Group, mut k: Gemm, [a, b]: [Symbol; 2], row: usize) -> Result<()> {
        let shape = self.g.shape(node.into()).clone();
        let outputs = self.groups.outputs(group);
        let (epilogue, inputs) = self.formula(group, Some(node.into()), &outputs);
        let (draws, inputs) = self.draws(group, inputs);
        let mut buffers = vec![a, b];
        let groups = k.batch[1];
        // groups lie side by side in a row of results, and one behind the other in weights
        let apart = row != k.n;
        for o in &inputs {
            let (from, Strided { offset, strides, .. }) = self.read(*o, &shape);
            buffers.push(from);
            let Some([down, along]) = matrix_steps(self.g, node, &strides) else { return Err(self.no_kernel(node)) };
            let next = if apart { along * k.n } else { down * k.m };
            k.extras.push(Plane { offset, row: down, column: along, batch: [0, if groups > 1 { next } else { 0 }] });
        }
        buffers.extend((!draws.is_empty()).then(|| self.state()));
        let places: Vec<Place> = outputs.iter().map(|v| self.assign(*v)).collect();
        let sum = group.row_sum.map(|s| self.assign(s.into()));
        // those of very many terms are a reduction of their own, which errs less
        let (sum, sums_apart) = if k.piece(self.r.target, None) > Gemm::LONG { (None, sum) } else { (sum, None) };
        buffers.push(TABLES);
        k.spec.via = bind(&mut buffers, places.iter().chain(&sum).map(|p| p.0));
        let halves = &k.spec.halves;
        let read = [halves.input(0), halves.input(1)].into_iter().chain(inputs.iter().map(|o| self.half(o.value)));
        k.spec.halves = Halves::new(read.collect(), outputs.iter().map(|v| self.half(*v)).collect());
        (k.spec.epilogue, k.spec.row_sum, k.row_sum) = (epilogue, sum.is_some(), sum.map_or(0, |p| p.1));
        let within = apart.then_some((row, [0, k.n]));
        k.outputs = places.iter().map(|p| Output { offset: p.1, within, scattered: None }).collect();
        let mut label = self.label(node, &shape, &group.maps);
        if let Some(to) = sums_apart {
            let terms = vec![Term { offset: k.a.offset, outer: k.a.batch[1], along: k.a.pitch, inner: 1 }];
            let (f, halves, from) = (Expr::identity(), vec![k.spec.halves.input(0)], vec![a]);
            let (extents, joins) = ([groups, k.k, k.m], vec![Join::Sum]);
            self.sums(Sums { f, halves, terms, from, extents, joins, to: vec![to] }, &format!("rows summed for {label}"));
        }
        if sum.is_some() {
            label = format!("rowsum {label}");
        }
        self.push_cut(k.reading_fours().drawing(draws), buffers, &label);
        Ok(())
    }
}

impl Conv {
    /// The rests that places leave: products of the data's gradient.
    pub(in crate::plan) fn rests(&self) -> usize {
        let Window { stride, image, .. } = self.window;
        stride[0].min(image[0]) * stride[1].min(image[1])
    }
}
