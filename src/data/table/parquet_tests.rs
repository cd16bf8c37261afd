use super::*;
use crate::error::Error;
use crate::tensor::HostTensor;
use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

/// Writes the next column of a row group; none is null.
fn column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, File>, values: &[Option<T::T>]) {
    let levels: Vec<i16> = values.iter().map(|v| v.is_some().into()).collect();
    let there: Vec<T::T> = values.iter().flatten().cloned().collect();
    let mut writer = group.next_column().unwrap().unwrap();
    writer.typed::<T>().write_batch(&there, Some(&levels), None).unwrap();
    writer.close().unwrap();
}

fn written(
    schema: &str,
    props: WriterProperties,
    groups: usize,
    fill: impl Fn(usize, &mut SerializedRowGroupWriter<'_, File>),
) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("table.parquet");
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::new(props)).unwrap();
    for g in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        fill(g, &mut group);
        group.close().unwrap();
    }
    writer.close().unwrap();
    (dir, path)
}

const SCHEMA: &str = "message t {
    optional boolean on; optional int32 small; optional int64 large; optional float f; optional double d;
    optional binary town (UTF8); optional int32 price (DECIMAL(9, 2)); optional int32 count (UINT_32); }";

/// Two row groups of three rows.
fn small(compression: Compression, dictionary: bool) -> (TempDir, PathBuf) {
    let props = WriterProperties::builder().set_compression(compression).set_dictionary_enabled(dictionary).build();
    written(SCHEMA, props, 2, |g, group| {
        let k = 10 * g as i32;
        column::<BoolType>(group, &[Some(true), Some(false), Some(true)]);
        column::<Int32Type>(group, &[Some(k), Some(k + 1), if g == 1 { None } else { Some(-5) }]);
        column::<Int64Type>(group, &[Some(1 << 40), Some(-1), Some(0)]);
        column::<FloatType>(group, &[Some(0.5), if g == 1 { Some(f32::NAN) } else { Some(1.5) }, Some(2.5)]);
        column::<DoubleType>(group, &[Some(1e-3), Some(2.0), Some(3.0)]);
        let words = if g == 0 { ["Ulm", "Bonn", "Ulm"] } else { ["Aachen", "Bonn", "Ulm"] };
        column::<ByteArrayType>(group, &words.map(|w| Some(ByteArray::from(w))));
        column::<Int32Type>(group, &[Some(12_345), Some(-1), Some(100)]);
        column::<Int32Type>(group, &[Some(-1), Some(7), Some(8)]);
    })
}

fn x(t: &Table) -> Vec<f32> {
    let rows = (0..t.data.len() as u32).collect::<Vec<_>>();
    t.data.words_of(0, &rows).unwrap().into_iter().map(f32::from_bits).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, code: &str, parts: &[&str]) {
    let e = result.unwrap_err();
    let text = e.to_string();
    assert_eq!(e.code(), code, "{text}");
    assert!(parts.iter().all(|p| text.contains(p)), "{text}");
}

#[test]
fn every_kind_of_column() -> Result<()> {
    let gzip = Compression::GZIP(GzipLevel::default());
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for (compression, dictionary) in
        [(Compression::UNCOMPRESSED, false), (Compression::UNCOMPRESSED, true), (Compression::SNAPPY, true), (gzip, false), (zstd, true)]
    {
        let (_dir, path) = small(compression, dictionary);
        let how = Parquet::new().target("d").drop("town").fill_missing(9.0).fill_missing_in("f", -1.0);
        let t = how.read(&path)?;
        assert_eq!(t.features, ["on", "small", "large", "f", "price", "count"]);
        let big = (1u64 << 40) as f32;
        let want = [
            [1.0, 0.0, big, 0.5, 123.45, 4_294_967_295.0],
            [0.0, 1.0, -1.0, 1.5, -0.01, 7.0],
            [1.0, -5.0, 0.0, 2.5, 1.0, 8.0],
            [1.0, 10.0, big, 0.5, 123.45, 4_294_967_295.0],
            [0.0, 11.0, -1.0, -1.0, -0.01, 7.0],
            [1.0, 9.0, 0.0, 2.5, 1.0, 8.0],
        ];
        assert_eq!(x(&t), want.as_flattened());
        assert_eq!(t.data.labels().and_then(HostTensor::as_f32), Some(&[1e-3, 2.0, 3.0, 1e-3, 2.0, 3.0][..]));
        assert_eq!(t.data.name(), "table");
        // the same from a temporary file
        let spooled = how.memory(0).read(&path)?;
        assert!(spooled.data.features().is_none() && x(&spooled) == want.as_flattened());
    }
    Ok(())
}

