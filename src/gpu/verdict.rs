//! What the self-test of the cooperative matrices found, kept on disk beside the pipelines, so that a process need not repeat it.
//!
//! Only that they are right is kept, and with how many lanes. The file counts for one adapter, driver, version of gradus, build of wgpu and the very
//! texts that were tried: under any other the test runs again, as it does where the file is damaged.

use super::adapter::AdapterSummary;
use super::pipeline_cache::{CacheFile, folder, sum};
use crate::kernels::CoopCaps;
use std::any::TypeId;
use std::path::PathBuf;

/// Which wgpu makes pipelines of the texts. It tells no version, naga's neither; but a type's number changes with the crate that defines it, and cargo
/// tells crates apart by their own version and those of all that they depend on. (So do profiles and compilers: then the test runs once more.)
fn translator() -> String {
    format!("{:?}", TypeId::of::<wgpu::Device>())
}

/// Where the verdict on these matrices is kept.
pub(super) struct KeptVerdict(CacheFile);

impl KeptVerdict {
    /// Of the matrices that passed with these texts; `None` where the user wants no such files, or the adapter has no name for them.
    pub(super) fn of(summary: &AdapterSummary, texts: &[String]) -> Option<Self> {
        Self::within(folder(&crate::cache::environment)?, summary, &translator(), texts)
    }

    fn within(dir: PathBuf, summary: &AdapterSummary, translator: &str, texts: &[String]) -> Option<Self> {
        let all: Vec<&[u8]> = texts.iter().map(|t| t.as_bytes()).collect();
        let robust = if summary.robust { "robust" } else { "not robust" };
        let what = format!("{robust}, lists {}, wgpu {translator}, texts {:016x}", summary.matrices.join(", "), sum(&all));
        Some(KeptVerdict(CacheFile::of(summary, dir, "matrices", &what)?))
    }

    /// Which of the candidates was right, if the file says so.
    pub(super) fn load(&self, candidates: &[CoopCaps]) -> Option<CoopCaps> {
        let lanes = u32::from_le_bytes(self.0.load()?.try_into().ok()?);
        candidates.iter().find(|c| u32::try_from(c.lanes) == Ok(lanes)).copied()
    }

    pub(super) fn store(&self, caps: &CoopCaps) {
        if let Ok(lanes) = u32::try_from(caps.lanes) {
            self.0.store(&lanes.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::adapters;

    /// Taken is what was kept of the same adapter and texts, and nothing else.
    #[test]
    fn only_its_own_verdict_is_taken() {
        let Some(summary) = adapters().pop() else {
            assert!(std::env::var("GRADUS_REQUIRE_GPU").as_deref() != Ok("1"), "no adapter");
            return eprintln!("skipped: no adapter");
        };
        let dir = tempfile::tempdir().unwrap();
        let candidates = [64, 32].map(|lanes| CoopCaps { side: 16, lanes, workgroup_bytes: 48 << 10, threads: 256 });
        let by = |translator: &str, summary: &AdapterSummary, texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|t| t.to_string()).collect();
            KeptVerdict::within(dir.path().into(), summary, translator, &texts).unwrap()
        };
        let of = |summary: &AdapterSummary, texts: &[&str]| by(&translator(), summary, texts);
        let own = of(&summary, &["one", "two"]);
        assert_eq!(own.load(&candidates), None);
        own.store(&candidates[1]);
        assert_eq!(own.load(&candidates), Some(candidates[1]));
        // lanes that no candidate has any more
        assert_eq!(own.load(&candidates[..1]), None);
        let driver = AdapterSummary { driver: "another".into(), ..summary.clone() };
        let robust = AdapterSummary { robust: false, ..summary.clone() };
        let (text, driver, robust) = (of(&summary, &["one", "two."]), of(&driver, &["one", "two"]), of(&robust, &["one", "two"]));
        let others = [text, driver, robust, by("another naga", &summary, &["one", "two"])];
        for other in &others {
            assert_eq!(other.load(&candidates), None);
            // even under the other's name
            std::fs::copy(own.0.path(), other.0.path()).unwrap();
            assert_eq!(other.load(&candidates), None);
        }
        // damaged, cut off, of another length, and whole again
        let good = std::fs::read(own.0.path()).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(own.0.path(), &bad).unwrap();
            assert_eq!(own.load(&candidates), None, "byte {at}");
            std::fs::write(own.0.path(), &good[..at]).unwrap();
            assert_eq!(own.load(&candidates), None, "cut to {at}");
        }
        own.0.store(&[32, 0, 0, 0, 0]);
        assert_eq!(own.load(&candidates), None);
        own.store(&candidates[0]);
        assert_eq!(own.load(&candidates), Some(candidates[0]));
    }
}
