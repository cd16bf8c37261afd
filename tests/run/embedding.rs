//! A model over word numbers learns; its bits do not depend on threads; numbers without a row are refused.

use crate::common::need::Suite;
use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::{DType, HostTensor};

static SUITE: Suite = Suite::new("embedding", 13);

const WORDS: usize = 31;
const LENGTH: usize = 9;

/// Sentences of one of three subjects: six words in ten are its own, the rest any. The last word of the list never occurs.
fn sentences(rows: usize, seed: u64) -> Dataset {
    let mut r = Philox::new(seed, "sentences");
    let mut pick = |n: usize| (r.uniform() * n as f64) as u32;
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let subject = pick(3);
        x.extend((0..LENGTH).map(|_| if pick(10) < 6 { 10 * subject + pick(10) } else { pick(30) }));
        y.push(subject);
    }
    Dataset::new(HostTensor::u32([rows, LENGTH], x).unwrap(), HostTensor::u32([rows], y).unwrap()).unwrap().integers()
}

/// The same, without a word that the numbers are to stay whole.
fn plain(rows: usize, seed: u64) -> Dataset {
    let said = sentences(rows, seed);
    Dataset::new(said.features().unwrap().clone(), said.labels().unwrap().clone()).unwrap()
}

fn net() -> impl Module {
    module(|s, x| {
        let h = s.at("embed").call(&Embedding::new(WORDS, 8), x).mean_axes(&[1]);
        s.at("head").call(&Linear::new(3), &h)
    })
}

fn compiled(device: &Device) -> Model {
    let settings = Compile::new(Adam::new(0.05), CrossEntropy::new()).input([LENGTH]).input_dtype(DType::U32).metric(Accuracy::new());
    net().compile(settings.device(device.clone())).unwrap()
}

fn table(m: &mut Model) -> Vec<f32> {
    m.parameter("embed.weight").unwrap().as_f32().unwrap().to_vec()
}

#[test]
fn a_bag_of_words_learns() {
    let (train, test) = (sentences(600, 1), sentences(300, 2));
    for device in SUITE.devices() {
        let mut model = compiled(&device);
        let before = (model.evaluate(&test, 64).unwrap()["accuracy"], table(&mut model));
        model.fit(&train, Fit::new().epochs(5).batch_size(32).verbose(0)).unwrap();
        let accuracy = model.evaluate(&test, 64).unwrap()["accuracy"];
        println!("{device}: accuracy {:.3}, then {accuracy:.3}", before.0);
        assert!(before.0 < 0.6 && accuracy > 0.9, "{device}: {} {accuracy}", before.0);
        // a word that never occurs stays where it was, all others move
        let after = table(&mut model);
        let moved = |w: usize| after[8 * w..8 * w + 8] != before.1[8 * w..8 * w + 8];
        assert!((0..WORDS - 1).all(moved) && !moved(WORDS - 1), "{device}");
        SUITE.ran(1);
    }
}

#[test]
fn the_same_bits_at_every_run_and_thread_count() {
    let train = sentences(203, 3);
    let run = |device: &Device| {
        let mut model = compiled(device);
        model.fit(&train, Fit::new().epochs(2).batch_size(100).verbose(0)).unwrap();
        table(&mut model).iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(&Device::cpu_threads(1)), run(&Device::cpu_threads(5)));
    for device in SUITE.devices() {
        assert_eq!(run(&device), run(&device), "{device}");
        SUITE.ran(1);
    }
}

#[test]
fn numbers_without_a_row_are_refused() {
    let mut words = vec![3; 40 * LENGTH];
    words[17 * LENGTH + 4] = 31;
    let bad = Dataset::new(HostTensor::u32([40, LENGTH], words).unwrap(), HostTensor::u32([40], vec![0; 40]).unwrap()).unwrap();
    let bad = bad.integers();
    let mut model = compiled(&Device::cpu());
    let (before, fit) = (table(&mut model), Fit::new().verbose(0));
    let all = [model.fit(&bad, fit).err(), model.evaluate(&bad, 8).err(), model.predict(&bad, 8).err()];
    for e in all {
        let e = e.expect("an error");
        let text = e.to_string();
        assert_eq!(e.code(), "index-out-of-range", "{text}");
        for part in ["index 31 of row 17", "31 rows", "layer `embed`", "field `x`"] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }
    assert_eq!(before, table(&mut model));
    // the rows before it are good
    model.fit(&bad.take(17), Fit::new().verbose(0)).unwrap();
    SUITE.ran(1);
}

