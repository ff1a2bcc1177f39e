//! The verbs of the value cache.

use std::cell::RefCell;
use std::time::Duration;

use omnitrade_edge::clock::millis;
use omnitrade_edge::engine::value::{Content, Rules, Use};
use omnitrade_edge::error::Error;
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::{Lease, Write};
use omnitrade_edge::values::machine::{Answer, Asking, Found, Origin, Peeked, Values};
use wasm_bindgen::prelude::*;

use super::lines::{self, texts};
use super::place::{Shelf, given, instant, number, put_numbers, put_texts, whole};

/// The longest that a value is used, in milliseconds: 30 days.
const LONGEST: f64 = 30.0 * 86_400_000.0;

thread_local! {
    static CACHES: Shelf<Values> = Shelf::default();
    /// The calls, each of a cache.
    static CALLS: Shelf<(u32, Asking)> = Shelf::default();
    /// What was known when each load began.
    static ORIGINS: Shelf<Origin> = Shelf::default();
    /// What is to be written.
    static WRITES: RefCell<Vec<Write>> = const { RefCell::new(Vec::new()) };
}

/// A cache of `capacity` bytes in memory. The text is the prefix of its keys. The calls of its
/// store take at most `timeout` milliseconds; zero: there is none. A load takes at most `load_for`
/// milliseconds. `seed` is a random number below 2^53.
#[wasm_bindgen]
pub fn cache_new(capacity: f64, timeout: f64, load_for: f64, seed: f64) -> u32 {
    let ms = |ms: f64| Duration::from_millis(whole(ms));
    let timeout = (timeout > 0.0).then(|| ms(timeout));
    let values = Values::new(
        &given(),
        whole(capacity),
        timeout,
        ms(load_for),
        whole(seed),
    );
    CACHES.with(|caches| caches.put(values))
}

pub fn forget_cache(cache: u32) {
    CACHES.with(|caches| drop(caches.take(cache)));
}

pub fn forget_origin(origin: u32) {
    ORIGINS.with(|origins| drop(origins.take(origin)));
}

/// Does something with the value under a key. Texts: the key, and tags. `verb`:
///
/// - 0: looks into memory. The result: what may be done with the value, see [`tell`].
/// - 1: asks the store about it, which has these tags, and who is to load it. The number of the
///   call, or 0 if the store is not to be asked now. The reply goes to [`answer`](super::answer),
///   whose result is that of [`answered`].
/// - 2: the same without the store: memory decides, and the caller loads.
/// - 3: the first text are the keys whose values are the epochs of a value with these tags, in
///   lines. The result goes to [`origin`] with them.
/// - 4: the first text are the keys by which the value is read whatever its tags, in lines. The
///   result goes to [`peeked`] with them; negative: the store must not be asked now.
/// - 5: a load has failed. 6: a load brought nothing that is kept. What is to be written is in
///   [`next_write`].
/// - 7: in place of a key, the outcome of a call that was not a question, as `lines.rs` reads it.
/// - 8: as 1, for who is to load it even if it is fresh.
#[wasm_bindgen]
pub fn value(cache: u32, verb: u32, now: f64) -> f64 {
    let (key, tags, now) = (&given(), &given(), instant(now));
    let result = CACHES.with(|caches| {
        caches.with(cache, |values| match verb {
            0 => f64::from(tell(values.recall(key, now), false)),
            1 | 8 => values
                .ask(key, &texts(tags), verb == 8, now)
                .map_or(0.0, |asking| {
                    (2 * CALLS.with(|calls| calls.put((cache, asking))) + 1).into()
                }),
            2 => told(values.unasked(key, now)),
            3 => {
                put_texts([values.epoch_keys(key, &texts(tags)).join("\n")]);
                number(values.count())
            }
            4 => {
                if !values.allows(now) {
                    return -1.0;
                }
                put_texts([values.read(key).join("\n")]);
                number(values.count())
            }
            7 => {
                values.heard(lines::reply(key).err().as_ref(), now);
                0.0
            }
            _ => {
                let write = if verb == 5 {
                    values.release(key)
                } else {
                    values.unstored(key)
                };
                WRITES.set(write.into_iter().collect());
                0.0
            }
        })
    });
    result.unwrap_or_default()
}

