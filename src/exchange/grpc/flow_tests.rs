//! Streams of messages, cut anywhere.

use super::*;
use crate::exchange::grpc::block_on::block_on;
use crate::exchange::grpc::codec::{Form, Parts, Stored};
use crate::exchange::grpc::wire::{PushHead, PushPart};
use std::sync::Arc;

struct Two(Vec<u32>, Vec<u32>);

impl Stored for Two {
    fn arrays(&self) -> [&[u32]; 2] {
        [&self.0, &self.1]
    }
}

/// These bytes, in pieces of so many.
fn cut(bytes: &[u8], size: usize) -> Inflow {
    let pieces: Vec<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    Inflow::new(Body::new(Outflow { parts: pieces.into_iter(), trailers: None }))
}

/// A head and the words of two arrays; a status where something is wrong.
fn read(mut flow: Inflow, lengths: [usize; 2]) -> Result<(u64, Vec<u32>, Vec<u32>), Status> {
    let (mut a, mut b) = (vec![9; 3], vec![]);
    let clock = block_on(async {
        let head = flow.message::<PushPart>(MOST).await?.and_then(|p| p.head).map_or(0, |h| h.clock);
        let mut fill = Fill::new([&mut a, &mut b], lengths);
        while flow.words(&mut fill).await? {}
        assert!(fill.is_full());
        Ok::<_, Status>(head)
    })?;
    Ok((clock, a, b))
}

fn bytes(a: &[u32], b: &[u32], form: Form) -> Vec<u8> {
    Parts::new(&PushHead { clock: 5, ..PushHead::default() }, Some(Arc::new(Two(a.to_vec(), b.to_vec()))), form).flatten().collect()
}

#[test]
fn words_arrive_however_the_stream_is_cut() {
    let few: Vec<u32> = (0..500).map(|i| if i % 50 == 7 { f32::to_bits(i as f32) } else { 0 }).collect();
    let whole: Vec<u32> = (0..500).map(|i| f32::to_bits(i as f32 - 250.0)).collect();
    for (a, b) in [(&whole, &whole[..1]), (&few, &few[..9]), (&whole, &[][..])] {
        for form in [Form::Full, Form::Short, Form::Half] {
            let all = bytes(a, b, form);
            for size in [1, 2, 3, 5, 11, 64, all.len()] {
                let (clock, x, y) = read(cut(&all, size), [a.len(), b.len()]).unwrap();
                assert!(clock == 5 && x == *a && y == b, "{form:?} in pieces of {size}");
            }
        }
    }
}

#[test]
fn what_is_no_stream_of_messages_is_refused() {
    let all = bytes(&[7; 100], &[], Form::Full);
    let code = |bytes: &[u8], lengths| read(cut(bytes, 13), lengths).unwrap_err().code();
    assert_eq!(code(&all[..all.len() - 1], [100, 0]), Code::DataLoss);
    assert_eq!(code(&all[..3], [100, 0]), Code::DataLoss);
    assert_eq!(code(&all, [99, 0]), Code::InvalidArgument);
    assert_eq!(code(&[0, 255, 0, 0, 0], [1, 0]), Code::OutOfRange);
    assert_eq!(code(&[1, 0, 0, 0, 0], [1, 0]), Code::InvalidArgument);
    let noise: Vec<u8> = [0, 0, 0, 0, 40].into_iter().chain([255; 40]).collect();
    assert_eq!(code(&noise, [1, 0]), Code::InvalidArgument);
    // an answer that fails at its end
    let mut trailers = HeaderMap::new();
    Status::unavailable("it stops").add_header(&mut trailers).unwrap();
    let mut flow = Inflow::new(Body::new(Outflow { parts: std::iter::empty(), trailers: Some(trailers) }));
    assert_eq!(block_on(flow.message::<PushPart>(MOST)).unwrap_err().message(), "it stops");
}
