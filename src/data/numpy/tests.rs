use super::*;
use crate::tensor::DType;

/// An npy file of version 1 with this header.
fn npy(dict: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{dict}\n");
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), values].concat()
}

fn array(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    npy(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"), values)
}

fn read(bytes: &[u8]) -> Result<HostTensor> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read_npy(file.path())
}

#[track_caller]
fn refused(bytes: &[u8], at: u64, says: &str) {
    match read(bytes) {
        Err(Error::BadData { offset, problem, help, .. }) => {
            assert_eq!(offset, at, "{problem}");
            assert!(problem.contains(says) && !help.is_empty(), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_type() -> Result<()> {
    let f = |t: HostTensor| t.to_f64();
    assert_eq!(f(read(&array("<f4", "(2,)", &[1.5f32, -2.0].map(f32::to_le_bytes).concat()))?), [1.5, -2.0]);
    assert_eq!(f(read(&array(">f8", "(2,)", &[0.1f64, -2.0].map(f64::to_be_bytes).concat()))?), [f64::from(0.1f32), -2.0]);
    assert_eq!(f(read(&array("<f2", "(1, 2)", &[0, 0x3c, 0, 0xc0]))?), [1.0, -2.0]);
    let bytes = read(&array("|u1", "(2, 2)", &[1, 2, 3, 255]))?;
    assert_eq!((bytes.shape().dims(), bytes.as_u8()), (&[2, 2][..], Some(&[1, 2, 3, 255][..])));
    assert_eq!(read(&array("|b1", "(3,)", &[1, 0, 1]))?.as_u8(), Some(&[1, 0, 1][..]));
    for (descr, values) in [
        ("|i1", vec![7, 100]),
        ("<i2", [7i16, 100].map(i16::to_le_bytes).concat()),
        (">i4", [7i32, 100].map(i32::to_be_bytes).concat()),
        ("<i8", [7i64, 100].map(i64::to_le_bytes).concat()),
        (">u2", [7u16, 100].map(u16::to_be_bytes).concat()),
        ("<u4", [7u32, 100].map(u32::to_le_bytes).concat()),
        (">u8", [7u64, 100].map(u64::to_be_bytes).concat()),
    ] {
        let t = read(&array(descr, "(2L,)", &values))?;
        assert_eq!((t.dtype(), t.as_u32()), (DType::U32, Some(&[7, 100][..])), "{descr}");
    }
    assert_eq!(read(&array("<f4", "()", &1.0f32.to_le_bytes()))?.shape().rank(), 0);
    Ok(())
}

/// The element at `[i, j, k]` is `100 i + 10 j + k`, whichever axis runs fastest.
#[test]
fn fortran_order_and_other_versions() -> Result<()> {
    let values: Vec<u8> = (0..4).flat_map(|k| (0..3).flat_map(move |j| (0..2).map(move |i| (100 * i + 10 * j + k) as u8))).collect();
    let dict = "{\"shape\":(2,3,4),'fortran_order':True,'descr':'|u1'}";
    let t = read(&npy(dict, &values))?;
    let expected: Vec<u8> = (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..4).map(move |k| (100 * i + 10 * j + k) as u8))).collect();
    assert_eq!((t.shape().dims(), t.as_u8()), (&[2, 3, 4][..], Some(&expected[..])));
    let long = [b"\x93NUMPY\x02\x00", &(dict.len() as u32).to_le_bytes()[..], dict.as_bytes(), &values].concat();
    assert_eq!(read(&long)?, t);
    Ok(())
}

#[test]
fn what_is_no_array() {
    let whole = array("<f4", "(2, 3)", &[0; 24]);
    let start = whole.len() as u64 - 24;
    refused(b"", 0, "not an npy file");
    refused(b"PK\x03\x04", 0, "zip");
    refused(b"\x93NUMPY\x09\x00", 6, "version 9");
    refused(&whole[..9], 9, "inside its header");
    refused(&whole[..30], 30, "inside its header");
    refused(&whole[..whole.len() - 1], start + 23, "of the shape".trim_start_matches("of "));
    refused(&[&whole[..], b"x"].concat(), start + 24, "goes on");
    refused(&array("<c8", "(1,)", &[0; 8]), 10, "`<c8`");
    refused(&array("|O", "(1,)", &[0; 8]), 10, "`|O`");
    refused(&npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", &[0; 4]), 10, "('a', '<f4')");
    refused(&array("<f4", "(2, 0)", &[]), 10, "axis 1");
    refused(&array("<f4", "(-1,)", &[]), 10, "cannot be used");
    refused(&npy("{'descr': '<f4', 'shape': (1,)}", &[0; 4]), 10, "cannot be used");
    refused(&npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", &[0; 4]), 10, "cannot be used");
    refused(&npy("import os", &[]), 10, "import os");
    refused(&array("<f4", "(4294967296, 4294967296)", &[]), 10, "any memory");
    // a promise costs nothing
    let most = array("<f8", "(1099511627776,)", &[]);
    refused(&most, most.len() as u64, "the file ends after");
    refused(
        &array("<i8", "(2,)", &[1i64, -5].map(i64::to_le_bytes).concat()),
        array("<i8", "(2,)", &[]).len() as u64 + 8,
        "-5 is negative",
    );
    refused(&array("<u8", "(1,)", &u64::MAX.to_le_bytes()), array("<u8", "(1,)", &[]).len() as u64, "above 2^32 - 1");
    refused(&array("<f8", "(1,)", &1e300f64.to_le_bytes()), array("<f8", "(1,)", &[]).len() as u64, "too large for f32");
    let long = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..]].concat();
    refused(&long, 8, "its header would have 4294967295 bytes");
}

/// What Python's zipfile writes, stored: a header of its own for each member, the directory, its end.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let at = out.len() as u32;
        let crc = crc(content).to_le_bytes();
        let size = (content.len() as u32).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        // numpy forces the wide form: sizes of its own header stand in an extra field
        let extra = [&[1, 0, 16, 0][..], &(content.len() as u64).to_le_bytes(), &(content.len() as u64).to_le_bytes()].concat();
        out.extend([&b"PK\x03\x04\x2d\x00\x00\x00\x00\x00\x00\x00\x21\x00"[..], &crc, &[0xff; 8], &length, &20u16.to_le_bytes()].concat());
        out.extend([name.as_bytes(), &extra, content].concat());
        let fixed = &b"PK\x01\x02\x2d\x03\x2d\x00\x00\x00\x00\x00\x00\x00\x21\x00"[..];
        directory.extend([fixed, &crc, &size, &size, &length, &[0; 12], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (at, n) = (out.len() as u32, (members.len() as u16).to_le_bytes());
    out.extend(&directory);
    out.extend([&b"PK\x05\x06\x00\x00\x00\x00"[..], &n, &n, &(directory.len() as u32).to_le_bytes(), &at.to_le_bytes(), &[0, 0]].concat());
    out
}

fn crc(bytes: &[u8]) -> u32 {
    let bit = |c: u32| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 };
    !bytes.iter().fold(u32::MAX, |c, &b| (0..8).fold(c ^ u32::from(b), |c, _| bit(c)))
}

#[test]
fn archives() -> Result<()> {
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
    let file = tempfile::NamedTempFile::new().unwrap();
    let (x, y) = (array("<f4", "(3, 1)", &[0; 12]), array("<i8", "(3,)", &[1i64, 0, 2].map(i64::to_le_bytes).concat()));
    let whole = zip(&[("y.npy", &y), ("x.npy", &x), ("notes.txt", b"hello")]);
    std::fs::write(file.path(), &whole).unwrap();
    let names: Vec<String> = read_npz(file.path())?.into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["y", "x"]);
    let set = npz(file.path())?;
    assert_eq!((set.len(), set.input_shape().dims(), set.labels().and_then(HostTensor::as_u32)), (3, &[1][..], Some(&[1, 0, 2][..])));
    let refused = |bytes: &[u8], says: &str| {
        std::fs::write(file.path(), bytes).unwrap();
        let e = npz(file.path()).unwrap_err();
        assert!(e.code() == "bad-data" && e.to_string().contains(says), "{says}: {e}");
    };
    refused(&x, "no zip file");
    refused(&whole[..whole.len() - 1], "no directory");
    let mut wrong = whole.clone();
    wrong[70] ^= 1;
    refused(&wrong, "checksum");
    refused(&zip(&[("x.npy", &x[..20])]), "inside its header");
    // two members over the same bytes
    let mut shared = zip(&[("x.npy", &x), ("y.npy", &x)]);
    let entry = shared.len() - 22 - (46 + 5);
    shared[entry + 42..entry + 46].fill(0);
    assert!(shared.len() > 2 * x.len());
    let all = (shared.len() as u32).to_le_bytes();
    for size in [entry + 20, entry + 24] {
        shared[size..size + 4].copy_from_slice(&all);
    }
    refused(&shared, "more bytes together than the file");
    std::fs::write(file.path(), zip(&[("x.npy", &array("<f4", "()", &[0; 4]))])).unwrap();
    assert_eq!(npz(file.path()).unwrap_err().code(), "shape-mismatch");
    Ok(())
}

#[cfg(feature = "data-download")]
#[test]
fn compressed_archives() -> Result<()> {
    use std::io::Write;
    let deflated = |content: &[u8], claims: usize| {
        let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(content).unwrap();
        let packed = e.finish().unwrap();
        let mut file = zip(&[("x.npy", &packed)]);
        let entry = file.len() - 22 - (46 + 5);
        file[entry + 10] = 8;
        file[entry + 16..entry + 20].copy_from_slice(&crc(content).to_le_bytes());
        file[entry + 24..entry + 28].copy_from_slice(&(claims as u32).to_le_bytes());
        let at = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(at.path(), file).unwrap();
        read_npz(at.path())
    };
    let x = array("<f4", "(500, 100)", &[7; 200_000]);
    let read = deflated(&x, x.len())?;
    assert_eq!((read[0].0.as_str(), read[0].1.shape().dims()), ("x", &[500, 100][..]));
    for (claims, says) in [(x.len() - 1, "and its entry says"), (x.len() + 1, "and its entry says"), (u32::MAX as usize - 1, "promises")] {
        let e = deflated(&x, claims).unwrap_err().to_string();
        assert!(e.contains(says), "{e}");
    }
    Ok(())
}

/// Read where it stands, every type gives what the whole file gives, in any order of rows; and what a type does not hold is an error of the read.
#[test]
fn rows_on_disk() -> Result<()> {
    use crate::data::source::read_tensor;
    use crate::data::{Rows, Source};
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let labels = path("y.npy", &array("<i8", "(4,)", &[3i64, 1, 4, 1].map(i64::to_le_bytes).concat()));
    let cases: [(&str, Vec<u8>); 12] = [
        ("|u1", (0..8).collect()),
        ("|b1", vec![0, 1, 1, 0, 0, 1, 0, 1]),
        ("|i1", (0..8).collect()),
        ("<i2", (0..8i16).flat_map(|v| (300 * v).to_le_bytes()).collect()),
        (">i4", (0..8i32).flat_map(|v| (70_000 * v).to_be_bytes()).collect()),
        ("<i8", (0..8i64).flat_map(|v| (1i64 << (3 * v)).to_le_bytes()).collect()),
        (">u2", (0..8u16).flat_map(|v| (9000 * v).to_be_bytes()).collect()),
        ("<u4", (0..8u32).flat_map(|v| (u32::MAX - v).to_le_bytes()).collect()),
        (">u8", (0..8u64).flat_map(|v| v.to_be_bytes()).collect()),
        ("<f2", (0..8u8).flat_map(|v| [v, 0x3c]).collect()),
        (">f4", (0..8u8).flat_map(|v| (f32::from(v) - 2.5).to_be_bytes()).collect()),
        ("<f8", (0..8u8).flat_map(|v| (f64::from(v) / 3.0).to_le_bytes()).collect()),
    ];
    for (descr, values) in &cases {
        let x = path("x.npy", &array(descr, "(4, 2)", values));
        let (set, whole) = (open_npy(&x, &labels)?, read_npy(&x)?);
        assert_eq!((set.len(), set.input_shape().dims(), set.name()), (4, &[2][..], "x"), "{descr}");
        let rows = Rows::from(&[3, 0, 2]);
        let words: Vec<Vec<u32>> = rows.iter().map(|r| set.words_of(0, &[r as u32]).unwrap()).collect();
        let all = Dataset::unlabelled(whole.clone())?;
        let want: Vec<Vec<u32>> = rows.iter().map(|r| all.words_of(0, &[r as u32]).unwrap()).collect();
        assert_eq!(words, want, "{descr}");
        assert_eq!(read_tensor(&whole as &dyn Source, &rows).unwrap().shape()[0], 3);
        assert_eq!(set.words_of(1, &[2])?, [4]);
    }
    let told = |descr: &str, values: &[u8], says: &str| {
        let x = path("bad.npy", &array(descr, "(4,)", values));
        let e = open_npy(&x, &labels).unwrap().words_of(0, &[0, 1, 2, 3]).unwrap_err().to_string();
        assert!(e.contains(says) && e.contains("bad.npy"), "{e}");
    };
    told("|i1", &[1, 2, 255, 4], "-1 is negative");
    told("<u8", &[1u64, 2, 1 << 32, 3].map(u64::to_le_bytes).concat(), "4294967296 is above 2^32 - 1");
    told("<f8", &[1.0, 2.0, 1e300, 3.0].map(f64::to_le_bytes).concat(), "too large for f32");
    let open = |bytes: &[u8]| open_npy(path("z.npy", bytes), &labels).map(|_| ()).unwrap_err();
    let fortran = npy("{'descr': '|u1', 'fortran_order': True, 'shape': (4, 2), }", &[0; 8]);
    assert_eq!(open(&fortran).code(), "unsupported");
    assert_eq!(open(&array("|u1", "()", &[1])).code(), "shape-mismatch");
    assert_eq!(open(&array("|u1", "(3,)", &[1; 3])).code(), "shape-mismatch");
    assert_eq!(open(&array("|u1", "(4,)", &[1; 3])).code(), "bad-data");
    assert_eq!(open(b"PK\x03\x04").code(), "bad-data");
    Ok(())
}
