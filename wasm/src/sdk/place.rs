//! Where objects and answers are kept for JavaScript.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use omnitrade_edge::clock::Timestamp;

thread_local! {
    static TEXTS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    static NUMBERS: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
    static NEXT: Cell<u32> = const { Cell::new(1) };
    /// The room for a text, which JavaScript fills.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The texts that the next verb takes.
    static GIVEN: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    /// The text that JavaScript reads.
    static SHOWN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes room for a text.
pub fn make_room(bytes: usize) -> *const u8 {
    ROOM.with_borrow_mut(|room| {
        room.clear();
        room.resize(bytes, 0);
        room.as_ptr()
    })
}

/// Takes the text in the room.
pub fn put_given(bytes: usize) {
    let mut octets = ROOM.take();
    octets.truncate(bytes);
    // JavaScript's encoder writes nothing else.
    let text = String::from_utf8(octets).unwrap_or_default();
    GIVEN.with_borrow_mut(|given| given.push_back(text));
}

/// The next text that a verb takes.
pub fn given() -> String {
    GIVEN
        .with_borrow_mut(VecDeque::pop_front)
        .unwrap_or_default()
}

/// Shows the next text of the answer.
pub fn show_text() -> i32 {
    let Some(text) = TEXTS.with_borrow_mut(VecDeque::pop_front) else {
        return -1;
    };
    let length = i32::try_from(text.len()).unwrap_or(-1);
    SHOWN.set(text);
    length
}

/// Where the shown text lies.
pub fn shown() -> *const u8 {
    SHOWN.with_borrow(|text| text.as_ptr())
}

/// Sets the texts of the answer.
pub fn put_texts(texts: impl IntoIterator<Item = String>) {
    TEXTS.set(texts.into_iter().collect());
}

/// Sets the numbers of the answer.
pub fn put_numbers(numbers: &[f64]) {
    NUMBERS.with_borrow_mut(|all| {
        all.clear();
        all.extend_from_slice(numbers);
    });
}

/// Adds to the numbers of the answer.
pub fn add_numbers(numbers: &[f64]) {
    NUMBERS.with_borrow_mut(|all| all.extend_from_slice(numbers));
}

/// Where the numbers of the answer lie.
pub fn numbers() -> *const f64 {
    NUMBERS.with_borrow(|all| all.as_ptr())
}

/// Objects by number. No number is used twice, on this shelf or another, so one that was given back
/// stands for nothing.
pub struct Shelf<T>(RefCell<HashMap<u32, T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Shelf<T> {
    /// Keeps an object.
    pub fn put(&self, object: T) -> u32 {
        let number = NEXT.get();
        // Zero stands for nothing.
        NEXT.set(number.checked_add(1).unwrap_or(1));
        self.0.borrow_mut().insert(number, object);
        number
    }

    /// Gives an object up.
    pub fn take(&self, number: u32) -> Option<T> {
        self.0.borrow_mut().remove(&number)
    }

    /// Uses an object.
    pub fn with<R>(&self, number: u32, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.borrow_mut().get_mut(&number).map(f)
    }
}

/// An instant as JavaScript has it, in Unix milliseconds.
pub fn instant(ms: f64) -> Timestamp {
    Timestamp::from_millis(whole(ms))
}

/// A whole number as JavaScript has it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
pub const fn whole(number: f64) -> u64 {
    number as u64
}

/// A number for JavaScript.
#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 JavaScript has no more exact one"
)]
pub const fn number(number: u64) -> f64 {
    number as f64
}
