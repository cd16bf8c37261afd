//! The generated part of a window's text: what is kept on the way, and what each place does to it.

use super::{Window, WindowFormula};
use crate::kernels::lib::halves::{rounded, widened};
use crate::kernels::lib::source::Source;

/// The rank of each number as an integer, by bits alone: as `lib/rank.wgsl`, one or four at once. 0 is below all, NaN above.
const RANKS: &str = "fn ranks(v: V) -> U {
    let bits = bitcast<U>(v);
    let size = bits & U(0x7fffffffu);
    let turned = select(U(0x80000000u) + size, U(0x80000000u) - size, bits > U(0x80000000u));
    return select(turned, U(0xffffffffu), size > U(0x7f800000u));
}";

/// Of equal ones the first counts, of NaN the last.
const LARGEST: &str = "    let rank = ranks(x_at(i));
    let larger = (rank > s.rank) | (rank == U(0xffffffffu));
    s.rank = select(s.rank, rank, larger);";

const BACK: &str = "    let nan = s.rank == U(0xffffffffu);
    var own = B(true);
    let down_end = tables[d.window_down + r + 1u];
    let across_end = tables[d.window_across + q + 1u];
    for (var i = tables[d.window_down + r]; i < down_end; i += 2u) {
        for (var j = tables[d.window_across + q]; j < across_end; j += 2u) {
            let h = tables[i];
            let w = tables[j];
            let rank = ranks(x_at(x_place(at.image, h, w) + at.channel));
            let earlier = h < at.row || (h == at.row && w < at.column);
            let here = h == at.row && w == at.column;
            // of equal ones the first counts, of NaN the last
            let before = (rank > s.rank) | ((rank == s.rank) & (B(earlier) != nan));
            own = own & (!before | B(here));
        }
        if (!ANY(own)) { return; }
    }
    s.value += select(V(0.0), y_at(y_place(at.image, r, q) + at.channel), own);";

impl Window {
    /// `State`, `start`, `visit`, `store`, and what loads an operand.
    pub(super) fn texts(&self, s: &mut Source) {
        let (fours, halves) = (self.spec.fours, &self.spec.halves);
        s.line(if fours { "alias B = vec4<bool>;" } else { "alias B = bool;" });
        let operands = [("x", true), ("y", self.y.is_some() && !self.has_weights())];
        for (i, (name, _)) in operands.iter().enumerate().filter(|(_, (_, there))| *there) {
            let value = widened(halves.input(i), fours, format!("{name}[i]"));
            s.line(format!("fn {name}_at(i: u32) -> V {{ return {value}; }}"));
            s.line(format!(
                "fn {name}_place(image: u32, row: u32, column: u32) -> u32 {{ return d.{name}_offset + ((image * d.{name}_rows + row) * d.{name}_columns + column) * d.{name}_channels; }}"
            ));
        }
        if self.has_weights() {
            self.weights(s);
        }
        s.line("struct Place { image: u32, row: u32, column: u32, channel: u32 }");
        let ranked = matches!(self.spec.formula, WindowFormula::Largest | WindowFormula::Picked | WindowFormula::Back);
        s.line(if ranked { "struct State { rank: U, value: V }" } else { "struct State { value: V }" });
        if ranked {
            s.line(RANKS);
        }
        let rank = match self.spec.formula {
            WindowFormula::Back => "ranks(x_at(x_place(at.image, at.row, at.column) + at.channel)), ",
            _ if ranked => "U(0u), ",
            _ => "",
        };
        s.line(format!("fn start(at: Place) -> State {{ return State({rank}V(0.0)); }}"));
        let image = if self.spec.formula == WindowFormula::DepthwiseWeights { "0u" } else { "at.image" };
        let channel = if self.each > 1 { "at.channel / d.each" } else { "at.channel" };
        // the place that is seen, the words of its row and of its column
        s.line("fn visit(state: ptr<function, State>, at: Place, r: u32, q: u32, a: u32, b: u32) {\n    var s = *state;");
        let own = match self.spec.formula {
            WindowFormula::Sum => "    s.value += x_at(i) * (bitcast<f32>(a) * bitcast<f32>(b));".into(),
            WindowFormula::Largest => format!("    let v = x_at(i);\n{LARGEST}\n    s.value = select(s.value, v, larger);"),
            WindowFormula::Picked => {
                format!("{LARGEST}\n    s.value = select(s.value, y_at(y_place(at.image, r, q) + at.channel), larger);")
            }
            WindowFormula::Back => BACK.replace("ANY(own)", if fours { "any(own)" } else { "own" }),
            WindowFormula::Depthwise => "    s.value += x_at(i) * weight(at.channel, a * d.y_columns + b);".into(),
            WindowFormula::DepthwiseBack if self.each == 1 => "    s.value += x_at(i) * weight(at.channel, a * d.y_columns + b);".into(),
            WindowFormula::DepthwiseBack => "    let first = at.channel * d.each;
    for (var k = first; k < first + d.each; k++) {
        s.value += x_at(x_place(at.image, r, q) + k) * weight(k, a * d.y_columns + b);
    }"
            .into(),
            WindowFormula::DepthwiseWeights => format!(
                "    let end = min((at.image + 1u) * d.together, d.images);
    for (var n = at.image * d.together; n < end; n++) {{
        s.value += x_at(x_place(n, a, b) + {channel}) * y_at(y_place(n, r, q) + at.channel);
    }}"
            ),
        };
        if own.contains("x_at(i)") {
            s.line(format!("    let i = x_place({image}, r, q) + {channel};"));
        }
        s.line(own).line("    *state = s;\n}");
        let value = rounded(halves.output(0), fours, "s.value".into());
        s.line(format!("fn store(e: u32, s: State) {{ out[d.out_offset + e] = {value}; }}"));
    }

    /// `weight(channel, tap)`: of one channel or of four.
    fn weights(&self, s: &mut Source) {
        let one = |channel: &str| {
            widened(self.spec.halves.input(1), false, format!("y[d.y_offset + ({channel}) * d.y_rows * d.y_columns + tap]"))
        };
        let value = match self.spec.fours {
            true => format!("V({})", (0..4).map(|k| one(&format!("4u * channel + {k}u"))).collect::<Vec<_>>().join(", ")),
            false => one("channel"),
        };
        s.line(format!("fn weight(channel: u32, tap: u32) -> V {{ return {value}; }}"));
    }
}
