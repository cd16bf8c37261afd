//! Whether a device can take the launches of a program: told when it is planned, before anything is made.

use super::caps::Caps;
use super::program::Program;
use crate::error::{Error, Result};
use crate::kernels::{Access, Binding};

impl Program {
    /// Fails where a launch binds what the device cannot: a slot that is too large, too many storage buffers, f16.
    pub(super) fn fits(&self, caps: &Caps) -> Result<()> {
        if let Some(&bytes) = self.slots.first().filter(|&&bytes| bytes > caps.binding_bytes) {
            let label = self.largest.first().map_or("values of the step", |(label, _)| label);
            return Err(Error::OutOfMemory {
                what: format!("one buffer of the device: {label}"),
                needed: bytes as u64,
                available: caps.binding_bytes as u64,
                biggest: self.biggest(),
                help: "take a smaller batch or a smaller model (`Program::explain` lists what is large); `cpu` has no such limit".into(),
            });
        }
        for l in &self.launches {
            let all = l.kernel.bindings();
            let storage = all.iter().filter(|b| b.through.is_none() && b.access != Access::Uniform).count();
            let half = !caps.f16 && all.iter().any(Binding::is_half);
            if storage <= caps.storage_buffers && !half {
                continue;
            }
            let why = if half { "f16".into() } else { format!("{storage} storage buffers at once") };
            return Err(Error::Unsupported {
                what: format!("the launch {} {} on this device: it needs {why}", l.kernel.name(), l.label),
                at: self.whose(),
                help: "choose another device (`--device list`), or `cpu`".into(),
            });
        }
        Ok(())
    }
}
