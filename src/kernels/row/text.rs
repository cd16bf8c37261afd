//! A [`Row`] as WGSL: what differs from row kernel to row kernel, around `shaders/row.wgsl`.

use super::{Row, RowSpec};
use crate::expr::{Expr, Node};
use crate::kernels::lib::binding::Element;
use crate::kernels::lib::halves::{rounded, widened};
use crate::kernels::lib::join::Join;
use crate::kernels::lib::source::{Source, shader};

/// The joins of a stage side by side.
struct Joined {
    /// How many the stage with most has.
    most: usize,
}

impl Joined {
    /// Join `i` of a value.
    fn part(&self, value: &str, i: usize) -> String {
        if self.most == 1 { value.into() } else { format!("{value}[{i}]") }
    }

    /// A value of these parts, 0 where the stage has fewer.
    fn of(&self, mut parts: Vec<String>) -> String {
        parts.resize(self.most, "0.0".into());
        if self.most == 1 { parts.remove(0) } else { format!("Joined({})", parts.join(", ")) }
    }
}

pub(super) fn source(k: &Row) -> String {
    let spec = &k.spec;
    let most = spec.stages.iter().map(|s| s.joins.len()).max().unwrap_or(0).max(1);
    let joined = Joined { most };
    let mut s = Source::new(Element::F32, k);
    s.number("WG", k.wg()).line("var<private> at_stage: u32;");
    let rounds = spec.stages.iter().find(|s| s.f.rounds() || s.numbers.rounds());
    s.math(rounds.map_or(&Expr::identity(), |s| if s.f.rounds() { &s.f } else { &s.numbers }));
    numbers(&mut s, k);
    let name = |i: usize| if spec.numbers.get(i) == Some(&false) { format!("x{i}") } else { format!("n{i}") };
    let (mut at, last) = (spec.numbers.len(), spec.stages.len() - 1);
    let [mut begin, mut terms, mut first, mut start, mut less, mut end]: [String; 6] = Default::default();
    let mut join: Vec<String> = vec![];
    for (i, stage) in spec.stages.iter().enumerate() {
        let f = spec.alone(i);
        let made: Vec<String> = (at..).take(stage.numbers.outputs().len()).map(name).collect();
        begin = format!("{begin}    if (at_stage == {i}u) {{\n{}    }}\n", assigned(&stage.numbers, &made, &name));
        at += made.len();
        if i == last {
            let (text, results) = along(k, &f, &name);
            s.line(format!("fn element(row: u32, c: u32) {{\n{text}"));
            for (o, result) in results.into_iter().enumerate() {
                let value = rounded(spec.halves.output(o), false, result);
                s.line(format!("    out{}[d.out{o}_offset + row * d.width + c] = {value};", spec.via[o]));
            }
            s.line("}");
            break;
        }
        let parts = |of: &dyn Fn(usize, Join) -> String| joined.of(stage.joins.iter().enumerate().map(|(i, &j)| of(i, j)).collect());
        let (text, results) = along(k, &f, &name);
        terms = format!("{terms}    if (at_stage == {i}u) {{\n{text}    return {};\n    }}\n", joined.of(results));
        let together = parts(&|i, j| {
            let [a, b] = ["a", "b"].map(|v| joined.part(v, i));
            if j == Join::Max { format!("safe_max({a}, {b})") } else { format!("{a} + {b}") }
        });
        join.push(together);
        if stage.joins.iter().any(|j| j.looks_first()) {
            first = format!("{first}    if (at_stage == {i}u) {{ return terms(row, 0u); }}\n");
        }
        let begun = parts(&|i, j| if j == Join::Max { joined.part("first", i) } else { "0.0".into() });
        start = format!("{start}    if (at_stage == {i}u) {{ return {begun}; }}\n");
        let shifted = parts(&|i, j| {
            let v = joined.part("v", i);
            if j == Join::MeanFromFirst { format!("{v} - {}", joined.part("first", i)) } else { v }
        });
        less = format!("{less}    if (at_stage == {i}u) {{ return {shifted}; }}\n");
        let whole = |(n, (i, j)): (usize, (usize, &Join))| {
            let sum = joined.part("sum", i);
            let value = match j {
                Join::Sum | Join::Variance | Join::Max => sum,
                Join::Mean => format!("{sum} / d.count"),
                Join::MeanFromFirst => format!("{sum} / d.count + {}", joined.part("first", i)),
            };
            format!("        n{n} = {value};\n")
        };
        let stored: String = (at..).zip(stage.joins.iter().enumerate()).map(whole).collect();
        end = format!("{end}    if (at_stage == {i}u) {{\n{stored}    }}\n");
        at += stage.joins.len() + stage.kept();
    }
    let zero = joined.of(vec![]);
    s.line(format!("fn begin() {{\n{begin}}}"));
    s.line(format!("fn terms(row: u32, c: u32) -> Joined {{\n{terms}    return {zero};\n}}"));
    s.line(format!("fn first_terms(row: u32) -> Joined {{\n{first}    return {zero};\n}}"));
    s.line(format!("fn start(first: Joined) -> Joined {{\n{start}    return {zero};\n}}"));
    s.line(format!("fn less(v: Joined, first: Joined) -> Joined {{\n{less}    return v;\n}}"));
    s.line(format!("fn end(sum: Joined, first: Joined) {{\n{end}}}"));
    let of = if most == 1 { "f32".into() } else { format!("vec{most}<f32>") };
    let other = |(i, text): (usize, &String)| format!("if (at_stage == {i}u) {{ return {text}; }} ");
    let alike = join.iter().all(|j| *j == join[0]);
    let each: String = join.iter().enumerate().filter(|_| !alike).map(other).collect();
    s.number("STEP", 1).line(format!("alias Joined = {of};"));
    s.joins(spec.lanes, &format!("{each}return {};", join.first().filter(|_| alike).map_or("a", String::as_str)));
    partial_sums(&mut s, spec.parts);
    let stages: String = (0..last).map(|i| format!("    stage({i}u, row, places, local);\n")).collect();
    s.line(format!("fn stages(row: u32, places: u32, local: u32) {{\n{stages}    at_stage = {last}u;\n    begin();\n}}"));
    s.flag("WHOLE", k.whole() > 0);
    s.finish(shader!("row.wgsl"))
}

