//! No array is made after the first rounds of a distributed run: allocations are counted by size. A process of its own: the allocator is the whole process'.
//!
//! Counted are those of 16 KiB and more (the model's arrays have 400 KB): in memory those of all threads, server and workers; over the network those of
//! the worker's own thread. What the transport's threads make for frames that come is tonic's.

mod common;

use common::need::Suite;
use gradus::exchange::{Exchange, Hello, Mode, Pulled, Push, Reply, Welcome, Worker};
use gradus::prelude::*;
use gradus::server::{Rules, Server};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

static SUITE: Suite = Suite::new("allocations", if cfg!(feature = "dist") { 8 } else { 4 });

const LARGE: usize = 16 << 10;

static ALL: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static OWN: Cell<usize> = const { Cell::new(0) };
}

struct Counts;

fn count(bytes: usize) {
    if bytes >= LARGE {
        ALL.fetch_add(1, Relaxed);
        let _ = OWN.try_with(|own| own.set(own.get() + 1));
    }
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counts {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        count(new);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, new) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTS: Counts = Counts;

/// Notes how many allocations there were before each pull.
struct Noting<E> {
    link: E,
    own: bool,
    seen: Vec<usize>,
}

impl<E: Exchange> Exchange for Noting<E> {
    fn mode(&mut self) -> gradus::Result<Mode> {
        self.link.mode()
    }
    fn join(&mut self, hello: &Hello) -> gradus::Result<Welcome> {
        self.link.join(hello)
    }
    fn pull(&mut self, clock: u64, into: &mut Pulled) -> gradus::Result<Reply> {
        self.seen.push(if self.own { OWN.get() } else { ALL.load(Relaxed) });
        self.link.pull(clock, into)
    }
    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> gradus::Result<Reply> {
        self.link.push(push, values, buffers)
    }
    fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
        self.link.leave(done)
    }
}

/// One run at a time: the counters are the process'.
static ALONE: Mutex<()> = Mutex::new(());

fn model() -> Model {
    let settings = Compile::new(Sgd::new(0.01).momentum(0.9), CrossEntropy::new()).input([784]).seed(1).device(Device::cpu_threads(1));
    Sequential::new().add(Linear::new(128)).add(Relu).add(Linear::new(10)).compile(settings).unwrap()
}

/// The counts of two workers before each of their pulls.
fn run<E: Exchange>(mode: Mode, own: bool, link: impl Fn(&Server) -> E + Sync) -> Vec<Vec<usize>> {
    let data = data::synthetic_digits(4, 640, 10).unwrap().0.flatten().scale(1.0 / 255.0);
    let server = Server::new(model(), Rules::new(2).mode(mode)).unwrap();
    let work = |rank: usize| {
        let mut noting = Noting { link: link(&server), own, seen: Vec::with_capacity(1000) };
        let fit = Fit::new().epochs(3).batch_size(16).verbose(0);
        model().worker(&mut noting, Worker::new(rank, 2)).run(&data, &fit).unwrap();
        noting.seen
    };
    let work = &work;
    std::thread::scope(|scope| [0, 1].map(|rank| scope.spawn(move || work(rank))).map(|t| t.join().unwrap())).into()
}

const MODES: [Mode; 4] = [Mode::Sync, Mode::SemiAsync { staleness: 1 }, Mode::Async, Mode::Local { every: 4 }];

/// What is made where it is first wanted: buffers of both workers and three snapshots. By the fourth clock all of them; where nobody waits the other worker
/// may begin far later, and the last snapshot is wanted when both still hold one: the machine's load decides, and half of the run is looked at. The last
/// pull stands alone.
fn nothing_more_is_made(mode: Mode, seen: &[usize]) {
    let first = if mode == Mode::Sync { 4 } else { seen.len() / 2 };
    let (early, last) = (seen[first], seen[seen.len() - 2]);
    println!("{mode}: {} after clock {first} of {}", last - early, seen.len());
    assert!(seen.len() > 10 && last - early <= 3, "{mode}: {seen:?}");
}

#[test]
fn in_memory_nothing_is_made_after_the_first_rounds() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for mode in MODES {
        let seen = run(mode, false, Server::link);
        seen.iter().for_each(|of_one| nothing_more_is_made(mode, of_one));
        SUITE.ran(1);
    }
}

#[cfg(feature = "dist")]
#[test]
fn over_the_network_a_worker_makes_nothing_after_the_first_rounds() {
    use gradus::exchange::{Connect, connect};
    use gradus::server::{Serve, Serving, serve};
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for mode in MODES {
        let serving: Mutex<Option<Serving>> = Mutex::default();
        let link = |server: &Server| {
            let mut serving = serving.lock().unwrap();
            let at = serving.get_or_insert_with(|| serve(server.clone(), Serve::new("127.0.0.1:0")).unwrap()).addr();
            connect(&at.to_string(), Connect::new()).unwrap()
        };
        let before = ALL.load(Relaxed);
        let seen = run(mode, true, link);
        let rounds = seen[0].len();
        println!("{mode}: {} in all over {rounds} rounds", ALL.load(Relaxed) - before);
        seen.iter().for_each(|of_one| nothing_more_is_made(mode, of_one));
        SUITE.ran(1);
    }
}
