//! A launch made ready: its buffers found and checked once, its twin run in each step.

use super::fault::fault;
use super::lib::call::{Beside, Call, READS, Twin};
use super::lib::fork::{WRITES, Writes, cost, parts};
use super::lib::halves;
use super::lib::pieces::Piece;
use super::table::{Table, TableIndex};
use crate::error::Result;
use crate::expr::{Evaluator, Expr, Node};
use crate::kernels::words::RATE_WIDTH;
use crate::kernels::{Access, Binding, Kernel, with_kernels};
use crate::plan::{BufferId, DataId, Launch};
use std::mem::take;
use std::ops::Range;

/// A launch with its buffers found and checked, and the scratch memory of its formula: all that a step would otherwise allocate.
#[derive(Debug)]
pub(super) struct Ready {
    /// What it reads, in binding order.
    reads: Vec<TableIndex>,
    /// What it writes, each buffer once.
    taken: Vec<usize>,
    /// Which part of what was taken belongs to which write, in the order in which they lie there.
    cuts: Vec<Cut>,
    /// One of each formula, for each thread that the launch is worth.
    workers: Vec<Evaluator>,
    /// Threads that it is worth, by a guess.
    worth: usize,
    /// The reads that are f16 and widened, and which of their elements.
    widened: Vec<(usize, Range<usize>)>,
    /// The writes that are f16, and their elements.
    rounded: Vec<(usize, usize)>,
    /// A product's parts, where it reads or stores f16.
    pieces: Vec<Piece>,
}

/// The data that a program runs over.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub data: &'a [DataId],
    /// The words that its kernels look up.
    pub tables: Option<DataId>,
}

#[derive(Debug)]
struct Cut {
    taken: usize,
    range: Range<usize>,
    write: usize,
}

impl Ready {
    /// Finds a launch's buffers and checks that it stays inside of them.
    pub(super) fn new(l: &Launch, table: &mut Table, fields: Fields<'_>, threads: usize) -> Result<Self> {
        let twin = twin(&l.kernel);
        let formulas = l.kernel.formulas();
        let evaluated: f64 = formulas.iter().map(|&(f, values)| cost(f) * values as f64).sum();
        let computed = parts(twin.work() + evaluated, threads);
        let formula = |(n, (f, _)): (usize, &(&Expr, usize))| Evaluator::over(f, |i| twin.alike(n, i));
        let workers: Vec<Evaluator> = formulas.iter().enumerate().map(formula).collect();
        let mut r = Ready {
            reads: Vec::new(),
            taken: Vec::new(),
            cuts: Vec::new(),
            workers: (0..computed).flat_map(|_| workers.clone()).collect(),
            worth: computed.max(parts(BYTE * l.bytes as f64, threads)),
            widened: Vec::new(),
            rounded: Vec::new(),
            pieces: twin.pieces(),
        };
        r.find(l, table, fields)?;
        r.make_room(table)?;
        let beyond = |n: &Node| matches!(n, Node::Rate(i) if *i >= RATE_WIDTH);
        if formulas.iter().any(|(f, _)| f.nodes().iter().any(beyond)) {
            return refuse(l, format!("its formula reads a rate beyond the {RATE_WIDTH} that a step has"));
        }
        r.check(l)?;
        Ok(r)
    }

    /// Finds the buffer of each operand and result, and what is f16 there and f32 for the twin.
    fn find(&mut self, l: &Launch, table: &mut Table, fields: Fields<'_>) -> Result<()> {
        let all = l.kernel.bindings();
        let own: Vec<&Binding> = all.iter().filter(|b| b.through.is_none()).collect();
        if own.len() != l.buffers.len() {
            return refuse(l, format!("{} buffers for {} bindings", l.buffers.len(), own.len()));
        }
        let twice = |i: usize, id: &BufferId| own[i].access == Access::Write && l.buffers[..i].contains(id);
        if let Some((_, id)) = l.buffers.iter().enumerate().find(|(i, id)| twice(*i, id)) {
            return refuse(l, format!("it binds {id:?} twice, to write it"));
        }
        let widens = !twin(&l.kernel).takes_halves();
        for (i, b) in all.iter().enumerate() {
            let at = b.through.unwrap_or(i);
            let id = l.buffers[all[..at].iter().filter(|b| b.through.is_none()).count()];
            let place = match id {
                BufferId::Data(i) => match fields.data.get(i) {
                    Some(d) => TableIndex::Data(d.0),
                    None => return refuse(l, format!("no data for field {i}")),
                },
                BufferId::Tables => match fields.tables {
                    Some(d) => TableIndex::Data(d.0),
                    None => return refuse(l, "the program has no tables".into()),
                },
                _ => table.place(id)?,
            };
            if b.is_half() && widens && b.access == Access::Write {
                self.rounded.push((self.cuts.len(), b.span.len()));
                table.make_wide(READS + self.cuts.len(), b.span.len())?;
            } else if b.is_half() && widens {
                table.make_wide(self.reads.len(), b.span.end)?;
                self.widened.push((self.reads.len(), b.span.clone()));
            }
            let (span, held) = (b.words(), table.words(place).len());
            if span.end > held {
                return refuse(l, format!("it touches word {} of {id:?}, which has {held}", span.end - 1));
            }
            match (b.access, place) {
                (Access::Write, TableIndex::Own(i)) => self.write(i, span),
                (Access::Write, TableIndex::Data(_)) => return refuse(l, "it writes data".into()),
                (Access::Read | Access::Uniform, _) => self.reads.push(place),
            }
        }
        Ok(())
    }

