//! A worker's side of gRPC.

use super::block_on::block_on;
use super::codec::{Form, MOST, Outgoing, Parts, Stored, Wire, framed};
use super::fault::{cause, check_secret, final_error, nonsense};
use super::fill::Fill;
use super::flow::{self, Inflow};
use super::wire::{
    HelloMessage, Leaving, ModeAsked, ModeTold, PullPart, PushHead, Seat, Verdict, WelcomeMessage, Wish, number, path, reply,
};
use super::{ALIVE_EVERY, ALIVE_WITHIN, CONNECTION_WINDOW, FRAME, MOST_PLAIN, STREAM_WINDOW};
use crate::error::{Error, Faults, Result};
use crate::exchange::{Exchange, Hello, Mode, Pulled, Push, Reply, Shards, Stop, Welcome};
use bytes::Bytes;
use prost::Message;
use std::future::poll_fn;
use std::iter::once;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tonic::client::Grpc as Calls;
use tonic::codegen::Service;
use tonic::codegen::http::HeaderValue;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How a worker reaches its server.
///
/// ```
/// use gradus::exchange::Connect;
/// let connect = Connect::new().secret("0c81").deadline(30.0).half(true);
/// assert_eq!(connect.deadline, 30.0);
/// ```
#[derive(Clone)]
#[non_exhaustive]
#[must_use]
pub struct Connect {
    /// What the server wants to be told; nothing.
    pub secret: Option<String>,
    /// Seconds for which a server that cannot be reached is asked again; 120. That a server lets a worker wait does not count.
    pub deadline: f64,
    /// Whether gradients travel as f16, in half the bytes; not. Those that have no room there (65,520 and more) void the update under a loss scale, which becomes
    /// smaller by that, and are an error without one. Parameters stay f32: not in [`Mode::Local`].
    pub half: bool,
    /// Certificates (PEM) that the server's is signed by, for addresses with `https://`; those of the system.
    #[cfg(feature = "dist-tls")]
    pub authority: Option<String>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // not the secret
        write!(f, "Connect({} s{})", self.deadline, if self.secret.is_some() { ", with a secret" } else { "" })
    }
}

impl Default for Connect {
    fn default() -> Self {
        Self::new()
    }
}

impl Connect {
    /// Without a secret, for 120 seconds.
    pub fn new() -> Self {
        Connect {
            secret: None,
            deadline: 120.0,
            half: false,
            #[cfg(feature = "dist-tls")]
            authority: None,
        }
    }
    /// What the server wants to be told.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }
    /// Seconds for which a server that cannot be reached is asked again.
    pub fn deadline(mut self, seconds: f64) -> Self {
        self.deadline = seconds;
        self
    }
    /// Whether gradients travel as f16.
    pub fn half(mut self, half: bool) -> Self {
        self.half = half;
        self
    }
    /// Certificates (PEM) that the server's is signed by.
    #[cfg(feature = "dist-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "dist-tls")))]
    pub fn authority(mut self, pem: impl Into<String>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    fn check(&self, addr: &str) -> Result<Endpoint> {
        let mut f = Faults::default();
        check_secret(&mut f, self.secret.as_deref());
        f.check(self.deadline > 0.0 && self.deadline < 1e9, "deadline", self.deadline, "give seconds above 0");
        let secure = addr.starts_with("https://");
        f.check(!secure || cfg!(feature = "dist-tls"), "server", addr, "build gradus with the feature `dist-tls`, or leave `https://` out");
        let text = if addr.contains("://") { addr.to_string() } else { format!("http://{addr}") };
        let endpoint = Endpoint::from_shared(text).ok().filter(|e| e.uri().port().is_some());
        f.check(endpoint.is_some(), "server", format!("`{addr}`"), "give host and port, as 10.0.0.7:7007");
        f.finish()?;
        let Some(endpoint) = endpoint else { return Err(unusable(addr)) };
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .http2_keep_alive_interval(Duration::from_secs(ALIVE_EVERY))
            .keep_alive_timeout(Duration::from_secs(ALIVE_WITHIN));
        self.secured(endpoint, secure, addr)
    }

    #[cfg(feature = "dist-tls")]
    fn secured(&self, endpoint: Endpoint, secure: bool, addr: &str) -> Result<Endpoint> {
        use tonic::transport::{Certificate, ClientTlsConfig};
        if !secure {
            return Ok(endpoint);
        }
        let tls = match &self.authority {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint.tls_config(tls).map_err(|_| unusable(addr))
    }

    #[cfg(not(feature = "dist-tls"))]
    fn secured(&self, endpoint: Endpoint, _: bool, _: &str) -> Result<Endpoint> {
        Ok(endpoint)
    }
}

fn unusable(addr: &str) -> Error {
    let help = "give host and port, as 10.0.0.7:7007, and certificates in PEM";
    Error::Distributed { problem: "this address cannot be used".into(), at: format!("the server {addr}"), help: help.into() }
}

/// A link to a server over the network: [`connect`].
pub struct Grpc {
    addr: String,
    connect: Connect,
    secret: Option<MetadataValue<Ascii>>,
    channel: Channel,
    /// Where the transport works. None once it is over.
    runtime: Option<tokio::runtime::Runtime>,
    seat: Option<Seat>,
    mode: Mode,
    /// What is pushed, while nobody sends it.
    outgoing: Arc<Sent>,
}

/// Arrays on their way to the server.
#[derive(Default)]
struct Sent {
    values: Vec<u32>,
    buffers: Vec<u32>,
}

impl Stored for Sent {
    fn arrays(&self) -> [&[u32]; 2] {
        [&self.values, &self.buffers]
    }
}

impl std::fmt::Debug for Grpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grpc({}, {})", self.addr, self.mode)
    }
}