#[test]
fn numbers_and_reals_are_not_mixed_up() {
    let code = |e: gradus::Error, part: &str| {
        assert_eq!(e.code(), "dtype-mismatch", "{e}");
        assert!(e.to_string().contains(part), "{e}");
    };
    let settings = || Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([LENGTH]).device(Device::cpu());
    code(net().compile(settings()).unwrap_err(), "input_dtype");
    let reals =
        Dataset::new(HostTensor::f32([8, LENGTH], vec![1.0; 8 * LENGTH]).unwrap(), HostTensor::u32([8], vec![0; 8]).unwrap()).unwrap();
    code(compiled(&Device::cpu()).fit(&reals, Fit::new().verbose(0)).unwrap_err(), "`x` is stored as f32");
    // what the data set makes of its numbers is not passed over
    code(compiled(&Device::cpu()).fit(&plain(8, 0).scale(0.5), Fit::new()).unwrap_err(), "leave `scale`");
    let reals = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([LENGTH]).device(Device::cpu());
    let mut linear = Sequential::new().add(Linear::new(3)).compile(reals).unwrap();
    code(linear.fit(&sentences(8, 0), Fit::new()).unwrap_err(), "leave `.integers()` away");
    SUITE.ran(1);
}

#[test]
fn a_padding_row_is_zeros_and_stays_so() {
    let train = sentences(203, 4);
    for device in SUITE.devices() {
        let net = Sequential::new().add(Embedding::new(WORDS, 8).padding_idx(7)).add(Flatten).add(Linear::new(3));
        let settings = Compile::new(Adam::new(0.01), CrossEntropy::new()).input([LENGTH]).input_dtype(DType::U32);
        let mut model = net.compile(settings.device(device.clone())).unwrap();
        let weight = |m: &mut Model| m.parameter("0.weight").unwrap().as_f32().unwrap().to_vec();
        let before = weight(&mut model);
        model.fit(&train, Fit::new().epochs(1).verbose(0)).unwrap();
        let after = weight(&mut model);
        let row = |v: &[f32], w: usize| v[8 * w..8 * w + 8].to_vec();
        assert!(row(&before, 7) == [0.0; 8] && row(&after, 7) == [0.0; 8], "{device}");
        assert!(row(&before, 6) != row(&after, 6) && row(&before, 6) != [0.0; 8], "{device}");
        // a whole model in a file knows its table, its padding row and that it takes indices
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words.gradus");
        model.save(&path).unwrap();
        let mut loaded = Model::load_on(&path, device.clone()).unwrap();
        assert_eq!(model.predict(&train, 50).unwrap(), loaded.predict(&train, 50).unwrap());
        loaded.fit(&train, Fit::new().epochs(1).verbose(0)).unwrap();
        assert_eq!(row(&weight(&mut loaded), 7), [0.0; 8]);
        SUITE.ran(1);
    }
}

/// A model that takes indices takes what is stored as integers, to the same bits as where the data set says so too: by `fit`, from the
/// user's hand, in blocks, from bytes and by name.
#[test]
fn integers_that_the_model_takes_need_no_second_word() {
    let (said, plain) = (sentences(60, 7), plain(60, 7));
    let x = said.features().unwrap();
    for device in SUITE.devices() {
        let [mut a, mut b] = [compiled(&device), compiled(&device)];
        let fit = || Fit::new().epochs(2).batch_size(16).verbose(0);
        assert_eq!(a.fit(&said, fit()).unwrap().get("loss"), b.fit(&plain, fit()).unwrap().get("loss"), "{device}");
        assert_eq!(table(&mut a), table(&mut b), "{device}");
        assert_eq!(a.evaluate(&said, 32).unwrap(), b.evaluate(&plain, 32).unwrap());
        let want = a.predict(&said, 60).unwrap();
        let bytes = HostTensor::u8([60, LENGTH], x.as_u32().unwrap().iter().map(|w| *w as u8).collect()).unwrap();
        for batch in [x.clone(), bytes] {
            assert_eq!(b.predict_on_batch(&batch).unwrap(), want, "{device}");
            assert_eq!(b.predict(&Dataset::unlabelled(batch).unwrap().memory_budget(4096), 60).unwrap(), want, "{device}");
        }
        assert_eq!(b.activation("head", x).unwrap(), want);
        let y = said.labels().unwrap();
        assert_eq!(a.train_on_batch(said.clone()).unwrap().loss, b.train_on_batch((x, y)).unwrap().loss);
        assert!(b.find_non_finite(&plain).unwrap().is_none() && b.profile(&plain, 16).is_ok());

        // a field of another name
        let net = step(|s, b| {
            let city = s.at("city").call(&Embedding::new(4, 3), &b["city"]);
            let y = s.at("head").call(&Linear::new(1), &b["x"].concat(&[&city], 1));
            let loss = (&y - &b["y"]).square().mean();
            StepOut::new(&loss).output("y", &y).metric("mse", &loss)
        });
        let settings = Compile::step(Sgd::new(0.1)).input([2]).indices_named("city", []).device(device.clone());
        let mut model = net.compile(settings).unwrap();
        let real = |n: usize| HostTensor::f32([5, n], (0..5 * n).map(|i| i as f32 * 0.1).collect()).unwrap();
        let city = HostTensor::u32([5], vec![3, 0, 1, 2, 3]).unwrap();
        let set = Dataset::from_fields([("x", real(2)), ("city", city.clone()), ("y", real(1))]).unwrap();
        model.fit(&set, Fit::new().verbose(0)).unwrap();
        let by_hand = model.predict_on_batch([("x", real(2)), ("city", city)]).unwrap();
        assert_eq!(by_hand, model.predict(&set, 5).unwrap(), "{device}");
        SUITE.ran(1);
    }
}

