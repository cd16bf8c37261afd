use super::*;
use crate::rng::Philox;

const MODES: [Mode; 5] =
    [Mode::Sync, Mode::SemiAsync { staleness: 1 }, Mode::SemiAsync { staleness: 3 }, Mode::Async, Mode::Local { every: 4 }];

/// A worker of the walk below.
#[derive(Clone, Copy, Default)]
struct Walker {
    joined: Option<Joined>,
    clock: u64,
    has: bool,
    done: bool,
}

/// Workers that come, pull, push, die, hang and come again in any order: nobody is ahead of the bound, no clock is gathered twice or left out, and whoever
/// lives comes to the end.
#[test]
fn whatever_workers_do_the_rule_holds() {
    for mode in MODES {
        for seed in 0..60 {
            walk(mode, seed);
        }
    }
}

fn walk(mode: Mode, seed: u64) {
    const LENGTH: u64 = 12;
    let (mut random, workers) = (Philox::new(seed, "clocks"), 1 + seed as usize % 4);
    let mut below = |n: usize| (random.uniform() * n as f64) as usize;
    let mut clocks = Clocks::new(workers, mode);
    clocks.set_length(LENGTH);
    let mut all = vec![Walker::default(); workers];
    let (mut gathered, mut now, mut least, mut pushes) = (vec![], 0.0, 0, 0u64);
    for step in 0..20_000 {
        if all.iter().all(|w| w.done) {
            break;
        }
        now += 0.01;
        let rank = below(workers);
        let calm = step > 2_000;
        let w = &mut all[rank];
        let complete = match (w.joined, below(20)) {
            (None, _) if w.done => None,
            (None, _) => {
                let joined = clocks.join(rank, now).unwrap();
                clocks.enter(rank, joined.incarnation, now).unwrap();
                *w = Walker { joined: Some(joined), clock: joined.clock, ..Walker::default() };
                joined.complete
            }
            // it dies: the server is told, or learns it by the deadline
            (Some(j), 0) if !calm => {
                *w = Walker::default();
                clocks.leave(rank, j.incarnation, false, now).unwrap()
            }
            (Some(_), 1) if !calm => {
                *w = Walker::default();
                None
            }
            (Some(j), _) if w.has => match clocks.push(rank, j.incarnation, w.clock, 0, now).unwrap() {
                Pushed::Rejoins => {
                    *w = Walker::default();
                    None
                }
                pushed => {
                    (w.clock, w.has, pushes) = (w.clock + 1, false, pushes + 1);
                    assert_eq!(clocks.push(rank, j.incarnation, w.clock - 1, 0, now), Ok(Pushed::Known));
                    assert_eq!(clocks.push(rank, j.incarnation, w.clock, 0, now), Ok(Pushed::Rejoins), "no parameters were given for it");
                    if let Pushed::Complete { clock } = pushed { Some(clock) } else { None }
                }
            },
            (Some(j), _) => {
                match clocks.pull(rank, j.incarnation, w.clock, now).unwrap() {
                    Asked::Granted if w.clock == LENGTH => {
                        w.done = true;
                        assert!(clocks.least() >= LENGTH);
                        clocks.leave(rank, j.incarnation, true, now).unwrap();
                    }
                    Asked::Granted => {
                        assert!(mode.bound().is_none_or(|s| w.clock <= clocks.least() + s), "{mode}, seed {seed}: beyond the bound");
                        w.has = true;
                    }
                    Asked::Waits => {}
                    Asked::Rejoins => *w = Walker::default(),
                }
                None
            }
        };
        gathered.extend(complete);
        // somebody looks from time to time
        if step % 50 == 0 {
            let (lost, complete) = clocks.tick(now, 5.0);
            gathered.extend(complete);
            assert!(lost.iter().all(|rank| *rank < workers));
        }
        assert!(clocks.least() >= least, "{mode}, seed {seed}: the least has fallen");
        least = clocks.least();
        assert!(mode.bound().is_none_or(|s| clocks.greatest_staleness() <= s));
    }
    assert!(all.iter().all(|w| w.done) && clocks.is_done(), "{mode}, seed {seed}: somebody waits for ever: {:?}", clocks.clocks());
    if mode.gathers() {
        assert!(gathered.windows(2).all(|w| w[0] < w[1]), "{mode}, seed {seed}: {gathered:?}");
        assert!(mode != Mode::Sync || gathered == (0..LENGTH).collect::<Vec<_>>(), "{gathered:?}");
        assert_eq!(gathered.last(), Some(&(LENGTH - 1)));
    }
    assert!(mode != Mode::Sync || pushes == LENGTH * workers as u64, "a push was counted twice, or lost");
}

