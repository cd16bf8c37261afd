//! An operation of the user's own: its WGSL between generated bindings.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::limits::DIMS;
use super::lib::source::Source;
use super::lib::word::to_words;
use crate::error::{Error, Result};
use crate::graph::{self, CustomKernel, Type, USER_DIMS};
use crate::tensor::DType;

/// Where the operands' offsets and lengths stand in the `dims` row.
const OPERANDS: usize = 48;

/// An operation of the user's own. Buffers: operands, results.
#[derive(Debug, Clone)]
pub struct Custom {
    /// The op, whose loop the CPU runs.
    pub op: graph::Custom,
    /// Its kernel, if it has one.
    pub kernel: Option<CustomKernel>,
    /// Type and first element of each operand.
    pub inputs: Vec<(Type, usize)>,
    /// Type and first element of each result.
    pub outputs: Vec<(Type, usize)>,
    /// The layer and the line that called it.
    pub at: String,
}

impl Custom {
    /// Fails without a kernel.
    pub fn runs_on_gpus(&self) -> Result<()> {
        match &self.kernel {
            Some(_) => Ok(()),
            None => Err(Error::Unsupported {
                what: format!("the custom op `{}`, which has no kernel, on a GPU", self.op.op().name()),
                at: self.at.clone(),
                help: "implement `CustomOp::kernel`, or run the model on the CPU (`Device::cpu()`)".into(),
            }),
        }
    }

    /// Why it cannot run on a device whose driver does not check the bounds of buffers.
    pub fn unguarded(&self) -> Error {
        Error::Unsupported {
            what: format!("the custom op `{}` on a device that checks no bounds of buffers (GRADUS_ROBUST=0)", self.op.op().name()),
            at: self.at.clone(),
            help: "unset GRADUS_ROBUST: what keeps a kernel of your own within its buffers is the driver's check".into(),
        }
    }

    /// What the compiler said about its text.
    pub fn bad_shader(&self, problem: String) -> Error {
        Error::BadShader { op: self.op.op().name().into(), problem, at: self.at.clone() }
    }
}

impl Archetype for Custom {
    fn name(&self) -> String {
        self.op.op().name().into()
    }

    /// The whole WGSL text: a header through which the operands are read and written within their bounds, then the user's. Empty without a kernel.
    fn source(&self) -> String {
        let Some(kernel) = &self.kernel else { return String::new() };
        let mut s = Source::new(Element::F32, self);
        let element = |t: &Type| if t.dtype == DType::U32 { "u32" } else { "f32" };
        let mut at = OPERANDS;
        for (i, (t, _)) in self.inputs.iter().enumerate() {
            let (e, first, length) = (element(t), at, at + 1);
            s.line(format!("fn in{i}(i: u32) -> {e} {{\n    if (i >= dim({length}u)) {{ return {e}(); }}\n    return in{i}_words[dim({first}u) + i];\n}}"));
            at += 2;
        }
        for (o, (t, _)) in self.outputs.iter().enumerate() {
            let (e, first, length) = (element(t), at, at + 1);
            s.line(format!("fn out{o}(i: u32, value: {e}) {{ if (i < dim({length}u)) {{ out{o}_words[dim({first}u) + i] = value; }} }}"));
            at += 2;
        }
        s.finish_with(&kernel.wgsl)
    }

    /// Operands, results.
    fn bindings(&self) -> Vec<Binding> {
        let element = |t: &Type| if t.dtype == DType::U32 { Element::U32 } else { Element::F32 };
        let span = |(t, first): &(Type, usize)| *first..*first + t.shape.size();
        let operands = self.inputs.iter().enumerate().map(|(i, x)| Binding::read(format!("in{i}_words"), element(&x.0), span(x)));
        let results = self.outputs.iter().enumerate().map(|(o, y)| Binding::write(format!("out{o}_words"), element(&y.0), span(y)));
        operands.chain(results).collect()
    }

    /// The user's, which have no names; the count of `CustomKernel::each`; from 48 on offset and length of each operand and result.
    fn dims(&self) -> Dims {
        let mut d = vec![0; DIMS];
        if let Some(k) = &self.kernel {
            d.iter_mut().take(USER_DIMS).zip(&k.dims).for_each(|(d, v)| *d = *v);
            d[USER_DIMS] = k.count;
        }
        let operands = self.inputs.iter().chain(&self.outputs).flat_map(|(t, offset)| to_words([*offset, t.shape.size()]));
        d.iter_mut().skip(OPERANDS).zip(operands).for_each(|(d, v)| *d = v);
        Dims::unnamed(d)
    }

    /// The user's.
    fn grid(&self) -> [u32; 3] {
        self.kernel.as_ref().map_or([0; 3], |k| k.workgroups)
    }

    fn turns(&self) -> usize {
        0
    }

    fn flops(&self) -> u64 {
        let types = |all: &[(Type, usize)]| all.iter().map(|(t, _)| t.clone()).collect::<Vec<_>>();
        let (inputs, outputs) = (types(&self.inputs), types(&self.outputs));
        self.op.op().flops(&inputs.iter().collect::<Vec<_>>(), &outputs.iter().collect::<Vec<_>>())
    }
}
