//! Initialisers against the moments of PyTorch's: the file made by `tests/golden/make_initialisers.py`; and what a seed and a name fix.

use crate::common::need::Suite;
use gradus::nn::{Gain, InitScheme, LeakyRelu};
use gradus::prelude::*;
use gradus::tensor::Shape;
use serde_json::Value;

static SUITE: Suite = Suite::new("golden_initialisers", 19);

/// Mean, deviation, fourth moment over the square of the second, greatest magnitude.
fn moments(v: &[f64]) -> [f64; 4] {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let central = |p: i32| v.iter().map(|x| (x - mean).powi(p)).sum::<f64>() / n;
    [mean, central(2).sqrt(), central(4) / central(2).powi(2), v.iter().fold(0.0, |r, x| r.max(x.abs()))]
}

fn wide(v: Vec<f32>) -> impl Iterator<Item = f64> {
    v.into_iter().map(f64::from)
}

fn linear(seed: u64, shape: &Shape, name: &str) -> Vec<f32> {
    let net = Sequential::new().add(Linear::new(shape.dims()[0]));
    let settings = Compile::new(Sgd::default(), Mse::new()).input([shape.dims()[1]]).device(Device::cpu()).seed(seed);
    net.compile(settings).unwrap().parameter(name).unwrap().as_f32().unwrap().to_vec()
}

/// Of 400,000 draws on either side the mean is known to 0.0016 deviations, the deviation to 0.0011 of itself and the fourth moment to
/// 0.005 of itself at most (one standard error): the bounds are five of the difference's. Uniform and cut distributions also reach as
/// far, to 1e-4 of it; a bias, of few elements, and normal ones are not compared there.
#[test]
fn moments_are_pytorchs() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/initialisers.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for case in &cases {
        let shape: Shape = serde_json::from_value(case["shape"].clone()).unwrap();
        let mut drawn: Vec<f64> = Vec::new();
        let mut seed = 0;
        while drawn.len() < 400_000 {
            drawn.extend(match case["init"].as_str() {
                Some("pytorch linear weight") => wide(linear(seed, &shape, "0.weight")),
                Some("pytorch linear bias") => {
                    // 70 elements a model: fewer of them do, under wider bounds
                    if seed == 100 {
                        break;
                    }
                    wide(linear(seed, &shape, "0.bias"))
                }
                _ => wide(serde_json::from_value::<Init>(case["init"].clone()).unwrap().draw(seed, "weight", &shape)),
            });
            seed += 1;
        }
        let fewer = (400_000.0 / drawn.len() as f64).sqrt().max(1.0);
        let [mean, std, kurtosis, reach] = moments(&drawn);
        let want = |key: &str| case[key].as_f64().unwrap();
        let what = format!("{}: mean {mean}, deviation {std}, kurtosis {kurtosis}, reach {reach} for {case}", case["init"]);
        assert!((mean - want("mean")).abs() < 0.011 * fewer * want("std"), "{what}");
        assert!((std / want("std") - 1.0).abs() < 0.008 * fewer, "{what}");
        assert!((kurtosis / want("kurtosis") - 1.0).abs() < 0.035 * fewer, "{what}");
        if want("kurtosis") < 2.6 && drawn.len() >= 400_000 {
            assert!((reach / want("reach") - 1.0).abs() < 1e-3, "{what}");
        }
        println!("{what}");
        if case["off"].is_number() {
            assert!(want("off") < 1e-12, "the file is wrong");
            let values = &drawn[..shape.size()];
            let (rows, cols) = (shape.dims()[0], shape.size() / shape.dims()[0]);
            let (count, length) = (rows.min(cols), rows.max(cols));
            let at = |i: usize, k: usize| if rows <= cols { values[i * cols + k] } else { values[k * cols + i] };
            for (i, j) in (0..count).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let product: f64 = (0..length).map(|k| at(i, k) * at(j, k)).sum();
                let wanted = if i == j { want("square") } else { 0.0 };
                assert!((product - wanted).abs() < 2e-6, "{}: rows {i} and {j} give {product}", case["init"]);
            }
        }
    }
    SUITE.ran(cases.len());
}