/// The numbers that formulas read, `load`, which reads those that are operands, and `store`, which stores those that are results.
fn numbers(s: &mut Source, k: &Row) {
    let RowSpec { numbers, stages, stored, via, halves, .. } = &k.spec;
    let mut slots: Vec<usize> = (0..numbers.len()).filter(|&i| numbers[i]).collect();
    let mut at = numbers.len();
    for stage in stages {
        let own = stage.numbers.outputs().len() + stage.joins.len();
        slots.extend(at..at + own);
        at += own + stage.kept();
    }
    slots.iter().for_each(|i| _ = s.line(format!("var<private> n{i}: f32;")));
    let load =
        |&i: &usize| format!("    n{i} = {};\n", widened(halves.input(i), false, format!("in{i}[d.in{i}_offset + row * d.in{i}_step]")));
    s.line(format!("fn load(row: u32) {{\n{}}}", slots.iter().filter(|i| **i < numbers.len()).map(load).collect::<String>()));
    let whole = k.whole();
    let store = |(o, slot): (usize, &usize)| {
        let value = rounded(halves.output(o), false, format!("n{slot}"));
        format!("    out{}[d.out{o}_offset + row] = {value};\n", via[o])
    };
    s.line(format!("fn store(row: u32) {{\n{}}}", (whole..).zip(stored).map(store).collect::<String>()));
}

/// A formula's results under these names.
fn assigned(f: &Expr, to: &[String], name: &impl Fn(usize) -> String) -> String {
    let names: Vec<String> = (0..f.arity()).map(name).collect();
    let printed = f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let set: String = to.iter().zip(&printed.outputs).map(|(n, v)| format!("        {n} = {v};\n")).collect();
    printed.statements + &set
}

/// A formula at place `c` of a row: its operands and statements, and the names of its results.
fn along(k: &Row, f: &Expr, name: &impl Fn(usize) -> String) -> (String, Vec<String>) {
    let read = |i: &usize| f.nodes().contains(&Node::Input(*i));
    let mut text = String::new();
    for i in (0..k.inputs.len()).filter(|&i| !k.spec.numbers[i]).filter(read) {
        let value = widened(k.spec.halves.input(i), false, format!("in{i}[d.in{i}_offset + row * d.in{i}_step + c]"));
        text += &format!("    let x{i} = {value};\n");
    }
    let names: Vec<String> = (0..f.arity()).map(name).collect();
    let printed = f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
    (text + &printed.statements, printed.outputs)
}

/// `start_parts`, `turn` and `parts`: a line for each partial sum, as a loop over them would count as turns of its own.
fn partial_sums(s: &mut Source, parts: usize) {
    s.number("PARTS", parts);
    if parts == 1 {
        s.line("fn start_parts(v: Joined) {}\nfn turn(row: u32, c: u32, first: Joined) {}\nfn parts(v: Joined) -> Joined { return v; }");
        return;
    }
    (0..parts).for_each(|p| _ = s.line(format!("var<private> p{p}: Joined;")));
    let lines = |f: &dyn Fn(usize) -> String| (0..parts).map(f).collect::<String>();
    s.line(format!("fn start_parts(v: Joined) {{\n{}}}", lines(&|p| format!("    p{p} = v;\n"))));
    let turn = |p| format!("    p{p} = join(p{p}, less(terms(row, c + {p}u), first));\n");
    s.line(format!("fn turn(row: u32, c: u32, first: Joined) {{\n{}}}", lines(&turn)));
    let mut sums: Vec<String> = (0..parts).map(|p| format!("p{p}")).collect();
    while sums.len() > 1 {
        sums = sums.chunks(2).map(|two| format!("join({})", two.join(", "))).collect();
    }
    s.line(format!("fn parts(v: Joined) -> Joined {{ return {}; }}", sums[0]));
}
