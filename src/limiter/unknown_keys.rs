//! API keys that nobody has asked the store about, from addresses that are refused.
//!
//! A client that is refused for its address could add a made-up key to each request, and the store
//! would be asked whether that one is registered. So it is asked about a few of them only, and
//! about those that come again: whoever has a registered key sends it again, and is known from then
//! on.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::{Bucket, Buckets, Charge, Role};
use crate::engine::recent::Recent;
use crate::engine::registry::{RecordNames, Standing};

use super::memory::LimitMemory;

/// How many keys and addresses are remembered.
const KEYS: usize = 10_000;
const ADDRESSES: usize = 1_000;

/// About how many keys the store is asked in a period when they come for the first time from an
/// address that is refused.
const FIRST: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);

/// How often it is asked about a key that has come before, and how long before that at least.
const AGAIN: Duration = Duration::from_secs(1);

/// Unknown keys from addresses that are refused.
#[derive(Debug)]
pub struct UnknownKeys {
    /// When keys have come first.
    seen: Recent<Timestamp>,
    addresses: Recent<Asked>,
}

/// How often the store was asked about unknown keys from an address.
#[derive(Debug, Clone, Copy)]
struct Asked {
    since: Timestamp,
    first: u32,
    /// When it was asked about one that has come before.
    again: Timestamp,
}

impl Default for UnknownKeys {
    fn default() -> Self {
        Self {
            seen: Recent::new(KEYS),
            addresses: Recent::new(ADDRESSES),
        }
    }
}

impl UnknownKeys {
    /// Whether a request with these charges counts as one without a key, because its address is
    /// refused and its key, which has this record, is none that is known to be registered.
    pub fn hides(
        &mut self,
        record: &RecordNames,
        charges: &[Charge],
        memory: &LimitMemory,
        now: Timestamp,
    ) -> bool {
        let is_unknown = match memory.standing(record.current(), now) {
            Some((Standing::Registered { .. }, _)) => false,
            Some((Standing::Unregistered, recent)) => !recent,
            None => true,
        };
        if !is_unknown {
            return false;
        }
        let mut refused = charges.iter().filter_map(|charge| {
            let bucket = without_key(charge).filter(|_| charge.role == Role::Enforce)?;
            let enough = charge.quota(bucket).without(charge.kept).permits;
            let denied = &memory.denied;
            let is_refused = denied.refused_until(&bucket.key, charge.cost, enough, now);
            let held = || memory.penalties.held_until(&bucket.key, now);
            let is_held = charge.penalty.is_some() && held().is_some();
            (is_held || is_refused.is_some()).then_some(bucket)
        });
        let bucket = refused.next();
        bucket.is_some_and(|bucket| !self.may_ask(record.current(), &bucket.key, now))
    }

    /// Whether the store is asked about a key with this record, although its address is refused,
    /// which is known by `address`.
    fn may_ask(&mut self, record: &str, address: &str, now: Timestamp) -> bool {
        let seen = self.seen.get(record).copied();
        let known = self.addresses.get(address).copied();
        let lasts = |asked: &Asked| asked.since <= now && now.since(asked.since) < PERIOD;
        let mut asked = known.filter(lasts).unwrap_or(Asked {
            since: now,
            first: 0,
            again: Timestamp::default(),
        });
        let may = match seen {
            Some(at) => {
                let may = now.since(at) >= AGAIN && now.since(asked.again) >= AGAIN;
                asked.again = if may { now } else { asked.again };
                may
            }
            None => {
                self.seen.insert(record.to_owned(), now);
                asked.first = asked.first.saturating_add(1);
                asked.first <= FIRST
            }
        };
        self.addresses.insert(address.to_owned(), asked);
        may
    }
}

/// Where a request counts if its key is not registered, if that depends on its key.
const fn without_key(charge: &Charge) -> Option<&Bucket> {
    match &charge.buckets {
        Buckets::ByStanding { without, .. } => without.as_ref(),
        Buckets::One(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + ms)
    }

    #[test]
    fn ever_new_keys_are_asked_about_ten_times_a_minute() {
        let mut keys = UnknownKeys::default();
        let mut asked = 0;
        for n in 0..60_000 {
            asked += u32::from(keys.may_ask(&n.to_string(), "a", at(n)));
        }
        assert_eq!(asked, 10);
        assert!(keys.may_ask("new", "a", at(60_000)));
        assert!(keys.may_ask("new too", "b", at(60_000)), "another address");
    }

    #[test]
    fn keys_that_come_again_are_asked_about_once_a_second() {
        let mut keys = UnknownKeys::default();
        for n in 0..20 {
            keys.may_ask(&n.to_string(), "a", at(0));
        }
        assert!(!keys.may_ask("19", "a", at(999)));
        let asked = (1_000..6_000).filter(|ms| keys.may_ask(&(ms % 20).to_string(), "a", at(*ms)));
        assert_eq!(asked.count(), 5);
    }

    #[test]
    fn memory_is_bounded() {
        let mut keys = UnknownKeys::default();
        for n in 0..50_000 {
            keys.may_ask(&n.to_string(), &n.to_string(), at(0));
        }
        assert!(keys.seen.len() <= KEYS && keys.addresses.len() <= ADDRESSES);
    }
}
