//! The reading of a CSV file.

use super::cell::{is_missing, number, short};
use super::choice::{self, Fill};
use super::column::MOST_ONE_HOT;
use super::made::Table;
use super::settings::Csv;
use crate::data::Dataset;
use crate::disk;
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use ::csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Most columns: a header of more is no table's.
const MOST_COLUMNS: usize = 1 << 16;

/// A column, and its values: numbers, or numbers of words.
struct Column {
    of: choice::Column,
    values: Vec<f32>,
}

pub(super) fn read(csv: &Csv, path: &Path) -> Result<Table> {
    let (mut file, size) = disk::open(path).map_err(|e| Error::io("open", path, e))?;
    let bytes = disk::rest(&mut file, size).map_err(|e| Error::io("read", path, e))?;
    let mut lines = Lines {
        path,
        bytes: &bytes,
        // all rows are looked at by hand, so that a message names row and column
        reader: ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(csv.delimiter as u8)
            .trim(Trim::All)
            .from_reader(&bytes[..]),
        line: ByteRecord::new(),
        names: vec![],
        row: 0,
    };
    let first = lines.first(csv)?;
    let chosen = csv.choice().chosen(&lines.names, path)?;
    let mut columns: Vec<Column> = chosen.into_iter().map(|of| Column { of, values: vec![] }).collect();
    let mut more = first || lines.next()?;
    while more {
        lines.row += 1;
        lines.check_length()?;
        columns.iter_mut().try_for_each(|c| lines.take(c))?;
        more = lines.next()?;
    }
    if lines.row == 0 {
        let at = bytes.len() as u64;
        return Err(lines.bad(at, "there is no row behind the names of the columns".into(), "give a table with rows"));
    }
    table(csv, columns, lines.row, path)
}

struct Lines<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    reader: Reader<&'a [u8]>,
    line: ByteRecord,
    names: Vec<String>,
    /// The row that is read, from 1 on.
    row: usize,
}

impl Lines<'_> {
    fn bad(&self, offset: u64, problem: String, help: &str) -> Error {
        Error::BadData { path: self.path.into(), offset, problem, help: help.into() }
    }

    /// Where the line begins: the reader counts what is left of the last line's end, and empty lines, as the next one's.
    fn start(&self) -> u64 {
        let from = self.line.position().map_or(0, |p| p.byte() as usize).min(self.bytes.len());
        (from + self.bytes[from..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()) as u64
    }

    fn number_of_line(&self) -> usize {
        let before = &self.bytes[..self.start() as usize];
        // where no line feed is, a carriage return alone ends lines
        let end = if before.contains(&b'\n') { b'\n' } else { b'\r' };
        1 + before.iter().filter(|&&b| b == end).count()
    }

    fn next(&mut self) -> Result<bool> {
        self.reader.read_byte_record(&mut self.line).map_err(|e| match e.into_kind() {
            ::csv::ErrorKind::Io(e) => Error::io("read", self.path, e),
            other => Error::BadData {
                path: self.path.into(),
                offset: 0,
                problem: format!("no table can be read ({other:?})"),
                help: "give a CSV file in UTF-8".into(),
            },
        })
    }

    /// Reads the columns' names. Whether the line that was read is the first row.
    fn first(&mut self, csv: &Csv) -> Result<bool> {
        if !self.next()? {
            return Err(self.bad(0, "the file is empty".into(), "give a table with rows"));
        }
        if self.line.len() > MOST_COLUMNS {
            let problem = format!("its first line has {} values, and a table at most {MOST_COLUMNS} columns", self.line.len());
            return Err(self.bad(0, problem, "give a table with a row on each line"));
        }
        if !csv.header {
            self.names = (0..self.line.len()).map(|i| i.to_string()).collect();
            return Ok(true);
        }
        for (i, name) in self.line.iter().enumerate() {
            let Ok(name) = std::str::from_utf8(name) else {
                return Err(self.bad(self.start(), format!("the name of column {} is no UTF-8", i + 1), "write the file in UTF-8"));
            };
            self.names.push(name.into());
        }
        let mut seen = HashSet::new();
        if let Some(name) = self.names.iter().find(|n| !seen.insert(n.as_str())) {
            let problem = format!("two columns are called `{}`", short(name));
            return Err(self.bad(self.start(), problem, "give each column a name of its own, or read it with `header(false)`"));
        }
        Ok(false)
    }

    fn check_length(&self) -> Result<()> {
        let (has, want) = (self.line.len(), self.names.len());
        if has == want {
            return Ok(());
        }
        let problem = format!("row {} (line {}) has {has} values, and the table {want} columns", self.row, self.number_of_line());
        Err(self.bad(self.start(), problem, "mend the line: a value with the delimiter in it stands in quotes"))
    }

    /// The value of a column in this line.
    fn take(&self, column: &mut Column) -> Result<()> {
        let bytes = self.line.get(column.of.at).unwrap_or_default();
        let at = |problem: String| {
            let (row, line) = (self.row, self.number_of_line());
            format!("row {row} (line {line}), column `{}`: {problem}", short(&column.of.name))
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(self.bad(self.start(), at("the value is no UTF-8".into()), "write the file in UTF-8"));
        };
        let value = match (&mut column.of.words, &column.of.fill) {
            (Some(words), Some(Fill::Word(fill))) if is_missing(text) => words.number(fill).map(|n| n as f32),
            (None, Some(Fill::Number(fill))) if is_missing(text) => Ok(*fill as f32),
            _ if is_missing(text) => {
                let help =
                    "mend the table, leave the column out (`Csv::drop`), or say what stands in: `Csv::fill_missing`, `fill_missing_in`";
                return Err(self.bad(self.start(), at("the value is missing".into()), help));
            }
            (Some(words), _) => words.number(text).map(|n| n as f32),
            (None, _) => number(text),
        };
        let help = "mend the table, leave the column out (`Csv::drop`), or call it one of words (`Csv::categories`, `one_hot`)";
        column.values.push(value.map_err(|problem| self.bad(self.start(), at(problem), help))?);
        Ok(())
    }
}