#[test]
fn words() -> Result<()> {
    let (_dir, path) = small(Compression::SNAPPY, true);
    let t = Parquet::new()
        .columns(["town", "on", "small"])
        .one_hot("town")
        .target("count")
        .categories("count")
        .fill_missing(0.0)
        .read(&path)?;
    assert_eq!(t.features, ["town=Aachen", "town=Bonn", "town=Ulm", "on", "small"]);
    assert_eq!(&x(&t)[..10], [0., 0., 1., 1., 0., 0., 1., 0., 0., 1.]);
    assert_eq!(t.categories["count"], ["7", "8", "4294967295"]);
    assert_eq!(t.data.labels().and_then(HostTensor::as_u32), Some(&[2, 0, 1, 2, 0, 1][..]));
    assert_eq!(t.data.class_name(2), "4294967295");
    let again = Parquet::new().columns(["town"]).categories("town").as_read(&t).read(&path)?;
    assert_eq!(x(&again), [2., 1., 2., 0., 1., 2.]);
    let two = Parquet::new().columns(["on"]).target("large").target("price").read(&path)?;
    let y = two.data.labels().unwrap();
    assert_eq!((y.shape().dims(), &y.as_f32().unwrap()[2..4]), (&[6, 2][..], &[-1.0, -0.01][..]));
    let known = Parquet::new().columns(["town"]).categories_in("town", ["Ulm", "Bonn"]);
    refused(known.read(&path), "bad-data", &["row 4, column `town`: `Aachen` is none of its 2 categories"]);
    Ok(())
}

#[test]
fn what_is_wrong_is_told() {
    let (_dir, path) = small(Compression::SNAPPY, true);
    let all = || Parquet::new().drop("town");
    refused(all().read(&path), "bad-data", &["row 6, column `small`: the value is missing", "Parquet::fill_missing"]);
    refused(all().fill_missing_in("small", 0.0).read(&path), "bad-data", &["row 5, column `f`: the value is missing"]);
    refused(
        Parquet::new().columns(["town"]).read(&path),
        "bad-data",
        &["row 1, column `town`: `Ulm` is text, and the column none of categories"],
    );
    refused(all().target("fare").read(&path), "not-found", &["`fare`", "on, small, large"]);
    refused(Parquet::new().fill_missing_in("on", "x").read(&path), "invalid-config", &["parquet.fills.on"]);
    refused(Parquet::new().columns(["on"]).memory(0).disk(20).read(&path), "out-of-memory", &["needs 24 bytes", "allow more (`disk`)"]);
    refused(Parquet::new().columns(["on"]).memory(0).dir("no/such/folder").read(&path), "io", &["no/such/folder"]);
    refused(Parquet::new().read("no/such.parquet"), "io", &["such.parquet"]);
    let lists = "message t { required int32 id; repeated int32 list; optional int64 at (TIMESTAMP_MILLIS); optional double d; }";
    let (_dir, path) = written(lists, WriterProperties::builder().build(), 1, |_, group| {
        let mut id = group.next_column().unwrap().unwrap();
        id.typed::<Int32Type>().write_batch(&[1, 2], None, None).unwrap();
        id.close().unwrap();
        let mut list = group.next_column().unwrap().unwrap();
        list.typed::<Int32Type>().write_batch(&[1, 2], Some(&[1, 1]), Some(&[0, 0])).unwrap();
        list.close().unwrap();
        column::<Int64Type>(group, &[Some(0), Some(1)]);
        column::<DoubleType>(group, &[Some(1.0), Some(1e300)]);
    });
    refused(Parquet::new().read(&path), "unsupported", &["`list`, which has lists", "Parquet::drop"]);
    refused(Parquet::new().drop("list").read(&path), "unsupported", &["`at`, which has times"]);
    refused(Parquet::new().columns(["d"]).read(&path), "bad-data", &["row 2, column `d`", "no finite number that f32 holds"]);
    assert_eq!(x(&Parquet::new().columns(["id"]).read(&path).unwrap()), [1.0, 2.0]);
}

