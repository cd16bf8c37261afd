//! Shows a trained network one digit: `cargo run --release --example predict -- --weights FILE --index 7`, or `--image digit.png`.
//!
//! The weights are what `mnist --save FILE` writes (or a whole model of `Model::save`). It draws the digit in text, then the ten
//! probabilities and the most likely class. From PyTorch: the safetensors file of an `nn.Sequential` of Linear layers works as it is.

use anyhow::{Context, Result, bail};
use clap::Parser;
use gradus::Error;
use gradus::data::MnistOptions;
use gradus::expr::Activation;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::fmt::Write;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Pixels of a side, as MNIST has them.
const SIDE: usize = 28;

#[derive(Parser)]
#[command(about = "Shows a trained network one digit and prints what it sees")]
#[command(group = clap::ArgGroup::new("digit").required(true).args(["image", "index"]))]
struct Flags {
    /// Weights (safetensors): `cargo run --release --example mnist -- --save FILE` makes them
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// A PNG of one digit, of any size and colour; dark on light is turned round, as MNIST is light on dark
    #[arg(long, value_name = "PNG")]
    image: Option<PathBuf>,
    /// The row of MNIST's test set, from 0
    #[arg(long, value_name = "N")]
    index: Option<usize>,
    /// A folder in MNIST's format, for --index [default: where `data::mnist()` looks; else drawn digits]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The activation between the layers, where the file holds weights alone
    #[arg(long, default_value = "relu")]
    activation: Activation,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long)]
    device: Option<String>,
}

/// What is to be recognised: light on dark, as MNIST is.
struct Digit {
    pixels: Vec<u8>,
    label: Option<usize>,
    whence: String,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let model = model(&flags.weights, flags.activation, device)?;
    let digit = match (&flags.image, flags.index) {
        (Some(file), _) => from_png(file)?,
        (None, index) => from_test_set(index.unwrap_or(0), flags.data.as_deref())?,
    };
    let input = HostTensor::u8([1, SIDE * SIDE], digit.pixels.clone())?;
    let output = model.predict(&Dataset::unlabelled(input)?.scale(1.0 / 255.0), 1)?;
    let probabilities = output.as_f32().context("the model gives no real numbers")?;
    // a reader who has seen enough (`| head`) is no fault
    let _ = write!(std::io::stdout(), "{}\n{}\n{}", digit.whence, drawn(&digit.pixels), verdict(probabilities, digit.label));
    Ok(())
}

/// The model of the file. A file of weights alone says how wide its layers are, and not what stands between them.
fn model(file: &Path, activation: Activation, device: Device) -> Result<Model> {
    let bytes = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    let Ok((_, header)) = safetensors::SafeTensors::read_metadata(&bytes) else {
        return Ok(Model::load_on(file, device)?); // its error says what is wrong
    };
    if header.metadata().as_ref().is_some_and(|m| m.contains_key("gradus")) {
        return Ok(Model::load_on(file, device)?);
    }
    let tensors = safetensors::SafeTensors::deserialize(&bytes)?;
    let mut layers: Vec<(usize, Vec<usize>)> = Vec::new();
    for (name, tensor) in tensors.tensors() {
        let index = name.strip_suffix(".weight").and_then(|n| n.parse().ok());
        match index {
            Some(i) if tensor.shape().len() == 2 => layers.push((i, tensor.shape().to_vec())),
            _ if name.ends_with(".bias") => {}
            _ => bail!("{}: `{name}` is no weight of an nn.Sequential of Linear layers", file.display()),
        }
    }
    layers.sort();
    let Some((last, _)) = layers.last().cloned() else { bail!("{} holds no layer", file.display()) };
    let first = &layers[0].1;
    if first[1] != SIDE * SIDE {
        bail!("{}: its first layer takes {} values, an image has {}", file.display(), first[1], SIDE * SIDE);
    }
    let mut net = Sequential::new();
    for (i, shape) in &layers {
        // activations count in the names: 0, 2, 4
        while net.len() < *i {
            net = if net.is_empty() { net.add(Flatten) } else { net.add(activation) };
        }
        net = net.add(Linear::new(shape[0]));
    }
    debug_assert_eq!(net.len(), last + 1);
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([SIDE * SIDE]).device(device);
    let mut model = net.add(Softmax).compile(settings)?;
    model.load_weights(file, Load::new())?;
    let _ = writeln!(std::io::stderr(), "activations: {} (the file does not say which; --activation NAME)", activation.name());
    Ok(model)
}

