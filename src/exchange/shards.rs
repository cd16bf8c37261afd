//! One link over several servers, each of which has a range of the parameters.

use super::link::{Exchange, Reply};
use super::message::{Hello, Pulled, Push, Welcome};
use super::mode::Mode;
use super::shard::Shard;
use super::stop::Stop;
use crate::error::{Error, Faults, Result};
use std::ops::Range;

/// A worker's link to all servers of a run in shards: what it pushes is cut into their ranges, what it pulls is put together. All are asked at the same time,
/// each on a thread of its own.
///
/// Servers know nothing of each other, and each keeps clocks of its own. One that was restored is behind: the worker goes back to the least clock, and those
/// that have its pushes already take them no second time.
///
/// ```
/// use gradus::exchange::{Exchange, Shards, Worker};
/// use gradus::prelude::*;
/// use gradus::server::{Rules, Server};
/// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
/// let compile = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
/// let server = |index| Server::new(compile()?, Rules::new(1).shard(index, 2));
/// let (first, second) = (server(0)?, server(1)?);
/// let mut link = Shards::new(vec![Box::new(first.link()), Box::new(second.link())])?;
/// let mut model = compile()?;
/// model.worker(&mut link, Worker::new(0, 1)).run(&data, &Fit::new().epochs(2).batch_size(4))?;
/// // the worker has all of the parameters
/// assert!(model.parameter("0.bias")?.as_f32().is_some_and(|bias| bias[0] > 0.0));
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct Shards {
    all: Vec<One>,
}

/// One of the servers.
struct One {
    link: Box<dyn Exchange>,
    /// Which of the parameters it has.
    range: Range<usize>,
    pulled: Pulled,
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shards({:?})", self.all.iter().map(|one| &one.range).collect::<Vec<_>>())
    }
}

impl Shards {
    /// Over links to all servers of a run, in the order of their shards: a server that stands in another place refuses the worker when it joins. Fails
    /// without any.
    pub fn new(links: Vec<Box<dyn Exchange>>) -> Result<Self> {
        let mut f = Faults::default();
        f.check(!links.is_empty(), "servers", "none", "give the links of all servers, in the order of their shards");
        f.finish()?;
        Ok(Shards { all: links.into_iter().map(|link| One { link, range: 0..0, pulled: Pulled::default() }).collect() })
    }

    /// Elements of all ranges.
    fn size(&self) -> usize {
        self.all.last().map_or(0, |one| one.range.end)
    }
}

impl One {
    /// Pulls its range.
    fn pull(&mut self, clock: u64, stop: &Stop) -> Result<Reply> {
        let reply = self.link.pull_unless(clock, &mut self.pulled, stop)?;
        let (given, has) = (self.pulled.parameters.len(), self.range.len());
        if reply != Reply::Rejoin && given != has {
            return Err(differ(&format!("a server gives {given} parameters, and has {has}")));
        }
        Ok(reply)
    }
}

/// Does this for all at the same time. The first error in their order is that of all.
fn at_once<I: Send, T: Send>(all: Vec<I>, work: impl Fn(I) -> Result<T> + Sync) -> Result<Vec<T>> {
    let (work, mut all) = (&work, all.into_iter());
    let Some(first) = all.next() else { return Ok(vec![]) };
    std::thread::scope(|scope| {
        let threads: Vec<_> = all.map(|one| scope.spawn(move || work(one))).collect();
        let first = work(first);
        let rest = threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(first).chain(rest).collect::<Vec<_>>().into_iter().collect()
    })
}

impl Exchange for Shards {
    fn mode(&mut self) -> Result<Mode> {
        let modes = at_once(self.all.iter_mut().collect(), |one: &mut One| one.link.mode())?;
        match modes.iter().find(|m| **m != modes[0]) {
            None => Ok(modes[0]),
            Some(other) => Err(differ(&format!("one server's mode is `{}`, another's `{other}`", modes[0]))),
        }
    }