/// A recipe keeps what the input is.
#[test]
fn a_recipe_of_an_embedding_runs() {
    use gradus::train::{DataSpec, Recipe, Registry};
    let net = Sequential::new().add(Embedding::new(WORDS, 4)).add(Flatten).add(Linear::new(3));
    let settings = Compile::new(Adam::new(0.05), CrossEntropy::new()).input([LENGTH]).input_dtype(DType::U32);
    let recipe = Recipe::new(&net, &settings, &Fit::new(), DataSpec::new("sentences")).unwrap();
    let again = Recipe::from_json(&recipe.to_json()).unwrap();
    assert_eq!(again, recipe);
    let mut model = again.compile(&Registry::new(), &Device::cpu()).unwrap();
    let history = model.fit(&sentences(200, 1), Fit::new().epochs(5).verbose(0)).unwrap();
    assert!(history.get("loss")[4] < history.get("loss")[0]);
    SUITE.ran(1);
}

/// Keras' `mask_zero`: the mean over the words of a sentence that are not 0, from the ids alone; by hand in f64.
#[test]
fn a_mask_from_ids_leaves_padding_out() {
    let (rows, words) = (40, 12);
    let mut r = Philox::new(3, "padded");
    let ids: Vec<u32> =
        (0..rows * LENGTH).map(|i| if i % LENGTH > i / LENGTH % LENGTH { 0 } else { (r.uniform() * f64::from(words)) as u32 }).collect();
    let net = || {
        module(move |s, ids| {
            let mask = ids.not_equal(0).unsqueeze(2);
            let h = s.at("embed").call(&Embedding::new(words as usize, 4), ids);
            let mean = (h * &mask).sum_axes(&[1]) / mask.sum_axes(&[1]).maximum(1.0);
            let seen = ids.one_hot(words as usize).max_axes(&[1]);
            mean.concat(&[&seen, &ids.to_f32().max_axes(&[1]).unsqueeze(1)], 1)
        })
    };
    let data = Dataset::unlabelled(HostTensor::u32([rows, LENGTH], ids.clone()).unwrap()).unwrap().integers();
    for device in SUITE.devices() {
        let settings = Compile::new(Sgd::new(0.1), Mse::new()).input([LENGTH]).input_dtype(DType::U32).device(device.clone());
        let mut model = net().compile(settings).unwrap();
        let table = table(&mut model);
        let got = model.predict(&data, 7).unwrap();
        let width = 4 + words as usize + 1;
        for (ids, got) in ids.chunks(LENGTH).zip(got.as_f32().unwrap().chunks(width)) {
            let some: Vec<usize> = ids.iter().filter(|&&i| i != 0).map(|&i| i as usize).collect();
            let mean = |k: usize| some.iter().map(|i| f64::from(table[4 * i + k])).sum::<f64>() / some.len().max(1) as f64;
            assert!((0..4).all(|k| (f64::from(got[k]) - mean(k)).abs() < 1e-6), "{ids:?} on {device}: {got:?}");
            let seen = (0..words).map(|w| f32::from(u8::from(ids.contains(&w))));
            assert!(seen.zip(&got[4..]).all(|(a, b)| a == *b), "{ids:?} on {device}: {got:?}");
            assert_eq!(got[width - 1], *ids.iter().max().unwrap() as f32);
        }
        SUITE.ran(1);
    }
}