fn from_test_set(index: usize, dir: Option<&Path>) -> Result<Digit> {
    let options = MnistOptions::default();
    let found = data::mnist_with(&if let Some(d) = dir { options.dir(d) } else { options });
    let (test, name) = match found {
        Ok(found) => (found.test, "the test set"),
        Err(Error::DataNotFound { .. } | Error::Download { .. }) if dir.is_none() => {
            (data::synthetic_digits(0, 1, 4000)?.1, "synthetic digits (MNIST is not here)")
        }
        Err(e) => return Err(e.into()),
    };
    if index >= test.len() {
        bail!("--index {index}: {name} has {} images, from 0 to {}", test.len(), test.len() - 1);
    }
    let images = test.features().and_then(|x| x.as_u8()).context("the images are not bytes")?;
    let label = test.labels().and_then(|l| l.as_u8()).map(|l| l[index].into());
    let pixels = images.chunks(SIDE * SIDE).nth(index).context("the images are not 28 x 28")?.to_vec();
    Ok(Digit { pixels, label, whence: format!("image {index} of {name}") })
}

/// Any PNG as MNIST would have it: grey, light on dark, 28 x 28, the digit in the middle of 20 x 20 and its mass in the centre.
fn from_png(file: &Path) -> Result<Digit> {
    let open = || format!("could not read {}", file.display());
    let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(file).with_context(open)?));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().with_context(open)?;
    let mut raw = vec![0; reader.output_buffer_size().with_context(open)?];
    let info = reader.next_frame(&mut raw).with_context(open)?;
    let (w, h, n) = (info.width as usize, info.height as usize, info.color_type.samples());
    let grey: Vec<f64> = raw[..info.buffer_size()].chunks(n).map(luminance).collect();
    // what most of the border shows is the background
    let edge: Vec<f64> = (0..w * h).filter(|i| i % w == 0 || i % w == w - 1 || i / w == 0 || i / w == h - 1).map(|i| grey[i]).collect();
    let background = edge.iter().sum::<f64>() / edge.len() as f64;
    let ink: Vec<f64> = grey.iter().map(|g| if background > 0.5 { 1.0 - g } else { *g }).collect();
    let pixels = if (w, h) == (SIDE, SIDE) { ink } else { centred(&ink, w, h) };
    let whence = format!("{} ({w} x {h}{})", file.display(), if background > 0.5 { ", turned to light on dark" } else { "" });
    Ok(Digit { pixels: pixels.iter().map(|p| (p * 255.0).round().clamp(0.0, 255.0) as u8).collect(), label: None, whence })
}

/// Brightness from 0 to 1 of a pixel of 1 to 4 samples; what is transparent counts as white paper.
fn luminance(p: &[u8]) -> f64 {
    let v = |i: usize| f64::from(p[i]) / 255.0;
    let (grey, alpha) = match p.len() {
        1 => (v(0), 1.0),
        2 => (v(0), v(1)),
        3 => (0.299 * v(0) + 0.587 * v(1) + 0.114 * v(2), 1.0),
        _ => (0.299 * v(0) + 0.587 * v(1) + 0.114 * v(2), v(3)),
    };
    grey * alpha + (1.0 - alpha)
}

/// The ink's box scaled into 20 x 20, its centre of mass in the middle: how MNIST was made (LeCun et al. 1998).
fn centred(ink: &[f64], w: usize, h: usize) -> Vec<f64> {
    let dark = |i: &usize| ink[*i] > 0.2;
    let span = |of: &dyn Fn(usize) -> usize| {
        let at = || (0..w * h).filter(dark).map(of);
        at().min().zip(at().max())
    };
    let (Some((left, right)), Some((top, bottom))) = (span(&|i| i % w), span(&|i| i / w)) else { return vec![0.0; SIDE * SIDE] };
    let (bw, bh) = ((right - left + 1) as f64, (bottom - top + 1) as f64);
    let step = bw.max(bh) / 20.0;
    // the mean over the square of the source that a pixel covers
    let sample = |x0: f64, y0: f64| {
        let range = |a: f64, n: usize| (a.floor().max(0.0) as usize)..((a + step).ceil().clamp(0.0, n as f64) as usize);
        let cells: Vec<f64> = range(y0, h).flat_map(|y| range(x0, w).map(move |x| ink[y * w + x])).collect();
        if cells.is_empty() { 0.0 } else { cells.iter().sum::<f64>() / cells.len() as f64 }
    };
    let mass = |of: &dyn Fn(usize) -> f64| (0..w * h).map(|i| ink[i] * of(i)).sum::<f64>();
    let total = mass(&|_| 1.0);
    let (cx, cy) = (mass(&|i| (i % w) as f64 + 0.5) / total, mass(&|i| (i / w) as f64 + 0.5) / total);
    let middle = SIDE as f64 / 2.0;
    let at = |i: usize| sample(cx + ((i % SIDE) as f64 - middle) * step, cy + ((i / SIDE) as f64 - middle) * step);
    (0..SIDE * SIDE).map(at).collect()
}

