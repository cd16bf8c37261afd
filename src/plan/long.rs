//! Work that is cut by its shape: sums into pieces, and what runs over rows or terms too long for one lane. Many lanes then share it, and no
//! lane's loops turn long (`kernels::MOST_TURNS`). Short shapes go in one launch.

use super::draft::{Place, Symbol, bind};
use super::lower::{Lowering, flops};
use crate::expr::{Binary, Expr, Scalar, Tape};
use crate::graph::{Labels, ReduceKind};
use crate::kernels::{Accuracy, ArgMax, CrossEntropy, CumSum, Gemm, Halves, Kernel, Map, Reduce, ReduceSpec, Strided, Term, Tile};

/// A sum, mean or largest over the middle of `[outer, length, inner]`.
pub(super) struct Sum {
    /// The formula of a term, over the inputs.
    pub f: Expr,
    /// What is f16 of them.
    pub halves: Vec<bool>,
    /// How they are read.
    pub terms: Vec<Term>,
    /// Their buffers.
    pub from: Vec<Symbol>,
    /// Where it goes.
    pub to: Place,
    /// Outer, length, inner.
    pub extents: [usize; 3],
    /// How.
    pub kind: ReduceKind,
    /// What a mean divides by.
    pub count: usize,
}

impl Lowering<'_> {
    /// In one launch, or in two where it is long; in three where what a long mean is summed from comes back.
    pub(super) fn sum(&mut self, s: Sum, label: &str) {
        let target = self.r.target;
        let [outer, length, inner] = s.extents;
        let rows = outer * inner;
        let max = s.kind == ReduceKind::Max;
        let pieces = Reduce::pieces_for(target, rows, length, inner, max);
        let elements = rows * length * s.terms.len() + rows;
        let flops = flops(rows * length, 1 + s.f.flops());
        let from_first = s.kind == ReduceKind::MeanFromFirst;
        let divisor = if matches!(s.kind, ReduceKind::Mean | ReduceKind::MeanFromFirst) { s.count } else { 1 };
        let spec = |f: Expr, terms: usize, halves: Vec<bool>, from_first: bool| {
            let group = if max { 1 } else { Reduce::group_for(target, terms, inner) };
            ReduceSpec { f, group, parts: Reduce::parts_for(group, terms, max), max, from_first, halves: Halves::new(halves, vec![]) }
        };
        let first = |pieces: usize, divisor: usize, output: usize| Reduce {
            spec: spec(s.f.clone(), length.div_ceil(pieces), s.halves.clone(), from_first),
            rows,
            inner,
            length,
            pieces,
            divisor,
            inputs: s.terms.clone(),
            output,
        };
        let bound = |to: Symbol| s.from.iter().copied().chain([to]).collect::<Vec<_>>();
        if pieces == 1 {
            return self.push(Kernel::Reduce(first(1, divisor, s.to.1)), bound(s.to.0), label.into(), flops, elements);
        }
        let between = self.temporary(rows * pieces);
        self.push(Kernel::Reduce(first(pieces, 1, 0)), bound(between), format!("{label}, pieces"), flops, elements);
        let to = if from_first { (self.temporary(rows), 0) } else { s.to };
        let last = Reduce {
            spec: spec(Expr::identity(), pieces, vec![], false),
            rows,
            inner,
            length: pieces,
            pieces: 1,
            divisor,
            inputs: vec![Term { offset: 0, outer: pieces * inner, along: inner, inner: 1 }],
            output: to.1,
        };
        self.push(Kernel::Reduce(last), vec![between, to.0], label.into(), (rows * pieces) as u64, rows * pieces);
        if !from_first {
            return;
        }
        // the first term, by the same formula, and the mean of the differences from it
        let arity = s.terms.len();
        let mut tape = Tape::default();
        let args: Vec<usize> = (0..arity).map(|i| tape.input(i)).collect();
        let (one, mean) = (tape.inline(&s.f, &args)[0], tape.input(arity));
        let both = tape.binary(Binary::Add, one, mean);
        let f = tape.finish(arity + 1, &[both]);
        let mut reads: Vec<Strided> = s.terms.iter().map(|t| Strided::new(t.offset, vec![t.outer, t.inner])).collect();
        reads.push(Strided::new(0, vec![inner, 1]));
        let halves = s.halves.iter().copied().chain([false]).collect();
        let map = Map::new(f, &[outer, inner], reads, vec![s.to.1]).storing(Halves::new(halves, vec![]));
        let buffers = s.from.iter().copied().chain([to.0, s.to.0]).collect();
        self.push(Kernel::Map(map), buffers, format!("{label}, from the first"), rows as u64, 3 * rows);
    }

    /// The mean over rows of one value a row, or of the sum of several pieces.
    pub(super) fn mean_of_rows(&mut self, from: Symbol, rows: usize, pieces: usize, to: Place, label: &str) {
        let length = rows * pieces;
        let term = Term { offset: 0, outer: length, along: 1, inner: 0 };
        let sum = Sum {
            f: Expr::identity(),
            halves: vec![],
            terms: vec![term],
            from: vec![from],
            to,
            extents: [1, length, 1],
            kind: ReduceKind::Mean,
            count: rows,
        };
        self.sum(sum, label);
    }

    /// A reduction of each row of `[rows, width]`, of the formula over its elements and numbers of the row.
    fn of_rows(
        &mut self,
        (f, kind): (Expr, ReduceKind),
        [rows, width]: [usize; 2],
        (x, offset): Place,
        half: bool,
        numbers: &[Symbol],
        label: &str,
    ) -> Symbol {
        let to = self.temporary(rows);
        let mut terms = vec![Term { offset, outer: width, along: 1, inner: 0 }];
        terms.extend(numbers.iter().map(|_| Term { offset: 0, outer: 1, along: 0, inner: 0 }));
        let from = std::iter::once(x).chain(numbers.iter().copied()).collect();
        let sum = Sum { f, halves: vec![half], terms, from, to: (to, 0), extents: [rows, width, 1], kind, count: 1 };
        self.sum(sum, label);
        to
    }

    /// Each row's largest, and the sum of exponentials of what is left without it.
    fn tops_and_sums(&mut self, size: [usize; 2], x: Place, half: bool, label: &str) -> [Symbol; 2] {
        let top = self.of_rows((Expr::identity(), ReduceKind::Max), size, x, half, &[], &format!("largest of {label}"));
        let f = Expr::of(2, |x| vec![(&x[0] - &x[1]).exp()]);
        let sum = self.of_rows((f, ReduceKind::Sum), size, x, half, &[top], &format!("exponentials of {label}"));
        [top, sum]
    }

    /// Softmax of long rows: their largest, their sums, then every element.
    pub(super) fn long_softmax(&mut self, log: bool, [rows, width]: [usize; 2], x: Place, half: bool, to: Place, label: &str) {
        let [top, sum] = self.tops_and_sums([rows, width], x, half, label);
        let one = |x: &[Scalar]| {
            let d = &x[0] - &x[1];
            vec![if log { d - x[2].log() } else { d.exp() / &x[2] }]
        };
        let f = Expr::of(3, one);
        let number = || Strided::new(0, vec![1, 0]);
        let reads = vec![Strided::new(x.1, vec![width, 1]), number(), number()];
        let flops = flops(rows * width, f.flops());
        let map = Map::new(f, &[rows, width], reads, vec![to.1]).storing(Halves::new(vec![half], vec![]));
        self.push(Kernel::Map(map), vec![x.0, top, sum, to.0], label.into(), flops, 2 * rows * width);
    }

    /// What a cross-entropy of long rows is told of each: its largest logit, its sum of exponentials, what its labels add up to.
    pub(super) fn long_rows(&mut self, k: &CrossEntropy, x: Symbol, y: Symbol, label: &str) -> Vec<Symbol> {
        let size = [k.rows, k.classes];
        let mut told = self.tops_and_sums(size, (x, k.offsets[0]), k.half, label).to_vec();
        if k.needs_totals() {
            let labels = (y, k.offsets[1]);
            let total = self.of_rows((Expr::identity(), ReduceKind::Sum), size, labels, false, &[], &format!("labels of {label}"));
            told.push(total);
        }
        told
    }

    /// Whether each row's largest score is the label's, one number a row.
    pub(super) fn hits(&mut self, labels: Labels, [rows, width]: [usize; 2], x: Place, y: Place, half: bool, label: &str) -> Symbol {
        let elements = rows * width;
        let long = width > Accuracy::LONG;
        let (mut x, mut y, mut labels, mut half) = (x, y, labels, half);
        if long {
            let of = [rows, width, 1];
            x = (self.largest(of, x, (half, false), None, &format!("largest of {label}")).0, 0);
            if labels == Labels::Probabilities {
                y = (self.largest(of, y, (false, false), None, &format!("labels of {label}")).0, 0);
            }
            (labels, half) = (Labels::Classes, false);
        }
        let hits = self.temporary(rows);
        let kernel = Accuracy { labels, rows, classes: width, offsets: [x.1, y.1, 0], half, known: long };
        let (flops, elements) = if long { (rows as u64, 3 * rows) } else { (elements as u64, elements) };
        self.push(Kernel::Accuracy(kernel), vec![x.0, y.0, hits], label.into(), flops, elements);
        hits
    }

    /// Where the largest stands along the middle of `[outer, length, inner]`: to a place or to a new one, in one launch or, where it is long, first
    /// in each piece. `nan`: the first NaN is it.
    pub(super) fn largest(
        &mut self,
        [outer, length, inner]: [usize; 3],
        (x, offset): Place,
        (half, nan): (bool, bool),
        to: Option<Place>,
        label: &str,
    ) -> Place {
        let pieces = if length > ArgMax::LONG { length.div_ceil(ArgMax::PIECE.max(length.div_ceil(ArgMax::LONG))) } else { 1 };
        let items = outer * inner;
        let whole = ArgMax { outer, length, inner, pieces: 1, candidates: 0, offsets: [offset, 0], half, nan };
        let (mut buffers, mut last) = (vec![x], whole.clone());
        if pieces > 1 {
            let between = self.temporary(items * pieces);
            let first = ArgMax { pieces, ..whole };
            let elements = items * (length + pieces);
            self.push(Kernel::ArgMax(first), vec![x, between], format!("{label}, pieces"), (items * length) as u64, elements);
            last.candidates = pieces;
            buffers.push(between);
        }
        let to = to.unwrap_or_else(|| (self.temporary(items), 0));
        last.offsets[1] = to.1;
        buffers.push(to.0);
        let looked = items * if pieces > 1 { pieces } else { length };
        self.push(Kernel::ArgMax(last), buffers, label.into(), looked as u64, looked + items);
        to
    }

    /// Running sums over rows; those of long ones in pieces, each from what all before it come to.
    pub(super) fn running(&mut self, reverse: bool, [rows, width]: [usize; 2], (x, offset): Place, to: Place, label: &str) {
        let elements = 2 * rows * width;
        let flops = flops(rows * width, 1);
        let whole = CumSum { reverse, rows, width, pieces: 1, started: false, offsets: [offset, to.1] };
        if width <= CumSum::LONG {
            return self.push(Kernel::CumSum(whole), vec![x, to.0], label.into(), flops, elements);
        }
        let pieces = width.div_ceil(CumSum::PIECE.max(width.div_ceil(CumSum::LONG)));
        let group = Reduce::group_for(self.r.target, width.div_ceil(pieces), 1);
        let parts = Reduce::parts_for(group, width.div_ceil(pieces), false);
        let spec = ReduceSpec { f: Expr::identity(), group, parts, max: false, from_first: false, halves: Halves::default() };
        let terms = vec![Term { offset, outer: width, along: 1, inner: 0 }];
        let sums = Reduce { spec, rows, inner: 1, length: width, pieces, divisor: 1, inputs: terms, output: 0 };
        let (own, before) = (self.temporary(rows * pieces), self.temporary(rows * pieces));
        self.push(Kernel::Reduce(sums), vec![x, own], format!("{label}, pieces"), flops, rows * width);
        let starts = CumSum { width: pieces, offsets: [0, 0], ..whole.clone() };
        let few = rows * pieces;
        self.push(Kernel::CumSum(starts), vec![own, before], format!("{label}, over the pieces"), few as u64, 2 * few);
        let last = CumSum { pieces, started: true, ..whole };
        self.push(Kernel::CumSum(last), vec![x, before, to.0], label.into(), flops, elements);
    }

    /// A product of long sums: some terms each, as matrices of a batch, whose results are added up before the epilogue.
    pub(super) fn long_product(
        &mut self,
        gemm: Gemm,
        pieces: usize,
        buffers: &[Symbol],
        places: &[Place],
        sum: Option<Place>,
        label: &str,
    ) {
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
            let elements = terms * gemm.batch * (gemm.m + gemm.n) + together * size;
            let text = format!("{label}, terms {first} to {}", first + terms);
            self.push_product(own, vec![buffers[0], buffers[1], parts], text, flops(size, 2 * terms), elements);
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
        let flops = flops(size, gemm.spec.epilogue.flops());
        let mut map = Map::new(gemm.spec.epilogue.clone(), &[gemm.batch, gemm.m, gemm.n], reads, places.iter().map(|p| p.1).collect());
        let mut bound: Vec<Symbol> = std::iter::once(whole.0).chain(buffers[2..2 + gemm.extras.len()].iter().copied()).collect();
        map = map.storing(stored);
        map.spec.via = bind(&mut bound, places.iter().map(|p| p.0));
        self.push(Kernel::Map(map), bound, format!("ending of {label}"), flops, size * (1 + gemm.extras.len() + places.len()));
    }
}
