//! Work handed to a thread that is awake and waits for it. Where rayon's queue gives a part to whoever comes first, here each part goes to the same
//! thread as long as that is awake, which finds in its cache what it left there; and one that waits at its desk begins within a fraction of a microsecond.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long one waits for the other half before it looks for other work, and lets other programs have a turn.
const EAGER: Duration = Duration::from_micros(50);

/// A desk for each thread that is kept awake, numbered from 1: 0 is the thread that shares out the work.
pub(super) struct Desks(Vec<Desk>);

/// Where a thread waits for work. On cache lines of its own.
#[repr(align(128))]
pub(super) struct Desk {
    state: AtomicU32,
    job: UnsafeCell<Option<Job>>,
}

/// Nobody is there.
const AWAY: u32 = 0;
/// Its thread waits.
const WAITS: u32 = 1;
/// Someone is about to offer work.
const CLAIMED: u32 = 2;
/// There is work, which may still be taken back.
const OFFERED: u32 = 3;
/// Its thread does it.
const TAKEN: u32 = 4;
/// It is done, and whoever offered it does not know yet.
const DONE: u32 = 5;

/// Someone's work, by its address.
#[derive(Clone, Copy)]
struct Job {
    at: *const (),
    run: unsafe fn(*const ()),
}

// SAFETY: `job` is written by the one that brought the state from `WAITS` to `CLAIMED`, before it is `OFFERED`, and read by the one that brought it
// from there to `TAKEN`
unsafe impl Sync for Desk {}
// SAFETY: what a job points to may be sent (`both` demands it), and outlives the job's stay on the desk
unsafe impl Send for Desk {}

impl Desks {
    pub(super) fn new(threads: usize) -> Arc<Desks> {
        let desk = |_| Desk { state: AtomicU32::new(AWAY), job: UnsafeCell::new(None) };
        Arc::new(Desks((1..threads).map(desk).collect()))
    }

    pub(super) fn desk(&self, number: usize) -> Option<&Desk> {
        self.0.get(number.checked_sub(1)?)
    }
}

impl Desk {
    fn turn(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Its thread comes to wait.
    pub(super) fn come(&self) {
        self.state.store(WAITS, Ordering::Release);
    }

    /// Its thread goes, unless someone is about to have work for it.
    pub(super) fn leave(&self) -> bool {
        self.turn(WAITS, AWAY)
    }

    /// Its thread does what it finds.
    pub(super) fn look(&self) -> bool {
        if self.state.load(Ordering::Relaxed) != OFFERED || !self.turn(OFFERED, TAKEN) {
            return false;
        }
        // SAFETY: the state is `TAKEN`: whoever wrote the job has offered it, and waits for it to be done
        unsafe {
            if let Some(job) = *self.job.get() {
                (job.run)(job.at);
            }
        }
        self.state.store(DONE, Ordering::Release);
        true
    }
}

/// The desks of the work that a thread takes part in, and its own number there.
type Seat = Option<(*const Desks, usize)>;

thread_local! {
    static SEAT: Cell<Seat> = const { Cell::new(None) };
}

/// Does this as the thread of that number.
pub(super) fn seated<T>(desks: &Arc<Desks>, number: usize, work: impl FnOnce() -> T) -> T {
    struct Back(Seat);
    impl Drop for Back {
        fn drop(&mut self) {
            SEAT.set(self.0);
        }
    }
    let _back = Back(SEAT.replace(Some((Arc::as_ptr(desks), number))));
    work()
}

/// Half of some work, kept by who offers it.
struct Half<B> {
    work: Cell<Option<B>>,
    failure: Cell<Option<Box<dyn Any + Send>>>,
}

impl<B: FnOnce()> Half<B> {
    /// # Safety
    /// `at` is a half that nobody else touches meanwhile.
    unsafe fn run(at: *const ()) {
        // SAFETY: as the caller promises
        let half = unsafe { &*at.cast::<Self>() };
        if let Some(work) = half.work.take() {
            half.failure.set(catch_unwind(AssertUnwindSafe(work)).err());
        }
    }
}

/// Does both: `a` here and `b` on the thread so many numbers on, if that waits for work; else as rayon does.
pub(super) fn both<A: FnOnce() + Send, B: FnOnce() + Send>(on: usize, a: A, b: B) {
    let seat = SEAT.get();
    // SAFETY: the desks live as long as the seat is taken, and that is longer than this call
    let desk = seat.and_then(|(desks, own)| unsafe { &*desks }.desk(own + on));
    let Some(desk) = desk.filter(|d| d.turn(WAITS, CLAIMED)) else {
        rayon::join(a, b);
        return;
    };
    let half = Half { work: Cell::new(Some(b)), failure: Cell::new(None) };
    // SAFETY: the state is `CLAIMED`, by this thread
    unsafe { *desk.job.get() = Some(Job { at: (&raw const half).cast(), run: Half::<B>::run }) };
    desk.state.store(OFFERED, Ordering::Release);
    // from here to the end of `settle` the desk knows `half`: nothing may leave in between
    let own = catch_unwind(AssertUnwindSafe(a));
    settle(desk);
    if let Err(failure) = own.and(half.failure.take().map_or(Ok(()), Err)) {
        resume_unwind(failure);
    }
    // taken back
    if let Some(b) = half.work.take() {
        b();
    }
}

/// Takes the work back, or waits until it is done.
fn settle(desk: &Desk) {
    if desk.turn(OFFERED, WAITS) {
        return;
    }
    let since = Instant::now();
    while desk.state.load(Ordering::Acquire) != DONE {
        if since.elapsed() < EAGER {
            std::hint::spin_loop();
        } else if !matches!(rayon::yield_now(), Some(rayon::Yield::Executed)) {
            std::thread::yield_now();
        }
    }
    desk.come();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    /// With a thread at the desk: what it takes and what is taken back are done once, and failures come through.
    #[test]
    fn both_halves_are_done_once() {
        let (desks, end) = (Desks::new(2), AtomicBool::new(false));
        std::thread::scope(|s| {
            s.spawn(|| {
                let Some(desk) = desks.desk(1) else { return };
                desk.come();
                while !end.load(Ordering::Acquire) {
                    desk.look();
                    std::thread::yield_now();
                }
            });
            let done = AtomicUsize::new(0);
            let add = || {
                done.fetch_add(1, Ordering::Release);
            };
            let fails = |fails: bool| assert!(!fails, "it fails");
            seated(&desks, 0, || {
                while desks.desk(1).is_some_and(|d| d.state.load(Ordering::Acquire) != WAITS) {
                    std::thread::yield_now();
                }
                for i in 0..200 {
                    // at its desk: this one ends only when the other has taken its half
                    let before = done.load(Ordering::Acquire);
                    both(
                        1,
                        || {
                            while done.load(Ordering::Acquire) == before {
                                std::thread::yield_now()
                            }
                        },
                        add,
                    );
                    // too short, mostly: taken back
                    both(1, || (), add);
                    assert_eq!(done.load(Ordering::Acquire), 2 * i + 2);
                }
                // a number without a desk
                both(7, add, add);
                for (a, b) in [(true, false), (false, true), (true, true)] {
                    assert!(catch_unwind(AssertUnwindSafe(|| both(1, || fails(a), || fails(b)))).is_err());
                }
                assert_eq!(done.load(Ordering::Acquire), 402);
                both(1, add, add);
                assert_eq!(done.load(Ordering::Acquire), 404);
            });
            assert!(SEAT.get().is_none());
            end.store(true, Ordering::Release);
        });
        assert!(desks.desk(1).is_some_and(Desk::leave), "nothing is left on the desk");
    }
}
