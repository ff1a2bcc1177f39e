//! Jobs for [BullMQ], stored as its own `Queue.add` stores them, so that its ordinary workers run
//! them.
//!
//! BullMQ adds a job with one of its Lua scripts, over a connection of Redis's own protocol. The
//! same scripts run here over whatever a [`Client`](crate::redis::Client) is reached by, Upstash's
//! REST too, and the options and fields of a job have BullMQ's names.
//!
//! - [`Queue`] adds jobs, one or many at a time, and tells how many there are and how one fares.
//! - [`JobOptions`] are BullMQ's: typed here, or read from JSON with BullMQ's names.
//! - A job has an id in any case, so a call whose answer was lost is repeated without adding the
//!   job twice.
//!
//! Flows and schedulers are left to BullMQ: their options are refused by name.
//!
//! [BullMQ]: https://docs.bullmq.io

mod bulk;
mod bullmq;
mod counts;
mod data;
mod id;
mod job;
mod name;
mod option_names;
mod options;
mod producer;
mod progress;
mod refusal;
mod route;

pub use bulk::NewJob;
pub use bullmq::Bullmq;
pub use counts::Counts;
pub use options::{Backoff, Deduplication, JobOptions, Keep};
pub use producer::Queue;
pub use progress::{JobProgress, JobState};
#[doc(hidden)]
pub use {
    id::new_id,
    job::Job,
    name::QueueName,
    route::{Enqueue, Refusal},
};
