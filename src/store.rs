//! The store: what one call of the script asks and its reply, what is written after a response, and
//! what this isolate knows of the store.
//!
//! - [`Ask`] builds a call of the script ([`ADMIT`], `admit.lua`), and [`Ask::read`] reads its
//!   [`Reply`]. The questions of the limiter and of the cache go in one call, so this layer lies
//!   below both.
//! - [`Write`] is a command that follows a response.
//! - [`Link`] holds the circuit breaker, the correction of the isolate's clock and the ids of
//!   calls.

mod ask;
mod bill;
mod link;
mod lua;
mod reply;
mod write;

pub use ask::{ADMIT, Ask, EntryQuery};
pub use link::Link;
pub use reply::{EntryReply, Granted, Lease, LimitReply, Outcome, Reply, Stored};
pub use write::{KEEP, Write};
