//! The two faces of an engine. All that may have to wait for the device is an `async fn`: the `_async` face hands it to the caller's executor and
//! lets go of the thread, the blocking face polls it itself and waits for the device in between.

use super::engine::Engine;
use super::journal::Arenas;
use crate::error::Result;
use crate::plan::{BufferId, LogLine, Ticket};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};

/// Tells the blocking face from any executor: whoever polls with this waker wants to wait.
static WAITS: LazyLock<Waker> = LazyLock::new(|| Arc::new(Waits).into());

struct Waits;

impl Wake for Waits {
    fn wake(self: Arc<Self>) {}
}

/// The blocking face: does the work now, on this thread.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut cx = Context::from_waker(&WAITS);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

impl Engine {
    /// Waits until more of what is under way has ended, or lets go of the thread until then.
    pub async fn idle(&mut self) -> Result<()> {
        let mut gone = false;
        let turn = poll_fn(|cx| {
            if cx.waker().will_wake(&WAITS) {
                return Poll::Ready(self.session.wait());
            }
            if std::mem::replace(&mut gone, true) {
                return Poll::Ready(self.session.progress());
            }
            self.session.wake(cx.waker());
            Poll::Pending
        });
        turn.await
    }

    /// Reads words of a buffer, after all that was queued.
    pub async fn read(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u32>> {
        let read = self.session.start_read(buffer, offset, len)?;
        loop {
            if let Some(words) = self.session.take_read(&read)? {
                return Ok(words);
            }
            self.idle().await?;
        }
    }

    /// Reads buffers whole, each of so many words.
    pub async fn read_all(&mut self, wanted: &[(BufferId, usize)]) -> Result<Arenas> {
        let mut arenas = Arenas::new();
        for &(id, len) in wanted {
            arenas.insert(id, self.read(id, 0, len).await?);
        }
        Ok(arenas)
    }

    /// The log lines of a submit.
    pub async fn log(&mut self, ticket: Ticket) -> Result<Vec<LogLine>> {
        loop {
            if let Some(lines) = self.session.take_log(ticket)? {
                return Ok(lines);
            }
            self.idle().await?;
        }
    }
}

/// Lets an executor do other work for a moment; the blocking face goes on at once.
pub(crate) async fn breathe() {
    let mut gone = false;
    let turn = poll_fn(|cx| {
        if cx.waker().will_wake(&WAITS) || std::mem::replace(&mut gone, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    turn.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocking_face_never_lets_go_and_an_executor_gets_its_turns() {
        let work = || async {
            for _ in 0..3 {
                breathe().await;
            }
            7
        };
        let mut polls = 0;
        let mut counted = pin!(work());
        assert_eq!(
            wait_for(poll_fn(|cx| {
                polls += 1;
                counted.as_mut().poll(cx)
            })),
            7
        );
        assert_eq!(polls, 1);
        let (mut polls, mut work) = (0, pin!(work()));
        while work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            polls += 1;
        }
        assert_eq!(polls, 3);
    }
}
