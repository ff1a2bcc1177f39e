//! Which pages of other origins may read answers.

use std::time::Duration;

use super::read::tables;
use crate::engine::cors;

/// Which pages of other origins may read answers (Fetch Standard, "CORS protocol").
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cors {
    /// The origins of the pages, as browsers send them; or `"*"` alone, for all.
    pub origins: Vec<String>,
    /// Whether pages may send credentials.
    pub credentials: bool,
    /// The response headers that pages may read; if absent, those of the gate's own.
    pub expose: Option<Vec<String>>,
    /// Whether the gate answers preflights, and not the origin.
    pub preflight: bool,
    /// The methods that pages may use, if the gate answers preflights; if absent, those of the
    /// route, or the one that is asked for.
    pub allow_methods: Option<Vec<String>>,
    /// The request headers that pages may set, if the gate answers preflights; if absent, those
    /// that are asked for.
    pub allow_headers: Option<Vec<String>>,
    /// For how long browsers may remember the answer to a preflight; if absent, for as long as they
    /// like.
    pub max_age: Option<Duration>,
}

tables! {
    Cors { origins, credentials, expose, preflight, allow_methods, allow_headers, max_age }
}

impl Cors {
    /// The rules for answers. `limits`: the headers by which the gate tells clients their limits.
    pub(crate) fn rules(&self, limits: &[&str]) -> cors::Cors {
        let own = || {
            let all = limits.iter().chain(&OWN);
            all.map(|name| (*name).to_owned()).collect()
        };
        cors::Cors {
            origins: self.origins.clone(),
            credentials: self.credentials,
            expose: self.expose.clone().unwrap_or_else(own),
            preflight: self.preflight.then(|| cors::Preflight {
                methods: self.allow_methods.clone(),
                headers: self.allow_headers.clone(),
                max_age: self.max_age.map(|age| age.as_secs()),
            }),
        }
    }
}

/// The headers that the gate adds to answers, but for those that tell limits.
const OWN: [&str; 5] = [
    "Retry-After",
    "X-Edge-Limiter",
    "Cache-Status",
    "Age",
    "X-Data-Age",
];
