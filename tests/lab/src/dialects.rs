//! How four compilers write their machine code down: where blocks begin and go, and which instructions multiply and add.

use crate::listing::{Body, Listing};

/// Reads the hottest loop of a listing; the dialect is that of a driver, by its `VkDriverId`.
pub fn hottest(driver: &str, listing: &str) -> Option<Body> {
    let read = match driver {
        "MESA_RADV" => amd,
        "MESA_NVK" => nvidia,
        "INTEL_OPEN_SOURCE_MESA" => intel,
        "MESA_AGXV" => apple, // HoneyKrisp, by the name that it had at first
        _ => return None,
    };
    read(listing).hottest()
}

fn starts(op: &str, with: &[&str]) -> bool {
    with.iter().any(|w| op.starts_with(w))
}

/// As LLVM prints it: `BB7:`, then lines such as `s_cbranch_scc0 BB25 ; bfa100e4` or `v_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6`.
fn amd(text: &str) -> Listing<'_> {
    const PRODUCTS: [&str; 9] = ["v_fma", "v_mac_f", "v_mad_f", "v_dual_fma", "v_pk_fma", "v_dot2", "v_wmma", "v_swmmac", "v_mfma"];
    let mut all = Listing::new();
    for line in text.lines().map(|l| l.split(';').next().unwrap_or("").trim()).filter(|l| !l.is_empty()) {
        let op = line.split_whitespace().next().unwrap_or("");
        if let Some(name) = line.strip_suffix(':') {
            all.label(name);
            continue;
        }
        all.instruction(line.split("::").any(|half| starts(half.trim(), &PRODUCTS)));
        if starts(op, &["s_cbranch", "s_branch"]) {
            all.goes(line.split_whitespace().skip(1), op != "s_branch");
        } else if op == "s_endpgm" {
            break; // the rest is padding
        }
    }
    all
}

/// NAK's: `block 7 L16 [6] -> {`, then lines such as `@!p0  r70 = imad r2 c[0x1][0x30] r70 // delay=3`, then `} -> [8]`.
fn nvidia(text: &str) -> Listing<'_> {
    let mut all = Listing::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if line.starts_with("block") && line.ends_with('{') {
            all.label(line.split_whitespace().nth(1).unwrap_or(""));
        } else if let Some(rest) = line.strip_prefix('}') {
            all.goes(rest.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()), false);
        } else {
            let code = line.split("//").next().unwrap_or("");
            let code = code.split_once(" = ").map_or(code, |(_, right)| right);
            let op = code.split_whitespace().find(|w| !w.starts_with('@')).unwrap_or("");
            all.instruction(starts(op, &["ffma", "hfma2", "dfma", "hmma"]));
        }
    }
    all
}

/// That of Mesa's AGX compiler, which prints a shader several times on its way, the last time in registers, and then the bytes: `block4 {`, then lines
/// such as `r95 = icmpsel $r73, u18, r76, #0, #0x0`, then `} -> block5 block6  from block3`.
fn apple(text: &str) -> Listing<'_> {
    let body = text.split("\n   0: ").next().unwrap_or(text);
    let body = body.rfind("\nblock0 {").map_or("", |at| &body[at..]);
    let mut all = Listing::new();
    for line in body.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(name) = line.strip_suffix(" {") {
            all.label(name);
        } else if let Some(rest) = line.strip_prefix('}') {
            let to = rest.split(" from ").next().unwrap_or("");
            all.goes(to.split_whitespace().filter(|w| w.starts_with("block")), false);
        } else {
            let code = line.split_once(" = ").map_or(line, |(_, right)| right);
            all.instruction(starts(code, &["ffma ", "simd_matmul"]));
        }
    }
    all
}

/// Intel's: `L12:`, then lines such as `(W) mad (8) r88:f r63:f r2:f r12<1>:f {$2.src}`.
fn intel(text: &str) -> Listing<'_> {
    let mut all = Listing::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(name) = line.strip_suffix(':') {
            all.label(name);
            continue;
        }
        let code = if line.starts_with('(') { line.split_once(')').map_or(line, |(_, rest)| rest.trim()) } else { line };
        let op = code.split([' ', '.']).next().unwrap_or("");
        let to = code.split(')').nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("");
        all.instruction((op == "mad" && to.ends_with('f')) || op.starts_with("dpas"));
        if ["if", "else", "while", "break", "cont", "jmpi", "halt", "goto"].contains(&op) {
            // the first is where it goes, a second one where all meet again
            let label = |w: &'_ str| w.starts_with('L') || w.starts_with("jip:") || w.starts_with("uip:");
            let found = code.split_whitespace().find(|w| label(w));
            all.goes(found.map(|w| w.rsplit(':').next().unwrap_or(w)), true);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut from listings of Mesa 26.2: a loop in each.
    #[test]
    fn listings_are_read() {
        let all = [
            ("MESA_RADV", include_str!("../listings/amd.txt"), (3, 5)),
            ("MESA_NVK", include_str!("../listings/nvidia.txt"), (1, 5)),
            ("INTEL_OPEN_SOURCE_MESA", include_str!("../listings/intel.txt"), (1, 7)),
            ("MESA_AGXV", include_str!("../listings/apple.txt"), (1, 4)),
        ];
        for (driver, text, want) in all {
            let found = hottest(driver, text).unwrap_or_else(|| panic!("{driver}: nothing was read"));
            assert_eq!((found.products, found.instructions), want, "{driver}");
        }
        assert_eq!(hottest("MESA_TURNIP", "x"), None);
        assert_eq!(hottest("MESA_RADV", ""), None);
    }
}
