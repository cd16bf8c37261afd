//! Times Burn's training step on the networks of `pytorch_step.py`: same shapes, batch, Adam and random data.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/burn/Cargo.toml -- --device flex --threads 2 --hidden 1024,1024 --batch 512
//! cargo run --release --manifest-path benches/peers/burn/Cargo.toml -- --net cnn --batch 128 --steps 10 --warmup 4
//! ```
//!
//! One step is what a careful user writes: rows of a shuffled order are taken on the device, then forward, loss, backward, Adam, and
//! nothing comes back to the host; each repeat waits for the device once, at its end. Prints one JSON object with the keys of
//! `pytorch_step.py`, `case` for the networks of images (it is their `--net`), and `first_step_s` (from opening the device to the end of
//! the first step, data not counted) and `warm_up_s` (to the end of the warm-up: Burn times and compiles kernels for a while).

mod networks;

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
use networks::{CLASSES, Cnn, Dense, Network, ResNet20};
use serde_json::json;
use std::time::Instant;

const PIXELS: usize = 28 * 28;
const USAGE: &str = "usage: gradus-peer-burn [--device flex|software|gpu (flex)] [--threads N (2, flex alone)]
       [--net dense|cnn|resnet20 (dense)] [--hidden W,W.. (64,32; of a dense network)] [--batch N (32)]
       [--steps N (500)] [--warmup N (50)] [--repeat N (5)]
       [--rows N (60000, of resnet20 10000; on wgpu 40000 at most: a binding holds 128 MiB on lavapipe, and Burn keeps its images as f32)]";

struct Options {
    device: String,
    threads: usize,
    net: String,
    hidden: Vec<usize>,
    batch: usize,
    steps: usize,
    warmup: usize,
    repeat: usize,
    rows: Option<usize>,
}

fn options() -> Result<Options, String> {
    let mut o = Options {
        device: "flex".into(),
        threads: 2,
        net: "dense".into(),
        hidden: vec![64, 32],
        batch: 32,
        steps: 500,
        warmup: 50,
        repeat: 5,
        rows: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag}: a value is missing, or it is unknown"))?;
        let number =
            || value.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(|| format!("{flag} {value}: not a number that can be used"));
        match flag.as_str() {
            "--device" => o.device = value,
            "--threads" => o.threads = number()?,
            "--net" => o.net = value,
            "--hidden" => {
                o.hidden = value.split(',').map(|w| w.parse().map_err(|_| format!("{flag} {value}"))).collect::<Result<_, _>>()?
            }
            "--batch" => o.batch = number()?,
            "--steps" => o.steps = number()?,
            "--warmup" => o.warmup = number()?,
            "--repeat" => o.repeat = number()?,
            "--rows" => o.rows = Some(number()?),
            _ => return Err(format!("{flag}: unknown")),
        }
    }
    Ok(o)
}

/// What there is to know of `--net`.
struct Plan {
    /// Numbers in a row of the data.
    pixels: usize,
    rows: usize,
    /// The name or widths of the network, for the listing.
    layers: serde_json::Value,
    build: Box<dyn Fn(&Device) -> Network>,
}

fn plan(o: &Options) -> Result<Plan, String> {
    let rows = if o.device == "flex" { 60_000 } else { 40_000 };
    Ok(match o.net.as_str() {
        "dense" => {
            let widths = [&[PIXELS], &o.hidden[..], &[CLASSES]].concat();
            Plan { pixels: PIXELS, rows, layers: json!(widths), build: Box::new(move |d| Network::Dense(Dense::new(&widths, d))) }
        }
        "cnn" => {
            let layers = json!("conv 32, conv 64, pool, 128, 10");
            Plan { pixels: PIXELS, rows, layers, build: Box::new(|d| Network::Cnn(Cnn::new(d))) }
        }
        "resnet20" => {
            let build = Box::new(|d: &_| Network::ResNet20(ResNet20::new(d)));
            Plan { pixels: 3 * 32 * 32, rows: 10_000, layers: json!("ResNet-20"), build }
        }
        other => return Err(format!("--net {other}: there are dense, cnn, resnet20")),
    })
}

/// Random numbers enough for this: an LCG's upper half.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
}

struct Trainer {
    x: Tensor<2>,
    y: Tensor<1, Int>,
    /// None for the moment that a step takes.
    model: Option<Network>,
    loss: CrossEntropyLoss,
    optimizer: ModuleOptimizer,
    /// Row numbers, shuffled anew each epoch; lies on the device.
    order: Tensor<1, Int>,
    at: usize,
    rows: usize,
    batch: usize,
    random: Random,
    device: Device,
    /// The loss of the latest step, on the device.
    last: Option<Tensor<1>>,
}

