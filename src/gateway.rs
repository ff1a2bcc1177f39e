//! The gateway: the sequence of limits, cache, store and origin.
//!
//! It is a state machine without I/O. [`Gate::decide`] looks at a request and returns the first
//! step:
//!
//! ```text
//!            ┌──────────────────────────── Respond ───────────────────────────┐
//!  decide ───┼─ Ask the store ── resume ──┬───────────────────────────────────┤
//!            │                            ├─ Fetch ── origin_answered ──┬─────┤
//!            └────────────────────────────┘                             └─ Relay, and fill
//! ```
//!
//! A shell carries out the steps and reports the results. So nothing in the gateway waits, a test
//! can drive everything, and a request that can be answered from memory needs no promise.
//!
//! Two other machines make the decisions: [`limiter`](crate::limiter) and [`cache`](crate::cache).
//! The gateway only asks them in turn. Its own files call each other in one direction: `sequence` →
//! `background` → `fetch` → `report` → `gate`.

mod admin;
mod admission;
mod background;
mod context;
#[cfg(feature = "queue")]
mod enqueue;
mod fetch;
mod gate;
#[cfg(feature = "queue")]
mod job_plan;
mod plan;
mod problem;
mod report;
mod sequence;
mod step;

pub use admin::{Unpurgeable, is_tag_name, purged_key};
pub use admission::Admission;
pub use context::Context;
pub use gate::Gate;
pub use problem::Problem;
pub use step::{After, BodyRequest, Handoff, Relay, Respond, Step};
