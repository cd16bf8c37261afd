//! The idx format of MNIST and its kin, raw or gzip.

use crate::disk;
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use std::io::{Seek, SeekFrom};
use std::path::Path;

/// Reads an idx file, raw or gzip. Its first two bytes tell which, not its name; gzip needs the feature `data-download`.
///
/// `u8` files give a `u8` tensor, `f32` files an `f32` one, `i32` files a `u32` one if no value is negative.
///
/// Fails with `bad-data` and the byte if the file is no idx file, is cut short, goes on after its last value, has an empty axis or another
/// type; with `io` if it cannot be read. A header that promises more values than the file has costs no memory.
///
/// ```
/// let path = std::env::temp_dir().join(format!("gradus-idx-doctest-{}", std::process::id()));
/// std::fs::write(&path, [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9])?;
/// let t = gradus::data::read_idx(&path)?;
/// assert_eq!((t.shape().dims(), t.as_u8()), (&[1, 3][..], Some(&[7, 8, 9][..])));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_idx(path: impl AsRef<Path>) -> Result<HostTensor> {
    let path = path.as_ref();
    let raw = read_raw(path)?;
    let packed = is_gzip(&raw);
    parse(unpack(raw, path)?, &Origin { path, packed })
}

/// The bytes of an idx file, raw or gzip. A raw file whose size is not that of its header is refused before it is read.
pub(crate) fn read_raw(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let (mut file, size) = disk::open(path).map_err(failed)?;
    let head = disk::rest(&mut file, size.min(LONGEST_HEADER)).map_err(failed)?;
    if !is_gzip(&head) {
        let origin = Origin { path, packed: false };
        header(&head, &origin)?.check_size(size, &origin)?;
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    disk::rest(&mut file, size).map_err(failed)
}

/// The file that bytes come from, for errors.
pub(crate) struct Origin<'a> {
    pub path: &'a Path,
    /// The bytes were unpacked, so offsets count unpacked ones.
    pub packed: bool,
}

impl Origin<'_> {
    fn bad(&self, offset: usize, problem: String, help: &str) -> Error {
        let unpacked = if self.packed { " (counted in the unpacked bytes)" } else { "" };
        Error::BadData { path: self.path.into(), offset: offset as u64, problem: problem + unpacked, help: help.into() }
    }
}

/// What the first bytes of an idx file say.
pub(crate) struct Header {
    pub kind: u8,
    pub dims: Vec<usize>,
    /// Where the values begin and where the file ends.
    pub start: usize,
    end: usize,
}

impl Header {
    /// Fails unless a file of this many bytes holds the values and nothing more.
    pub(crate) fn check_size(&self, bytes: u64, origin: &Origin<'_>) -> Result<()> {
        let (end, dims) = (self.end, &self.dims);
        if bytes < end as u64 {
            let problem = format!("the file ends after {bytes} of the {end} bytes that the shape {dims:?} needs");
            return Err(origin.bad(bytes as usize, problem, "it was cut short: fetch it again"));
        }
        if bytes > end as u64 {
            return Err(origin.bad(end, format!("the file goes on after the {end} bytes of the shape {dims:?}"), AGAIN));
        }
        Ok(())
    }
}

/// Bytes of the longest header, which has 255 axes.
pub(crate) const LONGEST_HEADER: u64 = 4 + 4 * 255;
const AGAIN: &str = "fetch the file again, or check how it was written";

