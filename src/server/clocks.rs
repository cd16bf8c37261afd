//! The rule by which workers keep step. No I/O, no arrays, no clock on the wall: what time it is, it is told.

use crate::exchange::Mode;
use std::cmp::Ordering;

/// Why a message of a worker is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There are not so many workers.
    NoSuchRank,
    /// A newer worker has this rank.
    Replaced,
}

/// A worker that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// How often its rank has pushed: where it begins.
    pub clock: u64,
    /// Tells it from those that had its rank before.
    pub incarnation: u64,
    /// The clock that is complete now, if one is.
    pub complete: Option<u64>,
}

/// What becomes of a wish for parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked {
    /// They are granted.
    Granted,
    /// The worker must wait for others.
    Waits,
    /// It must join again: it was given up, or the server is not where the worker is.
    Rejoins,
}

/// What a push has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushed {
    /// It makes an update of its own; its parameters have missed so many updates.
    Alone {
        /// Updates since its parameters were pulled.
        age: u64,
    },
    /// It waits for those of other workers.
    Held,
    /// It was the last of its clock: those of all workers of this clock make one update.
    Complete {
        /// The clock.
        clock: u64,
    },
    /// It was there already, and changes nothing.
    Known,
    /// The worker must join again: it was given up, or the server is not where the worker is.
    Rejoins,
}

/// A worker's place.
#[derive(Debug, Clone, Copy, Default)]
struct Seat {
    /// How many workers have had it; messages of all but the last are refused.
    incarnation: u64,
    state: State,
    /// Pushes so far.
    clock: u64,
    /// Whether it was given parameters for a push that has not come.
    granted: bool,
    /// Since when something is awaited of it; nothing is while it waits itself.
    owes_since: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Nobody has had it.
    #[default]
    Fresh,
    /// It is waited for again, or in elastic modes gone on without.
    Empty,
    Present,
    /// Its part is over.
    Done,
}

/// Where the workers of a run stand, and who may go on: a worker that has pushed `c` times is given parameters once every other has pushed at least
/// `c - s` times, with the `s` of the [`Mode`].
///
/// In [`Mode::Sync`] all places count, also those that nobody has; in the others those of the workers that are there, so that workers may come and go.
/// Nobody begins before all have come, or the deadline has passed.
#[derive(Debug, Clone)]
pub struct Clocks {
    mode: Mode,
    seats: Vec<Seat>,
    begun: bool,
    /// Since when it waits for workers to begin.
    opened: Option<f64>,
    /// Pushes of each worker in the whole run, once that is known: parameters for more are the last, for which all wait for all.
    length: Option<u64>,
    /// Updates so far.
    updates: u64,
    /// How far any worker was ahead of the slowest when it was given parameters.
    staleness: u64,
    /// The least clock of those that count, which never falls, and how many have it: asked for at every message, and there may be thousands of workers.
    least: u64,
    slowest: usize,
}

impl Clocks {
    /// Of so many workers, of whom none has come.
    pub fn new(workers: usize, mode: Mode) -> Self {
        Self::restored(mode, &vec![0; workers], 0)
    }

    /// As after a run that was cut: each worker has pushed so often, and there were so many updates.
    pub fn restored(mode: Mode, clocks: &[u64], updates: u64) -> Self {
        let seats = clocks.iter().map(|clock| Seat { clock: *clock, ..Seat::default() }).collect();
        let mut all = Clocks { mode, seats, begun: false, opened: None, length: None, updates, staleness: 0, least: 0, slowest: 0 };
        all.count();
        all
    }

    /// How often each worker has pushed.
    pub fn clocks(&self) -> Vec<u64> {
        self.seats.iter().map(|s| s.clock).collect()
    }

    /// How often each worker has pushed what is part of an update: of those whose pushes are held one less.
    pub fn counted(&self) -> Vec<u64> {
        let most = if self.mode.gathers() { self.least } else { u64::MAX };
        self.seats.iter().map(|s| s.clock.min(most)).collect()
    }

    /// Notes that the server itself was at work for so many seconds: nobody is late for that.
    pub fn excuse(&mut self, seconds: f64) {
        let all = self.seats.iter_mut().map(|s| &mut s.owes_since).chain([&mut self.opened]);
        all.flatten().for_each(|since| *since += seconds);
    }

