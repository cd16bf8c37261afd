//! Chunks to bytes and back.

use super::*;
use crate::exchange::grpc::fill::Fill;
use crate::exchange::grpc::wire::{Chunk, PullHead, PullPart};
use prost::Message;

fn sent(words: &[u32], form: Form) -> (PullPart, usize) {
    let mut bytes = Vec::new();
    put_chunk(words, form, &mut bytes);
    let part = PullPart::decode(&bytes[..]).unwrap();
    // as prost writes it
    assert_eq!(part.encode_to_vec(), bytes);
    (part, bytes.len())
}

fn back(part: &PullPart, n: usize) -> Vec<u32> {
    let (mut words, mut none) = (vec![7; n], vec![]);
    let mut fill = Fill::new([&mut words, &mut none], [n, 0]);
    fill.take(part.chunk.as_ref().unwrap()).unwrap();
    assert!(fill.is_full());
    words
}

#[test]
fn chunks_come_back_to_the_bit() {
    let dense: Vec<u32> = (1..1001u32).map(|i| i.wrapping_mul(2_654_435_761) | 1).collect();
    let few: Vec<u32> = (0..1000).map(|i| if i % 10 == 3 { f32::to_bits(-0.0) ^ i } else { 0 }).collect();
    for (words, most) in [(&dense, 4010), (&few, 820), (&vec![0; 1000], 20), (&vec![5], 12)] {
        let (part, len) = sent(words, Form::Short);
        assert_eq!(&back(&part, words.len()), words);
        assert!(len <= most, "{len} bytes");
    }
}

#[test]
fn halves_are_the_nearest_of_their_kind() {
    let words: Vec<u32> = (0..1000).map(|i| (i as f32 / 7.0 - 40.0).to_bits()).collect();
    let (part, len) = sent(&words, Form::Half);
    assert!(len < 2020);
    let want: Vec<u32> = words.iter().map(|w| half::f16::from_f32(f32::from_bits(*w)).to_f32().to_bits()).collect();
    assert_eq!(back(&part, words.len()), want);
}

#[test]
fn what_does_not_fit_is_refused() {
    let of = |chunk: Chunk| {
        let (mut a, mut b) = (vec![], vec![]);
        let mut fill = Fill::new([&mut a, &mut b], [3, 2]);
        let taken = fill.take(&chunk);
        (taken.is_ok(), a.len() + b.len())
    };
    let bytes = |n: usize| bytes::Bytes::from(vec![1u8; n]);
    assert_eq!(of(Chunk { full: bytes(12), ..Chunk::default() }), (true, 3));
    for bad in [
        Chunk::default(),
        Chunk { full: bytes(16), ..Chunk::default() },
        Chunk { full: bytes(5), ..Chunk::default() },
        Chunk { half: bytes(8), ..Chunk::default() },
        Chunk { half: bytes(3), ..Chunk::default() },
        Chunk { count: u32::MAX, ..Chunk::default() },
        Chunk { count: 2, pairs: bytes(7), ..Chunk::default() },
    ] {
        assert_eq!(of(bad.clone()), (false, 0), "{bad:?}");
    }
    // a position beyond its chunk
    assert!(!of(Chunk { count: 2, pairs: bytes(8), ..Chunk::default() }).0);
}

/// Two arrays, the first longer than a chunk.
struct Two(Vec<u32>, Vec<u32>);

impl Stored for Two {
    fn arrays(&self) -> [&[u32]; 2] {
        [&self.0, &self.1]
    }
}

fn two() -> Arc<Two> {
    Arc::new(Two((0..CHUNK as u32 + 1).map(|i| (i as f32 - 7.5).to_bits()).collect(), vec![2, 0, 0]))
}

/// A head, then the arrays one after the other in chunks, in messages that prost reads.
#[test]
fn parts_are_messages_in_order() {
    for (form, width) in [(Form::Full, 4), (Form::Short, 4), (Form::Half, 2)] {
        let bytes: Vec<u8> = Parts::new(&PullHead { update: 3, ..PullHead::default() }, Some(two()), form).flatten().collect();
        let (mut rest, mut all) = (&bytes[..], vec![]);
        while let Some((prefix, after)) = rest.split_first_chunk::<PREFIX>() {
            let len = u32::from_be_bytes(*prefix.last_chunk().unwrap()) as usize;
            assert_eq!(prefix[0], 0);
            all.push(PullPart::decode(&after[..len]).unwrap());
            rest = &after[len..];
        }
        assert_eq!(all[0].head.unwrap().update, 3);
        let of = |c: &Chunk| c.full.len() + c.half.len();
        let lengths: Vec<usize> = all[1..].iter().map(|p| of(p.chunk.as_ref().unwrap())).collect();
        assert_eq!(lengths, [width * CHUNK, width, 12], "{form:?}");
    }
    assert_eq!(Parts::<Two>::new(&PullHead::default(), None, Form::Full).count(), 1);
}
