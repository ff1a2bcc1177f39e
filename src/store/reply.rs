//! The reply of `admit.lua` to an [`Ask`].

use std::time::Duration;

use bytes::Bytes;

use crate::engine::limit::{Receipt, Verdict};
use crate::engine::registry::Standing;
use crate::redis::Value;

use super::ask::Ask;

/// The reply of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether all enforced limits are met. If they are, every limit that is met is charged.
    pub outcome: Outcome,
    /// How many milliseconds the store's clock is ahead of the caller's, if the call asked for it.
    pub clock_offset: Option<i64>,
    /// The standing of the client's API key, if the call asked for it.
    pub standing: Standing,
    /// How many states could not be read and were treated as empty.
    pub unreadable: u64,
    /// The reply for each limit; `None` if the limit does not apply to this client.
    pub limits: Vec<Option<LimitReply>>,
    /// The reply for the cache, if the call asked for it.
    pub cached: Option<EntryReply>,
}

/// The reply for the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryReply {
    /// The entry.
    pub entry: Stored,
    /// Whether the caller is to refresh the entry.
    pub lease: Lease,
    /// The current values of its epoch keys, which an entry that is made now must carry.
    pub epochs: String,
}

/// The stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// No entry.
    Nothing,
    /// One of other epochs than those that were asked for: it was purged, or has other tags.
    Void,
    /// The entry that the caller has already.
    Same,
    /// This entry.
    Entry(Bytes),
}

/// Who fetches an entry that is missing or stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// The caller: it now holds the lease.
    Granted,
    /// Another caller, which holds the lease.
    HeldElsewhere,
    /// Nobody, as far as the store knows: the entry is fresh, or this caller cannot refresh.
    NotDue,
    /// Every caller for itself: the last response could not be stored.
    Uncacheable,
}

impl Lease {
    /// Whether the caller holds the lease.
    pub const fn is_granted(self) -> bool {
        matches!(self, Self::Granted)
    }
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All enforced limits are met, and every limit that is met is charged.
    Admitted,
    /// An earlier call, of which this is a repeat, was admitted and charged.
    Repeated,
    /// A limit refused the request; no limit is charged.
    Refused,
    /// The call was sent a second time, and the store cannot tell whether the first one was carried
    /// out: it had to forget ids, or the call was to give something back, which it does only once.
    /// The store does nothing now.
    Unsure,
}

/// The reply for one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReply {
    /// Permits in a window, for this client.
    pub quota: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Where the request was charged, if it was.
    pub receipt: Option<Receipt>,
    /// The permits that were lent ahead, if any.
    pub granted: Option<Granted>,
}

/// Permits that the store lent ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Where they are counted.
    pub receipt: Receipt,
    /// How many.
    pub permits: u64,
    /// How long after the call they become void.
    pub void_after: Duration,
}

impl Ask {
    /// Reads the reply to this call; `None` if it is not a valid one.
    pub fn read(&self, reply: Value) -> Option<Reply> {
        let mut items = reply.into_array()?.into_iter();
        let outcome = match items.next()?.as_int()? {
            0 => Outcome::Refused,
            1 => Outcome::Admitted,
            2 => Outcome::Unsure,
            3 => Outcome::Repeated,
            _ => return None,
        };
        let clock_offset = items.next()?.as_int();
        let standing = match items.next()? {
            Value::Null => Standing::Unregistered,
            plan => Standing::Registered {
                plan: Some(plan.as_str()?.to_owned()).filter(|plan| !plan.is_empty()),
            },
        };
        let unreadable = u64::try_from(items.next()?.as_int()?).ok()?;
        let mut limits = Vec::with_capacity(self.limits);
        for _ in 0..self.limits {
            let words: Vec<_> = items.by_ref().take(REPLIES).collect();
            limits.push(limit(&words)?);
        }
        let cached = match self.cached {
            true => Some(EntryReply {
                entry: match items.next()? {
                    Value::Null => Stored::Nothing,
                    Value::Int(0) => Stored::Void,
                    Value::Int(_) => Stored::Same,
                    entry => Stored::Entry(entry.into_bytes()?),
                },
                lease: match items.next()?.as_int()? {
                    1 => Lease::Granted,
                    2 => Lease::Uncacheable,
                    3 => Lease::HeldElsewhere,
                    _ => Lease::NotDue,
                },
                epochs: items.next()?.as_str()?.to_owned(),
            }),
            false => None,
        };
        Some(Reply {
            outcome,
            clock_offset,
            standing,
            unreadable,
            limits,
            cached,
        })
    }
}

/// Reads the reply for one limit; the inner `None` means that the limit does not apply.
fn limit(words: &[Value]) -> Option<Option<LimitReply>> {
    let number = |n: usize| u64::try_from(words.get(n)?.as_int()?).ok();
    let met = match words.first()?.as_int()? {
        -1 => return Some(None),
        met => met == 1,
    };
    let receipt_at = |bucket| {
        let tag = words.get(5)?.as_str()?.to_owned();
        Some(Receipt { tag, bucket })
    };
    let granted = match number(7)? {
        0 => None,
        permits => Some(Granted {
            receipt: receipt_at(number(8)?)?,
            permits,
            void_after: Duration::from_millis(number(9)?),
        }),
    };
    Some(Some(LimitReply {
        quota: number(1)?,
        verdict: Verdict {
            met,
            remaining: number(2)?,
            retry_after: Duration::from_millis(number(3)?),
            reset_after: Duration::from_millis(number(4)?),
        },
        receipt: receipt_at(number(6)?),
        granted,
    }))
}

/// The number of words for each limit in the reply.
const REPLIES: usize = 10;
