//! The store: what one call of the script asks and is told, what is written after an answer, and what
//! this isolate knows of the store.
//!
//! - [`Ask`] builds a call of the one script ([`ADMIT`], `admit.lua`), and [`Ask::read`] makes its
//!   [`Reply`]. What the limiter and the cache ask goes in one call, so it lies below both.
//! - [`Write`] is a command that follows an answer.
//! - [`Link`] holds the circuit breaker, the correction of the isolate's clock and the ids of calls.

mod ask;
mod link;
mod reply;
mod write;

pub use ask::{ADMIT, Ask, EntryQuery};
pub use link::Link;
pub use reply::{EntryReply, Granted, Lease, LimitReply, Outcome, Reply, Stored};
pub use write::{KEEP, Write};
