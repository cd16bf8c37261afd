//! The training steps: planned on the GPU that this process sees, their pipelines made, their kernels written to files.

use crate::fault;
use gradus::gpu::AdapterSummary;
use gradus::kernels::{CoopCaps, CoopTile, GemmCoop, Kernel};
use gradus::nn::{Conv2d, MaxPool2d, models};
use gradus::plan::Program;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// A network and what it is given.
struct Net {
    name: &'static str,
    layers: fn() -> Box<dyn Module>,
    input: &'static [usize],
    batch: usize,
    /// All its kernels are written, or those alone that products and windows are.
    all: bool,
}

fn dense(widths: &[usize], classes: usize) -> Box<dyn Module> {
    Box::new(widths.iter().fold(Sequential::new(), |net, &n| net.add(Linear::new(n)).add(Relu)).add(Linear::new(classes)))
}

fn cnn() -> Box<dyn Module> {
    let net = Sequential::new().add(Conv2d::new(32, 3)).add(Relu).add(Conv2d::new(64, 3)).add(Relu).add(MaxPool2d::new(2)).add(Flatten);
    Box::new(net.add(Linear::new(128)).add(Relu).add(Linear::new(10)))
}

/// That of the article, a wide one, one of large matrices, Keras' for digits, and a residual one.
const NETS: [Net; 5] = [
    Net { name: "article", layers: || dense(&[64, 32], 10), input: &[784], batch: 32, all: true },
    Net { name: "wide", layers: || dense(&[1024, 1024], 10), input: &[784], batch: 512, all: true },
    Net { name: "big", layers: || dense(&[4096, 4096], 4096), input: &[4096], batch: 4096, all: true },
    Net { name: "cnn", layers: cnn, input: &[1, 28, 28], batch: 128, all: false },
    Net { name: "resnet20", layers: || Box::new(models::resnet20(10)), input: &[3, 32, 32], batch: 128, all: false },
];

/// The table of files and titles in a folder of kernels.
const LIST: &str = "kernels.tsv";

/// Writes every distinct kernel and their list. Under a driver that computes nothing a step can be made ready, and no more.
pub fn write(folder: &Path) -> Result<(), String> {
    let device = Device::select("gpu").map_err(|e| e.to_string())?;
    println!("{}, {}, tensor cores {}", device.name(), device.driver(), device.tensor_cores());
    let coop = gradus::gpu::adapters().iter().find(|a| a.is_gpu()).and_then(matrices);
    let (mut seen, mut titles, mut list) = (HashSet::new(), HashMap::new(), String::new());
    for (net, precision) in NETS.iter().flat_map(|net| [(net, Precision::F32), (net, Precision::mixed())]) {
        let step = if precision == Precision::F32 { net.name.to_string() } else { format!("{} mixed", net.name) };
        let program = prepared(net, precision, &device).map_err(|e| format!("{step}: {e}"))?;
        for (kernel, label) in kernels(&program, coop) {
            let (source, name) = (kernel.source(), kernel.name());
            if !net.all && !name.starts_with("gemm") && !name.starts_with("window") {
                continue;
            }
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

fn prepared(net: &Net, precision: Precision, device: &Device) -> gradus::Result<Arc<Program>> {
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input(net.input).metric(Accuracy::new());
    let model = (net.layers)().compile(settings.device(device.clone()).precision(precision))?;
    let shape = [&[net.batch], net.input].concat();
    let x = HostTensor::u8(shape.as_slice(), vec![0; shape.iter().product()])?;
    let y = HostTensor::u32([net.batch], vec![0; net.batch])?;
    model.prepare(&Dataset::new(x, y)?.scale(1.0 / 255.0), net.batch)
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
