//! The heads of requests and responses, as the gateway sees them.

use std::borrow::Cow;

use js_sys::{Array, try_iter};
use wasm_bindgen::JsCast;
use web_sys::{Headers, Request, Response, Url};

use crate::engine::cache::Fields;
use crate::gateway::{Head, OriginHead};

/// The head of the client's request.
#[derive(Debug)]
pub struct RequestHead {
    method: String,
    url: String,
    headers: Headers,
}

impl RequestHead {
    /// Looks at a request.
    pub fn of(request: &Request) -> Self {
        Self {
            method: request.method(),
            url: normal(request.url()),
            headers: request.headers(),
        }
    }
}

impl Fields for RequestHead {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        value(&self.headers, name)
    }

    fn has(&self, name: &str) -> bool {
        self.headers.has(name).unwrap_or(false)
    }
}

impl Head for RequestHead {
    fn method(&self) -> &str {
        &self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn names(&self) -> Vec<String> {
        let names = self.headers.keys().into_iter().flatten();
        names.filter_map(|name| name.as_string()).collect()
    }
}

/// The head of the origin's answer.
#[derive(Debug)]
pub struct ResponseHead<'a>(pub &'a Response);

impl Fields for ResponseHead<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        value(&self.0.headers(), name)
    }

    fn has(&self, name: &str) -> bool {
        self.0.headers().has(name).unwrap_or(false)
    }
}

impl OriginHead for ResponseHead<'_> {
    fn status(&self) -> u16 {
        self.0.status()
    }

    /// `Headers` joins repeated fields, but for `Set-Cookie`, with commas, as RFC 9110 §5.3 allows.
    fn headers(&self) -> Vec<(String, String)> {
        let unread = || char::REPLACEMENT_CHARACTER.to_string();
        let Ok(Some(pairs)) = try_iter(&self.0.headers()) else {
            return vec![(String::new(), unread())];
        };
        let lines = pairs.flatten().map(|pair| {
            let pair: Array = pair.unchecked_into();
            let text = |at| pair.get(at).as_string().unwrap_or_else(unread);
            (text(0), text(1))
        });
        lines.collect()
    }
}

/// workerd gives a URL as the client spelt it, and resolves it only on the way to the origin. Matched
/// as it came, `/x/../orders` would slip past the limits of `/orders`. Empty if it is no URL.
fn normal(url: String) -> String {
    match is_plain(&url) {
        true => url,
        false => Url::new(&url).map_or_else(|_| String::new(), |url| url.href()),
    }
}

/// Whether the URL Standard leaves the path as it is; may say no where it would. That spares nearly
/// all requests a second look at their URL.
fn is_plain(url: &str) -> bool {
    let path = url.split_once(['?', '#']).map_or(url, |(path, _)| path);
    let odd = |byte: u8| byte == b'\\' || !byte.is_ascii_graphic();
    let dots = |at: &[u8]| {
        at.starts_with(b"/.")
            || at
                .get(..4)
                .is_some_and(|at| at.eq_ignore_ascii_case(b"/%2e"))
    };
    let bytes = path.as_bytes();
    !bytes.iter().copied().any(odd) && !(0..bytes.len()).any(|n| bytes.get(n..).is_some_and(dots))
}

fn value(headers: &Headers, name: &str) -> Option<Cow<'static, str>> {
    headers.get(name).ok().flatten().map(Cow::Owned)
}