/// A link to the server at this address, `HOST:PORT`. Calls of it wait, and may be made from any thread, also from one of an asynchronous runtime,
/// which they keep.
///
/// A server that cannot be reached is asked again until the deadline; so is one that goes away later. Fails then, on a wrong secret, and on settings
/// that cannot be used.
///
/// ```no_run
/// use gradus::exchange::{Connect, Worker, connect};
/// # use gradus::prelude::*;
/// # let data: Dataset = todo!();
/// # let compile = || -> gradus::Result<Model> { todo!() };
/// let mut link = connect("10.0.0.7:7007", Connect::new().secret("0c81"))?;
/// compile()?.worker(&mut link, Worker::new(0, 4)).run(&data, &Fit::new().epochs(5))?;
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn connect(addr: &str, connect: Connect) -> Result<Grpc> {
    let endpoint = connect.check(addr)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .thread_name("gradus-exchange")
        .enable_all()
        .build()
        .map_err(|e| Error::Distributed {
            problem: format!("the system gives no thread for the network: {e}"),
            at: "the exchange".into(),
            help: "look at the limits of this process".into(),
        })?;
    let channel = {
        let _within = runtime.enter();
        endpoint.connect_lazy()
    };
    let secret = connect.secret.as_ref().and_then(|s| format!("Bearer {s}").parse().ok()).map(|mut s: MetadataValue<Ascii>| {
        s.set_sensitive(true);
        s
    });
    let (addr, outgoing) = (addr.to_string(), Arc::default());
    let mut link = Grpc { addr, connect, secret, channel, runtime: Some(runtime), seat: None, mode: Mode::Sync, outgoing };
    let mut f = Faults::default();
    let mode = link.mode()?;
    f.check(
        !(mode.is_local() && link.connect.half),
        "half",
        format!("with the mode `{mode}`"),
        "parameters are pushed there, as f32: leave it out",
    );
    f.finish()?;
    Ok(link)
}

/// A link to all servers of a run in shards at these addresses, in the order of the shards. Waits and fails as [`connect`] does, and on no address.
///
/// ```no_run
/// use gradus::exchange::{Connect, Worker, connect_shards};
/// # use gradus::prelude::*;
/// # let data: Dataset = todo!();
/// # let compile = || -> gradus::Result<Model> { todo!() };
/// let mut link = connect_shards(&["10.0.0.7:7007", "10.0.0.8:7007"], Connect::new())?;
/// compile()?.worker(&mut link, Worker::new(0, 4)).run(&data, &Fit::new().epochs(5))?;
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn connect_shards<A: AsRef<str>>(addrs: &[A], how: Connect) -> Result<Shards> {
    let links = addrs.iter().map(|addr| Ok(Box::new(connect(addr.as_ref(), how.clone())?) as Box<dyn Exchange>));
    Shards::new(links.collect::<Result<_>>()?)
}