pub(crate) fn header(bytes: &[u8], origin: &Origin<'_>) -> Result<Header> {
    let short = |need: usize| {
        let problem = format!("the file ends inside its header, which has {need} bytes");
        origin.bad(bytes.len(), problem, AGAIN)
    };
    let &[a, b, kind, rank, ..] = bytes else { return Err(short(4)) };
    if a != 0 || b != 0 {
        let problem = format!("not an idx file: it begins with {a:02x} {b:02x}, not 00 00");
        return Err(origin.bad(0, problem, "give an idx file, raw or gzip; an .html or .zip under its name is a failed download"));
    }
    let size = match kind {
        0x08 => 1,
        0x0C | 0x0D => 4,
        _ => {
            let name = match kind {
                0x09 => "i8",
                0x0B => "i16",
                0x0E => "f64",
                _ => "unknown to the format",
            };
            let problem = format!("values of type {kind:#04x} ({name}) are not read");
            return Err(origin.bad(2, problem, "write the file as u8 (0x08), i32 (0x0c) or f32 (0x0d)"));
        }
    };
    if rank == 0 {
        return Err(origin.bad(3, "it has no axes".into(), AGAIN));
    }
    let start = 4 + 4 * usize::from(rank);
    let Some(axes) = bytes.get(4..start) else { return Err(short(start)) };
    let dims: Vec<usize> = words(axes).map(|w| u32::from_be_bytes(w) as usize).collect();
    if let Some(axis) = dims.iter().position(|&d| d == 0) {
        return Err(origin.bad(4 + 4 * axis, format!("axis {axis} of {dims:?} is empty"), AGAIN));
    }
    let values = dims.iter().try_fold(size, |n: usize, &d| n.checked_mul(d));
    let Some(end) = values.and_then(|n| n.checked_add(start)).filter(|&n| n < isize::MAX as usize) else {
        return Err(origin.bad(4, format!("the shape {dims:?} is larger than any memory"), AGAIN));
    };
    Ok(Header { kind, dims, start, end })
}

