//! As much of the zip format as npz files need: the directory at the end, and members that are stored or deflated.

use super::{Origin, shown};
use crate::error::Result;
use std::borrow::Cow;

const AGAIN: &str = "write it with `numpy.savez`";
/// A directory's end without its comment, and the comment's greatest length.
const END: usize = 22;
const COMMENT: usize = 0xffff;

/// A file in the zip file.
#[derive(Debug)]
pub(super) struct Member {
    pub name: String,
    deflated: bool,
    crc: u32,
    packed: usize,
    size: usize,
    /// Where its own header begins.
    header: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// The members that a zip file's directory names.
pub(super) fn members(bytes: &[u8], origin: &Origin<'_>) -> Result<Vec<Member>> {
    if !bytes.starts_with(b"PK") {
        return Err(origin.bad(
            0,
            "not an npz file: it is no zip file".into(),
            "give a file that `numpy.savez` wrote; `read_npy` reads `.npy`",
        ));
    }
    let from = bytes.len().saturating_sub(END + COMMENT);
    let end = (from..=bytes.len().saturating_sub(END)).rev().find(|&i| bytes[i..].starts_with(b"PK\x05\x06"));
    let Some(end) = end else {
        return Err(origin.bad(bytes.len(), "the zip file has no directory at its end".into(), "it was cut short: write it again"));
    };
    let damaged = |at: usize, what: &str| origin.bad(at, format!("the zip file's directory is damaged: {what}"), AGAIN);
    let mut at = u32_at(bytes, end + 16).ok_or_else(|| damaged(end, "its end is cut short"))? as usize;
    let mut count = u16_at(bytes, end + 10).unwrap_or(0);
    // a larger file says so in a record of its own in front of the end
    let wide = end.checked_sub(20).filter(|&i| bytes[i..].starts_with(b"PK\x06\x07")).and_then(|i| u64_at(bytes, i + 8));
    if let Some(record) = wide.filter(|&r| bytes.get(r..).is_some_and(|b| b.starts_with(b"PK\x06\x06"))) {
        count = u64_at(bytes, record + 32).ok_or_else(|| damaged(record, "its wide end is cut short"))?;
        at = u64_at(bytes, record + 48).ok_or_else(|| damaged(record, "its wide end is cut short"))?;
    }
    let (mut out, mut together) = (Vec::new(), 0usize);
    for _ in 0..count {
        let (member, next) = member(bytes, at).ok_or_else(|| damaged(at, "an entry cannot be read"))?;
        // members that share their bytes would be many times the file
        together = together.saturating_add(member.packed);
        if together > bytes.len() {
            return Err(damaged(at, "its members have more bytes together than the file"));
        }
        out.push(member);
        at = next;
    }
    Ok(out)
}

/// The entry of the directory at this byte, and where the next one begins.
fn member(bytes: &[u8], at: usize) -> Option<(Member, usize)> {
    let entry = bytes.get(at..).filter(|b| b.starts_with(b"PK\x01\x02"))?;
    let lengths = [u16_at(entry, 28)?, u16_at(entry, 30)?, u16_at(entry, 32)?];
    let name = String::from_utf8(entry.get(46..46 + lengths[0])?.to_vec()).ok()?;
    let (mut size, mut packed, mut header) = (u32_at(entry, 24)? as usize, u32_at(entry, 20)? as usize, u32_at(entry, 42)? as usize);
    let mut extra = entry.get(46 + lengths[0]..46 + lengths[0] + lengths[1])?;
    while let (Some(kind), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let body = extra.get(4..4 + length)?;
        if kind == 1 {
            // what did not fit 32 bits, in this order
            let mut wide = 0;
            for value in [&mut size, &mut packed, &mut header].into_iter().filter(|v| **v == u32::MAX as usize) {
                *value = u64_at(body, wide)?;
                wide += 8;
            }
        }
        extra = &extra[4 + length..];
    }
    let deflated = match u16_at(entry, 10)? {
        0 => false,
        8 => true,
        _ => return None,
    };
    // encrypted
    if u16_at(entry, 8)? & 1 != 0 {
        return None;
    }
    let next = at + 46 + lengths.iter().sum::<usize>();
    Some((Member { name, deflated, crc: u32_at(entry, 16)?, packed, size, header }, next))
}

impl Member {
    /// Its content. No more is unpacked than its entry says, and that is held against what can be in it.
    pub fn content<'a>(&self, bytes: &'a [u8], origin: &Origin<'_>) -> Result<Cow<'a, [u8]>> {
        let damaged = |what: String| {
            let problem = format!("its member `{}` is damaged: {what}", shown(&self.name));
            Origin { member: None, ..*origin }.bad(self.header, problem, AGAIN)
        };
        let packed = || {
            let own = bytes.get(self.header..).filter(|b| b.starts_with(b"PK\x03\x04"))?;
            let from = 30 + u16_at(own, 26)? + u16_at(own, 28)?;
            own.get(from..from.checked_add(self.packed)?)
        };
        let packed = packed().ok_or_else(|| damaged("it lies beyond the file's end".into()))?;
        let content: Cow<'a, [u8]> = if self.deflated { unpack(packed, self.size).map_err(&damaged)?.into() } else { packed.into() };
        if content.len() != self.size {
            return Err(damaged(format!("it has {} bytes, and its entry says {}", content.len(), self.size)));
        }
        if crc32(&content) != self.crc {
            return Err(damaged("its checksum is wrong".into()));
        }
        Ok(content)
    }
}

/// Deflate packs at most 1032 bytes into one: what promises more is refused unread.
#[cfg(feature = "data-download")]
fn unpack(packed: &[u8], size: usize) -> std::result::Result<Vec<u8>, String> {
    use std::io::Read;
    let most = 1032 * (packed.len() + 64);
    if size > most {
        return Err(format!("its entry promises {size} bytes, and {} unpack to {most} at most", packed.len()));
    }
    let mut inflate = flate2::read::DeflateDecoder::new(packed);
    let mut out = Vec::new();
    // one byte more proves an overlong member; room follows what is unpacked
    while out.len() <= size {
        let (more, before) = ((size + 1 - out.len()).min((out.len() / 2).max(64 << 10)), out.len());
        out.try_reserve_exact(more).map_err(|_| format!("there is no memory for its {size} bytes"))?;
        inflate.by_ref().take(more as u64).read_to_end(&mut out).map_err(|e| e.to_string())?;
        if out.len() == before {
            break;
        }
    }
    Ok(out)
}

#[cfg(not(feature = "data-download"))]
fn unpack(_: &[u8], _: usize) -> std::result::Result<Vec<u8>, String> {
    Err("it is compressed, and gradus was built without the feature `data-download`: write it with `numpy.savez`".into())
}

/// CRC-32 as zip files have it, four bits at a time.
fn crc32(bytes: &[u8]) -> u32 {
    const STEPS: [u32; 16] = {
        let mut steps = [0; 16];
        let mut i = 0;
        while i < 16 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            steps[i] = value;
            i += 1;
        }
        steps
    };
    let four = |crc: u32, bits: u32| crc >> 4 ^ STEPS[((crc ^ bits) & 15) as usize];
    !bytes.iter().fold(u32::MAX, |crc, &b| four(four(crc, b.into()), u32::from(b) >> 4))
}
