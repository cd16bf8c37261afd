//! Ctrl-C while `fit` runs, and SIGTERM, which clusters, containers and systemd send: the first asks for an end in good order, the second kills as ever.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static ASKED: AtomicBool = AtomicBool::new(false);
/// How many loops listen, and which handlers the first of them found.
static LISTENING: Mutex<(usize, Option<system::Before>)> = Mutex::new((0, None));

/// Whether there was a Ctrl-C or SIGTERM since the first of the loops that listen now began.
pub(crate) fn asked() -> bool {
    ASKED.load(SeqCst)
}

/// Listens until it is dropped. Where the program has a handler of its own that stays, and nothing is heard.
pub(crate) struct Interrupt;

impl Interrupt {
    pub fn listen() -> Self {
        let mut l = LISTENING.lock().unwrap_or_else(|e| e.into_inner());
        if l.0 == 0 {
            ASKED.store(false, SeqCst);
            l.1 = system::install();
        }
        l.0 += 1;
        Interrupt
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        let mut l = LISTENING.lock().unwrap_or_else(|e| e.into_inner());
        l.0 -= 1;
        if l.0 == 0
            && let Some(before) = l.1.take()
        {
            system::remove(before);
        }
    }
}

#[cfg(all(unix, feature = "ctrl-c"))]
mod system {
    use crate::train::interrupt::{ASKED, SeqCst};
    use std::mem::MaybeUninit;

    const SIGNALS: [libc::c_int; 2] = [libc::SIGINT, libc::SIGTERM];

    /// The earlier handler of each signal that has ours now.
    pub type Before = [Option<libc::sigaction>; SIGNALS.len()];

    extern "C" fn pressed(signal: libc::c_int) {
        if ASKED.swap(true, SeqCst) {
            // SAFETY: both calls are allowed in a signal handler.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
        }
    }

    /// Sets our handler for each signal that has none.
    pub fn install() -> Option<Before> {
        let before = SIGNALS.map(install_for);
        before.iter().any(Option::is_some).then_some(before)
    }

    fn install_for(signal: libc::c_int) -> Option<libc::sigaction> {
        // SAFETY: all zeros is a `sigaction` (no flags, an empty mask); the pointers are of this frame; `pressed` does what a handler may.
        unsafe {
            let mut before = MaybeUninit::<libc::sigaction>::zeroed();
            if libc::sigaction(signal, std::ptr::null(), before.as_mut_ptr()) != 0 {
                return None;
            }
            let before = before.assume_init();
            if before.sa_sigaction != libc::SIG_DFL {
                return None;
            }
            let mut ours = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            ours.sa_sigaction = pressed as extern "C" fn(libc::c_int) as libc::sighandler_t;
            ours.sa_flags = libc::SA_RESTART;
            (libc::sigaction(signal, &ours, std::ptr::null_mut()) == 0).then_some(before)
        }
    }

    pub fn remove(before: Before) {
        for (signal, before) in SIGNALS.into_iter().zip(before) {
            if let Some(before) = before {
                // SAFETY: `before` is what the system gave.
                unsafe {
                    libc::sigaction(signal, &before, std::ptr::null_mut());
                }
            }
        }
    }
}

#[cfg(all(windows, feature = "ctrl-c"))]
mod system {
    use crate::train::interrupt::{ASKED, SeqCst};

    pub type Before = ();

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn SetConsoleCtrlHandler(handler: Option<unsafe extern "system" fn(u32) -> i32>, add: i32) -> i32;
    }

    /// The first Ctrl-C (0) is taken care of; the system kills at the second.
    unsafe extern "system" fn pressed(event: u32) -> i32 {
        i32::from(event == 0 && !ASKED.swap(true, SeqCst))
    }

    pub fn install() -> Option<Before> {
        // SAFETY: the handler lives for ever, and runs on a thread of its own.
        (unsafe { SetConsoleCtrlHandler(Some(pressed), 1) } != 0).then_some(())
    }

    pub fn remove(_: Before) {
        // SAFETY: it was added.
        unsafe { SetConsoleCtrlHandler(Some(pressed), 0) };
    }
}

#[cfg(not(all(any(unix, windows), feature = "ctrl-c")))]
mod system {
    pub type Before = ();

    pub fn install() -> Option<Before> {
        None
    }
    pub fn remove(_: Before) {}
}