/// The tensor in the bytes of an unpacked idx file.
pub(crate) fn parse(mut bytes: Vec<u8>, origin: &Origin<'_>) -> Result<HostTensor> {
    let header = header(&bytes, origin)?;
    header.check_size(bytes.len() as u64, origin)?;
    let Header { kind, dims, start, .. } = header;
    match kind {
        0x08 => {
            bytes.drain(..start);
            HostTensor::u8(dims, bytes)
        }
        0x0D => HostTensor::f32(dims, words(&bytes[start..]).map(f32::from_be_bytes).collect()),
        _ => {
            let fits = |(i, w)| {
                let v = i32::from_be_bytes(w);
                u32::try_from(v).map_err(|_| {
                    let problem = format!("the value {v} is negative");
                    origin.bad(start + 4 * i, problem, "i32 files are read as u32: write the values as f32 (0x0d)")
                })
            };
            HostTensor::u32(dims, words(&bytes[start..]).enumerate().map(fits).collect::<Result<_>>()?)
        }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.as_chunks().0.iter().copied()
}

pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The bytes of an idx file, unpacked if they are gzip.
fn unpack(raw: Vec<u8>, path: &Path) -> Result<Vec<u8>> {
    if is_gzip(&raw) { inflate(&raw, path, None) } else { Ok(raw) }
}

/// What is in a gzip file. At most one byte more than `size` is unpacked, or than the header of an idx file promises.
#[cfg(feature = "data-download")]
pub(crate) fn inflate(raw: &[u8], path: &Path, size: Option<u64>) -> Result<Vec<u8>> {
    use std::io::{ErrorKind, Read};
    let mut gz = flate2::bufread::MultiGzDecoder::new(raw);
    let mut out = Vec::new();
    // room grows by halves and not by doubling, since it shall follow what is unpacked
    let mut grow = |out: &mut Vec<u8>, to: u64| loop {
        let more = to.saturating_sub(out.len() as u64).min((out.len() / 2).max(64 << 10) as u64);
        let len = out.len();
        let room = out.try_reserve_exact(more as usize).map_err(|_| std::io::Error::from(ErrorKind::OutOfMemory));
        let read = room.and_then(|()| (&mut gz).take(more).read_to_end(out));
        read.map_err(|e| {
            if e.kind() == ErrorKind::OutOfMemory {
                return no_memory(path, to);
            }
            let problem = match e.kind() {
                ErrorKind::UnexpectedEof => "the gzip data is cut short".to_string(),
                _ => format!("the gzip data is damaged ({e})"),
            };
            let offset = (raw.len() - gz.get_ref().len()) as u64;
            Error::BadData { path: path.into(), offset, problem, help: "fetch the file again".into() }
        })?;
        if out.len() == len || out.len() as u64 >= to {
            return Ok(());
        }
    };
    // No header is longer. One byte past the end proves an overlong file, and makes the decoder look at the checksum of a right one.
    grow(&mut out, LONGEST_HEADER)?;
    let end = match size {
        Some(size) => size,
        // `parse` names what is wrong with the header
        None => header(&out, &Origin { path, packed: true }).map_or(0, |h| h.end as u64),
    };
    // deflate packs at most 1032 bytes into one
    let most = 1032 * (raw.len() as u64 + 64);
    if size.is_none() && end > most {
        let problem = format!("the header promises {end} bytes, and {} of gzip unpack to {most} at most", raw.len());
        return Err(Origin { path, packed: true }.bad(4, problem, "it was cut short or is no data set: fetch it again"));
    }
    grow(&mut out, end.saturating_add(1))?;
    Ok(out)
}

#[cfg(feature = "data-download")]
fn no_memory(path: &Path, bytes: u64) -> Error {
    Error::OutOfMemory {
        what: "unpacking a gzip file in memory".into(),
        needed: bytes,
        available: 0,
        biggest: vec![path.display().to_string()],
        help: "unpack it (gunzip --keep) and leave its rows on disk: `data::open_idx`".into(),
    }
}

/// No gzip is unpacked without that feature.
#[cfg(not(feature = "data-download"))]
pub(crate) fn inflate(_: &[u8], path: &Path, _size: Option<u64>) -> Result<Vec<u8>> {
    Err(Error::Unsupported {
        what: "reading gzip".into(),
        at: format!("{}; gradus was built without the feature `data-download`", path.display()),
        help: "unpack the file with gunzip, or build with `--features data-download`".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    fn idx(kind: u8, dims: &[u32], values: &[u8]) -> Vec<u8> {
        let axes = dims.iter().flat_map(|d| d.to_be_bytes());
        [0, 0, kind, dims.len() as u8].into_iter().chain(axes).chain(values.iter().copied()).collect()
    }

    fn read(bytes: Vec<u8>) -> Result<HostTensor> {
        let path = Path::new("some-idx1-ubyte");
        let packed = is_gzip(&bytes);
        parse(unpack(bytes, path)?, &Origin { path, packed })
    }

    #[track_caller]
    fn refused(bytes: Vec<u8>, at: u64, says: &str) {
        match read(bytes) {
            Err(Error::BadData { offset, problem, help, .. }) => {
                assert_eq!(offset, at, "{problem}");
                assert!(problem.contains(says) && !help.is_empty(), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_three_types() -> Result<()> {
        let t = read(idx(8, &[2, 3], &[1, 2, 3, 4, 5, 255]))?;
        assert_eq!((t.shape().dims(), t.as_u8()), (&[2, 3][..], Some(&[1, 2, 3, 4, 5, 255][..])));
        let t = read(idx(0x0C, &[2], &[0, 0, 1, 2, 0x7f, 255, 255, 255]))?;
        assert_eq!(t.as_u32(), Some(&[258, i32::MAX as u32][..]));
        let t = read(idx(0x0D, &[1, 1], &1.5f32.to_be_bytes()))?;
        assert_eq!((t.dtype(), t.as_f32()), (DType::F32, Some(&[1.5][..])));
        Ok(())
    }

    #[test]
    fn wrong_headers() {
        refused(vec![], 0, "inside its header");
        refused(vec![0, 0, 8], 3, "inside its header");
        refused(b"<html>".to_vec(), 0, "not an idx file");
        refused(idx(8, &[3, 2], &[])[..9].to_vec(), 9, "has 12 bytes");
        refused(idx(0x0B, &[1], &[0, 0]), 2, "i16");
        refused(idx(0x77, &[1], &[0]), 2, "unknown");
        refused(idx(8, &[], &[1]), 3, "no axes");
        refused(idx(8, &[2, 0], &[]), 8, "axis 1");
        refused(idx(8, &[u32::MAX; 3], &[]), 4, "any memory");
        refused(idx(0x0D, &[u32::MAX, 1 << 30], &[]), 4, "any memory");
    }

    #[test]
    fn wrong_lengths() {
        refused(idx(8, &[4], &[1, 2, 3]), 11, "of the 12 bytes");
        refused(idx(8, &[4], &[1, 2, 3, 4, 5]), 12, "goes on");
        refused(idx(0x0C, &[2], &[0, 0, 0, 1, 255, 255, 255, 255]), 12, "-1 is negative");
        // 4 GiB promised, nothing there: an answer at once, and no memory.
        refused(idx(8, &[u32::MAX], &[]), 8, "of the 4294967303 bytes");
    }

    #[cfg(feature = "data-download")]
    mod gzip {
        use super::*;
        use std::io::Write;

        fn gz(bytes: &[u8]) -> Vec<u8> {
            let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            e.write_all(bytes).and_then(|()| e.finish()).unwrap()
        }

        #[test]
        fn right_ones() -> Result<()> {
            let values: Vec<u8> = (0..5000u32).map(|i| (i * i % 251) as u8).collect();
            assert_eq!(read(gz(&idx(8, &[5000], &values)))?.as_u8(), Some(&values[..]));
            let whole = idx(8, &[5000], &values);
            let halves = [gz(&whole[..2000]), gz(&whole[2000..])].concat();
            assert_eq!(read(halves)?.as_u8(), Some(&values[..]));
            Ok(())
        }

        #[test]
        fn wrong_ones() {
            let whole = gz(&idx(8, &[3000], &[7; 3000]));
            refused(whole[..whole.len() - 9].to_vec(), whole.len() as u64 - 9, "cut short");
            refused(whole[..5].to_vec(), 5, "cut short");
            let mut flipped = whole.clone();
            flipped[whole.len() - 6] ^= 1; // in the checksum
            refused(flipped, whole.len() as u64, "damaged");
            refused(gz(&idx(8, &[4], &[1, 2, 3])), 11, "unpacked bytes");
            refused(gz(&idx(8, &[4], &[1, 2, 3, 4, 5])), 12, "goes on");
            refused(gz(b"hello"), 0, "not an idx file");
            let end = whole.len() as u64 + 10;
            refused([whole, b"more follows".to_vec()].concat(), end, "damaged");
        }

        /// What no gzip of that size holds is refused before it is unpacked; what may be in it is taken as it comes.
        #[test]
        fn promises() {
            let mut bytes = idx(8, &[1 << 20, 1 << 20], &[]);
            bytes.resize(1 << 20, 0);
            refused(gz(&bytes), 4, "promises 1099511627788 bytes");
            let most = idx(8, &[1 << 10, 1 << 10], &[0; 1 << 20]);
            assert_eq!(read(gz(&most)).unwrap().shape().size(), 1 << 20);
            let out = unpack(gz(&most), Path::new("x")).unwrap();
            assert!(out.capacity() < 2 * out.len(), "{}", out.capacity());
            let e = no_memory(Path::new("some.gz"), 7);
            assert!(e.code() == "out-of-memory" && e.to_string().contains("some.gz") && e.to_string().contains("7 bytes"), "{e}");
        }

        /// 64 MiB of zeros behind a header that promises 4 bytes: unpacked no further than needed.
        #[test]
        fn a_bomb() -> Result<()> {
            let mut bytes = idx(8, &[4], &[]);
            bytes.resize(64 << 20, 0);
            let out = unpack(gz(&bytes), Path::new("bomb"))?;
            assert!(out.len() < 4096 && out.capacity() < 16384, "{} {}", out.len(), out.capacity());
            refused(gz(&bytes), 12, "goes on");
            Ok(())
        }
    }

    #[cfg(not(feature = "data-download"))]
    #[test]
    fn gzip_needs_the_feature() {
        let e = read(vec![0x1f, 0x8b, 8, 0]).unwrap_err();
        assert!(e.to_string().contains("data-download"), "{e}");
    }
}
