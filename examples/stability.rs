//! How the first weights decide whether a deep network can learn: `cargo run --release --example stability`, with `--features plot` and
//! `-- --plot stability.png` a picture too.
//!
//! Twenty linear layers, 256 wide, with tanh or ReLU between them, look at 32 digits before any training. Four ways to draw the weights;
//! biases are 0. For each layer it prints two numbers:
//!
//! - the *deviation* of what the layer gives, over all digits;
//! - the *gradient*: the norm of the loss's gradient with respect to what the layer gives before its activation, root mean square over the
//!   digits. It is what backpropagation carries from layer to layer, and it is read as the gradient of the layer's bias in a step of one
//!   digit at learning rate 0.
//!
//! The gradient of the *weights* would not do: it is the product of the two, and where one explodes as fast as the other, as in any network of
//! ReLUs, it is the same in all layers, at a size that no learning rate suits.

use anyhow::Result;
use clap::Parser;
use gradus::nn::{Fan, Gain};
use gradus::prelude::*;
use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;

const LAYERS: usize = 20;
const WIDTH: usize = 256;
const DIGITS: usize = 32;
/// The loss is made this much smaller, so that the norm of exploding gradients (1e20 and more) is a number, and training would not halt. A power of
/// two: taken out again it changes no digit.
const SMALL: f64 = 1.0 / (1u64 << 32) as f64;
/// Mean and deviation of MNIST's pixels: the input has about 0 and 1.
const PIXELS: (f32, f32) = (0.1307, 0.3081);

#[derive(Parser)]
#[command(about = "Shows vanishing, exploding and steady gradients of a deep network before training")]
struct Flags {
    /// Write a picture of both numbers, layer by layer (.svg or .png); needs `--features plot`
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Of the weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Between {
    Tanh,
    Relu,
}

impl Between {
    fn name(self) -> &'static str {
        if self == Between::Tanh { "tanh" } else { "ReLU" }
    }
}

fn inits() -> [(&'static str, Init); 4] {
    [
        ("normal(0, 1)", Init::normal(0.0, 1.0)),
        ("normal(0, 0.01)", Init::normal(0.0, 0.01)),
        ("Xavier", Init::xavier_normal(Gain::Linear)),
        ("Kaiming", Init::kaiming_normal(Fan::In, Gain::Relu)),
    ]
}

/// What one network shows, from the first layer to the last.
struct Seen {
    init: &'static str,
    between: Between,
    deviation: Vec<f64>,
    gradient: Vec<f64>,
}

impl Seen {
    /// The gradient at the first layer over that at the last.
    fn ratio(&self) -> f64 {
        self.gradient[0] / self.gradient[LAYERS - 1]
    }

    fn verdict(&self) -> &'static str {
        match self.ratio() {
            r if r < 1e-3 => "vanishing",
            r if r > 1e3 => "exploding",
            r if (0.1..=10.0).contains(&r) => "steady",
            _ => "drifting",
        }
    }
}

