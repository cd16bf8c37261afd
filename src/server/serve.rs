//! A server on the network.

mod bell;
mod door;
mod service;

use super::shared::Server;
use crate::error::{Error, Faults, Result};
use crate::exchange::grpc::{ALIVE_EVERY, ALIVE_WITHIN, CONNECTION_WINDOW, FRAME, STREAM_WINDOW, check_secret};
use bell::Bell;
use door::Door;
use service::Service;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_stream::StreamExt;

/// Where a server listens, and what it wants to be told.
///
/// ```
/// use gradus::server::Serve;
/// let serve = Serve::new("127.0.0.1:0").secret("0c81");
/// assert_eq!(serve.addr, "127.0.0.1:0");
/// ```
#[derive(Clone)]
#[non_exhaustive]
#[must_use]
pub struct Serve {
    /// Address and port; port 0 takes one that is free.
    pub addr: String,
    /// What workers must tell; nothing.
    pub secret: Option<String>,
    /// Certificate and private key (PEM) for TLS; without.
    #[cfg(feature = "dist-tls")]
    pub identity: Option<(String, String)>,
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // not the secret
        write!(f, "Serve({}{})", self.addr, if self.secret.is_some() { ", with a secret" } else { "" })
    }
}

impl Serve {
    /// At this address, for whoever comes: give a [`secret`](Serve::secret) where others can reach it.
    pub fn new(addr: impl Into<String>) -> Self {
        Serve {
            addr: addr.into(),
            secret: None,
            #[cfg(feature = "dist-tls")]
            identity: None,
        }
    }
    /// What workers must tell.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }
    /// Certificate and private key, both PEM, for TLS.
    #[cfg(feature = "dist-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "dist-tls")))]
    pub fn identity(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    fn transport(&self) -> Result<tonic::transport::Server> {
        let transport = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(8)
            .http2_max_header_list_size(16 << 10)
            .http2_keepalive_interval(Some(Duration::from_secs(ALIVE_EVERY)))
            .http2_keepalive_timeout(Some(Duration::from_secs(ALIVE_WITHIN)));
        self.secured(transport)
    }

    #[cfg(feature = "dist-tls")]
    fn secured(&self, transport: tonic::transport::Server) -> Result<tonic::transport::Server> {
        use tonic::transport::{Identity, ServerTlsConfig};
        let Some((certificate, key)) = &self.identity else { return Ok(transport) };
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        transport.tls_config(tls).map_err(|e| network("certificate and key cannot be used", &e, &self.addr))
    }

    #[cfg(not(feature = "dist-tls"))]
    fn secured(&self, transport: tonic::transport::Server) -> Result<tonic::transport::Server> {
        Ok(transport)
    }
}

/// Connections beside two of each worker that may be there without having told the secret, and how long each has for it.
const STRANGERS: usize = 64;
const TO_TELL: Duration = Duration::from_secs(10);

/// A server at work: [`serve`]. Dropped it stops.
pub struct Serving {
    server: Server,
    addr: SocketAddr,
    bell: Arc<Bell>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    stopped: Option<oneshot::Receiver<()>>,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Serving({:?} at {})", self.server, self.addr)
    }
}

/// Lets workers on the network take part in a server's run, from threads of its own: two for the network, one that answers those that wait, and some
/// for what computes. Many may wait at once: a worker that waits holds no thread.
///
/// Fails where the address cannot be had.
///
/// ```
/// use gradus::exchange::{Connect, Worker, connect};
/// use gradus::prelude::*;
/// use gradus::server::{Rules, Serve, Server, serve};
/// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
/// let compile = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
/// let server = Server::new(compile()?, Rules::new(1))?;
/// let serving = serve(server.clone(), Serve::new("127.0.0.1:0").secret("0c81"))?;
/// // in another process:
/// let mut link = connect(&serving.addr().to_string(), Connect::new().secret("0c81"))?;
/// compile()?.worker(&mut link, Worker::new(0, 1)).run(&data, &Fit::new().epochs(2).batch_size(4))?;
///
/// serving.wait()?;
/// serving.stop();
/// assert_eq!(server.standing().updates, 4);
/// let trained = server.into_model()?;
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn serve(server: Server, how: Serve) -> Result<Serving> {
    let mut f = Faults::default();
    check_secret(&mut f, how.secret.as_deref());
    f.finish()?;
    let transport = how.transport()?;
    let failed = |e: &dyn std::fmt::Display| network("the address cannot be had", e, &how.addr);
    let addresses: Vec<SocketAddr> = how.addr.to_socket_addrs().map_err(|e| failed(&e))?.collect();
    let listener = TcpListener::bind(&addresses[..]).map_err(|e| failed(&e))?;
    listener.set_nonblocking(true).map_err(|e| failed(&e))?;
    let addr = listener.local_addr().map_err(|e| failed(&e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // they compute, or wait for one that does: nobody waits for another worker there
        .max_blocking_threads(16)
        .thread_name("gradus-server")
        .enable_all()
        .build()
        .map_err(|e| failed(&e))?;
    let bell = Bell::hang(&server).map_err(|e| failed(&e))?;
    let service = Service::new(server.clone(), bell.clone(), how.secret.as_deref());
    let (stop, stopping) = oneshot::channel();
    let (over, stopped) = oneshot::channel();
    let incoming = {
        let _within = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|e| failed(&e))?;
        tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true))
    };
    let door = Door::new(2 * server.workers() + STRANGERS, TO_TELL);
    let incoming = incoming.map(move |stream| stream.map(|s| door.let_in(s)));
    runtime.spawn(async move {
        let signal = async move {
            let _ = stopping.await;
        };
        if let Err(e) = transport.serve_with_incoming_shutdown(service, incoming, signal).await {
            crate::terminal::warn!("the server has stopped: {e}");
        }
        let _ = over.send(());
    });
    tracing::info!(%addr, "serving");
    Ok(Serving { server, addr, bell, runtime: Some(runtime), stop: Some(stop), stopped: Some(stopped) })
}

impl Serving {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until the run has ended. Fails where the run has.
    pub fn wait(&self) -> Result<()> {
        loop {
            if let Some(ended) = self.wait_for(3600.0) {
                return ended;
            }
        }
    }

    /// As [`Serving::wait`], for so many seconds at most; `None` where the run goes on.
    pub fn wait_for(&self, seconds: f64) -> Option<Result<()>> {
        let until = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 1e9));
        loop {
            if let Some(ended) = self.server.ended() {
                return Some(ended);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.bell.next_ring(left);
        }
    }

    /// Stops. Answers that are under way are given, for some seconds at most; workers that wait are told that nobody listens any more.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        self.bell.close();
        if let (Some(runtime), Some(stopped)) = (self.runtime.take(), self.stopped.take()) {
            let until = Instant::now() + Duration::from_secs(3);
            let mut stopped = stopped;
            while matches!(stopped.try_recv(), Err(oneshot::error::TryRecvError::Empty)) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            runtime.shutdown_background();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

fn network(problem: &str, e: &dyn std::fmt::Display, addr: &str) -> Error {
    Error::Distributed {
        problem: format!("{problem}: {e}"),
        at: format!("the server at {addr}"),
        help: "give an address of this machine and a port that is free; 0.0.0.0:PORT listens on all of them".into(),
    }
}
