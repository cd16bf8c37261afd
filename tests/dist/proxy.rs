//! A slow link: what goes through it is let through in small pieces, so many bytes a second each way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A paced way to a server. Gives its address. Lives as long as its connections.
pub fn paced(to: &str, bytes_a_second: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, to) = (listener.local_addr().unwrap().to_string(), to.to_string());
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near, Ok(far)) = (near.unwrap(), TcpStream::connect(&to)) else { return };
            for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || pass(from, to, bytes_a_second));
            }
        }
    });
    addr
}

fn pass(mut from: TcpStream, mut to: TcpStream, bytes_a_second: usize) {
    let mut some = vec![0; (bytes_a_second / 100).max(1)];
    while let Ok(n @ 1..) = from.read(&mut some) {
        std::thread::sleep(Duration::from_secs_f64(n as f64 / bytes_a_second as f64));
        if to.write_all(&some[..n]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
