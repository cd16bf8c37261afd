//! Windows of a series: what they hold, what they never see, and that their number costs nothing.

use crate::common::need::Suite;
use gradus::data::{self, Calendar, Csv, Series, Windows};
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("series", 6);

const TIMES: usize = 400;

/// Two variables, the second one the time itself.
fn values(times: usize) -> Vec<f32> {
    (0..times).flat_map(|t| [(t as f32 * 0.1).sin(), t as f32]).collect()
}

fn long(times: usize) -> Series {
    data::series(HostTensor::f32([times, 2], values(times)).unwrap()).unwrap().named(["wave", "time"]).unwrap()
}

/// A window's values are those of its times, and its target's of the times behind it.
#[test]
fn windows_hold_their_times() {
    let [_, part] = long(TIMES).split([100, 200]).unwrap();
    let set = part.windows(Windows::new(30, 5).stride(7).targets(["time"])).unwrap();
    assert_eq!((set.input_shape().dims(), set.len()), (&[30, 2][..], (200 - 5) / 7 + 1));
    let (x, y) = (set.features().unwrap().as_f32().unwrap(), set.labels().unwrap().as_f32().unwrap());
    for w in 0..set.len() {
        let first = 100 + 7 * w;
        let times = |v: &[f32]| v.iter().map(|t| *t as usize).collect::<Vec<_>>();
        assert_eq!(times(&y[w * 5..][..5]), (first..first + 5).collect::<Vec<_>>());
        let inputs: Vec<f32> = x[w * 60..][..60].iter().skip(1).step_by(2).copied().collect();
        assert_eq!(times(&inputs), (first - 30..first).collect::<Vec<_>>());
    }
    // the last target is the part's last
    assert!(y.iter().all(|t| (100.0..300.0).contains(t)));
}

/// The future is planted: nothing of it reaches the training part, its scale, or what is asked of an earlier part.
#[test]
fn nothing_leaks_from_the_future() {
    let known = 200;
    let mut planted = values(TIMES);
    planted[2 * known..].iter_mut().for_each(|v| *v = 1e30);
    let series = data::series(HostTensor::f32([TIMES, 2], planted).unwrap()).unwrap().standardize(0..known).unwrap();
    let clean = long(TIMES).standardize(0..known).unwrap();
    let [train, test] = series.split([known, TIMES - known]).unwrap();
    let windows = || Windows::new(24, 8);
    let set = train.windows(windows()).unwrap();
    let same = clean.split([known, 1]).unwrap()[0].windows(windows()).unwrap();
    assert_eq!(set.len(), known - 24 - 8 + 1);
    assert_eq!((set.features(), set.labels()), (same.features(), same.labels()));
    for (field, variable) in [("x", 0), ("x", 1), ("y", 1)] {
        assert_eq!(set.scaling(field, variable), same.scaling(field, variable));
    }
    // a model cannot have seen it: it learns the same bits
    for device in SUITE.devices() {
        let weights = |set: &Dataset| {
            let mut model = linear(&device);
            model.fit(set, Fit::new().epochs(1).batch_size(16).verbose(0)).unwrap();
            model.parameter("fc.weight").unwrap()
        };
        assert_eq!(weights(&set), weights(&same));
        SUITE.ran(1);
    }
    // the test part's first targets are the planted ones, its first inputs are known
    let test = test.windows(windows()).unwrap();
    let first = test.clone().take(1);
    assert!(first.features().unwrap().as_f32().unwrap().iter().all(|v| *v < 1e20));
    assert!(first.labels().unwrap().as_f32().unwrap().iter().all(|v| *v == 1e30));
}

fn linear(device: &Device) -> Model {
    let settings = Compile::new(Adam::new(0.01), Mse::new()).input([24, 2]).seed(1).device(device.clone());
    let net = module(|s, x| {
        let rows = x.shape().dims()[0];
        s.at("fc").call(&Linear::new(16), &x.reshape([rows, 48])).reshape([rows, 8, 2])
    });
    net.compile(settings).unwrap()
}