/// Features, and labels if there are any.
fn table(csv: &Csv, columns: Vec<Column>, rows: usize, path: &Path) -> Result<Table> {
    let mut categories = BTreeMap::new();
    let mut read: Vec<(String, Vec<f32>, Option<Vec<String>>)> = Vec::new();
    for Column { of: choice::Column { name, words, .. }, mut values } in columns {
        let words = words.map(|words| {
            let (words, last) = words.sorted();
            values.iter_mut().for_each(|v| *v = last[*v as usize] as f32);
            categories.insert(name.clone(), words.clone());
            words
        });
        read.push((name, values, words));
    }
    for (name, _, words) in &read {
        if let Some(words) = words.as_ref().filter(|w| csv.one_hot.contains(name) && w.len() > MOST_ONE_HOT) {
            return Err(Error::BadData {
                path: path.into(),
                offset: 0,
                problem: format!("column `{}` has {} different words, and one-hot rows at most {MOST_ONE_HOT}", short(name), words.len()),
                help: "take the numbers of its words: `Csv::categories`, and an `Embedding` behind them".into(),
            });
        }
    }
    let labels = read.split_off(read.len() - csv.targets.len());
    let mut features = Vec::new();
    let mut width = 0usize;
    for (name, _, words) in &read {
        match words.as_ref().filter(|_| csv.one_hot.contains(name)) {
            Some(words) => features.extend(words.iter().map(|w| format!("{name}={w}"))),
            None => features.push(name.clone()),
        }
        width = features.len();
    }
    let size = width.saturating_mul(rows);
    let mut x = Vec::new();
    x.try_reserve_exact(size).map_err(|_| Error::OutOfMemory {
        what: format!("the features of {}", path.display()),
        needed: 4 * size as u64,
        available: 0,
        biggest: vec![format!("{rows} rows of {width} features")],
        help: "make fewer features: a column of many words is one of `categories`, and no `one_hot`".into(),
    })?;
    for row in 0..rows {
        for (name, values, words) in &read {
            match words.as_ref().filter(|_| csv.one_hot.contains(name)) {
                Some(words) => x.extend((0..words.len()).map(|w| f32::from(u8::from(w == values[row] as usize)))),
                None => x.push(values[row]),
            }
        }
    }
    let x = HostTensor::f32([rows, width], x)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let data = match &labels[..] {
        [] => Dataset::unlabelled(x)?,
        [(_, values, Some(words))] => {
            let y = HostTensor::u32([rows], values.iter().map(|v| *v as u32).collect())?;
            Dataset::new(x, y)?.class_names(words.clone())
        }
        [(_, values, None)] => Dataset::new(x, HostTensor::f32([rows], values.clone())?)?,
        several => {
            let y = (0..rows).flat_map(|row| several.iter().map(move |(_, values, _)| values[row])).collect();
            Dataset::new(x, HostTensor::f32([rows, several.len()], y)?)?
        }
    };
    Ok(Table { data: data.named(&name), features, targets: csv.targets.clone(), categories })
}
