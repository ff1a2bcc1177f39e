//! The verbs of the value cache.

use std::cell::RefCell;
use std::time::Duration;

use omnitrade_edge::clock::millis;
use omnitrade_edge::engine::value::{Content, Rules, Use};
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::{Lease, Write};
use omnitrade_edge::values::{Answer, Asking, Found, Origin, Peeked, Values};
use serde_json::{Value as Json, json};
use wasm_bindgen::prelude::*;

use super::{Shelf, call, instant, number, whole};

thread_local! {
    static CACHES: Shelf<Values> = Shelf::default();
    static CALLS: Shelf<Asking> = Shelf::default();
    /// What was known when each load began.
    static ORIGINS: Shelf<Origin> = Shelf::default();
    /// The value that was found last.
    static FOUND: RefCell<Option<Found>> = const { RefCell::new(None) };
    /// What is to be written.
    static WRITES: RefCell<Vec<Write>> = const { RefCell::new(Vec::new()) };
}

/// A cache of `capacity` bytes in memory. The calls of its store take at most `timeout`
/// milliseconds; zero: there is none. A load takes at most `load_for` milliseconds. `seed` is a
/// random number below 2^53.
#[wasm_bindgen]
pub fn cache_new(prefix: &str, capacity: f64, timeout: f64, load_for: f64, seed: f64) -> u32 {
    let ms = |ms: f64| Duration::from_millis(whole(ms));
    let timeout = (timeout > 0.0).then(|| ms(timeout));
    let values = Values::new(prefix, whole(capacity), timeout, ms(load_for), whole(seed));
    CACHES.with(|caches| caches.put(values))
}

/// Forgets a cache.
#[wasm_bindgen]
pub fn cache_free(cache: u32) {
    CACHES.with(|caches| drop(caches.take(cache)));
}

/// What may be done with the value that was found, which [`value_text`], [`value_bytes`] and
/// [`value_age`] give: 1: it is fresh, 2: it is to be loaded anew, 3: it is only for failures. 0:
/// none was found.
fn tell(found: Option<Found>) -> u32 {
    let usable = match found.as_ref().map(|found| found.usable) {
        Some(Use::Fresh) => 1,
        Some(Use::WhileRevalidated) => 2,
        Some(Use::IfError) => 3,
        Some(Use::No) | None => 0,
    };
    FOUND.set(found);
    usable
}

/// The value that was found, if it is JSON.
#[wasm_bindgen]
pub fn value_text() -> Option<String> {
    FOUND.with_borrow(|found| match &*found.as_ref()?.entry.content {
        Content::Json(text) => Some(text.clone()),
        Content::Bytes(_) => None,
    })
}

/// The value that was found, if it is bytes.
#[wasm_bindgen]
pub fn value_bytes() -> Option<Vec<u8>> {
    FOUND.with_borrow(|found| match &*found.as_ref()?.entry.content {
        Content::Bytes(bytes) => Some(bytes.clone()),
        Content::Json(_) => None,
    })
}

/// The age of the value that was found, in milliseconds. Nothing is kept of it after this.
#[wasm_bindgen]
pub fn value_age() -> f64 {
    FOUND.take().map_or(0.0, |found| number(millis(found.age)))
}

fn with<R>(cache: u32, f: impl FnOnce(&mut Values) -> R) -> Option<R> {
    CACHES.with(|caches| caches.with(cache, f))
}

/// Looks into memory: a number as [`tell`] gives it.
#[wasm_bindgen]
pub fn value_recall(cache: u32, key: &str, now: f64) -> u32 {
    let found = with(cache, |values| values.recall(key, instant(now)));
    tell(found.flatten())
}

/// Asks the store about a value that has these `tags`, JSON, and who is to load it if `loads`. The
/// number of the call, whose reply goes to [`value_answered`]; 0 if the store is not to be asked.
#[wasm_bindgen]
pub fn value_ask(cache: u32, key: &str, tags: &str, loads: bool, now: f64) -> u32 {
    let tags = words(tags);
    let asking = with(cache, |values| values.ask(key, &tags, loads, instant(now)));
    asking
        .flatten()
        .map_or(0, |asking| CALLS.with(|calls| calls.put(asking)))
}

