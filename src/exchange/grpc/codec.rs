//! Messages to bytes and back. Arrays go from where they lie into the transport's buffer, in chunks; nothing of ours is made for them.

use super::wire::{HelloMessage, Leaving, ModeAsked, ModeTold, Verdict, WelcomeMessage, Wish};
use bytes::{BufMut, Bytes};
use half::f16;
use std::marker::PhantomData;
use std::sync::Arc;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Words of a chunk at most: 1 MiB of f32.
pub(crate) const CHUNK: usize = 256 * 1024;
/// Most bytes of a message with a chunk or a head.
pub(crate) const MOST: usize = 4 * CHUNK + 1024;

/// Two arrays that are sent one after another.
pub(crate) trait Stored: Send + Sync + 'static {
    fn arrays(&self) -> [&[u32]; 2];
}

/// How the words of the first array may travel; those of the second go as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are, from where they lie: nothing is made of them.
    Full,
    /// As they are, or where few are not 0 these alone.
    Short,
    /// Rounded to f16, or as with `Short`.
    Half,
}

/// The bytes of a stream of messages: a head, then two arrays in chunks.
pub(crate) struct Parts<A> {
    of: Option<Arc<A>>,
    form: Form,
    array: usize,
    at: usize,
    /// Goes before anything else.
    ready: Option<Bytes>,
    /// The bytes of both arrays where they lie.
    lying: [Bytes; 2],
}

/// An array as bytes, for as long as somebody sends them.
struct Lying<A>(Arc<A>, usize);

impl<A: Stored> AsRef<[u8]> for Lying<A> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(self.0.arrays()[self.1])
    }
}

impl<A: Stored> Parts<A> {
    pub fn new(head: &impl prost::Message, of: Option<Arc<A>>, form: Form) -> Self {
        let ready = framed(|out| prost::encoding::message::encode(1, head, out));
        let lying = [0, 1].map(|array| of.as_ref().map_or_else(Bytes::new, |of| Bytes::from_owner(Lying(of.clone(), array))));
        Parts { of, form, array: 0, at: 0, ready: Some(ready), lying }
    }
}

impl<A: Stored> Iterator for Parts<A> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        let arrays = self.of.as_ref()?.arrays();
        while self.array < 2 && self.at == arrays[self.array].len() {
            (self.array, self.at) = (self.array + 1, 0);
        }
        let words = arrays.get(self.array)?;
        let range = self.at..words.len().min(self.at + CHUNK);
        self.at = range.end;
        let form = if self.array == 0 { self.form } else { Form::Full };
        let words = &words[range.clone()];
        if form == Form::Full && cfg!(target_endian = "little") {
            self.ready = Some(self.lying[self.array].slice(4 * range.start..4 * range.end));
            return Some(front(4 * words.len()));
        }
        Some(framed(|out| put_chunk(words, form, out)))
    }
}

/// A message as gRPC frames it: not compressed, and its length.
pub(crate) fn framed(put: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = vec![0; PREFIX];
    put(&mut out);
    let len = (out.len() - PREFIX) as u32;
    out[1..PREFIX].copy_from_slice(&len.to_be_bytes());
    out.into()
}

/// Bytes before a message.
pub(super) const PREFIX: usize = 5;

/// What goes before the bytes of a chunk that is sent as it lies.
fn front(dense: usize) -> Bytes {
    let part = 1 + size(dense) + dense;
    let mut out = Vec::with_capacity(16);
    out.push(0);
    out.extend_from_slice(&((1 + size(part) + part) as u32).to_be_bytes());
    begin(FULL, dense, 0, &mut out);
    out.into()
}

/// How many bytes of a message lie before the words, and how many bytes of words, if its first bytes say that it is a chunk of f32 and nothing else.
pub(super) fn plain_words(first: &[u8], len: usize) -> Option<(usize, usize)> {
    let mut rest = first;
    let mut field = |tag: u8| {
        rest = rest.strip_prefix(&[tag])?;
        let n = prost::encoding::decode_varint(&mut rest).ok()?;
        // to the end of the message
        (n == (len - (first.len() - rest.len())) as u64).then_some(n as usize)
    };
    field(PART)?;
    let words = field(FULL)?;
    Some((len - words, words))
}

