//! The values of a Parquet file's columns, some thousand rows at a time.

use super::cell::{is_single, short};
use super::choice::{Column, Fill};
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::schema::types::ColumnDescriptor;

/// How integers of a column are numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    Plain,
    Unsigned,
    /// Times ten to this power.
    Decimal(i32),
    Text,
}

/// What a column holds, or why it is not read.
pub(super) fn form(of: &ColumnDescriptor) -> Result<Form, String> {
    if of.max_rep_level() > 0 {
        return Err("has lists".into());
    }
    let decimal = matches!(of.converted_type(), ConvertedType::DECIMAL) || matches!(of.logical_type_ref(), Some(LogicalType::Decimal(_)));
    let unsigned = matches!(of.logical_type_ref(), Some(LogicalType::Integer(int)) if !int.is_signed)
        || matches!(of.converted_type(), ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64);
    let time = matches!(of.logical_type_ref(), Some(LogicalType::Date | LogicalType::Time(_) | LogicalType::Timestamp(_)))
        || matches!(
            of.converted_type(),
            ConvertedType::DATE
                | ConvertedType::TIME_MILLIS
                | ConvertedType::TIME_MICROS
                | ConvertedType::TIMESTAMP_MILLIS
                | ConvertedType::TIMESTAMP_MICROS
        );
    match of.physical_type() {
        Type::INT32 | Type::INT64 if time => Err("has times".into()),
        Type::INT96 => Err("has times".into()),
        Type::INT32 | Type::INT64 if decimal => Ok(Form::Decimal(-of.type_scale())),
        Type::INT32 | Type::INT64 if unsigned => Ok(Form::Unsigned),
        Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE => Ok(Form::Plain),
        Type::BYTE_ARRAY if !decimal => Ok(Form::Text),
        _ => Err("has bytes".into()),
    }
}

/// Fewest bytes of a value in a dictionary.
pub(super) fn width(of: &ColumnDescriptor) -> i64 {
    match of.physical_type() {
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::BOOLEAN | Type::FIXED_LEN_BYTE_ARRAY => 1,
    }
}

/// Reads the next `rows` values of a column, each as f32 or as the number of its word. The error has the place among them and what is wrong.
pub(super) fn read(reader: &mut ColumnReader, column: &mut Column, form: Form, rows: usize) -> Result<Vec<f32>, (usize, String)> {
    match reader {
        ColumnReader::BoolColumnReader(r) => all(r, column, rows, |v| Cell::Number(f64::from(u8::from(*v))), |v| v.to_string()),
        ColumnReader::Int32ColumnReader(r) => match form {
            Form::Unsigned => all(r, column, rows, |v| Cell::Number((*v as u32).into()), |v| (*v as u32).to_string()),
            Form::Decimal(power) => decimals(r, column, rows, power, |v| f64::from(*v)),
            _ => all(r, column, rows, |v| Cell::Number((*v).into()), |v| v.to_string()),
        },
        ColumnReader::Int64ColumnReader(r) => match form {
            Form::Unsigned => all(r, column, rows, |v| Cell::Number(*v as u64 as f64), |v| (*v as u64).to_string()),
            Form::Decimal(power) => decimals(r, column, rows, power, |v| *v as f64),
            _ => all(r, column, rows, |v| Cell::Number(*v as f64), |v| v.to_string()),
        },
        ColumnReader::FloatColumnReader(r) => all(r, column, rows, |v| Cell::of(f64::from(*v)), |v| v.to_string()),
        ColumnReader::DoubleColumnReader(r) => all(r, column, rows, |v| Cell::of(*v), |v| v.to_string()),
        ColumnReader::ByteArrayColumnReader(r) => {
            all(r, column, rows, |v| Cell::Text(std::str::from_utf8(v.data())), |v| String::from_utf8_lossy(v.data()).into_owned())
        }
        _ => Err((0, "it has bytes".into())),
    }
}

fn decimals<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    column: &mut Column,
    rows: usize,
    power: i32,
    number: impl Fn(&T::T) -> f64,
) -> Result<Vec<f32>, (usize, String)> {
    let scale = 10f64.powi(-power);
    all(reader, column, rows, |v| Cell::Number(number(v) / scale), |v| (number(v) / scale).to_string())
}

enum Cell<'a> {
    Missing,
    Number(f64),
    Text(Result<&'a str, std::str::Utf8Error>),
}

impl Cell<'_> {
    fn of(value: f64) -> Self {
        if value.is_nan() { Cell::Missing } else { Cell::Number(value) }
    }
}

fn all<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    column: &mut Column,
    rows: usize,
    cell: impl Fn(&T::T) -> Cell<'_>,
    word: impl Fn(&T::T) -> String,
) -> Result<Vec<f32>, (usize, String)> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < rows {
        let (read, _, _) = reader.read_records(rows - done, Some(&mut levels), None, &mut values).map_err(|e| (done, e.to_string()))?;
        if read == 0 {
            return Err((done, "its values end before the rows that the file promises".into()));
        }
        done += read;
    }
    // a column without nulls has no levels
    let most = levels.iter().copied().max().unwrap_or(0);
    let present = |row: usize| levels.is_empty() || (most > 0 && levels[row] == most);
    let has_all = values.len() == rows;
    let (mut next, mut out) = (values.iter(), Vec::with_capacity(rows));
    for row in 0..rows {
        let value = if has_all || present(row) { next.next() } else { None };
        let cell = value.map_or(Cell::Missing, &cell);
        out.push(number(column, cell, || value.map(&word).unwrap_or_default()).map_err(|problem| (row, problem))?);
    }
    if next.next().is_some() {
        return Err((rows, "it has more values than rows".into()));
    }
    Ok(out)
}

/// What a value becomes.
fn number(column: &mut Column, cell: Cell<'_>, word: impl Fn() -> String) -> Result<f32, String> {
    match (&mut column.words, &column.fill, cell) {
        (Some(words), Some(Fill::Word(fill)), Cell::Missing) => words.number(fill).map(|n| n as f32),
        (None, Some(Fill::Number(fill)), Cell::Missing) => Ok(*fill as f32),
        (_, _, Cell::Missing) => Err("the value is missing".into()),
        (_, _, Cell::Text(Err(_))) => Err("the value is no UTF-8".into()),
        (Some(words), _, Cell::Text(Ok(text))) => words.number(text).map(|n| n as f32),
        (Some(words), _, Cell::Number(_)) => words.number(&word()).map(|n| n as f32),
        (None, _, Cell::Text(Ok(text))) => Err(format!("`{}` is text, and the column none of categories", short(text))),
        (None, _, Cell::Number(n)) if is_single(n) => Ok(n as f32),
        (None, _, Cell::Number(n)) => Err(format!("`{n}` is no finite number that f32 holds")),
    }
}
