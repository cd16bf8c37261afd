//! NaN where workgroup memory must not be read before it is written: an edit of a kernel's text.

/// The text with a first statement that fills its workgroup arrays with NaN. The same text where it has none.
pub fn workgroup_arrays(source: &str) -> String {
    let arrays: Vec<[&str; 3]> = source.lines().filter_map(|l| l.strip_prefix("var<workgroup> ")).map(array).collect();
    if arrays.is_empty() {
        return source.into();
    }
    let (head, rest) = source.split_once("fn main(").expect("an entry point");
    let (arguments, body) = rest.split_once(") {").expect("a body");
    let lane = arguments.split_once("local_invocation_index) ").and_then(|(_, r)| r.split(':').next()).expect("a lane");
    let threads = head.rsplit_once("@workgroup_size(").and_then(|(_, r)| r.split(')').next()).expect("a workgroup");
    let mut fill = String::new();
    for [name, element, length] in arrays {
        let nan = |of: &str| match source.lines().find_map(|l| l.strip_prefix(&format!("alias {of} = "))).unwrap_or(of) {
            of if of.contains("f16") => "f16(poison(i))",
            of if of.contains("u32") => "bitcast<u32>(poison(i))",
            _ => "poison(i)",
        };
        let members = source.lines().find_map(|l| l.strip_prefix(&format!("struct {element} {{ "))?.strip_suffix(" }"));
        let value = members.map_or(nan(element).into(), |all| {
            let member = |m: &str| m.split_once(": ").map_or(String::new(), |(_, of)| format!("{of}({})", nan(of)));
            all.split(", ").map(member).collect::<Vec<_>>().join(", ")
        });
        fill += &format!("    for (var i = {lane}; i < {length}; i += {threads}) {{ {name}[i] = {element}({value}); }}\n");
    }
    let poison = "fn poison(i: u32) -> f32 { return bitcast<f32>(i | 0x7fc00000u); }\n";
    // a function stands in front of the entry point's attributes
    let at = head.rfind("@compute").expect("an entry point");
    format!("{}{poison}{}fn main({arguments}) {{\n{fill}    workgroupBarrier();\n{body}", &head[..at], &head[at..])
}

/// Name, element and length of `NAME: array<ELEMENT, LENGTH>;`.
fn array(declaration: &str) -> [&str; 3] {
    let parts = declaration.split_once(": array<").and_then(|(name, r)| {
        let (element, length) = r.strip_suffix(">;")?.rsplit_once(", ")?;
        Some([name, element, length])
    });
    parts.unwrap_or_else(|| panic!("workgroup memory of another kind: {declaration}"))
}