/// What can be sent.
pub(crate) trait Outgoing: Send + 'static {
    fn put(self, to: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

macro_rules! plain {
    ($($message:ty),*) => {$(
        impl Outgoing for $message {
            fn put(self, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
                prost::Message::encode(&self, to).map_err(|e| Status::internal(e.to_string()))
            }
        }
    )*};
}

plain!(ModeAsked, ModeTold, HelloMessage, WelcomeMessage, Wish, Leaving, Verdict);

/// The fields of `Chunk`, and of it in a part.
const PART: u8 = 2 << 3 | 2;
const FULL: u8 = 1 << 3 | 2;
const HALF: u8 = 2 << 3 | 2;
const PAIRS: u8 = 3 << 3 | 2;
const COUNT: u8 = 4 << 3;

/// A part that is a chunk of these words, in the shortest of the forms that may be.
fn put_chunk(words: &[u32], form: Form, to: &mut impl BufMut) {
    let half = form == Form::Half;
    let dense = if half { 2 } else { 4 } * words.len();
    if let Some(pairs) = (form != Form::Full).then(|| few(words, dense)).flatten() {
        let count = 1 + size(words.len());
        if pairs > 0 {
            begin(PAIRS, 8 * pairs, count, to);
        } else {
            // no field is as good as an empty one
            to.put_u8(PART);
            put_number(count, to);
        }
        for (i, word) in words.iter().enumerate().filter(|(_, w)| **w != 0) {
            to.put_u32_le(i as u32);
            to.put_u32_le(*word);
        }
        to.put_u8(COUNT);
        return put_number(words.len(), to);
    }
    begin(if half { HALF } else { FULL }, dense, 0, to);
    if half {
        let mut some = [0u8; 512];
        for words in words.chunks(some.len() / 2) {
            let out = some.chunks_exact_mut(2).zip(words);
            out.for_each(|(out, w)| out.copy_from_slice(&f16::from_f32(f32::from_bits(*w)).to_le_bytes()));
            to.put_slice(&some[..2 * words.len()]);
        }
    } else if cfg!(target_endian = "little") {
        to.put_slice(bytemuck::cast_slice(words));
    } else {
        words.iter().for_each(|w| to.put_u32_le(*w));
    }
}

/// The beginning of a part, and of the field in its chunk that has so many bytes; so many more follow.
fn begin(field: u8, len: usize, more: usize, to: &mut impl BufMut) {
    to.put_u8(PART);
    put_number(1 + size(len) + len + more, to);
    to.put_u8(field);
    put_number(len, to);
}

/// How many words are not 0, where so few pairs are shorter than this many bytes.
fn few(words: &[u32], dense: usize) -> Option<usize> {
    // some of them tell of most arrays that there is nothing to gain
    let some = words.iter().step_by((words.len() / 256) | 1);
    if some.len() >= 200 && 4 * some.clone().filter(|w| **w != 0).count() > 3 * some.len() {
        return None;
    }
    let mut found = 0;
    for some in words.chunks(4096) {
        found += some.iter().map(|w| usize::from(*w != 0)).sum::<usize>();
        if 8 * (found + 1) >= dense {
            return None;
        }
    }
    Some(found)
}

/// Bytes of a number.
fn size(n: usize) -> usize {
    prost::encoding::encoded_len_varint(n as u64)
}

fn put_number(n: usize, to: &mut impl BufMut) {
    prost::encoding::encode_varint(n as u64, to);
}

/// Sends `E` and receives `D`.
pub(crate) struct Wire<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Wire<E, D> {
    pub fn new() -> Self {
        Wire(PhantomData)
    }
}

impl<E: Outgoing, D: prost::Message + Default + 'static> Codec for Wire<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Sends<E>;
    type Decoder = Receives<D>;

    fn encoder(&mut self) -> Self::Encoder {
        Sends(PhantomData)
    }
    fn decoder(&mut self) -> Self::Decoder {
        Receives(PhantomData)
    }
}

pub(crate) struct Sends<E>(PhantomData<fn(E)>);

impl<E: Outgoing> Encoder for Sends<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.put(to)
    }
}

pub(crate) struct Receives<D>(PhantomData<fn() -> D>);

impl<D: prost::Message + Default> Decoder for Receives<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(from).map(Some).map_err(|e| Status::invalid_argument(format!("not a message of gradus: {e}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
