//! Fetches pinned files from the first mirror that gives them, in bounded time and memory.

use super::pinned::{File, Pinned};
use super::progress::DownloadProgress;
use crate::disk;
use crate::error::{Error, Result};
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use ureq::Timeout;

/// How long a download may take, and how large its files may be.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// To resolve a name; and then to connect, TLS and proxy included.
    pub connect: Duration,
    /// From the request to the answer's head.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
    /// If nothing was received for this long no further mirror is asked.
    pub silence: Duration,
    /// A mirror that is slower than this many bytes a second, on average after `stall`, is left for the next; also one that would take longer than `LONGEST`.
    pub slowest: f64,
    /// Bytes of one file as sent.
    pub largest: u64,
    pub proxy: Option<ureq::Proxy>,
}

/// Seconds that a file may take: 4 hours, which are 12 KB a second for CIFAR's.
const LONGEST: f64 = 4.0 * 3600.0;

impl Default for Network {
    /// The proxy is the environment's: `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY`, and `NO_PROXY`.
    fn default() -> Self {
        Network {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(5),
            stall: Duration::from_secs(10),
            silence: Duration::from_secs(15),
            slowest: 1024.0,
            largest: 32 << 20,
            proxy: ureq::Proxy::try_from_env(),
        }
    }
}

type Progress = Option<Arc<dyn Fn(DownloadProgress) + Send + Sync>>;

/// Fetches one file after the other; begins with the mirror that gave the last one.
pub(crate) struct Fetcher {
    mirrors: Vec<String>,
    network: Network,
    progress: Progress,
    /// Bytes of the files that are done, and about how many the others have.
    done: u64,
    pending: u64,
    /// When something was last received.
    heard: Instant,
    /// What to do where no mirror gives a file.
    help: &'static str,
}

/// A file whose SHA-256 is right.
pub(crate) struct Fetched {
    pub url: String,
    pub file: File,
    /// The packed bytes; none where it was sent unpacked.
    packed: Vec<u8>,
}

impl Fetched {
    /// The bytes as they were sent.
    pub fn sent(&self) -> &[u8] {
        if self.file.packed { &self.packed } else { &self.file.bytes }
    }
}

/// An answer whose body has begun: `n` bytes of it lie in `chunk`.
struct Begun {
    length: Option<u64>,
    reader: ureq::BodyReader<'static>,
    chunk: Vec<u8>,
    n: usize,
}

impl Fetcher {
    /// Fetches from these base URLs files of about `pending` bytes together.
    pub fn new(mirrors: Vec<String>, network: Network, progress: Progress, pending: u64, help: &'static str) -> Self {
        Fetcher { mirrors, network, progress, done: 0, pending, heard: Instant::now(), help }
    }

    /// The file's `.gz` (or what is under that name) from the first mirror that gives it. The error lists what each of them did.
    pub fn get(&mut self, pin: &Pinned) -> Result<Fetched> {
        let mut tried = Vec::new();
        for i in 0..self.mirrors.len() {
            let url = format!("{}/{}.gz", self.mirrors[i].trim_end_matches('/'), pin.file);
            tracing::info!("fetching {url}");
            match self.attempt(&url, pin) {
                Ok((file, packed)) => {
                    self.mirrors[..=i].rotate_right(1);
                    let got = Fetched { url, file, packed };
                    self.done += got.sent().len() as u64;
                    self.pending = self.pending.saturating_sub(pin.packed);
                    return Ok(got);
                }
                Err(why) => {
                    crate::terminal::warn!("{url}: {why}");
                    tried.push(format!("{url}: {why}"));
                }
            }
        }
        if tried.is_empty() {
            tried.push("an empty list of mirrors".into());
        }
        let problem = format!("no mirror gave {}.gz", pin.file);
        Err(Error::Download { problem, tried, help: self.help.into() })
    }

    fn attempt(&mut self, url: &str, pin: &Pinned) -> Result<(File, Vec<u8>), String> {
        let raw = self.body(url, pin)?;
        let got = raw.len();
        let (file, packed) = File::pinned(url.into(), raw, pin).map_err(|e| match e {
            Error::BadData { problem, offset: 0, .. } => format!("another file: {got} bytes; {problem}"),
            Error::BadData { problem, offset, .. } => format!("{problem} at byte {offset}"),
            e => e.to_string(),
        })?;
        // A server that unpacks on the way is fine too, where the sum is the content's.
        match file.verified {
            Some(true) => Ok((file, packed)),
            _ => Err(format!("another file: {got} bytes, and not the SHA-256 of {}", pin.file)),
        }
    }

