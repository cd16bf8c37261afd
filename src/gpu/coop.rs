//! What an adapter says of its cooperative matrices (tensor cores), and what gradus knows of them.
//!
//! Drivers are known to lie here, and wgpu compares no shader with the adapter's list of shapes. So a device is opened with the feature only where
//! the list has a shape that our kernel uses, and the self-test compares the kernel's products with sums on the host before the first program
//! uses it.

use super::adapter::AdapterSummary;
use super::pipeline::Rewrite;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::kernels::{Archetype, CoopCaps, CoopTile, GemmCoop};
use std::fmt;
use std::sync::Mutex;
use wgpu::wgt::{CooperativeMatrixProperties, CooperativeScalarType as Scalar};

/// What is known of a device's cooperative matrices (tensor cores).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coop {
    /// It has none that the kernels can use.
    None {
        /// What is missing.
        why: String,
    },
    /// It has some, and they gave wrong products in the self-test.
    Refused {
        /// What was wrong.
        why: String,
    },
    /// They gave the right products in the self-test.
    Verified(CoopCaps),
}

impl Coop {
    /// What kernels may use.
    pub fn caps(&self) -> Option<CoopCaps> {
        if let Coop::Verified(caps) = self { Some(*caps) } else { None }
    }
}

/// What an adapter lists of its matrices. Where its driver chooses the lanes of a subgroup for each pipeline, running one tells them.
///
/// The self-test's pipelines tell them, and all others are taken to have the same: WGSL cannot demand a number, and none tells its own but by running. The
/// test tries every tile with the text and the workgroups of training's kernels; sizes and the epilogue may differ. Where `lanes` are one number there is
/// no choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    side: usize,
    /// Least and most lanes of a subgroup.
    lanes: [usize; 2],
    workgroup_bytes: usize,
    threads: usize,
}

impl Listed {
    /// The same by subgroups of so many lanes.
    fn by(&self, lanes: usize) -> CoopCaps {
        CoopCaps { side: self.side, lanes, workgroup_bytes: self.workgroup_bytes, threads: self.threads }
    }

    /// What they may turn out to be, as far as there are tiles for it, most lanes first: those are what drivers prefer that have a choice.
    pub(super) fn candidates(&self) -> Vec<CoopCaps> {
        let [least, most] = self.lanes;
        let sizes = (0..usize::BITS).rev().map(|i| 1 << i).filter(|n| (least..=most).contains(n));
        sizes.map(|n| self.by(n)).filter(|c| !CoopTile::all(c).is_empty()).collect()
    }
}

/// `least`, or `least to most`.
fn span([least, most]: [usize; 2]) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

/// `8x8 (verified)`, `refused by self-test: ..` or `none: ..`.
impl fmt::Display for Coop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Coop::None { why } => write!(f, "none: {why}"),
            Coop::Refused { why } => write!(f, "refused by self-test: {why}"),
            Coop::Verified(c) => write!(f, "{0}x{0} (verified)", c.side),
        }
    }
}

/// What is known of one device's matrices: which it was opened with, and what the self-test found once it ran.
pub(super) struct CoopRecord {
    /// The matrices that the device was opened with, or why it was opened without.
    pub(super) opened: std::result::Result<Listed, String>,
    pub(super) verdict: Mutex<Option<Coop>>,
    /// What tests put in the place of the self-test's kernels.
    pub(super) planted: Mutex<Option<Rewrite>>,
}

impl CoopRecord {
    pub(super) fn new(opened: std::result::Result<Listed, String>) -> Self {
        CoopRecord { opened, verdict: Mutex::default(), planted: Mutex::default() }
    }

    /// Fails for a tile that does not fit the matrices that the device was opened with: wgpu does not check that.
    pub(super) fn takes(&self, kernel: &GemmCoop, device: &str) -> Result<()> {
        let tile = kernel.tile;
        let fits = self.opened.as_ref().is_ok_and(|l| l.candidates().iter().any(|caps| tile.runs_on(caps)));
        if fits {
            return Ok(());
        }
        let matrices = match &self.opened {
            Ok(l) => format!("{0}x{0} by subgroups of {1}", l.side, span(l.lanes)),
            Err(why) => format!("none: {why}"),
        };
        Err(Error::Unsupported {
            what: format!("{} with the tile {tile}, subgroups of {}", kernel.name(), tile.lanes),
            at: format!("{device}, whose cooperative matrices are {matrices}"),
            help: "take a product without cooperative matrices, or a tile of `CoopTile::all`".into(),
        })
    }
}

/// Adapters whose device failed in the self-test, and why. When such an adapter is opened again there is no second test.
static FAILED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// The matrices that a device of this adapter can be opened with, or why it must do without.
pub(super) fn caps(summary: &AdapterSummary) -> std::result::Result<Listed, String> {
    let (features, limits) = (summary.features, &summary.limits);
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return Err("the adapter has none".into());
    }
    if !features.contains(wgpu::Features::SHADER_F16) {
        return Err("the adapter has no f16".into());
    }
    if !features.contains(wgpu::Features::SUBGROUP) {
        return Err("the adapter does not tell the lanes of its subgroups".into());
    }
    let key = key(summary);
    if let Some((_, why)) = lock(&FAILED).iter().find(|(k, _)| *k == key) {
        return Err(format!("the device failed in the self-test: {why}"));
    }
    fit(
        &summary.adapter.cooperative_matrix_properties(),
        summary.subgroup_lanes,
        limits.max_compute_workgroup_storage_size,
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
    )
}

