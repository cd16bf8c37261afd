//! A server: the clocks and the model behind one lock, for as many workers as there are.

use super::clocks::{Asked, Clocks, Joined, Pushed, Refusal};
use super::event::{Event, Flow, Standing};
use super::gathered::{Arrays, Lent, Part};
use super::keeper::Keeper;
use super::length::Length;
use super::rules::Rules;
use super::snapshot::{Newest, Snapshot};
use super::state::{State, closed};
use crate::error::{Error, Faults, Result};
use crate::exchange::{Hello, Mode, Pulled, Push, Reply, Stop, Welcome};
use crate::store::checkpoint::fingerprint;
use crate::train::Model;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

mod kept;
mod part;
#[cfg(feature = "dist")]
mod remote;

/// How the errors begin of those who have not caused them.
pub(super) const FAILED: &str = "the run has failed: ";

/// The server of a distributed run. Clones are the same server: one for each thread that serves a worker.
///
/// ```
/// use gradus::exchange::Worker;
/// use gradus::prelude::*;
/// use gradus::server::{Rules, Server};
/// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
/// let compile = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
/// let server = Server::new(compile()?, Rules::new(1))?;
/// let mut link = server.link();
/// compile()?.worker(&mut link, Worker::new(0, 1)).run(&data, &Fit::new().epochs(2).batch_size(4))?;
/// assert_eq!(server.standing().updates, 4);
/// let trained = server.into_model()?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    /// Another number for each start of a server.
    #[cfg(feature = "dist")]
    instance: u64,
    rules: Rules,
    /// The whole model's fingerprint.
    model: String,
    /// Which of the trainable parameters' elements are this server's.
    range: Range<usize>,
    born: Instant,
    state: Mutex<State>,
    /// Something has changed that a worker may wait for.
    moved: Condvar,
    /// Who else wants to know of that.
    #[cfg(feature = "dist")]
    rings: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

/// What becomes of a wish for parameters.
pub(super) enum Wish {
    Granted { newest: Arc<Snapshot>, over: bool },
    Waits,
    Rejoins,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({} workers, {})", self.inner.rules.workers, self.inner.rules.mode)
    }
}

impl Server {
    /// A server of this model, which it takes: [`Server::into_model`] gives it back. Fails on settings that cannot be used, as a [shard](Rules::shard) on
    /// what needs all gradients (`clip_norm`), and on fewer parameter tensors than there are shards.
    pub fn new(mut model: Model, rules: Rules) -> Result<Self> {
        rules.check()?;
        let mut f = Faults::default();
        let average = model.settings().ema.is_some() && rules.mode.is_local();
        f.check(
            !average,
            "compile.ema",
            format!("with the mode `{}`", rules.mode),
            "the server's average of the workers takes its place: leave it out",
        );
        part::check(&mut f, model.settings(), &rules);
        f.finish()?;
        let fingerprint = fingerprint(model.core())?;
        let (model, range) = part::of(model, rules.shard)?;
        let mut keeper = Keeper::new(model, rules.outer, rules.shard.leads())?;
        let (before, mut newest) = (keeper.before(), Newest::default());
        newest.make(|s| keeper.show(0, s))?;
        let clocks = Clocks::new(rules.workers, rules.mode);
        let parts = (0..rules.workers).map(|_| Part::default()).collect();
        let state = State {
            clocks,
            keeper: Some(keeper),
            newest,
            parts,
            run: None,
            settled: false,
            machine: None,
            before,
            looked: 0.0,
            watch: None,
            standing: Standing::default(),
            epochs: 0,
            file: None,
            failed: None,
        };
        let inner = Inner {
            #[cfg(feature = "dist")]
            instance: remote::instance(),
            rules,
            model: fingerprint,
            range,
            born: Instant::now(),
            state: Mutex::new(state),
            moved: Condvar::new(),
            #[cfg(feature = "dist")]
            rings: Mutex::default(),
        };
        Ok(Server { inner: Arc::new(inner) })
    }

