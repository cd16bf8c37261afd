//! One thread for all workers that wait: whenever something has changed it looks who may go on, and it looks who is late.

use crate::error::Result;
use crate::exchange::{Hello, Welcome};
use crate::server::clocks::Joined;
use crate::server::shared::{Server, Wish as Asked};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a worker waits for, and where it wants to be told.
pub(super) enum Wish {
    Place { hello: Hello, joined: Joined, answer: oneshot::Sender<Result<Welcome>> },
    Parameters { rank: usize, incarnation: u64, clock: u64, answer: oneshot::Sender<Result<Asked>> },
}

#[derive(Default)]
pub(super) struct Bell {
    inbox: Mutex<Inbox>,
    rung: Condvar,
}

#[derive(Default)]
struct Inbox {
    new: Vec<Wish>,
    /// How often it has rung.
    rings: u64,
    closed: bool,
}

impl Bell {
    /// A bell for this server, with the thread that hears it.
    pub fn hang(server: &Server) -> std::io::Result<Arc<Bell>> {
        let bell = Arc::new(Bell::default());
        let rings = Arc::downgrade(&bell);
        server.on_move(move || {
            if let Some(bell) = rings.upgrade() {
                bell.ring();
            }
        });
        let (server, hears) = (server.clone(), bell.clone());
        std::thread::Builder::new().name("gradus-waiting".into()).spawn(move || hears.answer(&server))?;
        Ok(bell)
    }

    /// Lets a worker wait.
    pub fn wish(&self, wish: Wish) {
        let mut inbox = self.lock();
        if !inbox.closed {
            inbox.new.push(wish);
            inbox.rings += 1;
            self.rung.notify_all();
        }
    }

    /// Something has changed.
    fn ring(&self) {
        self.lock().rings += 1;
        self.rung.notify_all();
    }

    /// Sends all away that wait: their answers are dropped.
    pub fn close(&self) {
        let mut inbox = self.lock();
        inbox.closed = true;
        inbox.new.clear();
        self.rung.notify_all();
    }

    /// Waits until it rings, so long at most.
    pub fn next_ring(&self, most: Duration) {
        let inbox = self.lock();
        let before = inbox.rings;
        // rung between the caller's look and this, it would not be heard
        let most = most.min(Duration::from_millis(100));
        let _ = self.rung.wait_timeout_while(inbox, most, |i| i.rings == before && !i.closed);
    }

    fn answer(&self, server: &Server) {
        let every = Duration::from_secs_f64(server.look_every());
        let (mut waiting, mut heard, mut looked): (Vec<Wish>, u64, Instant) = (vec![], 0, Instant::now());
        loop {
            let left = every.saturating_sub(looked.elapsed());
            let wait = self.rung.wait_timeout_while(self.lock(), left, |i| i.rings == heard && !i.closed);
            let (mut inbox, _) = wait.unwrap_or_else(PoisonError::into_inner);
            if inbox.closed {
                return;
            }
            heard = inbox.rings;
            waiting.append(&mut inbox.new);
            drop(inbox);
            if looked.elapsed() >= every {
                looked = Instant::now();
                if let Err(e) = server.tick() {
                    crate::terminal::warn!("{e}");
                }
            }
            waiting = waiting.into_iter().filter_map(|wish| wish.grant(server)).collect();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wish {
    /// Answers if that can be; else the wish is still one.
    fn grant(self, server: &Server) -> Option<Wish> {
        // whoever does not listen any more has another wish, or is gone: something is awaited of it again
        match self {
            Wish::Place { hello, joined, answer } => match server.welcomed(&hello, joined).transpose() {
                None if answer.is_closed() => {
                    server.hung_up(hello.rank, joined.incarnation);
                    None
                }
                None => Some(Wish::Place { hello, joined, answer }),
                Some(told) => {
                    let _ = answer.send(told);
                    None
                }
            },
            Wish::Parameters { rank, incarnation, answer, .. } if answer.is_closed() => {
                server.hung_up(rank, incarnation);
                None
            }
            Wish::Parameters { rank, incarnation, clock, answer } => match server.wished(rank, incarnation, clock) {
                Ok(Asked::Waits) => Some(Wish::Parameters { rank, incarnation, clock, answer }),
                asked => {
                    let _ = answer.send(asked);
                    None
                }
            },
        }
    }
}
