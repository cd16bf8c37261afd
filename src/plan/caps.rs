//! What a device can do, as far as a plan asks.

use crate::kernels::{CoopCaps, Registers};

/// The limits of a device and what it has beyond the least. The default is a device without limits: the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Bytes of memory that the invocations of a workgroup share.
    pub workgroup_bytes: usize,
    /// Invocations of a workgroup.
    pub invocations: usize,
    /// Storage buffers that one launch may bind.
    pub storage_buffers: usize,
    /// Bytes of a buffer that a launch can bind: a larger arena lies in several buffers, its shards.
    pub binding_bytes: usize,
    /// Least and most lanes of a subgroup, where shaders have operations over subgroups.
    pub subgroup: Option<[u32; 2]>,
    /// Whether buffers can hold f16.
    pub f16: bool,
    /// How many registers a thread has.
    pub registers: Registers,
    /// Its cooperative matrices, where products of f16 shall use them.
    pub coop: Option<CoopCaps>,
}

impl Default for Caps {
    fn default() -> Self {
        Caps {
            workgroup_bytes: usize::MAX,
            invocations: usize::MAX,
            storage_buffers: usize::MAX,
            binding_bytes: usize::MAX,
            subgroup: None,
            f16: true,
            registers: Registers::Many,
            coop: None,
        }
    }
}