/// Cut anywhere, and with any byte changed: an answer, and no panic gets out.
#[test]
fn damage() {
    let (dir, path) = small(Compression::SNAPPY, true);
    let whole = fs::read(&path).unwrap();
    let broken = dir.path().join("broken.parquet");
    let how = Parquet::new().one_hot("town").fill_missing(0.0);
    let mut read = 0;
    for i in 0..whole.len() {
        fs::write(&broken, &whole[..i]).unwrap();
        refused(how.read(&broken), "bad-data", &["help:"]);
        let mut bytes = whole.clone();
        bytes[i] ^= 1 << (i % 8);
        fs::write(&broken, bytes).unwrap();
        read += usize::from(how.read(&broken).is_ok());
    }
    assert!(read > 0 && read < whole.len());
}

#[test]
fn settings_are_values() {
    let how = Parquet::new().target("t").categories_in("w", ["a"]).fill_missing_in("w", "a").memory(1).disk(2).dir("d");
    let text = serde_json::to_string(&how).unwrap();
    assert_eq!(serde_json::from_str::<Parquet>(&text).unwrap(), how);
    assert!(serde_json::from_str::<Parquet>(r#"{"target": "x"}"#).is_err());
}

/// The most that this process ever had in memory, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

/// A file of 256 MB, or of so many megabytes as `GRADUS_PARQUET_MB` says, is read and passed over once in an order of its own within 64 MiB.
/// By itself, for the memory is the whole process': `cargo test --lib --features data-parquet within_64_mib -- --ignored`.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "it must be alone in its process"]
fn within_64_mib() -> Result<()> {
    const ROWS: usize = 250_000;
    const COLUMNS: usize = 16;
    let megabytes: usize = std::env::var("GRADUS_PARQUET_MB").ok().and_then(|v| v.parse().ok()).unwrap_or(256);
    let groups = (megabytes * 1_000_000).div_ceil(ROWS * COLUMNS * 4);
    let schema: String = (0..COLUMNS).map(|i| format!("required float c{i};")).collect();
    let props = WriterProperties::builder().set_dictionary_enabled(false).build();
    let (_dir, path) = written(&format!("message t {{ {schema} }}"), props, groups, |g, group| {
        for c in 0..COLUMNS {
            let values: Vec<f32> = (0..ROWS).map(|r| (g * ROWS + r) as f32 + c as f32 / 16.0).collect();
            let mut writer = group.next_column().unwrap().unwrap();
            writer.typed::<FloatType>().write_batch(&values, None, None).unwrap();
            writer.close().unwrap();
        }
    });
    let size = fs::metadata(&path).map_err(|e| Error::io("look at", &path, e))?.len();
    // what the writing took is given back, and no longer in the peak
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = peak();
    let began = std::time::Instant::now();
    let set = Parquet::new().target("c0").memory(16 << 20).read(&path)?.data.memory_budget(64 << 20);
    let read = began.elapsed();
    let order = set.order(Some(7), 0)?;
    let (mut sum, mut at) = (0.0, 0u32);
    while (at as usize) < set.len() {
        let rows: Vec<u32> = (at..(at + 65_536).min(set.len() as u32)).map(|i| order.stored(order.own(i))).collect();
        let words = set.words_of(1, &rows)?;
        sum += words.iter().map(|w| f64::from(f32::from_bits(*w))).sum::<f64>();
        at += rows.len() as u32;
    }
    let n = set.len() as f64;
    assert!((sum / (n * (n - 1.0) / 2.0) - 1.0).abs() < 1e-6, "every row once");
    let grown = peak() - before;
    println!(
        "{size} bytes of Parquet, {} rows: read in {read:.1?}, {:.1?} in all, {grown} bytes more in memory",
        set.len(),
        began.elapsed()
    );
    assert!(grown < 64 << 20, "{grown}");
    Ok(())
}
