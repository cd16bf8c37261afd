//! A table as text, Markdown, CSV and lines of JSON.

use super::table::{Row, Summary, Table};
use crate::error::{Error, Result};
use crate::terminal::{columns_of, plain};
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::Path;

impl Table {
    /// As Markdown: a table for each shown column, with a row for each arm.
    pub fn to_markdown(&self) -> String {
        let mut out = if self.name.is_empty() { String::new() } else { format!("# {}\n\n", self.name) };
        for column in &self.shown {
            out += &format!("## {column}\n\n");
            let (head, rows) = self.lines(column);
            let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>().join(" | "));
            out += &line(&head);
            let rule = (0..head.len()).map(|i| if i < self.axes.len() { "---" } else { "---:" });
            out += &format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
            rows.iter().for_each(|r| out += &line(r));
            out.push('\n');
        }
        let notes = self.notes();
        out += &notes.iter().map(|n| format!("- {n}\n")).collect::<String>();
        plain(out.trim_end()).to_string() + "\n"
    }

    /// As CSV: a row for each arm, with every column in full figures.
    pub fn to_csv(&self) -> String {
        let parts = ["n", "mean", "deviation", "pairs", "difference", "low", "high"];
        let head = self.axes.iter().cloned().chain(["runs", "failed", "seconds", "error"].map(String::from));
        let head = head.chain(self.columns.iter().flat_map(|c| parts.map(|p| format!("{c}_{p}"))));
        let mut out = joined(head);
        for row in &self.rows {
            let own = [row.runs.to_string(), row.failed.to_string(), figure(row.seconds), row.error.clone().unwrap_or_default()];
            let values = row.values.iter().flat_map(|v| {
                let (d, i) = (v.and_then(|v| v.difference), v.and_then(|v| v.difference).and_then(|d| d.interval));
                let (n, pairs) = (v.map_or(0, |v| v.n).to_string(), d.map(|d| d.pairs.to_string()).unwrap_or_default());
                let numbers = [v.map(|v| v.mean), v.and_then(|v| v.deviation), d.map(|d| d.mean), i.map(|i| i.0), i.map(|i| i.1)];
                let [mean, deviation, difference, low, high] = numbers.map(figure);
                [n, mean, deviation, pairs, difference, low, high]
            });
            out += &joined(row.arms.iter().cloned().chain(own).chain(values));
        }
        out
    }

    /// As lines of JSON: an object for each arm, with every column in full figures.
    pub fn to_json_lines(&self) -> String {
        self.rows.iter().enumerate().map(|(i, row)| format!("{}\n", self.object(i, row))).collect()
    }

    fn object(&self, i: usize, row: &Row) -> Value {
        let arms: Map<String, Value> = self.axes.iter().cloned().zip(row.arms.iter().map(|a| json!(a))).collect();
        let of = |v: &Summary| {
            let (d, i) = (v.difference, v.difference.and_then(|d| d.interval));
            json!({
                "n": v.n, "mean": v.mean, "deviation": v.deviation, "pairs": d.map(|d| d.pairs), "difference": d.map(|d| d.mean),
                "low": i.map(|i| i.0), "high": i.map(|i| i.1),
            })
        };
        let values: Map<String, Value> =
            self.columns.iter().cloned().zip(&row.values).filter_map(|(c, v)| Some((c, of(v.as_ref()?)))).collect();
        let mut all = json!({ "arms": arms, "runs": row.runs, "failed": row.failed, "seconds": row.seconds, "values": values });
        if let (Some(map), Some(e)) = (all.as_object_mut(), &row.error) {
            map.insert("error".into(), json!(e));
        }
        if let (Some(map), true) = (all.as_object_mut(), self.chosen == Some(i)) {
            map.insert("chosen".into(), json!(true));
        }
        all
    }

    /// Writes `table.txt`, `table.md`, `table.csv` and `table.jsonl` into a folder, which is made if it is not there.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|e| Error::io("make", folder, e))?;
        let texts = [("txt", self.to_string()), ("md", self.to_markdown()), ("csv", self.to_csv()), ("jsonl", self.to_json_lines())];
        for (kind, text) in texts {
            let path = folder.join(format!("table.{kind}"));
            crate::disk::replace(&path, &[text.as_bytes()], true).map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    }

    /// The head and the rows of one column's table.
    fn lines(&self, column: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let (failed, fixed) = (self.rows.iter().any(|r| r.failed > 0), self.fixed(column));
        let first = self.rows.first().map_or("", |r| self.against.map_or("", |a| r.arms[a].as_str()));
        let mut head = self.axes.clone();
        head.extend(["n", "mean", "deviation"].map(String::from));
        if self.against.is_some() {
            head.extend([format!("against {first}"), "95 % interval".into()]);
        }
        head.extend(failed.then(|| "failed".into()));
        head.push("seconds".into());
        let row = |(i, r): (usize, &Row)| {
            let v = self.value(r, column);
            let mut cells = r.arms.clone();
            if let Some(last) = cells.last_mut().filter(|_| self.chosen == Some(i)) {
                *last += " (chosen)";
            }
            cells.push(v.map_or(0, |v| v.n).to_string());
            cells.push(v.map_or("-".into(), |v| number(v.mean, fixed)));
            cells.push(v.and_then(|v| v.deviation).map_or("-".into(), |d| number(d, fixed)));
            if self.against.is_some() {
                let d = v.and_then(|v| v.difference);
                cells.push(d.map_or(String::new(), |d| signed(d.mean, fixed)));
                let interval = d.and_then(|d| d.interval);
                cells.push(interval.map_or(String::new(), |(low, high)| format!("{} .. {}", signed(low, fixed), signed(high, fixed))));
            }
            cells.extend(failed.then(|| if r.failed > 0 { r.failed.to_string() } else { String::new() }));
            cells.push(r.seconds.map_or("-".into(), |s| format!("{s:.2}")));
            cells
        };
        (head, self.rows.iter().enumerate().map(row).collect())
    }

    /// Whether four decimals suit the values of a column.
    fn fixed(&self, column: &str) -> bool {
        let largest = self.rows.iter().filter_map(|r| self.value(r, column)).map(|v| v.mean.abs()).fold(0.0, f64::max);
        largest == 0.0 || (1e-2..1e6).contains(&largest)
    }

    /// What is to be known beside the figures.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        let several = self.shown.len() > 1;
        for p in &self.power {
            let what = if several { format!(" of {}", p.column) } else { String::new() };
            notes.push(format!(
                "{}: {} pilot runs have a deviation{what} of {}; {} seeds show a difference of {} (95 %, four times in five)",
                p.arms.join(", "),
                p.pilots,
                number(p.deviation, self.fixed(&p.column)),
                p.seeds,
                number(p.detectable, self.fixed(&p.column))
            ));
        }
        if self.against.is_some() && self.rows.len() > 1 {
            notes.push("differences are means over pairs of runs of one seed, with Student's 95 % interval: of twenty arms that change nothing one lies apart from 0".into());
        }
        if !self.timed {
            notes.push("runs may have shared the processor: their seconds are a rough measure".into());
        }
        let errors = self.rows.iter().filter_map(|r| Some((r, r.error.as_ref()?)));
        notes.extend(errors.map(|(r, e)| format!("{}: {} failed: {}", r.arms.join(", "), r.failed, e.lines().next().unwrap_or_default())));
        notes
    }
}

