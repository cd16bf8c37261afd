//! The reading of a Parquet file: row groups from the first to the last, into rows that are kept for any order.

use super::cell::short;
use super::choice::Column;
use super::column::{MOST_ONE_HOT, Words};
use super::columns_of_parquet::{Form, form, read as read_column, width};
use super::made::Table;
use super::pages;
use super::parquet::Parquet;
use crate::data::Dataset;
use crate::data::source::Source;
use crate::data::spool::{Room, Spool};
use crate::disk;
use crate::error::{Error, Result, panic_text};
use crate::tensor::{DType, Shape};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Rows that are read at a time.
const ROWS: usize = 4096;

pub(super) fn read(how: &Parquet, path: &Path) -> Result<Table> {
    // the crate is not told to be safe from every damage: what it does not see coming is an error here, too
    catch_unwind(AssertUnwindSafe(|| table(how, path)))
        .unwrap_or_else(|panic| Err(bad(path, format!("the file is damaged ({})", panic_text(&*panic)))))
}

fn bad(path: &Path, problem: String) -> Error {
    Error::BadData { path: path.into(), offset: 0, problem, help: "write the file again".into() }
}

/// An open file, and the columns that are read of it.
struct Open<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    forms: Vec<Form>,
    rows: usize,
}

fn table(how: &Parquet, path: &Path) -> Result<Table> {
    let (file, _) = disk::open(path).map_err(|e| Error::io("open", path, e))?;
    let mut raw = file.try_clone().map_err(|e| Error::io("open", path, e))?;
    let reader = SerializedFileReader::new(file).map_err(|e| bad(path, format!("not a Parquet file, or a damaged one ({})", told(e))))?;
    let meta = reader.metadata();
    let schema = meta.file_metadata().schema_descr_ptr();
    let names: Vec<String> = schema.columns().iter().map(|c| c.path().string()).collect();
    let mut columns = how.choice().chosen(&names, path)?;
    let mut forms = Vec::new();
    for column in &columns {
        forms.push(form(schema.column(column.at).as_ref()).map_err(|what| Error::Unsupported {
            what: format!("the column `{}`, which {what}", short(&column.name)),
            at: path.display().to_string(),
            help: "leave it out (`Parquet::drop`), or write it as numbers".into(),
        })?);
    }
    let size = raw.metadata().map_err(|e| Error::io("read", path, e))?.len();
    let mut rows = 0usize;
    for group in meta.row_groups() {
        rows = rows.saturating_add(usize::try_from(group.num_rows()).unwrap_or(usize::MAX));
        for column in &columns {
            let chunk = group.column(column.at);
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            let (start, bytes) = (u64::try_from(start), u64::try_from(chunk.compressed_size()));
            let place = start.ok().zip(bytes.ok()).filter(|(s, b)| s.checked_add(*b).is_some_and(|end| end <= size));
            let checked = place.ok_or_else(|| "its part of a row group lies beyond the file's end".to_string());
            let least = width(schema.column(column.at).as_ref());
            let checked = checked.and_then(|(start, bytes)| pages::check(&mut raw, start, bytes, least));
            checked.map_err(|problem| bad(path, format!("column `{}`: {problem}", short(&column.name))))?;
        }
    }
    if rows == 0 || rows > u32::MAX as usize {
        return Err(bad(path, format!("it has {rows} rows, and a table has 1 to {}", u32::MAX)));
    }
    let open = Open { path, reader, forms, rows };
    open.learn_words(&mut columns)?;
    open.fill(how, columns)
}

fn told(e: ParquetError) -> String {
    short(&e.to_string())
}

