//! Operations of a user's own, as a user would write them: on every machine, forward and backward, against their references; and kernels
//! that do not compile, that are not there, that reach beyond their operands.

use crate::make::{Case, Make, Order};
use gradus::graph::{CustomKernel, CustomOp, Type, Var};
use gradus::tensor::{DType, Shape};

/// Running sums along the last axis, from the front or from the back. Each is the other's gradient.
pub struct CumSum {
    pub back: bool,
}

impl CustomOp for CumSum {
    fn name(&self) -> &str {
        if self.back { "cumsum_back" } else { "cumsum" }
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        match x {
            [x] if x.dtype == DType::F32 && x.shape.rank() > 0 => Ok(vec![(*x).clone()]),
            _ => Err("a running sum takes one f32 value with at least one axis".into()),
        }
    }
    fn reference(&self, types: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut y = x[0].to_vec();
        for row in y.chunks_mut(types[0].shape.last()) {
            for i in 1..row.len() {
                let (at, before) = if self.back { (row.len() - 1 - i, row.len() - i) } else { (i, i - 1) };
                row[at] += row[before];
            }
        }
        vec![y]
    }
    fn vjp(&self, _: &[Var], _: &[Var], grads: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(vec![Some(grads[0].custom(CumSum { back: !self.back }, &[]))])
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let (width, back) = (x[0].shape.last(), self.back);
        let rows = x[0].shape.size() / width;
        let wgsl = format!(
            "@compute @workgroup_size(32)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                if (id.x >= dim(0u)) {{ return; }}
                var sum = 0.0;
                for (var c = 0u; c < dim(1u); c++) {{
                    let at = id.x * dim(1u) + select(c, dim(1u) - 1u - c, {back});
                    sum += in0(at);
                    out0(at, sum);
                }}
            }}"
        );
        Some(CustomKernel::new(wgsl, [rows.div_ceil(32) as u32, 1, 1]).dims([rows as u32, width as u32]))
    }
    // the same sums in f32
    fn cpu(&self, types: &[&Type], x: &[&[f32]], y: &mut [&mut [f32]]) -> Result<(), String> {
        y[0].copy_from_slice(x[0]);
        for row in y[0].chunks_mut(types[0].shape.last()) {
            if self.back {
                row.reverse();
            }
            (1..row.len()).for_each(|i| row[i] += row[i - 1]);
            if self.back {
                row.reverse();
            }
        }
        Ok(())
    }
    fn flops(&self, x: &[&Type], _: &[&Type]) -> u64 {
        x[0].shape.size() as u64
    }
}

/// Two results of two operands: `x^2 + y^2` and `x y`. No loop of its own for the CPU.
struct Squares;

impl CustomOp for Squares {
    fn name(&self) -> &str {
        "squares"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        if x.len() != 2 || x[0] != x[1] {
            return Err(format!("{} operands, not two alike", x.len()));
        }
        Ok(vec![x[0].clone(), x[0].clone()])
    }
    fn outputs(&self) -> usize {
        2
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        let both = || x[0].iter().zip(x[1]);
        vec![both().map(|(a, b)| a * a + b * b).collect(), both().map(|(a, b)| a * b).collect()]
    }
    fn vjp(&self, x: &[Var], _: &[Var], g: &[Var]) -> Result<Vec<Option<Var>>, String> {
        let one = |a: &Var, b: &Var| Some(&g[0] * &(a * 2.0) + &g[1] * b);
        Ok(vec![one(&x[0], &x[1]), one(&x[1], &x[0])])
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let body = "let a = in0(i); let b = in1(i); out0(i, a * a + b * b); out1(i, a * b);";
        Some(CustomKernel::each(x[0].shape.size(), body))
    }
}

/// Two results, `p y` and `q x`: as a gradient both lie in the arena of gradients.
struct Cross(f64, f64);

impl CustomOp for Cross {
    fn name(&self) -> &str {
        "cross"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![x[1].clone(), x[0].clone()])
    }
    fn outputs(&self) -> usize {
        2
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[1].iter().map(|y| self.0 * y).collect(), x[0].iter().map(|x| self.1 * x).collect()]
    }
    fn vjp(&self, _: &[Var], _: &[Var], g: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(g[0].custom_all(Cross(self.1, self.0), &[&g[1]]).into_iter().map(Some).collect())
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let n = x.iter().map(|t| t.shape.size()).max().unwrap_or(0);
        let factors = [self.0, self.1].map(|f| (f as f32).to_bits());
        let body = "out0(i, bitcast<f32>(dim(0u)) * in1(i)); out1(i, bitcast<f32>(dim(1u)) * in0(i));";
        Some(CustomKernel::each(n, body).dims(factors))
    }
}

