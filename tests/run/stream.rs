//! Data that does not fit, and data that the user makes: the same bits as the same rows on the device.

use crate::common::need::Suite;
use gradus::data::{RowsMut, Source, SourceError};
use gradus::prelude::*;
use gradus::tensor::{DType, HostTensor, Shape};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

static SUITE: Suite = Suite::new("stream", 22);

const ROWS: usize = 1003;
const BATCH: usize = 32;

fn bits(model: &mut Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

/// Rows of 9 bytes, which end in mid-word, and three classes.
fn digits(rows: usize) -> Dataset {
    let x = HostTensor::u8([rows, 3, 3], (0..rows * 9).map(|i| (i * 37 % 256) as u8).collect()).unwrap();
    let y = HostTensor::u8([rows], (0..rows).map(|i| (i * i % 3) as u8).collect()).unwrap();
    Dataset::new(x, y).unwrap().flatten().scale(1.0 / 255.0)
}

fn classifier(device: &Device) -> Model {
    let settings = Compile::new(Adam::new(0.01), CrossEntropy::new()).input([9]).metric(Accuracy::new()).seed(3);
    let net = Sequential::new().add(Linear::new(12)).add(Relu).add(Linear::new(3));
    net.compile(settings.device(device.clone())).unwrap()
}

/// A budget under which blocks have so many rows, up to a tenth of the set (above that it is no less than the set needs): 12 + 4 bytes on the device, 12 for each field's numbers.
fn blocks_of(rows: u64) -> u64 {
    4 * (12 + 4 + 24) * rows
}

#[track_caller]
fn says<T: Debug>(r: gradus::Result<T>, code: &str, words: &[&str]) {
    let e = r.unwrap_err();
    assert_eq!(e.code(), code, "{e}");
    words.iter().for_each(|w| assert!(e.to_string().contains(w), "no `{w}` in {e}"));
}

/// Losses, weights, history: as on the device, for blocks of one batch and of some.
#[test]
fn the_same_bits_as_on_the_device() {
    for device in SUITE.devices() {
        for shuffle in [true, false] {
            let fit = || Fit::new().epochs(3).batch_size(BATCH).shuffle(shuffle).verbose(0);
            let mut whole = classifier(&device);
            let history = whole.fit(&digits(ROWS), fit().validation(&digits(50))).unwrap();
            for block in [1, 50, 96] {
                let set = digits(ROWS).memory_budget(blocks_of(block));
                let mut model = classifier(&device);
                let seen = model.fit(&set, fit().validation(&digits(50).memory_budget(1))).unwrap();
                assert!(model.device_bytes() < whole.device_bytes() - 10_000, "it was not streamed");
                assert_eq!(seen, history, "blocks of {block}, shuffle {shuffle}, {device}");
                assert_eq!(bits(&mut model), bits(&mut whole), "blocks of {block}, shuffle {shuffle}, {device}");
            }
        }
        SUITE.ran(1);
    }
}

/// A loop of one's own that stops in mid-block and looks at the very set that it trains on.
#[test]
fn however_steps_are_cut() {
    for device in SUITE.devices() {
        let losses = |set: &Dataset, k: usize, look: bool| {
            let mut model = classifier(&device);
            let mut all = Vec::new();
            let mut run = model.trainer(set, Fit::new().epochs(2).batch_size(BATCH)).unwrap();
            while let Some(r) = run.steps(k).unwrap() {
                all.extend(r.losses.iter().map(|l| l.to_bits()));
                if look {
                    run.evaluate(set, 7).unwrap();
                    run.model().predict(set, 100).unwrap();
                }
            }
            (all, bits(&mut model))
        };
        let whole = losses(&digits(ROWS), 100, false);
        assert_eq!(whole.0.len(), 2 * ROWS.div_ceil(BATCH));
        let set = digits(ROWS).memory_budget(blocks_of(50));
        for (k, look) in [(1, true), (2, false), (5, true), (100, true)] {
            assert!(losses(&set, k, look) == whole, "{k} steps at a time on {device}");
        }
        SUITE.ran(1);
    }
}

#[test]
fn evaluation_and_prediction() {
    for device in SUITE.devices() {
        let model = classifier(&device);
        for batch in [17, 64, 1003, 2000] {
            let (e, p) = (model.evaluate(&digits(ROWS), batch).unwrap(), model.predict(&digits(ROWS), batch).unwrap());
            for block in [1, 50] {
                let set = digits(ROWS).memory_budget(blocks_of(block));
                assert_eq!(model.evaluate(&set, batch).unwrap(), e, "batch {batch} on {device}");
                assert_eq!(model.predict(&set, batch).unwrap(), p, "batch {batch} on {device}");
            }
        }
        SUITE.ran(1);
    }
}

fn idx(path: &Path, kind: u8, dims: &[u32], values: &[u8]) {
    let axes = dims.iter().flat_map(|d| d.to_be_bytes());
    std::fs::write(path, [0, 0, kind, dims.len() as u8].into_iter().chain(axes).chain(values.iter().copied()).collect::<Vec<_>>()).unwrap();
}

fn safetensors(path: &Path, tensors: &[(&str, safetensors::Dtype, &[usize], Vec<u8>)]) {
    use safetensors::tensor::TensorView;
    let views = tensors.iter().map(|(n, d, s, b)| (n.to_string(), TensorView::new(*d, s.to_vec(), b).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Out of files, streamed and whole.
#[test]
fn from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name| folder.path().join(name);
    let set = digits(ROWS);
    let (x, y) = (set.features().unwrap().as_u8().unwrap(), set.labels().unwrap().as_u8().unwrap());
    idx(&file("x"), 8, &[ROWS as u32, 3, 3], x);
    idx(&file("y"), 8, &[ROWS as u32], y);
    let y64 = y.iter().flat_map(|y| i64::from(*y).to_le_bytes()).collect();
    let tensors = [("x", safetensors::Dtype::U8, &[ROWS, 3, 3][..], x.to_vec()), ("y", safetensors::Dtype::I64, &[ROWS], y64)];
    safetensors(&file("set.safetensors"), &tensors);
    let fit = || Fit::new().epochs(2).batch_size(BATCH).verbose(0);
    for device in SUITE.devices() {
        let mut whole = classifier(&device);
        whole.fit(&set, fit()).unwrap();
        for budget in [blocks_of(40), 1 << 20] {
            let files = [data::open_idx(file("x"), file("y")).unwrap(), data::open_safetensors(file("set.safetensors")).unwrap()];
            for set in files {
                let set = set.flatten().scale(1.0 / 255.0).memory_budget(budget);
                let mut model = classifier(&device);
                model.fit(&set, fit()).unwrap();
                assert_eq!(bits(&mut model), bits(&mut whole), "{} with {budget} bytes on {device}", set.name());
            }
        }
        SUITE.ran(1);
    }
    // cut short while it is in use
    let set = data::open_idx(file("x"), file("y")).unwrap().flatten().memory_budget(1);
    let mut model = classifier(&Device::cpu());
    let mut run = model.trainer(&set, Fit::new().epochs(100).batch_size(BATCH)).unwrap();
    run.steps(5).unwrap();
    std::fs::OpenOptions::new().write(true).open(file("x")).unwrap().set_len(500).unwrap();
    let e = loop {
        match run.steps(5) {
            Ok(r) => assert!(r.is_some()),
            Err(e) => break e,
        }
    };
    says::<()>(Err(e), "bad-data", &["byte 500", "ends before"]);
    assert!(run.steps(1).unwrap().is_none(), "the run is over");
    SUITE.ran(1);
}

/// Row `i` is nine numbers of `i`. Fails or panics once it is told to; counts the reads that are going on.
struct Wire {
    rows: usize,
    fails: AtomicBool,
    panics: AtomicBool,
    reads: AtomicUsize,
}

impl Source for Wire {
    fn len(&self) -> usize {
        self.rows
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn row(&self) -> Shape {
        [9].into()
    }
    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> Result<(), SourceError> {
        let RowsMut::F32(out) = out else { return Err("f32".into()) };
        let so_far = self.reads.fetch_add(1, SeqCst);
        if so_far > 3 && self.fails.load(SeqCst) {
            return Err("the wire was cut".into());
        }
        assert!(so_far <= 3 || !self.panics.load(SeqCst), "the wire burns");
        rows.iter().zip(out.chunks_mut(9)).for_each(|(r, to)| to.fill((*r as f32 / 100.0).sin()));
        Ok(())
    }
}

fn wired(fails: bool, panics: bool) -> (Arc<Wire>, Dataset) {
    let wire = Arc::new(Wire { rows: ROWS, fails: fails.into(), panics: panics.into(), reads: 0.into() });
    let y = HostTensor::u32([ROWS], (0..ROWS).map(|i| (i % 3) as u32).collect()).unwrap();
    let fields: [(&str, Arc<dyn Source>); 2] = [("x", wire.clone()), ("y", Arc::new(y))];
    (wire, Dataset::from_sources(fields).unwrap().memory_budget(1))
}

/// Errors of a source of the user's come out of `fit`, `evaluate`, `predict`; the model goes on with what it has learned so far.
#[test]
fn sources_that_fail() {
    for device in SUITE.devices() {
        for (fails, panics, text) in [(true, false, "the wire was cut"), (false, true, "it panicked: the wire burns")] {
            let (wire, set) = wired(fails, panics);
            let mut model = classifier(&device);
            says(model.fit(&set, Fit::new().epochs(5).batch_size(BATCH).verbose(0)), "data-source", &["`x`", text, "reading 32 rows"]);
            says(model.evaluate(&set, BATCH), "data-source", &[text]);
            says(model.predict(&set, BATCH), "data-source", &[text]);
            // whole on the device: the same error
            says(model.evaluate(&set.clone().memory_budget(1 << 30), BATCH), "data-source", &[text]);
            wire.fails.store(false, SeqCst);
            wire.panics.store(false, SeqCst);
            model.fit(&set, Fit::new().epochs(1).batch_size(BATCH).verbose(0)).unwrap();
            assert!(model.evaluate(&set, BATCH).unwrap()["loss"].is_finite());
        }
        SUITE.ran(1);
    }
}

/// A loop that is left in mid-epoch reads no more.
#[test]
fn a_loop_that_is_left() {
    let (wire, set) = wired(false, false);
    let mut model = classifier(&Device::cpu());
    {
        let mut run = model.trainer(&set, Fit::new().epochs(usize::MAX).batch_size(BATCH)).unwrap();
        run.steps(3).unwrap();
        run.stop();
        assert!(run.steps(1).unwrap().is_none());
    }
    let reads = wire.reads.load(SeqCst);
    // three blocks used, one waiting, one being read, one begun when that had found no place
    assert!(reads <= 6, "{reads}");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(wire.reads.load(SeqCst), reads);
    SUITE.ran(1);
}

#[test]
fn a_bad_label_in_a_stream_names_its_row() {
    let y: Vec<u8> = (0..ROWS).map(|i| if i == 150 { 7 } else { 1 }).collect();
    let x = || HostTensor::f32([ROWS, 9], vec![0.5; ROWS * 9]).unwrap();
    let wide = y.iter().map(|v| u32::from(*v)).collect();
    for y in [HostTensor::u8([ROWS], y).unwrap(), HostTensor::u32([ROWS], wide).unwrap()] {
        let set = Dataset::new(x(), y).unwrap().memory_budget(1);
        let mut model = classifier(&Device::cpu());
        let words = ["label 7 of row 150 ", "3 outputs"];
        for shuffle in [true, false] {
            let fit = Fit::new().batch_size(BATCH).shuffle(shuffle).verbose(0);
            says(model.fit(&set, fit.clone()), "label-out-of-range", &words);
            says(model.fit(&set.clone().one_hot(3), fit), "label-out-of-range", &words);
        }
        says(model.evaluate(&set, BATCH), "label-out-of-range", &words);
        says(model.train_on_batch(&set), "label-out-of-range", &words);
        model.predict(&set, BATCH).unwrap();
    }
    SUITE.ran(1);
}

/// The rows `from..to` of a set in memory, as a batch by hand.
fn slice(set: &Dataset, from: usize, to: usize) -> Dataset {
    let (_, tail) = if from == 0 { (set.clone(), set.clone()) } else { set.split_at(from).unwrap() };
    tail.take(to - from)
}

/// Classes of both widths, real values with and without an axis: on the device, in blocks, by hand; the same bits.
#[test]
fn labels_of_both_kinds() {
    let x = || HostTensor::f32([ROWS, 9], (0..ROWS * 9).map(|i| (i as f32 / 50.0).sin()).collect()).unwrap();
    let reals = |n: usize| (0..ROWS * n).map(|i| (i as f32 / 9.0).cos()).collect();
    let classes = |i: usize| i * i % 3;
    let sets = [
        ("u8", 3, Dataset::new(x(), HostTensor::u8([ROWS], (0..ROWS).map(|i| classes(i) as u8).collect()).unwrap())),
        ("u32", 3, Dataset::new(x(), HostTensor::u32([ROWS], (0..ROWS).map(|i| classes(i) as u32).collect()).unwrap())),
        ("one-hot", 3, Dataset::new(x(), HostTensor::u32([ROWS], vec![2; ROWS]).unwrap()).map(|d| d.one_hot(3))),
        ("f32", 1, Dataset::new(x(), HostTensor::f32([ROWS], reals(1)).unwrap())),
        ("f32 rows", 2, Dataset::new(x(), HostTensor::f32([ROWS, 2], reals(2)).unwrap())),
    ];
    for device in SUITE.devices() {
        let mut ends = Vec::new();
        for (name, width, set) in &sets {
            let set = set.as_ref().unwrap();
            let compiled = || {
                let c = if *width == 3 {
                    Compile::new(Adam::new(0.01), CrossEntropy::new())
                } else {
                    Compile::new(Adam::new(0.01), Mse::new())
                };
                let net = Sequential::new().add(Linear::new(5)).add(Tanh).add(Linear::new(*width));
                net.compile(c.input([9]).seed(1).device(device.clone())).unwrap()
            };
            let fit = || Fit::new().epochs(2).batch_size(BATCH).shuffle(false).verbose(0);
            let (mut whole, mut blocks, mut by_hand) = (compiled(), compiled(), compiled());
            let history = whole.fit(set, fit()).unwrap();
            assert_eq!(blocks.fit(&set.clone().memory_budget(1), fit()).unwrap(), history, "{name} on {device}");
            let mut loss = 0.0;
            for _ in 0..2 {
                loss = 0.0;
                for first in (0..ROWS).step_by(BATCH) {
                    let r = by_hand.train_on_batch(slice(set, first, ROWS.min(first + BATCH))).unwrap();
                    loss += f64::from(r.loss) * r.rows as f64 / ROWS as f64;
                }
            }
            assert!((loss - history.last("loss").unwrap()).abs() < 1e-6, "{name}: {loss}");
            assert_eq!(bits(&mut blocks), bits(&mut whole), "{name} in blocks on {device}");
            assert_eq!(bits(&mut by_hand), bits(&mut whole), "{name} by hand on {device}");
            let (e, p) = (whole.evaluate(set, ROWS).unwrap(), whole.predict(set, ROWS).unwrap());
            assert_eq!(blocks.evaluate(&set.clone().memory_budget(1), ROWS).unwrap(), e, "{name}");
            assert_eq!(by_hand.test_on_batch(set).unwrap(), e, "{name}");
            assert_eq!(by_hand.predict_on_batch(set.features().unwrap()).unwrap(), p, "{name}");
            ends.push(bits(&mut whole));
        }
        assert_eq!(ends[0], ends[1], "u8 and u32 classes are the same labels");
        SUITE.ran(1);
    }
}

/// Tensors as they are, in pairs and by name; the report of a step.
#[test]
fn a_batch_by_hand() {
    let x = HostTensor::f32([4, 9], (0..36).map(|i| i as f32 / 36.0).collect()).unwrap();
    let y = HostTensor::u8([4], vec![0, 1, 2, 0]).unwrap();
    let mut model = classifier(&Device::cpu());
    let mut other = classifier(&Device::cpu());
    let r = model.train_on_batch((&x, &y)).unwrap();
    assert_eq!(r, other.train_on_batch([("y", y.clone()), ("x", x.clone())]).unwrap());
    assert_eq!((r.step, r.epoch, r.rows, r.losses.len(), r.epoch_ended), (1, 1, 4, 1, false));
    assert!(r.grad_norm > 0.0 && r.metrics["accuracy"].is_finite() && r.learning_rate == 0.01);
    says(model.train_on_batch(&x), "unsupported", &["labels"]);
    says(model.train_on_batch((&x, &HostTensor::u8([3], vec![0; 3]).unwrap())), "shape-mismatch", &["[4, 9]", "[3]"]);
    says(model.train_on_batch((&y, &y)), "shape-mismatch", &["[9]"]);
    says(model.predict_on_batch(&y), "shape-mismatch", &["[9]"]);
    // a loss that is not finite changes nothing, and the next batch trains
    let before = bits(&mut model);
    let nan = HostTensor::f32([4, 9], vec![f32::NAN; 36]).unwrap();
    says(model.train_on_batch((&nan, &y)), "non-finite-loss", &["step 2"]);
    assert_eq!(bits(&mut model), before);
    assert_eq!(model.train_on_batch((&x, &y)).unwrap(), other.train_on_batch((&x, &y)).unwrap());
    SUITE.ran(1);
}

/// Batches by hand between the steps of a loop: each goes on where it was.
#[test]
fn by_hand_within_a_loop() {
    for device in SUITE.devices() {
        let set = digits(ROWS);
        let mut alone = classifier(&device);
        for first in (0..ROWS).step_by(BATCH) {
            alone.train_on_batch(slice(&set, first, ROWS.min(first + BATCH))).unwrap();
            alone.train_on_batch(slice(&set, 5, 12)).unwrap();
        }
        for budget in [1 << 20, blocks_of(3 * BATCH as u64)] {
            let mut model = classifier(&device);
            let mut run = model.trainer(&set.clone().memory_budget(budget), Fit::new().batch_size(BATCH).shuffle(false)).unwrap();
            while run.steps(1).unwrap().is_some() {
                run.model().train_on_batch(slice(&set, 5, 12)).unwrap();
            }
            assert_eq!(bits(&mut model), bits(&mut alone), "{budget} bytes on {device}");
        }
        SUITE.ran(1);
    }
}

/// A loop over the very data set that another loop is in the middle of, and a bad batch by hand: the outer loop goes on where it was.
#[test]
fn a_loop_within_a_loop() {
    let set = digits(ROWS);
    let nan = Dataset::new(HostTensor::f32([2, 9], vec![f32::NAN; 18]).unwrap(), HostTensor::u8([2], vec![0; 2]).unwrap()).unwrap();
    for device in SUITE.devices() {
        let mut alone = classifier(&device);
        for (i, first) in (0..ROWS).step_by(BATCH).enumerate() {
            alone.train_on_batch(slice(&set, first, ROWS.min(first + BATCH))).unwrap();
            for from in (0..3 * BATCH).step_by(BATCH).filter(|_| i == 4) {
                alone.train_on_batch(slice(&set, from, from + BATCH)).unwrap();
            }
        }
        for budget in [1 << 20, blocks_of(3 * BATCH as u64)] {
            let set = set.clone().memory_budget(budget);
            let fit = || Fit::new().batch_size(BATCH).shuffle(false);
            let mut model = classifier(&device);
            let mut run = model.trainer(&set, fit()).unwrap();
            for i in 0.. {
                if run.steps(1).unwrap().is_none() {
                    break;
                }
                if i == 4 {
                    run.model().trainer(&set, fit()).unwrap().steps(3).unwrap();
                }
                if i == 6 {
                    says(run.model().train_on_batch(&nan), "non-finite-loss", &[]);
                }
            }
            assert_eq!(bits(&mut model), bits(&mut alone), "{budget} bytes on {device}");
        }
        SUITE.ran(1);
    }
}

/// The step that went wrong is named, streamed or not, and its data's error does not hide it.
#[test]
fn a_bad_step_in_a_stream() {
    let mut x = vec![0.5; ROWS * 9];
    x[100 * 9] = f32::NAN;
    let set = Dataset::new(HostTensor::f32([ROWS, 9], x).unwrap(), HostTensor::u8([ROWS], vec![1; ROWS]).unwrap()).unwrap();
    for device in SUITE.devices() {
        for budget in [1 << 20, 1] {
            let mut model = classifier(&device);
            let fit = Fit::new().batch_size(BATCH).shuffle(false).verbose(0);
            says(model.fit(&set.clone().memory_budget(budget), fit), "non-finite-loss", &["step 4"]);
        }
        SUITE.ran(1);
    }
}
