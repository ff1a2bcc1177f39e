//! The limiter: what a request is counted against, in the store or without it.
//!
//! [`RateLimiter`] limits by itself, for Rust programs. [`Rule`] says how much, [`Limited`] how a
//! request fared.

// - `LimitMemory` is what an isolate remembers between requests: plain data with deadlines.
// - `Check` is one request on its way through memory and store, as a machine without I/O: the gateway
//   drives it beside the cache, `RateLimiter` by itself.
mod check;
mod memory;
mod rate_limiter;

#[doc(hidden)]
pub use check::settle::Work;
#[doc(hidden)]
pub use check::{Check, LimitView, Refusal};
#[doc(hidden)]
pub use memory::LimitMemory;
pub use rate_limiter::{Limited, Pending, RateLimiter, Reason, Rule};

// What the signatures above name, from a module that is hidden.
#[doc(inline)]
pub use crate::engine::limit::penalty::Penalty;
#[doc(inline)]
pub use crate::engine::limit::{OnFailure, Quota, Source};
