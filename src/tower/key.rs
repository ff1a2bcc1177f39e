//! Whom a limit counts: the key of a request.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;

/// Finds the key of a request: the text by which a limit tells its subjects apart.
///
/// A key can be a [`Header`], the address of the peer ([`PeerIp`](super::PeerIp)), what another
/// layer has put into the request ([`FromExtension`]), or any function:
///
/// ```
/// use http::request::Parts;
/// use omnitrade_edge::tower::{Header, Key};
///
/// let tenant = |parts: &Parts| Some(parts.uri.host()?.split('.').next()?.to_owned());
/// let key = Header("x-api-key").or(tenant);
///
/// let request = http::Request::get("https://acme.example.com/").body(()).unwrap();
/// assert_eq!(key.key(&request.into_parts().0).as_deref(), Some("\nacme"));
/// ```
///
/// # The subject
///
/// The key is the subject that [`RateLimiter`](crate::limiter::RateLimiter) counts, so a handler
/// can ask it about a client: `per_user.peek("client-7")`. A key that stands in for another one
/// ([`or`](Self::or)) has a line feed in front of it, for each key that it stands in for. No header
/// can hold one, so nobody takes another client's permits by sending its address as an API key.
pub trait Key: Send + Sync + 'static {
    /// The key of a request. `None`, and likewise an empty text: it has none.
    fn key<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>>;

    /// How many keys it tries, one after the other.
    fn count(&self) -> usize {
        1
    }

    /// This key, and `other` for requests that do not have it.
    fn or<K: Key>(self, other: K) -> Or<Self, K>
    where
        Self: Sized,
    {
        Or(self, other)
    }
}

/// The value of a request header, such as `Header("x-api-key")`.
///
/// Of several headers of that name, the first counts. A value that is not UTF-8 is no key.
///
/// A client can send whatever it likes. Use a header whose value is checked before this layer, or
/// add a limit on the address to it ([`and`](super::RateLimitLayer::and)): otherwise a client that
/// invents a key for each request is not limited at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header(
    /// The name of the header, in any case.
    pub &'static str,
);

impl Header {
    /// This header, and `other` for requests that do not have it.
    pub fn or<K: Key>(self, other: K) -> Or<Self, K> {
        Or(self, other)
    }
}

impl Key for Header {
    fn key<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>> {
        let value = parts.headers.get(self.0)?;
        let text = std::str::from_utf8(value.as_bytes()).ok()?;
        Some(Cow::Borrowed(text))
    }
}

/// What another layer has put into the extensions of the request, such as the user whom it has
/// authenticated.
///
/// ```
/// use omnitrade_edge::tower::{FromExtension, PeerIp};
///
/// #[derive(Clone)]
/// struct User {
///     id: String,
/// }
///
/// let key = FromExtension::new(|user: &User| user.id.clone()).or(PeerIp::v6_prefix(64));
/// ```
pub struct FromExtension<T>(Arc<dyn Fn(&T) -> String + Send + Sync>);

impl<T: Send + Sync + 'static> FromExtension<T> {
    /// The key that `read` makes of an extension of type `T`.
    pub fn new<K: Into<String>>(read: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |extension| read(extension).into()))
    }

    /// This extension, and `other` for requests that do not have it.
    pub fn or<K: Key>(self, other: K) -> Or<Self, K> {
        Or(self, other)
    }
}

impl<T: Send + Sync + 'static> Key for FromExtension<T> {
    fn key<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>> {
        let extension = parts.extensions.get::<T>()?;
        Some(Cow::Owned((self.0)(extension)))
    }
}

impl<T> Clone for FromExtension<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for FromExtension<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromExtension")
            .field(&type_name::<T>())
            .finish()
    }
}

impl<F, K> Key for F
where
    F: Fn(&Parts) -> Option<K> + Send + Sync + 'static,
    K: Into<String>,
{
    fn key<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>> {
        self(parts).map(|key| Cow::Owned(key.into()))
    }
}

/// A key, and another one for requests that do not have the first: what [`Key::or`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Or<A, B>(A, B);

impl<A, B> Or<A, B> {
    pub(super) const fn new(first: A, other: B) -> Self {
        Self(first, other)
    }
}

impl<A: Key, B: Key> Or<A, B> {
    /// These keys, and `other` for requests that have neither.
    pub fn or<K: Key>(self, other: K) -> Or<Self, K> {
        Or(self, other)
    }
}

impl<A: Key, B: Key> Key for Or<A, B> {
    fn key<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>> {
        let there = |key: &Cow<'_, str>| !key.is_empty();
        self.0.key(parts).filter(there).or_else(|| {
            let other = self.1.key(parts).filter(there)?;
            let marks = std::iter::repeat_n('\n', self.0.count());
            Some(Cow::Owned(marks.chain(other.chars()).collect()))
        })
    }

    fn count(&self) -> usize {
        self.0.count() + self.1.count()
    }
}
