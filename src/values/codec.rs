//! Values as the cache holds them: JSON or octets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::value::Content;

/// How values of one type are held.
pub(super) struct Codec<T> {
    /// `None` if a value cannot be held.
    pub(super) encode: fn(&T) -> Option<Content>,
    /// A copy for one caller. `None` if it is not of the type.
    pub(super) decode: fn(&Content) -> Option<T>,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Codec<T> {}

impl<T: Serialize + DeserializeOwned> Codec<T> {
    pub(super) const JSON: Self = Self {
        encode: to_json,
        decode: from_json,
    };
}

impl Codec<Bytes> {
    pub(super) const OCTETS: Self = Self {
        encode: |octets| Some(of_octets(octets)),
        decode: octets,
    };
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Option<Content> {
    let text = serde_json::to_string(value).ok()?;
    Some(Content::new(text, false))
}

pub(super) fn from_json<T: DeserializeOwned>(content: &Content) -> Option<T> {
    let text = (!content.is_octets).then_some(&content.text)?;
    serde_json::from_str(text).ok()
}

pub(super) fn of_octets(octets: &[u8]) -> Content {
    Content {
        // A copy: the caller's may be a small part of a large buffer.
        octets: Some(Bytes::copy_from_slice(octets)),
        ..Content::new(STANDARD.encode(octets), true)
    }
}

pub(super) fn octets(content: &Content) -> Option<Bytes> {
    content.octets.clone()
}

pub(super) fn from_base64(text: &str) -> Option<Bytes> {
    STANDARD.decode(text).ok().map(Bytes::from)
}
