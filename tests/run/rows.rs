//! Parts of a set, drawn or named: the rows that a loop over a copy of them sees, at the cost of a list.

use crate::common::{hear::warnings, need::Suite};
use gradus::data::{Rows, Split};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::collections::HashMap;

static SUITE: Suite = Suite::new("rows", 27);

const ROWS: usize = 403;
const BATCH: usize = 32;

fn bits(model: &mut Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

/// Rows of 9 bytes, which end in mid-word, and three classes, the last one rare.
fn stored(rows: usize) -> (Vec<u8>, Vec<u8>) {
    let x = (0..rows * 9).map(|i| (i * 37 % 256) as u8).collect();
    let y = (0..rows).map(|i| if i % 19 == 0 { 2 } else { (i * i % 2) as u8 }).collect();
    (x, y)
}

fn shown(x: Vec<u8>, y: Vec<u8>) -> Dataset {
    let rows = y.len();
    let x = HostTensor::u8([rows, 3, 3], x).unwrap();
    Dataset::new(x, HostTensor::u8([rows], y).unwrap()).unwrap().flatten().scale(1.0 / 255.0)
}

fn digits() -> Dataset {
    let (x, y) = stored(ROWS);
    shown(x, y)
}

/// A set of its own with the rows of a part, in the same order.
fn copied(part: &Dataset) -> Dataset {
    let (x, y) = stored(ROWS);
    let rows: Vec<usize> = part.rows().iter().collect();
    shown(rows.iter().flat_map(|&r| x[r * 9..][..9].to_vec()).collect(), rows.iter().map(|&r| y[r]).collect())
}

fn classifier(device: &Device) -> Model {
    let settings = Compile::new(Adam::new(0.01), CrossEntropy::new()).input([9]).metric(Accuracy::new()).seed(3);
    let net = Sequential::new().add(Linear::new(12)).add(Relu).add(Linear::new(3));
    net.compile(settings.device(device.clone())).unwrap()
}

/// A budget under which blocks have so many rows: 12 + 4 bytes on the device, 12 for each field's numbers.
fn blocks_of(rows: u64) -> u64 {
    4 * (12 + 4 + 24) * rows
}

/// Parts of every kind: drawn, strata, listed with repeats, few, of parts, joined.
fn parts(set: &Dataset) -> Vec<(&'static str, Dataset)> {
    let (train, val) = set.split(0.7, 5).unwrap();
    let repeats: Vec<usize> = (0..200).map(|i| i * i % ROWS).collect();
    vec![
        ("drawn", train.clone()),
        ("the rest", val.clone()),
        ("strata", set.split(0.5, Split::seeded(1).stratified()).unwrap().1),
        ("a fold", set.k_fold(4, 9).unwrap().swap_remove(2).0),
        ("repeats", set.select(&repeats).unwrap()),
        ("a few", set.select(&[400, 3, 77, 3]).unwrap()),
        ("of a part", train.select(10..90).unwrap().split(0.5, 0).unwrap().0),
        ("a range", set.select(100..171).unwrap()),
        ("joined", Dataset::concat(&[val, set.select(0..40).unwrap()]).unwrap()),
    ]
}

/// Losses, weights, history, evaluation and prediction over a part are those over a copy of its rows: on the device, in blocks, shuffled or not.
#[test]
fn a_part_trains_as_a_copy_of_its_rows() {
    for device in SUITE.devices() {
        for (name, part) in parts(&digits()) {
            let copy = copied(&part);
            assert_eq!((copy.features(), copy.labels()), (part.features(), part.labels()), "{name}");
            for shuffle in [true, false] {
                let fit = || Fit::new().epochs(2).batch_size(BATCH).shuffle(shuffle).verbose(0);
                let mut whole = classifier(&device);
                let history = whole.fit(&copy, fit().validation(&copy)).unwrap();
                for budget in [None, Some(1), Some(blocks_of(40))] {
                    let shown = budget.map_or(part.clone(), |b| part.clone().memory_budget(b));
                    let mut model = classifier(&device);
                    let seen = model.fit(&shown, fit().validation(&shown)).unwrap();
                    assert_eq!(seen, history, "{name}, shuffle {shuffle}, budget {budget:?}, {device}");
                    assert_eq!(bits(&mut model), bits(&mut whole), "{name}, shuffle {shuffle}, budget {budget:?}, {device}");
                    assert_eq!(model.evaluate(&shown, 50).unwrap(), whole.evaluate(&copy, 50).unwrap(), "{name}");
                    assert_eq!(model.predict(&shown, 50).unwrap(), whole.predict(&copy, 50).unwrap(), "{name}");
                }
            }
        }
        SUITE.ran(1);
    }
}

/// The parts of a split are two lists over one copy of what is stored; a step over one has no launch more.
#[test]
fn parts_share_what_is_stored() {
    for device in SUITE.devices() {
        let set = digits();
        let bytes = |used: &[&Dataset]| {
            let mut model = classifier(&device);
            model.fit(used[0], Fit::new().batch_size(BATCH).verbose(0)).unwrap();
            used[1..].iter().for_each(|d| drop(model.evaluate(d, BATCH).unwrap()));
            model.device_bytes()
        };
        let (train, val) = set.split(0.8, 0).unwrap();
        let stored = (ROWS * (12 + 4)) as u64;
        // on the host a part holds no value of its own
        assert!(std::ptr::eq(set.features().unwrap(), set.clone().take(ROWS).features().unwrap()));
        let whole = bytes(&[&set, &set]);
        let parts = bytes(&[&train, &val]);
        let lists = (4 * ROWS + 2 * 12) as u64;
        assert!(
            parts.abs_diff(whole) < lists + stored / 4,
            "{parts} bytes for two parts, {whole} for the whole, {lists} of lists, {device}"
        );
        let folds = set.k_fold(3, 1).unwrap();
        let all: Vec<&Dataset> = folds.iter().flat_map(|(train, val)| [train, val]).collect();
        assert!(bytes(&all) < whole + stored, "{} bytes for the folds, {whole} for the whole", bytes(&all));

        let model = classifier(&device);
        let program = |d: &Dataset| model.prepare(d, BATCH).unwrap();
        let (listed, plain) = (program(&train), program(&set));
        assert_eq!(listed.launches.len(), plain.launches.len());
        assert!(listed.is_listed() && !plain.is_listed() && !program(&set.select(5..99).unwrap()).is_listed());
        assert!(listed.explain().contains("by a list of rows"), "{}", listed.explain());
        // sixteen bytes a row beside one that knows its place: the number is read, and nothing else moves
        assert_eq!(listed.launches[0].bytes - plain.launches[0].bytes, 4 * BATCH as u64);
        SUITE.ran(1);
    }
}

/// Each class is drawn as often as any other, the same rows wherever they are, others in each epoch and for each seed.
#[test]
fn balanced_rows() {
    // the loss of a model that gives its input, at rate 0: which row was drawn
    let rows = 150usize;
    let x = HostTensor::f32([rows, 1], (0..rows).map(|i| i as f32).collect()).unwrap();
    let y = HostTensor::u8([rows], (0..rows).map(|i| u8::from(i >= 145)).collect()).unwrap();
    let zeros = HostTensor::f32([rows, 1], vec![0.0; rows]).unwrap();
    let classes = Dataset::from_fields([("x", x), ("y", y), ("target", zeros)]).unwrap();
    let seen = |device: &Device, set: &Dataset, shuffle: bool, cut: usize| {
        let step = gradus::train::step(|s, batch| {
            let out = s.at("fc").call(&Linear::new(1), &batch["x"]);
            StepOut::new((&out - &batch["target"]).square().mean()).output("y", &out)
        });
        let settings = Compile::step(Sgd::new(0.0)).input([1]).input_named("target", [1]).seed(4).device(device.clone());
        let mut model = step.compile(settings).unwrap();
        model.set_parameter("fc.weight", &HostTensor::f32([1, 1], vec![1.0]).unwrap()).unwrap();
        model.set_parameter("fc.bias", &HostTensor::f32([1], vec![0.0]).unwrap()).unwrap();
        let mut run = model.trainer(set, Fit::new().epochs(6).batch_size(1).shuffle(shuffle)).unwrap();
        let mut losses = Vec::new();
        while let Some(r) = run.steps(cut).unwrap() {
            losses.extend(r.losses.iter().map(|l| l.sqrt().round() as u32));
        }
        losses
    };
    let balanced = classes.balanced(8).unwrap();
    let expected = seen(&Device::cpu(), &balanced, true, 1000);
    assert_eq!(expected.len(), 6 * rows);
    let mut counts: HashMap<u32, usize> = HashMap::new();
    expected.iter().for_each(|r| *counts.entry(*r).or_default() += 1);
    let rare: usize = counts.iter().filter(|(r, _)| **r >= 145).map(|(_, n)| n).sum();
    // half of 900, give or take six deviations
    assert!(rare.abs_diff(450) < 90, "{rare} of the rare class");
    assert!((145..150).all(|r| counts[&r].abs_diff(90) < 55) && counts.len() > 125, "{counts:?}");
    assert_ne!(expected[..rows], expected[rows..2 * rows]);
    assert_ne!(seen(&Device::cpu(), &classes.balanced(9).unwrap(), true, 1000), expected);
    for device in SUITE.devices() {
        for set in [balanced.clone(), balanced.clone().memory_budget(1)] {
            for (shuffle, cut) in [(true, 7), (false, 1000)] {
                assert!(seen(&device, &set, shuffle, cut) == expected, "{set:?}, shuffle {shuffle}, {device}");
            }
        }
        // a part draws from its own rows, whoever holds them
        let part = classes.split(0.5, Split::seeded(2).stratified()).unwrap().0.balanced(8).unwrap();
        let own: Vec<u32> = part.rows().iter().map(|r| r as u32).collect();
        let drawn = seen(&device, &part, true, 1000);
        assert!(drawn.iter().all(|r| own.contains(r)) && drawn.len() == 6 * part.len());
        assert_eq!(seen(&device, &part.memory_budget(1), true, 3), drawn);
        // looking at it takes each row once
        let model = classifier(&device);
        let set = digits().balanced(1).unwrap();
        assert_eq!(model.evaluate(&set, BATCH).unwrap(), model.evaluate(&digits(), BATCH).unwrap());
        assert_eq!(model.predict(&set, BATCH).unwrap(), model.predict(&digits(), BATCH).unwrap());
        SUITE.ran(1);
    }
}

/// Cut in mid-epoch and gone on with in a new model: the bits of the run that was not cut.
#[test]
fn a_run_over_parts_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        for (name, part) in parts(&digits()).into_iter().take(5).chain([("balanced", digits().balanced(3).unwrap())]) {
            for budget in [None, Some(blocks_of(40))] {
                let part = budget.map_or(part.clone(), |b| part.clone().memory_budget(b));
                let path = folder.path().join("run.gradus");
                let fit = |epochs| Fit::new().epochs(epochs).batch_size(BATCH).verbose(0);
                let mut whole = classifier(&device);
                whole.fit(&part, fit(3)).unwrap();
                let mut cut = classifier(&device);
                let mut run = cut.trainer(&part, fit(3)).unwrap();
                let steps = run.steps_per_epoch();
                for k in [steps, 3.min(steps)] {
                    run.steps(k).unwrap();
                }
                run.checkpoint(&path).unwrap();
                let mut again = classifier(&device);
                let resumed = fit(3).checkpoint(Checkpoint::new(&path).every_epochs(0)).resume(Resume::Required);
                again.fit(&part, resumed.clone()).unwrap();
                assert_eq!(bits(&mut again), bits(&mut whole), "{name}, budget {budget:?}, {device}");
                // another list of as many rows, or another seed, is another run
                let other = if name == "balanced" {
                    digits().balanced(4).unwrap()
                } else {
                    let mut rows: Vec<usize> = part.rows().iter().collect();
                    rows.reverse();
                    digits().select(&rows).unwrap()
                };
                let e = classifier(&device).fit(&other, resumed).unwrap_err().to_string();
                assert!(e.contains(if name == "balanced" { "seed of its balance" } else { "data, list of rows" }), "{e}");
            }
        }
        SUITE.ran(1);
    }
}

