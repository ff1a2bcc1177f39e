//! The heads of requests and responses, as the gateway sees them.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use js_sys::Array;
use wasm_bindgen::prelude::*;
use web_sys::{Headers, Request};

use crate::config::Config;
use crate::engine::http_cache::Fields;
use crate::engine::sort::sort_by;
use crate::message::head::{Head, OriginHead};

#[wasm_bindgen(module = "/src/shell/web/web.js")]
extern "C" {
    #[wasm_bindgen(js_name = headOf)]
    fn head_of(request: &Request, names: &Array) -> String;

    #[wasm_bindgen(js_name = namesOf)]
    fn names_of(request: &Request) -> String;
}

/// The names of the headers that are read together, because a decision asks for them in most
/// requests. Each of the others is read when it is asked for.
#[derive(Debug)]
pub struct Usual {
    /// In lower case, the shortest first.
    names: Vec<String>,
    /// How many names are shorter, by length.
    shorter: Vec<usize>,
    /// The same for JavaScript.
    array: Array,
}

impl Usual {
    /// The names, with those in the configuration.
    pub fn of(config: &Config) -> Self {
        let mut names: Vec<String> = USUAL.map(str::to_owned).into();
        let keys = config.client.api_key_headers.iter();
        let caches = config
            .routes
            .iter()
            .filter_map(|route| route.cache.as_ref());
        let varied = caches.flat_map(|cache| &cache.vary);
        for name in keys.chain([&config.client.ip_header]).chain(varied) {
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) && names.len() < MOST_USUAL {
                names.push(name);
            }
        }
        sort_by(&mut names, |one, other| one.len().cmp(&other.len()));
        let longest = names.last().map_or(0, String::len);
        let shorter = |length| names.partition_point(|name| name.len() < length);
        let shorter = (0..=longest + 1).map(shorter).collect();
        let array = names
            .iter()
            .map(|name| JsValue::from(name.as_str()))
            .collect();
        Self {
            names,
            shorter,
            array,
        }
    }
}

/// The headers that decide about limits, the cache and CORS.
const USUAL: [&str; 14] = [
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "range",
    "transfer-encoding",
    "upgrade",
];

/// The most names that are read together: a configuration may name any number, and a request to one
/// route does not need those of all others.
const MOST_USUAL: usize = 24;

/// The head of the client's request.
#[derive(Debug)]
pub struct RequestHead {
    request: Request,
    limits_only: bool,
    usual: Rc<Usual>,
    /// What JavaScript has told: method, URL and the usual headers.
    text: String,
    /// Where the lines of the text are.
    lines: Vec<Range<usize>>,
}

impl RequestHead {
    /// The head of `request`.
    pub fn of(request: Request, usual: &Rc<Usual>) -> Self {
        let text = head_of(&request, &usual.array);
        let mut lines = Vec::with_capacity(usual.names.len() + 2);
        let mut from = 0;
        for line in text.split('\n') {
            lines.push(from..from + line.len());
            from += line.len() + 1;
        }
        Self {
            request,
            limits_only: false,
            usual: Rc::clone(usual),
            text,
            lines,
        }
    }

    /// The same request, of which only the limits are asked.
    #[must_use]
    pub fn limits_only(self) -> Self {
        Self {
            limits_only: true,
            ..self
        }
    }

    /// The request itself.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    fn line(&self, at: usize) -> &str {
        let line = self.lines.get(at).cloned();
        line.and_then(|line| self.text.get(line))
            .unwrap_or_default()
    }

    /// The line of a header, if it is one of the usual ones.
    fn usual(&self, name: &str) -> Option<&str> {
        let Usual { names, shorter, .. } = &*self.usual;
        let from = *shorter.get(name.len())?;
        let same_length = names.get(from..*shorter.get(name.len() + 1)?)?;
        let is_it = |known: &String| known.eq_ignore_ascii_case(name);
        let at = from + same_length.iter().position(is_it)?;
        Some(self.line(at + 2))
    }
}

impl Fields for RequestHead {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.usual(name) {
            Some(line) => line.strip_prefix('=').map(Cow::Borrowed),
            None => value(&self.request.headers(), name),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self.usual(name) {
            Some(line) => line.starts_with('='),
            None => self.request.headers().has(name).unwrap_or(false),
        }
    }
}

impl Head for RequestHead {
    fn method(&self) -> &str {
        self.line(0)
    }

    fn url(&self) -> &str {
        self.line(1)
    }

    fn names(&self) -> Vec<String> {
        let names = names_of(&self.request);
        // An empty text has one line, too.
        let names = names.split('\n').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }

    fn asks_limits_only(&self) -> bool {
        self.limits_only
    }
}

/// The head of the origin's answer.
#[derive(Debug)]
pub struct ResponseHead {
    status: u16,
    /// What JavaScript has told: the names and values of the headers in turns.
    text: String,
    /// Where the names and the values are in the text.
    lines: Vec<(Range<usize>, Range<usize>)>,
}

impl ResponseHead {
    /// The head with this status and these names and values, each with a line feed at its end.
    pub fn of(status: u16, text: String) -> Self {
        let mut lines = Vec::with_capacity(16);
        let mut from = 0;
        let mut name = None;
        for (at, byte) in text.bytes().enumerate() {
            if byte == b'\n' {
                match name.take() {
                    Some(name) => lines.push((name, from..at)),
                    None => name = Some(from..at),
                }
                from = at + 1;
            }
        }
        Self {
            status,
            text,
            lines,
        }
    }

    /// The header lines. A name that is repeated is that of `Set-Cookie`: the platform joins the
    /// others.
    fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |at: &Range<usize>| self.text.get(at.clone()).unwrap_or_default();
        let lines = self.lines.iter();
        lines.map(move |(name, value)| (text(name), text(value)))
    }
}

impl Fields for ResponseHead {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let named = self
            .lines()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let mut values = named.map(|(_, value)| value);
        let first = Cow::Borrowed(values.next()?);
        Some(values.fold(first, |all, value| Cow::Owned([&all, ", ", value].concat())))
    }

    fn has(&self, name: &str) -> bool {
        self.lines().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

impl OriginHead for ResponseHead {
    fn status(&self) -> u16 {
        self.status
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in self.lines() {
            // Equal names stand together.
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// `Headers` joins repeated fields, but for `Set-Cookie`, with commas, as RFC 9110 §5.3 allows.
    fn headers(&self) -> Vec<(String, String)> {
        let lines = self.lines();
        lines.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }
}

/// The value of a header.
pub fn value(headers: &Headers, name: &str) -> Option<Cow<'static, str>> {
    headers.get(name).ok().flatten().map(Cow::Owned)
}
