//! What the limiter asks the store, and how it reads the reply: the two ends of `admit.lua`.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::{Timestamp, millis};
use crate::engine::limit::sliding_window::{Cut, TOLERANCE};
use crate::engine::limit::{Buckets, Charge, Receipt, Verdict};
use crate::engine::registry::Standing;
use crate::redis::{Script, Value};

/// The one script. It knows a repeat of a call by its id, so a call may be sent again.
pub static ADMIT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("admit.lua")).repeatable());

/// How many words each limit has in the reply.
const REPLIES: usize = 10;

/// One call of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// KEYS.
    pub keys: Vec<String>,
    /// ARGV, but for the last one, which says whether this may be a repeat.
    pub args: Vec<String>,
    /// By how much the caller's clock was corrected when it told the time.
    pub correction_ms: i64,
    /// The time that it told.
    pub now: Timestamp,
    limits: usize,
    cached: bool,
}

/// The cache's part of an [`Ask`].
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The key of the entry.
    pub entry: String,
    /// The key of the refresh lease.
    pub lease: String,
    /// The keys of its epochs.
    pub epochs: Vec<String>,
    /// How long whoever refreshes may take before another may; absent: this caller cannot.
    pub lease_for: Option<Duration>,
    /// For how long before the entry goes stale it may be refreshed already.
    pub early: Duration,
    /// How the entry begins that the caller has at hand, if it has one: it is not sent again.
    pub known: Option<String>,
}

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
    pub cached: Option<Looked>,
}

/// What the cache says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The entry.
    pub entry: Stored,
    /// Who is the one to refresh it.
    pub refresh: Refresh,
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
pub enum Refresh {
    /// Whoever asked: it holds the lease.
    Mine,
    /// Another one, who is at it.
    Elsewhere,
    /// Nobody, as far as the store knows: it is fresh, or whoever asked cannot.
    NotDue,
    /// Each for itself: it was found out lately that the answer cannot be stored.
    Unstored,
}

impl Refresh {
    /// Whether whoever asked holds the lease.
    pub const fn is_mine(self) -> bool {
        matches!(self, Self::Mine)
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
    /// A call that tells the time `now`. Its id is not used again by anybody for as long as a repeat
    /// can come, `horizon`. `ask_time`: also how far the clock of this isolate is off.
    pub fn new(now: Timestamp, id: &str, horizon: Duration, ask_time: bool) -> Self {
        let args = vec![
            now.as_millis().to_string(),
            "0".to_owned(),
            millis(TOLERANCE).to_string(),
            "0".to_owned(),
            u8::from(ask_time).to_string(),
            id.to_owned(),
            millis(horizon).to_string(),
            "0".to_owned(),
            "0".to_owned(),
            "0".to_owned(),
            "0".to_owned(),
            String::new(),
        ];
        Self {
            keys: Vec::new(),
            args,
            correction_ms: 0,
            now,
            limits: 0,
            cached: false,
        }
    }

    /// Asks about a limit, too: `lend` more permits ahead, if they can be spared, and take `back` what
    /// was charged there.
    pub fn limit(&mut self, charge: &Charge, lend: u64, back: &[(Receipt, u64)]) {
        let back = back_word(back);
        self.push(charge, lend, back);
    }

    /// Asks to take back permits of this limit, whenever they were charged.
    pub fn refund(&mut self, charge: &Charge, permits: u64) {
        self.push(charge, 0, format!("* {permits}"));
    }

    fn push(&mut self, charge: &Charge, lend: u64, back: String) {
        let (without, with, plans) = match &charge.buckets {
            Buckets::One(bucket) => (Some(bucket), bucket, None),
            Buckets::ByStanding {
                without,
                with,
                plans,
            } => (without.as_ref(), with, Some(plans)),
        };
        let mut key = |key: &str| {
            self.keys.push(key.to_owned());
            self.keys.len()
        };
        let first = without.map_or(0, |bucket| key(&bucket.key));
        let second = match without {
            Some(bucket) if bucket.key == with.key => first,
            _ => key(&with.key),
        };
        let mut plan_words = String::new();
        for (name, permits) in plans.into_iter().flat_map(|plans| plans.iter()) {
            let _ = write!(plan_words, "{name}={permits} ");
        }
        let cut = Cut::of(charge.window);
        self.args.extend([first, second].map(|n| n.to_string()));
        let permits = without.map_or(0, |bucket| bucket.permits);
        self.args
            .extend([permits, with.permits].map(|n| n.to_string()));
        self.args.push(plan_words.trim_end().to_owned());
        let numbers = [charge.kept, charge.cost, cut.width, cut.buckets];
        self.args.extend(numbers.map(|n| n.to_string()));
        self.args.push(charge.role.as_str().to_owned());
        self.args
            .extend([lend, charge.unlent].map(|n| n.to_string()));
        self.args.push(back);
        self.limits += 1;
        self.set(1, self.limits.to_string());
    }

    /// Asks whether the client's API key is registered: `key` is its record's.
    pub fn record(&mut self, key: &str) {
        self.keys.push(key.to_owned());
        self.set(7, self.keys.len().to_string());
    }

    /// Asks the cache, too.
    pub fn look_up(&mut self, lookup: &Lookup) {
        let lease_for = millis(lookup.lease_for.unwrap_or_default());
        self.set(3, lease_for.to_string());
        self.keys.push(lookup.entry.clone());
        self.set(8, self.keys.len().to_string());
        self.keys.push(lookup.lease.clone());
        self.keys.extend(lookup.epochs.iter().cloned());
        self.set(9, lookup.epochs.len().to_string());
        self.set(10, millis(lookup.early).to_string());
        self.set(11, lookup.known.clone().unwrap_or_default());
        self.cached = true;
    }

    fn set(&mut self, at: usize, word: String) {
        if let Some(slot) = self.args.get_mut(at) {
            *slot = word;
        }
    }

    /// Whether anything is asked at all.
    pub const fn is_empty(&self) -> bool {
        self.limits == 0 && !self.cached
    }

    /// Whether the cache is asked, too.
    pub const fn asks_cache(&self) -> bool {
        self.cached
    }

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
            true => Some(Looked {
                entry: match items.next()? {
                    Value::Null => Stored::Nothing,
                    Value::Int(_) => Stored::Same,
                    entry => Stored::Entry(entry.into_bytes()?),
                },
                refresh: match items.next()?.as_int()? {
                    1 => Refresh::Mine,
                    2 => Refresh::Unstored,
                    3 => Refresh::Elsewhere,
                    _ => Refresh::NotDue,
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

/// What goes back, of one state: parts of another one than the last are left out, that one is lost.
fn back_word(back: &[(Receipt, u64)]) -> String {
    let Some((last, _)) = back.last() else {
        return String::new();
    };
    let mut word = last.tag.clone();
    let same = back.iter().filter(|(receipt, _)| receipt.tag == last.tag);
    for (receipt, permits) in same {
        let _ = write!(word, " {} {permits}", receipt.bucket);
    }
    word
}