/// A label that no output has is named by its row of the part, as are a class that a part lacks and what cannot be.
#[test]
fn mistakes_are_named() {
    let (x, mut y) = stored(ROWS);
    y[200] = 9;
    let set = shown(x, y).select(150..300).unwrap().select(&[7, 50, 9]).unwrap();
    for device in SUITE.devices() {
        for set in [set.clone(), set.clone().memory_budget(1)] {
            let e = classifier(&device).fit(&set, Fit::new().batch_size(2).verbose(0)).unwrap_err();
            assert!(e.code() == "label-out-of-range" && e.to_string().contains("label 9 of row 1 "), "{e}");
        }
        SUITE.ran(1);
    }
    let set = digits();
    type Call = Box<dyn Fn() -> gradus::Result<()>>;
    let call = |f: fn(&Dataset) -> gradus::Result<()>| -> Call {
        let set = set.clone();
        Box::new(move || f(&set))
    };
    let real = Dataset::new(HostTensor::f32([4, 1], vec![0.0; 4]).unwrap(), HostTensor::f32([4], vec![0.0; 4]).unwrap()).unwrap();
    let bare = Dataset::unlabelled(HostTensor::f32([4, 1], vec![0.0; 4]).unwrap()).unwrap();
    let cases: [(Call, &str, &[&str]); 15] = [
        (call(|d| d.select(&[0, 403]).map(drop)), "shape-mismatch", &["row 403 of 403", "rows.rs", "none above 402"]),
        (call(|d| d.select(400..404).map(drop)), "shape-mismatch", &["row 403 of 403"]),
        (call(|d| d.select(3..3).map(drop)), "shape-mismatch", &["no row is chosen"]),
        (call(|d| d.select(vec![usize::MAX]).map(drop)), "shape-mismatch", &["of 403"]),
        (call(|d| d.split(0.0, 1).map(drop)), "invalid-config", &["split.fraction", "above 0 and below 1"]),
        (call(|d| d.split(f64::NAN, 1).map(drop)), "invalid-config", &["split.fraction", "NaN"]),
        (call(|d| d.split(1.0, 1).map(drop)), "invalid-config", &["split.fraction"]),
        (call(|d| d.split(0.001, 1).map(drop)), "invalid-config", &["0.001 of 403 rows", "without a row"]),
        (call(|d| d.k_fold(1, 0).map(drop)), "invalid-config", &["k_fold.k", "1 folds of 403 rows"]),
        (call(|d| d.k_fold(404, 0).map(drop)), "invalid-config", &["404 folds"]),
        (call(|_| Dataset::concat(&[]).map(drop)), "shape-mismatch", &["no set"]),
        (call(|d| Dataset::concat(&[d.clone(), d.clone().scale(2.0)]).map(drop)), "shape-mismatch", &["set 1", "field `x`", "times"]),
        (call(|d| Dataset::concat(&[d.clone(), d.balanced(1)?]).map(drop)), "unsupported", &["balanced"]),
        (Box::new(move || real.split(0.5, Split::seeded(0).stratified()).map(drop)), "unsupported", &["Dataset::split", "labels f32"]),
        (Box::new(move || bare.balanced(0).map(drop)), "unsupported", &["Dataset::balanced", "no labels"]),
    ];
    for (call, code, words) in &cases {
        let e = call().unwrap_err();
        assert_eq!(e.code(), *code, "{e}");
        words.iter().for_each(|w| assert!(e.to_string().contains(w), "no `{w}` in {e}"));
        SUITE.ran(1);
    }
}

