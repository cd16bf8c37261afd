//! What the network costs a distributed run, and what two workers gain.
//!
//! ```text
//! cargo bench --features dist --bench exchange -- [--rounds 60] [--rows 4096] [--repeats 5]
//! ```
//!
//! First push and pull of 1,001,000 parameters over loopback, beside a raw tonic stream of the same bytes, both with server and client in this process, taking
//! turns; a push of ours includes the server's update (SGD). Then an epoch of 784-1024-1024-10 (SGD, batch 128) by two workers of one thread each against
//! one such worker alone, in memory and over loopback, in step and as local SGD; all repeats take turns. `two apart` is the bound that this machine
//! sets: two models, each on the rows of one worker, that have nothing to do with each other.

use bytes::{Buf, BufMut, Bytes};
use gradus::exchange::{Connect, Exchange, Hello, Mode, Pulled, Push, Reply, Welcome, Worker, connect};
use gradus::prelude::*;
use gradus::server::{Rules, Serve, Server, serve};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::{self, Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

const USAGE: &str = "usage: cargo bench --features dist --bench exchange -- [--rounds N (60)] [--rows N (4096)] [--repeats N (5)]";
const CHUNK: usize = 1 << 20;

struct Options {
    rounds: usize,
    rows: usize,
    repeats: usize,
}

fn options() -> Result<Options, String> {
    let mut o = Options { rounds: 60, rows: 4096, repeats: 5 };
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(flag) = args.next() {
        let value = args.next().and_then(|v| v.parse().ok()).filter(|n| *n > 0).ok_or_else(|| format!("{flag}: a number is missing"))?;
        match flag.as_str() {
            "--rounds" => o.rounds = value,
            "--rows" => o.rows = value,
            "--repeats" => o.repeats = value,
            _ => return Err(format!("{flag}: unknown")),
        }
    }
    Ok(o)
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

// --- a raw tonic stream ----------------------------------------------------------------------------------------------------------------

struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

fn chunks(bytes: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    let bytes = bytes.clone();
    (0..bytes.len()).step_by(CHUNK).map(move |from| bytes.slice(from..(from + CHUNK).min(bytes.len())))
}

#[derive(Clone)]
struct Echo(Bytes);

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Take;
impl tonic::server::ClientStreamingService<Bytes> for Take {
    type Response = Bytes;
    type Future = Later<Result<Response<Bytes>, Status>>;
    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let mut parts = request.into_inner();
        Box::pin(async move {
            while parts.message().await?.is_some() {}
            Ok(Response::new(Bytes::from_static(b"x")))
        })
    }
}

struct Give(Bytes);
impl tonic::server::ServerStreamingService<Bytes> for Give {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = Later<Result<Response<Self::ResponseStream>, Status>>;
    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let parts = tokio_stream::iter(chunks(&self.0)).map(Ok);
        Box::pin(async move { Ok(Response::new(Box::pin(parts) as Self::ResponseStream)) })
    }
}

impl tonic::codegen::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Later<Result<Self::Response, Infallible>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let bytes = self.0.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/raw/take" => tonic::server::Grpc::new(Raw).client_streaming(Take, request).await,
                _ => tonic::server::Grpc::new(Raw).server_streaming(Give(bytes), request).await,
            })
        })
    }
}

/// A client and a server, with threads as ours have.
struct Rawly {
    runtimes: [tokio::runtime::Runtime; 2],
    calls: tonic::client::Grpc<tonic::transport::Channel>,
    bytes: Bytes,
}

impl Rawly {
    fn new(bytes: Bytes) -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = |threads| tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let (server, client) = (runtime(2)?, runtime(1)?);
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let incoming = {
            let _within = server.enter();
            tonic::transport::server::TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true))
        };
        let transport = tonic::transport::Server::builder()
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(32 << 20)
            .max_frame_size(1 << 20);
        let echo = Echo(bytes.clone());
        server.spawn(async move { transport.serve_with_incoming(echo, incoming).await });
        let channel = {
            let _within = client.enter();
            tonic::transport::Endpoint::from_shared(format!("http://{addr}"))?
                .tcp_nodelay(true)
                .initial_stream_window_size(8 << 20)
                .initial_connection_window_size(32 << 20)
                .max_frame_size(1 << 20)
                .connect_lazy()
        };
        Ok(Rawly { runtimes: [server, client], calls: tonic::client::Grpc::new(channel), bytes })
    }

    /// Pushes and pulls. Gives the seconds of each.
    fn round(&mut self) -> Result<[f64; 2], Status> {
        let (calls, bytes) = (&mut self.calls, self.bytes.clone());
        self.runtimes[1].block_on(async {
            let began = Instant::now();
            calls.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
            let parts = Request::new(tokio_stream::iter(chunks(&bytes)));
            calls.client_streaming(parts, PathAndQuery::from_static("/raw/take"), Raw).await?;
            let between = Instant::now();
            calls.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
            let wish = Request::new(Bytes::from_static(b"x"));
            let mut parts = calls.server_streaming(wish, PathAndQuery::from_static("/raw/give"), Raw).await?.into_inner();
            let mut got = 0;
            while let Some(part) = parts.message().await? {
                got += part.len();
            }
            assert_eq!(got, bytes.len());
            Ok([(between - began).as_secs_f64(), between.elapsed().as_secs_f64()])
        })
    }
}

