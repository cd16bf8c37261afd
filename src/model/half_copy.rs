//! The f16 copies of the parameters, which products read in mixed precision: the host writes them with whatever else sets a parameter.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::plan::{Arena, BufferId};
use crate::tensor::pack_f16;

/// The place of a parameter arena's f16 copies, in elements; none for other buffers, and where there are no copies.
pub(crate) fn working_of(arena: &Arena, buffer: BufferId) -> Option<usize> {
    let first = match buffer {
        BufferId::Parameters => 0,
        BufferId::Frozen => arena.size,
        _ => return None,
    };
    (arena.working > 0).then_some(first)
}

impl Core {
    /// Words of an arena, and of the copies of those that are parameters. They begin where a tensor does.
    pub(crate) fn write_both(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        self.session.write(buffer, offset, words)?;
        match working_of(&self.arena, buffer) {
            Some(first) => self.session.write(BufferId::Working, (first + offset) / 2, &pack_f16(words)),
            None => Ok(()),
        }
    }
}

impl Compile {
    /// Fails on a device that cannot store f16, where the precision asks for it.
    pub(crate) fn check_precision(&self, device: &Device) -> Result<()> {
        if !self.precision.is_mixed() || device.has_f16() {
            return Ok(());
        }
        let help =
            "take `Precision::F32`, update the driver, or train on `cpu`, which has f16 everywhere (`--device list` shows who has it)";
        Err(Error::NoF16 { device: device.name(), help: help.into() })
    }
}
