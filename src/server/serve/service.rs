//! The calls of workers.

use super::bell::{Bell, Wish};
use super::door::Guest;
use crate::error::Result;
use crate::exchange::grpc::codec::{Form, MOST, Outgoing, Parts, Stored, Wire};
use crate::exchange::grpc::fill::Fill;
use crate::exchange::grpc::flow::{Inflow, response, response_of};
use crate::exchange::grpc::wire::{
    HelloMessage, Leaving, ModeAsked, ModeTold, PullHead, PushPart, Seat, Verdict, WelcomeMessage, Wish as WishMessage, number, path,
};
use crate::exchange::grpc::{MOST_PLAIN, status_of};
use crate::exchange::{Hello, Reply};
use crate::server::gathered::Part;
use crate::server::shared::{Server, Wish as Asked};
use crate::server::snapshot::Snapshot;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

impl Stored for Snapshot {
    fn arrays(&self) -> [&[u32]; 2] {
        [&self.parameters, &self.buffers]
    }
}

/// Answers the calls of workers. Clones are the same.
#[derive(Clone)]
pub(super) struct Service {
    desk: Arc<Desk>,
}

struct Desk {
    server: Server,
    bell: Arc<Bell>,
    secret: Option<String>,
    /// Memory for arrays that come.
    parts: Mutex<Vec<Part>>,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;

impl Service {
    pub fn new(server: Server, bell: Arc<Bell>, secret: Option<&str>) -> Self {
        let desk = Desk { server, bell, secret: secret.map(|s| format!("Bearer {s}")), parts: Mutex::default() };
        Service { desk: Arc::new(desk) }
    }
}

impl tonic::codegen::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let desk = self.desk.clone();
        Box::pin(async move { Ok(desk.route(request).await) })
    }
}

/// A call of one message each way.
struct Call<M, R> {
    desk: Arc<Desk>,
    does: fn(Arc<Desk>, M) -> Answer<R>,
}