#[test]
fn a_class_that_a_part_lacks_is_warned_of() {
    let y = HostTensor::u8([9], vec![0, 0, 0, 0, 1, 1, 1, 1, 2]).unwrap();
    let set = Dataset::new(HostTensor::f32([9, 1], vec![0.0; 9]).unwrap(), y).unwrap().class_names(["cat", "dog"]);
    let all = warnings(|| drop(set.split(0.5, Split::seeded(0).stratified()).unwrap()));
    assert!(all.len() == 1 && all[0].contains("no row of the class `2`"), "{all:?}");
    // only two rows of one part, of three classes
    let few = set.select(&[0, 4, 5]).unwrap();
    let all = warnings(|| drop(few.k_fold(3, 0).unwrap())).join("\n");
    assert!(
        all.contains("`cat` in the training part") && all.contains("fold 2 of 3") && all.contains("`dog` in the validation part"),
        "{all}"
    );
    let enough = warnings(|| drop(digits().split(0.5, Split::seeded(0).stratified()).unwrap()));
    assert!(enough.is_empty(), "{enough:?}");
    // reals have no classes
    let real = Dataset::new(HostTensor::f32([2, 1], vec![0.0; 2]).unwrap(), HostTensor::f32([2], vec![0.0, 1.0]).unwrap()).unwrap();
    assert!(warnings(|| drop(real.split(0.5, 0).unwrap())).is_empty());
}

