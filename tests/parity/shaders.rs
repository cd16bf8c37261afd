//! Every specialisation that the parity tables meet, on both profiles: validated by naga, translated to SPIR-V, MSL and HLSL, and held
//! against what browsers promise. Needs no device. The kernel on cooperative matrices is no browser's: SPIR-V, and MSL at 8x8.

use crate::common::{self, Job, Suite};
use crate::make::{Case, no_rule};
use crate::{
    augmented, cases, convolutions, coop_product, corners, custom, draws, folded, formulas, gather, ignored, indices, long, mixed,
    movement, operands, rows, scaled, unplanned, windows,
};
use gradus::kernels::{Access, Archetype, BufferCopy, Commit, CoopTile, Kernel, Operand, Scaling, Target, Tile};
use gradus::optim::{Adam, AdamW, Group, Lamb, Optimizer, RmsProp, Sgd};
use gradus::plan::{Launch, Part};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::collections::{BTreeMap, BTreeSet};

static SUITE: Suite = Suite::new("shaders", 4, || 5, false);

const STORAGE_BUFFERS: usize = 8;
const WORKGROUP_BYTES: u32 = 16_384;
const INVOCATIONS: u32 = 256;

/// The distinct source texts of all cases' programs.
fn sources() -> Result<BTreeMap<String, Kernel>, String> {
    let tables = [
        cases::maps,
        formulas::formulas,
        cases::broadcasts,
        cases::reductions,
        cases::products,
        cases::layers,
        convolutions::cases,
        cases::views,
        cases::classifiers,
        augmented::for_browsers,
        gather::gathers,
        ignored::cases,
        indices::cases,
        long::cases,
        folded::cases,
        movement::movements,
        movement::largest,
        movement::row_kernels,
        windows::cases,
        windows::mixed,
        rows::cases,
        movement::batched,
        movement::integers,
        operands::cases,
        corners::all,
        draws::draws,
        custom::cases,
        scaled::cases,
        mixed::cases,
    ];
    let mut out = BTreeMap::new();
    // without a part: the update alone
    let mut add = |case: &Case, rule: &gradus::plan::Rule, part: Option<Part>| -> Result<(), String> {
        let built = case.build()?;
        for target in [Target::Software, Target::Lanes8, Target::Gpu] {
            let program = part.map_or_else(|| built.update(target, rule), |p| built.part(target, rule, p))?;
            for l in program.launches {
                bound_once(&case.name, &l)?;
                out.entry(l.kernel.source()).or_insert(l.kernel);
            }
        }
        Ok(())
    };
    let all: Vec<Case> = tables.iter().flat_map(|t| t()).collect();
    for case in &all {
        add(case, &no_rule(), Some(Part::Whole))?;
    }
    for rule in optimizers()? {
        for rule in [rule.rule(), rule.rule().clip_value(1.0)] {
            for rule in [rule.clone(), rule.clip_norm(1.0)] {
                for part in [Some(Part::Inner), Some(Part::Last), Some(Part::Whole), Some(Part::Leave), None] {
                    add(&all[0], &rule, part)?;
                }
                for scaling in [Scaling::Fixed, Scaling::Dynamic { growth: 2.0, backoff: 0.5, interval: 2000 }] {
                    let rule = rule.clone().scaled(scaling);
                    for part in [Some(Part::Inner), Some(Part::Last), Some(Part::Leave), None] {
                        add(&all[0], &rule, part)?;
                    }
                    add(&all[0], &rule.average(0.9), Some(Part::Whole))?;
                }
                add(&all[0], &rule.average(0.9), Some(Part::Whole))?;
            }
        }
    }
    // what runs over all parameters has another text where they lie in several buffers
    let group = Group::new().weight_decay(0.5);
    let sharded: [Optimizer; 3] = [Sgd::new(0.1).into(), Adam::default().amsgrad(true).group("p1", group).into(), Lamb::default().into()];
    for rule in sharded.map(|o| o.rule().clip_norm(1.0).scaled(Scaling::Fixed)) {
        let mut built = crate::updates::linear([257, 300], false).build()?;
        built.arena = built.arena.with_half_copies().in_shards(&rule, 1792).map_err(|e| e.to_string())?;
        for target in [Target::Software, Target::Lanes8, Target::Gpu] {
            for l in built.part(target, &rule, Part::Whole)?.launches {
                bound_once("in shards", &l)?;
                out.entry(l.kernel.source()).or_insert(l.kernel);
            }
        }
    }
    for target in [Target::Software, Target::Lanes8, Target::Gpu] {
        for (name, program) in unplanned::programs(target)? {
            for l in program.launches {
                bound_once(name, &l)?;
                let mut kernel = l.kernel;
                // no plan asks for them yet, so their sizes do not choose the tiles that a plan's would
                if let Kernel::Gemm(g) = &mut kernel {
                    for tile in Tile::all(target) {
                        g.spec.tile = tile;
                        let other = g.clone().by_vectors();
                        out.insert(other.source(), Kernel::Gemm(other));
                    }
                }
                out.insert(kernel.source(), kernel);
            }
        }
    }
    // stands in no table of cases: its rows make several steps
    let commit = Kernel::Commit(Commit { parts: vec![BufferCopy { from: 0, to: 0, len: 3 }] });
    out.insert(commit.source(), commit);
    Ok(out)
}

