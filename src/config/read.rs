//! Reads a configuration that was checked: it has the shape of the grammar, and its defaults.
//!
//! The compiler's derived code for this would be a tenth of the Worker.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::duration::parse_duration;
use super::share::{Percent, parse_part};
use crate::engine::http_cache::{Letters, VersionSource};
use crate::engine::limit::OnFailure;
use crate::engine::limit_fields::Style;

/// What a value can be read as.
pub(super) trait Read: Sized {
    /// Reads a value. If it has another shape, which a check has ruled out, this is noted in
    /// `misread`, and what is returned means nothing.
    ///
    /// So no reading ends early. If each of the fields of a table could end it, dropping the fields
    /// before that would take most of the code.
    fn read(value: &Value, misread: &Misread) -> Self;
}

/// Whether a value had another shape than expected.
#[derive(Debug, Default)]
pub(super) struct Misread(Cell<bool>);

impl Misread {
    /// Whether all values had the shape that was expected.
    pub fn is_none(&self) -> bool {
        !self.0.get()
    }

    /// Notes that a value had another shape, and returns what stands in for it.
    pub fn instead<T>(&self, other: T) -> T {
        self.0.set(true);
        other
    }

    /// What was read, if anything was.
    pub fn unless<T: Default>(&self, read: Option<T>) -> T {
        read.unwrap_or_else(|| self.instead(T::default()))
    }
}

/// Reads a field of a table; null if it is absent.
pub(super) fn field<T: Read>(table: &Value, name: &str, misread: &Misread) -> T {
    T::read(&table[name], misread)
}

/// Tables whose fields are called as in the configuration.
macro_rules! tables {
    ($($table:ident { $($(#[$only:meta])? $field:ident),+ $(,)? })+) => {$(
        impl $crate::config::read::Read for $table {
            fn read(value: &serde_json::Value, misread: &$crate::config::read::Misread) -> Self {
                Self {
                    $(
                        $(#[$only])?
                        $field: $crate::config::read::field(value, stringify!($field), misread)
                    ),+
                }
            }
        }
    )+};
}
pub(super) use tables;

/// Words, and what each of them stands for.
macro_rules! words {
    ($($kind:ident {
        $first_word:literal: $first:ident $(, $word:literal: $variant:ident)* $(,)?
    })+) => {$(
        impl $crate::config::read::Read for $kind {
            fn read(value: &serde_json::Value, misread: &$crate::config::read::Misread) -> Self {
                match value.as_str() {
                    Some($first_word) => Self::$first,
                    $(Some($word) => Self::$variant,)*
                    _ => misread.instead(Self::$first),
                }
            }
        }

        #[cfg(test)]
        impl $crate::config::read::Words for $kind {
            const WORDS: &[&str] = &[$first_word $(, $word)*];
        }
    )+};
}
pub(super) use words;

/// The words of a type.
#[cfg(test)]
pub(super) trait Words {
    /// All of them.
    const WORDS: &[&str];
}

words! {
    Letters { "upper": Upper, "lower": Lower }
    OnFailure { "local": Local, "open": Open, "closed": Closed }
    Style { "draft-10": Draft10, "draft-7": Draft7, "legacy": Legacy, "none": None }
}

impl Read for Arc<VersionSource> {
    fn read(value: &Value, misread: &Misread) -> Self {
        let source = value.as_str().and_then(VersionSource::parse);
        Self::new(source.unwrap_or_else(|| misread.instead(VersionSource::Json(Vec::new()))))
    }
}

impl Read for Duration {
    fn read(value: &Value, misread: &Misread) -> Self {
        misread.unless(value.as_str().and_then(parse_duration))
    }
}

impl Read for Percent {
    fn read(value: &Value, misread: &Misread) -> Self {
        Self(misread.unless(value.as_str().and_then(parse_part)))
    }
}

impl Read for String {
    fn read(value: &Value, misread: &Misread) -> Self {
        misread.unless(value.as_str().map(str::to_owned))
    }
}

impl Read for bool {
    fn read(value: &Value, misread: &Misread) -> Self {
        misread.unless(value.as_bool())
    }
}

impl Read for u64 {
    fn read(value: &Value, misread: &Misread) -> Self {
        misread.unless(value.as_u64())
    }
}

impl Read for u16 {
    fn read(value: &Value, misread: &Misread) -> Self {
        misread.unless(value.as_u64().and_then(|number| number.try_into().ok()))
    }
}

impl Read for u8 {
    fn read(value: &Value, misread: &Misread) -> Self {
        misread.unless(value.as_u64().and_then(|number| number.try_into().ok()))
    }
}

impl<T: Read> Read for Option<T> {
    fn read(value: &Value, misread: &Misread) -> Self {
        (!value.is_null()).then(|| T::read(value, misread))
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Value, misread: &Misread) -> Self {
        let items = misread.unless(value.as_array().map(Vec::as_slice));
        items.iter().map(|item| T::read(item, misread)).collect()
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(value: &Value, misread: &Misread) -> Self {
        let mut map = Self::new();
        match value.as_object() {
            Some(items) => items.iter().for_each(|(name, item)| {
                map.insert(name.clone(), T::read(item, misread));
            }),
            None => misread.instead(()),
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::CONFIG;
    use super::super::shape::Shape;
    use super::super::{By, Keys, Mode, Strategy, UnknownQuery};
    use super::*;

    const WORDS: [&[&str]; 8] = [
        By::WORDS,
        Keys::WORDS,
        Letters::WORDS,
        Mode::WORDS,
        OnFailure::WORDS,
        Strategy::WORDS,
        Style::WORDS,
        UnknownQuery::WORDS,
    ];

    /// The lists of words in a shape.
    fn words_in(shape: &Shape) -> Vec<&'static [&'static str]> {
        match shape {
            Shape::OneOf(words) => vec![words],
            Shape::List(item) | Shape::Map(item) | Shape::Advised(item, _) => words_in(item),
            Shape::Either(one, other) => [words_in(one), words_in(other)].concat(),
            Shape::Table(fields) => fields.iter().flat_map(|f| words_in(&f.shape)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_word_that_the_grammar_allows_is_read() {
        let sorted = |words: &[&'static str]| {
            let mut words = words.to_vec();
            words.sort_unstable();
            words
        };
        let mut read: Vec<_> = WORDS.iter().map(|words| sorted(words)).collect();
        // Beside a size and a duration.
        read.extend([vec!["off"], vec!["candle"]]);
        // Beside numbers.
        #[cfg(feature = "queue")]
        read.extend([sorted(super::super::Retry::WORDS), vec!["any"]]);
        let allowed = words_in(&CONFIG);
        assert!(allowed.len() >= WORDS.len());
        for words in allowed {
            assert!(read.contains(&sorted(words)), "{words:?}");
        }
    }
}
