//! The store as the gateway sees it: `admit.lua` in Rust, built on the model of the sliding window
//! (`engine::limit::sliding_window`), with the time as a parameter.

#![allow(dead_code, reason = "every test binary uses its own part of this")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's model may fail loudly"
)]

#[path = "model/head.rs"]
mod head;

use std::collections::BTreeMap;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::{Cut, State, TOLERANCE};
use omnitrade_edge::engine::limit::{Lend, Quota};
use omnitrade_edge::engine::registry::Registration;
use omnitrade_edge::redis::Value;

use head::Head;

/// Keys with their values and the instants at which they expire.
#[derive(Debug, Default, Clone, Hash)]
pub struct ModelStore {
    keys: BTreeMap<String, (String, Timestamp)>,
}

/// One limit of a call.
struct Limit<'a> {
    key: &'a str,
    quota: u64,
    cost: u64,
    cut: Cut,
    kept: u64,
    role: &'a str,
    lend: u64,
    term: Duration,
    unlent: u64,
    back: &'a str,
    rush: u64,
    owed: u64,
    /// What was stored, if it could be read.
    state: State,
    changed: bool,
    tells: bool,
    /// Whether the state was written under another configuration.
    cut_anew: bool,
}

impl Limit<'_> {
    /// The whole quota, with a window of this cut.
    fn whole(&self) -> Quota {
        Quota {
            permits: self.quota,
            window: Duration::from_millis(self.cut.width * self.cut.buckets),
        }
    }

    /// The part of the quota that this request may use.
    fn ceiling(&self) -> Quota {
        self.whole().without(self.kept)
    }

    /// Whether the state has seen a later time than a right caller can tell.
    fn is_ahead(&self, caller: Timestamp) -> bool {
        self.state.seen() > caller + TOLERANCE
    }

    /// Whether the state would have expired by the caller's time.
    fn is_over(&self, caller: Timestamp) -> bool {
        let over = self.state.expires_at(self.cut) + TOLERANCE + TOLERANCE;
        !self.state.is_empty() && over < caller
    }

    fn give_back(&mut self) {
        let Some((tag, list)) = self.back.split_once(' ') else {
            return;
        };
        let before = self.state.clone();
        let numbers: Vec<u64> = list
            .split(' ')
            .map(|n| n.parse().expect("a number"))
            .collect();
        if tag == "*" {
            self.state.give_back_oldest(numbers[0]);
        } else if tag == format!("{:x}", self.state.tag()) {
            for part in numbers.chunks(2) {
                self.state.give_back(part[0], part[1]);
            }
        }
        self.changed |= self.state != before;
    }
}

impl ModelStore {
    /// `SET key value PX ttl_ms` at `server`, the store's time.
    pub fn set(&mut self, key: &str, value: &str, ttl_ms: u64, server: Timestamp) {
        assert!(ttl_ms > 0, "Redis takes no empty TTL");
        let expires = server + Duration::from_millis(ttl_ms);
        self.keys
            .insert(key.to_owned(), (value.to_owned(), expires));
    }