/// Every optimizer by its name, and with settings that change its formulas.
fn optimizers() -> Result<Vec<Optimizer>, String> {
    let group = || Group::new().weight_decay(0.5);
    let mut all: Vec<Optimizer> = vec![
        Sgd::default().momentum(0.9).nesterov(true).l1(0.1).into(),
        Adam::default().amsgrad(true).into(),
        AdamW::default().group("*", group()).into(),
        RmsProp::default().centered(true).momentum(0.9).into(),
        Lamb::default().group("*", group()).into(),
    ];
    for name in Optimizer::NAMES {
        all.push(name.parse().map_err(|e| format!("{name}: {e}"))?);
    }
    Ok(all)
}

/// WebGPU forbids a buffer that one dispatch binds twice where one of the two may be written.
fn bound_once(case: &str, l: &Launch) -> Result<(), String> {
    let accesses = l.kernel.accesses();
    if accesses.len() != l.buffers.len() {
        return Err(format!("{case}: {} {} has {} buffers for {} bindings", l.kernel.name(), l.label, l.buffers.len(), accesses.len()));
    }
    for (i, (id, access)) in l.buffers.iter().zip(&accesses).enumerate() {
        let other = (0..i).find(|&j| l.buffers[j] == *id && (*access == Access::Write || accesses[j] == Access::Write));
        if let Some(j) = other {
            return Err(format!("{case}: {} {} binds {id:?} as {j} and as {i}", l.kernel.name(), l.label));
        }
    }
    Ok(())
}

fn validated(source: &str) -> Result<(naga::Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    // no capability at all: what runs here runs in a browser. f16 runs in those that have `shader-f16`; lanes share on software Vulkan alone
    let mut wanted = Capabilities::empty();
    wanted.set(Capabilities::SHADER_FLOAT16, source.starts_with("enable f16;"));
    wanted.set(Capabilities::SUBGROUP, source.contains("subgroupBroadcast"));
    let info = Validator::new(ValidationFlags::all(), wanted).validate(&module).map_err(|e| e.emit_to_string(source))?;
    Ok((module, info))
}

fn translated(module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    use naga::back::{hlsl, msl, spv};
    spv::write_vec(module, info, &spv::Options::default(), None).map_err(|e| format!("SPIR-V: {e}"))?;
    let metal = msl::Options { lang_version: (2, 4), ..Default::default() };
    msl::write_string(module, info, &metal, &msl::PipelineOptions::default()).map_err(|e| format!("MSL: {e}"))?;
    let (mut text, options, pipeline) = (String::new(), hlsl::Options::default(), hlsl::PipelineOptions::default());
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).map_err(|e| format!("HLSL: {e}"))?;
    Ok(())
}

