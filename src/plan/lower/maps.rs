//! Groups of maps alone: one launch over all elements of a shape.

use super::lowering::Lowering;
use super::unplaced::{Place, bind};
use crate::graph::{NodeId, Op, op};
use crate::kernels::{Draw, Halves, Kernel, Map};
use crate::plan::fuse::{Group, Operand};
use crate::tensor::DType;

impl Lowering<'_> {
    /// The maps of a group as one kernel.
    pub(super) fn maps(&mut self, group: &Group) {
        let shape = group.shape.clone();
        if self.g.nodes[group.maps[0]].outputs[0].dtype == DType::U32 {
            return self.integers(group.maps[0]);
        }
        let outputs = self.groups.outputs(group);
        let (f, inputs) = self.formula(group, None, &outputs);
        let mut reads = Vec::new();
        let mut buffers = Vec::new();
        let (draws, inputs) = self.draws(group, inputs);
        buffers.extend((!draws.is_empty()).then(|| self.state()));
        for o in &inputs {
            let (from, read) = self.read(*o, &shape);
            reads.push(read);
            buffers.push(from);
        }
        let places: Vec<Place> = outputs.iter().map(|v| self.assign(*v)).collect();
        let via = bind(&mut buffers, places.iter().map(|p| p.0));
        let halves = Halves::new(inputs.iter().map(|o| self.half(o.value)).collect(), outputs.iter().map(|v| self.half(*v)).collect());
        let label = self.label(group.maps[0], &shape, &group.maps);
        let mut map = Map::new(f, shape.dims(), reads, places.iter().map(|p| p.1).collect()).drawing(draws).storing(halves);
        map.spec.via = via;
        map = map.reading_integers(inputs.iter().map(|o| self.g.ty(o.value).dtype == DType::U32).collect());
        self.push(Kernel::Map(map), buffers, label);
    }

    /// What a group's kernel draws, and the operands that it reads, of all that its formula is over.
    pub(super) fn draws(&self, group: &Group, inputs: Vec<Operand>) -> (Vec<Draw>, Vec<Operand>) {
        let (drawn, read): (Vec<Operand>, Vec<Operand>) = inputs.into_iter().partition(|o| self.groups.is_drawn(self.g, group, *o));
        let draw = |o: &Operand| {
            let Op::Random(op::Random(d)) = &self.g.nodes[self.g.base(o.value).node].op else { return None };
            Some(Draw { distribution: d.distribution, stream: d.key() })
        };
        (drawn.iter().filter_map(draw).collect(), read)
    }

    /// Elements of integers in other places.
    fn integers(&mut self, node: NodeId) {
        let n = &self.g.nodes[node];
        let shape = n.outputs[0].shape.clone();
        let (from, read) = self.read(self.groups.operands(self.g, node)[0], &shape);
        let to = self.assign(node.into());
        let label = self.label(node, format!("{} {shape}", n.op.name()), &[]);
        self.push(Kernel::Map(Map::of_integers(shape.dims(), read, to.1)), vec![from, to.0], label);
    }
}
