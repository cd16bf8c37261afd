//! Files in the format safetensors: what gradus writes into their metadata, and what it says of files that it cannot read.

use crate::error::{Error, Result};
use crate::plan::ArenaEntry;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;

/// The key under which the metadata hold the settings of a whole model.
pub(crate) const META: &str = "gradus";
/// The version that is written, and the newest that is read: 1 had models, 2 has runs too.
pub(crate) const FORMAT: u32 = 2;

/// Tensors of a file that are not the model's parameters.
pub(crate) const NOT_WEIGHTS: [&str; 2] = ["optimizer.*", "gradus.*"];

/// Name, shape, little-endian values, their dtype.
pub(crate) type Tensor = (String, Vec<usize>, Vec<u8>, Dtype);

/// Fails on a file of a newer format than this gradus reads.
pub(crate) fn check_format(path: &Path, meta: &serde_json::Value) -> Result<()> {
    let format = meta.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if format <= u64::from(FORMAT) {
        return Ok(());
    }
    let by = meta.get("gradus").and_then(|v| v.as_str()).unwrap_or("?");
    let problem = format!("format {format}, this gradus reads {FORMAT}");
    Err(bad_file(path, &problem, "its metadata", &format!("use gradus {by} or newer")))
}

/// Fails on the file of one of several servers: it has all tensors, of which those of the others are as they began.
pub(crate) fn check_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let text = SafeTensors::read_metadata(bytes).ok().and_then(|(_, m)| m.metadata().as_ref()?.get(META).cloned());
    let meta: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(&text).ok());
    if meta.is_some_and(|m| m.pointer("/run/shard").is_some()) {
        let problem = "it is of one of several servers, and has a part of the weights";
        return Err(bad_file(path, problem, "its metadata", "take the file of a worker: `gradus worker --save`, `Model::save_weights`"));
    }
    Ok(())
}

/// The tensor of a parameter: `words` are its values, or what is laid out as they are, from its arena.
pub(crate) fn tensor(name: &str, e: &ArenaEntry, words: &[u32]) -> Tensor {
    (name.into(), e.shape.dims().to_vec(), e.restore(words).iter().flat_map(|w| w.to_le_bytes()).collect(), Dtype::F32)
}

pub(crate) fn bad_file(path: &Path, problem: &str, at: &str, help: &str) -> Error {
    Error::BadFile { path: path.into(), problem: problem.into(), at: at.into(), help: help.into() }
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    let pickle =
        bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80, 0x02]) || path.extension().is_some_and(|e| e == "pt" || e == "pth");
    SafeTensors::deserialize(bytes).map_err(|e| {
        let convert = "convert it: python -c \"import sys,torch; from safetensors.torch import save_file; \
                       save_file(torch.load(sys.argv[1]), sys.argv[2])\" in.pt out.safetensors";
        let help = if pickle { convert } else { "give a safetensors file; it may have been cut short" };
        bad_file(path, &format!("not a safetensors file ({e})"), "its header", help)
    })
}

pub(crate) fn to_f32(path: &Path, name: &str, t: &TensorView<'_>) -> Result<Vec<f32>> {
    let b = t.data();
    Ok(match t.dtype() {
        Dtype::F32 => b.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(),
        Dtype::F64 => b.chunks_exact(8).map(|c| f64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]) as f32).collect(),
        Dtype::F16 => b.chunks_exact(2).map(|c| half::f16::from_le_bytes([c[0], c[1]]).to_f32()).collect(),
        Dtype::BF16 => b.chunks_exact(2).map(|c| half::bf16::from_le_bytes([c[0], c[1]]).to_f32()).collect(),
        other => return Err(bad_file(path, &format!("dtype {other:?}"), name, "save it as F32, F16, BF16 or F64")),
    })
}
