//! What a request asks of the cache. It does not change while the request is handled.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::http_cache::{
    Bypass, CacheKey, CacheRules, Fields, NoVarySearch, RequestDirectives, Target, is_exact,
    may_look_up,
};
use crate::message::forward::AsForwarded;
use crate::message::head::Head;

use super::plan::CachePlan;

/// A request that the cache may answer.
#[derive(Debug)]
pub struct CacheRequest {
    /// The rules of its route.
    pub rules: CacheRules,
    /// The key of the URL that it asks for.
    pub url: CacheKey,
    /// What a response must say about its query to answer this request, if the key leaves
    /// parameters out.
    pub no_vary_search: Option<NoVarySearch>,
    /// The key with all parameters, if [`url`](Self::url) leaves some out.
    pub exact: Option<CacheKey>,
    /// The directives of its `Cache-Control`.
    pub directives: RequestDirectives,
    /// Whether request headers are part of the key.
    pub keyed_by_headers: bool,
    /// Whether the origin's answer can be expected to be storable: the request is a `GET` for the
    /// whole representation, and not for one client.
    pub storable: bool,
    /// Whether the request is for one client: it has credentials that reach the origin.
    pub for_one: bool,
    /// Whether the request asks for a range.
    pub ranged: bool,
    /// How long an entry in the isolate is served without asking the store; `None`: as long as it
    /// lives.
    pub believed_for: Option<Duration>,
    /// The only request headers that reach the origin, if not all do.
    pub forwarded: Option<Rc<[String]>>,
}

impl CacheRequest {
    /// Reads a request to a route with this plan. `no_vary_search`: which parameters count, as
    /// earlier responses have said. `store_is_up`: whether the store can be asked about entries.
    ///
    /// # Errors
    ///
    /// Why the request bypasses the cache.
    pub fn of(
        plan: &CachePlan,
        head: &impl Head,
        target: &Target<'_>,
        no_vary_search: Option<&NoVarySearch>,
        store_is_up: bool,
    ) -> Result<Self, Bypass> {
        let method = head.method().parse().map_err(|_| Bypass::Method)?;
        let directives = may_look_up(&method, head)?;
        if plan.passes(target.query()) {
            return Err(Bypass::UnknownQuery);
        }
        let is_text = |name: &String| head.value(name).is_none_or(|value| is_exact(&value));
        if !plan.vary.iter().all(is_text) {
            return Err(Bypass::Octets);
        }
        let exact = plan.key(head, target);
        let url = match no_vary_search {
            Some(search) => plan.canonical_key(head, target, search),
            None => exact.clone(),
        };
        let exact = Some(exact).filter(|exact| url != *exact);
        let no_vary_search = no_vary_search.filter(|_| exact.is_some()).cloned();
        let is_get = method == http::Method::GET;
        let ranged = is_get && head.has("range");
        let forwarded = plan.forwarded.clone();
        let for_one = AsForwarded::new(head, forwarded.as_deref()).has("authorization");
        Ok(Self {
            rules: plan.rules(target),
            url,
            no_vary_search,
            exact,
            directives,
            keyed_by_headers: !plan.vary.is_empty(),
            storable: is_get && !ranged && !for_one,
            for_one,
            ranged,
            believed_for: plan.l1_max_age.filter(|_| store_is_up),
            forwarded,
        })
    }

    /// Whether the client accepts nothing but a stored response (RFC 9111 §5.2.1.7).
    pub const fn only_if_cached(&self) -> bool {
        self.directives.only_if_cached
    }

    /// The request as the origin gets it: headers that do not reach the origin cannot tell variants
    /// apart.
    pub fn as_forwarded<'a, H: Head>(&'a self, head: &'a H) -> AsForwarded<'a, H> {
        AsForwarded::new(head, self.forwarded.as_deref())
    }

    /// The keys of the response's epochs in the store. `plan` is the plan of the route, `prefix`
    /// the prefix of all keys.
    pub fn epoch_keys(&self, target: &Target<'_>, plan: &CachePlan, prefix: &str) -> Vec<String> {
        match &self.no_vary_search {
            Some(search) => plan.epoch_keys(prefix, &search.counted(target)),
            None => plan.epoch_keys(prefix, target),
        }
    }
}

/// A request that may change what is stored for its URL (RFC 9111 §4.4).
#[derive(Debug)]
pub struct Change {
    /// Whether the route declares its query. Then the answer to this request, which is forwarded
    /// with its query as it is, does not answer a later `GET`.
    pub declared: bool,
    /// The rules of the route that answers a `GET` of this URL.
    pub rules: CacheRules,
    /// The key under which the response to that `GET` is stored.
    pub url: CacheKey,
}

impl Change {
    /// A request that may change a URL. `plan` is the plan of the route that answers a `GET` of it.
    pub fn of(plan: &CachePlan, head: &impl Head, target: &Target<'_>) -> Self {
        Self {
            declared: plan.forwarded.is_some(),
            rules: plan.rules(target),
            url: plan.key(head, target),
        }
    }
}
