//! What the gate answers by itself: a status, headers and a body at hand.

use std::borrow::Cow;

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
    /// None.
    Empty,
    /// A text of the gate's own.
    Text(String),
    /// A stored one.
    Stored(B),
}

impl<B> Answer<B> {
    /// A response with a text.
    pub fn text(status: u16, media_type: &'static str, text: String) -> Self {
        Self {
            status,
            headers: vec![(Cow::Borrowed("content-type"), media_type.to_owned())],
            body: Content::Text(text),
        }
    }

    /// Sets a header.
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
