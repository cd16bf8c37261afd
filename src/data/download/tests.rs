//! Against servers on 127.0.0.1 only.

use super::*;
use crate::data::archive::MNIST;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

/// What a server does with one request, told its first line.
type Answer = fn(&str, TcpStream);

/// A server on a free port; its base URL, and the first lines that it was sent. It ends with the test process.
fn server(answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mnist/", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(|l| l.ok()).take_while(|l| !l.is_empty());
            let first = lines.next().unwrap_or_default();
            lines.count();
            log.lock().unwrap().push(first.clone());
            std::thread::spawn(move || answer(&first, stream));
        }
    });
    (url, seen)
}

fn send(mut to: &TcpStream, status: &str, length: usize, body: &[u8]) {
    let _ = write!(to, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = to.write_all(body);
}

fn content() -> Vec<u8> {
    [vec![0, 0, 8, 1, 0, 0, 0x4e, 0x20], (0..20_000u32).map(|i| ((i * i) >> 7) as u8).collect()].concat()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    e.write_all(bytes).and_then(|()| e.finish()).unwrap()
}

fn pin() -> Pinned {
    let content = content();
    let sha256 = hmac_sha256::Hash::hash(&content);
    Pinned { file: "some-idx1-ubyte", packed: 9000, size: content.len() as u64, sha256, of_packed: false }
}

fn right(_: &str, to: TcpStream) {
    let body = gz(&content());
    send(&to, "200 OK", body.len(), &body);
}

/// One that unpacks on the way sends more than any packed file has.
#[test]
fn unpacked_on_the_way() {
    let (url, _) = server(unpacked);
    let network = Network { largest: 10_000, ..Network::default() };
    let got = Fetcher::new(vec![url], network, None, 9000, MNIST.help).get(&pin()).unwrap();
    assert!(got.sent() == content() && got.file.bytes == content());
    // and bounded all the same
    let (url, _) = server(|_, to| send(&to, "200 OK", 20_009, &[0; 20_009]));
    let network = Network { largest: 10_000, ..Network::default() };
    let e = Fetcher::new(vec![url], network, None, 9000, MNIST.help).get(&pin()).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("20009 bytes or more"), "{e}");
}

fn unpacked(_: &str, to: TcpStream) {
    send(&to, "200 OK", content().len(), &content());
}

fn wrong(_: &str, to: TcpStream) {
    let mut other = content();
    other[99] ^= 1;
    let body = gz(&other);
    send(&to, "200 OK", body.len(), &body);
}

fn page(_: &str, to: TcpStream) {
    send(&to, "200 OK", 13, b"<html>sign in");
}

fn missing(_: &str, to: TcpStream) {
    send(&to, "404 Not Found", 0, b"");
}

fn silent(_: &str, to: TcpStream) {
    std::thread::sleep(Duration::from_secs(60));
    drop(to);
}

fn stalling(first: &str, to: TcpStream) {
    let body = gz(&content());
    send(&to, "200 OK", body.len(), &body[..100]);
    silent(first, to);
}

fn headers_only(first: &str, to: TcpStream) {
    send(&to, "200 OK", 1000, b"");
    silent(first, to);
}

fn broken_off(_: &str, to: TcpStream) {
    let body = gz(&content());
    send(&to, "200 OK", body.len(), &body[..100]);
}

