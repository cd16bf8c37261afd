//! TensorBoard's event files, by hand: records of TFRecord (length, its CRC, bytes, their CRC), each a protocol buffer `Event`.
//! Field numbers are those of tensorboard's `event.proto` and `summary.proto`.

/// The first event of a file.
const VERSION: &str = "brain.Event:2";

/// An event of this time, in seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event<'a> {
    /// The file's format: stands first.
    Version,
    /// The run starts again at this step: what is shown from there on is forgotten.
    Start(i64),
    /// A value of a curve.
    Scalar { tag: &'a str, step: i64, value: f32 },
}

/// The record of an event.
pub(super) fn record(time: f64, event: &Event<'_>) -> Vec<u8> {
    framed(&encoded(time, event))
}

fn encoded(time: f64, event: &Event<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    key(&mut out, 1, 1);
    out.extend(time.to_le_bytes());
    match event {
        Event::Version => text(&mut out, 3, VERSION.as_bytes()),
        Event::Start(step) => {
            number(&mut out, 2, *step as u64);
            let mut log = Vec::new();
            number(&mut log, 1, 1); // SessionLog.status = START
            text(&mut out, 7, &log);
        }
        Event::Scalar { tag, step, value } => {
            number(&mut out, 2, *step as u64);
            let mut one = Vec::new();
            text(&mut one, 1, tag.as_bytes());
            key(&mut one, 2, 5); // simple_value
            one.extend(value.to_le_bytes());
            let mut summary = Vec::new();
            text(&mut summary, 1, &one);
            text(&mut out, 5, &summary);
        }
    }
    out
}

fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// A field's number, and how it is written: 0 a number, 1 eight bytes, 2 so many bytes, 5 four.
fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn number(out: &mut Vec<u8>, field: u64, v: u64) {
    key(out, field, 0);
    varint(out, v);
}

fn text(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
    out
}

/// TFRecord's mask: a CRC of data that holds CRCs is a weak one.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Castagnoli's polynomial, reflected, a byte at a time.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !data.iter().fold(!0, |crc, b| crc >> 8 ^ TABLE[(crc as u8 ^ b) as usize])
}

const fn table() -> [u32; 256] {
    let mut all = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        all[i] = crc;
        i += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::train::callbacks::events::*;

    /// The vectors of RFC 3720, B.4.
    #[test]
    fn crc() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// Frames and fields, read again by the rules and not by this code's own halves.
    #[test]
    fn a_record() {
        let r = record(1.5, &Event::Scalar { tag: "epoch_loss", step: 300, value: 0.25 });
        let (length, rest) = r.split_at(8);
        let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        assert_eq!(rest.len(), 4 + n + 4);
        let unmask = |m: u32| m.wrapping_sub(0xa282_ead8).rotate_left(15);
        let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
        assert_eq!(unmask(word(&rest[..4])), crc32c(length));
        let data = &rest[4..4 + n];
        assert_eq!(unmask(word(&rest[4 + n..])), crc32c(data));
        let mut by_hand = vec![0x09];
        by_hand.extend(1.5f64.to_le_bytes());
        by_hand.extend([0x10, 0xac, 0x02]); // step 300
        by_hand.extend([0x2a, 19, 0x0a, 17, 0x0a, 10]);
        by_hand.extend(b"epoch_loss");
        by_hand.push(0x15);
        by_hand.extend(0.25f32.to_le_bytes());
        assert_eq!(data, by_hand);
    }
}
