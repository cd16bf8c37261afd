//! What the gather makes of stored rows, computed apart from it where that is possible.

use crate::cpu;
use crate::error::Result;
use crate::graph::Field;
use crate::kernels::words::StateWords;
use crate::kernels::{Gather, GatherField};
use crate::reference::Data;
use crate::tensor::DType;
use std::collections::HashMap;

/// What random numbers of a batch are drawn from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub seed: u64,
    pub batch: u32,
    pub epoch: u32,
}

/// The batch of so many rows for each field, by its name, from its stored words.
pub(super) fn batches_of(fields: &[Field], stored: &[Vec<u32>], rows: usize, drawn: Drawn) -> Result<HashMap<String, Data<f64>>> {
    let named = |(f, batch): (&Field, Data<f64>)| (f.name.clone(), batch);
    let each = |i: usize| GatherField { field: fields[i].clone(), output: 0, half: false };
    let gathers: Vec<GatherField> = (0..fields.len()).map(each).collect();
    if !gathers.iter().any(GatherField::is_changed) {
        return Ok(fields.iter().zip(stored).map(|(f, words)| named((f, batch_of(f, words)))).collect());
    }
    // what is drawn for a row holds for all of its fields: the CPU's kernel makes them together
    let state = StateWords { batch: drawn.batch, epoch: drawn.epoch, rows: rows as u32, ..StateWords::default() };
    let gather = Gather { batch: rows, listed: false, fields: gathers, tables: 0 };
    let made = cpu::gathered(&gather, &state.seed(drawn.seed).words(), stored)?;
    let data = |(f, words): (&Field, Vec<u32>)| match f.out_dtype() {
        DType::U32 => Data::Integer(words),
        _ => Data::Real(words.into_iter().map(|w| f32::from_bits(w).into()).collect()),
    };
    Ok(fields.iter().zip(made).map(|(f, words)| named((f, data((f, words))))).collect())
}

/// What the gather should make of the stored rows of a field that is shown as it is.
fn batch_of(f: &Field, words: &[u32]) -> Data<f64> {
    let rows = words.chunks(f.words().max(1));
    let integers: Vec<u32> = match f.stored {
        DType::U8 => rows.flat_map(|row| (0..f.width()).map(|i| row[i / 4] >> (8 * (i % 4)) & 0xff)).collect(),
        _ => words.to_vec(),
    };
    if let Some(classes) = f.one_hot {
        let row = |l: &u32| (0..classes).map(|c| f64::from(u8::from(c == *l as usize))).collect::<Vec<_>>();
        return Data::Real(integers.iter().flat_map(row).collect());
    }
    if f.keep_integer {
        return Data::Integer(integers);
    }
    let value = |w: u32| if f.stored == DType::F32 { f64::from(f32::from_bits(w)) } else { f64::from(w) };
    Data::Real(integers.into_iter().map(|w| value(w) * f64::from(f.scale) + f64::from(f.shift)).collect())
}
