//! The verbs of the npm package: what its JavaScript asks, without waiting for anything. It makes
//! the calls of the store itself and brings the replies.
//!
//! What JavaScript holds of this module are numbers, which stand for objects here. It gives them
//! back when its own objects are no longer used ([`Shelf`]). An answer of several parts is left in
//! a place of its own, from which JavaScript takes it at once.

mod call;
mod fields;
mod limiter;
mod redis;
mod values;

use std::cell::RefCell;
use std::collections::HashMap;

use omnitrade_edge::clock::Timestamp;
use wasm_bindgen::prelude::*;

/// The version of the package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Objects by number. No number is ever used twice, so one that was given back stands for nothing.
struct Shelf<T>(RefCell<(u32, HashMap<u32, T>)>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        // Zero stands for nothing.
        Self(RefCell::new((1, HashMap::new())))
    }
}

impl<T> Shelf<T> {
    fn put(&self, object: T) -> u32 {
        let (next, objects) = &mut *self.0.borrow_mut();
        let number = *next;
        *next = next.wrapping_add(1).max(1);
        objects.insert(number, object);
        number
    }

    fn take(&self, number: u32) -> Option<T> {
        self.0.borrow_mut().1.remove(&number)
    }

    fn with<R>(&self, number: u32, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.borrow_mut().1.get_mut(&number).map(f)
    }
}

/// An instant as JavaScript has it, in Unix milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn instant(ms: f64) -> Timestamp {
    Timestamp::from_millis(ms as u64)
}

/// A whole number as JavaScript has it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

/// A number for JavaScript.
#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 JavaScript has no more exact one"
)]
const fn number(number: u64) -> f64 {
    number as f64
}
