//! The table of `docs/gpu-lab.md`: read, written, and held against a new one.

use crate::figures::Figures;

/// Rows of kernels, columns of chips.
#[derive(Debug, Default)]
pub struct Table {
    /// Whose compilers: the version of Mesa.
    mesa: String,
    chips: Vec<String>,
    /// A kernel's title and its cells, one a chip.
    rows: Vec<(String, Vec<Cell>)>,
}

/// `None` where a chip has no such kernel: the plan is another there, or its text stands under another title. The error is why it was not compiled.
type Cell = Option<Result<Figures, String>>;

/// What a new table shows beside an old one.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    /// What must not be.
    pub wrong: Vec<String>,
    /// What has changed.
    pub told: Vec<String>,
}

// The table stands between these lines of the page.
const BEGIN: &str = "<!-- written by tests/lab.sh --write -->";
const END: &str = "<!-- end -->";
const NONE: &str = "-";
const FAILED: &str = "failed";

impl Table {
    /// One chip's, of titles and what came of them. The version is what stands behind `Mesa` in the driver's words.
    pub fn column(chip: &str, driver: &str, cells: Vec<(String, Result<Figures, String>)>) -> Table {
        let mesa = driver.split("Mesa ").nth(1).and_then(|v| v.split([',', '-', ' ', '\n']).next()).unwrap_or("unknown");
        let rows = cells.into_iter().map(|(title, cell)| (title, vec![Some(cell)])).collect();
        Table { mesa: mesa.into(), chips: vec![chip.into()], rows }
    }

    /// Adds another's columns on the right. New rows stand behind the one that they follow there.
    pub fn add(&mut self, other: Table) {
        let (mine, theirs) = (self.chips.len(), other.chips.len());
        self.mesa = other.mesa;
        self.chips.extend(other.chips);
        self.rows.iter_mut().for_each(|(_, cells)| cells.resize(mine + theirs, None));
        let mut behind = 0;
        for (title, cells) in other.rows {
            let at = self.rows.iter().position(|(t, _)| *t == title).unwrap_or_else(|| {
                self.rows.insert(behind, (title, vec![None; mine + theirs]));
                behind
            });
            self.rows[at].1[mine..].clone_from_slice(&cells);
            behind = at + 1;
        }
    }

    /// That of a page; an empty one where the page has none yet.
    pub fn of_page(page: &str) -> Result<Table, String> {
        let (_, body, _) = parts(page)?;
        let mut table = Table::default();
        for line in body.lines().map(str::trim) {
            let cells = line.strip_prefix('|').and_then(|l| l.strip_suffix('|')).map(|l| l.split('|').map(str::trim).collect::<Vec<_>>());
            match cells.as_deref() {
                None => table.mesa = line.strip_prefix("Mesa ").map_or(table.mesa, |v| v.trim_end_matches('.').into()),
                Some(["kernel", chips @ ..]) => table.chips = chips.iter().map(|c| c.to_string()).collect(),
                Some([rule, ..]) if rule.starts_with("---") => {}
                Some([title, cells @ ..]) if cells.len() == table.chips.len() => {
                    let cells = cells.iter().map(|c| read(c)).collect::<Result<_, _>>().map_err(|e| format!("{title}: {e}"))?;
                    table.rows.push((title.to_string(), cells));
                }
                Some(_) => return Err(format!("a row has not a cell for each chip: {line}")),
            }
        }
        Ok(table)
    }

    /// The page with this table in the place of its own.
    pub fn written_into(&self, page: &str) -> Result<String, String> {
        let (before, _, after) = parts(page)?;
        let row = |title: &str, cells: &[String]| format!("| {title} | {} |\n", cells.join(" | "));
        let rule = vec!["---".to_string(); self.chips.len()];
        let rows = self.rows.iter().map(|(title, cells)| row(title, &cells.iter().map(written).collect::<Vec<_>>()));
        let rows = [row("kernel", &self.chips), row("---", &rule)].into_iter().chain(rows).collect::<String>();
        Ok(format!("{before}{BEGIN}\nMesa {}.\n\n{rows}{END}{after}", self.mesa))
    }

    /// How many kernels were compiled, each for each chip.
    pub fn compiled(&self) -> usize {
        self.rows.iter().flat_map(|(_, cells)| cells).filter(|c| matches!(c, Some(Ok(_)))).count()
    }