/// What to ask in a call, as [`call::text`] writes it.
#[wasm_bindgen]
pub fn value_call_text(number: u32) -> Option<String> {
    CALLS.with(|calls| calls.with(number, |asking| call::text(&asking.ask)))
}

/// Takes the reply to a call; without one (number 0), memory decides. The result: what may be done
/// with the value, as [`tell`] gives it, and 4 · who is to load it: 0: nobody, 1: this caller, 2:
/// another one, which is at it, 3: each for itself. [`value_origin`] is what a load begins with.
#[wasm_bindgen]
pub fn value_answered(cache: u32, number: u32, key: &str, reply: &str, now: f64) -> u32 {
    let asking = CALLS.with(|calls| calls.take(number));
    let answer = with(cache, |values| match &asking {
        Some(asking) => values.answered(asking, call::reply(reply), instant(now)),
        None => values.unasked(key, instant(now)),
    });
    let Some(Answer {
        found,
        lease,
        origin,
    }) = answer
    else {
        return 4;
    };
    LATEST.set(ORIGINS.with(|origins| origins.put(origin)));
    let lease = match lease {
        Lease::NotDue => 0,
        Lease::Granted => 1,
        Lease::HeldElsewhere => 2,
        Lease::Uncacheable => 3,
    };
    tell(found) + 4 * lease
}

thread_local! {
    /// The origin of the latest answer.
    static LATEST: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// What was known when the latest answer came. [`value_keep`] or [`origin_free`] takes it.
#[wasm_bindgen]
pub fn value_origin() -> u32 {
    LATEST.take()
}

/// What is known of a value that is about to be made. `epochs`: the reply to a read of its
/// [`epoch_keys`], `{"result": […]}`; another text if there is none.
#[wasm_bindgen]
pub fn origin_new(cache: u32, epochs: &str) -> u32 {
    let epochs = call::reply(epochs).ok().and_then(Value::into_array);
    let origin = with(cache, |values| values.origin(epochs.as_deref()));
    ORIGINS.with(|origins| origins.put(origin.unwrap_or_default()))
}

/// The same origin with other epochs: other tags were named while the value was made.
#[wasm_bindgen]
pub fn origin_retag(cache: u32, origin: u32, epochs: &str) {
    let epochs = call::reply(epochs).ok().and_then(Value::into_array);
    let read = with(cache, |values| values.origin(epochs.as_deref()));
    ORIGINS.with(|origins| {
        origins.with(origin, |origin| {
            origin.epochs = read.and_then(|read| read.epochs);
        })
    });
}

/// Gives the origin of a load up.
#[wasm_bindgen]
pub fn origin_free(origin: u32) {
    ORIGINS.with(|origins| drop(origins.take(origin)));
}

/// The keys whose values are the epochs of a value with these `tags`, JSON, as JSON.
#[wasm_bindgen]
pub fn epoch_keys(cache: u32, key: &str, tags: &str) -> String {
    let tags = words(tags);
    let keys = with(cache, |values| values.epoch_keys(key, &tags));
    Json::from(keys.unwrap_or_default()).to_string()
}

/// Keeps a value that was made now, JSON or bytes. Durations are in milliseconds; a negative one is
/// absent. What is to be written is in [`next_write`].
#[wasm_bindgen]
#[expect(
    clippy::too_many_arguments,
    reason = "an object would have to be freed"
)]
pub fn value_keep(
    cache: u32,
    key: &str,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
    ttl: f64,
    stale_while_revalidate: f64,
    stale_if_error: f64,
    tags: &str,
    origin: u32,
    now: f64,
) {
    let ms = |ms: f64| Duration::from_millis(whole(ms));
    let rules = Rules {
        ttl: ms(ttl),
        stale_while_revalidate: ms(stale_while_revalidate),
        stale_if_error: (stale_if_error >= 0.0).then(|| ms(stale_if_error)),
        tags: words(tags),
    };
    let content = match (text, bytes) {
        (Some(text), _) => Content::Json(text),
        (None, Some(bytes)) => Content::Bytes(bytes),
        (None, None) => return,
    };
    let origin = ORIGINS.with(|origins| origins.take(origin));
    let write = with(cache, |values| {
        values.keep(
            key,
            content,
            &rules,
            origin.unwrap_or_default(),
            instant(now),
        )
    });
    WRITES.set(write.flatten().into_iter().collect());
}

