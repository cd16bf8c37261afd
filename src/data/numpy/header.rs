//! The header of an npy file: a version, a length, and a Python dict of three keys.

use super::{Origin, shown};
use crate::error::Result;

/// Longest header that is read, magic included. NumPy pads its own to a multiple of 64 bytes; those of arrays of numbers have less than 200.
pub(super) const LONGEST: usize = 1 << 16;
const AGAIN: &str = "write it with `numpy.save`";

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
}

/// What an npy file holds.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub kind: Kind,
    /// Bytes of a value.
    pub width: usize,
    pub big_endian: bool,
    /// The first axis is the one that runs fastest.
    pub fortran: bool,
    pub dims: Vec<usize>,
    /// Where the values begin.
    pub start: usize,
}

impl Header {
    /// From the first bytes of a file of `size`, which must hold all values and nothing more.
    pub fn parse(bytes: &[u8], size: u64, origin: &Origin<'_>) -> Result<Self> {
        if !bytes.starts_with(b"\x93NUMPY") {
            return Err(origin.bad(0, "not an npy file: it does not begin with \\x93NUMPY".into(), AGAIN));
        }
        let short = || origin.bad(bytes.len(), "the file ends inside its header".into(), "it was cut short: write it again");
        let &[version, _] = bytes.get(6..8).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
        let (length, from) = match version {
            1 => (bytes.get(8..10).and_then(<[u8]>::first_chunk).map(|b| u16::from_le_bytes(*b).into()), 10),
            2 | 3 => (bytes.get(8..12).and_then(<[u8]>::first_chunk).map(|b| u32::from_le_bytes(*b)), 12),
            other => return Err(origin.bad(6, format!("version {other} of the format is not read"), AGAIN)),
        };
        let length = length.ok_or_else(short)? as usize;
        let start = from + length;
        if start > LONGEST {
            return Err(origin.bad(8, format!("its header would have {length} bytes"), AGAIN));
        }
        let text = bytes.get(from..start).ok_or_else(short)?;
        let wrong = |problem: String| origin.bad(from, format!("its header cannot be used: {problem}"), AGAIN);
        let text = std::str::from_utf8(text).map_err(|_| wrong("it is no UTF-8".into()))?;
        let Dict { descr, fortran, dims } = dict(text).ok_or_else(|| wrong(format!("`{}`", shown(text.trim()))))?;
        let (kind, width, big_endian) = value(&descr).ok_or_else(|| {
            let help = "save numbers: `.astype(numpy.float32)`, `.astype(numpy.uint8)`; floats, integers and bools are read";
            origin.bad(from, format!("values of type `{}` are not read", shown(&descr)), help)
        })?;
        if let Some(axis) = dims.iter().position(|&d| d == 0) {
            return Err(origin.bad(from, format!("axis {axis} of {dims:?} is empty"), "save an array with values"));
        }
        let values = dims.iter().try_fold(width, |n: usize, &d| n.checked_mul(d));
        let Some(end) = values.and_then(|n| n.checked_add(start)).filter(|&n| n < isize::MAX as usize) else {
            return Err(origin.bad(from, format!("the shape {dims:?} is larger than any memory"), AGAIN));
        };
        if size < end as u64 {
            let problem = format!("the file ends after {size} of the {end} bytes that the shape {dims:?} needs");
            return Err(origin.bad(size as usize, problem, "it was cut short: write it again"));
        }
        if size > end as u64 {
            return Err(origin.bad(end, format!("the file goes on after the {end} bytes of the shape {dims:?}"), AGAIN));
        }
        Ok(Header { kind, width, big_endian, fortran, dims, start })
    }
}

/// Byte order, kind and width of a value: `<f4`.
fn value(descr: &str) -> Option<(Kind, usize, bool)> {
    let mut chars = descr.chars();
    let big = match chars.next()? {
        '<' | '|' => false,
        '>' => true,
        '=' => cfg!(target_endian = "big"),
        _ => return None,
    };
    let kind = chars.next()?;
    match (kind, chars.as_str()) {
        ('b', "1") => Some((Kind::Bool, 1, big)),
        ('u', w @ ("1" | "2" | "4" | "8")) => Some((Kind::Unsigned, w.parse().ok()?, big)),
        ('i', w @ ("1" | "2" | "4" | "8")) => Some((Kind::Signed, w.parse().ok()?, big)),
        ('f', w @ ("2" | "4" | "8")) => Some((Kind::Float, w.parse().ok()?, big)),
        _ => None,
    }
}

struct Dict {
    descr: String,
    fortran: bool,
    dims: Vec<usize>,
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`: these three keys in any order, each once.
fn dict(text: &str) -> Option<Dict> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let (mut descr, mut fortran, mut dims) = (None, None, None);
    while !rest.starts_with('}') {
        let (key, after) = quoted(rest)?;
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            "descr" if descr.is_none() => {
                let (text, after) = match quoted(after) {
                    Some(found) => found,
                    // a list of fields: told as it stands
                    None => (after.get(..after.find(']')? + 1)?, after.get(after.find(']')? + 1..)?),
                };
                descr = Some(text.to_string());
                after
            }
            "fortran_order" if fortran.is_none() => {
                let (value, after) = [("True", true), ("False", false)].into_iter().find_map(|(w, v)| Some((v, after.strip_prefix(w)?)))?;
                fortran = Some(value);
                after
            }
            "shape" if dims.is_none() => {
                let (inside, after) = after.strip_prefix('(')?.split_once(')')?;
                dims = Some(axes(inside)?);
                after
            }
            _ => return None,
        };
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
    if rest != "}" {
        return None;
    }
    Some(Dict { descr: descr?, fortran: fortran?, dims: dims? })
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text.get(1..)?.split_once(quote)
}

/// `3, 4` or `3,`; nothing for one number.
fn axes(inside: &str) -> Option<Vec<usize>> {
    const MOST_AXES: usize = 64;
    let inside = inside.trim();
    if inside.is_empty() {
        return Some(vec![]);
    }
    let parts: Vec<&str> = inside.strip_suffix(',').unwrap_or(inside).split(',').take(MOST_AXES + 1).collect();
    // Python 2 wrote `3L`
    let axis = |p: &&str| p.trim().trim_end_matches('L').parse().ok();
    if parts.len() > MOST_AXES { None } else { parts.iter().map(axis).collect() }
}
