//! What the configuration of a route means to the cache: its rules, and the keys of its responses.

use crate::config;
use crate::engine::cache::{CacheKey, CacheRules, NoVarySearch, Target};

use super::super::head::Head;

/// The settings of a route, as the engine takes them.
pub(super) fn rules(cache: &config::Cache) -> CacheRules {
    CacheRules {
        ttl: cache.ttl,
        override_origin: cache.override_origin,
        stale_while_revalidate: cache.stale_while_revalidate,
        stale_if_error: cache.stale_if_error,
        heuristic: cache.heuristic.unwrap_or(cache.ttl.is_none()),
        server_errors: cache.server_errors,
        min_ttl: cache.min_ttl,
        version: cache.version.clone(),
        set_cookie: cache.set_cookie,
        strict_age: cache.strict_age,
    }
}

/// The same without the parameters that do not count.
pub fn canonical_key(
    cache: &config::Cache,
    head: &impl Head,
    target: Target<'_>,
    search: &NoVarySearch,
) -> CacheKey {
    let query = target.query.and_then(|query| search.canonical(query));
    let query = query.as_deref();
    key(cache, head, Target { query, ..target })
}

/// What a request to the route is stored under.
pub fn key(cache: &config::Cache, head: &impl Head, target: Target<'_>) -> CacheKey {
    CacheKey::new(&target, cache.query.as_deref(), &cache.vary, head)
}
