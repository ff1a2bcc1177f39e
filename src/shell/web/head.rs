//! The heads of requests and responses, as the gateway sees them.

use std::borrow::Cow;

use js_sys::{Array, try_iter};
use wasm_bindgen::JsCast;
use web_sys::{Headers, Request, Response};

use crate::engine::http_cache::Fields;
use crate::message::head::{Head, OriginHead};

/// The head of the client's request.
#[derive(Debug)]
pub struct RequestHead {
    method: String,
    url: String,
    headers: Headers,
}

impl RequestHead {
    /// The head of `request`.
    pub fn of(request: &Request) -> Self {
        Self {
            method: request.method(),
            url: request.url(),
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
        names(&self.headers)
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

    fn names(&self) -> Vec<String> {
        names(&self.0.headers())
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

fn value(headers: &Headers, name: &str) -> Option<Cow<'static, str>> {
    headers.get(name).ok().flatten().map(Cow::Owned)
}

fn names(headers: &Headers) -> Vec<String> {
    let names = headers.keys().into_iter().flatten();
    names.filter_map(|name| name.as_string()).collect()
}
