//! The REST client with scripted replies, on a clock that the test moves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[cfg(feature = "tracing")]
#[path = "../common/recorder.rs"]
mod recorder;

mod calls;
mod repeats;
mod retries;
mod scripted;
mod scripts;
mod secrets;
#[cfg(feature = "tracing")]
mod traces;
mod typed;
mod variables;