fn portable(kernel: &Kernel, module: &naga::Module) -> Result<(), String> {
    let storage = kernel.accesses().iter().filter(|a| **a != Access::Uniform).count();
    let layouter = {
        let mut l = naga::proc::Layouter::default();
        l.update(module.to_ctx()).map_err(|e| e.to_string())?;
        l
    };
    let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
    let bytes: u32 = shared.map(|(_, v)| layouter[v.ty].size).sum();
    let threads: u32 = module.entry_points[0].workgroup_size.iter().product();
    if storage > STORAGE_BUFFERS || bytes > WORKGROUP_BYTES || threads > INVOCATIONS {
        return Err(format!("{storage} storage buffers, {bytes} bytes of workgroup memory, {threads} invocations"));
    }
    Ok(())
}

/// Writes a text to a file of the folder that `GRADUS_SHADERS` names, if any: `tests/tint` shows them to a browser's compiler.
fn keep(name: &str, n: usize, source: &str) -> Result<(), String> {
    let Some(folder) = std::env::var_os("GRADUS_SHADERS") else { return Ok(()) };
    let file = std::path::Path::new(&folder).join(format!("{name}-{n:04}.wgsl"));
    std::fs::write(&file, source).map_err(|e| format!("{}: {e}", file.display()))
}

fn every_specialisation() -> Result<(), String> {
    let all = sources()?;
    let mut names = BTreeMap::new();
    let mut literals = 0;
    for (source, kernel) in &all {
        let fault = |e: String| format!("{}: {e}\n{source}", kernel.name());
        unfit(source).map_or(Ok(()), |e| Err(fault(e)))?;
        literals += decimals(source).len();
        let (module, info) = validated(source).map_err(fault)?;
        translated(&module, &info).and_then(|()| portable(kernel, &module)).map_err(fault)?;
        let n = names.entry(kernel.name()).or_insert(0);
        *n += 1;
        keep(&kernel.name(), *n, source)?;
    }
    every_operand(all.values())?;
    if literals < 10_000 {
        return Err(format!("only {literals} literals were found"));
    }
    let counts: Vec<String> = names.iter().map(|(n, c)| format!("{c} {n}")).collect();
    common::say(&format!("{} specialisations are valid WGSL, SPIR-V, MSL and HLSL: {}", all.len(), counts.join(", ")));
    Ok(())
}

/// Each operand of a product is among them, on every kind of tile that can have it.
fn every_operand<'a>(all: impl Iterator<Item = &'a Kernel>) -> Result<(), String> {
    let kind = |t: Tile| match t {
        Tile::Direct { shared, .. } => ["direct", "shared"][usize::from(shared)],
        Tile::Staged { .. } => "staged",
        Tile::Split => "split",
    };
    let seen: BTreeSet<(&str, String)> = all
        .filter_map(|k| if let Kernel::Gemm(g) = k { Some(g) } else { None })
        .map(|g| (kind(g.spec.tile), format!("{:?} by {:?}", g.spec.a, g.spec.b)))
        .collect();
    let (matrix, patches) = (Operand::Matrix, Operand::Patches);
    for tile in ["direct", "staged", "split"] {
        for (a, b) in [(matrix, matrix), (patches, matrix), (matrix, patches)] {
            let wanted = (tile, format!("{a:?} by {b:?}"));
            if !seen.contains(&wanted) {
                return Err(format!("no product is {wanted:?}, but {seen:?}"));
            }
        }
    }
    // rows by number stay in their order, which threads that share terms would not keep
    let one_hot = ("staged", format!("{:?} by {matrix:?}", Operand::OneHot));
    if seen.contains(&one_hot) { Ok(()) } else { Err(format!("no product is {one_hot:?}, but {seen:?}")) }
}

