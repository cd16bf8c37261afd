//! Wakes futures when what they wait for has ended. Natively nobody tells a program so: a thread asks the device, begun by the first future that
//! waits. In a browser the page's event loop does it.

#[cfg(not(target_arch = "wasm32"))]
pub(super) use machine::Alarm;
#[cfg(target_arch = "wasm32")]
pub(super) use page::Alarm;

#[cfg(not(target_arch = "wasm32"))]
mod machine {
    use crate::gpu::sync::lock;
    use std::sync::{Arc, Condvar, Mutex, PoisonError};
    use std::task::Waker;
    use std::thread::JoinHandle;
    use std::time::Duration;

    /// How long to wait for a submit before it is seen whether the alarm is still wanted.
    const PATIENCE: Duration = Duration::from_millis(50);

    /// The alarm of a device.
    pub(in crate::gpu) struct Alarm {
        device: wgpu::Device,
        calls: Arc<Calls>,
        thread: Mutex<Option<JoinHandle<()>>>,
    }

    /// A future that waits for a submit.
    struct Call {
        /// Tells the submits of all sessions apart.
        number: u64,
        index: wgpu::SubmissionIndex,
        waker: Waker,
    }

    #[derive(Default)]
    struct Calls {
        open: Mutex<Open>,
        bell: Condvar,
    }

    #[derive(Default)]
    struct Open {
        waiting: Vec<Call>,
        closed: bool,
    }

    impl Alarm {
        pub fn new(device: &wgpu::Device) -> Self {
            Alarm { device: device.clone(), calls: Arc::default(), thread: Mutex::default() }
        }

        /// Wakes when this submit has ended.
        pub fn set(&self, number: u64, index: &wgpu::SubmissionIndex, waker: &Waker) {
            let mut open = lock(&self.calls.open);
            if open.waiting.iter().any(|c| c.number == number && c.waker.will_wake(waker)) {
                return;
            }
            open.waiting.push(Call { number, index: index.clone(), waker: waker.clone() });
            drop(open);
            self.calls.bell.notify_one();
            let mut thread = lock(&self.thread);
            if thread.is_none() {
                let (device, calls) = (self.device.clone(), self.calls.clone());
                let begun = std::thread::Builder::new().name("gradus-alarm".into()).spawn(move || calls.answer(&device));
                *thread = begun.ok();
            }
            if thread.is_none() {
                waker.wake_by_ref(); // without a thread the future asks at each turn of its executor
            }
        }
    }

    impl Drop for Alarm {
        /// Waits for the thread: the device shall be gone when its last owner is.
        fn drop(&mut self) {
            lock(&self.calls.open).closed = true;
            self.calls.bell.notify_one();
            if let Some(thread) = lock(&self.thread).take() {
                drop(thread.join());
            }
        }
    }

    impl Calls {
        /// Answers one call after another until the alarm is dropped.
        fn answer(&self, device: &wgpu::Device) {
            while let Some((number, index)) = self.next() {
                let how = wgpu::PollType::Wait { submission_index: Some(index), timeout: Some(PATIENCE) };
                // what goes wrong here the future will meet itself
                let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.poll(how)));
                if !matches!(polled, Ok(Err(wgpu::PollError::Timeout))) {
                    self.wake(number);
                }
            }
        }

        /// The submit of the oldest call, once there is one; none when the alarm is dropped.
        fn next(&self) -> Option<(u64, wgpu::SubmissionIndex)> {
            let mut open = lock(&self.open);
            loop {
                if open.closed {
                    return None;
                }
                if let Some(c) = open.waiting.first() {
                    return Some((c.number, c.index.clone()));
                }
                open = self.bell.wait(open).unwrap_or_else(PoisonError::into_inner);
            }
        }

        fn wake(&self, number: u64) {
            let due: Vec<Call> = lock(&self.open).waiting.extract_if(.., |c| c.number == number).collect();
            due.into_iter().for_each(|c| c.waker.wake());
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod page {
    use std::task::Waker;

    pub(in crate::gpu) struct Alarm;

    impl Alarm {
        pub fn new(_: &wgpu::Device) -> Self {
            Alarm
        }

        pub fn set(&self, _: u64, _: &wgpu::SubmissionIndex, waker: &Waker) {
            waker.wake_by_ref();
        }
    }
}
