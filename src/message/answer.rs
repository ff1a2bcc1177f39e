//! An answer of the gate's own: a status, headers and a body that is at hand.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::Value;

use crate::engine::http_cache::{CacheStatus, Fields, Meta};

/// A response that needs no origin.
#[derive(Debug, Clone)]
pub struct Answer<B> {
    /// The HTTP status.
    pub status: u16,
    /// Header lines in order; repeated ones stay repeated.
    pub headers: Vec<Line>,
    /// The body.
    pub body: Content<B>,
    /// What its `Cache-Status` says of this cache, if the cache was asked.
    pub said: Option<CacheStatus>,
}

/// A header line of an [`Answer`].
#[derive(Debug, Clone)]
pub enum Line {
    /// A line of a stored response, which all its answers share: the head, and the line's place.
    Stored(Rc<Meta>, usize),
    /// A line of this answer alone: its name, in lower case, and its value.
    Own(Cow<'static, str>, String),
}

impl Line {
    /// Its name, in lower case.
    pub fn name(&self) -> &str {
        match self {
            Self::Stored(meta, at) => meta.headers.get(*at).map_or("", |(name, _)| name),
            Self::Own(name, _) => name,
        }
    }

    /// Its value.
    pub fn value(&self) -> &str {
        match self {
            Self::Stored(meta, at) => meta.headers.get(*at).map_or("", |(_, value)| value),
            Self::Own(_, value) => value,
        }
    }
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stored(one, here), Self::Stored(two, there))
                if here == there && Rc::ptr_eq(one, two) =>
            {
                true
            }
            _ => self.name() == other.name() && self.value() == other.value(),
        }
    }
}

impl<N: Into<Cow<'static, str>>> From<(N, String)> for Line {
    fn from((name, value): (N, String)) -> Self {
        Self::Own(name.into(), value)
    }
}

/// The body of an [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<B> {
    /// No body.
    Empty,
    /// A text that the gate has written.
    Text(String),
    /// A stored body.
    Stored(B),
}

impl<B> Answer<B> {
    /// A response without headers and without a body.
    pub const fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Content::Empty,
            said: None,
        }
    }

    /// A response with JSON as its body.
    pub fn json(status: u16, media_type: &'static str, body: &Value) -> Self {
        // Any value has a JSON form. `Display` would do the same with a serialiser of its own.
        let text = serde_json::to_string(body).unwrap_or_default();
        Self {
            status,
            headers: vec![("content-type", media_type.to_owned()).into()],
            body: Content::Text(text),
            said: None,
        }
    }

    /// A page that must not be kept.
    pub fn text(media_type: &'static str, text: String) -> Self {
        Self {
            headers: vec![
                ("content-type", media_type.to_owned()).into(),
                ("cache-control", "no-store".to_owned()).into(),
            ],
            body: Content::Text(text),
            ..Self::empty(200)
        }
    }

    /// Sets a header and removes all earlier ones of that name.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.headers.retain(|line| line.name() != name);
        self.headers.push((name, value).into());
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|line| line.name() == name);
        found.map(Line::value)
    }
}

impl<B> Fields for Answer<B> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let lines = self.headers.iter().filter(|line| line.name() == name);
        let mut lines = lines.map(Line::value);
        let first = Cow::Borrowed(lines.next()?);
        Some(lines.fold(first, |value, line| Cow::Owned(format!("{value}, {line}"))))
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|line| line.name() == name)
    }
}
