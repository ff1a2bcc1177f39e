//! Replies as types of Rust.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use bytes::Bytes;

use super::value::Value;
use crate::error::{Error, ErrorKind};

/// A type as which a reply can be read: what the methods that end in `_as` return, such as
/// [`RestClient::command_as`](super::RestClient::command_as).
///
/// | type | reads |
/// |---|---|
/// | `i64`, `u64`, … | an integer, or the digits of one, as `GET` returns a counter |
/// | `f64` | a number, or the text of one |
/// | `bool` | `1` and `OK` as true, `0` and no value as false: `SADD`, `EXISTS`, `SET … NX` |
/// | `String` | a string of UTF-8 |
/// | [`Bytes`], `Vec<u8>` | any string |
/// | `Option<T>` | no value as `None` |
/// | `Vec<T>` | an array |
/// | `(A, B, …)` | an array of exactly so many |
/// | `HashMap<K, V>`, `BTreeMap<K, V>` | an array of keys and values by turns: `HGETALL` |
/// | `Result<T, Error>` | what `T` reads; an error in an array stays with its element |
/// | `()` | anything but an error |
/// | [`Value`] | anything |
///
/// A reply that is of another type is [`ErrorKind::UnexpectedType`]. The error says what was
/// expected where, and what kind of reply was found, never the reply itself.
///
/// ```
/// use omnitrade_edge::redis::{FromValue, Value};
///
/// let reply = Value::Array(vec![Value::from("ann"), Value::Int(7), Value::Null]);
/// let user = reply.clone();
/// let (name, visits, email): (String, u64, Option<String>) = FromValue::from_value(user)?;
/// assert_eq!((name.as_str(), visits, email), ("ann", 7, None));
///
/// let error = <(String, bool, ())>::from_value(reply).unwrap_err();
/// assert!(error.to_string().ends_with("[1]: expected 0 or 1, found another integer"));
/// # Ok::<(), omnitrade_edge::error::Error>(())
/// ```
///
/// A type of your own can be read too:
///
/// ```
/// use omnitrade_edge::error::Error;
/// use omnitrade_edge::redis::{FromValue, Value};
///
/// struct Price {
///     cents: i64,
///     currency: String,
/// }
///
/// impl FromValue for Price {
///     fn from_value(value: Value) -> Result<Self, Error> {
///         let (cents, currency) = FromValue::from_value(value)?;
///         Ok(Self { cents, currency })
///     }
/// }
///
/// let price = Price::from_value(Value::Array(vec![Value::Int(995), Value::from("EUR")]))?;
/// assert_eq!((price.cents, price.currency.as_str()), (995, "EUR"));
/// # Ok::<(), Error>(())
/// ```
pub trait FromValue: Sized {
    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedType`], or the error that the reply is, if it is one.
    fn from_value(value: Value) -> Result<Self, Error>;
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(value)
    }
}

impl FromValue for () {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Error(error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: FromValue> FromValue for Result<T, Error> {
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(T::from_value(value))
    }
}

impl FromValue for Bytes {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected("a string", other)),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, Error> {
        Bytes::from_value(value).map(Into::into)
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Error> {
        let bytes = Bytes::from_value(value)?;
        Self::from_utf8(bytes.into()).map_err(|_| mismatch("UTF-8", "other bytes"))
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, Error> {
        let expected = "0 or 1";
        match (value.as_bytes(), &value) {
            (Some(b"1" | b"OK"), _) | (_, Value::Int(1)) => Ok(true),
            (Some(b"0"), _) | (_, Value::Int(0) | Value::Null) => Ok(false),
            (Some(_), _) => Err(mismatch(expected, "another string")),
            (_, Value::Int(_)) => Err(mismatch(expected, "another integer")),
            _ => Err(unexpected(expected, value)),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            // Redis's own numbers are doubles: it has rounded before.
            Value::Int(number) => Ok(number as Self),
            value => parsed(value, "a number"),
        }
    }
}

/// Integers, each from one of any width that it can hold.
macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl FromValue for $integer {
            fn from_value(value: Value) -> Result<Self, Error> {
                match value {
                    Value::Int(number) => Self::try_from(number).map_err(|_| {
                        mismatch(
                            concat!("an integer of type ", stringify!($integer)),
                            "an integer beyond its range",
                        )
                    }),
                    value => parsed(value, concat!("an integer of type ", stringify!($integer))),
                }
            }
        }
    )*};
}

integers!(i16, i32, i64, isize, u16, u32, u64, usize);

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        let items = array(value, "an array")?.into_iter();
        items.enumerate().map(element).collect()
    }
}

impl<K, V, S> FromValue for HashMap<K, V, S>
where
    K: FromValue + Eq + Hash,
    V: FromValue,
    S: BuildHasher + Default,
{
    fn from_value(value: Value) -> Result<Self, Error> {
        pairs(value)?.collect()
    }
}

impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn from_value(value: Value) -> Result<Self, Error> {
        pairs(value)?.collect()
    }
}

/// Tuples, each from an array of exactly its length.
macro_rules! tuples {
    ($($length:literal: $($name:ident)*;)*) => {$(
        impl<$($name: FromValue),*> FromValue for ($($name,)*) {
            fn from_value(value: Value) -> Result<Self, Error> {
                let expected = concat!("an array of ", $length);
                let mut items = array(value, expected)?;
                if items.len() != $length {
                    return Err(mismatch(expected, "an array of another length"));
                }
                let mut items = items.drain(..).enumerate();
                let mut next = || items.next().unwrap_or((0, Value::Null));
                Ok(($(element::<$name>(next())?,)*))
            }
        }
    )*};
}

tuples! {
    1: A;
    2: A B;
    3: A B C;
    4: A B C D;
    5: A B C D E;
    6: A B C D E F;
    7: A B C D E F G;
    8: A B C D E F G H;
    9: A B C D E F G H I;
    10: A B C D E F G H I J;
    11: A B C D E F G H I J K;
    12: A B C D E F G H I J K L;
}

/// Reads the replies to several commands. Those that failed are errors in the array.
pub(super) fn from_replies<T: FromValue>(replies: Vec<Result<Value, Error>>) -> Result<T, Error> {
    let values = replies
        .into_iter()
        .map(|reply| reply.unwrap_or_else(Value::Error));
    // The other commands have run, whatever the one that failed did.
    T::from_value(Value::Array(values.collect())).map_err(|error| error.after_attempt(true))
}

/// Reads the element of an array that stands at this place.
fn element<T: FromValue>((index, value): (usize, Value)) -> Result<T, Error> {
    T::from_value(value).map_err(|error| error.at_element(index))
}

fn array(value: Value, expected: &'static str) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(unexpected(expected, other)),
    }
}

/// Reads keys and values by turns.
fn pairs<K: FromValue, V: FromValue>(
    value: Value,
) -> Result<impl Iterator<Item = Result<(K, V), Error>>, Error> {
    let items = array(value, "an array of keys and values")?;
    if !items.len().is_multiple_of(2) {
        return Err(mismatch(
            "an array of keys and values",
            "an array of an odd length",
        ));
    }
    let mut items = items.into_iter().enumerate();
    Ok(std::iter::from_fn(move || {
        let (key, value) = (items.next()?, items.next()?);
        Some(element(key).and_then(|key| Ok((key, element(value)?))))
    }))
}

/// Reads the text of a number.
fn parsed<T: std::str::FromStr>(value: Value, expected: &'static str) -> Result<T, Error> {
    match &value {
        Value::Bytes(_) => {
            let number = value.as_str().and_then(|text| text.parse().ok());
            number.ok_or_else(|| mismatch(expected, "another string"))
        }
        _ => Err(unexpected(expected, value)),
    }
}

/// The error for a reply of another type; its own error, if it is one.
fn unexpected(expected: &'static str, found: Value) -> Error {
    let found = match found {
        Value::Null => "no value",
        Value::Int(_) => "an integer",
        Value::Bytes(_) => "a string",
        Value::Array(_) => "an array",
        Value::Error(error) => return error,
    };
    mismatch(expected, found)
}

/// Whoever reads a reply knows that the command has run.
fn mismatch(expected: &str, found: &str) -> Error {
    let detail = format!("expected {expected}, found {found}");
    Error::new(ErrorKind::UnexpectedType, true, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(items.into_iter().collect())
    }

    fn bytes(bytes: &'static [u8]) -> Value {
        Value::Bytes(Bytes::from_static(bytes))
    }

    /// What was expected and found.
    fn complaint<T: FromValue>(value: Value) -> String {
        let Err(error) = T::from_value(value) else {
            panic!("it was read");
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedType);
        assert!(error.may_have_run() && !error.retry_is_safe(true));
        error.detail().to_owned()
    }

    #[test]
    fn numbers_are_read_from_integers_and_from_text() {
        assert_eq!(i64::from_value(Value::Int(-7)), Ok(-7));
        assert_eq!(i64::from_value(bytes(b"-7")), Ok(-7));
        assert_eq!(
            u64::from_value(bytes(b"18446744073709551615")),
            Ok(u64::MAX)
        );
        assert_eq!(f64::from_value(Value::Int(2)), Ok(2.0));
        assert_eq!(f64::from_value(bytes(b"3.25")), Ok(3.25));
        assert_eq!(f64::from_value(bytes(b"-inf")), Ok(f64::NEG_INFINITY));
        assert_eq!(
            complaint::<u64>(Value::Int(-1)),
            "expected an integer of type u64, found an integer beyond its range"
        );
        assert_eq!(
            complaint::<i16>(bytes(b"99999")),
            "expected an integer of type i16, found another string"
        );
        assert_eq!(
            complaint::<i64>(Value::Null),
            "expected an integer of type i64, found no value"
        );
        assert_eq!(
            complaint::<f64>(list([])),
            "expected a number, found an array"
        );
    }

    #[test]
    fn truth_is_what_redis_says_of_success() {
        for yes in [Value::Int(1), bytes(b"1"), bytes(b"OK")] {
            assert_eq!(bool::from_value(yes), Ok(true));
        }
        for no in [Value::Int(0), bytes(b"0"), Value::Null] {
            assert_eq!(bool::from_value(no), Ok(false));
        }
        assert_eq!(
            complaint::<bool>(Value::Int(2)),
            "expected 0 or 1, found another integer"
        );
        assert_eq!(
            complaint::<bool>(bytes(b"true")),
            "expected 0 or 1, found another string"
        );
    }

    #[test]
    fn bytes_pass_unharmed_and_text_must_be_utf8() {
        assert_eq!(Vec::<u8>::from_value(bytes(b"\xff\0")), Ok(vec![0xff, 0]));
        assert_eq!(
            Bytes::from_value(bytes(b"\xff")),
            Ok(Bytes::from_static(b"\xff"))
        );
        assert_eq!(String::from_value(bytes(b"\xc3\xa9")), Ok("é".to_owned()));
        assert_eq!(
            complaint::<String>(bytes(b"\xff")),
            "expected UTF-8, found other bytes"
        );
        assert_eq!(
            complaint::<String>(Value::Int(1)),
            "expected a string, found an integer"
        );
    }

    #[test]
    fn what_is_not_there_is_none() {
        assert_eq!(Option::<i64>::from_value(Value::Null), Ok(None));
        assert_eq!(Option::<i64>::from_value(Value::Int(1)), Ok(Some(1)));
        let some = Vec::<Option<String>>::from_value(list([Value::from("a"), Value::Null]));
        assert_eq!(some, Ok(vec![Some("a".to_owned()), None]));
    }

    #[test]
    fn arrays_become_tuples_and_maps_and_name_the_place_that_differs() {
        let reply = || {
            list([
                Value::from("a"),
                Value::Int(1),
                Value::from("b"),
                Value::Int(2),
            ])
        };
        let map = HashMap::<String, u64>::from_value(reply()).unwrap();
        assert_eq!((map["a"], map["b"]), (1, 2));
        let map = BTreeMap::<String, i64>::from_value(reply()).unwrap();
        assert_eq!(map.into_values().collect::<Vec<_>>(), [1, 2]);
        type Four = (String, bool, Bytes, f64);
        let four = Four::from_value(reply()).unwrap();
        assert_eq!(four, ("a".into(), true, Bytes::from_static(b"b"), 2.0));
        assert_eq!(
            complaint::<(String, i64)>(reply()),
            "expected an array of 2, found an array of another length"
        );
        assert_eq!(
            complaint::<HashMap<String, bool>>(reply()),
            "[3]: expected 0 or 1, found another integer"
        );
        assert_eq!(
            complaint::<HashMap<String, i64>>(list([Value::Null])),
            "expected an array of keys and values, found an array of an odd length"
        );
        assert_eq!(
            complaint::<Vec<Vec<i64>>>(list([list([]), list([Value::Int(1), Value::from("x")])])),
            "[1][1]: expected an integer of type i64, found another string"
        );
    }

    #[test]
    fn an_error_in_an_array_is_its_own_or_that_of_the_whole() {
        let failed = || Error::new(ErrorKind::Command, true, "WRONGTYPE Operation");
        let reply = || list([Value::Int(1), Value::Error(failed())]);
        assert_eq!(<(i64, i64)>::from_value(reply()), Err(failed()));
        assert_eq!(<(i64, ())>::from_value(reply()), Err(failed()));
        assert_eq!(<(i64, Option<bool>)>::from_value(reply()), Err(failed()));
        let apart = Vec::<Result<i64, Error>>::from_value(reply());
        assert_eq!(apart, Ok(vec![Ok(1), Err(failed())]));
    }

    #[test]
    fn no_complaint_shows_what_was_found() {
        let secret = || Value::from("s3cret");
        let nested = list([list([secret()]), secret()]);
        let complaints = [
            complaint::<i64>(secret()),
            complaint::<bool>(secret()),
            complaint::<Vec<String>>(secret()),
            complaint::<(Vec<f64>, ())>(nested),
            complaint::<HashMap<String, i64>>(list([secret(), secret()])),
        ];
        for complaint in complaints {
            assert!(!complaint.contains("s3cret"), "{complaint}");
        }
    }
}