    /// How often a worker has pushed.
    pub fn pushed(&self, rank: usize) -> u64 {
        self.seats.get(rank).map_or(0, |s| s.clock)
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The furthest that any worker was ahead of the slowest when it was given parameters: never above the mode's bound.
    pub fn greatest_staleness(&self) -> u64 {
        self.staleness
    }

    /// The least number of pushes of those that count. It never falls.
    pub fn least(&self) -> u64 {
        self.least
    }

    /// Whether all had come, or the deadline for that has passed.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Workers that are there.
    pub fn present(&self) -> usize {
        self.seats.iter().filter(|s| s.state == State::Present).count()
    }

    /// Whether all workers' parts are over.
    pub fn is_done(&self) -> bool {
        self.seats.iter().all(|s| s.state == State::Done)
    }

    /// Whether nobody is waited for any more: all workers' parts are over, or, where the run goes on without those that left, somebody's is and the
    /// others are given up.
    pub fn is_over(&self) -> bool {
        let gone = |s: &Seat| s.state == State::Empty && s.owes_since.is_none() || s.state == State::Fresh && self.begun;
        let done = |s: &Seat| s.state == State::Done;
        let over = |s: &Seat| done(s) || self.is_elastic() && gone(s);
        self.seats.iter().any(done) && self.seats.iter().all(over)
    }

    /// After [`Clocks::restored`]: those that have pushed so often have nothing left to do, and need not come again.
    pub fn end_at(&mut self, clocks: u64) {
        self.set_length(clocks);
        self.seats.iter_mut().filter(|s| s.clock >= clocks).for_each(|s| s.state = State::Done);
        self.begun |= self.seats.iter().all(|s| s.state != State::Fresh);
        self.count();
    }

    /// Whether the run goes on without workers that left.
    pub fn is_elastic(&self) -> bool {
        self.mode != Mode::Sync
    }

    /// Sets how often each worker pushes in the whole run.
    pub fn set_length(&mut self, clocks: u64) {
        self.length = Some(clocks);
    }

    /// A worker comes. As long as it is kept waiting nothing is awaited of it: [`Clocks::enter`] ends that.
    ///
    /// A worker whose place somebody had goes on where that one stopped. Where there is a bound and the run goes on without those that left, it begins with
    /// the slowest: nobody waits for it to catch up.
    pub fn join(&mut self, rank: usize, now: f64) -> Result<Joined, Refusal> {
        let (before, least) = (self.least, self.least);
        let elastic = self.is_elastic() && self.mode.bound().is_some() && self.begun;
        let seat = self.seats.get_mut(rank).ok_or(Refusal::NoSuchRank)?;
        if elastic && seat.state != State::Present {
            seat.clock = seat.clock.max(least);
        }
        seat.incarnation += 1;
        (seat.state, seat.granted, seat.owes_since) = (State::Present, false, None);
        let (clock, incarnation) = (seat.clock, seat.incarnation);
        self.opened = self.opened.or(Some(now));
        self.begun |= self.seats.iter().all(|s| s.state != State::Fresh);
        self.count();
        Ok(Joined { clock, incarnation, complete: self.completed(before) })
    }

    /// A worker that has come is let in.
    pub fn enter(&mut self, rank: usize, incarnation: u64, now: f64) -> Result<(), Refusal> {
        self.seat(rank, incarnation)?.owes_since = Some(now);
        Ok(())
    }

    /// A worker wishes parameters for the push of this clock. One that is here already may come again, of a worker that has gone back to the clock of another
    /// server: then they are for that one.
    pub fn pull(&mut self, rank: usize, incarnation: u64, clock: u64, now: f64) -> Result<Asked, Refusal> {
        let (begun, least, mode) = (self.begun, self.least, self.mode);
        let last = self.length == Some(clock);
        let seat = self.seat(rank, incarnation)?;
        if seat.state != State::Present || clock > seat.clock {
            return Ok(Asked::Rejoins);
        }
        let again = clock < seat.clock;
        seat.owes_since = None;
        let (ahead, bound) = (clock.saturating_sub(least), if last { Some(0) } else { mode.bound() });
        if !begun || bound.is_some_and(|s| ahead > s) {
            return Ok(Asked::Waits);
        }
        seat.owes_since = Some(now);
        if !again {
            seat.granted = !last;
        }
        if !last {
            self.staleness = self.staleness.max(ahead);
        }
        Ok(Asked::Granted)
    }

    /// What a push of this clock would come to that changes nothing; `None` where it is the one that is awaited.
    pub fn expects(&mut self, rank: usize, incarnation: u64, clock: u64) -> Result<Option<Pushed>, Refusal> {
        let seat = self.seat(rank, incarnation)?;
        let awaited = seat.state == State::Present && seat.granted;
        Ok(match clock.cmp(&seat.clock) {
            Ordering::Less => Some(Pushed::Known),
            Ordering::Equal if awaited => None,
            _ => Some(Pushed::Rejoins),
        })
    }

    /// A worker pushes what it has made of parameters that had `update` updates behind them.
    pub fn push(&mut self, rank: usize, incarnation: u64, clock: u64, update: u64, now: f64) -> Result<Pushed, Refusal> {
        if let Some(nothing) = self.expects(rank, incarnation, clock)? {
            return Ok(nothing);
        }
        let before = self.least;
        let seat = self.seat(rank, incarnation)?;
        // it will ask for parameters at once, if it lives
        (seat.clock, seat.granted, seat.owes_since) = (clock + 1, false, Some(now));
        if clock == self.least {
            self.slowest = self.slowest.saturating_sub(1);
            if self.slowest == 0 {
                self.count();
            }
        }
        if !self.mode.gathers() {
            return Ok(Pushed::Alone { age: self.updates.saturating_sub(update) });
        }
        Ok(self.completed(before).map_or(Pushed::Held, |clock| Pushed::Complete { clock }))
    }

    /// Notes that an update was made.
    pub fn updated(&mut self) {
        self.updates += 1;
    }

    /// A worker goes. Gives the clock that is complete without it, if there is one.
    pub fn leave(&mut self, rank: usize, incarnation: u64, done: bool, now: f64) -> Result<Option<u64>, Refusal> {
        let before = self.least;
        let seat = self.seat(rank, incarnation)?;
        (seat.state, seat.granted) = (if done { State::Done } else { State::Empty }, false);
        seat.owes_since = (!done).then_some(now);
        self.count();
        Ok(self.completed(before))
    }

    /// What the time has come to: workers that are given up, and the clock that is complete without them. `deadline`: seconds for which something may be
    /// awaited of a worker.
    pub fn tick(&mut self, now: f64, deadline: f64) -> (Vec<usize>, Option<u64>) {
        let (before, elastic) = (self.least, self.is_elastic());
        let late = |since: Option<f64>| since.is_some_and(|s| now - s > deadline);
        let mut lost: Vec<usize> = vec![];
        for (rank, seat) in self.seats.iter_mut().enumerate() {
            // one that has left is awaited only where all are
            let awaited = seat.state == State::Present || seat.state == State::Empty && !elastic;
            if late(seat.owes_since) && awaited {
                (seat.state, seat.granted) = (State::Empty, false);
                lost.push(rank);
            }
            if late(seat.owes_since) {
                seat.owes_since = None;
            }
        }
        if !self.begun && late(self.opened) {
            lost.extend(self.seats.iter().enumerate().filter(|(_, s)| s.state == State::Fresh).map(|(rank, _)| rank));
            (self.begun, self.opened) = (elastic, None);
        }
        self.count();
        (lost, self.completed(before))
    }

    fn seat(&mut self, rank: usize, incarnation: u64) -> Result<&mut Seat, Refusal> {
        let seat = self.seats.get_mut(rank).ok_or(Refusal::NoSuchRank)?;
        if seat.incarnation == incarnation { Ok(seat) } else { Err(Refusal::Replaced) }
    }

    /// The last clock that all who count have passed since `before`, where one clock makes one update.
    fn completed(&self, before: u64) -> Option<u64> {
        (self.mode.gathers() && self.least > before).then(|| self.least - 1)
    }

    fn counts(&self, s: &Seat) -> bool {
        !self.is_elastic() || s.state == State::Present || !self.begun && s.state == State::Fresh
    }

    fn count(&mut self) {
        let least = self.seats.iter().filter(|s| self.counts(s)).map(|s| s.clock).min();
        self.least = self.least.max(least.unwrap_or(0));
        self.slowest = self.seats.iter().filter(|s| self.counts(s) && s.clock == self.least).count();
    }
}

#[cfg(test)]
#[path = "clocks_tests.rs"]
mod tests;
