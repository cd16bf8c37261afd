//! What goes wrong: mistakes of the user's, too little memory, no adapter; each is an `Err` that says what, where and what to do.

mod absent;
#[path = "../common/mod.rs"]
mod common;
mod error_codes;
mod errors;
mod limits;
mod memory_limit;
