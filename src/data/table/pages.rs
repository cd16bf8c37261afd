//! What the pages of a Parquet file promise, held against what can be in them before anything is unpacked.
//!
//! The header of a page is a struct of Thrift's compact protocol: <https://github.com/apache/parquet-format>, `PageHeader`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// A page that is unpacked to no more than this is believed.
const SMALL: i64 = 4 << 20;
/// And none is larger than this; writers make pages of about 1 MiB.
const LARGE: i64 = 256 << 20;
/// Deflate packs at most so many bytes into one.
const MOST_PACKED: i64 = 1032;
/// Longest header of a page.
const HEADER: u64 = 1 << 20;
/// Deepest struct of a header.
const DEEPEST: usize = 8;

/// The numbers of a header that matter, by the path of their fields.
#[derive(Default, Debug)]
struct Header {
    kind: i64,
    unpacked: i64,
    packed: i64,
    /// Values of a dictionary.
    words: i64,
    encoding: i64,
}

/// Checks the pages of a column's part of a row group: `bytes` from `start` on. A value takes `width` bytes at least.
pub(super) fn check(file: &mut File, start: u64, bytes: u64, width: i64) -> Result<(), String> {
    let (mut at, end) = (start, start.saturating_add(bytes));
    let mut buffer = Vec::new();
    while at < end {
        let mut most = 4096.min(end - at);
        let (header, length) = loop {
            buffer.clear();
            file.seek(SeekFrom::Start(at)).and_then(|_| file.take(most).read_to_end(&mut buffer)).map_err(|e| e.to_string())?;
            let mut header = Header::default();
            let mut reader = Reader { bytes: &buffer, at: 0 };
            match reader.fields(&mut [], &mut |path, value| header.take(path, value)) {
                Some(()) => break (header, reader.at as u64),
                None if most < HEADER.min(end - at) => most = (most * 16).min(HEADER).min(end - at),
                None => return Err(format!("the header of the page at byte {at} cannot be read")),
            }
        };
        header.check(at, width)?;
        at = at.saturating_add(length).saturating_add(header.packed as u64);
    }
    if at > end { Err(format!("its last page goes on behind byte {end}, where its part ends")) } else { Ok(()) }
}

impl Header {
    fn take(&mut self, path: &[i64], value: i64) {
        match path {
            [1] => self.kind = value,
            [2] => self.unpacked = value,
            [3] => self.packed = value,
            // how the values of a data page are written, in both versions
            [5, 2] | [8, 4] => self.encoding = value,
            [7, 1] => self.words = value,
            _ => {}
        }
    }

    fn check(&self, at: u64, width: i64) -> Result<(), String> {
        let Header { unpacked, packed, words, encoding, .. } = *self;
        if packed < 0 || !(0..=LARGE).contains(&unpacked) || unpacked > SMALL.max(packed.saturating_mul(MOST_PACKED)) {
            return Err(format!("the page at byte {at} would be unpacked from {packed} bytes to {unpacked}"));
        }
        if words < 0 || words.saturating_mul(width) > unpacked {
            return Err(format!("the dictionary at byte {at} would have {words} values in {unpacked} bytes"));
        }
        if matches!(encoding, 6 | 7) {
            return Err(format!("the text of the page at byte {at} is written as differences: write it with a dictionary or plain"));
        }
        Ok(())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let b = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(b)
    }

    fn number(&mut self) -> Option<u64> {
        let mut out = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            out |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Some(out);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let n = self.number()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        let to = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = to;
        (to <= self.bytes.len()).then_some(())
    }

    /// The fields of a struct, the integers told with the path that leads to them.
    fn fields(&mut self, above: &mut [i64], told: &mut impl FnMut(&[i64], i64)) -> Option<()> {
        if above.len() > DEEPEST {
            return None;
        }
        let mut path = above.to_vec();
        path.push(0);
        let mut field = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => self.signed()?,
                step => field.checked_add(i64::from(step))?,
            };
            *path.last_mut()? = field;
            self.value(head & 15, &mut path, told)?;
        }
    }

    fn value(&mut self, kind: u8, path: &mut [i64], told: &mut impl FnMut(&[i64], i64)) -> Option<()> {
        match kind {
            // true, false: no bytes
            1 | 2 => Some(()),
            3 => self.skip(1),
            4..=6 => {
                let value = self.signed()?;
                told(path, value);
                Some(())
            }
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            12 => self.fields(path, told),
            // a page's header has no lists and maps
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn checked(bytes: &[u8], width: i64) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        check(&mut file, 0, bytes.len() as u64, width)
    }

    /// i32 in zigzag and seven bits a byte.
    fn int(n: i64) -> Vec<u8> {
        let mut n = (n << 1 ^ n >> 63) as u64;
        let mut out = vec![];
        while n > 127 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    }

    /// A data page with so many bytes behind its header.
    fn page(unpacked: i64, packed: i64, encoding: i64) -> Vec<u8> {
        [&[0x15][..], &int(0), &[0x15], &int(unpacked), &[0x15], &int(packed), &[0x2c, 0x15], &int(9), &[0x15], &int(encoding), &[0, 0]]
            .concat()
    }

    fn dictionary(words: i64, unpacked: i64) -> Vec<u8> {
        [&[0x15][..], &int(2), &[0x15], &int(unpacked), &[0x15], &int(8), &[0x4c, 0x15], &int(words), &[0x15], &int(0), &[0, 0], &[0; 8]]
            .concat()
    }

    #[test]
    fn promises() {
        let two = [dictionary(2, 8), page(100, 3, 8), vec![1, 2, 3], page(0, 0, 0)].concat();
        assert_eq!(checked(&two, 4), Ok(()));
        let told = |bytes: Vec<u8>, says: &str| {
            let e = checked(&bytes, 4).unwrap_err();
            assert!(e.contains(says), "{e}");
        };
        told(dictionary(3, 8), "3 values in 8 bytes");
        told(dictionary(-1, 8), "-1 values");
        told(page(SMALL + 1, 3, 0), "from 3 bytes to 4194305");
        told(page(-1, 3, 0), "to -1");
        told(page(3, -1, 0), "from -1");
        told([page(5, 5, 6), vec![0; 5]].concat(), "as differences");
        told(page(5, 9, 0), "goes on behind");
        told(page(5, 5, 0)[..6].to_vec(), "byte 0 cannot be read");
        told([0x1c; 40].to_vec(), "byte 0 cannot be read");
        assert_eq!(checked(&[page(SMALL + 1, 5000, 0), vec![0; 5000]].concat(), 4), Ok(()));
    }
}
