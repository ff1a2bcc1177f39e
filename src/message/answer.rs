//! An answer of the gate's own: a status, headers and a body that is at hand.

use std::borrow::Cow;

use crate::engine::http_cache::Fields;

/// A response that needs no origin.
#[derive(Debug, Clone)]
pub struct Answer<B> {
    /// The HTTP status.
    pub status: u16,
    /// Headers in order; repeated ones stay repeated.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Content<B>,
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
    /// A response with a text as its body.
    pub fn text(status: u16, media_type: &'static str, text: String) -> Self {
        Self {
            status,
            headers: vec![(Cow::Borrowed("content-type"), media_type.to_owned())],
            body: Content::Text(text),
        }
    }

    /// Sets a header and removes all earlier ones of that name.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((Cow::Borrowed(name), value));
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl<B> Fields for Answer<B> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let lines = self.headers.iter().filter(|(known, _)| known == name);
        let mut lines = lines.map(|(_, value)| value.as_str());
        let first = Cow::Borrowed(lines.next()?);
        Some(lines.fold(first, |value, line| Cow::Owned(format!("{value}, {line}"))))
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }
}
