//! The core's clock. A page in a browser has none and cannot wait: there the core works without.

#[cfg(not(target_arch = "wasm32"))]
mod machine {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// Seconds since the first look at the clock. They never run backwards. None where there is no clock.
    pub(crate) fn now() -> Option<f64> {
        Some(START.elapsed().as_secs_f64())
    }

    /// Waits for so many seconds, at least 0; not at all where there is no clock.
    pub(crate) fn pause(seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
}

#[cfg(target_arch = "wasm32")]
mod machine {
    pub(crate) fn now() -> Option<f64> {
        None
    }

    pub(crate) fn pause(_seconds: f64) {}
}

pub(crate) use machine::{now, pause};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_passes_on_the_clock() {
        let before = now().unwrap();
        pause(0.02);
        let passed = now().unwrap() - before;
        assert!((0.02..10.0).contains(&passed), "{passed}");
    }
}
