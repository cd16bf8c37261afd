use super::lib::fork::{WRITES, Writes, cost, parts};
use super::lib::halves;
use super::lib::halves::Piece;
use super::table::{Place, Table};
use super::{
    accumulate, accuracy, argmax, commit, cross_entropy, cumsum, custom, direction, fault, gather, gemm, gemm_coop, map, optimizer, ratios,
    reduce, scatter_add, scatter_links, softmax, squares, take as by_index, tick,
};
use crate::error::Result;
use crate::expr::{Evaluator, Expr, Node};
use crate::kernels::words::RATE_WIDTH;
use crate::kernels::{Access, Kernel};
use crate::plan::{BufferId, DataId, Launch};
use std::mem::take;
use std::ops::Range;

/// Buffers that a launch can read.
const READS: usize = 16;

/// A launch with its buffers found and checked, and the scratch memory of its formula: all that a step would otherwise allocate.
#[derive(Debug)]
pub(super) struct Ready {
    /// What it reads, in binding order.
    reads: Vec<Place>,
    /// What it writes, each buffer once.
    taken: Vec<usize>,
    /// Which part of what was taken belongs to which write, in the order in which they lie there.
    cuts: Vec<Cut>,
    /// One for each thread that the launch is worth.
    workers: Vec<Evaluator>,
    /// Threads that it is worth, by a guess.
    worth: usize,
    /// The reads that are f16 and widened, and which of their elements.
    widened: Vec<(usize, Range<usize>)>,
    /// The writes that are f16, and their elements.
    rounded: Vec<(usize, usize)>,
    /// A product's parts, where it reads or stores f16.
    pieces: Vec<halves::Piece>,
}

#[derive(Debug)]
struct Cut {
    taken: usize,
    range: Range<usize>,
    write: usize,
}

