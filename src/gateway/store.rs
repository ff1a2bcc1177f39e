//! What the gateway asks the store, and how it reads the reply: the two ends of `admit.lua`.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::{Timestamp, millis};
use crate::engine::limit::sliding_window::{Cut, TOLERANCE};
use crate::engine::limit::{Charge, Verdict};
use crate::redis::{Script, Value};

/// The one script.
pub static ADMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("admit.lua")));

/// One call of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// KEYS.
    pub keys: Vec<String>,
    /// ARGV.
    pub args: Vec<String>,
    /// By how much the caller's clock was corrected when it told the time.
    pub(super) correction_ms: i64,
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
    /// How long whoever refreshes may take before another may; absent: this caller cannot.
    pub lease_for: Option<Duration>,
}

/// What the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether the limits that are enforced are all met; then all are charged.
    pub admitted: bool,
    /// How many milliseconds the store's clock is ahead of the caller's, where it was asked.
    pub clock_offset: Option<i64>,
    /// What each limit says.
    pub verdicts: Vec<Verdict>,
    /// The cache entry.
    pub entry: Option<Bytes>,
    /// Whether this caller is the one to refresh it.
    pub refresh: bool,
}

impl Ask {
    /// Asks about limits and, if there is one, a cache entry. `ask_time`: also how far the clock of
    /// this isolate is off.
    pub fn new(
        charges: &[Charge],
        lookup: Option<&Lookup>,
        now: Timestamp,
        ask_time: bool,
    ) -> Self {
        let mut keys: Vec<_> = charges.iter().map(|limit| limit.key.clone()).collect();
        let lease_for = lookup
            .and_then(|lookup| lookup.lease_for)
            .unwrap_or_default();
        let mut args = vec![
            now.as_millis().to_string(),
            charges.len().to_string(),
            millis(TOLERANCE).to_string(),
            millis(lease_for).to_string(),
            u8::from(ask_time).to_string(),
        ];
        for limit in charges {
            let cut = Cut::of(limit.quota.window);
            let numbers = [limit.quota.permits, limit.cost, cut.width, cut.buckets];
            args.extend(numbers.map(|n| n.to_string()));
            args.push(u8::from(limit.enforced).to_string());
        }
        if let Some(lookup) = lookup {
            keys.extend([lookup.entry.clone(), lookup.lease.clone()]);
        }
        Self {
            keys,
            args,
            correction_ms: 0,
            limits: charges.len(),
            cached: lookup.is_some(),
        }
    }

    /// Whether the cache is asked, too.
    pub const fn asks_cache(&self) -> bool {
        self.cached
    }

    /// Reads the reply to this; `None` if it is not one.
    pub fn read(&self, reply: Value) -> Option<Reply> {
        let Value::Array(items) = reply else {
            return None;
        };
        let mut items = items.into_iter();
        let admitted = items.next()?.as_int()? == 1;
        let clock_offset = items.next()?.as_int();
        let mut verdicts = Vec::with_capacity(self.limits);
        for _ in 0..self.limits {
            let mut number = || u64::try_from(items.next()?.as_int()?).ok();
            verdicts.push(Verdict {
                met: number()? == 1,
                remaining: number()?,
                retry_after: Duration::from_millis(number()?),
                reset_after: Duration::from_millis(number()?),
            });
        }
        let (mut entry, mut refresh) = (None, false);
        if self.cached {
            entry = items.next()?.into_bytes();
            refresh = items.next()?.as_int()? == 1;
        }
        Some(Reply {
            admitted,
            clock_offset,
            verdicts,
            entry,
            refresh,
        })
    }
}