    /// One call of `keep.lua`.
    pub fn keep(&mut self, keys: &[String], args: &[String], server: Timestamp) -> Value {
        let [value, version, epochs, ttl_ms] = args else {
            panic!("four arguments: {args:?}");
        };
        let (entry, of) = keys.split_first().expect("the entry's key");
        let current: Vec<_> = of.iter().map(|key| self.text(key).unwrap_or("-")).collect();
        let stored = self.text(entry).and_then(Head::read);
        let stored = stored.filter(|head| head.epochs == *epochs);
        let number = |text: &str| text.parse::<u128>().ok();
        let newer = stored.is_some_and(|head| number(&head.version) > number(version));
        if current.join(",") != *epochs {
            return Value::Int(-1);
        }
        if !newer {
            self.set(entry, value, ttl_ms.parse().expect("a number"), server);
        }
        Value::Int(i64::from(!newer))
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

    /// Removes expired keys and returns their names.
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

    /// The script's reply to `keys` and `args` at `server`, the store's time. `repeated`: the last
    /// argument.
    pub fn call(&mut self, keys: &[String], args: &[String], server: Timestamp) -> Value {
        self.call_again(keys, args, server, false)
    }

    /// The script's reply to a call that may have been carried out before.
    pub fn call_again(
        &mut self,
        keys: &[String],
        args: &[String],
        server: Timestamp,
        repeated: bool,
    ) -> Value {
        self.expire(server);
        let number = |n: usize| args[n].parse::<u64>().expect("a number");
        let place = |n: usize| usize::try_from(number(n)).expect("a small number");
        let (caller, count) = (Timestamp::from_millis(number(0)), place(1));
        assert_eq!(Duration::from_millis(number(2)), TOLERANCE);
        assert_eq!(args.len(), 12 + count * 16);
        let (id, horizon) = (args[5].as_str(), Duration::from_millis(number(6)));
        let mut records = args[7].split(' ').filter_map(|place| {
            let place: usize = place.parse().expect("a number");
            self.text(&keys[place.checked_sub(1)?])
        });
        let plan = records.find_map(Registration::parse).map(|r| r.plan);
        let mut unreadable = 0;
        let mut limits: Vec<_> = (0..count)
            .map(|n| {
                let at = |m: usize| 11 + n * 16 + m;
                let key = place(at(if plan.is_some() { 2 } else { 1 })).checked_sub(1)?;
                let mut quota = number(at(if plan.is_some() { 4 } else { 3 }));
                if let Some(Some(plan)) = &plan {
                    let plans = args[at(5)]
                        .split(' ')
                        .filter_map(|word| word.split_once('='));
                    if let Some((_, permits)) = plans.into_iter().find(|(name, _)| name == plan) {
                        quota = permits.parse().expect("a number");
                    }
                }
                let cut = Cut {
                    width: number(at(8)),
                    buckets: number(at(9)),
                };
                let text = self.text(&keys[key]);
                let width = text.and_then(|text| text.split(' ').nth(3)?.parse().ok());
                let state = text.map(|text| State::parse_strictly(text, cut));
                unreadable += i64::from(state == Some(None));
                Some(Limit {
                    key: &keys[key],
                    quota,
                    cost: number(at(7)),
                    cut,
                    kept: number(at(6)),
                    role: &args[at(10)],
                    lend: number(at(11)),
                    term: Duration::from_millis(number(at(12))),
                    unlent: number(at(13)),
                    back: &args[at(14)],
                    rush: number(at(15)),
                    owed: number(at(16)),
                    cut_anew: width != Some(cut.width),
                    state: state.flatten().unwrap_or_default(),
                    changed: false,
                    tells: false,
                })
            })
            .collect();
        let all = || limits.iter().flatten();
        let contradicts = |limit: &Limit<'_>| limit.is_ahead(caller) || limit.is_over(caller);
        let tell = number(4) == 1 || all().any(contradicts);
        let offset = millis(server) - millis(caller);
        let wrong = tell && offset.unsigned_abs() > number(2);
        let mine = if wrong { server } else { caller };
        for limit in limits.iter_mut().flatten() {
            let over = tell && !limit.cut_anew && limit.is_over(server);
            if over || limit.is_ahead(mine) {
                limit.state.mend(limit.cut, over, mine);
            }
        }
        let all = || limits.iter().flatten();
        let seen = all().map(|limit| limit.state.seen()).max();
        let now = mine.max(seen.unwrap_or_default());

        let there = |limit: &&Limit<'_>| !limit.state.is_empty();
        let known = all()
            .filter(there)
            .map(|l| l.state.has_seen(id, horizon, now));
        let known: Vec<_> = known.collect();
        let done = known.contains(&Some(true));
        // A refused call that told something has left its id in small letters.
        let told_id = id.to_lowercase();
        let has_told = |l: &Limit<'_>| l.state.has_seen(&told_id, horizon, now) == Some(true);
        let told = all().filter(there).any(has_told);
        let mut unsure = repeated && !done && known.contains(&None);
        for limit in limits.iter_mut().flatten() {
            if !limit.back.is_empty() && repeated && !done {
                unsure |= limit.role == "peek" || limit.role == "settle";
                limit.back = "";
            }
        }

        for limit in limits.iter_mut().flatten() {
            limit.state.forget(limit.whole(), now);
            if !done && !unsure {
                limit.give_back();
                limit.state.forget(limit.whole(), now);
            }
            if limit.state.is_empty() && limit.changed {
                limit.changed = false;
                self.keys.remove(limit.key);
            }
            limit.tells = limit.owed > 0 && !done && !told && !unsure;
            if limit.tells {
                limit.state.charge(limit.whole(), limit.owed, now);
                limit.changed = true;
            }
        }
        let check = |limit: &Limit<'_>| limit.state.check(limit.ceiling(), limit.cost, now);
        let refuses = |limit: &Limit<'_>| limit.role == "enforce" && !check(limit).met;
        let mut admitted = done || !unsure && !limits.iter().flatten().any(refuses);

        let cache = (place(8) > 0).then(|| (&keys[place(8) - 1], &keys[place(8)]));
        let (mut entry, mut refresh, mut calls_origin) = (None, false, true);
        let mut void = false;
        let (mut lease, mut epochs, mut taken) = (String::new(), String::new(), false);
        if let Some((entry_key, lease_key)) = cache {
            let current = keys.iter().skip(place(8) + 1).take(place(9));
            let current: Vec<_> = current.map(|key| self.text(key).unwrap_or("-")).collect();
            epochs = current.join(",");
            let stored = self.text(entry_key).and_then(Head::read);
            entry = self.text(entry_key).map(str::to_owned);
            let is_any = entry.is_some();
            entry = entry.filter(|_| stored.as_ref().is_some_and(|head| head.epochs == epochs));
            void = is_any && entry.is_none();
            let fresh_until = stored.as_ref().filter(|_| entry.is_some());
            let fresh_until = fresh_until.map_or(0, |head| head.fresh_until);
            let none = if is_any { "1" } else { "0" };
            let stamp = stored.map_or_else(|| none.to_owned(), |head| head.stamp);
            lease = format!("{stamp} {id}");
            let held = self.text(lease_key).unwrap_or_default();
            taken = held.split_once(' ').is_some_and(|(of, _)| of == stamp) && held != lease;
            refresh = number(3) > 0
                && fresh_until <= mine.as_millis() + number(10)
                && !matches!(held, "u" | "f")
                && !taken;
            calls_origin = refresh || entry.is_none() && !(taken && number(3) > 0);
        }
        let blocks = |limit: &Limit<'_>| limit.role == "origin" && !check(limit).met;
        if calls_origin && limits.iter().flatten().any(blocks) {
            refresh = false;
            admitted &= entry.is_some();
        }

        let behind = now.since(mine);
        let later = |wait: Duration| match wait.is_zero() {
            true => 0,
            false => signed(wait + behind),
        };
        let outcome = match (unsure, done) {
            (true, _) => 2,
            (_, true) => 3,
            _ => i64::from(admitted),
        };
        let mut reply = vec![
            Value::Int(outcome),
            match tell {
                true => Value::Int(offset),
                false => Value::Null,
            },
            match &plan {
                Some(plan) => Value::from(plan.as_deref().unwrap_or_default()),
                None => Value::Null,
            },
            Value::Int(unreadable),
        ];
        for limit in &mut limits {
            let Some(limit) = limit else {
                reply.push(Value::Int(-1));
                reply.extend([0; 4].map(Value::Int));
                reply.push(Value::Null);
                reply.extend([0; 4].map(Value::Int));
                continue;
            };
            let verdict = check(limit);
            let role = limit.role;
            let settles = role == "settle" && !done && !unsure;
            let may = verdict.met && role != "peek" && (role != "origin" || calls_origin);
            let mut lent = None;
            if settles || admitted && !done && may {
                let (whole, cost, lend) = (limit.whole(), limit.cost, limit.lend);
                if cost > 0 {
                    limit.state.charge(whole, cost, now);
                    limit.changed = true;
                }
                let (lendable, term) = (whole.without(limit.unlent).permits, limit.term);
                let wanted = Lend {
                    permits: lend,
                    term,
                    rush: limit.rush,
                };
                let permits = limit.state.lend(whole, lendable, wanted, now);
                limit.changed |= permits.permits > 0;
                lent = Some(permits).filter(|lent| lent.permits > 0);
            }
            if limit.changed {
                let id = match (admitted, limit.tells) {
                    (true, _) => id,
                    (false, true) => &told_id,
                    (false, false) => "",
                };
                limit.state.remember(id, horizon, now, limit.cut);
                let text = limit.state.to_text(limit.cut).expect("it was charged");
                let left = limit.state.expires_at(limit.cut).since(now) + TOLERANCE;
                self.keys
                    .insert(limit.key.to_owned(), (text, server + left));
            }
            let after = check(limit);
            let (bucket, void) = lent.map_or((0, 0), |l| (l.bucket, signed(l.void_after)));
            reply.extend([
                Value::Int(i64::from(verdict.met)),
                number_of(limit.quota),
                number_of(after.remaining),
                Value::Int(match verdict.met {
                    true => 0,
                    false => later(verdict.retry_after),
                }),
                Value::Int(later(after.reset_after)),
                match limit.changed {
                    true => Value::from(format!("{:x}", limit.state.tag()).as_str()),
                    false => Value::Null,
                },
                number_of(limit.cut.bucket(now)),
                number_of(lent.map_or(0, |lent| lent.permits)),
                number_of(bucket),
                Value::Int(void),
            ]);
        }
        if let Some((_, lease_key)) = cache {
            let refresh = refresh && admitted;
            if refresh {
                self.set(lease_key, &lease, number(3), server);
            }
            let known = args[11].as_str();
            reply.push(match entry.filter(|_| admitted) {
                Some(text) if !known.is_empty() && text.starts_with(known) => Value::Int(1),
                Some(text) => Value::Bytes(text.into()),
                None if void && admitted => Value::Int(0),
                None => Value::Null,
            });
            let unstored = self.text(lease_key) == Some("u");
            reply.push(Value::Int(match (refresh, unstored, taken) {
                (true, ..) => 1,
                (_, true, _) => 2,
                (.., true) => 3,
                _ => 0,
            }));
            reply.push(Value::from(epochs.as_str()));
        }
        Value::Array(reply)
    }
}

fn number_of(number: u64) -> Value {
    Value::Int(i64::try_from(number).expect("a small number"))
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).expect("an instant in this era")
}

fn signed(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).expect("a short time")
}
