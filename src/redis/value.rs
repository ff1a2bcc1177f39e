//! The reply to a command.

use bytes::Bytes;

use crate::error::Error;

/// A reply of Redis.
///
/// Strings are bytes: with base64 replies ([`Options::base64`](super::Options::base64)) exactly the
/// stored bytes, without it the UTF-8 that JSON can carry.
///
/// ```
/// use omnitrade_edge::redis::Value;
///
/// let reply = Value::Array(vec![Value::from("a"), Value::Int(2), Value::Null]);
/// let items = reply.as_array().unwrap_or_default();
/// assert_eq!(items.first().and_then(Value::as_str), Some("a"));
/// assert_eq!(items.get(1).and_then(Value::as_int), Some(2));
/// assert!(items.get(2).is_some_and(Value::is_null));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// No value: the key does not exist, or a script returned `false`.
    Null,
    /// An integer.
    Int(i64),
    /// A string, or a status such as `OK`.
    Bytes(Bytes),
    /// Several replies.
    Array(Vec<Value>),
    /// The error of one element of an array whose other elements succeeded.
    Error(Error),
}

impl Value {
    /// Whether this is [`Value::Null`].
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The integer, if it is one. A string of digits is not an integer: see [`Value::as_number`].
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The integer, or the number in a string of digits, which is how `GET` returns a counter.
    ///
    /// ```
    /// # use omnitrade_edge::redis::Value;
    /// assert_eq!(Value::from("-7").as_number(), Some(-7));
    /// assert_eq!(Value::Int(8).as_number(), Some(8));
    /// assert_eq!(Value::from("8.5").as_number(), None);
    /// ```
    pub fn as_number(&self) -> Option<i64> {
        self.as_int().or_else(|| self.as_str()?.parse().ok())
    }

    /// The string, if it is one.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The string, if it is one and is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The replies of an array, if it is one.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// The string itself, if it is one. It is cheap to clone and to slice.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The replies of an array themselves, if it is one.
    pub fn into_array(self) -> Option<Vec<Self>> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}
