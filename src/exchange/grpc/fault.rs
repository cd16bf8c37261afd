//! Errors through gRPC: the three parts of ours travel in the details of a status, so that a worker reads what the server says.

use super::wire::Fault;
use crate::error::{Error, Faults};
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

/// Details travel in headers, which have their limit.
const MOST: usize = 2000;

/// An error of the server as a worker is told it.
pub(crate) fn status_of(e: &Error) -> Status {
    let fault = match e {
        Error::Distributed { problem, at, help } => Fault { problem: cut(problem), at: cut(at), help: cut(help) },
        other => Fault {
            problem: cut(other.to_string().lines().next().unwrap_or_default()),
            at: "the server".into(),
            help: "the server's own error says more".into(),
        },
    };
    Status::with_details(Code::FailedPrecondition, fault.problem.clone(), Bytes::from(fault.encode_to_vec()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.into(),
    }
}

/// What a worker makes of a status: an error of the server's that stays what it is, or none where it may try again.
pub(super) fn final_error(status: &Status, server: &str) -> Option<Error> {
    let of = |problem: String, help: &str| Some(Error::Distributed { problem, at: format!("the server {server}"), help: help.into() });
    if !status.details().is_empty()
        && let Ok(Fault { problem, at, help }) = Fault::decode(status.details())
    {
        return Some(Error::Distributed { problem, at, help });
    }
    let cause = cause(status);
    if let Some(why) = cause.strip_prefix("invalid peer certificate: ") {
        return of(
            format!("the server's certificate is not trusted: {why}"),
            "give the certificate of the authority that has signed it (`Connect::authority`), and the name or address that it was made for",
        );
    }
    match status.code() {
        Code::Unauthenticated => of("the server refuses this secret".into(), "give server and workers the same secret"),
        Code::Unimplemented => {
            of("the server does not know what is asked of it".into(), "see that the address is that of a gradus server of this version")
        }
        Code::InvalidArgument | Code::OutOfRange => {
            of(format!("server and worker do not understand each other: {}", status.message()), "use one version of gradus for both")
        }
        _ => None,
    }
}

/// The last of the causes of a status, which says most.
pub(super) fn cause(status: &Status) -> String {
    let mut last: Option<&dyn std::error::Error> = std::error::Error::source(status);
    while let Some(next) = last.and_then(std::error::Error::source) {
        last = Some(next);
    }
    last.map_or_else(|| status.message().to_string(), ToString::to_string)
}

/// Fails on a secret that cannot be sent.
pub(crate) fn check_secret(f: &mut Faults, secret: Option<&str>) {
    let Some(secret) = secret else { return };
    let fine = !secret.is_empty() && secret.len() <= 4096 && secret.bytes().all(|b| b.is_ascii_graphic());
    f.check(fine, "secret", format!("{} bytes", secret.len()), "give 1 to 4,096 letters, digits and signs of ASCII without spaces");
}

/// As [`final_error`] of something that came with a good status.
pub(super) fn nonsense(problem: &str, server: &str) -> Error {
    Error::Distributed { problem: problem.into(), at: format!("the server {server}"), help: "use one version of gradus for both".into() }
}