/// The digit in text, two rows of pixels in a line of characters.
fn drawn(pixels: &[u8]) -> String {
    const RAMP: &[u8] = b" .:-=+*#%@";
    let mut out = String::new();
    for rows in pixels.chunks(2 * SIDE) {
        for x in 0..SIDE {
            let mean = (usize::from(rows[x]) + usize::from(rows[SIDE + x])) / 2;
            out.push(RAMP[mean * (RAMP.len() - 1) / 255] as char);
        }
        out = out.trim_end().to_string() + "\n";
    }
    out
}

fn verdict(probabilities: &[f32], label: Option<usize>) -> String {
    let mut out = String::new();
    for (class, p) in probabilities.iter().enumerate() {
        let _ = writeln!(out, "{class:>2}  {p:.4}  {}", "█".repeat((p * 40.0).round() as usize));
    }
    let best = (0..probabilities.len()).fold(0, |b, c| if probabilities[c] > probabilities[b] { c } else { b });
    let _ = write!(out, "it is a {best} ({:.1} %)", 100.0 * probabilities.get(best).unwrap_or(&0.0));
    match label {
        Some(l) if l == best => out += ", and the label says so too",
        Some(l) => out += &format!(", but the label says {l}"),
        None => {}
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(w: u32, h: u32, color: png::ColorType, pixel: impl Fn(u32, u32) -> Vec<u8>) -> Digit {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("digit.png");
        let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), w, h);
        encoder.set_color(color);
        let bytes: Vec<u8> = (0..w * h).flat_map(|i| pixel(i % w, i / w)).collect();
        encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
        from_png(&path).unwrap()
    }

    #[test]
    fn mnists_own_size_stays_as_it_is() {
        let d = written(28, 28, png::ColorType::Grayscale, |x, y| vec![if (x, y) == (3, 5) { 200 } else { 0 }]);
        assert_eq!((d.pixels[5 * 28 + 3], d.pixels.iter().filter(|p| **p > 0).count()), (200, 1));
    }

    /// A black bar in the corner of a transparent page comes to the middle, light on dark, 20 pixels high.
    #[test]
    fn any_picture_becomes_one_of_mnists() {
        let ink = |x: u32, y: u32| (10..20).contains(&x) && (5..55).contains(&y);
        let d = written(100, 60, png::ColorType::Rgba, |x, y| if ink(x, y) { vec![0, 0, 0, 255] } else { vec![0, 0, 0, 0] });
        let mass = |of: &dyn Fn(usize) -> f64| (0..784).map(|i| f64::from(d.pixels[i]) * of(i)).sum::<f64>();
        let (total, x, y) = (mass(&|_| 1.0), mass(&|i| (i % 28) as f64 + 0.5), mass(&|i| (i / 28) as f64 + 0.5));
        assert!((x / total - 14.0).abs() < 0.75 && (y / total - 14.0).abs() < 0.75, "{} {}", x / total, y / total);
        let rows = (0..28).filter(|y| (0..28).any(|x| d.pixels[y * 28 + x] > 127)).count();
        assert!((19..=21).contains(&rows) && d.pixels[0] == 0, "{rows}");
    }

    #[test]
    fn an_empty_page_is_black() {
        assert!(written(1, 1, png::ColorType::Rgb, |_, _| vec![255; 3]).pixels.iter().all(|p| *p == 0));
        assert!(written(40, 40, png::ColorType::GrayscaleAlpha, |_, _| vec![255, 0]).pixels.iter().all(|p| *p == 0));
    }
}
