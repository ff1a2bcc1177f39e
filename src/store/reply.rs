//! The reply of `admit.lua` to an [`Ask`].

use std::time::Duration;

use bytes::Bytes;

use crate::engine::limit::{Receipt, Verdict};
use crate::engine::registry::Standing;
use crate::redis::Value;

use super::ask::Ask;

/// What the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether the limits that are enforced are all met; then all are charged.
    pub outcome: Outcome,
    /// How many milliseconds the store's clock is ahead of the caller's, where it was asked.
    pub clock_offset: Option<i64>,
    /// How the client's API key stands, where that was asked.
    pub standing: Standing,
    /// How many states could not be read, and were taken for empty.
    pub unreadable: u64,
    /// What each limit says; `None` where it does not apply to this client.
    pub limits: Vec<Option<LimitReply>>,
    /// What the cache says, where it was asked.
    pub cached: Option<EntryReply>,
}

/// What the cache says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryReply {
    /// The entry.
    pub entry: Stored,
    /// Who is the one to refresh it.
    pub lease: Lease,
    /// The values of its epoch keys: those of an entry that is made now.
    pub epochs: String,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Nothing, or nothing that is still good.
    Nothing,
    /// What the caller has at hand.
    Same,
    /// This.
    Entry(Bytes),
}

/// Who is to fetch an entry that is missing or stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Whoever asked: it holds the lease.
    Granted,
    /// Another one, who holds the lease.
    HeldElsewhere,
    /// Nobody, as far as the store knows: it is fresh, or whoever asked cannot.
    NotDue,
    /// Each for itself: the last answer could not be stored.
    Uncacheable,
}

impl Lease {
    /// Whether whoever asked holds the lease.
    pub const fn is_granted(self) -> bool {
        matches!(self, Self::Granted)
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All limits are met, and charged.
    Admitted,
    /// They were, and charged, by an earlier call of which this is a repeat.
    Repeated,
    /// Refused by a limit; none is charged.
    Refused,
    /// Sent a second time, and the store cannot tell whether the first one was carried out: it had to
    /// forget ids, or the call was to give something back, which it does once only. Nothing is done now.
    Unsure,
}

/// What one limit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReply {
    /// Permits in a window, for this client.
    pub quota: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Where the request was charged, if it was.
    pub receipt: Option<Receipt>,
    /// What was lent ahead.
    pub granted: Option<Granted>,
}

/// Permits that the store lent ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Where they are counted.
    pub receipt: Receipt,
    /// How many.
    pub permits: u64,
    /// How long after the call they are void.
    pub void_after: Duration,
}

impl Ask {
    /// Reads the reply to this; `None` if it is not one.
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

/// Reads what one limit says; the inner `None`: it does not apply.
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

/// How many words each limit has in the reply.
const REPLIES: usize = 10;