    /// The next result: these words of a buffer.
    fn write(&mut self, buffer: usize, range: Range<usize>) {
        let taken = self.taken.iter().position(|&t| t == buffer).unwrap_or_else(|| {
            self.taken.push(buffer);
            self.taken.len() - 1
        });
        self.cuts.push(Cut { taken, range, write: self.cuts.len() });
    }

    /// Room for what a product's pieces read and store as f32.
    fn make_room(&self, table: &mut Table) -> Result<()> {
        for p in &self.pieces {
            for (i, elements) in p.widen.iter().enumerate() {
                table.make_wide(i, elements.as_ref().map_or(0, Range::len))?;
            }
            for o in (0..p.gemm.outputs.len()).filter(|o| p.gemm.spec.halves.output(*o)) {
                table.make_wide(READS + o, p.gemm.matrices() * p.gemm.m * p.gemm.n)?;
            }
        }
        Ok(())
    }

    /// Brings the writes to the order in which they lie, and checks that nothing is in another's way.
    fn check(&mut self, l: &Launch) -> Result<()> {
        if self.reads.len() > READS || self.cuts.len() > WRITES {
            return refuse(l, format!("it reads {} buffers and writes {}: too many", self.reads.len(), self.cuts.len()));
        }
        if self.reads.iter().any(|p| matches!(p, TableIndex::Own(i) if self.taken.contains(i))) {
            return refuse(l, "it reads a buffer that it writes".into());
        }
        self.cuts.sort_by_key(|c| (c.taken, c.range.start));
        if self.cuts.windows(2).any(|c| c[0].taken == c[1].taken && c[0].range.end > c[1].range.start) {
            return refuse(l, "two of its results overlap".into());
        }
        Ok(())
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
        let (twin, workers) = (twin(kernel), self.workers.as_mut_slice());
        if !self.pieces.is_empty() {
            let beside = Beside { pieces: &self.pieces, reads: wide, writes: results };
            return twin.run(Call { threads, workers, reads: &reads[..self.reads.len()], writes, beside });
        }
        for (read, elements) in &self.widened {
            halves::widen(reads[*read], elements.start, &mut wide[*read][elements.clone()], threads);
        }
        self.widened.iter().for_each(|(read, _)| reads[*read] = &wide[*read]);
        let reads = &reads[..self.reads.len()];
        // the twin writes f32 beside, which then goes where it belongs
        let mut rounded = Writes::default();
        self.rounded.iter().for_each(|(write, _)| rounded[*write] = take(&mut writes[*write]));
        let mut both = writes;
        for (i, buffer) in results.iter_mut().enumerate() {
            if let Some((_, elements)) = self.rounded.iter().find(|(write, _)| *write == i) {
                both[i] = &mut buffer[..*elements];
            }
        }
        twin.run(Call { threads, workers, reads, writes: both, beside: Beside::default() })?;
        for (write, elements) in &self.rounded {
            halves::round(&results[*write][..*elements], take(&mut rounded[*write]), threads);
        }
        Ok(())
    }
}

/// Nanoseconds to move a byte.
const BYTE: f64 = 0.1;

fn refuse<T>(l: &Launch, problem: String) -> Result<T> {
    Err(fault(&format!("the launch {} {}", l.kernel.name(), l.label), problem))
}

macro_rules! twins {
    ($($(#[$about:meta])* $kernel:ident,)*) => {
        /// The loop that does what a kernel's shader does.
        fn twin(kernel: &Kernel) -> &dyn Twin {
            match kernel {
                $(Kernel::$kernel(k) => k,)*
            }
        }
    };
}
with_kernels!(twins);
