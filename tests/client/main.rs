//! The REST client against scripted replies, on a clock that moves when told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod calls;
mod repeats;
mod retries;
mod scripted;
mod scripts;
mod secrets;
