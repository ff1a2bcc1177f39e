//! `admit.lua` and `keep.lua` inside a real Redis.
#![cfg(feature = "cli")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/model.rs"]
mod model;

mod billing;
mod calls;
mod clocks;
mod crowd;
mod entries;
mod exact;
mod isolates;
mod keep;
mod lent;
mod log;
mod random;
mod repeats;
mod rig;
mod steps;
mod stored;
mod traces;
mod virtual_time;
mod world;
