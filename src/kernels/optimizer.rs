use super::source::{FINITE, MATH, Source};
use super::{Access, to_words, words};
use crate::expr::Expr;

/// An optimizer's rule over the whole parameter arena, and partial sums of the gradient's squares.
/// Buffers: state, rates, parameters, gradients, moments, loss, partial sums.
///
/// The formula takes (parameter, gradient, moments..) and gives (parameter, moments..).
#[derive(Debug, Clone)]
pub struct Optimizer {
    /// The rule.
    pub rule: Expr,
    /// Moments that it keeps.
    pub moments: usize,
    /// Elements of the arena, a multiple of 4.
    pub size: usize,
    /// Lanes that share a partial sum.
    pub group: usize,
    /// First element of the loss.
    pub loss: usize,
}

impl Optimizer {
    const WG: usize = 64;

    fn wg(&self) -> usize {
        self.group.max(Self::WG)
    }

    fn threads(&self) -> usize {
        let most = words::PARTIALS * self.group;
        (self.size / 4).next_multiple_of(self.wg()).min(most)
    }

    /// Partial sums that it leaves.
    pub fn partials(&self) -> usize {
        self.threads() / self.group
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("vec4<f32>");
        s.number("WG", self.wg()).number("RATE_ROWS", words::RATE_ROWS).number("RATE_WIDTH", words::RATE_WIDTH).group(self.group);
        s.state().buffer("rates", Access::Read, "f32");
        s.buffer("parameters", Access::Write, "V").buffer("gradients", Access::Read, "V");
        for m in 0..self.moments {
            s.buffer(&format!("moment{m}"), Access::Write, "V");
        }
        s.buffer("loss", Access::Read, "f32").buffer("partials", Access::Write, "f32");
        s.line(MATH).line(FINITE);
        s.line("fn rate(i: u32) -> f32 { return rates[(state_word(STATE_UPDATE) % RATE_ROWS) * RATE_WIDTH + i]; }");
        s.line("fn update(i: u32, g: V) {\n    let p = parameters[i];");
        let mut names = vec!["p".to_string(), "g".to_string()];
        for m in 0..self.moments {
            s.line(format!("    let m{m} = moment{m}[i];"));
            names.push(format!("m{m}"));
        }
        let printed = self.rule.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        s.line(format!("    parameters[i] = {};", printed.outputs[0]));
        for m in 0..self.moments {
            s.line(format!("    moment{m}[i] = {};", printed.outputs[1 + m]));
        }
        s.line("}");
        s.finish(include_str!("../../shaders/optimizer.wgsl"))
    }

    /// State, rates, parameters, gradients, moments, loss, partial sums.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Uniform, Access::Read, Access::Write, Access::Read];
        a.resize(4 + self.moments, Access::Write);
        a.extend([Access::Read, Access::Write]);
        a
    }

    /// Vectors, threads, loss.
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.size / 4, self.threads(), self.loss])
    }

    /// Enough threads, each taking several vectors of a large arena.
    pub fn grid(&self) -> [u32; 3] {
        [(self.threads() / self.wg()) as u32, 1, 1]
    }
}