impl Open<'_> {
    fn wrong(&self, row: usize, column: &Column, problem: String) -> Error {
        let help = match problem.as_str() {
            "the value is missing" => {
                "mend the table, leave the column out (`Parquet::drop`), or say what stands in: `Parquet::fill_missing`, `fill_missing_in`"
            }
            _ => "mend the table, leave the column out (`Parquet::drop`), or call it one of words (`Parquet::categories`, `one_hot`)",
        };
        let problem = format!("row {}, column `{}`: {problem}", row + 1, short(&column.name));
        Error::BadData { path: self.path.into(), offset: 0, problem, help: help.into() }
    }

    /// Reads these columns from the first row to the last. Calls `f` with the values of some rows, column by column.
    fn each(&self, columns: &mut [Column], forms: &[Form], mut f: impl FnMut(&[Vec<f32>]) -> Result<()>) -> Result<()> {
        let mut first = 0;
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(|e| bad(self.path, told(e)))?;
            let readers = columns.iter().map(|c| group.get_column_reader(c.at)).collect::<std::result::Result<Vec<_>, _>>();
            let mut readers = readers.map_err(|e| bad(self.path, told(e)))?;
            let mut left = group.metadata().num_rows() as usize;
            while left > 0 {
                let rows = left.min(ROWS);
                let mut values = Vec::new();
                for ((reader, column), form) in readers.iter_mut().zip(&mut *columns).zip(forms) {
                    let read = read_column(reader, column, *form, rows);
                    values.push(read.map_err(|(row, problem)| self.wrong(first + row, column, problem))?);
                }
                f(&values)?;
                (first, left) = (first + rows, left - rows);
            }
        }
        Ok(())
    }

    /// The words of columns that were given none, in the order of their final numbers: what a row becomes is known before the first is made.
    fn learn_words(&self, columns: &mut [Column]) -> Result<()> {
        let unknown: Vec<usize> = (0..columns.len()).filter(|&i| columns[i].words.as_ref().is_some_and(|w| !w.is_given())).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut own: Vec<Column> = unknown
            .iter()
            .map(|&i| {
                let c = &mut columns[i];
                Column { at: c.at, name: c.name.clone(), words: c.words.take(), fill: c.fill.clone() }
            })
            .collect();
        let forms: Vec<Form> = unknown.iter().map(|&i| self.forms[i]).collect();
        self.each(&mut own, &forms, |_| Ok(()))?;
        for (i, column) in unknown.into_iter().zip(own) {
            let words = column.words.map(|w| w.sorted().0).unwrap_or_default();
            columns[i].words = Some(Words::new(&words));
        }
        Ok(())
    }

    fn fill(&self, how: &Parquet, mut columns: Vec<Column>) -> Result<Table> {
        let split = columns.len() - how.targets.len();
        let (mut features, mut categories, mut one_hot) = (vec![], BTreeMap::new(), vec![]);
        for (i, column) in columns.iter().enumerate() {
            let words = column.words.as_ref().map(Words::in_order);
            let wide = words.as_ref().filter(|_| how.one_hot.contains(&column.name)).map(Vec::len);
            if let Some(n) = wide.filter(|&n| n > MOST_ONE_HOT) {
                return Err(Error::BadData {
                    path: self.path.into(),
                    offset: 0,
                    problem: format!("column `{}` has {n} different words, and one-hot rows at most {MOST_ONE_HOT}", short(&column.name)),
                    help: "take the numbers of its words: `Parquet::categories`, and an `Embedding` behind them".into(),
                });
            }
            if i < split {
                match words.as_ref().filter(|_| wide.is_some()) {
                    Some(words) => features.extend(words.iter().map(|w| format!("{}={w}", column.name))),
                    None => features.push(column.name.clone()),
                }
            }
            one_hot.push(wide);
            categories.extend(words.map(|w| (column.name.clone(), w)));
        }
        let dir = how.dir.clone().unwrap_or_else(std::env::temp_dir);
        let room = Room { memory: how.memory, disk: how.disk, dir };
        let classes = how.targets.first().filter(|_| how.targets.len() == 1).and_then(|t| categories.get(t)).cloned();
        let labels = (
            if classes.is_some() { DType::U32 } else { DType::F32 },
            Shape::from(if how.targets.len() > 1 { vec![how.targets.len()] } else { vec![] }),
        );
        let mut x = Spool::new(DType::F32, [features.len()].into(), room.clone());
        let mut y = Spool::new(labels.0, labels.1, room);
        let forms = &self.forms;
        let (mut wide, mut narrow) = (Vec::new(), Vec::new());
        self.each(&mut columns, forms, |values| {
            wide.clear();
            narrow.clear();
            for row in 0..values[0].len() {
                for (column, one_hot) in values[..split].iter().zip(&one_hot) {
                    match one_hot {
                        Some(n) => wide.extend((0..*n).map(|w| f32::from(u8::from(w == column[row] as usize)).to_bits())),
                        None => wide.push(column[row].to_bits()),
                    }
                }
                narrow.extend(values[split..].iter().map(|c| if classes.is_some() { c[row] as u32 } else { c[row].to_bits() }));
            }
            x.push(&wide)?;
            y.push(&narrow)
        })?;
        let mut fields: Vec<(&str, Arc<dyn Source>)> = vec![("x", x.finish()?)];
        if !how.targets.is_empty() {
            fields.push(("y", y.finish()?));
        }
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut data = Dataset::from_sources(fields)?.named(&name);
        if data.len() != self.rows {
            return Err(bad(self.path, format!("it has {} rows, and promises {}", data.len(), self.rows)));
        }
        if let Some(words) = classes {
            data = data.class_names(words);
        }
        Ok(Table { data, features, targets: how.targets.clone(), categories })
    }
}