impl Grpc {
    /// Asks until there is an answer that stays what it is, or the deadline is over.
    fn until<T>(&mut self, within: f64, mut ask: impl FnMut(&mut Self) -> Result<T, Status>) -> Result<T> {
        let mut failing: Option<Instant> = None;
        let mut pause = 0.05;
        loop {
            let asked = Instant::now();
            let status = match ask(self) {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            if let Some(e) = final_error(&status, &self.addr) {
                return Err(e);
            }
            if asked.elapsed().as_secs_f64() > 5.0 {
                // it was there meanwhile, and let this worker wait
                (failing, pause) = (None, 0.05);
            }
            let since = *failing.get_or_insert_with(Instant::now);
            if since.elapsed().as_secs_f64() + pause > within {
                return Err(Error::Distributed {
                    problem: format!("the server cannot be reached: {}", cause(&status)),
                    at: format!("the server {}, asked for {within} seconds", self.addr),
                    help: "see whether it runs and this machine can reach it; give a longer deadline where it is started again".into(),
                });
            }
            tracing::debug!(server = self.addr, "asking again: {}", cause(&status));
            std::thread::sleep(Duration::from_secs_f64(pause));
            pause = f64::min(pause * 2.0, 2.0);
        }
    }

    /// A call of one message each way.
    fn ask<E: Outgoing + Sync, D: prost::Message + Default + 'static>(&mut self, path: &'static str, message: E) -> Result<D, Status> {
        let mut request = Request::new(message);
        if let Some(secret) = &self.secret {
            request.metadata_mut().insert("authorization", secret.clone());
        }
        let mut calls = Calls::new(self.channel.clone()).max_decoding_message_size(MOST_PLAIN);
        let answer = block_on(async {
            calls.ready().await.map_err(not_ready)?;
            calls.unary(request, PathAndQuery::from_static(path), Wire::new()).await
        })?;
        Ok(answer.into_inner())
    }

    /// A call that carries arrays. Gives the answer.
    async fn call(&mut self, path: &'static str, parts: impl Iterator<Item = Bytes> + Send + Unpin + 'static) -> Result<Inflow, Status> {
        let mut request = flow::request(path, parts);
        if let Some(mut secret) = self.secret.as_ref().and_then(|s| HeaderValue::from_bytes(s.as_encoded_bytes()).ok()) {
            secret.set_sensitive(true);
            request.headers_mut().insert("authorization", secret);
        }
        poll_fn(|cx| self.channel.poll_ready(cx)).await.map_err(not_ready)?;
        Inflow::of(self.channel.call(request).await.map_err(|e| Status::from_error(Box::new(e)))?)
    }

    fn seat(&self) -> Seat {
        // before a join it has nobody's place: the server refuses it
        self.seat.unwrap_or(Seat { rank: u64::MAX, ..Seat::default() })
    }

    fn pulled(&mut self, clock: u64, into: &mut Pulled, stop: &Stop) -> Result<u32, Status> {
        let wish = Wish { seat: Some(self.seat()), clock };
        let pulled = async {
            let mut answer = self.call(path::PULL, once(framed(|out| wish.encode_raw(out)))).await?;
            let head = answer.message::<PullPart>(MOST).await?.ok_or_else(ended)?;
            let head = head.head.ok_or_else(|| Status::invalid_argument("parameters without a head"))?;
            (into.update, into.over, into.scale) = (head.update, head.over, head.scale.map(Into::into));
            let Pulled { parameters, buffers, .. } = into;
            let mut fill = Fill::new([parameters, buffers], [head.parameters as usize, head.buffers as usize]);
            while answer.words(&mut fill).await? {}
            if fill.is_full() { Ok(head.reply) } else { Err(ended()) }
        };
        block_on(unless(stop, pulled))
    }

    fn pushed(&mut self, head: PushHead) -> Result<u32, Status> {
        let form = match (self.mode.is_local(), self.connect.half) {
            (true, _) => Form::Full,
            (false, true) => Form::Half,
            (false, false) => Form::Short,
        };
        let of = (head.values + head.buffers > 0).then(|| self.outgoing.clone());
        block_on(async {
            let mut answer = self.call(path::PUSH, Parts::new(&head, of, form)).await?;
            let verdict: Verdict = answer.message(MOST_PLAIN).await?.ok_or_else(ended)?;
            Ok(verdict.reply)
        })
    }

