//! What is kept of one kernel on one chip: a cell of the table.

use crate::dialects;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// `658; 77 %; 96`, and behind it what should not be: `; 118 spilled; 512 B scratch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Instructions of the hottest loop, or of a kernel that has none.
    pub instructions: u64,
    /// Multiply-adds and matrix products among them, in percent.
    pub share: u64,
    /// Registers of a lane. Intel's are the most that lived at once, before any were given.
    pub registers: u64,
    /// Spills and fills.
    pub spilled: u64,
    /// Bytes of memory of its own that a lane needs.
    pub scratch: u64,
}

// What four drivers call the same thing.
const REGISTERS: [&str; 5] = ["VGPRs", "Number of GPRs", "GPRs", "Max live registers", "Registers used"];
const SPILLED: [&str; 8] =
    ["Spilled SGPRs", "Spilled VGPRs", "Spills to memory", "Fills from memory", "Spill count", "Fill count", "Spills", "Fills"];
const SCRATCH: [&str; 4] = ["Scratch size", "SLM size", "Scratch", "Scratch Memory Size"];

impl Figures {
    /// Of what a driver told: lines of `key<TAB>value`, and its listing.
    pub fn of(facts: &str, listing: &str) -> Result<Figures, String> {
        let facts: HashMap<&str, &str> = facts.lines().filter_map(|l| l.split_once('\t')).collect();
        let driver = facts.get("driver").copied().unwrap_or("");
        let body = dialects::hottest(driver, listing).ok_or_else(|| format!("the listing of {driver} was not understood"))?;
        let told = |names: &[&str]| names.iter().filter_map(|n| facts.get(n)?.parse::<u64>().ok()).reduce(|a, b| a + b);
        let must = |what: &str, names| told(names).ok_or_else(|| format!("{driver} tells of no {what} under a known name"));
        let (products, instructions) = (body.products as u64, body.instructions as u64);
        Ok(Figures {
            instructions,
            share: 100 * products / instructions.max(1),
            registers: must("registers", &REGISTERS)?,
            spilled: must("spills", &SPILLED)?,
            scratch: must("scratch memory", &SCRATCH)?,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} %; {}", self.instructions, self.share, self.registers)?;
        if self.spilled > 0 {
            write!(f, "; {} spilled", self.spilled)?;
        }
        if self.scratch > 0 {
            write!(f, "; {} B scratch", self.scratch)?;
        }
        Ok(())
    }
}

impl FromStr for Figures {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<(u64, &str)> = text
            .split(';')
            .map(|part| {
                let (number, unit) = part.trim().split_once(' ').unwrap_or((part.trim(), ""));
                Ok((number.parse().map_err(|_| format!("`{text}` is no cell such as `658; 77 %; 96`"))?, unit))
            })
            .collect::<Result<_, String>>()?;
        let [(instructions, ""), (share, "%"), (registers, ""), rest @ ..] = parts.as_slice() else {
            return Err(format!("`{text}` is no cell such as `658; 77 %; 96`"));
        };
        let behind = |unit: &str| rest.iter().find(|(_, u)| *u == unit).map_or(0, |(n, _)| *n);
        let [instructions, share, registers] = [*instructions, *share, *registers];
        Ok(Figures { instructions, share, registers, spilled: behind("spilled"), scratch: behind("B scratch") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_they_are_written() {
        for cell in ["658; 77 %; 96", "12; 0 %; 8; 118 spilled", "12; 0 %; 8; 118 spilled; 512 B scratch", "12; 0 %; 8; 4 B scratch"] {
            assert_eq!(cell.parse::<Figures>().unwrap().to_string(), cell);
        }
        for cell in ["", "658", "658; 77; 96", "658; 77 %; many"] {
            assert!(cell.parse::<Figures>().is_err(), "{cell}");
        }
    }

    /// A name that a driver changes must not read as "no spills".
    #[test]
    fn what_is_not_told_is_no_zero() {
        let listing = include_str!("../listings/amd.txt");
        let facts = "driver\tMESA_RADV\nVGPRs\t96\nSpilled SGPRs\t0\nSpilled VGPRs\t2\nScratch size\t16\n";
        assert_eq!(Figures::of(facts, listing).unwrap().to_string(), "5; 60 %; 96; 2 spilled; 16 B scratch");
        for (known, other) in [("VGPRs", "Registers of vectors"), ("Spilled", "Evicted"), ("Scratch size", "Stack")] {
            assert!(Figures::of(&facts.replace(known, other), listing).unwrap_err().contains("MESA_RADV tells of no"), "{known}");
        }
        assert!(Figures::of(facts, "nothing:").unwrap_err().contains("not understood"));
    }
}
