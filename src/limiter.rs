//! The limiter: it decides whether a request is within its limits, with the store or without it.
//!
//! [`RateLimiter`] is the limiter for Rust programs. [`Rule`] is a limit, [`Limited`] the result
//! for one request.

// - `LimitMemory` is what an isolate remembers between requests: plain data with deadlines.
// - `Check` takes one request through memory and store, as a state machine without I/O: the gateway
//   drives it together with the cache, `RateLimiter` by itself.
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

// Types of the signatures above, from a module that is hidden.
#[doc(inline)]
pub use crate::engine::limit::penalty::Penalty;
#[doc(inline)]
pub use crate::engine::limit::{OnFailure, Quota, Source};
