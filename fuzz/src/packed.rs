//! Whole pictures and Parquet files.

use image::{ExtendedColorType, ImageEncoder};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

pub fn pngs() -> Vec<Vec<u8>> {
    let picture = |width: u32, height: u32, colour: ExtendedColorType, bytes: usize| {
        let values: Vec<u8> = (0..width as usize * height as usize * bytes).map(|i| (i * 37) as u8).collect();
        let mut out = Vec::new();
        image::codecs::png::PngEncoder::new(&mut out).write_image(&values, width, height, colour).expect("packing in memory");
        out
    };
    use ExtendedColorType::{L8, Rgb8, Rgba8, Rgba16};
    vec![picture(9, 5, L8, 1), picture(4, 4, Rgb8, 3), picture(6, 7, Rgba8, 4), picture(3, 3, Rgba16, 8)]
}

pub fn pictures() -> Vec<Vec<u8>> {
    let mut all = pngs();
    for (width, height, quality) in [(16u32, 16u32, 90), (9, 30, 30)] {
        let values: Vec<u8> = (0..width * height * 3).map(|i| (i * 37) as u8).collect();
        let mut out = Vec::new();
        let jpeg = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, quality);
        jpeg.write_image(&values, width, height, ExtendedColorType::Rgb8).expect("packing in memory");
        all.push(out);
    }
    all
}

/// A PNG whose chunks have the right checksums, as far as it has chunks: damage gets past them.
pub fn mended(mut png: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(head) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(head.try_into().expect("4 bytes")) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|e| e + 4 <= png.len()) else { break };
        let sum = png[at + 4..end]
            .iter()
            .fold(u32::MAX, |crc, &b| (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 }));
        png[end..end + 4].copy_from_slice(&(!sum).to_be_bytes());
        at = end + 4;
    }
    png
}

pub fn parquets() -> Vec<Vec<u8>> {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let all = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(GzipLevel::default()), zstd];
    all.into_iter().flat_map(|c| [table(c, true), table(c, false)]).collect()
}

fn table(compression: Compression, dictionary: bool) -> Vec<u8> {
    let schema = "message t { optional int32 size; optional binary town (UTF8); required double price; }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let props = WriterProperties::builder().set_compression(compression).set_dictionary_enabled(dictionary).build();
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(props)).expect("a file");
    for _ in 0..2 {
        let mut group = writer.next_row_group().expect("a row group");
        let mut column = group.next_column().expect("a column").expect("the first");
        column.typed::<Int32Type>().write_batch(&[1, 2, 3], Some(&[1, 0, 1, 1]), None).expect("values");
        column.close().expect("a column");
        let mut column = group.next_column().expect("a column").expect("the second");
        let words = ["Ulm", "Bonn", "Ulm"].map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&words, Some(&[1, 1, 1, 0]), None).expect("values");
        column.close().expect("a column");
        let mut column = group.next_column().expect("a column").expect("the third");
        column.typed::<DoubleType>().write_batch(&[1.0, 2.0, 3.0, 4.5], None, None).expect("values");
        column.close().expect("a column");
        group.close().expect("a row group");
    }
    writer.close().expect("a file");
    out
}
