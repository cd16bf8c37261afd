//! Operations of the user's own.

use super::lowering::Lowering;
use crate::graph::{Custom, NodeId, Type, Value};
use crate::kernels::{self, Kernel};

impl Lowering<'_> {
    /// An operation of the user's own.
    pub(super) fn custom(&mut self, node: NodeId, op: &Custom) {
        let n = &self.g.nodes[node];
        let types: Vec<&Type> = n.inputs.iter().map(|v| self.g.ty(*v)).collect();
        let kernel = op.op().kernel(&types, &n.outputs.iter().collect::<Vec<_>>());
        let (mut buffers, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        for v in &n.inputs {
            let (from, offset) = self.place(*v);
            buffers.push(from);
            inputs.push((self.g.ty(*v).clone(), offset));
        }
        for (output, ty) in n.outputs.iter().enumerate() {
            let (to, offset) = self.assign(Value { node, output });
            buffers.push(to);
            outputs.push((ty.clone(), offset));
        }
        let label = self.label(node, &n.outputs[0].shape, &[]);
        let at = n.site();
        self.push(Kernel::Custom(kernels::Custom { op: op.clone(), kernel, inputs, outputs, at }), buffers, label);
    }
}