/// Overlapping on the device, copied in blocks, as a short list, and as a copy on the host: the same bits.
#[test]
fn every_way_to_a_window_is_the_same() {
    for device in SUITE.devices() {
        let series = long(TIMES).standardize(0..300).unwrap();
        let set = series.windows(Windows::new(24, 8)).unwrap();
        let copy = |set: &Dataset| {
            let (x, y) = (set.features().unwrap().clone(), set.labels().unwrap().clone());
            let of = |field: &str, v: &HostTensor| {
                let scaled = |(i, v): (usize, &f32)| {
                    let (scale, shift) = set.scaling(field, i % 2).unwrap();
                    v * scale as f32 + shift as f32
                };
                let dims = v.shape().clone();
                HostTensor::f32(dims, v.as_f32().unwrap().iter().enumerate().map(scaled).collect()).unwrap()
            };
            Dataset::new(of("x", &x), of("y", &y)).unwrap()
        };
        let run = |set: &Dataset| {
            let mut model = linear(&device);
            let history = model.fit(set, Fit::new().epochs(2).batch_size(32).validation(set).verbose(0)).unwrap();
            (history, model.parameter("fc.weight").unwrap(), model.predict(set, 50).unwrap())
        };
        let part = set.select(100..300).unwrap();
        for (name, set) in [("all", set.clone()), ("a range", part.clone())] {
            let whole = run(&set);
            let blocks = set.clone().memory_budget(3_000);
            let explained = linear(&device).prepare(&blocks, 32).unwrap().fields.iter().map(|f| f.step).collect::<Vec<_>>();
            assert_eq!(explained, [None, None], "blocks hold rows one behind the other");
            assert_eq!(run(&blocks), whole, "{name} in blocks {device}");
            let of_copy = run(&copy(&set));
            let last = |h: &History| h.last("loss").unwrap();
            assert!((last(&of_copy.0) - last(&whole.0)).abs() < 1e-4 * last(&whole.0), "{name} copied {device}");
        }
        // a list of windows, of all that is stored and of few, beside a copy of them
        let rows: Vec<usize> = (0..200).map(|i| i * 71 % set.len()).collect();
        let listed = set.select(&rows).unwrap();
        let program = linear(&device).prepare(&listed, 32).unwrap();
        assert!(program.is_listed() && program.fields.iter().all(|f| f.step == Some(2)));
        let (of_list, of_copy) = (run(&listed), run(&copy(&listed)));
        let last = |h: &History| h.last("loss").unwrap();
        assert!((last(&of_copy.0) - last(&of_list.0)).abs() < 1e-4 * last(&of_list.0), "a list {device}");
        let few = set.select(&[5, 3, 200]).unwrap();
        assert_eq!(run(&few).2.shape().dims(), &[3, 8, 2]);
        SUITE.ran(1);
    }
}

/// By the rows of the part alone, be it a range or a list; and rows of one's own take the scale of a series.
#[test]
fn windows_are_normalised_by_their_own_rows() {
    let set = long(100).windows(Windows::new(10, 2)).unwrap();
    // the time itself: windows 20, 40 and 60
    let listed = set.select(&[40, 20, 60]).unwrap().normalize().unwrap();
    let (scale, shift) = listed.scaling("x", 1).unwrap();
    let times: Vec<f64> = [20, 40, 60].into_iter().flat_map(|w| w..w + 10).map(f64::from).collect();
    let mean = times.iter().sum::<f64>() / 30.0;
    let deviation = (times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 30.0).sqrt();
    assert!((-shift / scale - mean).abs() < 1e-9 && (1.0 / scale - deviation).abs() < 1e-9, "{scale} {shift}");
    let ranged = set.select(0..50).unwrap().normalize().unwrap();
    let (scale, shift) = ranged.scaling("x", 1).unwrap();
    assert!((-shift / scale - 29.0).abs() < 1e-9, "the mean of times 0 to 58");
    // what a forecaster is asked: one window, without what comes
    let one = Dataset::unlabelled(HostTensor::f32([1, 10, 2], vec![1.0; 20]).unwrap()).unwrap().normalize_as(&ranged).unwrap();
    assert_eq!((one.scaling("x", 0), one.scaling("x", 1)), (ranged.scaling("x", 0), ranged.scaling("x", 1)));
}

