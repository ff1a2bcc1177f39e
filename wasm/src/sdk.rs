//! The verbs of the npm package: what its JavaScript (`pkg/src/`) asks, without waiting for
//! anything. It makes the calls of the store itself, and brings the replies.
//!
//! All functions take numbers and return one, so that they need no glue: it would be a third of the
//! package's JavaScript. Texts go in by [`room`] and [`put`] before a verb is called, which says
//! how many it takes, and come out by [`text`] and [`text_at`] after it. Numbers come out by
//! [`results`]. Texts of several parts are lines (`lines.rs`).
//!
//! What JavaScript holds of this module are numbers that stand for objects here; it gives them back
//! when its own objects are gone ([`give_back`]). The numbers of the limiter's calls are even.

mod fields;
mod limiter;
mod lines;
mod place;
mod values;

use place::{given, make_room, numbers, put_given, put_numbers, put_texts, show_text, shown};
use wasm_bindgen::prelude::*;

/// Room for texts of at most so many bytes of UTF-8, one at a time. It is there until the next
/// room is asked for.
#[wasm_bindgen]
pub fn room(bytes: usize) -> *const u8 {
    make_room(bytes)
}

/// The text in that room has so many bytes. It is the next one that the next verb takes.
#[wasm_bindgen]
pub fn put(bytes: usize) {
    put_given(bytes);
}

/// The length in bytes of the next text of the latest answer; negative: there is none.
#[wasm_bindgen]
pub fn text() -> i32 {
    show_text()
}

/// Where that text lies.
#[wasm_bindgen]
pub fn text_at() -> *const u8 {
    shown()
}

/// Where the numbers of the latest answer lie, as 64-bit floats.
#[wasm_bindgen]
pub fn results() -> *const f64 {
    numbers()
}

/// Gives an object back. `kind`: 0: the memory of a store, 1: a limit, 2: a cache, 3: what was
/// known when a load began.
#[wasm_bindgen]
pub fn give_back(kind: u32, number: u32) {
    match kind {
        0 => limiter::forget_limits(number),
        1 => limiter::forget_rule(number),
        2 => values::forget_cache(number),
        _ => values::forget_origin(number),
    }
}

/// What to ask in a call is in the first text: the number of keys, the keys and the arguments, in
/// lines. After them the script wants one argument more, which says whether the call was sent
/// before: `0` or `1`.
#[wasm_bindgen]
pub fn call(number: u32) {
    put_texts(if number.is_multiple_of(2) {
        limiter::ask_of(number / 2)
    } else {
        values::ask_of(number / 2)
    });
}

/// Takes the reply to a call, a text as `lines.rs` reads it. The result: as [`limiter::act`] or
/// [`values::value`], whichever the call is of.
#[wasm_bindgen]
pub fn answer(number: u32, now: f64) -> f64 {
    put_numbers(&[]);
    let text = given();
    let (kind, number) = (number % 2, number / 2);
    match kind {
        0 if text == "!aborted" => limiter::given_up(number, now),
        0 => limiter::answered(number, lines::reply(&text), now),
        _ => values::answered(number, lines::reply(&text), now),
    }
}
