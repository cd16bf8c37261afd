//! A sum over all that a file of gradus holds, which tells whether the file is as it was written.

use super::format::{META, bad_file};
use crate::error::Result;
use safetensors::tensor::{Dtype, SafeTensors, View};
use std::collections::HashMap;
use std::path::Path;

/// The key under which the metadata hold the sum, in a file without settings. Where there are settings the sum stands at their end.
const ALONE: &str = "gradus.sum";
const BEFORE: &str = ",\"sum\":\"";

/// FNV-1a over words of 8 bytes in four lanes, with a rotation: as fast as memory. Every step is one to one, so that no change of a single
/// word goes unseen, and two in 2^64 others do. It tells damage; it is no signature.
struct Sum([u64; 4]);

impl Sum {
    fn new() -> Self {
        Sum([1, 2, 3, 4].map(|n| 0xcbf2_9ce4_8422_2325 ^ n))
    }

    fn add(&mut self, bytes: &[u8]) {
        let step = |h: u64, w: u64| (h ^ w).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        let (blocks, rest) = bytes.as_chunks::<32>();
        let mut lanes = self.0;
        let mut block = |b: &[u8; 32]| {
            for (lane, w) in lanes.iter_mut().zip(b.as_chunks::<8>().0) {
                *lane = step(*lane, u64::from_le_bytes(*w));
            }
        };
        blocks.iter().for_each(&mut block);
        let mut last = [0; 32];
        last[..rest.len()].copy_from_slice(rest);
        block(&last);
        lanes[0] = step(lanes[0], bytes.len() as u64);
        self.0 = lanes;
    }

    fn tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) {
        self.add(format!("{name} {dtype:?} {shape:?}").as_bytes());
        self.add(data);
    }

    fn text(&self) -> String {
        let all = self.0.iter().fold(0u64, |h, lane| (h ^ lane).wrapping_mul(0x0100_0000_01b3).rotate_left(23));
        format!("{all:016x}")
    }
}

/// A sum over words.
pub(crate) fn of_words(words: &[u32]) -> String {
    let mut sum = Sum::new();
    if cfg!(target_endian = "little") {
        sum.add(bytemuck::cast_slice(words));
    } else {
        sum.add(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>());
    }
    sum.text()
}

/// The bytes of a safetensors file with these settings, and with the sum over all of it.
pub(crate) fn summed<V: View>(mut tensors: Vec<(String, V)>, meta: Option<String>) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut sum = Sum::new();
    sum.add(meta.as_deref().unwrap_or_default().as_bytes());
    tensors.iter().for_each(|(name, t)| sum.tensor(name, t.dtype(), t.shape(), &t.data()));
    let (key, value) = match meta {
        None => (ALONE, sum.text()),
        Some(m) => (META, format!("{}{BEFORE}{}\"}}", m.strip_suffix('}').unwrap_or(&m), sum.text())),
    };
    safetensors::serialize(tensors, Some(HashMap::from([(key.to_string(), value)])))
}

/// Fails on a file whose content does not have the sum that it holds. A file without a sum, of another program or of an older gradus, passes.
pub(crate) fn check(path: &Path, bytes: &[u8], file: &SafeTensors<'_>) -> Result<()> {
    let Ok((_, header)) = SafeTensors::read_metadata(bytes) else { return Ok(()) };
    let of = |key: &str| header.metadata().as_ref().and_then(|m| m.get(key)).map(String::as_str);
    let parts = of(META).and_then(apart);
    let (meta, said) = match (&parts, of(ALONE)) {
        (Some((meta, said)), _) => (meta.as_str(), *said),
        (None, Some(said)) => ("", said),
        (None, None) => return Ok(()),
    };
    let mut sum = Sum::new();
    sum.add(meta.as_bytes());
    let mut tensors = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    tensors.iter().for_each(|(name, t)| sum.tensor(name, t.dtype(), t.shape(), t.data()));
    if sum.text() == said {
        return Ok(());
    }
    let problem = format!("it is not as it was written: the sum over it is {}, and it says {said}", sum.text());
    let help = "it was damaged: take another copy or an older one. If it was changed on purpose, take the sum out of its metadata";
    Err(bad_file(path, &problem, "its tensors and its metadata", help))
}

