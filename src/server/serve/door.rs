//! Connections that have not told the secret: few at a time, and none for long.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

/// Who may come in.
pub(super) struct Door {
    most: usize,
    within: Duration,
    /// Those who have not told the secret, in the order in which they came.
    strangers: Mutex<VecDeque<Weak<Who>>>,
}

/// Who is at the other end of a connection.
#[derive(Debug, Default)]
struct Who {
    known: AtomicBool,
    sent_away: AtomicBool,
    /// Wakes whoever reads.
    waker: Mutex<Option<Waker>>,
}

/// What a request tells of its connection.
#[derive(Debug, Clone)]
pub(super) struct Guest(Arc<Who>);

impl Guest {
    /// It has told the secret, and may stay.
    pub fn is_known(&self) {
        self.0.known.store(true, SeqCst);
    }
}

impl Door {
    /// So many strangers at a time: a new one sends away who has been there longest. Each has so long to tell the secret.
    pub fn new(most: usize, within: Duration) -> Self {
        Door { most, within, strangers: Mutex::default() }
    }

    /// Lets a connection in. Within a runtime.
    pub fn let_in(&self, stream: TcpStream) -> Incoming {
        let who = Arc::new(Who::default());
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.retain(|s| s.upgrade().is_some_and(|who| !who.known.load(SeqCst)));
        while strangers.len() >= self.most
            && let Some(oldest) = strangers.pop_front()
        {
            if let Some(who) = oldest.upgrade() {
                who.sent_away.store(true, SeqCst);
                who.waker.lock().unwrap_or_else(PoisonError::into_inner).take().into_iter().for_each(Waker::wake);
            }
        }
        strangers.push_back(Arc::downgrade(&who));
        Incoming { stream, who, until: Box::pin(sleep(self.within)) }
    }
}

/// A connection, which ends where a stranger is sent away.
pub(super) struct Incoming {
    stream: TcpStream,
    who: Arc<Who>,
    until: Pin<Box<Sleep>>,
}

impl Incoming {
    fn may_stay(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.who.known.load(SeqCst) {
            return Ok(());
        }
        *self.who.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.who.sent_away.load(SeqCst) || self.until.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it has not told the secret"));
        }
        Ok(())
    }
}

impl Connected for Incoming {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Guest {
        Guest(self.who.clone())
    }
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.may_stay(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Instant;

    async fn ended(c: &mut Incoming) -> bool {
        let mut some = [0; 8];
        poll_fn(|cx| Pin::new(&mut *c).poll_read(cx, &mut ReadBuf::new(&mut some))).await.is_err()
    }

    /// The oldest stranger goes where there are too many, the others when their time is over; who is known stays.
    #[test]
    fn strangers_are_sent_away() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let door = Door::new(2, Duration::from_millis(300));
            let (mut far, mut near) = (vec![], vec![]);
            for i in 0..4 {
                far.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
                near.push(door.let_in(listener.accept().await.unwrap().0));
                if i == 0 {
                    near[0].connect_info().is_known();
                }
            }
            // 1 made room for 3
            let began = Instant::now();
            assert!(ended(&mut near[1]).await && began.elapsed() < Duration::from_millis(200));
            assert!(ended(&mut near[2]).await && ended(&mut near[3]).await && began.elapsed() >= Duration::from_millis(250));
            far[0].try_write(b"here").unwrap();
            assert!(!ended(&mut near[0]).await);
        });
    }
}
