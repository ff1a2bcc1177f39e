//! The limiter: what a request is counted against, in the store or without it.
//!
//! [`RateLimiter`] limits by itself, for Rust programs. [`Rule`] says how much, [`Limited`] how a
//! request fared.

// - `Ask` and `Reply` are the two ends of the one script (`ADMIT`, `admit.lua`).
// - `Memory` is what an isolate remembers between requests: plain data with deadlines.
// - `Check` is one request on its way through both, as a machine without I/O: the gateway drives it
//   beside the cache, `RateLimiter` by itself.
mod ask;
mod check;
mod face;
mod memory;

#[doc(hidden)]
pub use ask::{ADMIT, Ask, Granted, LimitReply, Looked, Lookup, Outcome, Refresh, Reply, Stored};
#[doc(hidden)]
pub use check::{Check, Refusal, Work};
pub use face::{Limited, Pending, RateLimiter, Reason, Rule};
#[doc(hidden)]
pub use memory::{ClockGuard, Memory};

// What the signatures above name, from a module that is hidden.
#[doc(inline)]
pub use crate::engine::limit::penalty::Rule as Penalty;
#[doc(inline)]
pub use crate::engine::limit::{OnFailure, Quota, Source};
