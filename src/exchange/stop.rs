//! A wait that somebody else can end.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
#[cfg(feature = "dist")]
use std::sync::{Mutex, PoisonError};
#[cfg(feature = "dist")]
use std::task::{Context, Waker};

/// Tells whoever waits for parameters that nobody wants them any more.
#[derive(Debug, Default)]
pub struct Stop {
    raised: AtomicBool,
    /// Those who are to be woken.
    #[cfg(feature = "dist")]
    wakers: Mutex<Vec<Waker>>,
}

impl Stop {
    /// Ends all waits, those to come too.
    pub fn raise(&self) {
        self.raised.store(true, SeqCst);
        #[cfg(feature = "dist")]
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(Waker::wake);
    }

    /// Whether a wait is to end.
    pub fn is_raised(&self) -> bool {
        self.raised.load(SeqCst)
    }

    /// As [`Stop::is_raised`]; if not, the task is woken once it is.
    #[cfg(feature = "dist")]
    pub(crate) fn poll(&self, cx: &Context<'_>) -> bool {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        // looked at under the lock: whoever raises it drains after that
        if !self.is_raised() && !wakers.iter().any(|w| w.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        self.is_raised()
    }
}
