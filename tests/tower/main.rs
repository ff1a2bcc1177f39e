//! The tower layer: alone, and in the servers that people use it in.
#![cfg(all(feature = "tower", not(target_arch = "wasm32")))]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/wire.rs"]
mod wire;

mod costs;
mod keys;
mod ready;
mod refusals;
mod rig;
mod told;
#[cfg(all(feature = "cli", feature = "tracing"))]
mod warning;

#[cfg(feature = "axum")]
mod under_axum;
mod under_hyper;
mod under_tonic;

#[cfg(all(feature = "axum", feature = "cli", feature = "reqwest"))]
mod outage;