/// The largest shape of the list that the kernels have tiles for.
fn fit(
    list: &[CooperativeMatrixProperties],
    (least, most): (u32, u32),
    workgroup_bytes: u32,
    threads: u32,
) -> std::result::Result<Listed, String> {
    let square = |p: &&CooperativeMatrixProperties| {
        let same = p.m_size == p.n_size && p.n_size == p.k_size;
        same && matches!(p.m_size, 8 | 16) && p.ab_type == Scalar::F16 && p.cr_type == Scalar::F32 && !p.saturating_accumulation
    };
    let mut sides: Vec<u32> = list.iter().filter(square).map(|p| p.m_size).collect();
    sides.sort_unstable_by(|a, b| b.cmp(a));
    if sides.is_empty() {
        return Err("none is 8x8x8 or 16x16x16 from f16 to f32".into());
    }
    let lanes = [least as usize, most as usize];
    let of = |side: u32| Listed { side: side as usize, lanes, workgroup_bytes: workgroup_bytes as usize, threads: threads as usize };
    let found = sides.iter().map(|&s| of(s)).find(|l| !l.candidates().is_empty());
    found.ok_or_else(|| format!("no tile fits {workgroup_bytes} bytes of workgroup memory and subgroups of {}", span(lanes)))
}

/// The same device with the feature. It changes nothing for shaders that do not use it.
pub(super) fn with(plain: &wgpu::DeviceDescriptor<'static>) -> wgpu::DeviceDescriptor<'static> {
    wgpu::DeviceDescriptor {
        required_features: plain.required_features | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        // SAFETY: what wgpu leaves open here is whether a shader's shapes and types are those that the adapter lists. One kernel uses them,
        // `gemm_coop`: `CoopRecord::takes` lets no tile through whose shape `fit` did not find in that list, its operands are f16 by construction, and
        // tests validate and translate its texts. A user's own kernel cannot: its text stands behind the place of `enable`.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..plain.clone()
    }
}

/// Notes that the adapter's device failed while it was tested.
pub(super) fn failed(summary: &AdapterSummary, why: &str) {
    lock(&FAILED).push((key(summary), why.into()));
}

fn key(summary: &AdapterSummary) -> String {
    format!("{} {} {}", summary.index, summary.name, summary.driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(side: u32, ab_type: Scalar, cr_type: Scalar) -> CooperativeMatrixProperties {
        CooperativeMatrixProperties { m_size: side, n_size: side, k_size: side, ab_type, cr_type, saturating_accumulation: false }
    }

    #[test]
    fn the_adapters_list_decides() {
        let (f16, f32) = (Scalar::F16, Scalar::F32);
        let both = [shape(8, f16, f32), shape(16, f16, f16), shape(16, f16, f32)];
        let caps = |list: &[_], lanes, bytes| fit(list, lanes, bytes, 1024);
        assert_eq!(caps(&both, (32, 32), 48 << 10).unwrap().side, 16);
        assert_eq!(caps(&both[..2], (8, 8), 32 << 10).unwrap().side, 8);
        // the larger one has no tile for subgroups of 8
        assert_eq!(caps(&both, (8, 8), 32 << 10).unwrap().side, 8);
        // where the driver chooses, what it may choose, most lanes first: AMD's
        let lanes = |l: Listed| l.candidates().iter().map(|c| c.lanes).collect::<Vec<_>>();
        assert_eq!(lanes(caps(&both, (32, 64), 64 << 10).unwrap()), [64, 32]);
        assert_eq!(lanes(caps(&both, (8, 32), 48 << 10).unwrap()), [32]);
        // Intel's 8x16x16 and 8x8x16
        let intel = [(16, 16), (8, 16)].map(|(n_size, k_size)| CooperativeMatrixProperties { n_size, k_size, ..both[0] });
        let refused = [
            (caps(&intel, (8, 32), 48 << 10), "none is"),
            (caps(&both, (128, 128), 48 << 10), "subgroups of 128"),
            (caps(&both, (32, 32), 4 << 10), "4096 bytes"),
            (caps(&both[1..2], (32, 32), 48 << 10), "none is"),
            (caps(&[], (32, 32), 48 << 10), "none is"),
            (fit(&both, (32, 32), 48 << 10, 64), "no tile"),
        ];
        for (found, why) in refused {
            assert!(found.as_ref().is_err_and(|e| e.contains(why)), "{why}: {found:?}");
        }
        let odd = CooperativeMatrixProperties { k_size: 8, ..both[2] };
        let saturating = CooperativeMatrixProperties { saturating_accumulation: true, ..both[2] };
        assert!(caps(&[odd, saturating], (32, 32), 48 << 10).is_err());
    }
}
