//! Reads a configuration that was checked: it has the shape of the grammar, and its defaults.
//!
//! The compiler's derived code for this would be a tenth of the Worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::duration::parse_duration;
use crate::engine::http_cache::{Letters, VersionSource};
use crate::engine::limit::OnFailure;
use crate::engine::limit_fields::Style;

/// What a value can be read as.
pub(super) trait Read: Sized {
    /// Reads a value; `None` if it has another shape, which a check has ruled out.
    fn read(value: &Value) -> Option<Self>;

    /// What an absent field is; `None` if it has to be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// Reads a field of a table.
pub(super) fn field<T: Read>(table: &Value, name: &str) -> Option<T> {
    match table.get(name) {
        Some(value) => T::read(value),
        None => T::absent(),
    }
}

/// Tables whose fields are called as in the configuration.
macro_rules! tables {
    ($($table:ident { $($field:ident),+ $(,)? })+) => {$(
        impl $crate::config::read::Read for $table {
            fn read(value: &serde_json::Value) -> Option<Self> {
                Some(Self {
                    $($field: $crate::config::read::field(value, stringify!($field))?),+
                })
            }
        }
    )+};
}
pub(super) use tables;

/// Words, and what each of them stands for.
macro_rules! words {
    ($($kind:ident { $($word:literal: $variant:ident),+ $(,)? })+) => {$(
        impl $crate::config::read::Read for $kind {
            fn read(value: &serde_json::Value) -> Option<Self> {
                match value.as_str()? {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        impl $crate::config::read::Words for $kind {
            const WORDS: &[&str] = &[$($word),+];
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
    fn read(value: &Value) -> Option<Self> {
        VersionSource::parse(value.as_str()?).map(Self::new)
    }
}

impl Read for Duration {
    fn read(value: &Value) -> Option<Self> {
        parse_duration(value.as_str()?)
    }
}

impl Read for String {
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Read for bool {
    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Read for u64 {
    fn read(value: &Value) -> Option<Self> {
        value.as_u64()
    }
}

impl Read for u16 {
    fn read(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl Read for u8 {
    fn read(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl<T: Read> Read for Option<T> {
    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Value) -> Option<Self> {
        let items = value.as_array()?;
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::read(item)?);
        }
        Some(list)
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(value: &Value) -> Option<Self> {
        let mut map = Self::new();
        for (name, item) in value.as_object()? {
            map.insert(name.clone(), T::read(item)?);
        }
        Some(map)
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
        let allowed = words_in(&CONFIG);
        assert!(allowed.len() >= WORDS.len());
        for words in allowed {
            assert!(read.contains(&sorted(words)), "{words:?}");
        }
    }
}