/// Every tile, layout and ending of the kernel on cooperative matrices, operands in vectors and in elements.
fn cooperative() -> Result<(), String> {
    use naga::back::{msl, spv};
    let wanted = Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
    let mut seen = BTreeMap::new();
    for tile in CoopTile::table() {
        for layout in coop_product::LAYOUTS {
            for finish in coop_product::FINISHES {
                for size in [[64, 64, 64], [33, 35, 37]] {
                    let kernel = coop_product::Product::new(size, layout, finish, tile).kernel();
                    let source = kernel.source();
                    let fault = |e: String| format!("{} {tile}: {e}\n{source}", kernel.name());
                    let module = naga::front::wgsl::parse_str(&source).map_err(|e| fault(e.emit_to_string(&source)))?;
                    let checked = Validator::new(ValidationFlags::all(), wanted).validate(&module);
                    let info = checked.map_err(|e| fault(e.emit_to_string(&source)))?;
                    spv::write_vec(&module, &info, &spv::Options::default(), None).map_err(|e| fault(format!("SPIR-V: {e}")))?;
                    // Metal has matrices of 8x8 alone; naga 30 panics on any in HLSL
                    if tile.side == 8 {
                        let metal = msl::Options { lang_version: (2, 4), ..Default::default() };
                        msl::write_string(&module, &info, &metal, &msl::PipelineOptions::default())
                            .map_err(|e| fault(format!("MSL: {e}")))?;
                    }
                    let layouter = {
                        let mut l = naga::proc::Layouter::default();
                        l.update(module.to_ctx()).map_err(|e| e.to_string())?;
                        l
                    };
                    let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
                    let bytes = shared.map(|(_, v)| layouter[v.ty].size as usize).sum::<usize>();
                    if bytes != tile.workgroup_bytes() {
                        return Err(fault(format!("{bytes} bytes of workgroup memory, and the table says {}", tile.workgroup_bytes())));
                    }
                    *seen.entry(tile.to_string()).or_insert(0) += 1;
                    keep(&kernel.name(), seen.values().sum(), &source)?;
                }
            }
        }
    }
    let counts: Vec<String> = seen.iter().map(|(n, c)| format!("{c} {n}")).collect();
    common::say(&format!("cooperative matrices, valid WGSL and SPIR-V, and MSL at 8x8: {}", counts.join(", ")));
    Ok(())
}

#[test]
fn cooperative_matrices() {
    SUITE.test(vec![Job::new("cooperative matrices", cooperative)]);
}

/// The check can fail.
#[test]
fn a_broken_source_is_refused() {
    assert!(validated("@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }").is_err());
}

#[test]
fn specialisations() {
    SUITE.test(vec![Job::new("every specialisation", every_specialisation)]);
}

/// The decimal floats of a text: what they are written as, and what they are worth.
fn decimals(source: &str) -> Vec<(&str, f64)> {
    let code: Vec<&str> = source.lines().map(|l| l.split("//").next().unwrap_or_default()).collect();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut out = Vec::new();
    for line in code {
        let mut rest = line;
        while let Some(at) = rest.find(|c: char| word(c)) {
            rest = &rest[at..];
            let mut end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            // a sign belongs to an exponent
            let token = &rest[..end];
            let exponent = if token.starts_with("0x") { 'p' } else { 'e' };
            if token.starts_with(|c: char| c.is_ascii_digit()) && token.ends_with(exponent) {
                end += 1 + rest[end + 1..].find(|c| !word(c)).unwrap_or(rest.len() - end - 1);
            }
            let token = &rest[..end];
            rest = &rest[end..];
            let number = token.trim_end_matches(['f', 'h']);
            let float = token.contains(['.', 'e', 'f', 'h']) && token.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            if let (true, false, Ok(x)) = (float, token.starts_with("0x"), number.parse()) {
                out.push((token, x));
            }
        }
    }
    out
}

/// What Tint refuses of a text's decimals and naga takes: one above the largest f32, though it rounds to it. And one that is another f32 where
/// it is read as an f64 first, or whose digits promise more than an f32 holds.
fn unfit(source: &str) -> Option<String> {
    let fault = |&(text, x): &(&str, f64)| {
        let mantissa = text.trim_end_matches('f').split('e').next().unwrap_or_default();
        let digits = mantissa.chars().filter(char::is_ascii_digit).skip_while(|c| *c == '0').count();
        let same = text.trim_end_matches('f').parse::<f32>().is_ok_and(|v| v == x as f32);
        let long = digits > 9 && f64::from(x as f32) != x;
        (x > f64::from(f32::MAX) || !same || long || (x != 0.0 && x as f32 == 0.0)).then(|| format!("the literal {text}"))
    };
    decimals(source).iter().find_map(fault)
}