fn trickling(_: &str, to: TcpStream) {
    send(&to, "200 OK", 5000, b"");
    for _ in 0..50 {
        let _ = (&to).write_all(b"x");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn huge(_: &str, to: TcpStream) {
    send(&to, "200 OK", 1 << 40, &[0x1f]);
}

/// No length, and no end before the reader goes.
fn endless(_: &str, mut to: TcpStream) {
    let _ = to.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    while to.write_all(&[0x55; 4096]).is_ok() {}
}

/// Every wait at most `wait`, and a little more than two of them in all.
fn network(wait: Duration) -> Network {
    Network { connect: wait, first_byte: wait, stall: wait, silence: wait * 5 / 2, slowest: 1024.0, largest: 100_000, proxy: None }
}

/// Long enough for a busy machine, where no wait should end.
const PATIENT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(500);

fn fetcher(mirrors: &[&str], wait: Duration) -> Fetcher {
    Fetcher::new(mirrors.iter().map(|m| m.to_string()).collect(), network(wait), None, 9000, MNIST.help)
}

/// The reasons that the mirrors are refused for, in good time.
#[track_caller]
fn refused(answers: &[Answer], wait: Duration) -> Vec<String> {
    let urls: Vec<String> = answers.iter().map(|&a| server(a).0).collect();
    let began = Instant::now();
    let got = fetcher(&urls.iter().map(String::as_str).collect::<Vec<_>>(), wait).get(&pin());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    match got {
        Err(Error::Download { tried, help, .. }) => {
            assert!(help.contains("--data DIR") && help.contains("GRADUS_DATA"), "{help}");
            assert!(tried.iter().zip(&urls).all(|(t, u)| t.starts_with(u.trim_end_matches('/'))), "{tried:?}");
            tried
        }
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("fetched"),
    }
}

#[test]
fn a_good_mirror() -> Result<()> {
    let (url, seen) = server(right);
    let steps = Arc::new(Mutex::new(Vec::new()));
    let log = steps.clone();
    let progress: Progress = Some(Arc::new(move |p| log.lock().unwrap().push(p)));
    let got = Fetcher::new(vec![url.clone()], network(PATIENT), progress, 9000, MNIST.help).get(&pin())?;
    assert_eq!((&got.file.bytes, got.sent().len()), (&content(), gz(&content()).len()));
    assert_eq!(got.url, format!("{url}some-idx1-ubyte.gz"));
    assert_eq!(*seen.lock().unwrap(), ["GET /mnist/some-idx1-ubyte.gz HTTP/1.1"]);
    let last = steps.lock().unwrap().pop().unwrap();
    assert_eq!((last.received, last.total), (got.sent().len() as u64, got.sent().len() as u64));
    Ok(())
}

#[test]
fn a_server_that_unpacks() -> Result<()> {
    assert_eq!(fetcher(&[&server(unpacked).0], PATIENT).get(&pin())?.sent(), content());
    Ok(())
}

#[test]
fn bad_mirrors_each_with_its_reason() {
    let tried = refused(&[wrong, page, missing, broken_off, huge, endless], PATIENT);
    let expected = ["not the SHA-256", "another file: 13 bytes", "HTTP status 404", "disconnected", "1099511627776 bytes", "or more"];
    assert_eq!(tried.len(), expected.len());
    for (reason, part) in tried.iter().zip(expected) {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn each_wait_is_bounded() {
    assert!(refused(&[silent], SHORT)[0].ends_with("no answer in 500ms"));
    assert!(refused(&[stalling], SHORT)[0].ends_with("nothing more came for 500ms"));
    assert!(refused(&[trickling], SHORT)[0].contains("too slow"));
}

/// Servers that answer with something else than an answer, or with answers that lead nowhere: each refused in good time, with its reason.
#[test]
fn liars() {
    fn broken(_: &str, to: TcpStream) {
        send(&to, "500 Internal Server Error", 4, b"oops");
    }
    fn busy(_: &str, to: TcpStream) {
        send(&to, "503 Service Unavailable", 0, b"");
    }
    fn in_circles(_: &str, to: TcpStream) {
        let _ = (&to).write_all(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    fn nowhere(_: &str, to: TcpStream) {
        let _ = (&to).write_all(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    fn no_http(_: &str, to: TcpStream) {
        let _ = (&to).write_all(b"220 ready for mail\r\n\r\n");
    }
    fn endless_headers(_: &str, mut to: TcpStream) {
        let _ = to.write_all(b"HTTP/1.1 200 OK\r\n");
        while to.write_all(&b"X-Filler: and so on and so on and so on\r\n".repeat(100)).is_ok() {}
    }
    fn empty(_: &str, to: TcpStream) {
        send(&to, "200 OK", 0, b"");
    }
    fn half_a_gzip(_: &str, to: TcpStream) {
        let body = gz(&content());
        send(&to, "200 OK", body.len() / 2, &body[..body.len() / 2]);
    }
    fn too_much_inside(_: &str, to: TcpStream) {
        let body = gz(&[content(), vec![0; 1 << 20]].concat());
        send(&to, "200 OK", body.len(), &body);
    }
    let cases: [(Answer, &str); 9] = [
        (broken, "HTTP status 500"),
        (busy, "HTTP status 503"),
        (in_circles, "redirect"),
        (nowhere, "refused"),
        (no_http, ""),
        (endless_headers, ""),
        (empty, "another file: 0 bytes"),
        (half_a_gzip, "cut short"),
        (too_much_inside, ""),
    ];
    for (answer, says) in cases {
        let tried = refused(&[answer], PATIENT);
        assert!(tried.len() == 1 && tried[0].to_lowercase().contains(&says.to_lowercase()), "`{says}`: {tried:?}");
        assert!(tried[0].len() > 30, "{tried:?}");
    }
}

/// One that takes the connection and resets it, one that never takes it.
#[test]
fn servers_that_do_not_listen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::sleep(Duration::from_millis(100));
            drop(stream); // with the request unread: a reset
        }
    });
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf_url = format!("http://{}/", deaf.local_addr().unwrap());
    let began = Instant::now();
    let Err(Error::Download { tried, .. }) = fetcher(&[&url, &deaf_url], SHORT).get(&pin()) else { panic!("fetched") };
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(tried.len() == 2 && tried[1].contains("no answer in 500ms"), "{tried:?}");
}

/// Two have their time, the third is cut short, the others are not asked.
#[test]
fn silence_is_bounded() {
    for answer in [silent as Answer, headers_only] {
        let tried = refused(&[answer; 5], SHORT);
        assert!(!tried[0].contains("given up") && tried[4].contains("given up: nothing was received for 1.25s"), "{tried:?}");
    }
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let Err(e) = fetcher(&[&format!("http://127.0.0.1:{port}"), "not a url"], PATIENT).get(&pin()) else { panic!("fetched") };
    assert!(e.to_string().contains("refused") && e.to_string().contains("not a url"), "{e}");
    let Err(e) = fetcher(&[], PATIENT).get(&pin()) else { panic!("fetched") };
    assert!(e.to_string().contains("empty list"), "{e}");
}

/// The next mirror is asked, and asked first for the next file.
#[test]
fn bad_then_good() -> Result<()> {
    for bad in [wrong, missing, silent, stalling] {
        let ((bad, asked), (good, seen)) = (server(bad), server(right));
        let mut fetcher = fetcher(&[&bad, &good], 2 * SHORT);
        assert_eq!(fetcher.get(&pin())?.file.bytes, content());
        assert!(fetcher.get(&pin())?.url.starts_with(&good));
        assert_eq!((asked.lock().unwrap().len(), seen.lock().unwrap().len()), (1, 2));
    }
    Ok(())
}

#[test]
fn redirects_are_followed() -> Result<()> {
    fn moved(first: &str, to: TcpStream) {
        if first.contains("/elsewhere") {
            return right(first, to);
        }
        let _ = (&to).write_all(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    assert_eq!(fetcher(&[&server(moved).0], PATIENT).get(&pin())?.file.bytes, content());
    Ok(())
}

/// The proxy is asked for a host that no resolver knows; a loopback mirror is asked without it.
#[test]
fn a_proxy_is_used() -> Result<()> {
    fn proxy(_: &str, to: TcpStream) {
        let _ = (&to).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
        let lines = BufReader::new(&to).lines().map_while(|l| l.ok()).take_while(|l| !l.is_empty());
        lines.count();
        right("", to);
    }
    let (url, seen) = server(proxy);
    let proxy = ureq::Proxy::new(url.trim_end_matches("/mnist/")).ok();
    let mirrors = vec!["http://mirror.invalid/mnist".to_string()];
    let got = Fetcher::new(mirrors, Network { proxy: proxy.clone(), ..network(PATIENT) }, None, 0, MNIST.help).get(&pin())?;
    assert_eq!(got.file.bytes, content());
    assert_eq!(*seen.lock().unwrap(), ["CONNECT mirror.invalid:80 HTTP/1.1"]);
    Fetcher::new(vec![server(right).0], Network { proxy, ..network(PATIENT) }, None, 0, MNIST.help).get(&pin())?;
    assert_eq!(seen.lock().unwrap().len(), 1);
    Ok(())
}

#[test]
fn loopback_is_known() {
    for url in ["http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:80/", "https://127.9.9.9"] {
        assert!(is_loopback(url), "{url}");
    }
    for url in ["https://example.org/127.0.0.1", "http://localhost.example.org", "", "nonsense"] {
        assert!(!is_loopback(url), "{url}");
    }
}

#[test]
fn stored_whole_or_not_at_all() -> std::io::Result<()> {
    let dir = tempfile::tempdir()?;
    let inner = dir.path().join("a/b");
    store(&inner, "file", b"one")?;
    store(&inner, "file", b"two")?;
    assert_eq!(fs::read(inner.join("file"))?, b"two");
    // A name that cannot be replaced: an error, and nothing left behind.
    fs::create_dir_all(inner.join("taken/x"))?;
    assert!(store(&inner, "taken", b"three").is_err());
    assert_eq!(fs::read_dir(&inner)?.count(), 2);
    assert!(store(&inner.join("file"), "under a file", b"").is_err());
    Ok(())
}
