//! The commands `check`, `doctor`, `keys` and `purge` of the built program, which run to their end.
//! Those that need a store use a real Redis behind `serve-redis`.
#![cfg(all(feature = "cli", feature = "reqwest"))]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "../common/mod.rs"]
mod common;

mod check;
mod doctor;
mod keys;
mod proxy;
mod purge;
mod rig;
mod rights;
mod secrets;
