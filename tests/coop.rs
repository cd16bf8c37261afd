//! Products on cooperative matrices (tensor cores): the GPU against the CPU's twin and both against sums in f64; the device's self-test and what it
//! refuses; errors planted in the shader.
//!
//! It needs an adapter that has such matrices, and says so where there is none; with GRADUS_REQUIRE_COOP=1 that is a failure. `tests/coop.sh` sets
//! one up: Mesa 26's lavapipe.
#![cfg(feature = "gpu")]

#[path = "common/need.rs"]
mod need;
#[path = "coop/product.rs"]
mod product;

use gradus::cpu::CpuSession;
use gradus::gpu::{Gpu, GpuSession};
use gradus::kernels::{CoopCaps, CoopTile};
use gradus::plan::Layout;
use gradus::train::Device;
use need::Suite;
use product::{FINISHES, Finish, LAYOUTS, Product};
use std::sync::{Arc, OnceLock};

static SUITE: Suite = Suite::new("coop", 1);

const LAYOUT: Layout = Layout { parameters: 128, frozen: 0, moments: 0, rates: gradus::kernels::RateTable { groups: 1, blocks: 0, tensors: 0 }, buffers: 0 };

fn device() -> Option<(&'static Arc<Gpu>, CoopCaps)> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    let words = std::env::var("GRADUS_DEVICE").unwrap_or("software".into());
    let gpu = GPU.get_or_init(|| Device::select(&words).ok()?.gpu().cloned()).as_ref();
    let found = gpu.map(|g| g.coop());
    match (gpu, found.as_ref().and_then(|f| f.caps())) {
        (Some(gpu), Some(caps)) => Some((gpu, caps)),
        _ => {
            let why = found.map_or("no adapter".into(), |f| f.to_string());
            assert!(std::env::var("GRADUS_REQUIRE_COOP").as_deref() != Ok("1"), "GRADUS_REQUIRE_COOP=1, and the cooperative matrices are: {why}");
            SUITE.skipped(1, &format!("no cooperative matrices ({why}); tests/coop.sh sets a driver up that has them"));
            None
        }
    }
}

/// On the GPU and by the twin.
fn check(gpu: &Arc<Gpu>, p: &Product, checked: bool) -> Result<(), String> {
    let text = |e: gradus::Error| format!("{}: {e}", p.name());
    let twin = p.run(&mut CpuSession::new(LAYOUT, 2).map_err(text)?).map_err(text)?;
    p.compare(&twin).map_err(|e| format!("the CPU's twin: {e}"))?;
    let found = p.run(&mut GpuSession::new(gpu.clone(), LAYOUT, checked).map_err(text)?).map_err(text)?;
    p.compare(&found)?;
    p.agree(&found, &twin)
}

#[test]
fn first() {
    let Some((gpu, caps)) = device() else { return };
    for tile in CoopTile::all(&caps) {
        for layout in LAYOUTS {
            let began = std::time::Instant::now();
            let r = check(gpu, &Product::new([33, 40, 24], layout, Finish::Both, tile), false);
            eprintln!("{tile} {layout:?} {r:?} {:?}", began.elapsed());
        }
    }
    SUITE.ran(1);
}