/// What may be done with the value that was found: 1: it is fresh, 2: it is to be loaded anew, 3:
/// it is only for failures. 0: none was found. The first text is the value. The numbers: whether it
/// is octets in base64 (1 or 0), its age, and for how long it may be used if it cannot be loaded,
/// in milliseconds. If `has_tags`, the other texts are its tags.
fn tell(found: Option<Found>, has_tags: bool) -> u8 {
    let Some(Found { entry, age, usable }) = found else {
        put_texts([]);
        return 0;
    };
    let left = entry.keep_until.since(entry.stamp + age);
    let (text, is_octets) = (&entry.content.text, entry.content.is_octets);
    let tags = entry.tags.iter().filter(|_| has_tags).cloned();
    put_texts(std::iter::once(text.clone()).chain(tags));
    put_numbers(&[
        u8::from(is_octets).into(),
        number(millis(age)),
        number(millis(left)),
    ]);
    match usable {
        Use::Fresh => 1,
        Use::WhileRevalidated => 2,
        Use::IfError => 3,
        Use::No => 0,
    }
}

/// 32 · the number of what a load begins with, plus 16 if there may be a value of other tags, plus
/// 4 · who is to load (0: nobody, 1: this caller, 2: another one, which is at it, 3: each for
/// itself), plus what may be done with the value.
fn told(answer: Answer) -> f64 {
    let Answer {
        found,
        lease,
        is_other,
        origin,
    } = answer;
    let lease = match lease {
        Lease::NotDue => 0,
        Lease::Granted => 1,
        Lease::HeldElsewhere => 2,
        Lease::Uncacheable => 3,
    };
    let origin = ORIGINS.with(|origins| origins.put(origin));
    f64::from(origin) * 32.0 + f64::from(tell(found, true) + 4 * lease + 16 * u8::from(is_other))
}

/// What a call asks.
pub fn ask_of(number: u32) -> Option<String> {
    CALLS.with(|calls| calls.with(number, |(_, asking)| lines::call(&asking.ask)))
}

/// Takes the reply to a call: the result is as [`told`] gives it.
pub fn answered(call: u32, reply: Result<Value, Error>, now: f64) -> f64 {
    let Some((cache, asking)) = CALLS.with(|calls| calls.take(call)) else {
        return 0.0;
    };
    let answer = CACHES.with(|caches| {
        caches.with(cache, |values| {
            told(values.answered(&asking, reply, instant(now)))
        })
    });
    answer.unwrap_or_default()
}

/// What is known of a value that is about to be made. Texts: its tags, and the reply to a read of
/// its epoch keys that was sent at `asked`, when [`value`] said `since`. `number`: what is known of
/// it already, if other tags were named since; else 0.
#[wasm_bindgen]
pub fn origin(cache: u32, number: u32, since: f64, asked: f64) -> u32 {
    let tags = texts(&given());
    let epochs = lines::reply(&given()).ok().and_then(Value::into_array);
    let made = CACHES.with(|caches| {
        caches.with(cache, |values| {
            values.origin(epochs.as_deref(), &tags, whole(since), instant(asked))
        })
    });
    let made = made.unwrap_or_default();
    ORIGINS.with(|origins| {
        if number == 0 {
            return origins.put(made);
        }
        origins.with(number, |origin| origin.retag(made));
        number
    })
}

/// Whether the epochs of the tags in the text are to be asked for: those of others are known.
#[wasm_bindgen]
pub fn origin_lacks(origin: u32) -> bool {
    let tags = texts(&given());
    let lacks = |origin: &mut Origin| origin.is_told() && !origin.is_for(&tags);
    ORIGINS
        .with(|origins| origins.with(origin, lacks))
        .unwrap_or_default()
}