fn look(device: &Device, digits: &Dataset, seed: u64, (init_name, init): (&'static str, Init), between: Between) -> Result<Seen> {
    let mut net = Sequential::new();
    for _ in 1..LAYERS {
        net = net.add(Linear::new(WIDTH));
        net = if between == Between::Tanh { net.add(Tanh) } else { net.add(Relu) };
    }
    net = net.add(Linear::new(10)).init(init);
    let loss = loss::custom("small_cross_entropy", |y, t| y.cross_entropy(t) * SMALL);
    let settings = Compile::new(Sgd::new(0.0), loss).input([784]).device(device.clone()).seed(seed);
    let mut model = net.compile(settings)?;

    // after its activation, which is the layer that follows; the last has none
    let name = |layer: usize| if layer + 1 < LAYERS { 2 * layer + 1 } else { 2 * layer };
    let deviation = (0..LAYERS).map(|i| Ok(deviation(&model.activation_over(&name(i).to_string(), digits, DIGITS)?.to_f64())));
    let deviation = deviation.collect::<Result<Vec<f64>>>()?;

    let mut squares = vec![0.0; LAYERS];
    let mut run = model.trainer(digits, Fit::new().batch_size(1).shuffle(false).verbose(0))?;
    while run.steps(1)?.is_some() {
        for (i, sum) in squares.iter_mut().enumerate() {
            let gradient = run.model().gradient(&format!("{}.bias", 2 * i))?;
            *sum += gradient.to_f64().iter().map(|g| (g / SMALL).powi(2)).sum::<f64>() / DIGITS as f64;
        }
    }
    Ok(Seen { init: init_name, between, deviation, gradient: squares.into_iter().map(f64::sqrt).collect() })
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}

fn all(device: &Device, digits: &Dataset, seed: u64) -> Result<Vec<Seen>> {
    let both = [Between::Tanh, Between::Relu];
    both.into_iter().flat_map(|b| inits().map(|i| look(device, digits, seed, i, b))).collect()
}

/// MNIST's first digits where it is at hand, else drawn ones.
fn digits() -> Result<Dataset> {
    let found = data::mnist_with(&data::MnistOptions::default().offline(true));
    let train = match found {
        Ok(f) => f.train,
        Err(_) => data::synthetic_digits(0, DIGITS, 1)?.0,
    };
    Ok(prepared(train))
}

fn prepared(train: Dataset) -> Dataset {
    train.take(DIGITS).flatten().scale(1.0 / 255.0 / PIXELS.1).shift(-PIXELS.0 / PIXELS.1)
}

fn table(seen: &[Seen], title: &str, numbers: impl Fn(&Seen) -> &[f64]) -> String {
    let mut t = format!("{title}\n\n{:>7}", "layer");
    seen.iter().for_each(|s| write!(t, "  {:>15}", s.init).unwrap_or_default());
    write!(t, "\n{:>7}", "").unwrap_or_default();
    seen.iter().for_each(|s| write!(t, "  {:>15}", s.between.name()).unwrap_or_default());
    for layer in 0..LAYERS {
        write!(t, "\n{:>7}", layer + 1).unwrap_or_default();
        seen.iter().for_each(|s| write!(t, "  {:>15.2e}", numbers(s)[layer]).unwrap_or_default());
    }
    t + "\n"
}

fn summary(seen: &[Seen]) -> String {
    let mut t = format!("{:<16} {:<5} {:>25}   gradient\n", "weights", "", "first over last gradient");
    for s in seen {
        writeln!(t, "{:<16} {:<5} {:>25.1e}   {}", s.init, s.between.name(), s.ratio(), s.verdict()).unwrap_or_default();
    }
    t
}

#[cfg(feature = "plot")]
fn plot(seen: &[Seen], file: &std::path::Path) -> Result<()> {
    use gradus::train::plot::{Figure, Panel};
    let mut figure = Figure::new();
    for between in [Between::Tanh, Between::Relu] {
        let panel = |what: &str| Panel::new(format!("{what}, {}", between.name())).x_label("layer").log_y(true);
        let points = |v: &[f64]| v.iter().enumerate().map(|(i, y)| (i as f64 + 1.0, *y)).collect::<Vec<_>>();
        let (mut values, mut gradients) = (panel("deviation of the values"), panel("norm of the gradient"));
        for s in seen.iter().filter(|s| s.between == between) {
            (values, gradients) = (values.line(s.init, points(&s.deviation)), gradients.line(s.init, points(&s.gradient)));
        }
        figure = figure.panel(values).panel(gradients);
    }
    Ok(figure.save(file)?)
}

#[cfg(not(feature = "plot"))]
fn plot(_: &[Seen], _: &std::path::Path) -> Result<()> {
    anyhow::bail!("a picture needs the feature: cargo run --release --features plot --example stability -- --plot FILE")
}

/// Prints a line. A reader who has seen enough (`| head`) is no fault.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let digits = digits()?;
    show(&format!("{LAYERS} layers of {WIDTH} before training, {DIGITS} digits ({}), on {device}\n", digits.name()));
    let seen = all(&device, &digits, flags.seed)?;
    show(&table(&seen, "Deviation of what each layer gives", |s| &s.deviation));
    show(&table(&seen, "Norm of the gradient at each layer", |s| &s.gradient));
    show(summary(&seen).trim_end());
    flags.plot.map_or(Ok(()), |file| plot(&seen, &file))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What theory says: unit weights explode, small ones vanish, Xavier's keep tanh steady and Kaiming's ReLU. For three seeds.
    #[test]
    fn gradients_vanish_explode_and_stay() {
        let digits = prepared(data::synthetic_digits(0, DIGITS, 1).unwrap().0);
        for seed in 0..3 {
            let seen = all(&Device::cpu(), &digits, seed).unwrap();
            println!("{}", summary(&seen));
            for s in &seen {
                let (what, ratio) = (format!("{} {} seed {seed}: {:e}", s.init, s.between.name(), s.ratio()), s.ratio());
                assert!(s.gradient.iter().chain(&s.deviation).all(|x| x.is_finite() && *x > 0.0), "{what}");
                match (s.init, s.between) {
                    ("normal(0, 1)", _) => assert!(ratio > 1e3, "{what}"),
                    ("normal(0, 0.01)", _) => assert!(ratio < 1e-3, "{what}"),
                    ("Xavier", Between::Tanh) | ("Kaiming", Between::Relu) => assert!((0.1..=10.0).contains(&ratio), "{what}"),
                    // half of Xavier's signal is lost in every ReLU: 2^(-18/2) of it is left
                    ("Xavier", Between::Relu) => assert!(ratio < 0.1, "{what}"),
                    _ => {}
                }
            }
        }
    }
}