    /// What is wrong with this table, and what has changed since the old one. Of the old one's chips those count that this one has.
    pub fn against(&self, old: &Table) -> Report {
        let mut report = Report::default();
        // another compiler makes other loops, and that is no fault of a kernel
        let same = series(&self.mesa) == series(&old.mesa);
        if !same {
            let with = |t: &Table| if t.mesa.is_empty() { "none".into() } else { t.mesa.clone() };
            report.told.push(format!("this is Mesa {}, the table is of {}: what grew is told, and not wrong", with(self), with(old)));
        }
        for (title, cells) in &self.rows {
            for (chip, cell) in self.chips.iter().zip(cells) {
                if let Some(cell) = cell {
                    compare(&format!("{chip}, {title}"), cell, old.cell(chip, title), same, &mut report);
                }
            }
        }
        let chips = &self.chips;
        report.told.extend(self.beyond(old, chips).map(|k| format!("{k}: new")));
        report.wrong.extend(old.beyond(self, chips).map(|k| format!("{k}: it stands in the table and was not compiled")));
        report
    }

    /// The kernels that this table has and the other has not, behind those of the chips where it is so.
    fn beyond(&self, other: &Table, chips: &[String]) -> impl Iterator<Item = String> {
        self.rows.iter().filter_map(|(title, _)| {
            let here = |chip: &&String| self.cell(chip, title).is_some() && other.cell(chip, title).is_none();
            let all: Vec<&str> = chips.iter().filter(here).map(String::as_str).collect();
            (!all.is_empty()).then(|| format!("{}, {title}", all.join(" ")))
        })
    }

    fn cell(&self, chip: &str, title: &str) -> Option<&Result<Figures, String>> {
        let column = self.chips.iter().position(|c| c == chip)?;
        self.rows.iter().find(|(t, _)| t == title)?.1[column].as_ref()
    }
}

fn compare(what: &str, cell: &Result<Figures, String>, old: Option<&Result<Figures, String>>, same: bool, report: &mut Report) {
    let now = match cell {
        Ok(now) => now,
        Err(why) => return report.wrong.push(format!("{what}: {why}")),
    };
    if now.spilled > 0 || now.scratch > 0 {
        report.wrong.push(format!("{what}: {} spills and fills, {} bytes of scratch memory", now.spilled, now.scratch));
    }
    let Some(Ok(old)) = old else { return };
    let changed = format!(
        "{what}: the hottest loop had {} instructions ({} %), now {} ({} %)",
        old.instructions, old.share, now.instructions, now.share
    );
    if 10 * now.instructions > 11 * old.instructions {
        if same { &mut report.wrong } else { &mut report.told }.push(changed);
    } else if 10 * now.instructions < 9 * old.instructions {
        report.told.push(changed);
    }
}

/// `26.2` of `26.2.6`: between corrections of a series the compilers stay as they are.
fn series(version: &str) -> Vec<&str> {
    version.split('.').take(2).collect()
}

fn read(cell: &str) -> Result<Cell, String> {
    Ok(match cell {
        NONE => None,
        FAILED => Some(Err(FAILED.into())),
        figures => Some(Ok(figures.parse()?)),
    })
}

fn written(cell: &Cell) -> String {
    match cell {
        None => NONE.into(),
        Some(Err(_)) => FAILED.into(),
        Some(Ok(figures)) => figures.to_string(),
    }
}