/// Keeps a value that was made now. Texts: the key, the value (JSON, or octets in base64), and its
/// tags. Durations are in milliseconds, at most those of 30 days count; a
/// negative one is absent. `origin` is what was known before. What is to be written is in
/// [`next_write`]. The result: whether it was purged since, and so is not kept.
#[wasm_bindgen]
pub fn keep(
    cache: u32,
    is_octets: bool,
    ttl: f64,
    stale_while_revalidate: f64,
    stale_if_error: f64,
    origin: u32,
    now: f64,
) -> bool {
    let (key, text, tags) = (given(), given(), given());
    let ms = |ms: f64| Duration::from_millis(whole(ms.min(LONGEST)));
    let rules = Rules {
        ttl: ms(ttl),
        stale_while_revalidate: ms(stale_while_revalidate),
        stale_if_error: (stale_if_error >= 0.0).then(|| ms(stale_if_error)),
        tags: texts(&tags),
    };
    let content = Content::new(text, is_octets);
    let origin = ORIGINS
        .with(|origins| origins.take(origin))
        .unwrap_or_default();
    let kept = CACHES.with(|caches| {
        caches.with(cache, |values| {
            let is_purged = values.is_purged(&key, &rules.tags, &origin);
            let write = values.keep(&key, content, &rules, origin, instant(now));
            (is_purged, write)
        })
    });
    let (is_purged, write) = kept.unwrap_or_default();
    WRITES.set(write.into_iter().collect());
    is_purged
}

/// Purges what has these tags or keys, which are the texts. What is to be written is in
/// [`next_write`]. The result goes to [`purged`].
#[wasm_bindgen]
pub fn purge(cache: u32) -> f64 {
    let (tags, keys) = (texts(&given()), texts(&given()));
    let purge = CACHES.with(|caches| caches.with(cache, |values| values.purge(&tags, &keys)));
    let (begun, writes) = purge.unwrap_or_default();
    WRITES.set(writes);
    number(begun)
}

/// A purge is over: what it has left to be written was written, or could not be.
#[wasm_bindgen]
pub fn purged(cache: u32, begun: f64) {
    CACHES.with(|caches| caches.with(cache, |values| values.purged(whole(begun))));
}

/// The next command to run: its time to live in milliseconds, and the texts are a key and a value
/// (`SET … PX …`); 0: the first text are keys, in lines (`DEL …`); -1: there is none.
#[wasm_bindgen]
pub fn next_write() -> f64 {
    let next = WRITES.with_borrow_mut(|writes| (!writes.is_empty()).then(|| writes.remove(0)));
    match next {
        Some(Write::Set { key, value, ttl_ms }) => {
            put_texts([key, value]);
            number(ttl_ms)
        }
        Some(Write::Delete { keys }) => {
            put_texts([keys.join("\n")]);
            0.0
        }
        // A cache of values has no others.
        Some(Write::Keep { .. }) | None => -1.0,
    }
}

/// Takes what was read; `since` is what [`value`] has said. Texts: the key, the reply to a read of
/// the value and its epoch, and, if its tags are known, of their epochs. What may be done with the
/// value, as [`tell`] gives it; -1: the first text are the keys of those epochs, in lines.
#[wasm_bindgen]
pub fn peeked(cache: u32, since: f64, now: f64) -> f64 {
    let (key, reply, of_tags) = (given(), given(), given());
    let array = |text: &str| lines::reply(text).ok().and_then(Value::into_array);
    let read = array(&reply).unwrap_or_default();
    let of_tags = array(&of_tags);
    let peeked = match read.as_slice() {
        [text, own] => CACHES.with(|caches| {
            caches.with(cache, |values| {
                let of_tags = of_tags.as_deref();
                values.peeked(&key, text, own, of_tags, whole(since), instant(now))
            })
        }),
        _ => None,
    };
    match peeked {
        Some(Peeked::Tags(keys)) => {
            put_texts([keys.join("\n")]);
            -1.0
        }
        Some(Peeked::Found(found)) => tell(Some(found), true).into(),
        Some(Peeked::Nothing) | None => tell(None, true).into(),
    }
}
