//! As much of the tar format as data sets need: the names of its plain files, and where their bytes are.

use std::ops::Range;

/// Headers and contents fill whole blocks.
const BLOCK: usize = 512;

/// A file's name, and where its bytes are.
pub(crate) type Entry = (String, Range<usize>);

/// The plain files of a tar file. Links, folders and headers of other kinds are passed over. The error has the byte and what is wrong.
pub(crate) fn files(bytes: &[u8]) -> Result<Vec<Entry>, (usize, String)> {
    let (mut out, mut at) = (Vec::new(), 0usize);
    loop {
        let Some(header) = bytes.get(at..at + BLOCK) else {
            return Err((bytes.len(), "the tar file ends where a header should be".into()));
        };
        if header.iter().all(|&b| b == 0) {
            return Ok(out);
        }
        // as written, with spaces in the place of the sum itself
        let sum: u64 = header.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u64::from(b) }).sum();
        if octal(&header[148..156]) != Some(sum) {
            return Err((at, "not a tar file, or damaged: a header's sum is wrong".into()));
        }
        let size = octal(&header[124..136]).and_then(|n| usize::try_from(n).ok());
        let start = at + BLOCK;
        let end = size.and_then(|n| start.checked_add(n)).filter(|&end| end <= bytes.len());
        let Some(end) = end else { return Err((at + 124, "a file in it is longer than what is there".into())) };
        if matches!(header[156], b'0' | 0) {
            let prefix = if header[257..].starts_with(b"ustar") { text(&header[345..500]) } else { String::new() };
            let name = text(&header[..100]);
            out.push((if prefix.is_empty() { name } else { format!("{prefix}/{name}") }, start..end));
        }
        at = end.next_multiple_of(BLOCK);
    }
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
}

/// A number as tar writes it, ended by a space or a zero byte.
fn octal(field: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']), 8).ok()
}

/// A tar file of these files, for tests.
#[cfg(test)]
pub(crate) fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        let mut header = [0u8; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[156] = if name.ends_with('/') { b'5' } else { b'0' };
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(header);
        out.extend(*content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_and_no_other() {
        let long = vec![7; 1000];
        let tar = packed(&[("a/", b""), ("a/one", b"1"), ("a/none", b""), ("a/long", &long)]);
        let found = files(&tar).unwrap();
        let names: Vec<&str> = found.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["a/one", "a/none", "a/long"]);
        assert_eq!((&tar[found[0].1.clone()], found[1].1.len(), &tar[found[2].1.clone()]), (&b"1"[..], 0, &long[..]));
    }

    #[test]
    fn damage_is_told() {
        let tar = packed(&[("one", &[1; 600]), ("two", b"2")]);
        for cut in [0, 100, 512, 1535, 1536, 2047] {
            assert!(files(&tar[..cut]).is_err(), "{cut}");
        }
        let mut flipped = tar.clone();
        flipped[1540] ^= 1;
        assert_eq!(files(&flipped).unwrap_err(), (1536, "not a tar file, or damaged: a header's sum is wrong".into()));
        assert!(files(b"<html>").is_err());
    }
}