/// Three workers by hand: who waits for whom.
#[test]
fn a_bound_of_two_is_two() {
    let mut clocks = Clocks::new(2, Mode::SemiAsync { staleness: 2 });
    let a = clocks.join(0, 0.0).unwrap();
    assert_eq!(clocks.pull(0, a.incarnation, 0, 0.0), Ok(Asked::Waits), "the other has not come");
    let b = clocks.join(1, 0.0).unwrap();
    for clock in 0..3 {
        assert_eq!(clocks.pull(0, a.incarnation, clock, 0.0), Ok(Asked::Granted));
        assert_eq!(clocks.push(0, a.incarnation, clock, 0, 0.0), Ok(Pushed::Alone { age: 0 }));
    }
    assert_eq!(clocks.pull(0, a.incarnation, 3, 0.0), Ok(Asked::Waits));
    assert_eq!(clocks.pull(1, b.incarnation, 0, 0.0), Ok(Asked::Granted));
    clocks.updated();
    assert_eq!(clocks.push(1, b.incarnation, 0, 0, 0.0), Ok(Pushed::Alone { age: 1 }));
    assert_eq!(clocks.pull(0, a.incarnation, 3, 0.0), Ok(Asked::Granted));
    assert_eq!(clocks.greatest_staleness(), 2);
    assert_eq!(clocks.pull(0, a.incarnation - 1, 3, 0.0), Err(Refusal::Replaced));
    assert_eq!(clocks.pull(7, 1, 3, 0.0), Err(Refusal::NoSuchRank));
}

/// Where one does not come the others begin without it after the deadline, and those that wait for it are not late themselves.
#[test]
fn an_absentee_is_gone_on_without() {
    for mode in MODES {
        let mut clocks = Clocks::new(3, mode);
        let [a, b] = [0, 1].map(|rank| clocks.join(rank, 0.0).unwrap());
        assert_eq!(clocks.tick(4.0, 5.0), (vec![], None));
        assert_eq!(clocks.tick(6.0, 5.0), (vec![2], None), "{mode}");
        assert_eq!(clocks.has_begun(), mode != Mode::Sync);
        if mode == Mode::Sync {
            continue;
        }
        let mut all = vec![];
        for (rank, w) in [a, b].into_iter().enumerate() {
            assert_eq!(clocks.pull(rank, w.incarnation, 0, 7.0), Ok(Asked::Granted), "{mode}");
            all.push(clocks.push(rank, w.incarnation, 0, 0, 7.0).unwrap());
        }
        assert!(!mode.gathers() || all == [Pushed::Held, Pushed::Complete { clock: 0 }]);
        // and when it comes after all it begins with the slowest; without a bound at its own clock
        let late = clocks.join(2, 8.0).unwrap();
        assert_eq!(late.clock, u64::from(mode.bound().is_some()), "{mode}");
    }
}