/// The scan of every text's literals can fail.
fn literals() -> Result<(), String> {
    for (text, right) in [
        ("x = 3.4028235e38;", false),
        ("x = 1e39f;", false),
        ("x = 0.1415926535;", false),
        ("x = 1e-50;", false),
        ("x = 3.4028234e38;", true),
    ] {
        if unfit(text).is_none() != right {
            return Err(format!("{text}: not seen"));
        }
    }
    let fine = "let t0 = a1.x + 0x1.fffffep+127f - 0x7f800000u; // 1e99\ny = 1.1754944e-38f + 1e-45f + 2.0 + 4.837513e-4 + dims[3u].x";
    match decimals(fine).iter().map(|d| d.0).collect::<Vec<_>>()[..] {
        ["1.1754944e-38f", "1e-45f", "2.0", "4.837513e-4"] if unfit(fine).is_none() => Ok(()),
        ref found => Err(format!("{found:?}")),
    }
}

/// Constants of formulas, to the ends of f32: what is printed is taken, and means the same bits.
fn constants() -> Result<(), String> {
    let all = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, 3.402_823e38, 1e38, 16_777_216.0, 0.1, f32::EPSILON, -0.0, f32::INFINITY];
    for x in all {
        let f = gradus::expr::Expr::of(1, |v| vec![v[0].maximum(f64::from(x))]);
        let kernel = Kernel::Map(gradus::kernels::Map::new(f, &[3], vec![gradus::kernels::Strided::new(0, vec![1])], vec![0]));
        let source = kernel.source();
        let fault = |e: String| format!("{x:e}: {e}\n{source}");
        if let Some(e) = unfit(&source) {
            return Err(fault(e));
        }
        let (module, _) = validated(&source).map_err(fault)?;
        let own = module.functions.iter().map(|(_, f)| f).find(|f| f.name.as_deref() == Some("element"));
        let bits = |(_, e): (_, &naga::Expression)| match e {
            naga::Expression::Literal(naga::Literal::F32(v)) => v.to_bits() == x.to_bits(),
            // what WGSL does not let a text say is said in bits
            naga::Expression::Literal(naga::Literal::U32(v)) => *v == x.to_bits(),
            _ => false,
        };
        if !own.is_some_and(|f| f.expressions.iter().any(bits)) {
            return Err(fault("another number".into()));
        }
    }
    Ok(())
}

#[test]
fn literals_are_floats_in_browsers() {
    SUITE.test(vec![Job::new("literals", literals), Job::new("constants", constants)]);
}

/// A program's kernels as files: each is whole, says what it is made of, and is written once.
fn files() -> Result<(), String> {
    let case = cases::classifiers().into_iter().next().ok_or("no case")?;
    let program = case.build()?.part(Target::Gpu, &no_rule(), Part::Whole)?;
    let folder = std::env::temp_dir().join(format!("gradus-sources-{}", std::process::id()));
    let files = program.write_sources(&folder).map_err(|e| e.to_string())?;
    let texts: Result<Vec<String>, String> = files.iter().map(|f| std::fs::read_to_string(f).map_err(|e| e.to_string())).collect();
    std::fs::remove_dir_all(&folder).map_err(|e| e.to_string())?;
    let mut without = Vec::new();
    for text in texts? {
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        validated(rest)?;
        naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text))?;
        let from = first.split_once("made from ").map(|f| f.1).ok_or_else(|| format!("the first line is {first}"))?;
        if let Some(gone) = from.split(", ").find(|f| !std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(f).is_file()) {
            return Err(format!("{gone} is no file"));
        }
        without.push(rest.to_string());
    }
    without.sort();
    if without != program.pipelines() {
        return Err(format!("{files:?} are not the program's pipelines"));
    }
    Ok(())
}

#[test]
fn sources_are_files() {
    SUITE.test(vec![Job::new("sources as files", files)]);
}
