//! The words of arenas as named tensors of a file, and back.

use crate::error::Error;
use crate::kernels::words::STATE_SAVED;
use crate::model::core::Core;
use crate::model::journal::Arenas;
use crate::plan::{BufferEntry, BufferId};
use crate::store::atomic::Words;
use crate::tensor::{Order, Shape};
use safetensors::tensor::{Dtype, SafeTensors};
use std::path::Path;

/// A tensor of an arena.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ArenaTensor {
    pub buffer: BufferId,
    pub name: String,
    pub dtype: Dtype,
    pub shape: Shape,
    pub offset: usize,
    /// The order of its axes in the arena: files hold it in its own.
    pub order: Order,
}

impl ArenaTensor {
    fn len(&self) -> usize {
        self.shape.size()
    }
}

impl Core {
    /// The tensors of all buffers that outlive a step. Those that are laid out like the parameters are named after them; any other is one tensor
    /// of words.
    pub(super) fn arena_tensors(&self) -> Vec<ArenaTensor> {
        let mut all = Vec::new();
        for (buffer, len) in self.engine.lasting() {
            if buffer == BufferId::Buffers {
                let (dtype, order) = (Dtype::F32, Order::default());
                let part = |e: &BufferEntry| (e.name.clone(), e.shape.clone(), e.offset);
                let named = self.engine.arena.buffers.iter().map(part);
                all.extend(named.map(|(name, shape, offset)| ArenaTensor { buffer, name, dtype, shape, offset, order: order.clone() }));
                continue;
            }
            let named = match buffer {
                BufferId::Parameters => Some((String::new(), false)),
                BufferId::Frozen => Some((String::new(), true)),
                BufferId::Moment(m) => Some((self.moment_name(m), false)),
                BufferId::State(_) => None,
                other if len == self.engine.arena.size => Some((format!("gradus.{}.", label(other)), false)),
                _ => None,
            };
            let Some((before, frozen)) = named else {
                let len = if let BufferId::State(_) = buffer { STATE_SAVED } else { len };
                let (name, order) = (format!("gradus.{}", label(buffer)), Order::default());
                all.push(ArenaTensor { buffer, name, dtype: Dtype::U32, shape: [len].into(), offset: 0, order });
                continue;
            };
            all.extend(self.engine.arena.entries.iter().filter(|e| e.frozen == frozen).map(|e| ArenaTensor {
                buffer,
                name: format!("{before}{}", e.name),
                dtype: Dtype::F32,
                shape: e.shape.clone(),
                offset: e.offset,
                order: e.order.clone(),
            }));
        }
        all
    }
}

/// The name of a buffer that has no names of parameters.
fn label(id: BufferId) -> String {
    match id {
        BufferId::State(_) => "state".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The tensors of these arenas, with `before` in front of their names.
pub(super) fn views<'a>(parts: &[ArenaTensor], arenas: &'a Arenas, before: &str) -> Vec<(String, Words<'a>)> {
    let part = |p: &ArenaTensor| {
        let words = arenas.get(&p.buffer)?.get(p.offset..p.offset + p.len())?;
        Some((format!("{before}{}", p.name), Words { dtype: p.dtype, shape: p.shape.clone(), order: p.order.clone(), words }))
    };
    parts.iter().filter_map(part).collect()
}

/// The arenas from the tensors of a file. `sizes` are the words of each arena. Tensors that are missing or of another shape are noted in
/// `wrong`.
pub(super) fn arenas(
    file: &SafeTensors<'_>,
    parts: &[ArenaTensor],
    sizes: &[(BufferId, usize)],
    before: &str,
    wrong: &mut Vec<String>,
) -> Arenas {
    let mut all: Arenas = sizes.iter().map(|(id, len)| (*id, vec![0; *len])).collect();
    for p in parts {
        let Some(words) = all.get_mut(&p.buffer) else { continue };
        let name = format!("{before}{}", p.name);
        match file.tensor(&name) {
            Ok(t) if t.dtype() == p.dtype && t.shape() == p.shape.dims() => {
                let values: Vec<u32> = t.data().chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
                words[p.offset..p.offset + p.len()].iter_mut().zip(&*p.order.store(&p.shape, &values)).for_each(|(w, v)| *w = *v);
            }
            Ok(t) => wrong.push(format!("`{name}` is {:?} {:?}, not {:?} {:?}", t.dtype(), t.shape(), p.dtype, p.shape.dims())),
            Err(_) => wrong.push(format!("`{name}` is missing")),
        }
    }
    all
}

/// The error for a checkpoint that is not what it should be.
pub(super) fn damaged(path: &Path, problem: impl std::fmt::Display, at: &str) -> Error {
    let help = "it was damaged or changed by hand: take an older checkpoint, or start anew with `Resume::Never`";
    Error::BadFile { path: path.into(), problem: problem.to_string(), at: at.into(), help: help.into() }
}
