//! One picture: from its file's bytes to rows of channels.

use super::ImageFolder;
use crate::disk;
use crate::error::{Error, Result};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;

/// A file of so many bytes can hold at most this many times as many of pixels: about what deflate packs into one, and more than any JPEG has.
const MOST_PACKED: u64 = 2048;
/// What is in a file beside its pixels: EXIF, thumbnails, profiles.
const BESIDE: u64 = 16 << 20;
/// Bytes of a decoded pixel: four channels of 16 bits.
const PIXEL: u64 = 8;

fn bad(path: &Path, problem: String, help: &str) -> Error {
    Error::BadData { path: path.into(), offset: 0, problem, help: help.into() }
}

const AGAIN: &str = "write the picture again, or take it out of its folder";

fn file(path: &Path, how: &ImageFolder) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let (mut file, size) = disk::open(path).map_err(failed)?;
    if size > how.max_pixels.saturating_mul(PIXEL).saturating_add(BESIDE) {
        let problem = format!("the file has {size} bytes, more than {} pixels need", how.max_pixels);
        return Err(bad(path, problem, "make it smaller, or allow more: `ImageFolder::max_pixels`"));
    }
    disk::rest(&mut file, size).map_err(failed)
}

/// A decoder that has read the header and found it believable.
fn decoder<'a>(path: &Path, bytes: &'a [u8], how: &ImageFolder) -> Result<impl ImageDecoder + use<'a>> {
    let told = |e: image::ImageError| bad(path, format!("the picture cannot be read ({e})"), AGAIN);
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let format = image::guess_format(bytes).map_err(told)?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
        return Err(bad(path, format!("the picture is {format:?}, whatever its name says"), "save it as PNG or JPEG"));
    }
    if format == ImageFormat::Jpeg && !is_whole(bytes) {
        return Err(bad(path, "the picture is cut short: a JPEG file's end is missing".into(), AGAIN));
    }
    reader.set_format(format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(how.max_pixels.saturating_mul(2 * PIXEL));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(told)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > how.max_pixels {
        let problem = format!("the picture has {height} x {width} pixels, more than the {} that are allowed", how.max_pixels);
        return Err(bad(path, problem, "make it smaller, or allow more: `ImageFolder::max_pixels`"));
    }
    if decoder.total_bytes() > MOST_PACKED.saturating_mul(bytes.len() as u64) {
        let problem = format!("its header promises {height} x {width} pixels, and {} bytes hold fewer", bytes.len());
        return Err(bad(path, problem, AGAIN));
    }
    Ok(decoder)
}

/// Whether the marker of a JPEG file's end stands behind that of its last scan: a decoder fills up in silence what is missing.
fn is_whole(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|w| w == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// Height and width, by the header.
pub(super) fn size(path: &Path, how: &ImageFolder) -> Result<(usize, usize)> {
    let bytes = file(path, how)?;
    let (width, height) = decoder(path, &bytes, how)?.dimensions();
    Ok((height as usize, width as usize))
}

/// Writes a picture's channels, each `[height, width]`, one after the other.
pub(super) fn read(path: &Path, how: &ImageFolder, size: (usize, usize), out: &mut [u8]) -> Result<()> {
    let bytes = file(path, how)?;
    let decoder = decoder(path, &bytes, how)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(|e| bad(path, format!("the picture cannot be read ({e})"), AGAIN))?;
    let own = (picture.height() as usize, picture.width() as usize);
    if own != size && how.size.is_none() {
        let problem = format!("the picture has {} x {} pixels, and the first of its set {} x {}", own.0, own.1, size.0, size.1);
        return Err(bad(path, problem, "say how large all shall be: `ImageFolder::size`"));
    }
    let (wide, high) = (size.1 as u32, size.0 as u32);
    if how.grey {
        let grey = picture.into_luma8();
        let grey = if own == size { grey } else { fit(grey, wide, high, how.crop) };
        out.copy_from_slice(&grey);
    } else {
        let colours = picture.into_rgb8();
        let colours = if own == size { colours } else { fit(colours, wide, high, how.crop) };
        let (red, rest) = out.split_at_mut(size.0 * size.1);
        let (green, blue) = rest.split_at_mut(size.0 * size.1);
        for (((pixel, r), g), b) in colours.as_chunks::<3>().0.iter().zip(red).zip(green).zip(blue) {
            [*r, *g, *b] = *pixel;
        }
    }
    Ok(())
}

type Pixels<P> = image::ImageBuffer<P, Vec<u8>>;

fn fit<P>(mut from: Pixels<P>, width: u32, height: u32, crop: bool) -> Pixels<P>
where
    P: image::Pixel<Subpixel = u8> + 'static,
{
    if crop {
        // the largest part in the middle that has the wanted shape
        let (w, h) = (u64::from(from.width()), u64::from(from.height()));
        let part_w = (h * u64::from(width) / u64::from(height)).clamp(1, w);
        let part_h = (w * u64::from(height) / u64::from(width)).clamp(1, h);
        let (x, y) = ((w - part_w) / 2, (h - part_h) / 2);
        from = imageops::crop_imm(&from, x as u32, y as u32, part_w as u32, part_h as u32).to_image();
    }
    imageops::resize(&from, width, height, FilterType::Triangle)
}