/// The load has failed. What is to be written is in [`next_write`].
#[wasm_bindgen]
pub fn value_release(cache: u32, key: &str) {
    let write = with(cache, |values| values.release(key));
    WRITES.set(write.flatten().into_iter().collect());
}

/// The load brought nothing that is kept. What is to be written is in [`next_write`].
#[wasm_bindgen]
pub fn value_unstored(cache: u32, key: &str) {
    let write = with(cache, |values| values.unstored(key));
    WRITES.set(write.flatten().into_iter().collect());
}

/// Purges what has these `tags` or keys, both JSON. What is to be written is in [`next_write`].
#[wasm_bindgen]
pub fn value_purge(cache: u32, tags: &str, keys: &str) {
    let (tags, keys) = (words(tags), words(keys));
    let writes = with(cache, |values| values.purge(&tags, &keys));
    WRITES.set(writes.unwrap_or_default());
}

/// Whether there is a command to run. [`write_key`], [`write_value`] and [`write_ttl`] are of it:
/// `SET key value PX ttl`, or `DEL key…` if there is no value.
#[wasm_bindgen]
pub fn next_write() -> bool {
    let next = WRITES.with_borrow_mut(|writes| (!writes.is_empty()).then(|| writes.remove(0)));
    let is_some = next.is_some();
    WRITE.set(next);
    is_some
}

thread_local! {
    /// The command that [`next_write`] has found.
    static WRITE: RefCell<Option<Write>> = const { RefCell::new(None) };
}

/// The keys of the command, in JSON.
#[wasm_bindgen]
pub fn write_keys() -> String {
    WRITE.with_borrow(|write| match write {
        Some(Write::Set { key, .. }) => json!([key]).to_string(),
        Some(Write::Delete { keys }) => json!(keys).to_string(),
        _ => "[]".to_owned(),
    })
}

/// The time to live, in milliseconds.
#[wasm_bindgen]
pub fn write_ttl() -> f64 {
    WRITE.with_borrow(|write| match write {
        Some(Write::Set { ttl_ms, .. }) => number(*ttl_ms),
        _ => 0.0,
    })
}

/// The value. Nothing is kept of the command after this.
#[wasm_bindgen]
pub fn write_value() -> Option<String> {
    match WRITE.take() {
        Some(Write::Set { value, .. }) => Some(value),
        _ => None,
    }
}

/// The keys to read a value by, in JSON, whatever its tags.
#[wasm_bindgen]
pub fn value_read(cache: u32, key: &str) -> String {
    let keys = with(cache, |values| values.read(key).to_vec());
    Json::from(keys.unwrap_or_default()).to_string()
}

/// Takes the reply to a read of [`value_read`], and, if its tags are known, of their epochs. The
/// keys of those epochs, in JSON, if they are to be read; else `None`, and the number is in
/// [`value_found`].
#[wasm_bindgen]
pub fn value_peeked(
    cache: u32,
    key: &str,
    reply: &str,
    of_tags: Option<String>,
    now: f64,
) -> Option<String> {
    let array = |text: &str| call::reply(text).ok().and_then(Value::into_array);
    let read = array(reply).unwrap_or_default();
    let of_tags = of_tags.map(|text| array(&text).unwrap_or_default());
    let peeked = match read.as_slice() {
        [text, own] => with(cache, |values| {
            values.peeked(key, text, own, of_tags.as_deref(), instant(now))
        }),
        _ => None,
    };
    match peeked {
        Some(Peeked::Tags(keys)) => return Some(Json::from(keys).to_string()),
        Some(Peeked::Found(found)) => LATEST.set(tell(Some(found))),
        Some(Peeked::Nothing) | None => LATEST.set(tell(None)),
    }
    None
}

/// What [`value_peeked`] has found, as [`tell`] gives it.
#[wasm_bindgen]
pub fn value_found() -> u32 {
    LATEST.take()
}

fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}
