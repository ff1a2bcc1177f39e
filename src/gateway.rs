//! The gateway: the sequence of limits, cache, store and origin.
//!
//! It is a machine without I/O. [`Gate::decide`] looks at a request and says what to do:
//!
//! ```text
//!            ┌──────────────────────────── Respond ───────────────────────────┐
//!  decide ───┼─ Ask the store ── resume ──┬───────────────────────────────────┤
//!            │                            ├─ Fetch ── origin_answered ──┬─────┤
//!            └────────────────────────────┘                             └─ Relay, and fill
//! ```
//!
//! A shell carries the steps out and reports back. So nothing here waits, everything can be driven
//! by a test, and a request that can be answered from memory needs no promise at all.
//!
//! The two machines that decide are [`limiter`](crate::limiter) and [`cache`](crate::cache). The
//! gateway asks them in turn and owns nothing else. Calls in it run one way: `sequence` → `background`
//! → `fetch` → `gate`.

mod admin;
mod admission;
mod background;
mod context;
mod fetch;
mod gate;
mod plan;
mod problem;
pub mod ratelimit;
mod sequence;
mod step;
mod token;

pub use admin::{Unpurgeable, is_tag_name, purged_key};
pub use context::Context;
pub use gate::Gate;
pub use problem::Problem;
pub use step::{After, BodyRequest, Handoff, Relay, Respond, Step};
pub use token::AdminToken;
