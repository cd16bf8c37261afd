//! Damage: what a bad disk, a cut connection or a hostile hand makes of a file.

use gradus::rng::Philox;
use std::io::Read;

/// Numbers that readers trip over.
const NASTY: [u64; 10] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX >> 1, u64::MAX];

fn below(draw: &mut Philox, n: usize) -> usize {
    ((draw.uniform() * n as f64) as usize).min(n.saturating_sub(1))
}

/// A file made of one of the seeds by one to four kinds of damage; one in eight is noise from the start.
pub fn damaged(seeds: &[Vec<u8>], draw: &mut Philox) -> Vec<u8> {
    if below(draw, 8) == 0 {
        let n = below(draw, 600);
        return (0..n).map(|_| below(draw, 256) as u8).collect();
    }
    let mut b = seeds[below(draw, seeds.len())].clone();
    for _ in 0..1 + below(draw, 4) {
        once(&mut b, seeds, draw);
    }
    b
}

fn once(b: &mut Vec<u8>, seeds: &[Vec<u8>], draw: &mut Philox) {
    let at = below(draw, b.len().max(1));
    // headers stand in front, and matter most
    let early = below(draw, b.len().clamp(1, 64));
    match below(draw, 10) {
        0 => b.truncate(at),
        1 => b.iter_mut().skip(at).take(1).for_each(|v| *v ^= 1 << (early % 8)),
        2 => b.iter_mut().skip(early).take(1).for_each(|v| *v = at as u8),
        3 | 4 => {
            let number = NASTY[below(draw, NASTY.len())];
            let bytes = if below(draw, 2) == 0 { number.to_be_bytes() } else { number.to_le_bytes() };
            let n = [1, 2, 4, 8][below(draw, 4)];
            b.iter_mut().skip(early).zip(bytes.iter().rev().take(n)).for_each(|(v, x)| *v = *x);
        }
        5 => {
            let n = below(draw, 40);
            let from = b.iter().copied().skip(early).take(n).collect::<Vec<_>>();
            b.splice(at..at, from);
        }
        6 => drop(b.drain(at..(at + below(draw, 40)).min(b.len()))),
        7 => {
            let other = &seeds[below(draw, seeds.len())];
            b.truncate(at);
            b.extend(other.iter().skip(at));
        }
        8 => digits(b, draw),
        _ => b.extend((0..below(draw, 100)).map(|i| i as u8)),
    }
}

/// A number in a JSON header becomes another one, of as many digits or of many more.
fn digits(b: &mut Vec<u8>, draw: &mut Philox) {
    let spots: Vec<usize> = (0..b.len().min(2000)).filter(|&i| b[i].is_ascii_digit()).collect();
    let Some(&at) = spots.get(below(draw, spots.len().max(1))) else { return };
    let long = ["99999999999999999999", "4294967296", "70000000", "-1", "1e400", "0", "18446744073709551615", "null", "[]"];
    let text = long[below(draw, long.len())];
    if below(draw, 2) == 0 {
        b[at] = b'0' + below(draw, 10) as u8;
    } else {
        b.splice(at..at + 1, text.bytes());
        // a safetensors file says first how long its header is: with the right length the damage gets past that
        if b.get(8) == Some(&b'{') {
            let length = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]).wrapping_add(text.len() as u64 - 1);
            b[..8].copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// How long a gzip file's content is, as far as it can be unpacked; at most a thousandfold, which is all that gzip can do.
pub fn unpacked_len(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return None;
    }
    let mut reader = flate2::read::MultiGzDecoder::new(bytes);
    let (mut total, mut buffer) = (0, [0; 4096]);
    while let Ok(n) = reader.read(&mut buffer) {
        if n == 0 {
            break;
        }
        total += n;
    }
    Some(total)
}
