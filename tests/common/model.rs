//! The store as the gateway sees it: `admit.lua`, written on the Rust model of the sliding window
//! (`engine::limit::sliding_window`), on a clock that is told.

#![allow(dead_code, reason = "every test binary uses its own part of this")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's model may fail loudly"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::{Cut, State, TOLERANCE};
use omnitrade_edge::engine::limit::{Quota, Verdict};
use omnitrade_edge::redis::Value;

/// Keys with their values and the instants at which they expire.
#[derive(Debug, Default)]
pub struct ModelStore {
    keys: BTreeMap<String, (String, Timestamp)>,
}

/// One limit of a call.
struct Limit<'a> {
    key: &'a str,
    quota: Quota,
    cost: u64,
    cut: Cut,
    enforced: bool,
    state: State,
}

impl ModelStore {
    /// `SET key value PX ttl_ms` at `server`, the store's time.
    pub fn set(&mut self, key: &str, value: &str, ttl_ms: u64, server: Timestamp) {
        assert!(ttl_ms > 0, "Redis takes no empty TTL");
        let expires = server + Duration::from_millis(ttl_ms);
        self.keys
            .insert(key.to_owned(), (value.to_owned(), expires));
    }

    /// `DEL key`.
    pub fn delete(&mut self, key: &str) {
        self.keys.remove(key);
    }

    /// `GET key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(|(value, _)| value.as_str())
    }

    /// When a key expires.
    pub fn expires(&self, key: &str) -> Option<Timestamp> {
        self.keys.get(key).map(|(_, expires)| *expires)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Removes what has expired, and says what that was.
    pub fn expire(&mut self, server: Timestamp) -> Vec<String> {
        let over = |(_, expires): &(String, Timestamp)| *expires <= server;
        let gone: Vec<_> = self
            .keys
            .iter()
            .filter(|(_, value)| over(value))
            .map(|(key, _)| key.clone())
            .collect();
        self.keys.retain(|_, value| !over(value));
        gone
    }

    /// What the script answers to `keys` and `args` at `server`, the store's time.
    pub fn call(&mut self, keys: &[String], args: &[String], server: Timestamp) -> Value {
        self.expire(server);
        let number = |n: usize| args[n].parse::<u64>().expect("a number");
        let (caller, count) = (Timestamp::from_millis(number(0)), number(1));
        let count = usize::try_from(count).expect("a small number");
        assert_eq!(Duration::from_millis(number(2)), TOLERANCE);
        let mut limits: Vec<_> = (0..count)
            .map(|n| {
                let at = |m| number(5 + n * 5 + m);
                let cut = Cut {
                    width: at(2),
                    buckets: at(3),
                };
                Limit {
                    key: &keys[n],
                    // A window that is cut like this.
                    quota: Quota {
                        permits: at(0),
                        window: Duration::from_millis(cut.width * cut.buckets),
                    },
                    cost: at(1),
                    cut,
                    enforced: at(4) == 1,
                    state: State::parse(self.text(&keys[n]).unwrap_or_default(), cut),
                }
            })
            .collect();
        let ahead = |limit: &Limit<'_>| limit.state.seen() > caller + TOLERANCE;
        let tell = number(4) == 1 || limits.iter().any(ahead);
        let offset = millis(server) - millis(caller);
        let wrong = tell && offset.unsigned_abs() > number(2);
        let mine = if wrong { server } else { caller };
        let seen = limits.iter().map(|limit| limit.state.seen()).max();
        let now = mine.max(seen.unwrap_or_default());

        let mut verdicts: Vec<_> = limits
            .iter()
            .map(|limit| limit.state.check(limit.quota, limit.cost, now))
            .collect();
        let admitted = limits
            .iter()
            .zip(&verdicts)
            .all(|(limit, verdict)| verdict.met || !limit.enforced);
        for (limit, verdict) in limits.iter_mut().zip(&mut verdicts) {
            if admitted && verdict.met {
                limit.state.charge(limit.quota, limit.cost, now);
                *verdict = Verdict {
                    met: true,
                    retry_after: Duration::ZERO,
                    ..limit.state.check(limit.quota, limit.cost, now)
                };
                let text = limit.state.to_text(limit.cut).expect("it was charged");
                let left = limit.state.expires_at(limit.cut).since(now) + TOLERANCE;
                let expires = server + left;
                self.keys.insert(limit.key.to_owned(), (text, expires));
            }
        }

        let behind = now.since(mine);
        let later = |wait: Duration| match wait.is_zero() {
            true => 0,
            false => signed(wait + behind),
        };
        let mut reply = vec![
            Value::Int(i64::from(admitted)),
            match tell {
                true => Value::Int(offset),
                false => Value::Null,
            },
        ];
        for verdict in verdicts {
            reply.extend([
                Value::Int(i64::from(verdict.met)),
                Value::Int(i64::try_from(verdict.remaining).expect("a small number")),
                Value::Int(later(verdict.retry_after)),
                Value::Int(later(verdict.reset_after)),
            ]);
        }
        if let [entry, lease] = &keys[count..] {
            reply.extend(self.cached(entry, lease, admitted, number(3), mine, server));
        }
        Value::Array(reply)
    }

    fn cached(
        &mut self,
        entry: &str,
        lease: &str,
        admitted: bool,
        lease_for: u64,
        mine: Timestamp,
        server: Timestamp,
    ) -> [Value; 2] {
        let stored = self.text(entry).map(str::to_owned);
        let instant = |text: &str| text.parse().map(Timestamp::from_millis).ok();
        let fresh_until = stored
            .as_deref()
            .and_then(|text| instant(text.strip_prefix("1 ")?.split(' ').next()?))
            .unwrap_or_default();
        let held = self.text(lease).and_then(instant);
        let free = held.is_none_or(|held| held < fresh_until);
        let mine_to_refresh = admitted && lease_for > 0 && fresh_until <= mine && free;
        if mine_to_refresh {
            self.set(lease, &mine.as_millis().to_string(), lease_for, server);
        }
        [
            stored
                .filter(|_| admitted)
                .map_or(Value::Null, |text| Value::Bytes(text.into())),
            Value::Int(i64::from(mine_to_refresh)),
        ]
    }
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).expect("an instant in this era")
}

fn signed(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).expect("a short time")
}
