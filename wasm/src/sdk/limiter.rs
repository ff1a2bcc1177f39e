//! The limiter's verbs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use omnitrade_edge::clock::millis;
use omnitrade_edge::engine::limit::crowd::Patience;
use omnitrade_edge::engine::recent::Recent;
use omnitrade_edge::error::Error;
use omnitrade_edge::limiter::{
    Asking, Decided, LimitMemory, Limits, OnFailure, Penalty, Reason, Recalled, Rule, Source,
    Taking, Told, Work,
};
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::Ask;
use wasm_bindgen::prelude::*;

use super::lines;
use super::place::{Shelf, add_numbers, given, instant, number, put_numbers, put_texts, whole};

thread_local! {
    /// What is remembered of each store.
    static LIMITS: Shelf<Limits> = Shelf::default();
    static RULES: Shelf<Limit> = Shelf::default();
    static CALLS: Shelf<Call> = Shelf::default();
    /// How requests wait.
    static WAITING: Shelf<Patience> = Shelf::default();
    /// What the next request takes.
    static TAKEN: RefCell<Vec<Taken>> = const { RefCell::new(Vec::new()) };
}

/// A limit, and the keys of the subjects that came lately: to digest a name takes longer than all
/// else that memory does.
struct Limit {
    rule: Rc<Rule>,
    keys: Recent<Arc<str>>,
}

/// How many keys of subjects a limit remembers.
const KEYS: usize = 4_096;

/// A call that JavaScript makes, and the memory of the store that it is of.
struct Call {
    limits: u32,
    what: What,
}

enum What {
    Decide(Box<Asking>),
    Work(Work),
    Peek(Taken, Ask),
    Refund(Ask),
}

/// What is taken of one limit.
struct Taken {
    rule: Rc<Rule>,
    key: Arc<str>,
    cost: u64,
    quota: Option<u64>,
}

impl Taken {
    fn taking(&self) -> Taking<'_> {
        Taking {
            rule: &self.rule,
            key: &self.key,
            cost: self.cost,
            quota: self.quota,
        }
    }
}

/// The memory of a store whose calls take at most `timeout` milliseconds; zero: there is none, and
/// the process decides by exact windows of its own. `seed` is a random number below 2^53.
#[wasm_bindgen]
pub fn limits_new(timeout: f64, seed: f64) -> u32 {
    let limits = if timeout > 0.0 {
        Limits::new(Duration::from_millis(whole(timeout)), whole(seed))
    } else {
        Limits::without_store(LimitMemory::exact())
    };
    LIMITS.with(|all| all.put(limits))
}

pub fn forget_limits(limits: u32) {
    LIMITS.with(|all| drop(all.take(limits)));
}

/// A limit. Texts: its name, and the prefix of its keys. Durations are in milliseconds. `flags`: 1:
/// leases, 2: shadow, 4: open while the store fails, 8: closed then. `after` 0: no penalty.
#[wasm_bindgen]
pub fn rule_new(quota: f64, window: f64, flags: u32, after: f64, hold: f64, max: f64) -> u32 {
    let ms = |ms: f64| Duration::from_millis(whole(ms));
    let mut rule = Rule::new(whole(quota), ms(window))
        .named(given())
        .prefixed(given());
    if flags & 1 != 0 {
        rule = rule.leased();
    }
    if flags & 2 != 0 {
        rule = rule.shadow();
    }
    if flags & 4 != 0 {
        rule = rule.on_failure(OnFailure::Open);
    }
    if flags & 8 != 0 {
        rule = rule.on_failure(OnFailure::Closed);
    }
    if after > 0.0 {
        rule = rule.with_penalty(Penalty::new(whole(after), ms(hold), ms(max)));
    }
    let limit = Limit {
        rule: Rc::new(rule),
        keys: Recent::new(KEYS),
    };
    RULES.with(|rules| rules.put(limit))
}

pub fn forget_rule(rule: u32) {
    RULES.with(|rules| drop(rules.take(rule)));
}

