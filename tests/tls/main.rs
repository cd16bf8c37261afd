//! TLS between server and workers (feature `dist-tls`). `make.sh` beside this has made the certificates.

#[path = "../common/mod.rs"]
mod common;

use common::need::Suite;
use gradus::exchange::{Connect, Worker, connect};
use gradus::prelude::*;
use gradus::server::{Rules, Serve, Server, serve};
use std::time::{Duration, Instant};

static SUITE: Suite = Suite::new("tls", 2);

const AUTHORITY: &str = include_str!("authority.pem");
const OTHER: &str = include_str!("other.pem");
const CERTIFICATE: &str = include_str!("server.pem");
const KEY: &str = include_str!("server.key");

fn model() -> Model {
    let settings = Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu_threads(1));
    Sequential::new().add(Linear::new(1)).compile(settings).unwrap()
}

/// A worker that knows the authority trains; one that knows another, or none, or speaks without TLS is told so.
#[test]
fn only_whom_the_authority_has_signed() {
    let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16]).unwrap(), HostTensor::f32([8, 1], vec![1.0; 8]).unwrap()).unwrap();
    let server = Server::new(model(), Rules::new(1)).unwrap();
    let serving = serve(server.clone(), Serve::new("0.0.0.0:0").secret("0c81").identity(CERTIFICATE, KEY)).unwrap();
    let at = |host: &str| format!("https://{host}:{}", serving.addr().port());
    let how = || Connect::new().secret("0c81").deadline(60.0);
    let began = Instant::now();
    let refused = |addr: &str, how: Connect| connect(addr, how).unwrap_err().to_string();
    let e = refused(&at("127.0.0.1"), how().authority(OTHER));
    assert!(e.contains("certificate is not trusted") && e.contains("UnknownIssuer") && e.contains("Connect::authority"), "{e}");
    // signed by nobody whom the system knows
    assert!(refused(&at("127.0.0.1"), how()).contains("certificate"));
    // made for 127.0.0.1 and localhost, while the server listens on all of this machine
    let e = refused(&at("127.0.0.2"), how().authority(AUTHORITY));
    assert!(e.contains("certificate is not trusted"), "{e}");
    assert!(began.elapsed() < Duration::from_secs(20), "what stays as it is was asked again");
    let e = refused(&format!("127.0.0.1:{}", serving.addr().port()), how().deadline(0.3));
    assert!(e.contains("cannot be reached"), "{e}");
    let e = refused(&at("127.0.0.1"), how().secret("wrong").authority(AUTHORITY));
    assert!(e.contains("the same secret"), "{e}");
    for host in ["127.0.0.1", "localhost"] {
        connect(&at(host), how().authority(AUTHORITY)).unwrap();
    }
    let mut link = connect(&at("127.0.0.1"), how().authority(AUTHORITY)).unwrap();
    model().worker(&mut link, Worker::new(0, 1)).run(&data, &Fit::new().epochs(2).batch_size(4)).unwrap();
    serving.wait().unwrap();
    assert_eq!(server.standing().updates, 4);
    SUITE.ran(1);
}

/// What is no certificate is refused where it is given.
#[test]
fn what_is_no_certificate() {
    let server = Server::new(model(), Rules::new(1)).unwrap();
    for (certificate, key) in [("", KEY), (CERTIFICATE, ""), ("nothing", "nothing"), (CERTIFICATE, CERTIFICATE)] {
        let e = serve(server.clone(), Serve::new("127.0.0.1:0").identity(certificate, key)).unwrap_err();
        assert!(e.code() == "distributed" && e.to_string().contains("certificate"), "{e}");
    }
    SUITE.ran(1);
}
