//! An initialiser from words, as a flag holds it.

use super::{Fan, Gain, Init};
use crate::error::{Error, Result};
use std::str::FromStr;

const CHOICES: [&str; 13] = [
    "zeros",
    "ones",
    "constant:VALUE",
    "uniform:BOUND",
    "normal:STD",
    "truncated_normal:STD",
    "xavier_uniform:GAIN",
    "xavier_normal:GAIN",
    "kaiming_uniform:GAIN",
    "kaiming_normal:GAIN",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal:GAIN",
];

const GAINS: [&str; 7] = ["linear", "sigmoid", "tanh", "relu", "leaky_relu:SLOPE", "selu", "a number"];

/// An initialiser in words, for flags: its name, and after a colon its number or [`Gain`].
///
/// `zeros`, `ones`, `constant:VALUE`, `uniform:BOUND`, `normal:STD`, `truncated_normal:STD`, `xavier_uniform:GAIN`, `xavier_normal:GAIN`,
/// `kaiming_uniform:GAIN`, `kaiming_normal:GAIN`, `lecun_uniform`, `lecun_normal`, `orthogonal:GAIN`. Kaiming's is of the fan in. A gain that
/// is left out is 1, for Kaiming's that of ReLU; a deviation that is left out is PyTorch's 1 or, truncated, 0.02. `glorot` and `he` are Keras'
/// names of Xavier's and Kaiming's. The error lists the choices.
///
/// ```
/// use gradus::nn::{Fan, Gain, Init};
/// assert_eq!("kaiming_normal".parse::<Init>()?, Init::kaiming_normal(Fan::In, Gain::Relu));
/// assert_eq!("xavier_normal:tanh".parse::<Init>()?, Init::xavier_normal(Gain::Tanh));
/// # Ok::<(), gradus::Error>(())
/// ```
impl FromStr for Init {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        read(text.trim()).ok_or_else(|| Error::unknown_choice("init", text, &CHOICES))
    }
}

fn read(text: &str) -> Option<Init> {
    let (name, more) = text.split_once(':').map_or((text, None), |(name, more)| (name, Some(more)));
    let number = |default: Option<f64>| more.map_or(default, |w| w.trim().parse().ok());
    let gain = |default: Gain| more.map_or(Some(default), |w| w.parse().ok());
    let alone = |init: Init| more.is_none().then_some(init);
    match name {
        "zeros" => alone(Init::Zeros),
        "ones" => alone(Init::Ones),
        "constant" => number(None).map(Init::Constant),
        "uniform" => number(None).map(Init::Uniform),
        "normal" => number(Some(1.0)).map(Init::Normal),
        "truncated_normal" => number(Some(0.02)).map(|std| Init::truncated_normal(0.0, std)),
        "xavier_uniform" | "glorot_uniform" => gain(Gain::Linear).map(Init::xavier_uniform),
        "xavier_normal" | "glorot_normal" => gain(Gain::Linear).map(Init::xavier_normal),
        "kaiming_uniform" | "he_uniform" => gain(Gain::Relu).map(|g| Init::kaiming_uniform(Fan::In, g)),
        "kaiming_normal" | "he_normal" => gain(Gain::Relu).map(|g| Init::kaiming_normal(Fan::In, g)),
        "lecun_uniform" => alone(Init::LecunUniform),
        "lecun_normal" => alone(Init::LecunNormal),
        "orthogonal" => gain(Gain::Linear).map(Init::Orthogonal),
        _ => None,
    }
}

/// PyTorch's words of `calculate_gain`: `linear`, `sigmoid`, `tanh`, `relu`, `leaky_relu:SLOPE` (0.01 where it is left out), `selu`; or a number.
impl FromStr for Gain {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (name, slope) = text.trim().split_once(':').map_or((text.trim(), None), |(name, slope)| (name, Some(slope)));
        let gain = match (name, slope) {
            ("linear", None) => Some(Gain::Linear),
            ("sigmoid", None) => Some(Gain::Sigmoid),
            ("tanh", None) => Some(Gain::Tanh),
            ("relu", None) => Some(Gain::Relu),
            ("selu", None) => Some(Gain::Selu),
            ("leaky_relu", slope) => slope.map_or(Some(0.01), |s| s.trim().parse().ok()).map(Gain::LeakyRelu),
            (number, None) => number.parse().ok().map(Gain::Of),
            _ => None,
        };
        gain.ok_or_else(|| Error::unknown_choice("gain", text, &GAINS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_them() {
        for (words, init) in [
            ("zeros", Init::Zeros),
            ("constant:0.5", Init::Constant(0.5)),
            ("uniform:0.1", Init::Uniform(0.1)),
            ("normal:0.01", Init::Normal(0.01)),
            ("normal", Init::Normal(1.0)),
            ("truncated_normal", Init::truncated_normal(0.0, 0.02)),
            ("glorot_uniform", Init::xavier_uniform(Gain::Linear)),
            ("xavier_normal:1.5", Init::xavier_normal(Gain::Of(1.5))),
            ("he_uniform", Init::kaiming_uniform(Fan::In, Gain::Relu)),
            ("kaiming_normal:leaky_relu:0.2", Init::kaiming_normal(Fan::In, Gain::LeakyRelu(0.2))),
            ("lecun_normal", Init::LecunNormal),
            ("orthogonal:tanh", Init::Orthogonal(Gain::Tanh)),
        ] {
            assert_eq!(words.parse::<Init>().unwrap(), init, "{words}");
        }
        for words in ["", "xavier", "constant", "uniform", "zeros:1", "normal:x", "orthogonal:swish", "lecun_normal:relu"] {
            let e = words.parse::<Init>().unwrap_err();
            assert!(e.code() == "unknown-choice" && e.to_string().contains("orthogonal:GAIN"), "{words}: {e}");
        }
        assert!("swish".parse::<Gain>().unwrap_err().to_string().contains("leaky_relu:SLOPE"));
        assert!("relu:2".parse::<Gain>().is_err());
    }
}
