//! The limiter: what a request is counted against, in the store or without it.
//!
//! - [`Ask`] and [`Reply`] are the two ends of the one script ([`ADMIT`], `admit.lua`).
//! - [`Memory`] is what an isolate remembers between requests: plain data with deadlines.
//! - [`Check`] is one request on its way through both, as a machine without I/O: the gateway drives it
//!   beside the cache, [`RateLimiter`] by itself.

mod ask;
mod check;
mod face;
mod memory;

pub use ask::{ADMIT, Ask, Granted, LimitReply, Looked, Lookup, Outcome, Refresh, Reply, Stored};
pub use check::{Check, Refusal, Work};
pub use face::{Limited, Pending, RateLimiter, Reason, Rule};
pub use memory::{ClockGuard, Memory};
