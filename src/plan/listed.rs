//! Programs whose rows stand at the places that a list names.

use super::caps::Caps;
use super::memory::BufferId;
use super::program::Program;
use crate::error::Result;
use crate::kernels::Kernel;

impl Program {
    /// The same program over a list of rows: its gather looks each row up in a [`RowList`](crate::graph::RowList), which is one more data field, behind the
    /// program's own. The launches are as many as before. A program that reads no data stays as it is.
    ///
    /// Fails where the device cannot bind the list beside the fields.
    pub fn listed(&self, caps: &Caps) -> Result<Program> {
        let mut program = self.clone();
        let list = BufferId::Data(self.fields.len());
        for launch in &mut program.launches {
            if let Kernel::Gather(gather) = &mut launch.kernel
                && !gather.listed
            {
                gather.listed = true;
                // behind the state, in the order of the bindings
                launch.buffers.insert(1, list);
                launch.label += ", by a list of rows";
                launch.bytes = launch.kernel.bytes();
            }
        }
        program.fits(caps)?;
        Ok(program)
    }

    /// Whether its gather looks rows up in a list.
    pub fn is_listed(&self) -> bool {
        self.launches.iter().any(|l| matches!(&l.kernel, Kernel::Gather(g) if g.listed))
    }

    /// The first number of a data field that no launch of it reads: behind its own fields, and the list if there is one.
    pub(super) fn first_free_data(&self) -> usize {
        self.fields.len() + usize::from(self.is_listed())
    }
}