// --- ours beside it --------------------------------------------------------------------------------------------------------------------

/// Times what goes through it, and the raw stream after each round.
struct Timed<E> {
    link: E,
    raw: Rawly,
    pushed: f64,
    /// Seconds of push and pull: ours, then raw.
    seen: Arc<Mutex<Vec<[f64; 4]>>>,
}

impl<E: Exchange> Exchange for Timed<E> {
    fn mode(&mut self) -> gradus::Result<Mode> {
        self.link.mode()
    }
    fn join(&mut self, hello: &Hello) -> gradus::Result<Welcome> {
        self.link.join(hello)
    }
    fn pull(&mut self, clock: u64, into: &mut Pulled) -> gradus::Result<Reply> {
        let began = Instant::now();
        let reply = self.link.pull(clock, into)?;
        let pulled = began.elapsed().as_secs_f64();
        if clock > 0 {
            let [push, pull] = self.raw.round().map_err(gradus::Error::callback)?;
            self.seen.lock().unwrap().push([self.pushed, pulled, push, pull]);
        }
        Ok(reply)
    }
    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> gradus::Result<Reply> {
        let began = Instant::now();
        let reply = self.link.push(push, values, buffers)?;
        self.pushed = began.elapsed().as_secs_f64();
        Ok(reply)
    }
    fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
        self.link.leave(done)
    }
}

