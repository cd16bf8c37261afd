//! What training changes at random: that it is drawn as it is told, costs no launch, is the same on every way to the batch, and never reaches what is only
//! looked at.

use crate::common::need::Suite;
use gradus::data::{self, Augment};
use gradus::graph::augment::{Augmentation, Drawn};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::Budget;

static SUITE: Suite = Suite::new("augment", 8);

const ROWS: usize = 203;
const BATCH: usize = 32;

fn bits(model: &Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

/// Images of 8 x 12 bytes, and three classes.
fn images() -> Dataset {
    of_rows(0..ROWS)
}

/// The same, of these rows.
fn of_rows(rows: impl Iterator<Item = usize> + Clone) -> Dataset {
    let pixel = |row: usize| (row * 96..(row + 1) * 96).map(|i| (i * i / 7 % 251) as u8);
    let x: Vec<u8> = rows.clone().flat_map(pixel).collect();
    let y: Vec<u8> = rows.map(|i| (i * 5 % 3) as u8).collect();
    let n = y.len();
    let set = Dataset::new(HostTensor::u8([n, 8, 12], x).unwrap(), HostTensor::u8([n], y).unwrap()).unwrap();
    set.flatten().scale(1.0 / 255.0).one_hot(3)
}

/// All at once.
fn everything() -> Augment {
    let places = Augment::new().shift(2).horizontal_flip(0.5).vertical_flip(0.2).rotate(20.0).translate(0.1).scale(0.8, 1.2).shear(10.0);
    with_values(places.contrast(0.3))
}

fn no_contrast() -> Augment {
    with_values(Augment::new().shift(2).horizontal_flip(0.5).rotate(20.0))
}

fn with_values(places: Augment) -> Augment {
    let values = places.brightness(0.3).noise(0.05).probability(0.7).erase(0.4);
    values.mixup(0.3).probability(0.5).cutmix(1.0).strength([0.5, 1.0])
}

fn classifier(device: &Device) -> Model {
    let settings = Compile::new(Adam::new(0.01), CrossEntropy::new()).input([96]).metric(Accuracy::new()).seed(3);
    let net = Sequential::new().add(Linear::new(12)).add(Relu).add(Linear::new(3));
    net.compile(settings.device(device.clone())).unwrap()
}

/// What is drawn by an augmentation of 28 x 28 images.
fn drawn(augment: Augment, rows: usize) -> (Augmentation, Vec<Drawn>) {
    let set = Dataset::unlabelled(HostTensor::u8([1, 28, 28], vec![7; 784]).unwrap()).unwrap().augment(augment);
    let by = set.fields()[0].augmented.clone().unwrap().by;
    let all = (0..rows).map(|i| by.draw(11, (i / 100) as u32, 0, i % 100, [28, 28], [0, 0])).collect();
    ((*by).clone(), all)
}

const DRAWS: usize = 10_000;

/// Fails unless the mean and the variance of numbers are those of the even distribution between two. Six standard errors.
fn even(what: &str, v: &[f64], low: f64, high: f64) {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let variance = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let wide = high - low;
    assert!((mean - (low + high) / 2.0).abs() < 6.0 * wide / (12.0 * n).sqrt(), "{what}: mean {mean}");
    // the variance of the square of an even deviate is wide^4 / 180
    assert!((variance - wide * wide / 12.0).abs() < 6.0 * wide * wide / (180.0 * n).sqrt(), "{what}: variance {variance}");
    assert!(v.iter().all(|x| (low - 1e-5..=high + 1e-5).contains(x)), "{what}: outside of {low} to {high}");
}

/// Fails unless something happened in this part of the cases, within six standard errors.
fn often(what: &str, times: usize, of: usize, p: f64) {
    let (times, of) = (times as f64, of as f64);
    assert!((times - of * p).abs() <= 6.0 * (of * p * (1.0 - p)).sqrt(), "{what}: {times} of {of}");
}

#[test]
fn each_transformation_is_drawn_as_it_is_told() {
    let numbers = |d: &[Drawn], f: &dyn Fn(&Drawn) -> f64| d.iter().map(f).collect::<Vec<_>>();
    let (_, d) = drawn(Augment::new().shift(3), DRAWS);
    for axis in 0..2 {
        for place in -3..=3 {
            let times = d.iter().filter(|d| d.corner[axis] == place).count();
            often("a shift", times, DRAWS, 1.0 / 7.0);
        }
    }
    let (_, d) = drawn(Augment::new().random_crop(24, 2), DRAWS);
    for place in -2..=6 {
        often("a crop", d.iter().filter(|d| d.corner[0] == place).count(), DRAWS, 1.0 / 9.0);
    }
    let (_, d) = drawn(Augment::new().horizontal_flip(0.3).vertical_flip(0.6), DRAWS);
    often("a flip", d.iter().filter(|d| d.mirrored[0]).count(), DRAWS, 0.3);
    often("a vertical flip", d.iter().filter(|d| d.mirrored[1]).count(), DRAWS, 0.6);
    often("both flips", d.iter().filter(|d| d.mirrored == [true, true]).count(), DRAWS, 0.18);
    // [cos sin; -sin cos]
    let (_, d) = drawn(Augment::new().rotate(30.0), DRAWS);
    let degrees = |d: &Drawn| f64::from(d.inverse[1]).atan2(f64::from(d.inverse[0])).to_degrees();
    even("degrees", &numbers(&d, &degrees), -30.0, 30.0);
    assert!(d.iter().all(|d| (d.inverse[0].powi(2) + d.inverse[1].powi(2) - 1.0).abs() < 1e-6));
    let (_, d) = drawn(Augment::new().translate(0.25), DRAWS);
    even("columns", &numbers(&d, &|d| d.moved[0].into()), -7.0, 7.0);
    even("rows", &numbers(&d, &|d| d.moved[1].into()), -7.0, 7.0);
    let (_, d) = drawn(Augment::new().scale(0.5, 1.5), DRAWS);
    even("sizes", &numbers(&d, &|d| 1.0 / f64::from(d.inverse[0])), 0.5, 1.5);
    let (_, d) = drawn(Augment::new().shear(20.0), DRAWS);
    even("slants", &numbers(&d, &|d| f64::from(d.inverse[1]).atan().to_degrees()), -20.0, 20.0);
    let (_, d) = drawn(Augment::new().brightness(0.4).contrast(0.2).probability(0.5).saturation(1.5), DRAWS);
    even("brightness", &numbers(&d, &|d| d.colours[0].into()), 0.6, 1.4);
    let some: Vec<f64> = numbers(&d, &|d| d.colours[1].into()).into_iter().filter(|c| *c != 1.0).collect();
    often("contrast", some.len(), DRAWS, 0.5);
    even("contrast", &some, 0.8, 1.2);
    even("saturation", &numbers(&d, &|d| d.colours[2].into()), 0.0, 2.5);
    let (_, d) = drawn(Augment::new().noise(0.3).probability(0.25), DRAWS);
    often("noise", d.iter().filter(|d| d.noise == 0.3).count(), DRAWS, 0.25);
    assert!(d.iter().all(|d| d.noise == 0.3 || d.noise == 0.0));
    let (_, d) = drawn(Augment::new().erase(0.5), DRAWS);
    let holes: Vec<_> = d.iter().map(|d| d.hole).filter(|h| h.to != [0, 0]).collect();
    often("holes", holes.len(), DRAWS, 0.5);
    let areas: Vec<f64> = holes.iter().map(|h| f64::from((h.to[0] - h.from[0]) * (h.to[1] - h.from[1])) / 784.0).collect();
    assert!((areas.iter().sum::<f64>() / areas.len() as f64 - 0.175).abs() < 0.01, "the mean area of holes");
    assert!(holes.iter().all(|h| h.from.iter().all(|v| *v >= 0) && h.to.iter().all(|v| *v <= 28)));
}

/// The partner is any other row; shares are Beta's; the area of a box is what the label loses.
#[test]
fn partners_are_drawn_as_they_are_told() {
    let rows = 16;
    let of = |a: &Augmentation, i: usize| a.partner(5, (i / rows) as u32, 0, i % rows, rows, [28, 28]).map(|p| (i % rows, p));
    let (a, _) = drawn(Augment::new().mixup(0.5).probability(0.8), 1);
    let all: Vec<_> = (0..DRAWS).filter_map(|i| of(&a, i)).collect();
    often("mixed rows", all.len(), DRAWS, 0.8);
    for away in 1..rows {
        let times = all.iter().filter(|(row, p)| (p.row + rows - row) % rows == away).count();
        often("a partner", times, all.len(), 1.0 / 15.0);
    }
    // Beta(a, a) has the variance 1 / (4 (2a + 1))
    let shares: Vec<f64> = all.iter().map(|(_, p)| f64::from(p.share)).collect();
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    let variance = shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / shares.len() as f64;
    assert!((mean - 0.5).abs() < 0.03 && (variance - 0.125).abs() < 0.01, "{mean} {variance}");
    let (a, _) = drawn(Augment::new().cutmix(1.0), 1);
    for (_, p) in (0..DRAWS).filter_map(|i| of(&a, i)) {
        let c = p.cut.unwrap();
        let area = (c.to[0] - c.from[0]) * (c.to[1] - c.from[1]);
        assert!((f64::from(p.share) - (1.0 - f64::from(area) / 784.0)).abs() < 1e-6 && c.from.iter().all(|v| *v >= 0));
    }
    // nobody to be mixed with
    assert!(a.partner(5, 0, 0, 0, 1, [28, 28]).is_none());
}

/// A weaker augmentation: half the range, half as often; nothing in the first epoch, and all of it once it has grown.
#[test]
fn strength_follows_the_epochs() {
    let set = |a: Augment| Dataset::unlabelled(HostTensor::u8([1, 28, 28], vec![7; 784]).unwrap()).unwrap().augment(a);
    let augment = Augment::new().shift(4).rotate(40.0).horizontal_flip(0.8).strength([0.0, 0.5, 1.0]);
    let by = set(augment).fields()[0].augmented.clone().unwrap().by;
    let draw = |epoch: u32| (0..DRAWS).map(|i| by.draw(1, i as u32, epoch, 0, [28, 28], [0, 0])).collect::<Vec<_>>();
    let nothing = Drawn::nothing([0, 0]);
    assert!(draw(0).iter().all(|d| *d == nothing));
    for (epoch, part) in [(1, 0.5), (2, 1.0), (7, 1.0)] {
        let d = draw(epoch);
        let degrees: Vec<f64> = d.iter().map(|d| f64::from(d.inverse[1]).atan2(f64::from(d.inverse[0])).to_degrees()).collect();
        even("degrees", &degrees, -40.0 * part, 40.0 * part);
        often("flips", d.iter().filter(|d| d.mirrored[0]).count(), DRAWS, 0.8 * part);
        let most = d.iter().map(|d| d.corner[0]).max().unwrap();
        assert_eq!(f64::from(most), 4.0 * part);
    }
}

/// No launch and no read more; one gather that says what it does.
#[test]
fn it_rides_on_the_gather() {
    for device in SUITE.devices() {
        let model = classifier(&device);
        let program = |d: &Dataset| model.prepare(d, BATCH).unwrap();
        let (plain, changed) = (program(&images()), program(&images().augment(everything())));
        assert_eq!(changed.launches.len(), plain.launches.len());
        assert!(changed.explain().contains("augmented: crop or shift, horizontal flip"), "{}", changed.explain());
        assert!(!plain.explain().contains("augmented"));
        // an empty one is none
        assert_eq!(program(&images().augment(Augment::new())).launches[0].label, plain.launches[0].label);
        SUITE.ran(1);
    }
}

/// The same bits from memory, in blocks and by a list, however many threads there are; other bits than without; and again after a stop in mid-epoch.
#[test]
fn every_way_to_the_batch_draws_the_same() {
    for device in SUITE.devices() {
        let set = images().augment(everything());
        let fit = || Fit::new().epochs(3).batch_size(BATCH).verbose(0);
        let mut whole = classifier(&device);
        let history = whole.fit(&set, fit()).unwrap();
        let mut again = classifier(&device);
        again.fit(&set, fit()).unwrap();
        assert_eq!(bits(&again), bits(&whole));
        let mut plain = classifier(&device);
        plain.fit(&images(), fit()).unwrap();
        assert_ne!(bits(&plain), bits(&whole));
        let budget = 4 * (96 + 4 + 24) * 40;
        let mut model = classifier(&device);
        assert_eq!(model.fit(&set.clone().memory_budget(budget), fit()).unwrap(), history, "blocks {device}");
        assert_eq!(bits(&model), bits(&whole), "blocks {device}");
        // a list beside a copy of its rows: neighbours of a batch are partners, wherever they lie
        let rows: Vec<usize> = (0..150).map(|i| i * 89 % ROWS).collect();
        let listed = set.select(&rows).unwrap();
        assert!(classifier(&device).prepare(&listed, BATCH).unwrap().is_listed());
        // without contrast, which is about the mean of the set that was augmented
        let listed = images().augment(no_contrast()).select(&rows).unwrap();
        let copy = of_rows(rows.iter().copied()).augment(no_contrast());
        let [mut a, mut b] = [classifier(&device), classifier(&device)];
        assert_eq!(a.fit(&listed, fit()).unwrap(), b.fit(&copy, fit()).unwrap(), "a list {device}");
        assert_eq!(bits(&a), bits(&b), "a list {device}");
        for shown in [set.clone(), set.clone().memory_budget(budget)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run.gradus");
            let stopping = |updates: usize| fit().checkpoint(Checkpoint::new(&path)).budget(Budget::updates(updates as u64));
            let mut first = classifier(&device);
            first.fit(&shown, stopping(10)).unwrap();
            let mut second = classifier(&device);
            second.fit(&shown, fit().checkpoint(Checkpoint::new(&path))).unwrap();
            assert_eq!(bits(&second), bits(&whole), "resumed {device}");
        }
        SUITE.ran(1);
    }
}

/// Evaluation, prediction and validation see the rows as they are, be they a part of the set that is trained on.
#[test]
fn what_is_looked_at_stays() {
    for device in SUITE.devices() {
        let (train, val) = images().augment(everything()).split(0.8, 0).unwrap();
        let plain = images().split(0.8, 0).unwrap().1;
        let mut model = classifier(&device);
        let history = model.fit(&train, Fit::new().epochs(1).batch_size(BATCH).validation(&val).verbose(0)).unwrap();
        assert_eq!(model.evaluate(&val, 50).unwrap(), model.evaluate(&plain, 50).unwrap());
        assert_eq!(model.predict(&val, 50).unwrap(), model.predict(&plain, 50).unwrap());
        // an epoch adds its batches up in another order
        let (seen, alone) = (history.last("val_loss").unwrap(), model.evaluate(&plain, BATCH).unwrap()["loss"]);
        assert!((seen - alone).abs() < 1e-6 * alone, "{seen} {alone}");
        SUITE.ran(1);
    }
}

/// A crop makes smaller images, and other sets are shown in the same size.
#[test]
fn crops_change_the_shape() {
    let set = images().augment(Augment::new().random_crop(6, 1));
    assert_eq!(set.input_shape().dims(), &[36]);
    let colour = Dataset::unlabelled(HostTensor::u8([1, 3, 9, 9], vec![0; 243]).unwrap()).unwrap();
    assert_eq!(colour.clone().augment(Augment::new().random_crop(8, 0)).input_shape().dims(), &[3, 8, 8]);
    let middle = colour.center_crop(5);
    assert_eq!(middle.input_shape().dims(), &[3, 5, 5]);
    for device in SUITE.devices() {
        let x = (0..2 * 16).map(|i| i as u8).collect();
        let set = Dataset::unlabelled(HostTensor::u8([2, 4, 4], x).unwrap()).unwrap().center_crop(2);
        let copy = step(|_, batch| StepOut::new(None).output("x", &(&batch["x"] * 1.0)));
        let model = copy.compile(Compile::step(Sgd::new(0.1)).input([2, 2]).device(device));
        let seen = model.unwrap().predict(&set, 2).unwrap();
        assert_eq!(seen.as_f32().unwrap(), [5.0, 6.0, 9.0, 10.0, 21.0, 22.0, 25.0, 26.0]);
        SUITE.ran(1);
    }
}

/// What does not fit is an error that says what to do.
#[test]
fn what_does_not_fit_is_refused() {
    let table = Dataset::new(HostTensor::f32([4, 3], vec![0.0; 12]).unwrap(), HostTensor::u8([4], vec![0, 1, 2, 0]).unwrap()).unwrap();
    let fails = |set: Dataset, text: &str| {
        let width = set.input_shape().size();
        let net = Sequential::new().add(Linear::new(3));
        let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([width]).device(Device::cpu());
        let e = net.compile(settings).unwrap().fit(&set, Fit::new().verbose(0)).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    };
    let a = Augment::new;
    fails(table.clone().augment(a().horizontal_flip(0.5)), "rows must be images");
    fails(table.clone().augment(a().mixup(0.2)), ".one_hot(classes)");
    fails(images().augment(a().rotate(400.0)), "degrees from 0 to 180");
    fails(images().augment(a().rotate(f32::NAN)), "degrees from 0 to 180");
    fails(images().augment(a().noise(0.1).noise(0.2)), "it stands twice");
    fails(images().augment(a().random_crop(8, 1).shift(1)), "give one of them");
    fails(images().augment(a().random_crop(20, 1)), "at most the padded image");
    fails(images().augment(a().horizontal_flip(1.5)), "from 0 to 1");
    fails(images().augment(a().saturation(0.5)), "not three channels");
    fails(images().augment(a().rotate(1.0).also("mask")), "no field `mask`");
    fails(images().augment(a().shift(1).strength([2.0])), "numbers from 0 to 1");
    fails(images().integers().augment(a().shift(1)), "integers");
    // masks that are shown in another size, and a mean that cannot be told
    let masked = |mask: fn(data::Look) -> data::Look| {
        let x = HostTensor::u8([4, 8, 8], vec![1; 256]).unwrap();
        let fields = [("x", x.clone()), ("mask", x), ("y", HostTensor::u8([4], vec![0; 4]).unwrap())];
        Dataset::from_fields(fields).unwrap().on("mask", mask).flatten().one_hot(3)
    };
    fails(masked(|m| m.center_crop(6)).augment(a().cutmix(1.0).also("mask")), "no image of the features' size");
    let pixels = HostTensor::f32([2, 2, 2], vec![1.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
    let gap = Dataset::new(pixels, HostTensor::u8([2], vec![0, 1]).unwrap()).unwrap().flatten();
    fails(gap.augment(a().contrast(0.5)), "not all finite");
    fails(images().augment(a().random_crop(8, usize::MAX)), "at most the padded image");
    // noise and mixing need no image
    let soft = table.one_hot(3).augment(a().noise(0.1).mixup(0.2));
    let net = Sequential::new().add(Linear::new(3));
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3]).device(Device::cpu());
    net.compile(settings).unwrap().fit(&soft, Fit::new().verbose(0)).unwrap();
}

/// Another seed draws other numbers in the same order of rows; a part of a set has the contrast of the whole.
#[test]
fn seeds_and_parts() {
    let by = |a: Augment| images().augment(a).fields()[0].augmented.clone().unwrap().by;
    let draws = |a: Augment| (0..50).map(|i| by(a.clone()).draw(1, 0, 0, i, [8, 12], [0, 0])).collect::<Vec<_>>();
    assert_ne!(draws(Augment::new().shift(3)), draws(Augment::new().shift(3).seed(0)));
    assert_ne!(draws(Augment::new().shift(3).seed(1)), draws(Augment::new().shift(3).seed(0)));
    let set = images().augment(Augment::new().contrast(0.5));
    let mean = |set: &Dataset| set.fields()[0].augmented.clone().unwrap().by.mean;
    assert!((mean(&set) - 125.0).abs() < 10.0 && mean(&set.select(&[3, 1]).unwrap()) == mean(&set));
    // one more transformation leaves the draws of the others as they are
    let both = Augment::new().shift(3).horizontal_flip(0.5).noise(0.1).erase(0.5);
    let corners = |a: Augment| draws(a).iter().map(|d| d.corner).collect::<Vec<_>>();
    assert_eq!(corners(both), corners(Augment::new().shift(3)));
}

#[test]
fn files_hold_it() {
    let json = serde_json::to_string(&everything()).unwrap();
    assert_eq!(serde_json::from_str::<Augment>(&json).unwrap(), everything());
    let short: Augment =
        serde_json::from_str(r#"{"transforms": [{"kind": "rotate", "degrees": 10.0}, {"kind": "horizontal_flip"}]}"#).unwrap();
    assert_eq!(short, Augment::new().rotate(10.0).horizontal_flip(0.5));
    assert!(serde_json::from_str::<Augment>(r#"{"transforms": [{"kind": "rotate", "degrees": 1.0, "angle": 2.0}]}"#).is_err());
    let _ = data::Transform::Noise { deviation: 0.1, probability: 1.0 };
}