/// The settings without the sum, and the sum.
fn apart(meta: &str) -> Option<(String, &str)> {
    let at = meta.len().checked_sub(BEFORE.len() + 16 + 2)?;
    let said = meta.get(at..)?.strip_prefix(BEFORE)?.strip_suffix("\"}")?;
    Some((format!("{}}}", &meta[..at]), said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn file(meta: Option<&str>) -> Vec<u8> {
        let data: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(3)).collect();
        let view = |n: usize| TensorView::new(Dtype::F32, vec![n / 4], &data[..n]).unwrap();
        summed(vec![("b".into(), view(100)), ("a.weight".into(), view(32)), ("c".into(), view(4))], meta.map(String::from)).unwrap()
    }

    fn checked(bytes: &[u8]) -> Result<()> {
        match SafeTensors::deserialize(bytes) {
            Ok(f) => check(Path::new("f"), bytes, &f),
            Err(e) => Err(bad_file(Path::new("f"), &e.to_string(), "its header", "none")),
        }
    }

    /// Any bit of the file: turned, it is refused, or nothing is lost but the sum itself.
    #[test]
    fn every_turned_bit() {
        const HEAD: &str = r#"{"updates":17,"run":{"step":3}"#;
        for meta in [None, Some(format!("{HEAD}}}"))] {
            let whole = file(meta.as_deref());
            assert_eq!(whole, file(meta.as_deref()), "the same bytes each time");
            checked(&whole).unwrap();
            let (good, mut passed) = (SafeTensors::deserialize(&whole).unwrap(), 0);
            for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let Ok(read) = SafeTensors::deserialize(&bytes) else { continue };
                if checked(&bytes).is_err() {
                    continue;
                }
                passed += 1;
                let sorted = |f: &SafeTensors<'_>| {
                    let mut all: Vec<_> = f.tensors().iter().map(|(n, t)| (n.clone(), t.shape().to_vec(), t.data().to_vec())).collect();
                    all.sort();
                    all
                };
                assert_eq!(sorted(&read), sorted(&good), "byte {at}, bit {bit}");
                let header = SafeTensors::read_metadata(&bytes).unwrap().1;
                let text = header.metadata().as_ref().and_then(|m| m.get(META)).cloned();
                assert!(text.is_none_or(|t| t.starts_with(HEAD)), "byte {at}, bit {bit}");
            }
            // the names of the keys, and blanks at the header's end
            assert!(passed < 8 * 40, "{passed}");
        }
    }

    #[test]
    fn without_a_sum_it_passes() {
        let data = [0; 8];
        let view = || TensorView::new(Dtype::F32, vec![2], &data).unwrap();
        for meta in [None, Some(r#"{"updates":3}"#)] {
            let meta = meta.map(|m| HashMap::from([(META.to_string(), m.to_string())]));
            checked(&safetensors::serialize([("a", view())], meta).unwrap()).unwrap();
        }
    }

    #[test]
    fn order_length_and_repeats_count() {
        let sum = |parts: &[&[u8]]| {
            let mut s = Sum::new();
            parts.iter().for_each(|p| s.add(p));
            s.text()
        };
        let all = [
            sum(&[]),
            sum(&[b""]),
            sum(&[b"\0"]),
            sum(&[&[0; 32]]),
            sum(&[&[0; 64]]),
            sum(&[b"ab"]),
            sum(&[b"a", b"b"]),
            sum(&[b"b", b"a"]),
            sum(&[&[7; 40]]),
            sum(&[&[7; 41]]),
        ];
        assert!((0..all.len()).all(|i| !all[..i].contains(&all[i])), "{all:?}");
        assert_eq!(of_words(&[1, 2]), sum(&[&[1, 0, 0, 0, 2, 0, 0, 0]]));
    }
}
