//! An augmentation from words, as a flag holds it.

use super::Augment;
use crate::error::{Error, Result};
use std::str::FromStr;

/// What can be said, with the numbers that are taken where they are left away.
const CHOICES: &[&str] = &[
    "shift[:PIXELS 2]",
    "flip[:PROBABILITY 0.5]",
    "vertical_flip[:PROBABILITY 0.5]",
    "rotate[:DEGREES 15]",
    "translate[:PART 0.1]",
    "scale[:LEAST 0.9:MOST 1.1]",
    "shear[:DEGREES 10]",
    "brightness[:BY 0.2]",
    "contrast[:BY 0.2]",
    "saturation[:BY 0.2]",
    "noise[:DEVIATION 0.1]",
    "erase[:PROBABILITY 0.25]",
    "mixup[:ALPHA 0.2]",
    "cutmix[:ALPHA 1]",
    "crop:SIZE[:PADDING 4]",
];

/// Transformations in words, for flags: names with commas between them, and numbers after colons, as in `shift:3,rotate,scale:0.8:1.2`. The error lists the choices with their defaults.
///
/// ```
/// use gradus::data::Augment;
/// let augment: Augment = "shift:3,rotate".parse()?;
/// assert_eq!(augment, Augment::new().shift(3).rotate(15.0));
/// assert!("rotat".parse::<Augment>().unwrap_err().to_string().contains("rotate[:DEGREES 15]"));
/// # Ok::<(), gradus::Error>(())
/// ```
impl FromStr for Augment {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let words = text.split(',').map(str::trim);
        words.filter(|w| !w.is_empty()).try_fold(Augment::new(), |augment, word| {
            with(augment, word).ok_or_else(|| Error::unknown_choice("augmentation", word, CHOICES))
        })
    }
}

/// One more, of its name and its numbers; none where it is not one.
fn with(augment: Augment, word: &str) -> Option<Augment> {
    let mut parts = word.split(':');
    let name = parts.next()?;
    let given: Vec<f32> = parts.map(|p| p.parse().ok().filter(|v: &f32| v.is_finite())).collect::<Option<_>>()?;
    let most = match name {
        "scale" | "crop" => 2,
        _ => 1,
    };
    let number = |i: usize, otherwise: f32| given.get(i).copied().unwrap_or(otherwise);
    let whole =
        |i: usize, otherwise: f32| Some(number(i, otherwise)).filter(|v| *v >= 0.0 && v.fract() == 0.0 && *v < 1e6).map(|v| v as usize);
    if given.len() > most {
        return None;
    }
    Some(match name {
        "shift" => augment.shift(whole(0, 2.0)?),
        "flip" | "horizontal_flip" => augment.horizontal_flip(number(0, 0.5)),
        "vertical_flip" => augment.vertical_flip(number(0, 0.5)),
        "rotate" => augment.rotate(number(0, 15.0)),
        "translate" => augment.translate(number(0, 0.1)),
        "scale" => augment.scale(number(0, 0.9), number(1, 1.1)),
        "shear" => augment.shear(number(0, 10.0)),
        "brightness" => augment.brightness(number(0, 0.2)),
        "contrast" => augment.contrast(number(0, 0.2)),
        "saturation" => augment.saturation(number(0, 0.2)),
        "noise" => augment.noise(number(0, 0.1)),
        "erase" => augment.erase(number(0, 0.25)),
        "mixup" => augment.mixup(number(0, 0.2)),
        "cutmix" => augment.cutmix(number(0, 1.0)),
        "crop" if !given.is_empty() => augment.random_crop(whole(0, 0.0)?, whole(1, 4.0)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_one() {
        for choice in CHOICES {
            let name = choice.split(['[', ':']).next().unwrap();
            let word = if name == "crop" { "crop:28".into() } else { name.to_string() };
            assert_eq!(word.parse::<Augment>().unwrap().transforms().len(), 1, "{choice}");
        }
        let all = "crop:24:2,flip:0.3, scale:0.5:2".parse::<Augment>().unwrap();
        assert_eq!(all, Augment::new().random_crop(24, 2).horizontal_flip(0.3).scale(0.5, 2.0));
        assert_eq!("".parse::<Augment>().unwrap(), Augment::new());
        for bad in ["crop", "shift:-1", "shift:1.5", "rotate:x", "rotate:1:2", "spin", "noise:nan", "shift:1e30"] {
            assert!(bad.parse::<Augment>().is_err(), "{bad}");
        }
    }
}