impl<M, R: 'static> UnaryService<M> for Call<M, R> {
    type Response = R;
    type Future = Answer<Response<R>>;

    fn call(&mut self, request: Request<M>) -> Self::Future {
        let answer = (self.does)(self.desk.clone(), request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

fn plain<E: Outgoing, D: prost::Message + Default + 'static>() -> Grpc<Wire<E, D>> {
    Grpc::new(Wire::new()).max_decoding_message_size(MOST_PLAIN)
}

impl Desk {
    async fn route(self: Arc<Self>, request: http::Request<Body>) -> http::Response<Body> {
        if !self.knows(&request) {
            return Status::unauthenticated("the secret is wrong").into_http();
        }
        if let Some(guest) = request.extensions().get::<Guest>() {
            guest.is_known();
        }
        let desk = self.clone();
        match request.uri().path() {
            path::MODE => plain().unary(Call { desk, does: Desk::mode }, request).await,
            path::JOIN => plain().unary(Call { desk, does: Desk::join }, request).await,
            path::LEAVE => plain().unary(Call { desk, does: Desk::leave }, request).await,
            path::PULL => desk.pull(Inflow::new(request.into_body())).await.map_or_else(Status::into_http, response),
            path::PUSH => {
                let taken = desk.push(Inflow::new(request.into_body())).await;
                taken.map_or_else(Status::into_http, |reply| response_of(&Verdict { reply: number(reply) }))
            }
            _ => Status::unimplemented("there is no such call").into_http(),
        }
    }

    /// Whether the request has the secret, if there is one.
    fn knows(&self, request: &http::Request<Body>) -> bool {
        let Some(secret) = &self.secret else { return true };
        let told = request.headers().get("authorization").map_or(&[][..], |v| v.as_bytes());
        told.ct_eq(secret.as_bytes()).into()
    }

    /// Does what takes the server's lock, which an update may hold for long, on a thread that may wait.
    async fn with<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce(&Desk) -> Result<T> + Send + 'static) -> Result<T, Status> {
        let desk = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&desk)).await;
        done.map_err(|_| Status::internal("the server has panicked, or stops"))?.map_err(|e| status_of(&e))
    }

    /// Whether somebody speaks to this instance, with rank and incarnation.
    fn seat(&self, seat: Option<Seat>) -> Result<Option<(usize, u64)>, Status> {
        let seat = seat.ok_or_else(|| Status::invalid_argument("a message without a seat"))?;
        let rank = usize::try_from(seat.rank).unwrap_or(usize::MAX);
        if seat.instance == 0 || seat.incarnation == 0 {
            return Err(Status::invalid_argument("a message of somebody who has not joined"));
        }
        Ok((seat.instance == self.server.instance()).then_some((rank, seat.incarnation)))
    }

    fn mode(self: Arc<Self>, _: ModeAsked) -> Answer<ModeTold> {
        Box::pin(async move { Ok(ModeTold { mode: self.server.mode().to_string(), version: env!("CARGO_PKG_VERSION").into() }) })
    }

    fn join(self: Arc<Self>, hello: HelloMessage) -> Answer<WelcomeMessage> {
        Box::pin(async move {
            let hello = Hello::from(hello);
            let asked = hello.clone();
            let joined = self.with(move |desk| desk.server.sit(&asked)).await?;
            let (answer, told) = oneshot::channel();
            self.bell.wish(Wish::Place { hello, joined, answer });
            let welcome = told.await.map_err(|_| stops())?.map_err(|e| status_of(&e))?;
            Ok(WelcomeMessage::new(welcome, self.server.instance()))
        })
    }

    fn leave(self: Arc<Self>, leaving: Leaving) -> Answer<Verdict> {
        Box::pin(async move {
            let Some((rank, incarnation)) = self.seat(leaving.seat)? else { return Ok(Verdict { reply: number(Reply::Rejoin) }) };
            self.with(move |desk| desk.server.leave(rank, incarnation, leaving.done)).await?;
            Ok(Verdict { reply: number(Reply::Taken) })
        })
    }

    async fn pull(self: Arc<Self>, mut wish: Inflow) -> Result<Parts<Snapshot>, Status> {
        let wish: WishMessage = wish.message(MOST_PLAIN).await?.ok_or_else(|| Status::invalid_argument("a wish without a message"))?;
        let rejoin = || {
            let head = PullHead { reply: number(Reply::Rejoin), ..PullHead::default() };
            Ok(Parts::new(&head, None, Form::Full))
        };
        let Some((rank, incarnation)) = self.seat(wish.seat)? else { return rejoin() };
        let asked = match self.server.wished_now(rank, incarnation, wish.clock) {
            Some(Ok(Asked::Waits)) | None => {
                let (answer, found) = oneshot::channel();
                self.bell.wish(Wish::Parameters { rank, incarnation, clock: wish.clock, answer });
                found.await.map_err(|_| stops())?
            }
            Some(asked) => asked,
        };
        let Asked::Granted { newest, over } = asked.map_err(|e| status_of(&e))? else { return rejoin() };
        let head = PullHead {
            reply: number(Reply::Taken),
            update: newest.update,
            scale: newest.scale.map(Into::into),
            over,
            parameters: newest.parameters.len() as u64,
            buffers: newest.buffers.len() as u64,
        };
        Ok(Parts::new(&head, Some(newest), Form::Full))
    }

    async fn push(self: Arc<Self>, mut parts: Inflow) -> Result<Reply, Status> {
        let bad = |problem: &str| Status::invalid_argument(problem);
        let head = parts.message::<PushPart>(MOST).await?.and_then(|p| p.head).ok_or_else(|| bad("a push without a head"))?;
        let Some((rank, incarnation)) = self.seat(head.seat)? else { return Ok(Reply::Rejoin) };
        let length = |n: u64| usize::try_from(n).map_err(|_| bad("a length that cannot be"));
        let (push, lengths) = (head.push(), [length(head.values)?, length(head.buffers)?]);
        let nothing = match self.server.expects_now(rank, incarnation, &push, lengths) {
            Some(nothing) => nothing.map_err(|e| status_of(&e))?,
            None => self.with(move |desk| desk.server.expects(rank, incarnation, &push, lengths)).await?,
        };
        if let Some(reply) = nothing {
            return Ok(reply);
        }
        let mut part = self.parts.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let mut fill = Fill::new([&mut part.values, &mut part.buffers], lengths);
        while parts.words(&mut fill).await? {}
        if !fill.is_full() {
            return Err(bad("a push that ends before its arrays do"));
        }
        self.with(move |desk| {
            let pushed = desk.server.push_given(rank, incarnation, &push, &mut part);
            let mut parts = desk.parts.lock().unwrap_or_else(PoisonError::into_inner);
            if parts.len() < desk.server.workers() {
                parts.push(part);
            }
            pushed
        })
        .await
    }
}

/// What a worker is told whose answer will not come.
fn stops() -> Status {
    Status::unavailable("the server stops")
}
