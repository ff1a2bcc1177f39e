//! The gate, step by step, on a clock that the test moves: without network, store or waiting.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "../common/model.rs"]
mod model;

mod after;
mod bounds;
mod cache;
mod clock;
mod conditions;
mod cors;
mod counts;
mod early;
mod epochs;
mod failures;
mod flight;
mod forward;
mod hostile;
#[cfg(feature = "queue")]
mod jobs;
mod leases;
mod limits;
mod limits_only;
mod locations;
mod market;
mod messages;
mod octets;
mod openings;
mod origin_quota;
mod outage;
mod pages;
mod penalties;
mod plans;
mod purge;
mod purge_page;
mod recovery;
mod rig;
mod rules;
mod saves;
mod secrets;
mod sizes;
mod stale;
mod styles;
mod unknown_query;
mod urls;
mod users;
mod variants;
mod versions;
mod weights;
