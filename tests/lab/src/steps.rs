//! The six training steps: planned on the GPU that this process sees, their pipelines made, their kernels written to files.

use crate::fault;
use gradus::gpu::AdapterSummary;
use gradus::kernels::{CoopCaps, CoopTile, GemmCoop, Kernel};
use gradus::plan::Program;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Name, inputs, hidden layers, outputs and batch.
type Net = (&'static str, usize, &'static [usize], usize, usize);

/// That of the article, a wide one, and one of large matrices.
const NETS: [Net; 3] =
    [("article", 784, &[64, 32], 10, 32), ("wide", 784, &[1024, 1024], 10, 512), ("big", 4096, &[4096, 4096], 4096, 4096)];

/// The table of files and titles in a folder of kernels.
const LIST: &str = "kernels.tsv";

/// Writes every distinct kernel and their list. Under a driver that computes nothing a step can be made ready, and no more.
pub fn write(folder: &Path) -> Result<(), String> {
    let device = Device::select("gpu").map_err(|e| e.to_string())?;
    println!("{}, {}, tensor cores {}", device.name(), device.driver(), device.tensor_cores());
    let coop = gradus::gpu::adapters().iter().find(|a| a.is_gpu()).and_then(matrices);
    let (mut seen, mut titles, mut list) = (HashSet::new(), HashMap::new(), String::new());
    for (net, precision) in NETS.iter().flat_map(|net| [(net, Precision::F32), (net, Precision::mixed())]) {
        let step = if precision == Precision::F32 { net.0.to_string() } else { format!("{} mixed", net.0) };
        let program = prepared(net, precision, &device).map_err(|e| format!("{step}: {e}"))?;
        for (kernel, label) in kernels(&program, coop) {
            let (source, name) = (kernel.source(), kernel.name());
            if !seen.insert(source.clone()) {
                continue;
            }
            let mut title = format!("{step}: {name} {}", label.split_whitespace().collect::<Vec<_>>().join(" "));
            let alike: &mut usize = titles.entry(title.clone()).or_default();
            *alike += 1;
            if *alike > 1 {
                title += &format!(" ({alike})");
            }
            let file = format!("{:02}_{}_{name}.wgsl", seen.len(), step.replace(' ', "_"));
            list += &format!("{file}\t{title}\n");
            let path = folder.join(file);
            std::fs::write(&path, source).map_err(fault(&path))?;
        }
    }
    let path = folder.join(LIST);
    std::fs::write(&path, list).map_err(fault(&path))
}

/// Files and titles of a folder that [`write`] filled.
pub fn read(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let path = folder.join(LIST);
    let text = std::fs::read_to_string(&path).map_err(fault(&path))?;
    Ok(text.lines().filter_map(|l| l.split_once('\t')).map(|(file, title)| (file.into(), title.into())).collect())
}

fn prepared((_, inputs, hidden, outputs, batch): &Net, precision: Precision, device: &Device) -> gradus::Result<Arc<Program>> {
    let net = hidden.iter().fold(Sequential::new(), |net, &n| net.add(Linear::new(n)).add(Relu)).add(Linear::new(*outputs));
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([*inputs]).metric(Accuracy::new());
    let model = net.compile(settings.device(device.clone()).precision(precision))?;
    let x = HostTensor::u8([*batch, *inputs], vec![0; batch * inputs])?;
    let y = HostTensor::u32([*batch], vec![0; *batch])?;
    model.prepare(&Dataset::new(x, y)?.scale(1.0 / 255.0), *batch)
}

/// Every kernel of a step, and beside a product the same on matrices. The self-test refuses those of a driver that computes nothing, so the plan
/// does without: here they stand as they would be.
fn kernels(program: &Program, coop: Option<CoopCaps>) -> Vec<(Kernel, &str)> {
    let with = |kernel: &Kernel| match (kernel, coop) {
        (Kernel::Gemm(g), Some(caps)) => GemmCoop::of(g, &caps).map(Kernel::GemmCoop),
        _ => None,
    };
    program
        .launches
        .iter()
        .flat_map(|l| [Some(l.kernel.clone()), with(&l.kernel)].into_iter().flatten().map(|k| (k, l.label.as_str())))
        .collect()
}

/// Its matrices of 16 x 16, where it lists such and a tile fits: with subgroups as large as they come, else as small.
fn matrices(adapter: &AdapterSummary) -> Option<CoopCaps> {
    adapter.matrices.iter().find(|m| m.starts_with("16x16x16 f16 to f32"))?;
    let (least, most) = adapter.subgroup_lanes;
    let caps = |lanes: u32| CoopCaps { side: 16, lanes: lanes as usize, workgroup_bytes: adapter.workgroup_memory as usize, threads: 1024 };
    [caps(most), caps(least)].into_iter().find(|c| !CoopTile::all(c).is_empty())
}