    fn left(&mut self, seat: Seat, done: bool) -> Result<Reply> {
        // a worker that fails does not wait for long
        let within = if done { self.connect.deadline } else { self.connect.deadline.min(2.0) };
        let verdict: Verdict = self.until(within, |link| link.ask(path::LEAVE, Leaving { seat: Some(seat), done }))?;
        reply(verdict.reply)
    }
}

/// A call, dropped where it is to stop: as if the server had said to join again.
async fn unless(stop: &Stop, call: impl Future<Output = Result<u32, Status>>) -> Result<u32, Status> {
    let mut call = pin!(call);
    poll_fn(|cx| if stop.poll(cx) { Poll::Ready(Ok(number(Reply::Rejoin))) } else { call.as_mut().poll(cx) }).await
}

/// From here on the nearest f16 is infinite.
const BEYOND_F16: f32 = 65_520.0;

fn beyond_f16(rank: u64) -> Error {
    Error::Distributed {
        problem: "there are gradients of 65,520 and more, which f16 cannot hold".into(),
        at: format!("worker {rank}"),
        help:
            "send them as f32 (without `Connect::half`), clip them, lower the rate, or train under a loss scale, which then becomes smaller"
                .into(),
    }
}

fn ended() -> Status {
    Status::unavailable("the answer has ended early")
}

fn not_ready(e: tonic::transport::Error) -> Status {
    let mut status = Status::new(Code::Unavailable, "no connection");
    status.set_source(Arc::new(e));
    status
}

impl Exchange for Grpc {
    fn mode(&mut self) -> Result<Mode> {
        let told: ModeTold = self.until(self.connect.deadline, |link| link.ask(path::MODE, ModeAsked {}))?;
        self.mode = told
            .mode
            .parse()
            .map_err(|_| nonsense(&format!("its mode is `{}`, and it is gradus {}", told.mode, told.version), &self.addr))?;
        Ok(self.mode)
    }

    fn join(&mut self, hello: &Hello) -> Result<Welcome> {
        let told: WelcomeMessage = self.until(self.connect.deadline, |link| link.ask(path::JOIN, HelloMessage::from(hello)))?;
        self.seat = Some(Seat { instance: told.instance, rank: hello.rank as u64, incarnation: told.incarnation });
        let welcome = told.welcome()?;
        self.mode = welcome.mode;
        Ok(welcome)
    }

    fn pull(&mut self, clock: u64, into: &mut Pulled) -> Result<Reply> {
        self.pull_unless(clock, into, &Stop::default())
    }

    fn pull_unless(&mut self, clock: u64, into: &mut Pulled, stop: &Stop) -> Result<Reply> {
        reply(self.until(self.connect.deadline, |link| link.pulled(clock, into, stop))?)
    }

    fn carries(&self, values: &[u32]) -> bool {
        !(self.connect.half && values.iter().any(|w| f32::from_bits(*w).abs() >= BEYOND_F16))
    }

    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> Result<Reply> {
        if !self.carries(values) {
            // all workers shall know whose they are
            let told = self.push(&Push { finite: false, ..*push }, &[], &[]);
            return if push.scale.is_some() { told } else { Err(beyond_f16(self.seat().rank)) };
        }
        let head = PushHead::new(push, self.seat(), values.len(), buffers.len());
        let sent = match Arc::get_mut(&mut self.outgoing) {
            Some(sent) => sent,
            None => {
                // a call that has failed holds the last still
                self.outgoing = Arc::default();
                Arc::get_mut(&mut self.outgoing).ok_or_else(|| nonsense("an array is held", &self.addr))?
            }
        };
        for (to, from) in [(&mut sent.values, values), (&mut sent.buffers, buffers)] {
            to.clear();
            to.extend_from_slice(from);
        }
        reply(self.until(self.connect.deadline, |link| link.pushed(head))?)
    }

    fn leave(&mut self, done: bool) -> Result<Reply> {
        let Some(seat) = self.seat.take() else { return Ok(Reply::Taken) };
        self.left(seat, done)
    }
}

impl Drop for Grpc {
    fn drop(&mut self) {
        let _ = self.leave(false);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
