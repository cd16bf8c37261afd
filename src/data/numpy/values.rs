//! The values of an npy file.

use super::Origin;
use super::header::{Header, Kind};
use crate::error::Result;
use crate::tensor::HostTensor;
use half::f16;

/// The values of a file with this header, from their first byte on: as many as the shape has.
pub(super) fn read(header: &Header, bytes: &[u8], origin: &Origin<'_>) -> Result<HostTensor> {
    let Header { kind, width, dims, .. } = header;
    let rows = Order::new(header);
    match (kind, width) {
        (Kind::Bool, _) | (Kind::Unsigned, 1) => HostTensor::u8(dims.clone(), rows.map(|i| bytes[i]).collect()),
        (Kind::Float, _) => {
            let value = |i: usize| {
                let v = float(header, &bytes[i * width..][..*width]);
                let single = v as f32;
                if single.is_infinite() && v.is_finite() {
                    let problem = format!("the value {v} is too large for f32");
                    return Err(origin.bad(header.start + i * width, problem, "scale the values before they are saved"));
                }
                Ok(single)
            };
            HostTensor::f32(dims.clone(), all(rows.map(value), header)?)
        }
        (Kind::Unsigned | Kind::Signed, _) => {
            let value = |i: usize| {
                let v = integer(header, &bytes[i * width..][..*width]);
                u32::try_from(v).map_err(|_| {
                    let what = if v < 0 { "negative" } else { "above 2^32 - 1" };
                    let help = "integers are read as u32: save the values as floats, `.astype(numpy.float32)`";
                    origin.bad(header.start + i * width, format!("the value {v} is {what}"), help)
                })
            };
            HostTensor::u32(dims.clone(), all(rows.map(value), header)?)
        }
    }
}

/// All values, in room of their size: a list that grows takes twice as much.
fn all<T>(values: impl Iterator<Item = Result<T>>, header: &Header) -> Result<Vec<T>> {
    let mut out = Vec::with_capacity(header.dims.iter().product());
    for v in values {
        out.push(v?);
    }
    Ok(out)
}

/// The first of `N` bytes, in the order of this machine's `from_le_bytes`.
fn bytes_of<const N: usize>(header: &Header, bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    if header.big_endian {
        out.reverse();
    }
    out
}

fn float(h: &Header, bytes: &[u8]) -> f64 {
    match h.width {
        2 => f16::from_le_bytes(bytes_of(h, bytes)).into(),
        4 => f32::from_le_bytes(bytes_of(h, bytes)).into(),
        _ => f64::from_le_bytes(bytes_of(h, bytes)),
    }
}

fn integer(h: &Header, bytes: &[u8]) -> i128 {
    match (h.kind, h.width) {
        (Kind::Signed, 1) => i8::from_le_bytes(bytes_of(h, bytes)).into(),
        (Kind::Signed, 2) => i16::from_le_bytes(bytes_of(h, bytes)).into(),
        (Kind::Signed, 4) => i32::from_le_bytes(bytes_of(h, bytes)).into(),
        (Kind::Signed, _) => i64::from_le_bytes(bytes_of(h, bytes)).into(),
        (_, 2) => u16::from_le_bytes(bytes_of(h, bytes)).into(),
        (_, 4) => u32::from_le_bytes(bytes_of(h, bytes)).into(),
        (_, _) => u64::from_le_bytes(bytes_of(h, bytes)).into(),
    }
}

/// Where the values stand in the file, row-major: one after the other in C order.
struct Order {
    /// How far apart the neighbours of each axis lie.
    steps: Vec<usize>,
    dims: Vec<usize>,
    at: Vec<usize>,
    place: usize,
    left: usize,
}

impl Order {
    fn new(h: &Header) -> Self {
        let axes = h.dims.len();
        let mut steps = vec![1; axes];
        if h.fortran {
            (1..axes).for_each(|i| steps[i] = steps[i - 1] * h.dims[i - 1]);
        } else {
            (0..axes.saturating_sub(1)).rev().for_each(|i| steps[i] = steps[i + 1] * h.dims[i + 1]);
        }
        Order { steps, dims: h.dims.clone(), at: vec![0; axes], place: 0, left: h.dims.iter().product() }
    }
}

impl Iterator for Order {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        for axis in (0..self.dims.len()).rev() {
            self.at[axis] += 1;
            self.place += self.steps[axis];
            if self.at[axis] < self.dims[axis] {
                break;
            }
            self.place -= self.steps[axis] * self.dims[axis];
            self.at[axis] = 0;
        }
        Some(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
