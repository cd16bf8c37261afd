//! What a test needs from the machine, and the line that each suite ends with: nothing is skipped in silence.
#![allow(dead_code)]

use gradus::train::Device;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

/// Counts the cases of a test binary; the last one writes `name: run of total run`, past the harness' capture.
pub struct Suite {
    name: &'static str,
    total: usize,
    seen: Mutex<(usize, usize, String)>,
}

impl Suite {
    pub const fn new(name: &'static str, total: usize) -> Self {
        Suite { name, total, seen: Mutex::new((0, 0, String::new())) }
    }

    pub fn ran(&self, cases: usize) {
        self.count(cases, 0, "");
    }

    pub fn skipped(&self, cases: usize, why: &str) {
        self.count(0, cases, why);
    }

    fn count(&self, ran: usize, skipped: usize, why: &str) {
        let mut s = self.seen.lock().unwrap();
        (s.0, s.1) = (s.0 + ran, s.1 + skipped);
        if !why.is_empty() {
            s.2 = format!(": {why}");
        }
        if s.0 + s.1 >= self.total {
            past_capture(&format!("{}: {} of {} run{}\n", self.name, s.0, self.total, s.2));
        }
    }

    /// The CPU, and lavapipe where it is. Without it the case counts as skipped, or fails where `GRADUS_REQUIRE_GPU=1` is set.
    pub fn devices(&self) -> Vec<Device> {
        let mut all = vec![Device::cpu()];
        match Device::select("software") {
            Ok(d) => all.push(d),
            Err(e) => {
                assert!(std::env::var("GRADUS_REQUIRE_GPU").as_deref() != Ok("1"), "GRADUS_REQUIRE_GPU=1 and {e}");
                self.skipped(1, "no Vulkan adapter. Debian/Ubuntu: apt install mesa-vulkan-drivers");
            }
        }
        all
    }

    /// The folder that `GRADUS_DATA` names; without it the cases count as skipped.
    pub fn data(&self, cases: usize) -> Option<PathBuf> {
        let dir = std::env::var_os("GRADUS_DATA").map(PathBuf::from);
        if dir.is_none() {
            self.skipped(cases, "no data: set GRADUS_DATA to a folder that holds mnist/");
        }
        dir
    }
}

/// Writes where libtest does not look.
fn past_capture(text: &str) {
    match std::fs::OpenOptions::new().append(true).open("/dev/stderr") {
        Ok(mut f) => drop(f.write_all(text.as_bytes())),
        Err(_) => eprint!("{text}"),
    }
}
