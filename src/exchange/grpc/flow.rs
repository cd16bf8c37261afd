//! The calls that carry arrays, in gRPC's own framing: words go to the transport from where they lie, and from its frames to where they shall lie. tonic's
//! streams copy them once more each way.

use super::codec::{MOST, PREFIX, framed, plain_words};
use super::fill::Fill;
use bytes::{Buf, Bytes};
use http_body::Frame;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Body as _;
use tonic::codegen::http::header::{CONTENT_TYPE, TE};
use tonic::codegen::http::{self, HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A body of these bytes.
struct Outflow<I> {
    parts: I,
    /// Goes after them.
    trailers: Option<HeaderMap>,
}

impl<I: Iterator<Item = Bytes> + Unpin> http_body::Body for Outflow<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.parts.next().map(Frame::data);
        Poll::Ready(next.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }
}

/// A call of these messages.
pub(super) fn request(path: &'static str, parts: impl Iterator<Item = Bytes> + Send + Unpin + 'static) -> http::Request<Body> {
    let mut request = http::Request::new(Body::new(Outflow { parts, trailers: None }));
    (*request.method_mut(), *request.version_mut()) = (http::Method::POST, http::Version::HTTP_2);
    *request.uri_mut() = http::Uri::from_static(path);
    request.headers_mut().extend([(TE, HeaderValue::from_static("trailers")), (CONTENT_TYPE, GRPC)]);
    request
}

/// An answer of these messages.
pub(crate) fn response(parts: impl Iterator<Item = Bytes> + Send + Unpin + 'static) -> http::Response<Body> {
    let well = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    let trailers = Some(HeaderMap::from_iter([well]));
    let mut response = http::Response::new(Body::new(Outflow { parts, trailers }));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// As [`response`], of one message.
pub(crate) fn response_of(message: &impl prost::Message) -> http::Response<Body> {
    // a `Vec` has room for any message
    response(std::iter::once(framed(|out| message.encode_raw(out))))
}

/// The messages of a body, as they come.
pub(crate) struct Inflow {
    body: Body,
    /// What is there of it.
    now: Bytes,
}

impl Inflow {
    pub fn new(body: Body) -> Self {
        Inflow { body, now: Bytes::new() }
    }

    /// The messages of an answer. Fails on one that says that it is none.
    pub(super) fn of(answer: http::Response<Body>) -> Result<Self, Status> {
        let (parts, body) = answer.into_parts();
        well(&parts.headers)?;
        if parts.status != http::StatusCode::OK {
            // whoever stands between
            return Err(Status::unavailable(format!("it is answered with {}", parts.status)));
        }
        Ok(Inflow::new(body))
    }

    /// The next message; `None` at the end.
    pub async fn message<M: prost::Message + Default>(&mut self, most: usize) -> Result<Option<M>, Status> {
        let Some(len) = self.begin(most).await? else { return Ok(None) };
        self.rest(&[], len).await.map(Some)
    }

    /// Puts the words of the next message, which is a [`Part`], where they shall lie; `false` at the end.
    pub async fn words(&mut self, fill: &mut Fill<'_>) -> Result<bool, Status> {
        let Some(len) = self.begin(MOST).await? else { return Ok(false) };
        let mut first = [0; 12];
        let first = &mut first[..len.min(12)];
        self.read(first).await?;
        match plain_words(first, len).filter(|(_, words)| words.is_multiple_of(4) && cfg!(target_endian = "little")) {
            Some((before, bytes)) => {
                let to: &mut [u8] = bytemuck::cast_slice_mut(fill.room(bytes / 4).map_err(Status::invalid_argument)?);
                // a short one has all of its words among the first bytes
                let (there, missing) = to.split_at_mut((first.len() - before).min(bytes));
                there.copy_from_slice(&first[before..]);
                self.read(missing).await?;
                fill.took(bytes / 4);
            }
            None => {
                let part: Part = self.rest(first, len).await?;
                let chunk = part.chunk.ok_or_else(|| Status::invalid_argument("a part without words"))?;
                fill.take(&chunk).map_err(Status::invalid_argument)?;
            }
        }
        Ok(true)
    }

    /// The length of the next message.
    async fn begin(&mut self, most: usize) -> Result<Option<usize>, Status> {
        if self.now.is_empty() && !self.more().await? {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX];
        self.read(&mut prefix).await?;
        let [compressed, len @ ..] = prefix;
        let len = u32::from_be_bytes(len) as usize;
        if compressed != 0 {
            return Err(Status::invalid_argument("a message that is compressed"));
        }
        if len > most {
            return Err(Status::out_of_range(format!("a message of {len} bytes, and {most} are the most")));
        }
        Ok(Some(len))
    }

    /// A message of which the first bytes are here.
    async fn rest<M: prost::Message + Default>(&mut self, first: &[u8], len: usize) -> Result<M, Status> {
        let mut bytes = vec![0; len];
        let (here, missing) = bytes.split_at_mut(first.len());
        here.copy_from_slice(first);
        self.read(missing).await?;
        M::decode(Bytes::from(bytes)).map_err(|e| Status::invalid_argument(format!("not a message of gradus: {e}")))
    }

    async fn read(&mut self, mut to: &mut [u8]) -> Result<(), Status> {
        while !to.is_empty() {
            if self.now.is_empty() && !self.more().await? {
                return Err(Status::data_loss("the stream has ended within a message"));
            }
            let n = to.len().min(self.now.len());
            let (filled, rest) = to.split_at_mut(n);
            filled.copy_from_slice(&self.now[..n]);
            self.now.advance(n);
            to = rest;
        }
        Ok(())
    }

    /// Waits for bytes; `false` at the end, which may say that something went wrong.
    async fn more(&mut self) -> Result<bool, Status> {
        loop {
            let Some(frame) = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await.transpose()? else { return Ok(false) };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.now = data;
                    return Ok(true);
                }
                Err(other) => other.trailers_ref().map_or(Ok(()), well)?,
            }
        }
    }
}

/// A part of either stream that has a chunk.
#[derive(Clone, PartialEq, prost::Message)]
struct Part {
    #[prost(message, optional, tag = "2")]
    chunk: Option<super::wire::Chunk>,
}

/// Fails where headers say that a call has failed.
fn well(headers: &HeaderMap) -> Result<(), Status> {
    Status::from_header_map(headers).filter(|s| s.code() != Code::Ok).map_or(Ok(()), Err)
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
