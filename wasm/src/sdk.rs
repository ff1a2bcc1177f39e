//! The verbs of the npm package: what its JavaScript (`pkg/src/`) asks, without waiting for
//! anything. It makes the calls of the store itself, and brings the replies.
//!
//! Every function costs JavaScript some lines of glue, so there are few, and those that are seldom
//! called share one. What JavaScript holds of this module are numbers that stand for objects here;
//! it gives them back when its own objects are gone ([`give_back`]). Texts of several parts are
//! lines (`lines.rs`). An answer of several parts is left in [`text`] and [`results`], from where
//! JavaScript takes it at once.

mod fields;
mod limiter;
mod lines;
mod place;
mod values;

use place::{numbers, put_numbers, take_text};
use wasm_bindgen::prelude::*;

/// The next text of the latest answer.
#[wasm_bindgen]
pub fn text() -> Option<String> {
    take_text()
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

/// What to ask in a call: the number of keys, the keys and the arguments, in lines. After them the
/// script wants one argument more, which says whether the call was sent before: `0` or `1`.
#[wasm_bindgen]
pub fn call_text(number: u32) -> Option<String> {
    limiter::ask_of(number, lines::call).or_else(|| values::ask_of(number, lines::call))
}

/// Takes the reply to a call, as `lines.rs` reads it. The result: as [`limiter::act`] or
/// [`values::value`], whichever the call is of.
#[wasm_bindgen]
pub fn answer(number: u32, reply: &str, now: f64) -> f64 {
    put_numbers(&[]);
    let reply = lines::reply(reply);
    limiter::answered(number, reply, now)
        .unwrap_or_else(|reply| values::answered(number, reply, now))
}