impl Trainer {
    fn shuffle(&mut self) {
        let rows = self.rows;
        let mut order: Vec<i32> = (0..rows as i32).collect();
        for i in (1..rows).rev() {
            order.swap(i, self.random.next() as usize % (i + 1));
        }
        (self.order, self.at) = (Tensor::from_data(TensorData::new(order, [rows]), &self.device), 0);
    }

    fn step(&mut self) {
        if self.at + self.batch > self.rows {
            self.shuffle();
        }
        let rows = self.order.clone().slice([self.at..self.at + self.batch]);
        self.at += self.batch;
        let (x, y) = (self.x.clone().select(0, rows.clone()), self.y.clone().select(0, rows));
        let Some(model) = self.model.take() else { return };
        let loss = self.loss.forward(model.forward(x), y);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        self.model = Some(self.optimizer.step(1e-3, model, grads));
        self.last = Some(loss);
    }

    /// Milliseconds per step.
    fn run(&mut self, steps: usize) -> Result<f64, String> {
        let start = Instant::now();
        (0..steps).for_each(|_| self.step());
        self.device.sync().map_err(|e| format!("{e:?}"))?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / steps as f64)
    }
}

/// The version of Burn that was built in.
fn version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let own = lock.split("name = \"burn\"\nversion = \"").nth(1).unwrap_or("?");
    own.split('"').next().unwrap_or("?")
}

fn bench(o: &Options) -> Result<(), String> {
    let Plan { pixels, rows, layers, build } = plan(o)?;
    let device = match o.device.as_str() {
        "flex" => Device::flex(),
        // an adapter that computes on the CPU: lavapipe
        "software" => Device::wgpu(DeviceKind::Cpu),
        "gpu" => Device::wgpu(DeviceKind::DefaultDevice),
        other => return Err(format!("--device {other}: there are flex, software, gpu")),
    }
    .autodiff();
    rayon::ThreadPoolBuilder::new().num_threads(o.threads).build_global().map_err(|e| e.to_string())?;
    let rows = o.rows.unwrap_or(rows);
    if rows < o.batch {
        return Err(format!("--rows {rows}: fewer than a batch"));
    }
    let mut random = Random(1);
    let x: Vec<f32> = (0..rows * pixels).map(|_| (random.next() & 0xff_ffff) as f32 / (1 << 24) as f32).collect();
    let y: Vec<i32> = (0..rows).map(|_| (random.next() % CLASSES as u32) as i32).collect();

    let opened = Instant::now();
    device.sync().map_err(|e| format!("{e:?}"))?;
    let opened = opened.elapsed();
    let (x, y) = (Tensor::from_data(TensorData::new(x, [rows, pixels]), &device), Tensor::from_data(TensorData::new(y, [rows]), &device));
    device.sync().map_err(|e| format!("{e:?}"))?;

    let began = Instant::now();
    let mut t = Trainer {
        x,
        y,
        model: Some(build(&device)),
        loss: CrossEntropyLossConfig::new().init(&device),
        // the epsilon of PyTorch; Burn's own is 1e-5
        optimizer: AdamConfig::new().with_epsilon(1e-8).init(),
        order: Tensor::from_data(TensorData::new(vec![0i32], [1]), &device),
        at: rows,
        rows,
        batch: o.batch,
        random,
        device,
        last: None,
    };
    t.run(1)?;
    let first = (opened + began.elapsed()).as_secs_f64();
    t.run(o.warmup)?;
    let warm = (opened + began.elapsed()).as_secs_f64();
    let mut times = (0..o.repeat).map(|_| t.run(o.steps)).collect::<Result<Vec<f64>, _>>()?;
    times.sort_by(f64::total_cmp);
    let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0;
    // a device that failed on the way says so only here
    let loss = t.last.map(|l| l.try_into_scalar::<f32>().map_err(|e| format!("{e:?}"))).transpose()?;
    if !loss.is_some_and(f32::is_finite) {
        return Err(format!("the loss is {loss:?}"));
    }
    let name = if o.device == "flex" { "burn flex" } else { "burn wgpu" };
    let mut line = json!({
        "peer": name, "version": version(), "device": format!("{:?}", t.device), "threads": o.threads, "layers": layers, "batch": o.batch,
        "steps": o.steps, "repeat": o.repeat, "ms_per_step": median, "min": times[0], "max": times[times.len() - 1],
        "rows": rows, "first_step_s": first, "warm_up_s": warm, "loss": loss,
    });
    // a dense network's case lies in its widths: whoever asks knows it
    if o.net != "dense" {
        line["case"] = json!(o.net);
    }
    println!("{line}");
    Ok(())
}

fn main() {
    let fail = |text: String| {
        eprintln!("{text}");
        std::process::exit(2)
    };
    match options() {
        Err(problem) => fail(format!("{problem}\n{USAGE}")),
        Ok(o) => bench(&o).unwrap_or_else(fail),
    }
}
