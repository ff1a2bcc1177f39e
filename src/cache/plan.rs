//! The cache plan of a route: its rules, the keys of its responses, and which parts of a request
//! reach the origin.

use std::rc::Rc;
use std::time::Duration;

use crate::config::{self, UnknownQuery};
use crate::engine::http_cache::{
    CacheKey, CacheRules, Candles, DeclaredQuery, Interval, NoVarySearch, RouteTtl, TagError, Tags,
    Target, canonical_query, end_time, only_value, purged_url,
};

use crate::message::forward::USUAL;
use crate::message::head::Head;

/// The settings of a route's cache, ready for use.
#[derive(Debug)]
pub struct CachePlan {
    /// The rules that are the same for all requests.
    rules: CacheRules,
    by_candle: bool,
    open_ttl: Option<Duration>,
    declared: Option<DeclaredQuery>,
    unknown_query: UnknownQuery,
    /// The tags by which entries can be purged.
    tags: Tags,
    /// How long the origin may take to start its answer.
    origin_timeout: Duration,
    /// How long an isolate serves an entry from its memory without checking it against the store.
    pub l1_max_age: Option<Duration>,
    /// Request headers that are part of the key.
    pub vary: Vec<String>,
    /// The only request headers that may reach the origin, in lower case; `None`: all may.
    pub forwarded: Option<Rc<[String]>>,
}

impl CachePlan {
    /// The plan for the route with this path. `origin_timeout`: how long the origin may take to
    /// start its answer.
    ///
    /// # Errors
    ///
    /// As [`Tags::parse`].
    pub fn new(
        cache: &config::Cache,
        path: &str,
        origin_timeout: Duration,
    ) -> Result<Self, TagError> {
        let names = |names: &[String]| {
            let names = names.iter().chain(&cache.vary);
            names.map(|name| name.to_ascii_lowercase()).collect()
        };
        let forwarded = || match &cache.forward {
            Some(forward) => names(forward),
            None => names(&USUAL.map(str::to_owned)),
        };
        Ok(Self {
            rules: CacheRules {
                ttl: match cache.ttl {
                    Some(config::Ttl::For(ttl)) => Some(RouteTtl::Fixed(ttl)),
                    Some(config::Ttl::Candle) | None => None,
                },
                negative_ttl: cache.negative_ttl,
                negative_statuses: cache.negative_statuses.clone().map(Into::into),
                override_origin: cache.override_origin,
                stale_while_revalidate: cache.stale_while_revalidate,
                stale_if_error: cache.stale_if_error,
                heuristic: cache.heuristic.unwrap_or(cache.ttl.is_none()),
                server_errors: cache.server_errors,
                min_ttl: cache.min_ttl,
                version: cache.version.clone(),
                set_cookie: cache.set_cookie,
                strict_age: cache.strict_age,
            },
            by_candle: cache.ttl == Some(config::Ttl::Candle),
            open_ttl: cache.open_ttl,
            declared: cache
                .query
                .as_ref()
                .map(|names| DeclaredQuery::new(names, &cache.normalize, &cache.defaults)),
            unknown_query: cache.unknown_query,
            tags: Tags::parse(&cache.tags, path)?,
            origin_timeout,
            l1_max_age: cache.believed_for(),
            vary: cache.vary.clone(),
            forwarded: cache.query.is_some().then(forwarded),
        })
    }

    /// How long a refresh lease lasts.
    pub fn lease(&self) -> Duration {
        self.origin_timeout.min(LONGEST_LEASE)
    }

    /// How long the body of a response that is stored may take, counted from its head.
    pub fn arrival(&self) -> Duration {
        self.origin_timeout.min(LONGEST_ARRIVAL)
    }

    /// The rules for the responses to a request.
    pub fn rules(&self, target: &Target<'_>) -> CacheRules {
        let mut rules = self.rules.clone();
        if self.by_candle {
            rules.ttl = self.candles(target).map(RouteTtl::Candles);
        }
        rules
    }

    /// The canonical query, which is part of the key and goes to the origin.
    pub fn query(&self, query: Option<&str>) -> Option<String> {
        canonical_query(query, self.declared.as_ref())
    }

    /// The query that goes to the origin if the request bypasses the cache: parameters that are not
    /// declared are left out, unless the route passes them on.
    pub fn query_past_cache(&self, written: Option<String>) -> Option<String> {
        match &self.declared {
            Some(declared) if !self.passes(written.as_deref()) => {
                declared.canonical(written.as_deref())
            }
            _ => written,
        }
    }

    /// Whether the route passes requests with this query on as they are, because of a parameter
    /// that it does not declare.
    pub fn passes(&self, query: Option<&str>) -> bool {
        let passes = self.unknown_query == UnknownQuery::Pass;
        let declared = self.declared.as_ref().filter(|_| passes);
        declared.is_some_and(|declared| declared.unknown(query).next().is_some())
    }

    /// The parameters of a query because of which the route refuses a request: the first few, as
    /// they are spelt, and the beginning of each.
    pub fn refused(&self, query: Option<&str>) -> Vec<String> {
        let refuses = self.unknown_query == UnknownQuery::Refuse;
        let declared = self.declared.as_ref().filter(|_| refuses);
        let mut names: Vec<String> = Vec::new();
        for name in declared
            .into_iter()
            .flat_map(|declared| declared.unknown(query))
        {
            let name = match name.char_indices().nth(LONGEST_NAME) {
                Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
                None => name.to_owned(),
            };
            if !names.contains(&name) {
                names.push(name);
            }
            if names.len() == MOST_NAMES {
                break;
            }
        }
        names
    }

    /// The keys in the store of the epochs of a URL's entries. `prefix` is the prefix of all keys.
    pub fn epoch_keys(&self, prefix: &str, target: &Target<'_>) -> Vec<String> {
        self.tags.epoch_keys(prefix, target, self.declared.as_ref())
    }

    /// The key by which the responses to a URL are purged.
    pub fn purged_url(&self, target: &Target<'_>) -> CacheKey {
        purged_url(target, self.declared.as_ref())
    }

    /// Which candles a request asks for; `None` if their interval cannot be known.
    fn candles(&self, target: &Target<'_>) -> Option<Candles> {
        let query = self.query(target.query())?;
        Some(Candles {
            interval: Interval::of(only_value(&query, "interval")?)?,
            end: only_value(&query, "endTime").and_then(end_time),
            open_ttl: self.open_ttl,
        })
    }

    /// The key under which the response to a request is stored.
    pub fn key(&self, head: &impl Head, target: &Target<'_>) -> CacheKey {
        CacheKey::new(target, self.declared.as_ref(), &self.vary, head)
    }

    /// The key without the parameters that do not count according to `search`.
    pub fn canonical_key(
        &self,
        head: &impl Head,
        target: &Target<'_>,
        search: &NoVarySearch,
    ) -> CacheKey {
        self.key(head, &search.counted(target))
    }
}

/// How many names of parameters a refusal tells, and how much of each, in characters.
const MOST_NAMES: usize = 8;
const LONGEST_NAME: usize = 64;

/// The longest time that a refresh lease lasts.
pub const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// The longest time that the body of a response may take to be stored. The platform ends background
/// work 30 s after a response.
pub const LONGEST_ARRIVAL: Duration = Duration::from_secs(25);