    fn join(&mut self, hello: &Hello) -> Result<Welcome> {
        let of = self.all.len();
        let welcomes = at_once(self.all.iter_mut().enumerate().collect(), |(index, one): (usize, &mut One)| {
            let welcome = one.link.join(&Hello { shard: Shard { index, of }, ..hello.clone() })?;
            let [first, end] = welcome.range.map(usize::try_from);
            one.range = first.ok().zip(end.ok()).filter(|(first, end)| first < end).map(|(first, end)| first..end).unwrap_or_default();
            Ok(welcome)
        })?;
        let mut end = 0;
        for one in &self.all {
            if one.range.start != end || one.range.is_empty() {
                return Err(differ("the servers' ranges do not follow one another"));
            }
            end = one.range.end;
        }
        let mut welcome = welcomes[0].clone();
        let of = |w: &Welcome| (w.mode, w.rounds, w.clocks, w.before);
        if welcomes.iter().any(|w| of(w) != of(&welcome)) {
            return Err(differ("the servers speak of runs of other lengths"));
        }
        // whoever is ahead knows what comes again
        welcome.clock = welcomes.iter().map(|w| w.clock).min().unwrap_or(0);
        welcome.other_machine = welcomes.into_iter().find_map(|w| w.other_machine);
        welcome.range = [0, end as u64];
        Ok(welcome)
    }

    fn pull(&mut self, clock: u64, into: &mut Pulled) -> Result<Reply> {
        let stop = Stop::default();
        let replies = at_once(self.all.iter_mut().collect(), |one: &mut One| {
            let reply = one.pull(clock, &stop);
            if !matches!(reply, Ok(Reply::Taken | Reply::Known)) {
                // where another is waited at, it may be for a worker that must come here first
                stop.raise();
            }
            reply
        })?;
        if replies.contains(&Reply::Rejoin) {
            return Ok(Reply::Rejoin);
        }
        // only now: what a server said to have is not what it gives
        into.parameters.clear();
        self.all.iter().for_each(|one| into.parameters.extend_from_slice(&one.pulled.parameters));
        into.over = self.all.iter().any(|one| one.pulled.over);
        // they move alike but after a restart; the least is safe for all
        let scales = self.all.iter().filter_map(|one| one.pulled.scale);
        into.scale = scales.min_by(|a, b| a.scale.total_cmp(&b.scale));
        let lead = &self.all[0].pulled;
        into.update = lead.update;
        into.buffers.clone_from(&lead.buffers);
        Ok(Reply::Taken)
    }

    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> Result<Reply> {
        let full = !values.is_empty();
        if full && values.len() != self.size() {
            return Err(differ(&format!("the model has {} parameters that train, the servers {}", values.len(), self.size())));
        }
        let of = |one: &One| if full { &values[one.range.clone()] } else { &[] };
        // all must come to the same verdict, and each sees its own range alone
        let finite = values.iter().all(|w| f32::from_bits(*w).is_finite());
        let good = finite && self.all.iter().all(|one| one.link.carries(of(one)));
        let replies = at_once(self.all.iter_mut().enumerate().collect(), |(index, one): (usize, &mut One)| {
            // each counts updates of its own
            let push = Push { update: one.pulled.update, ..*push };
            let own = of(one);
            if good || !full || !one.link.carries(own) {
                one.link.push(&push, own, if index == 0 { buffers } else { &[] })
            } else {
                one.link.push(&Push { finite: false, ..push }, &[], &[])
            }
        })?;
        Ok(together(&replies))
    }

    fn leave(&mut self, done: bool) -> Result<Reply> {
        let mut replies = at_once(self.all.iter_mut().collect(), |one: &mut One| Ok(one.link.leave(done)))?;
        // who has the last parameters is done, also where a server is not there to hear it: it went when it had heard all, or died since
        if done && replies.iter().any(|r| matches!(r, Ok(Reply::Taken | Reply::Known))) {
            for (server, reply) in replies.iter_mut().enumerate() {
                if let Err(e) = reply {
                    crate::terminal::warn!("server {} has not heard that the worker is done: {e}", server + 1);
                }
                if !matches!(reply, Ok(Reply::Known)) {
                    *reply = Ok(Reply::Taken);
                }
            }
        }
        Ok(together(&replies.into_iter().collect::<Result<Vec<_>>>()?))
    }
}

/// What the replies of all come to: known is what all know.
fn together(replies: &[Reply]) -> Reply {
    if replies.contains(&Reply::Rejoin) {
        Reply::Rejoin
    } else if replies.contains(&Reply::Taken) {
        Reply::Taken
    } else {
        Reply::Known
    }
}

fn differ(problem: &str) -> Error {
    Error::Distributed {
        problem: problem.into(),
        at: "the servers of a run in shards".into(),
        help: "start all with the same recipe, rules and version of gradus, each as another shard".into(),
    }
}