/// The draw is the seed's, every row falls in one part, shares hold to a row, and each part keeps the set's order.
#[test]
fn how_rows_are_drawn() {
    let set = digits();
    let numbers = |d: &Dataset| d.rows().iter().collect::<Vec<_>>();
    for how in [Split::seeded(3), Split::seeded(3).stratified()] {
        let (a, b) = set.split(0.8, how).unwrap();
        assert_eq!((a.len(), b.len()), (322, 81));
        assert_eq!(set.split(0.8, how).unwrap(), (a.clone(), b.clone()));
        assert_ne!(set.split(0.8, if how.stratified { Split::seeded(4).stratified() } else { Split::seeded(4) }).unwrap().0, a);
        assert!(numbers(&a).is_sorted() && numbers(&b).is_sorted());
        let mut all = [numbers(&a), numbers(&b)].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..ROWS));
        let mut validated = Vec::new();
        let shares = |d: &Dataset, of: f64| {
            let all = set.class_counts().unwrap();
            let own = d.class_counts().unwrap();
            all.iter().zip(own).all(|(&(c, all), (own, n))| c == own && (n as f64 - all as f64 * of).abs() <= 1.0)
        };
        assert!(!how.stratified || shares(&a, 0.8) && shares(&b, 0.2));
        for (train, val) in set.k_fold(5, how).unwrap() {
            assert!(train.len() + val.len() == ROWS && (80..=81).contains(&val.len()));
            assert!(!how.stratified || shares(&val, 0.2));
            validated.extend(numbers(&val));
        }
        validated.sort_unstable();
        assert!(validated.into_iter().eq(0..ROWS));
    }
    // a wrong draw of the strata would not be the same on every machine
    let few = set.select(0..12).unwrap();
    assert_eq!(numbers(&few.split(0.5, 11).unwrap().0).len(), 6);
    assert_eq!(few.select(0..4).unwrap().rows(), &Rows::Range(0..4));
}

