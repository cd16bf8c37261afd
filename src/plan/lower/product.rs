//! Matrix products with what rides on them; those of long sums are cut into pieces.

use super::lowering::Lowering;
use super::reduce::Sums;
use super::unplaced::{Place, Symbol, bind};
use crate::error::Result;
use crate::expr::Expr;
use crate::graph::{NodeId, op};
use crate::kernels::{Gemm, GemmCoop, GemmSpec, Halves, Join, Kernel, Map, Matrix, Plane, Strided, Term, Tile};
use crate::plan::fuse::Group;
use crate::plan::views::Factor;
use crate::tensor::Shape;

impl Lowering<'_> {
    /// A product with its epilogue.
    pub(super) fn gemm(&mut self, node: NodeId, group: &Group, op: &op::MatMul) -> Result<()> {
        let out = self.g.shape(node.into()).clone();
        let [Some(left), Some(right)] = Factor::of(self.g, &self.groups.views, node, op) else { return Err(self.no_kernel(node)) };
        let outputs = self.groups.outputs(group);
        let (epilogue, inputs) = self.formula(group, Some(node.into()), &outputs);
        let (draws, inputs) = self.draws(group, inputs);
        let read: Vec<(Symbol, Strided)> = inputs.iter().map(|o| self.read(*o, &out)).collect();
        let riding: Vec<Vec<usize>> = read.iter().map(|(_, r)| r.strides.clone()).collect();
        // what rides on a product was asked whether it can
        let Some(axes) = Factor::axes(&left, &right, &out, &riding) else { return Err(self.no_kernel(node)) };
        let (m, n, k) = (axes.rows(&out), out.last(), left.terms);
        let rows = [left.rows(axes.row_step(&left.over), m, !op.ta), right.rows(right.over[out.rank() - 1], n, op.tb)];
        let [Some((along_a, pitch_a)), Some((tb, pitch_b))] = rows else { return Err(self.no_kernel(node)) };
        let (mut buffers, mut extras) = (Vec::new(), Vec::new());
        let mut matrix = |f: &Factor, pitch: usize| {
            let (from, offset) = self.place(f.value);
            buffers.push(from);
            Matrix { offset: offset + f.offset, pitch, batch: axes.batch_steps(&f.over) }
        };
        let (ta, a, b) = (!along_a, matrix(&left, pitch_a), matrix(&right, pitch_b));
        for (from, Strided { offset, strides, .. }) in &read {
            buffers.push(*from);
            let (row, column, batch) = (axes.row_step(strides), strides[out.rank() - 1], axes.batch_steps(strides));
            extras.push(Plane { offset: *offset, row, column, batch });
        }
        buffers.extend((!draws.is_empty()).then(|| self.state()));
        let places: Vec<Place> = outputs.iter().map(|v| self.assign(*v)).collect();
        let sum = group.row_sum.map(|s| self.assign(s.into()));
        let via = bind(&mut buffers, places.iter().chain(&sum).map(|p| p.0));
        let read = [left.value, right.value].into_iter().chain(inputs.iter().map(|o| o.value)).map(|v| self.half(v));
        let halves = Halves::new(read.collect(), outputs.iter().map(|v| self.half(*v)).collect());
        let tile = Tile::choose(self.r.target, self.r.caps.registers, [m, n, k]);
        let mut spec = GemmSpec { epilogue, row_sum: sum.is_some(), via, halves, ..GemmSpec::new([ta, tb], tile) };
        (spec.va, spec.vb) = (a.in_fours(if ta { m } else { k }), b.in_fours(if tb { k } else { n }));
        let mut label = self.label(node, &out, &group.maps);
        if sum.is_some() {
            label = format!("rowsum {label}");
        }
        let (batch, outputs) = (axes.batch(&out), places.iter().map(|p| p.1.into()).collect());
        let gemm = Gemm { batch, a, b, extras, outputs, row_sum: sum.map_or(0, |p| p.1), ..Gemm::new(spec, [m, n, k]) };
        let gemm = gemm.drawing(draws);
        let pieces = Gemm::pieces_for(k, out.size());
        if pieces > 1 {
            self.long_product(gemm, pieces, &buffers, &places, sum, &label);
        } else {
            self.push_product(gemm, buffers, label);
        }
        Ok(())
    }

    fn push_product(&mut self, gemm: Gemm, buffers: Vec<Symbol>, label: String) {
        let kernel = match self.r.caps.coop.and_then(|caps| GemmCoop::of(&gemm, &caps)) {
            Some(coop) => Kernel::GemmCoop(coop),
            None => Kernel::Gemm(gemm.by_vectors()),
        };
        self.push(kernel, buffers, label);
    }

    /// A product of long sums: some terms each, as matrices of a batch, whose results are added up before the epilogue.
    fn long_product(&mut self, gemm: Gemm, pieces: usize, buffers: &[Symbol], places: &[Place], sum: Option<Place>, label: &str) {
        let (size, k) = (gemm.matrices() * gemm.m * gemm.n, gemm.k);
        // whole vectors, so that each piece begins at one
        let piece = k.div_ceil(pieces).next_multiple_of(64);
        let pieces = k.div_ceil(piece);
        let halves = &gemm.spec.halves;
        let parts = self.temporary(pieces * size);
        let step_a = if gemm.spec.ta { gemm.a.pitch } else { 1 };
        let step_b = if gemm.spec.tb { 1 } else { gemm.b.pitch };
        // all whole pieces of a single product go in one launch, those of a batch one by one
        let mut first = 0;
        while first < k {
            let together = if gemm.matrices() == 1 { ((k - first) / piece).max(1) } else { 1 };
            let mut own = gemm.clone();
            own.k = piece.min(k - first);
            own.a.offset += first * step_a;
            own.b.offset += first * step_b;
            if together > 1 {
                (own.batch, own.a.batch, own.b.batch) = ([1, together], [0, piece * step_a], [0, piece * step_b]);
            }
            (own.extras, own.outputs) = (vec![], vec![(first / piece * size).into()]);
            own = own.drawing(vec![]);
            let s = &mut own.spec;
            (s.epilogue, s.row_sum, s.via) = (Expr::identity(), false, vec![0]);
            s.halves = Halves::new(vec![halves.input(0), halves.input(1)], vec![]);
            (s.va, s.vb) = (own.a.in_fours(if s.ta { own.m } else { own.k }), own.b.in_fours(if s.tb { own.k } else { own.n }));
            s.tile = Tile::choose(self.r.target, self.r.caps.registers, [own.m, own.n, own.k]);
            let terms = own.k * together;
            let text = format!("{label}, terms {first} to {}", first + terms);
            self.push_product(own, vec![buffers[0], buffers[1], parts], text);
            first += terms;
        }
        let plain = gemm.spec.epilogue.is_identity() && !halves.output(0);
        let whole = if plain { places[0] } else { (self.temporary(size), 0) };
        let of = |from: Symbol, half: bool, terms: Vec<Term>, extents: [usize; 3], to: Place| Sums {
            f: Expr::identity(),
            halves: vec![half],
            terms,
            from: vec![from],
            extents,
            joins: vec![Join::Sum],
            divisors: vec![1],
            to: vec![to],
        };
        let term = Term { offset: 0, outer: 0, along: size, inner: 1 };
        self.sums(of(parts, false, vec![term], [1, pieces, size], whole), &format!("sum of {label}"));
        if let Some(to) = sum {
            let (along, inner) = if gemm.spec.ta { (gemm.a.pitch, 1) } else { (1, gemm.a.pitch) };
            let term = Term { offset: gemm.a.offset, outer: 0, along, inner };
            self.sums(of(buffers[0], halves.input(0), vec![term], [1, k, gemm.m], to), &format!("rows summed for {label}"));
        }
        if plain {
            return;
        }
        let shape = [gemm.batch[0], gemm.batch[1], gemm.m, gemm.n];
        let mut reads = vec![Strided::new(0, Shape::from(shape).strides())];
        reads.extend(gemm.extras.iter().map(|e| Strided::new(e.offset, vec![e.batch[0], e.batch[1], e.row, e.column])));
        let stored = Halves::new(
            std::iter::once(false).chain((0..gemm.extras.len()).map(|i| halves.input(2 + i))).collect(),
            (0..places.len()).map(|o| halves.output(o)).collect(),
        );
        let mut map = Map::new(gemm.spec.epilogue.clone(), &shape, reads, places.iter().map(|p| p.1).collect());
        map = map.drawing(gemm.draws.clone()).storing(stored);
        // the state comes first, and then the product
        let (extras, state) = buffers[2..].split_at(gemm.extras.len());
        let state = &state[..usize::from(!gemm.draws.is_empty())];
        let mut bound = [state, &[whole.0], extras].concat();
        map.spec.via = bind(&mut bound, places.iter().map(|p| p.0));
        self.push(Kernel::Map(map), bound, format!("ending of {label}"));
    }
}
