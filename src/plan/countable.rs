//! Whether kernels can count what a program does: elements in 32 bits, turns of a loop that end.

use super::program::{Launch, Program};
use crate::error::{Error, Result};
use crate::kernels::Kernel;

impl Program {
    /// Fails where kernels, which count elements in 32 bits, would lose count. Sessions ask after they have taken the memory: what does not
    /// fit is told as such.
    pub fn countable(&self) -> Result<()> {
        if self.elements > u32::MAX as usize {
            return Err(self.too_large(format!("a tensor of {} elements", self.elements), "2^32 - 1 elements"));
        }
        // the bits of a link tell more than its place
        let indices = |l: &Launch| if let Kernel::ScatterLinks(k) = &l.kernel { k.count } else { 0 };
        match self.launches.iter().find(|l| indices(l) > crate::kernels::LAST as usize) {
            Some(l) => Err(self.too_large(format!("{} indices of the launch {}", indices(l), l.label), "2^31 - 1 indices")),
            None => Ok(()),
        }
    }

    /// Fails where a shader could not tell a size, an offset, an element of an arena or a thread's number, whatever the memory. The CPU counts on.
    pub fn addressable(&self) -> Result<()> {
        let n = self.arena.largest_shard();
        if n > u32::MAX as usize {
            return Err(self.too_large(
                format!("a model whose parameters or buffers have {n} elements in one buffer"),
                "2^32 - 1 elements, and so has a buffer of a model on a GPU",
            ));
        }
        let beyond = self.launches.iter().find(|l| !l.kernel.counts());
        beyond.map_or(Ok(()), |l| {
            Err(self.too_large(
                format!("the launch {} {}", l.kernel.name(), l.label),
                "2^30 elements (2^32 - 1 where they are read by fours) or 2^24 rows",
            ))
        })
    }

    fn too_large(&self, what: String, most: &str) -> Error {
        Error::Unsupported {
            what,
            at: self.whose(),
            help: format!("a tensor has at most {most}: take a smaller batch or a narrower layer"),
        }
    }

    /// Fails where a lane's loops would turn so often that some software Vulkan leaves them early, and says nothing. Sessions on such an
    /// adapter ask.
    #[cfg(feature = "gpu")]
    pub(crate) fn turns_end(&self) -> Result<()> {
        let most = crate::kernels::MOST_TURNS;
        let Some((l, turns)) = self.launches.iter().map(|l| (l, l.kernel.turns())).find(|(_, turns)| *turns > most) else { return Ok(()) };
        Err(Error::Unsupported {
            what: format!("the launch {} {} on a software GPU: a lane of it would turn {turns} times, and {most} are safe there", l.kernel.name(), l.label),
            at: self.whose(),
            help: "run it on the CPU (`--device cpu`, `Device::cpu()`), which is faster than a GPU in software anyway, or take a smaller batch or a \
                   narrower layer"
                .into(),
        })
    }
}