impl Ready {
    /// Finds a launch's buffers and checks that it stays inside of them.
    pub(super) fn new(l: &Launch, table: &mut Table, data: &[DataId], threads: usize) -> Result<Self> {
        let name = || format!("the launch {} {}", l.kernel.name(), l.label);
        let refuse = |problem: String| Err(fault(&name(), problem));
        let (spans, accesses) = (spans(&l.kernel), l.kernel.accesses());
        let bindings = bindings(&l.kernel, spans.len());
        if bindings.iter().max().map_or(0, |b| b + 1) != l.buffers.len() || accesses.len() != l.buffers.len() {
            return refuse(format!("{} buffers for {} bindings", l.buffers.len(), accesses.len()));
        }
        let twice = |i: usize, id: &BufferId| accesses[i] == Access::Write && l.buffers[..i].contains(id);
        if let Some((_, id)) = l.buffers.iter().enumerate().find(|(i, id)| twice(*i, id)) {
            return refuse(format!("it binds {id:?} twice, to write it"));
        }
        let (reads, taken, cuts, workers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let worth = worth(l, threads);
        let mut r =
            Ready { reads, taken, cuts, workers, worth, widened: Vec::new(), rounded: Vec::new(), pieces: halves::pieces(&l.kernel) };
        let halved = l.kernel.halves();
        for (i, (b, mut span)) in bindings.into_iter().zip(spans).enumerate() {
            let (id, access) = (l.buffers[b], accesses[b]);
            let place = match id {
                BufferId::Data(i) => {
                    data.get(i).map(|d| Place::Data(d.0)).ok_or_else(|| fault(&name(), format!("no data for field {i}")))?
                }
                _ => table.place(id)?,
            };
            if halved.get(i).copied().unwrap_or(false) {
                let elements = span.clone();
                span = halves::words_of(&elements);
                if halves::native(&l.kernel) {
                } else if access == Access::Write {
                    r.rounded.push((r.cuts.len(), elements.len()));
                    table.make_wide(READS + r.cuts.len(), elements.len())?;
                } else {
                    table.make_wide(r.reads.len(), elements.end)?;
                    r.widened.push((r.reads.len(), elements));
                }
            }
            let held = table.words(place).len();
            if span.end > held {
                return refuse(format!("it touches word {} of {id:?}, which has {held}", span.end - 1));
            }
            match (access, place) {
                (Access::Write, Place::Own(i)) => {
                    let taken = r.taken.iter().position(|&t| t == i).unwrap_or_else(|| {
                        r.taken.push(i);
                        r.taken.len() - 1
                    });
                    r.cuts.push(Cut { taken, range: span, write: r.cuts.len() });
                }
                (Access::Write, Place::Data(_)) => return refuse("it writes data".into()),
                _ => r.reads.push(place),
            }
        }
        for p in &r.pieces {
            for (i, elements) in p.widen.iter().enumerate() {
                table.make_wide(i, elements.as_ref().map_or(0, Range::len))?;
            }
            for o in (0..p.gemm.outputs.len()).filter(|o| p.gemm.spec.halves.output(*o)) {
                table.make_wide(READS + o, p.gemm.batch * p.gemm.m * p.gemm.n)?;
            }
        }
        if r.reads.len() > READS || r.cuts.len() > WRITES {
            return refuse(format!("it reads {} buffers and writes {}: too many", r.reads.len(), r.cuts.len()));
        }
        if r.reads.iter().any(|p| matches!(p, Place::Own(i) if r.taken.contains(i))) {
            return refuse("it reads a buffer that it writes".into());
        }
        r.cuts.sort_by_key(|c| (c.taken, c.range.start));
        if r.cuts.windows(2).any(|c| c[0].taken == c[1].taken && c[0].range.end > c[1].range.start) {
            return refuse("two of its results overlap".into());
        }
        if let Some((f, n)) = formula(&l.kernel, threads) {
            if f.nodes().iter().any(|n| matches!(n, Node::Rate(i) if *i >= RATE_WIDTH)) {
                return refuse(format!("its formula reads a rate beyond the {RATE_WIDTH} that a step has"));
            }
            r.workers = vec![Evaluator::new(f); n];
        }
        Ok(r)
    }

    pub(super) fn worth(&self) -> usize {
        self.worth
    }

    /// Runs the kernel's twin. What it writes is out of the table meanwhile.
    pub(super) fn run(&mut self, kernel: &Kernel, table: &mut Table, threads: usize) -> Result<()> {
        let mut taken: [Vec<u32>; WRITES] = Default::default();
        for (t, &i) in taken.iter_mut().zip(&self.taken) {
            *t = take(&mut table.own[i]);
        }
        let mut wide = take(&mut table.wide);
        let result = self.run_on(kernel, table, &mut taken, &mut wide, threads);
        table.wide = wide;
        for (t, &i) in taken.iter_mut().zip(&self.taken) {
            table.own[i] = take(t);
        }
        result
    }

    fn run_on(
        &mut self,
        kernel: &Kernel,
        table: &Table,
        taken: &mut [Vec<u32>; WRITES],
        wide: &mut [Vec<u32>],
        threads: usize,
    ) -> Result<()> {
        let mut writes = Writes::default();
        let mut cuts = self.cuts.iter().peekable();
        for (t, buffer) in taken.iter_mut().enumerate().take(self.taken.len()) {
            let (mut rest, mut at) = (buffer.as_mut_slice(), 0);
            while let Some(cut) = cuts.next_if(|c| c.taken == t) {
                let (own, after) = take(&mut rest)[cut.range.start - at..].split_at_mut(cut.range.len());
                writes[cut.write] = own;
                (rest, at) = (after, cut.range.end);
            }
        }
        let mut reads = [&[][..]; READS];
        reads.iter_mut().zip(&self.reads).for_each(|(r, &place)| *r = table.words(place));
        let (wide, results) = wide.split_at_mut(READS.min(wide.len()));
        if !self.pieces.is_empty() {
            self.product(&reads, writes, wide, results, threads);
            return Ok(());
        }
        for (read, elements) in &self.widened {
            halves::widen(reads[*read], elements.start, &mut wide[*read][elements.clone()], threads);
        }
        self.widened.iter().for_each(|(read, _)| reads[*read] = &wide[*read]);
        let reads = &reads[..self.reads.len()];
        // the twins write f32 beside, which then goes where it belongs
        let mut rounded = Writes::default();
        self.rounded.iter().for_each(|(write, _)| rounded[*write] = take(&mut writes[*write]));
        let mut both = writes;
        for (i, buffer) in results.iter_mut().enumerate() {
            if let Some((_, elements)) = self.rounded.iter().find(|(write, _)| *write == i) {
                both[i] = &mut buffer[..*elements];
            }
        }
        self.twin(kernel, reads, both, threads)?;
        for (write, elements) in &self.rounded {
            halves::round(&results[*write][..*elements], take(&mut rounded[*write]), threads);
        }
        Ok(())
    }

    /// A product that reads or stores f16, piece by piece.
    fn product(
        &mut self,
        reads: &[&[u32]; READS],
        mut writes: Writes<'_>,
        wide: &mut [Vec<u32>],
        results: &mut [Vec<u32>],
        threads: usize,
    ) {
        let Self { pieces, workers, .. } = self;
        for Piece { gemm: g, widen, rows, adds } in pieces {
            for (i, elements) in widen.iter().enumerate() {
                if let Some(elements) = elements {
                    halves::widen(reads[i], elements.start, &mut wide[i][..elements.len()], threads);
                }
            }
            let mut read = *reads;
            (0..2).filter(|i| g.spec.halves.input(*i)).for_each(|i| read[i] = &wide[i]);
            let row = g.n * g.batch;
            let part = rows.start * row..rows.end * row;
            let mut both = Writes::default();
            let mut spare = results.iter_mut();
            for (o, dest) in writes.iter_mut().enumerate().take(g.spec.via.len()) {
                both[o] = match spare.next().filter(|_| g.spec.halves.output(o)) {
                    Some(beside) => &mut beside[..part.len()],
                    None if o < g.outputs.len() => &mut dest[part.clone()],
                    None => &mut dest[rows.clone()],
                };
            }
            let read = &read[..2 + g.extras.len()];
            if *adds {
                gemm::add(g, threads, read, both)
            } else {
                gemm::run(g, threads, workers, read, both)
            }
            for o in (0..g.outputs.len()).filter(|o| g.spec.halves.output(*o)) {
                halves::round(&results[o][..part.len()], &mut writes[o][halves::words_of(&part)], threads);
            }
        }
    }

    fn twin(&mut self, kernel: &Kernel, reads: &[&[u32]], writes: Writes<'_>, threads: usize) -> Result<()> {
        let workers = &mut self.workers;
        match kernel {
            Kernel::Map(k) => map::run(k, workers, reads, writes),
            Kernel::Reduce(k) => reduce::run(k, workers, reads, writes),
            Kernel::Gemm(k) => gemm::run(k, threads, workers, reads, writes),
            Kernel::GemmCoop(k) => gemm_coop::run(k, threads, workers, reads, writes),
            Kernel::Softmax(k) => softmax::run(k, threads, reads, writes),
            Kernel::CrossEntropy(k) => cross_entropy::run(k, threads, workers, reads, writes),
            Kernel::Accuracy(k) => accuracy::run(k, reads, writes),
            Kernel::CumSum(k) => cumsum::run(k, threads, reads, writes),
            Kernel::ArgMax(k) => argmax::run(k, threads, reads, writes),
            Kernel::Gather(k) => gather::run(k, threads, reads, writes)?,
            Kernel::Take(k) => by_index::run(k, threads, reads, writes),
            Kernel::ScatterLinks(k) => scatter_links::run(k, reads, writes),
            Kernel::ScatterAdd(k) => scatter_add::run(k, threads, reads, writes),
            Kernel::Custom(k) => custom::run(k, reads, writes)?,
            Kernel::Commit(k) => commit::run(k, reads, writes),
            Kernel::Accumulate(k) => accumulate::run(k, threads, reads, writes),
            Kernel::Squares(k) => squares::run(k, threads, reads, writes),
            Kernel::Direction(k) => direction::run(k, workers, reads, writes),
            Kernel::Ratios(k) => ratios::run(k, reads, writes),
            Kernel::Optimizer(k) => optimizer::run(k, workers, reads, writes),
            Kernel::Tick(k) => tick::run(k, reads, writes),
        }
        Ok(())
    }
}

/// The binding of each span: results that lie in one buffer share one.
fn bindings(kernel: &Kernel, spans: usize) -> Vec<usize> {
    let via = match kernel {
        Kernel::Map(k) => &k.spec.via,
        Kernel::Gemm(k) => &k.spec.via,
        Kernel::GemmCoop(k) => &k.gemm.spec.via,
        _ => return (0..spans).collect(),
    };
    let first = spans.saturating_sub(via.len());
    let own = |v: usize| (0..v).filter(|&i| via[i] == i).count();
    (0..first).chain(via.iter().map(|&v| first + own(v))).collect()
}

/// The words of each binding that a kernel touches, in binding order; of each result where several share one.
fn spans(kernel: &Kernel) -> Vec<Range<usize>> {
    match kernel {
        Kernel::Map(k) => map::spans(k),
        Kernel::Reduce(k) => reduce::spans(k),
        Kernel::Gemm(k) => gemm::spans(k),
        Kernel::GemmCoop(k) => gemm_coop::spans(k),
        Kernel::Softmax(k) => softmax::spans(k),
        Kernel::CrossEntropy(k) => cross_entropy::spans(k),
        Kernel::Accuracy(k) => accuracy::spans(k),
        Kernel::CumSum(k) => cumsum::spans(k),
        Kernel::ArgMax(k) => argmax::spans(k),
        Kernel::Gather(k) => gather::spans(k),
        Kernel::Take(k) => by_index::spans(k),
        Kernel::ScatterLinks(k) => scatter_links::spans(k),
        Kernel::ScatterAdd(k) => scatter_add::spans(k),
        Kernel::Custom(k) => custom::spans(k),
        Kernel::Commit(k) => commit::spans(k),
        Kernel::Accumulate(k) => accumulate::spans(k),
        Kernel::Squares(k) => squares::spans(k),
        Kernel::Direction(k) => direction::spans(k),
        Kernel::Ratios(k) => ratios::spans(k),
        Kernel::Optimizer(k) => optimizer::spans(k),
        Kernel::Tick(k) => tick::spans(k),
    }
}

/// Threads that a launch is worth, by what it computes or what it moves.
fn worth(l: &Launch, threads: usize) -> usize {
    let computed = match &l.kernel {
        Kernel::Gemm(k) if gemm::plain(k) => parts(gemm::work(k), threads),
        kernel => formula(kernel, threads).map_or(1, |(_, n)| n),
    };
    computed.max(parts(BYTE * l.bytes as f64, threads))
}

/// Nanoseconds to move one.
const BYTE: f64 = 0.1;

/// A kernel's formula, and the threads that evaluating it is worth.
fn formula(kernel: &Kernel, threads: usize) -> Option<(&Expr, usize)> {
    let (f, values) = match kernel {
        Kernel::Map(k) => (&k.spec.f, k.size()),
        Kernel::Reduce(k) => (&k.spec.f, k.rows * k.length),
        Kernel::Gemm(k) if gemm::plain(k) => return None,
        Kernel::Gemm(k) => {
            let f = &k.spec.epilogue;
            return Some((f, parts(gemm::work(k) + cost(f) * (k.batch * k.m * k.n) as f64, threads)));
        }
        Kernel::CrossEntropy(k) => (&k.epilogue.as_ref()?.0, k.rows * k.classes),
        Kernel::GemmCoop(k) => (&k.gemm.spec.epilogue, k.gemm.batch * k.gemm.m * k.gemm.n),
        Kernel::Direction(k) => (&k.rule, k.size),
        Kernel::Optimizer(k) => (&k.rule, k.size),
        _ => return None,
    };
    Some((f, parts(cost(f) * values as f64, threads)))
}