/// One that dies after its push and before it asks again is late, too.
#[test]
fn silence_after_a_push_is_noticed() {
    let mut clocks = Clocks::new(2, Mode::Local { every: 3 });
    let [a, b] = [0, 1].map(|rank| clocks.join(rank, 0.0).unwrap());
    for (rank, w) in [a, b].into_iter().enumerate() {
        clocks.pull(rank, w.incarnation, 0, 0.0).unwrap();
        clocks.push(rank, w.incarnation, 0, 0, 0.0).unwrap();
    }
    clocks.pull(0, a.incarnation, 1, 1.0).unwrap();
    assert_eq!(clocks.push(0, a.incarnation, 1, 1, 5.0), Ok(Pushed::Held));
    assert_eq!(clocks.pull(0, a.incarnation, 2, 5.0), Ok(Asked::Waits));
    assert_eq!(clocks.tick(6.1, 6.0), (vec![1], Some(1)), "the other one's push of clock 1 is all there will be");
    assert_eq!(clocks.pull(0, a.incarnation, 2, 6.1), Ok(Asked::Granted));
    assert_eq!(clocks.pull(1, b.incarnation, 1, 7.0), Ok(Asked::Rejoins), "it was given up: it must come again");
    assert_eq!(clocks.join(1, 7.0).unwrap().clock, 2);
}

/// Gradients that wait for somebody who never comes back make their update as soon as that is known.
#[test]
fn what_was_held_is_not_forgotten() {
    let mut clocks = Clocks::new(2, Mode::Local { every: 3 });
    let [a, b] = [0, 1].map(|rank| clocks.join(rank, 0.0).unwrap());
    for (rank, w) in [a, b].into_iter().enumerate() {
        clocks.pull(rank, w.incarnation, 0, 0.0).unwrap();
    }
    assert_eq!(clocks.push(0, a.incarnation, 0, 0, 1.0), Ok(Pushed::Held));
    assert_eq!(clocks.leave(0, a.incarnation, false, 1.0), Ok(None));
    assert_eq!(clocks.leave(1, b.incarnation, false, 1.0), Ok(None));
    assert_eq!(clocks.join(0, 2.0).unwrap(), Joined { clock: 1, incarnation: 2, complete: Some(0) });
}

/// In step, one that leaves is waited for until the deadline, and then named.
#[test]
fn in_step_one_that_leaves_is_missed() {
    let mut clocks = Clocks::new(2, Mode::Sync);
    let [_, b] = [0, 1].map(|rank| clocks.join(rank, 0.0).unwrap());
    assert_eq!(clocks.leave(1, b.incarnation, false, 1.0), Ok(None));
    assert_eq!(clocks.tick(5.0, 5.0), (vec![], None));
    assert_eq!(clocks.tick(6.1, 5.0), (vec![1], None));
}

/// A worker that has gone back to the clock of another server is given parameters for what is here already, and what it pushes then changes nothing.
#[test]
fn what_is_here_may_be_asked_for_again() {
    let mut clocks = Clocks::new(2, Mode::Sync);
    let [a, b] = [0, 1].map(|rank| clocks.join(rank, 0.0).unwrap());
    for (rank, w) in [a, b].into_iter().enumerate() {
        clocks.pull(rank, w.incarnation, 0, 0.0).unwrap();
        clocks.push(rank, w.incarnation, 0, 0, 0.0).unwrap();
    }
    clocks.pull(0, a.incarnation, 1, 1.0).unwrap();
    assert_eq!(clocks.push(0, a.incarnation, 1, 1, 1.0), Ok(Pushed::Held));
    let a = clocks.join(0, 2.0).unwrap();
    assert_eq!(a.clock, 2);
    for clock in 0..2 {
        assert_eq!(clocks.pull(0, a.incarnation, clock, 3.0), Ok(Asked::Granted), "the other's push is not waited for");
        assert_eq!(clocks.push(0, a.incarnation, clock, 1, 3.0), Ok(Pushed::Known));
    }
    assert_eq!(clocks.push(0, a.incarnation, 2, 1, 3.0), Ok(Pushed::Rejoins), "no parameters were given for it");
    assert_eq!(clocks.pull(0, a.incarnation, 2, 3.0), Ok(Asked::Waits));
    assert_eq!(clocks.pull(1, b.incarnation, 1, 3.0), Ok(Asked::Granted));
    assert_eq!(clocks.push(1, b.incarnation, 1, 1, 3.0), Ok(Pushed::Complete { clock: 1 }));
    assert_eq!(clocks.pull(0, a.incarnation, 2, 3.0), Ok(Asked::Granted));
    assert_eq!(clocks.push(0, a.incarnation, 2, 2, 3.0), Ok(Pushed::Held));
}