    fn body(&mut self, url: &str, pin: &Pinned) -> Result<Vec<u8>, String> {
        let Network { stall, slowest, .. } = self.network;
        let slowest = slowest.max(pin.packed as f64 / LONGEST);
        // a server may unpack on the way
        let largest = self.network.largest.max(pin.size).max(pin.packed);
        let Begun { length, mut reader, mut chunk, mut n } = self.begin(url)?;
        let too_large = |n| format!("{n} bytes or more, where {} were expected", pin.packed);
        if let Some(n) = length.filter(|&n| n > largest) {
            return Err(too_large(n));
        }
        let (mut raw, began) = (Vec::new(), Instant::now());
        while n > 0 {
            raw.extend_from_slice(&chunk[..n]);
            self.heard = Instant::now();
            let (got, took) = (raw.len() as u64, began.elapsed());
            if got > largest {
                return Err(too_large(got));
            }
            if took > stall && (got as f64) < slowest * took.as_secs_f64() {
                return Err(format!("too slow: {got} bytes in {:.0} s", took.as_secs_f64()));
            }
            if let Some(call) = &self.progress {
                let rest = self.pending.saturating_sub(pin.packed);
                let total = self.done + length.unwrap_or(pin.packed).max(got) + rest;
                call(DownloadProgress { file: pin.file.into(), url: url.into(), received: self.done + got, total });
            }
            n = reader.read(&mut chunk).map_err(|e| self.explain(e.into()))?;
        }
        Ok(raw)
    }

    /// Sends the request and waits for the first bytes of the body.
    fn begin(&self, url: &str) -> Result<Begun, String> {
        let silence = self.network.silence;
        let left = silence.saturating_sub(self.heard.elapsed());
        let given_up = || format!("given up: nothing was received for {silence:?}");
        if left.is_zero() {
            return Err(given_up());
        }
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_resolve(Some(self.network.connect))
            .timeout_connect(Some(self.network.connect))
            .timeout_send_request(Some(self.network.connect))
            .timeout_recv_response(Some(self.network.first_byte))
            .timeout_per_read(Some(self.network.stall))
            .max_redirects(4)
            .user_agent(concat!("gradus/", env!("CARGO_PKG_VERSION")))
            .proxy(self.network.proxy.clone().filter(|_| !is_loopback(url)))
            .build()
            .into();
        let request = agent.get(url);
        let begin = move || {
            let body = request.call()?.into_body();
            let length = body.content_length();
            let (mut reader, mut chunk) = (body.into_reader(), vec![0; 64 << 10]);
            let n = reader.read(&mut chunk)?;
            Ok(Begun { length, reader, chunk, n })
        };
        // a thread of its own, so that redirects, proxies and addresses together take no longer than `left`
        let (send, receive) = mpsc::channel();
        let run = move || drop(send.send(begin()));
        std::thread::Builder::new().name("gradus-fetch".into()).spawn(run).map_err(|e| e.to_string())?;
        match receive.recv_timeout(left) {
            Ok(begun) => begun.map_err(|e| self.explain(e)),
            Err(_) => Err(given_up()),
        }
    }

    fn explain(&self, e: ureq::Error) -> String {
        let Network { connect, first_byte, stall, .. } = self.network;
        match e {
            ureq::Error::Timeout(Timeout::Resolve) => format!("its name was not resolved in {connect:?}"),
            ureq::Error::Timeout(Timeout::Connect) => format!("no connection in {connect:?}"),
            ureq::Error::Timeout(Timeout::RecvResponse) => format!("no answer in {first_byte:?}"),
            ureq::Error::Timeout(Timeout::PerRead) => format!("nothing more came for {stall:?}"),
            ureq::Error::StatusCode(status) => format!("HTTP status {status}"),
            e => e.to_string(),
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.parse::<ureq::http::Uri>().ok().and_then(|u| u.host().map(str::to_string)).unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Writes a file whole: a file of this name is never a part of one.
pub(crate) fn store(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    disk::replace(&dir.join(name), &[bytes], true)
}

#[cfg(test)]
mod tests;
