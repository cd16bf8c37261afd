//! Matrix products with what rides on them; those of long sums are cut into pieces.

use super::lowering::Lowering;
use super::reduce::Sum;
use super::unplaced::{Place, Symbol, bind};
use crate::expr::Expr;
use crate::graph::{NodeId, ReduceKind, Value, op};
use crate::kernels::{Gemm, GemmCoop, GemmSpec, Halves, Kernel, Map, Matrix, Plane, Strided, Term, Tile};
use crate::plan::fuse::Group;

impl Lowering<'_> {
    /// A product with its epilogue.
    pub(super) fn gemm(&mut self, node: NodeId, group: &Group, op: &op::MatMul) {
        let n = &self.g.nodes[node];
        let op::MatMul { ta, tb } = *op;
        let (va, vb) = (n.inputs[0], n.inputs[1]);
        let out = self.g.shape(node.into()).clone();
        let (r, sa) = (out.rank(), self.g.shape(va).clone());
        let (rows, columns) = (out[r - 2], out[r - 1]);
        let k = sa[r - if ta { 2 } else { 1 }];
        let batch = out.size() / (rows * columns);
        let tile = Tile::choose(self.r.target, rows, columns, k);
        let matrix = |l: &Self, v: Value| {
            let s = l.g.shape(v);
            let (from, offset) = l.place(v);
            let one = s[r - 1] * s[r - 2];
            // a single matrix serves for the whole batch
            (from, Matrix { offset, pitch: s[r - 1], batch: if s.size() == one { 0 } else { one } })
        };
        let ((from_a, a), (from_b, b)) = (matrix(self, va), matrix(self, vb));
        let outputs = self.groups.outputs(group);
        let (epilogue, inputs) = self.formula(group, Some(node.into()), &outputs);
        let mut buffers = vec![from_a, from_b];
        let mut extras = Vec::new();
        for o in &inputs {
            let (from, offset) = self.place(o.value);
            buffers.push(from);
            extras.push(self.plane(o.value, offset, &out));
        }
        let places: Vec<Place> = outputs.iter().map(|v| self.assign(*v)).collect();
        let sum = group.row_sum.map(|s| self.assign(s.into()));
        let via = bind(&mut buffers, places.iter().chain(&sum).map(|p| p.0));
        let read = [va, vb].into_iter().chain(inputs.iter().map(|o| o.value)).map(|v| self.half(v));
        let halves = Halves::new(read.collect(), outputs.iter().map(|v| self.half(*v)).collect());
        let spec = GemmSpec { ta, tb, va: a.in_fours(), vb: b.in_fours(), vc: false, tile, epilogue, row_sum: sum.is_some(), via, halves };
        let mut label = self.label(node, &out, &group.maps);
        if sum.is_some() {
            label = format!("rowsum {label}");
        }
        let gemm = Gemm {
            spec,
            m: rows,
            n: columns,
            k,
            batch,
            a,
            b,
            extras,
            outputs: places.iter().map(|p| p.1).collect(),
            row_sum: sum.map_or(0, |p| p.1),
        };
        let pieces = Gemm::pieces_for(k, out.size());
        if pieces > 1 {
            return self.long_product(gemm, pieces, &buffers, &places, sum, &label);
        }
        self.push_product(gemm, buffers, label);
    }

    fn push_product(&mut self, gemm: Gemm, buffers: Vec<Symbol>, label: String) {
        let kernel = match self.r.caps.coop.and_then(|caps| GemmCoop::of(&gemm, &caps)) {
            Some(coop) => Kernel::GemmCoop(coop),
            None => Kernel::Gemm(gemm.by_vectors()),
        };
        self.push(kernel, buffers, label);
    }

    /// How an epilogue reads a value that broadcasts to the gemm's output.
    fn plane(&self, v: Value, offset: usize, out: &crate::tensor::Shape) -> Plane {
        let own = self.g.shape(v);
        let strides = if own.size() == out.size() {
            out.strides()
        } else if own.size() == 1 {
            vec![0; out.rank()]
        } else {
            own.broadcast_strides(out)
        };
        let r = out.rank();
        // several batch axes only come flat, so that the innermost one's step serves for all
        Plane { offset, row: strides[r - 2], column: strides[r - 1], batch: if r > 2 { strides[r - 3] } else { 0 } }
    }

    /// A product of long sums: some terms each, as matrices of a batch, whose results are added up before the epilogue.
    fn long_product(&mut self, gemm: Gemm, pieces: usize, buffers: &[Symbol], places: &[Place], sum: Option<Place>, label: &str) {
        let (size, k) = (gemm.batch * gemm.m * gemm.n, gemm.k);
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
            let together = if gemm.batch == 1 { ((k - first) / piece).max(1) } else { 1 };
            let mut own = gemm.clone();
            own.k = piece.min(k - first);
            own.a.offset += first * step_a;
            own.b.offset += first * step_b;
            if together > 1 {
                (own.batch, own.a.batch, own.b.batch) = (together, piece * step_a, piece * step_b);
            }
            (own.extras, own.outputs) = (vec![], vec![first / piece * size]);
            let s = &mut own.spec;
            (s.epilogue, s.row_sum, s.via) = (Expr::identity(), false, vec![0]);
            s.halves = Halves::new(vec![halves.input(0), halves.input(1)], vec![]);
            (s.va, s.vb, s.tile) = (own.a.in_fours(), own.b.in_fours(), Tile::choose(self.r.target, own.m, own.n, own.k));
            let terms = own.k * together;
            let text = format!("{label}, terms {first} to {}", first + terms);
            self.push_product(own, vec![buffers[0], buffers[1], parts], text);
            first += terms;
        }
        let plain = gemm.spec.epilogue.is_identity() && !halves.output(0);
        let whole = if plain { places[0] } else { (self.temporary(size), 0) };
        let of = |from: Symbol, half: bool, terms: Vec<Term>, extents: [usize; 3], to: Place| Sum {
            f: Expr::identity(),
            halves: vec![half],
            terms,
            from: vec![from],
            to,
            extents,
            kind: ReduceKind::Sum,
            count: 1,
        };
        let term = Term { offset: 0, outer: 0, along: size, inner: 1 };
        self.sum(of(parts, false, vec![term], [1, pieces, size], whole), &format!("sum of {label}"));
        if let Some(to) = sum {
            let term = Term { offset: gemm.a.offset, outer: 0, along: gemm.a.pitch, inner: 1 };
            self.sum(of(buffers[0], halves.input(0), vec![term], [1, k, gemm.m], to), &format!("rows summed for {label}"));
        }
        if plain {
            return;
        }
        let mut reads = vec![Strided::new(0, vec![gemm.m * gemm.n, gemm.n, 1])];
        reads.extend(gemm.extras.iter().map(|e| Strided::new(e.offset, vec![e.batch, e.row, e.column])));
        let stored = Halves::new(
            std::iter::once(false).chain((0..gemm.extras.len()).map(|i| halves.input(2 + i))).collect(),
            (0..places.len()).map(|o| halves.output(o)).collect(),
        );
        let mut map = Map::new(gemm.spec.epilogue.clone(), &[gemm.batch, gemm.m, gemm.n], reads, places.iter().map(|p| p.1).collect());
        let mut bound: Vec<Symbol> = std::iter::once(whole.0).chain(buffers[2..2 + gemm.extras.len()].iter().copied()).collect();
        map = map.storing(stored);
        map.spec.via = bind(&mut bound, places.iter().map(|p| p.0));
        self.push(Kernel::Map(map), bound, format!("ending of {label}"));
    }
}
