//! The messages of clients and the origin, and what a request comes to.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use omnitrade_edge::engine::http_cache::Fields;
use omnitrade_edge::message::answer::{Answer, Content};
use omnitrade_edge::message::head::{Head, OriginHead};

/// A request of a client.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: HeaderMap,
    /// Whether only its limits are asked about.
    pub limits_only: bool,
}

/// A `GET` of a path, always from the same address.
pub fn get(path: &str) -> Request {
    let request = Request {
        method: "GET".to_owned(),
        url: format!("https://edge.example{path}"),
        headers: HeaderMap::new(),
        limits_only: false,
    };
    request.with("cf-connecting-ip", "192.0.2.7")
}

impl Request {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).unwrap();
        self.headers.append(name, octets(value));
        self
    }

    pub fn with_octets(mut self, name: &'static str, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).unwrap();
        self.headers.append(name, value);
        self
    }

    pub fn limits_only(self) -> Self {
        Self {
            limits_only: true,
            ..self
        }
    }

    pub fn from(mut self, ip: &str) -> Self {
        self.headers.remove("cf-connecting-ip");
        self.with("cf-connecting-ip", ip)
    }

    pub fn by(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }
}

impl Fields for Request {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.value(name)
    }
}

impl Head for Request {
    fn method(&self) -> &str {
        &self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn names(&self) -> Vec<String> {
        self.headers.keys().map(ToString::to_string).collect()
    }

    fn asks_limits_only(&self) -> bool {
        self.limits_only
    }
}

/// A response of the origin.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A response with a body and nothing else.
pub fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

impl Response {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).unwrap();
        self.headers.append(name, octets(value));
        self
    }
}

impl Response {
    pub fn with_octets(mut self, name: &'static str, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).unwrap();
        self.headers.append(name, value);
        self
    }
}

impl Fields for Response {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.value(name)
    }
}

impl OriginHead for Response {
    fn status(&self) -> u16 {
        self.status
    }

    fn names(&self) -> Vec<String> {
        self.headers.keys().map(ToString::to_string).collect()
    }

    fn headers(&self) -> Vec<(String, String)> {
        let lines = self.headers.iter();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        lines
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }
}

/// What a client gets, and the calls that this took.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Calls of the store's script.
    pub asks: usize,
    /// Requests to the origin before the answer.
    pub fetches: usize,
    /// Whether the entry was refreshed after the answer.
    pub refreshed: bool,
}

impl Seen {
    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> String {
        self.headers.value(name).unwrap_or_default().into_owned()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Who decided the limits, as `X-Edge-Limiter` says.
    pub fn limiter(&self) -> String {
        self.header("x-edge-limiter")
    }

    /// What `Cache-Status` says.
    pub fn cache(&self) -> String {
        let status = self.header("cache-status");
        let own = status.strip_prefix("omnitrade-edge; ");
        own.unwrap_or(&status).to_owned()
    }
}

/// A header value as Workers send it: in UTF-8.
pub fn octets(value: &str) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap()
}

/// The HTTP response for an answer. Panics if the answer could not be sent.
pub fn made(answer: Answer<Bytes>) -> (u16, HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    for line in &answer.headers {
        let name = HeaderName::from_bytes(line.name().as_bytes()).unwrap();
        headers.append(name, octets(line.value()));
    }
    let body = match answer.body {
        Content::Empty => Bytes::new(),
        Content::Text(text) => text.into(),
        Content::Stored(body) => body,
    };
    (answer.status, headers, body)
}