/// Adds to what the next verb is about. The text is whom it counts. `quota`: in place of the
/// limit's own; 0: that one.
#[wasm_bindgen]
pub fn take(rule: u32, cost: f64, quota: f64) {
    let id = given();
    let found = RULES.with(|rules| {
        rules.with(rule, |limit| {
            let key = match limit.keys.get(&id) {
                Some(key) => Arc::clone(key),
                None => {
                    let key: Arc<str> = limit.rule.key(&id).into();
                    limit.keys.insert(id, Arc::clone(&key));
                    key
                }
            };
            (Rc::clone(&limit.rule), key)
        })
    });
    let Some((rule, key)) = found else { return };
    let taken = Taken {
        rule,
        key,
        cost: whole(cost),
        quota: (quota > 0.0).then(|| whole(quota)),
    };
    TAKEN.with_borrow_mut(|all| all.push(taken));
}

/// Does something with what was taken, in the memory of a store. `verb`:
///
/// - 0: decides. `amount` 1: only if memory suffices. Above that: after a wait, by the number that
///   was returned; one less: without waiting for longer.
/// - 1: looks at the state.
/// - 2: gives `amount` permits back.
/// - 3: forgets the subject. The first text is the key to delete in the store, if there is one.
/// - 4: returns in how many milliseconds permits that were fetched ahead are to be returned, if
///   nobody waits for that yet; negative: nothing is to be done within `amount` milliseconds.
/// - 5: that time is over.
/// - 6: whether it would pass (1 or 0) in a process without a store. Nothing is charged.
///
/// The result is positive: the number of a call, whose reply goes to [`answer`](super::answer).
/// Zero: nothing is to be done, or (0) memory does not suffice. Negative: decided, and the numbers
/// of each limit are in [`results`](super::results); below -1, a call is to be made afterwards:
/// this number is -1 - that of the call. Odd, and only from 0: to be decided again, with this
/// number, after as many milliseconds as the first of the results says.
#[wasm_bindgen]
pub fn act(limits: u32, verb: u32, amount: f64, now: f64) -> f64 {
    let taken = TAKEN.take();
    let now = instant(now);
    put_numbers(&[]);
    let result = LIMITS.with(|all| {
        all.with(limits, |memory| match verb {
            0 => decide(memory, limits, &taken, whole(amount), now),
            4 => {
                let patience = Duration::from_millis(whole(amount));
                let wait = memory.sweep_after(patience, now);
                wait.map_or(-1.0, |wait| number(millis(wait)))
            }
            5 => call_for(limits, memory.sweep(now).map(What::Work)),
            6 => {
                let takings: Vec<_> = taken.iter().map(Taken::taking).collect();
                u8::from(memory.would_pass(&takings, now)).into()
            }
            _ => taken.into_iter().next().map_or(0.0, |taken| match verb {
                1 => match memory.peek(taken.taking(), now) {
                    Ok(ask) => call_for(limits, Some(What::Peek(taken, ask))),
                    Err(told) => {
                        tell(told);
                        -1.0
                    }
                },
                2 => {
                    let ask = memory.refund(taken.taking(), whole(amount), now);
                    call_for(limits, ask.map(What::Refund))
                }
                _ => {
                    put_texts(memory.reset(&taken.key));
                    0.0
                }
            }),
        })
    });
    result.unwrap_or_default()
}

fn decide(
    memory: &mut Limits,
    limits: u32,
    taken: &[Taken],
    amount: u64,
    now: omnitrade_edge::clock::Timestamp,
) -> f64 {
    let takings: Vec<_> = taken.iter().map(Taken::taking).collect();
    let recalled = match amount {
        1 => memory.recall_at_once(&takings, now),
        0 => Some(memory.recall(&takings, Some(Patience::default()), now)),
        number => {
            let place = u32::try_from(number / 2).unwrap_or_default();
            let patience = WAITING.with(|all| all.take(place.saturating_sub(1)));
            let patience = patience.filter(|_| number % 2 == 1);
            Some(memory.recall(&takings, patience, now))
        }
    };
    match recalled {
        Some(Recalled::Wait(pause, patience)) => {
            add_numbers(&[number(millis(pause))]);
            // From 5 on.
            (2 * WAITING.with(|all| all.put(patience)) + 3).into()
        }
        None => 0.0,
        Some(Recalled::Ask(asking)) => call_for(limits, Some(What::Decide(asking))),
        Some(Recalled::Decided(decided)) => after(&decided, memory, limits, now),
    }
}