/// Integers of reals: 0 below -1, 1 below 0, 2 below 1, else 3.
struct Bucket;

impl CustomOp for Bucket {
    fn name(&self) -> &str {
        "bucket"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![Type { shape: x[0].shape.clone(), dtype: DType::U32 }])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].iter().map(|v| (v + 2.0).floor().clamp(0.0, 3.0)).collect()]
    }
    fn vjp(&self, _: &[Var], _: &[Var], _: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(vec![None]) // steps are flat
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let body = "let v = in0(i); out0(i, select(0u, 1u, v >= -1.0) + select(0u, 1u, v >= 0.0) + select(0u, 1u, v >= 1.0));";
        Some(CustomKernel::each(x[0].shape.size(), body))
    }
}

/// Reals of reals and integers: `x k`.
struct Times;

impl CustomOp for Times {
    fn name(&self) -> &str {
        "times"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![x[0].clone()])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].iter().zip(x[1]).map(|(a, b)| a * b).collect()]
    }
    fn vjp(&self, x: &[Var], _: &[Var], g: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(vec![Some(g[0].custom(Times, &[&x[1]])), None])
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        Some(CustomKernel::each(x[0].shape.size(), "out0(i, in0(i) * f32(in1(i)));"))
    }
}

/// `3 x`, by a kernel that also reads and writes far beyond its operands: the header must not let it.
struct Reaching;

impl CustomOp for Reaching {
    fn name(&self) -> &str {
        "reaching"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![x[0].clone()])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].iter().map(|v| 3.0 * v).collect()]
    }
    fn vjp(&self, _: &[Var], _: &[Var], g: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(vec![Some(g[0].custom(Reaching, &[]))])
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let body = "for (var k = 1u; k < 5u; k++) { out0(i + k * dim(0u), 99.0); }
            out0(4294967295u - i, 99.0);
            out0(i, 3.0 * in0(i) + in0(i + dim(0u)) + in0(4294967295u - i));";
        let n = x[0].shape.size();
        Some(CustomKernel::each(n, body).dims([n as u32]))
    }
}

pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for shape in [&[1][..], &[3], &[257], &[7, 33], &[255, 4], &[1000, 3], &[3, 5, 31]] {
        out.push(Case::new(format!("a running sum of {shape:?}"), move |m| {
            let y = m.p(shape).tanh().custom(CumSum { back: false }, &[]);
            m.output("sums", &y);
            m.weigh(&(&y * 0.1).tanh()) + m.weigh(&y)
        }));
    }
    for n in [1, 3, 255, 1000, 70_000] {
        let both = move |m: &Make| {
            let (x, y) = (m.p([n]), m.p([n]));
            let all = x.custom_all(Squares, &[&y]);
            m.weigh(&(&all[0] * 0.1).tanh()) + m.weigh(&all[1])
        };
        out.push(Case::new(format!("two results of [{n}]"), both));
    }
    out.push(Case::new("two results that are gradients", |m| {
        let all = m.p([33]).custom_all(Cross(2.0, 0.5), &[&m.p([7, 5])]);
        m.weigh(&all[0].tanh()) + m.weigh(&all[1].tanh())
    }));
    // one result is not read: its gradient is zeros
    out.push(Case::new("the second result alone", |m| m.weigh(&m.p([33]).custom_all(Squares, &[&m.p([33])])[1])));
    let layers = |m: &Make| {
        let h = m.batch([12]).matmul(&m.p([12, 9])) + m.p([9]);
        let h = h.custom(CumSum { back: true }, &[]).tanh();
        m.weigh(&(h.matmul(&m.p([9, 5])) + m.p([5])))
    };
    out.push(Case::new("between layers", layers).over(Order::all(31)));
    out.push(Case::new("integers of reals", |m| {
        let x = m.drawn([255], |u| 6.0 * u - 3.0);
        let k = x.custom(Bucket, &[]);
        m.output("integers", &k);
        m.weigh(&m.p([4, 7]).take(&k)) + m.weigh(&x)
    }));
    let integers = |m: &Make| m.weigh(&m.p(Shape::from([m.order.batch])).custom(Times, &[&m.classes(10)]).tanh());
    out.push(Case::new("reals and integers", integers).over(Order::all(65)));
    // between the gradients of other parameters, some of which are there before
    out.push(Case::new("a kernel that reaches beyond", |m| {
        let plain = |n: usize| m.weigh(&m.p([n]).tanh());
        plain(128) + m.weigh(&m.p([128]).custom(Reaching, &[]).tanh()) + plain(128) + plain(500)
    }));
    out
}
