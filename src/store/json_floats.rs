//! Numbers in JSON that come back to the bit: finite ones as numbers of JSON, the others, for which JSON has no word, as texts.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that keeps its bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            x if x.is_finite() => s.serialize_f64(x),
            f64::INFINITY => s.serialize_str("inf"),
            f64::NEG_INFINITY => s.serialize_str("-inf"),
            x => s.serialize_str(&format!("nan:{:016x}", x.to_bits())),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = match Written::deserialize(d)? {
            Written::Number(x) => return Ok(Exact(x)),
            Written::Text(text) => text,
        };
        let nan = || Some(f64::from_bits(u64::from_str_radix(text.strip_prefix("nan:")?, 16).ok()?));
        match text.as_str() {
            "inf" => Ok(Exact(f64::INFINITY)),
            "-inf" => Ok(Exact(f64::NEG_INFINITY)),
            _ => nan().filter(|x| x.is_nan()).map(Exact).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a number")),
        }
    }
}

/// For `#[serde(with = "json_floats::one")]`.
pub(crate) mod one {
    use super::*;

    pub fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        Exact(*x).serialize(s)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        Exact::deserialize(d).map(|x| x.0)
    }
}

/// For a list of numbers.
pub(crate) mod many {
    use super::*;

    pub fn serialize<S: Serializer>(list: &[f64], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(|x| Exact(*x)))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Exact>::deserialize(d)?.into_iter().map(|x| x.0).collect())
    }
}

/// For named columns.
pub(crate) mod columns {
    use super::*;

    pub fn serialize<S: Serializer>(list: &[(String, Vec<f64>)], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(|(n, v)| (n, v.iter().map(|x| Exact(*x)).collect::<Vec<_>>())))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<(String, Vec<f64>)>, D::Error> {
        let all = Vec::<(String, Vec<Exact>)>::deserialize(d)?;
        Ok(all.into_iter().map(|(n, v)| (n, v.into_iter().map(|x| x.0).collect())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_the_bit() {
        let odd = [0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 3.0, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN];
        let odd: Vec<f64> = odd.into_iter().chain((0..2000).map(|i| f64::from_bits(0x3fb9_9999_9999_999a + i * 0x1_2345_6789))).collect();
        for x in odd {
            let text = serde_json::to_string(&Exact(x)).unwrap();
            let back: Exact = serde_json::from_str(&text).unwrap();
            assert_eq!(back.0.to_bits(), x.to_bits(), "{text}");
        }
        assert!(serde_json::from_str::<Exact>("\"nan:0\"").is_err() && serde_json::from_str::<Exact>("\"nan:x\"").is_err());
    }
}