/// A layer more, or other settings of one, change no other parameter's values; the seed and the name do.
#[test]
fn a_name_has_its_own_draws() {
    let model =
        |net: Sequential, seed| net.compile(Compile::new(Sgd::default(), Mse::new()).input([6]).device(Device::cpu()).seed(seed)).unwrap();
    let orthogonal = Init::orthogonal(Gain::Tanh);
    let base = || Sequential::new().add(Linear::new(6).init(Init::lecun_normal())).add(Tanh).add(Linear::new(6).init(orthogonal));
    let (a, b, c) = (model(base(), 1), model(base().add(Linear::new(6)), 1), model(base(), 2));
    let other = model(
        Sequential::new().add(Linear::new(9).init(Init::truncated_normal(0.0, 1.0))).add(Tanh).add(Linear::new(6).init(orthogonal)),
        1,
    );
    for name in ["0.weight", "2.weight"] {
        assert_eq!(a.parameter(name).unwrap(), b.parameter(name).unwrap(), "{name}");
        assert_ne!(a.parameter(name).unwrap(), c.parameter(name).unwrap(), "{name}");
    }
    // the first draws of a name, whatever the shape before it
    assert_eq!(other.parameter("2.weight").unwrap().shape().dims(), [6, 9]);
    assert_ne!(a.parameter("0.weight").unwrap(), a.parameter("2.weight").unwrap());
    SUITE.ran(1);
}

/// A scheme reaches every linear layer of a `Sequential`, inner ones too, and nothing else; a recipe holds what it set.
#[test]
fn schemes_reach_every_layer() {
    let inner = Sequential::new().add(Linear::new(5)).add(Relu);
    let net = Sequential::new().add(Linear::new(4).bias_init(Init::Ones)).add(LeakyRelu::new()).add(inner).add(Linear::new(3).bias(false));
    let keras = net.clone().init(InitScheme::Keras);
    let model = keras.clone().compile(Compile::new(Sgd::default(), Mse::new()).input([8]).device(Device::cpu())).unwrap();
    let limit = (6.0f32 / 12.0).sqrt();
    let weight = model.parameter("0.weight").unwrap();
    let reach = weight.as_f32().unwrap().iter().fold(0.0f32, |m, x| m.max(x.abs()));
    assert!(reach <= limit && reach > 0.8 * limit, "{reach} {limit}");
    assert!(["0.bias", "2.0.bias"].iter().all(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().all(|x| *x == 0.0)));
    assert_eq!(
        model
            .predict(&Dataset::unlabelled(gradus::tensor::HostTensor::f32([1, 8], vec![0.1; 8]).unwrap()).unwrap(), 1)
            .unwrap()
            .shape()
            .dims(),
        [1, 3]
    );
    // PyTorch's is what layers have of themselves: it takes the other away again
    let plain = |n: &Sequential| serde_json::to_string(&n.config().unwrap()).unwrap();
    let back = plain(&keras.init(InitScheme::Pytorch));
    assert_eq!(back, plain(&net.init(InitScheme::Pytorch)));
    assert!(!back.contains("init"), "{back}");
    assert!(
        plain(&Sequential::new().add(Linear::new(2)).init("orthogonal:relu".parse::<InitScheme>().unwrap()))
            .contains(r#""orthogonal":"relu""#)
    );
    assert!("xavier".parse::<InitScheme>().unwrap_err().to_string().contains("choose one of pytorch, keras, zeros"));
    SUITE.ran(1);
}

/// A padded table takes Keras' start too, with its row of zeros; an initialiser that has no padded twin is told.
#[test]
fn tables_start_by_a_scheme() {
    let table = |t: Embedding| {
        let settings = Compile::new(Sgd::default(), Mse::new()).input([2]).input_dtype(gradus::tensor::DType::U32).device(Device::cpu());
        Sequential::new().add(t).compile(settings)
    };
    let model = table(Embedding::new(50, 8).padding_idx(3).init(InitScheme::Keras)).unwrap();
    let weight = model.parameter("0.weight").unwrap();
    let v = weight.as_f32().unwrap();
    let reach = v.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    assert!(reach <= 0.05 && reach > 0.045 && v[24..32] == [0.0; 8] && v[32] != 0.0, "{reach}");
    let e = table(Embedding::new(50, 8).padding_idx(3).weight_init(Init::Ones)).unwrap_err().to_string();
    assert!(e.contains("`0.weight`") && e.contains("a padding row"), "{e}");
    SUITE.ran(1);
}