fn random(rows: usize, inputs: usize, classes: u32) -> gradus::Result<Dataset> {
    let x = (0..rows * inputs).map(|i| (i as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32).collect();
    let y = (0..rows).map(|i| (i as u32).wrapping_mul(40_503) % classes).collect();
    Dataset::new(gradus::tensor::HostTensor::f32([rows, inputs], x)?, gradus::tensor::HostTensor::u32([rows], y)?)
}

fn transport(o: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let compile = || {
        let settings = Compile::new(Sgd::new(1e-6), CrossEntropy::new()).input([1000]).device(Device::cpu_threads(1));
        Sequential::new().add(Linear::new(1000)).compile(settings)
    };
    let server = Server::new(compile()?, Rules::new(1))?;
    let serving = serve(server, Serve::new("127.0.0.1:0"))?;
    let link = connect(&serving.addr().to_string(), Connect::new())?;
    let raw = Rawly::new(Bytes::from(vec![1u8; 4 * 1_001_000]))?;
    let seen = Arc::new(Mutex::new(vec![]));
    let mut link = Timed { link, raw, pushed: 0.0, seen: seen.clone() };
    let rows = random(o.rounds + 5, 1000, 1000)?;
    let fit = Fit::new().batch_size(1);
    compile()?.worker(&mut link, Worker::new(0, 1)).run(&rows, &fit)?;
    // the same without a network: what the server itself needs
    let within = Arc::new(Mutex::new(vec![]));
    let server = Server::new(compile()?, Rules::new(1))?;
    let raw = Rawly::new(Bytes::from_static(b"x"))?;
    let mut link = Timed { link: server.link(), raw, pushed: 0.0, seen: within.clone() };
    compile()?.worker(&mut link, Worker::new(0, 1)).run(&rows, &fit)?;
    let within = median(&within.lock().unwrap()[4..].iter().map(|s| 1e3 * (s[0] + s[1])).collect::<Vec<_>>());
    let seen = &seen.lock().unwrap()[4..];
    let column = |f: &dyn Fn(&[f64; 4]) -> f64| 1e3 * median(&seen.iter().map(f).collect::<Vec<_>>());
    let (ours, raw) = (column(&|s| s[0] + s[1]), column(&|s| s[2] + s[3]));
    println!("1,001,000 parameters over loopback, medians of {} rounds in ms", seen.len());
    println!("| | push | pull | both |\n| --- | ---: | ---: | ---: |");
    println!("| gradus, with the update | {:.2} | {:.2} | {ours:.2} |", column(&|s| s[0]), column(&|s| s[1]));
    println!("| raw tonic stream | {:.2} | {:.2} | {raw:.2} |", column(&|s| s[2]), column(&|s| s[3]));
    println!("| in memory, with the update | | | {within:.2} |");
    println!("speed of the raw stream: {:.2}; {:.2} without what the server needs in memory, too\n", raw / ours, raw / (ours - within));
    Ok(())
}

// --- two workers -----------------------------------------------------------------------------------------------------------------------

fn wide() -> gradus::Result<Model> {
    let settings = Compile::new(Sgd::new(0.05), CrossEntropy::new()).input([784]).seed(1).device(Device::cpu_threads(1));
    Sequential::new().add(Linear::new(1024)).add(Relu).add(Linear::new(1024)).add(Relu).add(Linear::new(10)).compile(settings)
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Alone,
    Apart,
    Memory(Mode),
    Loopback(Mode),
}

/// Seconds of an epoch: of the second of two, so that nothing is planned in it.
fn epoch(way: Way, data: &Dataset) -> gradus::Result<f64> {
    let fit = Fit::new().epochs(2).batch_size(128).verbose(0);
    let timed = |model: &mut Model, data: &Dataset| -> gradus::Result<f64> {
        model.fit(data, fit.clone().epochs(1))?;
        let began = Instant::now();
        model.fit(data, fit.clone().epochs(1))?;
        Ok(began.elapsed().as_secs_f64())
    };
    let mode = match way {
        Way::Alone => return timed(&mut wide()?, data),
        Way::Apart => {
            let half = data.select(0..data.len() / 2)?;
            let both = std::thread::scope(|scope| {
                let two = [0, 1].map(|_| scope.spawn(|| timed(&mut wide()?, &half)));
                two.map(|t| t.join().expect("a worker"))
            });
            let [a, b] = both;
            return Ok(f64::max(a?, b?));
        }
        Way::Memory(mode) | Way::Loopback(mode) => mode,
    };
    let server = Server::new(wide()?, Rules::new(2).mode(mode))?;
    let ends = Arc::new(Mutex::new(vec![]));
    let noted = ends.clone();
    server.watch(move |event| {
        if let gradus::server::Event::Epoch { .. } = event {
            noted.lock().unwrap().push(Instant::now());
        }
        Ok(gradus::server::Flow::Go)
    });
    let serving = serve(server.clone(), Serve::new("127.0.0.1:0"))?;
    let addr = serving.addr().to_string();
    let work = |rank: usize| -> gradus::Result<()> {
        let mut link: Box<dyn Exchange> = match way {
            Way::Loopback(_) => Box::new(connect(&addr, Connect::new())?),
            _ => Box::new(server.link()),
        };
        wide()?.worker(&mut *link, Worker::new(rank, 2)).run(data, &fit).map(drop)
    };
    let work = &work;
    std::thread::scope(|scope| {
        let two = [0, 1].map(|rank| scope.spawn(move || work(rank)));
        two.into_iter().try_for_each(|t| t.join().expect("a worker"))
    })?;
    let ends = ends.lock().unwrap();
    Ok((ends[1] - ends[0]).as_secs_f64())
}

fn speed(o: &Options) -> gradus::Result<()> {
    let data = random(o.rows, 784, 10)?;
    let local = Mode::Local { every: 16 };
    let ways = [
        ("one worker alone", Way::Alone),
        ("two apart", Way::Apart),
        ("local:16, in memory", Way::Memory(local)),
        ("local:16, over loopback", Way::Loopback(local)),
        ("sync, in memory", Way::Memory(Mode::Sync)),
        ("sync, over loopback", Way::Loopback(Mode::Sync)),
    ];
    let mut times = vec![vec![]; ways.len()];
    for _ in 0..o.repeats {
        for (times, (_, way)) in times.iter_mut().zip(ways) {
            times.push(epoch(way, &data)?);
        }
    }
    let alone = median(&times[0]);
    println!("784-1024-1024-10, SGD, {} rows, batch 128, one thread a worker, {} repeats", o.rows, o.repeats);
    println!("| | median s an epoch | least | most | speed |\n| --- | ---: | ---: | ---: | ---: |");
    for ((name, _), times) in ways.iter().zip(&times) {
        let (least, most) = times.iter().fold((f64::MAX, 0.0), |(l, m): (f64, f64), t| (l.min(*t), m.max(*t)));
        println!("| {name} | {:.3} | {least:.3} | {most:.3} | {:.2} |", median(times), alone / median(times));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let o = options().map_err(|e| format!("{e}\n{USAGE}"))?;
    transport(&o)?;
    Ok(speed(&o)?)
}
