//! The heads of requests and responses, as the gateway sees them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use js_sys::{Array, try_iter};
use wasm_bindgen::JsCast;
use web_sys::{Headers, Request, Response};

use crate::engine::cache::{Fields, field_value};
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
    fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        let Ok(Some(pairs)) = try_iter(&self.0.headers()) else {
            return map;
        };
        for pair in pairs.flatten() {
            let pair: Array = pair.unchecked_into();
            let (name, value) = (pair.get(0).as_string(), pair.get(1).as_string());
            let name = name.and_then(|name| HeaderName::try_from(name).ok());
            if let (Some(name), Some(value)) = (name, value.as_deref().and_then(field_value)) {
                map.append(name, value);
            }
        }
        map
    }
}

fn value(headers: &Headers, name: &str) -> Option<Cow<'static, str>> {
    headers.get(name).ok().flatten().map(Cow::Owned)
}
