//! Patches of images as an operand: what their tables say is looked up once for a slice, for all vectors of a thread that share it.

use super::Staging;
use crate::kernels::gemm_coop::tile::CoopTile;
use crate::kernels::lib::source::Source;

/// Patches, read four channels at a time.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels::gemm_coop) struct LookedUp {
    /// Their taps are more than a word has bits.
    pub many_taps: bool,
}

/// Where position `spot` of all images is told of.
const POSITION: &str = "        let image = spot / d.positions;\n        let at = d.starts + (spot - image * d.positions) * d.words;\n";

impl LookedUp {
    /// Of rows of patches: the first element of each, where its bits are, and the first of them. Of columns: how far their tap lies from the first, which word
    /// has its bit, and the bit; and of each of the slice's positions that a thread reads the image and where in it, and how far it is to the next slice's.
    pub fn variables(self, s: &mut Source, o: &Staging<'_>, t: &CoopTile) {
        let x = o.name;
        let mut private = |name: String| _ = s.line(format!("var<private> {name}: u32;"));
        let names: [&str; 3] = if o.turned { ["off", "word", "bit"] } else { ["first", "words", "bits"] };
        for v in 0..o.count(t) {
            names.iter().for_each(|name| private(format!("{name}_{x}{v}")));
        }
        if o.turned {
            (0..o.block()).for_each(|j| ["image", "spot"].iter().for_each(|name| private(format!("{name}_{x}{j}"))));
            ["image", "spot"].iter().for_each(|name| private(format!("step_{name}_{x}")));
        }
        o.vectors(t).for_each(|(v, j)| _ = s.line(format!("var<private> there_{x}{v}_{j}: bool;")));
    }

    pub fn prepare(self, s: &mut Source, o: &Staging<'_>, t: &CoopTile) {
        let (x, extent) = (o.name, o.extent);
        if !o.turned {
            for v in 0..o.count(t) {
                s.line(format!(
                    "    {{\n        let spot = d.first + batch * d.apart + min(first + {}, d.{extent} - 1u);\n{POSITION}",
                    o.row(v)
                ));
                s.line(format!("        first_{x}{v} = base + image * d.image + tables[at];"));
                s.line(format!("        words_{x}{v} = at + 1u;\n        bits_{x}{v} = tables[at + 1u];\n    }}"));
            }
            return;
        }
        for v in 0..o.count(t) {
            s.line(format!("    {{\n        let told = d.terms + 2u * min(first + {}, d.{extent} - 4u);", o.row(v)));
            s.line(format!("        let tap = tables[told + 1u];\n        off_{x}{v} = tables[told];"));
            s.line(format!("        word_{x}{v} = tap / 32u + 1u;\n        bit_{x}{v} = 1u << (tap % 32u);\n    }}"));
        }
        for j in 0..o.block() {
            s.line(format!("    {{\n        let spot = d.first + batch * d.apart + thread % COLS * 4u + {j}u;\n{POSITION}"));
            s.line(format!("        image_{x}{j} = base + image * d.image;\n        spot_{x}{j} = at - d.starts;\n    }}"));
        }
        s.line("    let images = BK / d.positions;");
        s.line(format!("    step_image_{x} = images * d.image;\n    step_spot_{x} = (BK - images * d.positions) * d.words;"));
    }

    /// The vectors of slice `s`; `whole` where no term of it is past the end.
    pub fn fetch(self, s: &mut Source, o: &Staging<'_>, t: &CoopTile, whole: bool) {
        let x = o.name;
        let counts = |has: &str| if whole { String::new() } else { format!("{has} && ") };
        if !o.turned {
            s.line("    let term = s * BK + thread % COLS * 4u;");
            s.line(if whole {
                "    let told = d.terms + 2u * term;"
            } else {
                "    let has = term < d.k;\n    let told = d.terms + select(0u, 2u * term, has);"
            });
            s.line("    let off = tables[told];\n    let tap = tables[told + 1u];");
            for v in 0..o.count(t) {
                let bits = if self.many_taps { format!("tables[words_{x}{v} + tap / 32u]") } else { format!("bits_{x}{v}") };
                s.line(format!("    there_{x}{v}_0 = {}(({bits} >> (tap % 32u)) & 1u) == 1u;", counts("has")));
                s.line(format!("    next_{x}{v}_0 = {x}[select(0u, first_{x}{v} + off, there_{x}{v}_0) / 4u];"));
            }
            return;
        }
        for j in 0..o.block() {
            s.line(format!("    let at{j} = d.starts + spot_{x}{j};\n    let start{j} = image_{x}{j} + tables[at{j}];"));
            if !self.many_taps {
                s.line(format!("    let bits{j} = tables[at{j} + 1u];"));
            }
            if !whole {
                s.line(format!("    let has{j} = s * BK + thread % COLS * 4u + {j}u < d.k;"));
            }
        }
        for (v, j) in o.vectors(t) {
            let bits = if self.many_taps { format!("tables[at{j} + word_{x}{v}]") } else { format!("bits{j}") };
            s.line(format!("    there_{x}{v}_{j} = {}({bits} & bit_{x}{v}) != 0u;", counts(&format!("has{j}"))));
            s.line(format!("    next_{x}{v}_{j} = {x}[select(0u, start{j} + off_{x}{v}, there_{x}{v}_{j}) / 4u];"));
        }
        s.line("    let all = d.positions * d.words;");
        for j in 0..o.block() {
            s.line(format!("    let on{j} = spot_{x}{j} + step_spot_{x};\n    spot_{x}{j} = on{j} - select(0u, all, on{j} >= all);"));
            s.line(format!("    image_{x}{j} += step_image_{x} + select(0u, d.image, on{j} >= all);"));
        }
    }
}