fn after(
    decided: &Decided,
    memory: &mut Limits,
    limits: u32,
    now: omnitrade_edge::clock::Timestamp,
) -> f64 {
    decided.limits().for_each(tell);
    -1.0 - call_for(limits, memory.work_after(decided, now).map(What::Work))
}

fn call_for(limits: u32, what: Option<What>) -> f64 {
    what.map_or(0.0, |what| {
        CALLS
            .with(|calls| 2 * calls.put(Call { limits, what }))
            .into()
    })
}

/// Adds the numbers of one limit: whether it passes, whether that is only because the limit refuses
/// nobody, the quota, what remains, the reset and the wait in milliseconds, who decided (an index),
/// and why not the store (an index).
fn tell(told: Told) {
    add_numbers(&[
        u8::from(told.passes).into(),
        u8::from(told.shadowed).into(),
        number(told.limit),
        number(told.remaining),
        number(told.reset.as_millis()),
        number(millis(told.retry_after)),
        match told.source {
            Source::Redis => 1.0,
            Source::Lease => 2.0,
            Source::Local => 3.0,
            Source::Blocked => 4.0,
            _ => 0.0,
        },
        match told.reason {
            Some(Reason::Timeout) => 1.0,
            Some(Reason::CacheBlock) => 2.0,
            Some(Reason::DenyList) => 3.0,
            _ => 0.0,
        },
    ]);
}

/// What a call asks.
pub fn ask_of(number: u32) -> Option<String> {
    let ask = |call: &mut Call| match &call.what {
        What::Decide(asking) => lines::call(&asking.ask),
        What::Work(work) => lines::call(&work.ask),
        What::Peek(_, ask) | What::Refund(ask) => lines::call(ask),
    };
    CALLS.with(|calls| calls.with(number, ask))
}

/// The caller of a request did not wait for the reply: the result is as that of [`act`].
pub fn given_up(call: u32, now: f64) -> f64 {
    let Some(Call { limits, what }) = CALLS.with(|calls| calls.take(call)) else {
        return 0.0;
    };
    let now = instant(now);
    let result = LIMITS.with(|all| {
        all.with(limits, |memory| match what {
            What::Decide(asking) => after(&memory.given_up(*asking, now), memory, limits, now),
            What::Work(_) | What::Peek(..) | What::Refund(_) => 0.0,
        })
    });
    result.unwrap_or_default()
}

/// Takes the reply to a call: the result is as that of [`act`], and for a look or permits that go
/// back, -1 if the reply was one.
pub fn answered(call: u32, reply: Result<Value, Error>, now: f64) -> f64 {
    let Some(Call { limits, what }) = CALLS.with(|calls| calls.take(call)) else {
        return 0.0;
    };
    let now = instant(now);
    let result = LIMITS.with(|all| {
        all.with(limits, |memory| match what {
            What::Decide(asking) => {
                let decided = memory.answered(*asking, reply, now);
                after(&decided, memory, limits, now)
            }
            What::Work(work) => {
                memory.worked(&work, reply, now);
                0.0
            }
            What::Peek(taken, ask) => {
                let told = reply.and_then(|reply| memory.peeked(taken.taking(), &ask, reply, now));
                told.map_or(0.0, |told| {
                    tell(told);
                    -1.0
                })
            }
            What::Refund(ask) => {
                let done = reply.and_then(|reply| Limits::refunded(&ask, reply));
                done.map_or(0.0, |()| -1.0)
            }
        })
    });
    result.unwrap_or_default()
}
