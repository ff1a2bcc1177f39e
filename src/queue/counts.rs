//! How many jobs a queue has, by state.

use crate::error::Error;
use crate::redis::{Command, FromValue, Value};

use super::name::QueueName;

/// How many jobs there are in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// They can run at once, or as soon as the queue is resumed.
    pub waiting: u64,
    /// They were added while the queue was paused, by BullMQ 5.
    pub paused: u64,
    /// They can run, those with the lowest priority first.
    pub prioritized: u64,
    /// They are being run.
    pub active: u64,
    /// Their time has not come.
    pub delayed: u64,
    /// They wait for other jobs of their flow.
    pub waiting_children: u64,
    /// They are done, and are kept.
    pub completed: u64,
    /// They have failed for good, and are kept.
    pub failed: u64,
    /// Whether the queue is paused.
    pub is_paused: bool,
    /// The version of the BullMQ whose `Queue` last opened it, such as `bullmq:5.81.3`.
    pub version: Option<String>,
}

pub(super) fn commands(queue: &QueueName) -> Vec<Command> {
    let list = |name| Command::new("LLEN").arg(&queue.key(name));
    let set = |name| Command::new("ZCARD").arg(&queue.key(name));
    vec![
        list("wait"),
        list("paused"),
        set("prioritized"),
        list("active"),
        set("delayed"),
        set("waiting-children"),
        set("completed"),
        set("failed"),
        Command::new("HMGET")
            .arg(&queue.key("meta"))
            .args(["paused", "version"]),
    ]
}

pub(super) fn read(replies: Vec<Result<Value, Error>>) -> Result<Counts, Error> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().unwrap_or(Ok(Value::Null));
    let mut count = || u64::from_value(next()?);
    let counts = Counts {
        waiting: count()?,
        paused: count()?,
        prioritized: count()?,
        active: count()?,
        delayed: count()?,
        waiting_children: count()?,
        completed: count()?,
        failed: count()?,
        is_paused: false,
        version: None,
    };
    let (paused, version): (Option<String>, Option<String>) = FromValue::from_value(next()?)?;
    Ok(Counts {
        is_paused: paused.is_some(),
        version,
        ..counts
    })
}