    /// Is told of all that happens from now on, in the thread of the worker that it happens to; an error ends the run. Nobody else is served meanwhile, so
    /// it must not ask this server anything: it would wait for itself. [`Flow::Stop`] of a [shard](Rules::shard) is an error: the others would go on.
    pub fn watch(&self, watch: impl FnMut(Event<'_>) -> Result<Flow> + Send + 'static) {
        self.lock().watch = Some(Box::new(part::watched(self.inner.rules.shard, watch)));
    }

    /// Where the run stands.
    pub fn standing(&self) -> Standing {
        let s = self.lock();
        let (updates, clocks, greatest_staleness) = (s.clocks.updates(), s.clocks.clocks(), s.clocks.greatest_staleness());
        let present = s.clocks.present();
        Standing { updates, present, clocks, greatest_staleness, over: s.standing.over || s.clocks.is_done(), ..s.standing.clone() }
    }

    /// The model. Workers that are still there get an error from now on. Fails where another clone has taken it, and of a [shard](Rules::shard), which has
    /// a part of it: each worker's model has all parameters once its part is over.
    pub fn into_model(self) -> Result<Model> {
        self.whole("Server::into_model")?;
        let keeper = self.lock().keeper.take();
        self.moved();
        keeper.map(|k| k.model).ok_or_else(closed)
    }

    /// Ends the run with this error, for all workers.
    pub fn fail(&self, why: &str) {
        let mut s = self.lock();
        s.failed.get_or_insert_with(|| why.into());
        self.moved();
    }

    /// How the workers keep step.
    pub fn mode(&self) -> Mode {
        self.inner.rules.mode
    }

    /// Gives up workers that are late. Waiting workers do this by themselves; without any a host of the server must, from time to time.
    pub fn tick(&self) -> Result<()> {
        let mut s = self.lock();
        let late = self.late(&mut s);
        self.noted(&mut s, late)
    }

    pub(crate) fn join(&self, hello: &Hello) -> Result<Welcome> {
        let (mut s, joined) = self.seated(hello)?;
        loop {
            match self.welcome(&mut s, hello, joined)? {
                Some(welcome) => return Ok(welcome),
                None => s = self.wait(s)?,
            }
        }
    }

    /// Gives a worker its place.
    fn seated(&self, hello: &Hello) -> Result<(MutexGuard<'_, State>, Joined)> {
        let (rules, at) = (&self.inner.rules, format!("worker {} of {}", hello.rank, hello.world));
        let refuse = |problem: String, help: &str| Err(Error::Distributed { problem, at: at.clone(), help: help.into() });
        if hello.version != env!("CARGO_PKG_VERSION") {
            let problem = format!("the worker is gradus {}, the server {}", hello.version, env!("CARGO_PKG_VERSION"));
            return refuse(problem, "use one version for both");
        }
        if hello.model != self.inner.model {
            let problem = format!("the worker's model has the fingerprint {}, the server's {}", hello.model, self.inner.model);
            return refuse(problem, "give both the same recipe: layers, optimizer, loss, precision, seeds");
        }
        if hello.shard != rules.shard {
            let problem = format!("the server is shard {}, the worker takes it for shard {}", rules.shard, hello.shard);
            return refuse(problem, "give the worker the addresses of all servers of the run, in the order of their shards");
        }
        if hello.world != rules.workers {
            return refuse(format!("the server is for {} workers", rules.workers), "start both for the same number of workers");
        }
        if hello.rank >= rules.workers {
            return Err(refused(Refusal::NoSuchRank, hello.rank));
        }
        let mut s = self.lock();
        self.alive(&s)?;
        let mut run = s.run.clone();
        let agreed = run.as_mut().map_or(Ok(()), |run| run.agree(hello, s.settled));
        if let Err(problem) = agreed {
            return refuse(problem, "give all workers the same recipe and rows (or each rows of its own)");
        }
        let joined = s.clocks.join(hello.rank, self.now()).map_err(|r| refused(r, hello.rank))?;
        if !s.settled {
            s.run = Some(run.unwrap_or_else(|| Length::new(hello)));
        }
        let told = s.settle(rules).and_then(|()| s.complete(joined.complete, rules)).and_then(|()| {
            let (rank, clock) = (hello.rank, joined.clock);
            s.tell(Event::Joined { rank, clock })
        });
        self.noted(&mut s, told)?;
        Ok((s, joined))
    }

    /// What a worker is told that has a place; nothing until all have come: how many pushes there are is known then.
    fn welcome(&self, s: &mut State, hello: &Hello, joined: Joined) -> Result<Option<Welcome>> {
        if !s.settled && !s.standing.over {
            return Ok(None);
        }
        let rules = &self.inner.rules;
        s.clocks.enter(hello.rank, joined.incarnation, self.now()).map_err(|r| refused(r, hello.rank))?;
        let (rounds, clocks) = s.run.as_ref().map_or((0, None), |r| (r.rounds(rules), r.clocks(rules)));
        let machine = s.machine.get_or_insert_with(|| hello.machine.clone());
        let other_machine = (rules.mode == Mode::Sync && *machine != hello.machine).then(|| machine.clone());
        Ok(Some(Welcome {
            clock: joined.clock,
            incarnation: joined.incarnation,
            mode: rules.mode,
            rounds,
            clocks: clocks.unwrap_or(0),
            before: s.before,
            other_machine,
            range: [self.inner.range.start as u64, self.inner.range.end as u64],
        }))
    }

    pub(crate) fn pull(&self, rank: usize, incarnation: u64, clock: u64, out: &mut Pulled, stop: &Stop) -> Result<Reply> {
        let mut s = self.lock();
        self.look(&mut s)?;
        let (newest, over) = loop {
            match self.wish(&mut s, rank, incarnation, clock)? {
                Wish::Granted { newest, over } => break (newest, over),
                Wish::Rejoins => return Ok(Reply::Rejoin),
                Wish::Waits if stop.is_raised() => return Ok(Reply::Rejoin),
                Wish::Waits => s = self.wait(s)?,
            }
        };
        drop(s);
        newest.copy_to(out);
        out.over = over;
        Ok(Reply::Taken)
    }

    /// What becomes of a wish for the parameters for the push of this clock.
    fn wish(&self, s: &mut State, rank: usize, incarnation: u64, clock: u64) -> Result<Wish> {
        self.alive(s)?;
        if s.standing.over {
            return Ok(Wish::Granted { newest: s.newest.get(), over: true });
        }
        Ok(match s.clocks.pull(rank, incarnation, clock, self.now()).map_err(|r| refused(r, rank))? {
            Asked::Granted => Wish::Granted { newest: s.newest.get(), over: false },
            Asked::Rejoins => Wish::Rejoins,
            Asked::Waits => Wish::Waits,
        })
    }

    pub(crate) fn push(&self, rank: usize, incarnation: u64, push: &Push, values: &[u32], buffers: &[u32]) -> Result<Reply> {
        self.push_of(rank, incarnation, push, Lent(values, buffers))
    }

    fn push_of(&self, rank: usize, incarnation: u64, push: &Push, mut arrays: impl Arrays) -> Result<Reply> {
        let mut s = self.lock();
        self.look(&mut s)?;
        self.alive(&s)?;
        if s.standing.over {
            return Ok(Reply::Known); // it was stopped: nothing moves any more
        }
        s.check_sizes(push, rank, self.inner.rules.mode, [arrays.values().len(), arrays.buffers().len()])?;
        if self.inner.rules.mode.gathers() {
            if let Some(nothing) = s.clocks.expects(rank, incarnation, push.clock).map_err(|r| refused(r, rank))? {
                return self.pushed(s, nothing, |_| Ok(()));
            }
            // copied outside of the lock: others push at the same time
            let mut part = s.parts.get_mut(rank).map(std::mem::take).unwrap_or_default();
            drop(s);
            arrays.put(&mut part);
            part.push = Some(*push);
            s = self.lock();
            self.alive(&s)?;
            let pushed = s.clocks.push(rank, incarnation, push.clock, push.update, self.now()).map_err(|r| refused(r, rank))?;
            if let (Pushed::Held | Pushed::Complete { .. }, Some(place)) = (pushed, s.parts.get_mut(rank)) {
                *place = part;
            }
            return self.pushed(s, pushed, |_| Ok(()));
        }
        let pushed = s.clocks.push(rank, incarnation, push.clock, push.update, self.now()).map_err(|r| refused(r, rank))?;
        let damped = self.inner.rules.damped;
        self.pushed(s, pushed, |s| match pushed {
            Pushed::Alone { age } => s.alone(rank, push, &arrays, if damped { age } else { 1 }),
            _ => Ok(()),
        })
    }

    pub(crate) fn leave(&self, rank: usize, incarnation: u64, done: bool) -> Result<()> {
        let mut s = self.lock();
        let complete = match s.clocks.leave(rank, incarnation, done, self.now()) {
            Ok(complete) => complete,
            Err(Refusal::Replaced) => return Ok(()),
            Err(r) => return Err(refused(r, rank)),
        };
        let mut made = s.complete(complete, &self.inner.rules);
        if !done && made.is_ok() && s.failed.is_none() {
            made = s.tell(Event::Lost { rank });
        }
        if !s.clocks.has_begun() && s.clocks.present() == 0 {
            // whoever comes next says anew how long the run is
            s.run = None;
        }
        self.noted(&mut s, made)
    }

    /// What a push has come to.
    fn pushed(&self, mut s: MutexGuard<'_, State>, pushed: Pushed, alone: impl FnOnce(&mut State) -> Result<()>) -> Result<Reply> {
        let (made, reply) = match pushed {
            Pushed::Known => {
                s.standing.known += 1;
                return Ok(Reply::Known);
            }
            Pushed::Rejoins => return Ok(Reply::Rejoin),
            Pushed::Held => return Ok(Reply::Taken),
            Pushed::Complete { clock } => (s.complete(Some(clock), &self.inner.rules), Reply::Taken),
            Pushed::Alone { age } => {
                s.standing.greatest_age = s.standing.greatest_age.max(age);
                (alone(&mut s).and_then(|()| s.end_epochs(&self.inner.rules)), Reply::Taken)
            }
        };
        self.noted(&mut s, made)?;
        Ok(reply)
    }

    /// Wakes whoever waits; an error is all workers' from now on.
    fn noted(&self, s: &mut State, made: Result<()>) -> Result<()> {
        match &made {
            Err(e) => drop(s.failed.get_or_insert_with(|| e.to_string())),
            Ok(()) => self.write_if_due(s),
        }
        self.moved();
        made
    }

    /// Looks whether somebody is late, where that was not done for a while.
    fn look(&self, s: &mut State) -> Result<()> {
        if self.now() - s.looked < self.inner.rules.deadline / 4.0 {
            return Ok(());
        }
        let late = self.late(s);
        self.noted(s, late)
    }

    fn late(&self, s: &mut State) -> Result<()> {
        s.looked = self.now();
        let (lost, complete) = s.clocks.tick(s.looked, self.inner.rules.deadline);
        if !s.clocks.is_elastic() && !lost.is_empty() {
            let who = lost.iter().map(|r| r.to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::Distributed {
                problem: format!("nothing has come from worker {who} for {} seconds", self.inner.rules.deadline),
                at: "the server, in the mode `sync`, which waits for all".into(),
                help: "see why it hangs or does not come; give a longer `deadline`, or a mode that goes on without it".into(),
            });
        }
        s.settle(&self.inner.rules)?;
        s.complete(complete, &self.inner.rules)?;
        lost.iter().try_for_each(|rank| s.tell(Event::Lost { rank: *rank }))
    }

    /// Waits for a change, or until somebody may be late.
    fn wait<'a>(&self, s: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        let most = Duration::from_secs_f64((self.inner.rules.deadline / 4.0).clamp(0.01, 1.0));
        let (mut s, timeout) = self.inner.moved.wait_timeout(s, most).unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let late = self.late(&mut s);
            self.noted(&mut s, late)?;
        }
        self.alive(&s)?;
        Ok(s)
    }

    fn alive(&self, s: &State) -> Result<()> {
        match (&s.failed, &s.keeper) {
            (Some(why), _) => Err(Error::Distributed {
                problem: format!("{FAILED}{}", why.lines().next().unwrap_or_default()),
                at: "the server".into(),
                help: "the server's own error says more".into(),
            }),
            (None, None) => Err(closed()),
            _ => Ok(()),
        }
    }

    fn moved(&self) {
        self.inner.moved.notify_all();
        #[cfg(feature = "dist")]
        self.inner.rings.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|ring| ring());
    }

    fn now(&self) -> f64 {
        self.inner.born.elapsed().as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // a watcher that panics has told its own thread
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(why: Refusal, rank: usize) -> Error {
    let (problem, help) = match why {
        Refusal::NoSuchRank => ("there is no such worker in this run", "give ranks from 0 to the number of workers less 1"),
        Refusal::Replaced => (
            "a newer worker has taken this one's rank",
            "nothing: whoever started it again has done so on purpose, or start each rank once",
        ),
    };
    Error::Distributed { problem: problem.into(), at: format!("worker {rank}"), help: help.into() }
}