/// Sets of other sources are joined where they are, streamed or not; weights go with the rows.
#[test]
fn joined_sets_and_weights() {
    let (x, y) = stored(ROWS);
    let (a, b) = (shown(x[..9 * 100].to_vec(), y[..100].to_vec()), shown(x[9 * 100..].to_vec(), y[100..].to_vec()));
    let all = Dataset::concat(&[a.clone(), b, a.select(&[5, 3, 5]).unwrap()]).unwrap();
    let rows: Vec<usize> = (0..ROWS).chain([5, 3, 5]).collect();
    let copy = digits().select(&rows).unwrap();
    assert_eq!((all.features(), all.labels()), (copy.features(), copy.labels()));
    let weights: Vec<f32> = rows.iter().map(|&r| (r % 7) as f32 / 3.0).collect();
    let weighed = |d: &Dataset| d.clone().weights(HostTensor::f32([rows.len()], weights.clone()).unwrap()).unwrap();
    let e = copy.clone().weights(HostTensor::f32([rows.len()], (0..rows.len()).map(|i| i as f32).collect()).unwrap()).unwrap_err();
    assert!(e.to_string().contains("row 403 is one that stands in the set before"), "{e}");
    for device in SUITE.devices() {
        for (set, other) in [(all.clone(), copy.clone()), (weighed(&all), weighed(&copy))] {
            let mut first = classifier(&device);
            let history = first.fit(&other, Fit::new().epochs(2).batch_size(BATCH).verbose(0)).unwrap();
            for set in [set.clone(), set.memory_budget(blocks_of(36))] {
                let mut model = classifier(&device);
                assert_eq!(model.fit(&set, Fit::new().epochs(2).batch_size(BATCH).verbose(0)).unwrap(), history, "{device}");
                assert_eq!(bits(&mut model), bits(&mut first), "{device}");
            }
        }
        SUITE.ran(1);
    }
}
