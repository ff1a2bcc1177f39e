//! The limiter: it decides whether a request is within its limits, with the store or without it.
//!
//! [`RateLimiter`] is the limiter for Rust programs. [`Rule`] is a limit, [`Subject`] a request of
//! somebody whom it limits, [`Limited`] the result for one request and [`All`] that for one of
//! several limits.

// - `LimitMemory` is what an isolate remembers between requests: plain data with deadlines.
// - `Check` takes one request through memory and store, as a state machine without I/O: the gateway
//   drives it together with the cache.
// - `Limits` drives it by itself, still without I/O, for the limiters of programs: those of
//   `RateLimiter`, and those of the npm package.
mod check;
mod counter;
mod limited;
mod limits;
mod memory;
mod rate_limiter;
mod rule;
mod subject;
mod taken;
mod unknown_keys;

#[doc(hidden)]
pub use check::settle::Work;
#[doc(hidden)]
pub use check::{Check, LimitView, Refusal};
pub use limited::{All, Limited, Pending, Refused};
pub use limits::Reason;
#[doc(hidden)]
pub use limits::{Asking, Decided, Limits, Recalled, Taking, Told, told};
#[doc(hidden)]
pub use memory::LimitMemory;
pub use rate_limiter::RateLimiter;
pub use rule::Rule;
pub use subject::Subject;
#[cfg(feature = "tower")]
pub(crate) use taken::{Taken, Want, take_all, take_at_once};
#[doc(hidden)]
pub use unknown_keys::UnknownKeys;

// Types of the signatures above, from a module that is hidden.
#[doc(inline)]
pub use crate::engine::limit::penalty::Penalty;
#[doc(inline)]
pub use crate::engine::limit::{OnFailure, Quota, Source};
