//! The limiter's verbs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use omnitrade_edge::limiter::{
    Asking, LimitMemory, Limits, OnFailure, Penalty, Reason, Recalled, Rule, Source, Taking, Told,
    Work,
};
use omnitrade_edge::store::Ask;
use wasm_bindgen::prelude::*;

use super::{Shelf, call, instant, number, whole};

thread_local! {
    /// What is remembered of each store.
    static LIMITS: Shelf<Limits> = Shelf::default();
    static RULES: Shelf<Rc<Rule>> = Shelf::default();
    static CALLS: Shelf<Call> = Shelf::default();
    /// What the next request takes.
    static TAKEN: RefCell<Vec<Taken>> = const { RefCell::new(Vec::new()) };
    /// The results of the latest decision: [`WORDS`] numbers for each limit.
    static RESULTS: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// A call that JavaScript makes.
enum Call {
    Decide(Asking),
    Work(Work),
    Peek(Taken, Ask),
    Refund(Ask),
}

/// What is taken of one limit.
struct Taken {
    rule: Rc<Rule>,
    id: String,
    cost: u64,
    quota: Option<u64>,
}

impl Taken {
    fn new(rule: u32, id: String, cost: f64, quota: f64) -> Option<Self> {
        let rule = RULES.with(|rules| rules.with(rule, |rule| Rc::clone(rule)))?;
        Some(Self {
            rule,
            id,
            cost: whole(cost),
            quota: (quota > 0.0).then(|| whole(quota)),
        })
    }

    fn taking(&self) -> Taking<'_> {
        Taking {
            rule: &self.rule,
            id: &self.id,
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

/// Forgets the memory of a store.
#[wasm_bindgen]
pub fn limits_free(limits: u32) {
    LIMITS.with(|all| drop(all.take(limits)));
}

/// The limit of a limiter. Durations are in milliseconds. `flags`: 1: leases, 2: shadow, 4: open
/// while the store fails, 8: closed then. `after` 0: no penalty.
#[wasm_bindgen]
#[expect(clippy::too_many_arguments, reason = "an object would have to be freed")]
pub fn rule_new(
    quota: f64,
    window: f64,
    name: &str,
    prefix: &str,
    flags: u32,
    after: f64,
    hold: f64,
    max: f64,
) -> u32 {
    let ms = |ms: f64| Duration::from_millis(whole(ms));
    let mut rule = Rule::new(whole(quota), ms(window))
        .named(name)
        .prefixed(prefix);
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
    RULES.with(|rules| rules.put(Rc::new(rule)))
}

/// Forgets a limit.
#[wasm_bindgen]
pub fn rule_free(rule: u32) {
    RULES.with(|rules| drop(rules.take(rule)));
}

/// Adds to what the next request takes. `quota`: in place of the limit's own; 0: that one.
#[wasm_bindgen]
pub fn take(rule: u32, id: String, cost: f64, quota: f64) {
    if let Some(taken) = Taken::new(rule, id, cost, quota) {
        TAKEN.with_borrow_mut(|all| all.push(taken));
    }
}

/// Decides about what was taken. `at_once`: only if memory suffices.
///
/// Positive: the number of a call that decides; its reply goes to [`decided`]. Zero: memory does
/// not suffice. Negative: decided, and the results are at [`results`]; below -1, a call is to be
/// made afterwards: this number is -1 - that of the call, and its reply goes to [`worked`].
#[wasm_bindgen]
pub fn decide(limits: u32, at_once: bool, now: f64) -> i32 {
    let taken = TAKEN.take();
    let takings: Vec<_> = taken.iter().map(Taken::taking).collect();
    let now = instant(now);
    let told = LIMITS.with(|all| {
        all.with(limits, |limits| {
            if at_once && !limits.settles(&takings, now) {
                return 0;
            }
            match limits.recall(&takings, now) {
                Recalled::Ask(asking) => put(Call::Decide(*asking)),
                Recalled::Decided(decided) => {
                    tell(decided.limits());
                    -1 - limits
                        .work_after(&decided, now)
                        .map_or(0, |work| put(Call::Work(work)))
                }
            }
        })
    });
    told.unwrap_or_default()
}

/// Takes the reply to a call of [`decide`]; `reply` as [`call::reply`] reads it. Negative, as
/// there.
#[wasm_bindgen]
pub fn decided(limits: u32, number: u32, reply: &str, now: f64) -> i32 {
    let Some(Call::Decide(asking)) = CALLS.with(|calls| calls.take(number)) else {
        return 0;
    };
    let now = instant(now);
    let told = LIMITS.with(|all| {
        all.with(limits, |limits| {
            let decided = limits.answered(asking, call::reply(reply), now);
            tell(decided.limits());
            -1 - limits
                .work_after(&decided, now)
                .map_or(0, |work| put(Call::Work(work)))
        })
    });
    told.unwrap_or_default()
}

/// Where the results of the latest decision lie, as 64-bit floats: [`WORDS`] for each limit.
#[wasm_bindgen]
pub fn results() -> *const f64 {
    RESULTS.with_borrow(|results| results.as_ptr())
}

/// The numbers of one result: whether it passes, whether that is only because the limit refuses
/// nobody, the quota, what remains, the reset and the wait in milliseconds, who decided (an index),
/// and why not the store (an index).
const WORDS: usize = 8;

fn tell(limits: impl Iterator<Item = Told>) {
    RESULTS.with_borrow_mut(|results| {
        results.clear();
        for told in limits {
            let words: [f64; WORDS] = [
                u8::from(told.passes).into(),
                u8::from(told.shadowed).into(),
                number(told.limit),
                number(told.remaining),
                number(told.reset.as_millis()),
                number(omnitrade_edge::clock::millis(told.retry_after)),
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
            ];
            results.extend(words);
        }
    });
}

fn put(call: Call) -> i32 {
    let number = CALLS.with(|calls| calls.put(call));
    i32::try_from(number).unwrap_or_default()
}

/// What to ask in a call, as [`call::text`] writes it.
#[wasm_bindgen]
pub fn call_text(number: u32) -> Option<String> {
    let text = |made: &mut Call| {
        call::text(match made {
            Call::Decide(asking) => &asking.ask,
            Call::Work(work) => &work.ask,
            Call::Peek(_, ask) | Call::Refund(ask) => ask,
        })
    };
    CALLS.with(|calls| calls.with(number, text))
}

/// Takes the reply to a call that was made after a decision, or to one of [`sweep`].
#[wasm_bindgen]
pub fn worked(limits: u32, number: u32, reply: &str, now: f64) {
    if let Some(Call::Work(work)) = CALLS.with(|calls| calls.take(number)) {
        let reply = call::reply(reply);
        LIMITS.with(|all| all.with(limits, |limits| limits.worked(&work, reply, instant(now))));
    }
}

/// In how many milliseconds permits that were fetched ahead are to be returned, if nobody waits
/// for that yet; negative: nothing is to be done within `patience`.
#[wasm_bindgen]
pub fn sweep_after(limits: u32, patience: f64, now: f64) -> f64 {
    let patience = Duration::from_millis(whole(patience));
    let wait =
        LIMITS.with(|all| all.with(limits, |limits| limits.sweep_after(patience, instant(now))));
    wait.flatten()
        .map_or(-1.0, |wait| number(omnitrade_edge::clock::millis(wait)))
}

/// That time is over: the call that returns them, or 0.
#[wasm_bindgen]
pub fn sweep(limits: u32, now: f64) -> i32 {
    let work = LIMITS.with(|all| all.with(limits, |limits| limits.sweep(instant(now))));
    work.flatten().map_or(0, |work| put(Call::Work(work)))
}

/// Looks at a state. Positive: a call, whose reply goes to [`peeked`]. Negative: the result is at
/// [`results`].
#[wasm_bindgen]
pub fn peek(limits: u32, rule: u32, id: String, quota: f64, now: f64) -> i32 {
    let Some(taken) = Taken::new(rule, id, 1.0, quota) else {
        return 0;
    };
    let looked =
        LIMITS.with(|all| all.with(limits, |limits| limits.peek(taken.taking(), instant(now))));
    match looked {
        Some(Ok(ask)) => put(Call::Peek(taken, ask)),
        Some(Err(told)) => {
            tell(std::iter::once(told));
            -1
        }
        None => 0,
    }
}

/// Takes the reply to a call of [`peek`]. Whether it was one: then the result is at [`results`].
#[wasm_bindgen]
pub fn peeked(limits: u32, number: u32, reply: &str, now: f64) -> bool {
    let Some(Call::Peek(taken, ask)) = CALLS.with(|calls| calls.take(number)) else {
        return false;
    };
    let Ok(reply) = call::reply(reply) else {
        return false;
    };
    let told = LIMITS.with(|all| {
        all.with(limits, |limits| {
            limits
                .peeked(taken.taking(), &ask, reply, instant(now))
                .ok()
        })
    });
    let told = told.flatten();
    tell(told.into_iter());
    told.is_some()
}

/// Gives permits back. Positive: a call, whose reply goes to [`refunded`]. Zero: done.
#[wasm_bindgen]
pub fn refund(limits: u32, rule: u32, id: String, permits: f64, now: f64) -> i32 {
    let Some(taken) = Taken::new(rule, id, 0.0, 0.0) else {
        return 0;
    };
    let ask = LIMITS.with(|all| {
        all.with(limits, |limits| {
            limits.refund(taken.taking(), whole(permits), instant(now))
        })
    });
    ask.flatten().map_or(0, |ask| put(Call::Refund(ask)))
}

/// Takes the reply to a call of [`refund`]. Whether it is known that the permits were given back.
#[wasm_bindgen]
pub fn refunded(number: u32, reply: &str) -> bool {
    let Some(Call::Refund(ask)) = CALLS.with(|calls| calls.take(number)) else {
        return false;
    };
    call::reply(reply).is_ok_and(|reply| Limits::refunded(&ask, reply).is_ok())
}

/// Gives a call up whose reply nobody waits for any more.
#[wasm_bindgen]
pub fn give_up(number: u32) {
    CALLS.with(|calls| drop(calls.take(number)));
}

/// Forgets a subject. The key to delete in the store, if there is one.
#[wasm_bindgen]
pub fn reset(limits: u32, rule: u32, id: &str) -> Option<String> {
    let rule = RULES.with(|rules| rules.with(rule, |rule| Rc::clone(rule)))?;
    let key = LIMITS.with(|all| all.with(limits, |limits| limits.reset(&rule, id)));
    key.flatten()
}