/// A page before, within and behind the table's lines.
fn parts(page: &str) -> Result<(&str, &str, &str), String> {
    let found = page.split_once(BEGIN).and_then(|(before, rest)| rest.split_once(END).map(|(body, after)| (before, body, after)));
    found.ok_or_else(|| format!("the page has no lines `{BEGIN}` and `{END}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(chip: &str, mesa: &str, cells: &[(&str, &str)]) -> Table {
        let cell = |text: &str| text.parse::<Figures>();
        Table::column(
            chip,
            &format!("Radeon, radv Mesa {mesa}-1, tensor cores none"),
            cells.iter().map(|(t, c)| (t.to_string(), cell(c))).collect(),
        )
    }

    fn both(mesa: &str, ada: &[(&str, &str)], m1: &[(&str, &str)]) -> Table {
        let mut table = column("ada", mesa, ada);
        table.add(column("m1", mesa, m1));
        table
    }

    const ADA: [(&str, &str); 3] = [("big: gemm", "700; 70 %; 96"), ("big: tick", "20; 0 %; 8"), ("big: map", "30; 0 %; 8")];
    const M1: [(&str, &str); 2] = [("big: gemm", "710; 70 %; 96"), ("big: map", "40; 0 %; 8")];

    fn report(ada: &[(&str, &str)], m1: &[(&str, &str)]) -> Report {
        both("26.2.7", ada, m1).against(&both("26.2.6", &ADA, &M1))
    }

    /// With one cell of Ada in the place of its own.
    fn with(cell: (&str, &str)) -> Report {
        report(&ADA.map(|c| if c.0 == cell.0 { cell } else { c }), &M1)
    }

    #[test]
    fn a_page_keeps_its_table() {
        let page = format!("# Page\n\n{BEGIN}\n{END}\n\nMore.\n");
        assert!(Table::of_page(&page).unwrap().rows.is_empty());
        let mut table = both("26.2.6", &ADA, &M1);
        table.rows[1].1[0] = Some(Err("vkCreateComputePipelines: refused".into()));
        let text = table.written_into(&page).unwrap();
        assert!(text.starts_with("# Page\n\n<!--") && text.ends_with("-->\n\nMore.\n"), "{text}");
        assert!(text.contains("Mesa 26.2.6.\n\n| kernel | ada | m1 |\n| --- | --- | --- |\n| big: gemm | 700; 70 %; 96 | 710; 70 %; 96 |\n| big: tick | failed | - |\n"), "{text}");
        let again = Table::of_page(&text).unwrap();
        assert_eq!(again.written_into(&text).unwrap(), text);
        assert_eq!((again.compiled(), again.mesa.as_str()), (4, "26.2.6"));
        assert!(Table::of_page("# Page").is_err());
        assert!(Table::of_page(&text.replace("| failed | - |", "| failed |")).unwrap_err().contains("a cell for each chip"));
    }

    #[test]
    fn rows_of_another_chip_stand_where_they_belong() {
        let table = both("26.2.6", &M1, &[("big: gather", "9; 0 %; 8"), ADA[0], ADA[1], ADA[2]]);
        let titles: Vec<&str> = table.rows.iter().map(|(t, _)| t.as_str()).collect();
        assert_eq!(titles, ["big: gather", "big: gemm", "big: tick", "big: map"]);
        assert!(table.rows[0].1[0].is_none() && table.rows[3].1.iter().all(Option::is_some));
    }

    #[test]
    fn the_same_is_right() {
        assert_eq!(report(&ADA, &M1), Report::default());
        assert_eq!(with(("big: gemm", "770; 64 %; 255")), Report::default());
        assert_eq!(with(("big: gemm", "630; 77 %; 96")), Report::default());
    }

    #[test]
    fn a_loop_that_grew_is_wrong_and_one_that_shrank_is_told() {
        let grew = with(("big: gemm", "771; 64 %; 96"));
        assert_eq!(grew.wrong, ["ada, big: gemm: the hottest loop had 700 instructions (70 %), now 771 (64 %)"]);
        assert!(grew.told.is_empty());
        let shrank = with(("big: gemm", "629; 77 %; 96"));
        assert_eq!((shrank.wrong.len(), shrank.told.len()), (0, 1));
    }

    #[test]
    fn another_series_of_mesa_may_make_longer_loops() {
        let newer = both("26.3.0", &[("big: gemm", "999; 9 %; 96"), ADA[1], ADA[2]], &M1).against(&both("26.2.6", &ADA, &M1));
        assert_eq!((newer.wrong.len(), newer.told.len()), (0, 2));
        assert!(newer.told[0].contains("Mesa 26.3.0") && newer.told[1].contains("999"), "{newer:?}");
        // spills are spills
        let spills = both("26.3.0", &[("big: gemm", "700; 70 %; 96; 2 spilled"), ADA[1], ADA[2]], &M1).against(&both("26.2.6", &ADA, &M1));
        assert_eq!(spills.wrong.len(), 1);
    }

    #[test]
    fn spills_scratch_and_refusals_are_wrong() {
        assert!(with(("big: tick", "20; 0 %; 8; 3 spilled")).wrong[0].starts_with("ada, big: tick: 3 spills and fills"));
        assert!(with(("big: tick", "20; 0 %; 8; 16 B scratch")).wrong[0].contains("16 bytes of scratch"));
        let refused = with(("big: tick", "VK_ERROR_UNKNOWN"));
        assert!(refused.wrong.len() == 1 && refused.wrong[0].contains("VK_ERROR_UNKNOWN"), "{refused:?}");
        // and stay so when the table has them
        let spilled = || both("26.2.6", &[("big: gemm", "700; 70 %; 96; 2 spilled")], &[]);
        assert_eq!(spilled().against(&spilled()).wrong.len(), 1);
    }

    #[test]
    fn a_missing_kernel_is_wrong_and_a_new_one_is_told() {
        let missing = report(&ADA[..2], &M1);
        assert_eq!(missing.wrong, ["ada, big: map: it stands in the table and was not compiled"]);
        let new = report(&ADA, &[M1[0], M1[1], ADA[1]]);
        assert_eq!((new.wrong.len(), new.told.as_slice()), (0, &["m1, big: tick: new".to_string()][..]));
        // a chip that was not asked for is not missing
        assert_eq!(column("m1", "26.2.6", &M1).against(&both("26.2.6", &ADA, &M1)), Report::default());
    }
}
