//! Where objects and answers are kept for JavaScript.

use std::cell::RefCell;
use std::collections::VecDeque;

use omnitrade_edge::clock::Timestamp;

thread_local! {
    static TEXTS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    static NUMBERS: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
    /// The room for a text, which JavaScript fills.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The texts that the next verb takes.
    static GIVEN: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    /// The text that JavaScript reads.
    static SHOWN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes room for texts.
pub fn make_room(bytes: usize) -> *const u8 {
    ROOM.set(vec![0; bytes]);
    ROOM.with_borrow(|room| room.as_ptr())
}

/// Takes the text in the room.
pub fn put_given(bytes: usize) {
    // JavaScript's encoder writes nothing else than UTF-8.
    let text = ROOM.with_borrow(|room| {
        let text = room
            .get(..bytes)
            .and_then(|text| std::str::from_utf8(text).ok());
        text.unwrap_or_default().to_owned()
    });
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

/// Objects by number. A number is used again once its object is gone.
pub struct Shelf<T>(RefCell<Vec<Option<T>>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        // Zero stands for nothing.
        Self(RefCell::new(vec![None]))
    }
}

impl<T> Shelf<T> {
    /// Keeps an object.
    pub fn put(&self, object: T) -> u32 {
        let mut objects = self.0.borrow_mut();
        let free = objects.iter().skip(1).position(Option::is_none);
        let at = free.map_or(objects.len(), |free| free + 1);
        match objects.get_mut(at) {
            Some(place) => *place = Some(object),
            None => objects.push(Some(object)),
        }
        u32::try_from(at).unwrap_or_default()
    }

    /// Gives an object up.
    pub fn take(&self, number: u32) -> Option<T> {
        let mut objects = self.0.borrow_mut();
        let taken = objects.get_mut(usize::try_from(number).ok()?)?.take();
        while objects.len() > 1 && objects.last().is_some_and(Option::is_none) {
            objects.pop();
        }
        taken
    }

    /// Uses an object.
    pub fn with<R>(&self, number: u32, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut objects = self.0.borrow_mut();
        objects
            .get_mut(usize::try_from(number).ok()?)?
            .as_mut()
            .map(f)
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