/// What a set takes on the device does not grow with the length of its windows.
#[test]
fn memory_does_not_grow_with_the_length() {
    for device in SUITE.devices() {
        let bytes = |length: usize| {
            let set = long(20_000).windows(Windows::new(length, 8)).unwrap();
            let settings = Compile::new(Sgd::new(0.0), Mse::new()).input([length, 2]).device(device.clone());
            let last = module(move |_, x| x.slice(1, length - 8..length));
            let model = last.compile(settings).unwrap();
            model.evaluate(&set, 1).unwrap();
            model.device_bytes()
        };
        let (short, long) = (bytes(8), bytes(400));
        let stored = 20_000 * 2 * 4;
        assert!(long < short + stored / 2, "{short} bytes with windows of 8 times, {long} with windows of 400: {stored} are stored");
        SUITE.ran(1);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let fails = |r: gradus::Result<Dataset>, text: &str| {
        let e = r.map(|_| ()).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    };
    fails(long(40).windows(Windows::new(38, 8)), "give at least one time of each");
    fails(long(40).windows(Windows::new(0, 8)), "give at least one time of each");
    fails(long(40).windows(Windows::new(8, 8).stride(0)), "give at least one time of each");
    fails(long(40).windows(Windows::new(8, 8).targets(["wove"])), "wove");
    assert!(long(40).split([30, 11]).is_err() && long(40).split([40, 0]).is_err());
    assert!(long(40).standardize(10..41).is_err() && long(40).standardize(3..3).is_err());
    assert!(long(40).named(["one"]).is_err());
    let mut gap = values(40);
    gap[7] = f32::NAN;
    let gap = data::series(HostTensor::f32([40, 2], gap).unwrap()).unwrap();
    assert!(gap.standardize(0..20).unwrap_err().to_string().contains("fill in what is missing"));
    assert!(
        data::series(HostTensor::u8([4], vec![0; 4]).unwrap()).is_err() && data::series(HostTensor::f32([1], vec![0.0]).unwrap()).is_err()
    );
    assert!(long(40).calendar(&Calendar::new("2024-02-30", 3600).hour()).is_err());
    assert!(long(40).calendar(&Calendar::new("2024-02-28", 3600)).is_err());
}

/// The calendar's columns stand behind the variables, in the inputs alone.
#[test]
fn the_calendar_goes_in() {
    let series = long(100).calendar(&Calendar::new("2024-01-01", 3600).hour().weekday()).unwrap().standardize(0..50).unwrap();
    let set = series.windows(Windows::new(30, 2)).unwrap();
    assert_eq!((set.input_shape().dims(), set.labels().unwrap().shape().dims()), (&[30, 4][..], &[69, 2, 2][..]));
    let x = set.features().unwrap().as_f32().unwrap();
    assert_eq!((x[2], x[4 * 23 + 2], x[3], x[4 * 24 + 3]), (-0.5, 0.5, -0.5, 1.0 / 6.0 - 0.5));
    assert_eq!(set.scaling("x", 2), Some((1.0, 0.0)));
}

/// A table's columns are variables, in the order of its rows; a target and what is dropped are none.
#[test]
fn a_table_becomes_a_series() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    let rows = |n: u32| (0..n).map(|t| format!("day {t},{t},{},{}\n", 10 * t, 100 * t)).collect::<String>();
    let read = |n: u32| {
        std::fs::write(&path, format!("date,a,b,c\n{}", rows(n))).unwrap();
        Csv::new().drop("date").target("b").read(&path).unwrap().series()
    };
    let series = read(3).unwrap();
    assert_eq!((series.names(), series.values()), (&["a".to_string(), "c".into()][..], &[0.0, 0.0, 1.0, 100.0, 2.0, 200.0][..]));
    assert!(read(1).unwrap_err().to_string().contains("at least two times"));
}
