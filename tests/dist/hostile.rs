//! Those who do not belong there: other models, versions and secrets, and garbage.

use super::*;
use bytes::{Buf, BufMut};
use std::io::{Read, Write};
use std::net::TcpStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// What does not fit is told in one clean line.
#[test]
fn another_model_version_or_secret() {
    let folder = Folder::new();
    let server = Server::new(model(&Device::cpu()), Rules::new(2)).unwrap();
    let serving = serve(server.clone(), Serve::new("127.0.0.1:0").secret("right")).unwrap();
    let addr = serving.addr().to_string();
    for connect_with in [Connect::new(), Connect::new().secret("wrong"), Connect::new().secret("right and more".replace(' ', "."))] {
        let e = connect(&addr, connect_with).unwrap_err();
        assert!(e.code() == "distributed" && e.to_string().contains("the same secret"), "{e}");
    }
    let mut link = connect(&addr, Connect::new().secret("right")).unwrap();
    let hello = Hello {
        rank: 0,
        world: 2,
        version: env!("CARGO_PKG_VERSION").into(),
        model: "0123".into(),
        machine: String::new(),
        step: String::new(),
        untouched: vec![],
        rows: 8,
        batch_size: 8,
        shuffle: true,
        batches: 1,
        own_rows: false,
        epochs: 1,
        shard: Default::default(),
    };
    let told = |link: &mut gradus::exchange::Grpc, hello: Hello| link.join(&hello).unwrap_err().to_string();
    let e = told(&mut link, hello.clone());
    assert!(e.contains("fingerprint 0123") && e.contains("same recipe"), "{e}");
    assert!(told(&mut link, Hello { version: "0.0.1".into(), ..hello }).contains("the worker is gradus 0.0.1"));
    // nobody has joined
    let e = link.pull(0, &mut Pulled::default()).unwrap_err();
    assert!(e.to_string().contains("somebody who has not joined"), "{e}");
    // as processes
    std::fs::write(folder.at("wrong"), "wrong").unwrap();
    std::fs::write(folder.at("right"), "right").unwrap();
    let (well, said) = folder.worker(&addr, 0, 2, &["--secret-file", "wrong"]).ends();
    assert!(!well && said.starts_with("error: the server refuses this secret"), "{said}");
    let (well, said) = folder.worker(&addr, 2, 2, &["--secret-file", "right"]).ends();
    assert!(!well && said.starts_with("error: ") && said.contains("rank") && !said.contains("panicked"), "{said}");
    let (well, said) = folder.worker(&addr, 0, 3, &["--secret-file", "right"]).ends();
    assert!(!well && said.starts_with("error: the server is for 2 workers"), "{said}");
    assert!(serving.wait_for(0.0).is_none());
    SUITE.ran(1);
}

/// Nobody there: an error once the deadline is over.
#[test]
fn nobody_listens() {
    let addr = processes::free_port();
    let began = std::time::Instant::now();
    let e = connect(&addr, Connect::new().deadline(0.5)).unwrap_err();
    assert!(e.to_string().contains("cannot be reached") && began.elapsed() < Duration::from_secs(10), "{e}");
    for addr in ["", "nowhere", "http://", "\u{7f}:1", "127.0.0.1:99999"] {
        assert_eq!(connect(addr, Connect::new()).unwrap_err().code(), "invalid-config", "{addr}");
    }
    assert_eq!(connect(&addr, Connect::new().secret("a b")).unwrap_err().code(), "invalid-config");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new(model(&Device::cpu()), Rules::new(1)).unwrap();
    let e = serve(server, Serve::new(taken.local_addr().unwrap().to_string())).unwrap_err();
    assert!(e.to_string().contains("the address cannot be had"), "{e}");
    SUITE.ran(1);
}

/// Resident memory of a process, in MiB.
fn resident(process: i32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
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
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// The codes of calls with such messages.
fn calls(addr: &str, call: &'static str, all: Vec<Vec<Vec<u8>>>) -> Vec<tonic::Code> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
        let mut codes = vec![];
        for messages in all {
            let mut calls = tonic::client::Grpc::new(channel.clone());
            calls.ready().await.unwrap();
            let path = tonic::codegen::http::uri::PathAndQuery::from_static(call);
            let answer = calls.client_streaming(tonic::Request::new(tokio_stream::iter(messages)), path, Raw).await;
            codes.push(answer.map_or_else(|e| e.code(), |_| tonic::Code::Ok));
        }
        codes
    })
}

/// Garbage costs a clean refusal and no memory; afterwards the run comes to its end.
#[test]
fn garbage_on_the_port() {
    let folder = Folder::new();
    let ps = folder.ps(&["--workers", "1"]);
    let before = resident(ps.process.id());
    let noise: Vec<u8> = (0..1 << 16).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let texts = [noise.clone(), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![22, 3, 1, 2, 0, 1, 0], [preface, noise.clone()].concat(), vec![]];
    for text in texts {
        let mut stream = TcpStream::connect(&ps.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let _ = stream.write_all(&text);
        let mut answer = vec![];
        let _ = stream.take(1 << 16).read_to_end(&mut answer);
    }
    // connections that say nothing
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(&ps.addr).unwrap()).collect();
    // a push of so many words, announced: fields 2 (clock), 9 (values), 4 (rows), 7 (finite)
    let head = |seat: &[u8], values: u64| {
        let mut h = vec![];
        h.extend_from_slice(seat);
        h.extend_from_slice(&[4 << 3, 8, 7 << 3, 1, 9 << 3]);
        prost::encoding::encode_varint(values, &mut h);
        let mut m = vec![10];
        prost::encoding::encode_varint(h.len() as u64, &mut m);
        [m, h].concat()
    };
    let seat = [10, 0];
    let push = "/gradus.v1.Exchange/Push";
    let codes = calls(
        &ps.addr,
        push,
        vec![vec![noise.clone()], vec![], vec![head(&[], 5)], vec![head(&seat, 1 << 60)], vec![head(&seat, 5); 3], vec![vec![0; 8 << 20]]],
    );
    assert!(codes.iter().all(|c| *c != tonic::Code::Ok && *c != tonic::Code::Unavailable), "{codes:?}");
    for call in ["/gradus.v1.Exchange/Mode", "/gradus.v1.Exchange/Join", "/gradus.v1.Exchange/Leave", "/no/such"] {
        let codes = calls(&ps.addr, call, vec![vec![noise.clone()], vec![vec![255; 40]], vec![vec![0; 2 << 20]]]);
        assert!(codes.iter().all(|c| *c != tonic::Code::Ok), "{call}: {codes:?}");
    }
    let after = resident(ps.process.id());
    assert!(after < before + 48, "{before} MiB before, {after} MiB after");
    drop(silent);
    folder.worker(&ps.addr, 0, 1, &[]).ends_well();
    ps.process.ends_well();
    SUITE.ran(1);
}
