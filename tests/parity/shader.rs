//! Kernels of the user's own that do not compile or are not there: an `Err` that names the op, and the device goes on.

use crate::check::{Site, load, parity};
use crate::common::{Job, MACHINES, Machine};
use crate::custom;
use crate::make::{Case, no_rule};
use gradus::graph::{CustomKernel, CustomOp, Type};
use gradus::kernels::Target;
use std::sync::Arc;

/// The value itself, by any text as its kernel.
#[derive(Clone, Copy)]
struct Same(Option<&'static str>);

impl CustomOp for Same {
    fn name(&self) -> &str {
        "same_again"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![x[0].clone()])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].to_vec()]
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        self.0.map(|text| CustomKernel::new(text, [x[0].shape.size() as u32, 1, 1]))
    }
}

/// A text, the error's code, and what its message says.
const WRONG: &[(Option<&str>, &str, &[&str])] = &[
    (Some("@compute @workgroup_size(1) fn main() { out0(0u, in0(0u) + tru); }"), "bad-shader", &["tru"]),
    (Some("@compute @workgroup_size(1) fn main() { out0(0u, 1u); }"), "bad-shader", &["out0"]),
    (Some("this is no WGSL"), "bad-shader", &["expected"]),
    (Some("@compute @workgroup_size(1) fn start() { out0(0u, 1.0); }"), "bad-shader", &["entry point"]),
    (Some("@compute @workgroup_size(4096) fn main() { out0(0u, 1.0); }"), "bad-shader", &["4096"]),
    (Some("@compute @workgroup_size(1) fn main() { in0_words[0] = 1.0; }"), "bad-shader", &[]),
    (None, "unsupported", &["has no kernel"]),
];

fn wrong() -> Result<(), String> {
    for (text, code, parts) in WRONG {
        let op = Same(*text);
        let built = Case::predict("a wrong text", move |m| m.output("y", &m.p([7]).custom(op, &[]))).build()?;
        let program = Arc::new(built.program(Target::Software, &no_rule())?);
        for machine in MACHINES {
            let site = Site { machine, target: Target::Software, planted: None };
            let Some(s) = site.session(&program) else { continue };
            let mut s = s.map_err(|e| e.to_string())?;
            match (load(&mut *s, &built, &program), machine) {
                (Ok(_), Machine::Cpu) => {}
                (Ok(_), _) => return Err(format!("{machine:?} takes {text:?}")),
                (Err(e), Machine::Cpu) => return Err(format!("the CPU needs no kernel: {e}")),
                (Err(e), _) => {
                    let message = e.to_string();
                    let all = parts.iter().chain(&["same_again", "shader.rs", "help:"]);
                    if e.code() != *code || !all.clone().all(|p| message.contains(p)) {
                        return Err(format!("{machine:?}: {text:?} gives {}: {message}", e.code()));
                    }
                }
            }
        }
    }
    // the device goes on
    parity(&custom::cases().remove(0).into())
}

pub fn jobs() -> Vec<Job> {
    vec![Job::new("texts that do not compile", wrong)]
}
