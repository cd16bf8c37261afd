//! Matrix products with what rides on them; those of long sums are cut into pieces.

use super::lowering::Lowering;
use super::reduce::Sums;
use super::unplaced::{Place, Symbol, TABLES, bind};
use crate::error::Result;
use crate::expr::Expr;
use crate::graph::{NodeId, op};
use crate::kernels::{Gemm, GemmCoop, GemmJoin, GemmSpec, Halves, Join, Kernel, Matrix, Plane, Strided, Term, Tile};
use crate::plan::fuse::Group;
use crate::plan::views::Factor;

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
        // those of very many terms are a reduction of their own, which errs less
        let (sum, apart) = if k > Gemm::LONG { (None, sum) } else { (sum, None) };
        let via = bind(&mut buffers, places.iter().chain(&sum).map(|p| p.0));
        let read = [left.value, right.value].into_iter().chain(inputs.iter().map(|o| o.value)).map(|v| self.half(v));
        let halves = Halves::new(read.collect(), outputs.iter().map(|v| self.half(*v)).collect());
        let tile = Tile::choose(self.r.target, self.r.caps.registers, [m, n, k]);
        let spec = GemmSpec { epilogue, row_sum: sum.is_some(), via, halves, ..GemmSpec::new([ta, tb], tile) };
        let mut label = self.label(node, &out, &group.maps);
        if sum.is_some() {
            label = format!("rowsum {label}");
        }
        if let Some(to) = apart {
            let (along, inner) = if ta { (a.pitch, 1) } else { (1, a.pitch) };
            let terms = vec![Term { offset: a.offset, outer: 0, along, inner }];
            let (f, halves, from) = (Expr::identity(), vec![self.half(left.value)], vec![buffers[0]]);
            let (extents, joins) = ([1, k, m], vec![Join::Sum]);
            self.sums(Sums { f, halves, terms, from, extents, joins, to: vec![to] }, &format!("rows summed for {label}"));
        }
        let (batch, outputs) = (axes.batch(&out), places.iter().map(|p| p.1.into()).collect());
        let gemm = Gemm { batch, a, b, extras, outputs, row_sum: sum.map_or(0, |p| p.1), ..Gemm::new(spec, [m, n, k]) };
        self.push_cut(gemm.reading_fours().drawing(draws), buffers, &label);
        Ok(())
    }

    /// A product, whose terms are cut in pieces where that is better.
    pub(super) fn push_cut(&mut self, gemm: Gemm, buffers: Vec<Symbol>, label: &str) {
        let piece = gemm.piece(self.r.target, self.on_matrices(&gemm).map(|c| c.tile));
        if piece < gemm.k {
            self.long_product(gemm, piece, &buffers, label);
        } else {
            self.push_product(gemm, buffers, label.into());
        }
    }

    /// The product on cooperative matrices, where it is worth it.
    fn on_matrices(&self, gemm: &Gemm) -> Option<GemmCoop> {
        self.r.caps.coop.and_then(|caps| GemmCoop::of(gemm, &caps))
    }

    pub(super) fn push_product(&mut self, gemm: Gemm, buffers: Vec<Symbol>, label: String) {
        let kernel = match self.on_matrices(&gemm) {
            Some(coop) => Kernel::GemmCoop(coop),
            None => Kernel::Gemm(gemm.by_vectors()),
        };
        self.push(kernel, buffers, label);
    }

    /// A product in pieces: some terms each, as matrices of a batch. A last launch adds up what they came to, and has the epilogue.
    fn long_product(&mut self, gemm: Gemm, piece: usize, buffers: &[Symbol], label: &str) {
        let (size, k, pieces) = (gemm.matrices() * gemm.m * gemm.n, gemm.k, gemm.k.div_ceil(piece));
        let rows = if gemm.spec.row_sum { gemm.m } else { 0 };
        // whole vectors, since it is bound as such
        let parts = self.temporary((pieces * (size + rows)).next_multiple_of(4));
        let step_a = if gemm.spec.ta { gemm.a.pitch } else { 1 };
        let step_b = if gemm.spec.tb { 1 } else { gemm.b.pitch };
        // all whole pieces of a single product go in one launch, those of a batch one by one
        let mut first = 0;
        while first < k {
            let together = if gemm.matrices() == 1 { ((k - first) / piece).max(1) } else { 1 };
            let mut own = gemm.clone().drawing(vec![]);
            own.k = piece.min(k - first);
            own.a.offset += first * step_a;
            own.b.offset += first * step_b;
            if together > 1 {
                (own.batch, own.a.batch, own.b.batch) = ([1, together], [0, piece * step_a], [0, piece * step_b]);
            }
            // the terms of patches are their rows
            if let Some(p) = &mut own.patches {
                (p.first, p.apart) = (first, if together > 1 { piece } else { 0 });
            }
            (own.extras, own.outputs) = (vec![], vec![(first / piece * size).into()]);
            own.row_sum = pieces * size + first / piece * rows;
            let s = &mut own.spec;
            (s.epilogue, s.via) = (Expr::identity(), vec![0; 1 + usize::from(s.row_sum)]);
            s.halves = Halves::new(vec![s.halves.input(0), s.halves.input(1)], vec![]);
            let terms = own.k * together;
            let text = format!("{label}, terms {first} to {}", first + terms);
            let tables = own.patches.map(|_| TABLES);
            self.push_product(own.reading_fours(), [buffers[0], buffers[1]].into_iter().chain(tables).chain([parts]).collect(), text);
            first += terms;
        }
        let bound = std::iter::once(parts).chain(buffers[2..].iter().copied().filter(|b| *b != TABLES)).collect();
        let gemm = Gemm { patches: None, ..gemm }.by_vectors();
        self.push(Kernel::GemmJoin(GemmJoin { gemm, pieces }), bound, format!("sum of {label}"));
    }
}