/// Aligned text, for terminals.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = if self.name.is_empty() { String::new() } else { format!("{}\n\n", self.name) };
        for column in &self.shown {
            let (head, rows) = self.lines(column);
            let widths: Vec<usize> =
                (0..head.len()).map(|i| rows.iter().chain([&head]).map(|r| columns_of(&r[i])).max().unwrap_or(0)).collect();
            out += &format!("{column}\n");
            for cells in std::iter::once(&head).chain(&rows) {
                let padded = cells.iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
                    let space = " ".repeat(width - columns_of(cell));
                    if i < self.axes.len() { format!("{cell}{space}") } else { format!("{space}{cell}") }
                });
                out += &format!("  {}\n", padded.collect::<Vec<_>>().join("  ").trim_end());
            }
            out.push('\n');
        }
        out += &self.notes().iter().map(|n| format!("{n}\n")).collect::<String>();
        plain(out.trim_end()).fmt(f)
    }
}

/// With four decimals, or with an exponent where those would show nothing or too much.
fn number(v: f64, fixed: bool) -> String {
    if fixed || !v.is_finite() { format!("{v:.4}") } else { format!("{v:.3e}") }
}

fn signed(v: f64, fixed: bool) -> String {
    if v < 0.0 { number(v, fixed) } else { format!("+{}", number(v, fixed)) }
}

fn figure(v: Option<f64>) -> String {
    v.map(|v| v.to_string()).unwrap_or_default()
}

/// A line of CSV, as RFC 4180 has it.
fn joined(cells: impl Iterator<Item = String>) -> String {
    let quoted = |c: String| if c.contains([',', '"', '\n', '\r']) { format!("\"{}\"", c.replace('"', "\"\"")) } else { c };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}
