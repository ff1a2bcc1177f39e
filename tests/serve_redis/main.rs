//! `omnitrade-edge serve-redis`, the built program, in front of a real Redis.
#![cfg(feature = "cli")]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "reqwest")]
mod cluster;
mod events;
mod faults;
mod formats;
mod protocol;
#[cfg(feature = "reqwest")]
mod refusals;
#[cfg(feature = "reqwest")]
mod rest_client;
mod scripts;
mod strangers;
