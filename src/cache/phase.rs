//! The phases of a request in the cache.

use crate::clock::Timestamp;
use crate::engine::http_cache::{Bypass, CacheStatus, Target};
use crate::engine::url::as_written;
use crate::message::body::Body;
use crate::message::head::Head;

use super::fetching::{Fetching, Miss};
use super::lookup::Lookup;
use super::memory::CacheMemory;
use super::plan::CachePlan;
use super::request::{CacheRequest, Change};

/// The phase of a request in the cache. Each phase has the fields that it needs, and no others.
///
/// ```text
///  Off, Bypass ───────────────────────────────────────────► the origin, as it is
///  Refused ───────────────────────────────────────────────► answered
///  Change ─── sent ────► Changing ─────────────────────────► the origin, as it is
///
///            serve               prepare              received
///  Lookup ───┬─────────► Miss ───────────► Fetching ───┬──► Fill ── finish ──► an entry
///    ▲  ▲    │            │                   │        ├──► the stored response still holds
///    │  │    └► answered  │                   │        └──► relayed, not stored
///    │  └── wait, ask ────┘                   │
///    └── ask again, without a condition ◄─────┘
/// ```
#[derive(Debug)]
pub enum Phase<B: Body> {
    /// The route has no cache.
    Off,
    /// The request bypasses the cache.
    Bypass(Bypass),
    /// The route refuses the request because of these parameters of its query.
    Refused(Vec<String>),
    /// The request may change what is stored for its URL (RFC 9111 §4.4).
    Change(Box<Change>),
    /// A [`Change`](Self::Change) that was sent to the origin at this time.
    Changing(Box<Change>, Timestamp),
    /// The cache may answer.
    Lookup(Box<Lookup<B>>),
    /// The cache cannot answer: the request has to go to the origin.
    Miss(Box<Miss<B>>),
    /// The request is at the origin.
    Fetching(Box<Fetching<B>>),
}

impl<B: Body> Phase<B> {
    /// The phase in which a request to a route with this plan starts, unless it may change what is
    /// stored or asks for an upgrade. `store_is_up`: whether the store can be asked about entries.
    pub fn first(
        plan: &CachePlan,
        head: &impl Head,
        target: &Target<'_>,
        memory: &CacheMemory<B>,
        store_is_up: bool,
    ) -> Self {
        let refused = plan.refused(target.query());
        if !refused.is_empty() && matches!(head.method(), "GET" | "HEAD") {
            return Self::Refused(refused);
        }
        let search = memory.no_vary_search(target.path());
        match CacheRequest::of(plan, head, target, search, store_is_up) {
            Ok(request) => Self::Lookup(Box::new(Lookup::new(request))),
            Err(why) => Self::Bypass(why),
        }
    }

    /// What is known of the response, unless the request has gone to the origin.
    pub fn lookup(&self) -> Option<&Lookup<B>> {
        match self {
            Self::Lookup(lookup) => Some(lookup),
            Self::Miss(miss) => Some(&miss.lookup),
            _ => None,
        }
    }

    /// Whether the request goes to the origin whatever the cache holds.
    pub const fn goes_to_origin(&self) -> bool {
        matches!(self, Self::Off | Self::Bypass(_) | Self::Change(_))
    }

    /// What `Cache-Status` says about a request that bypassed the cache.
    pub fn bypassed(&self) -> Option<CacheStatus> {
        match self {
            Self::Bypass(why) => Some(CacheStatus::bypassed(*why)),
            Self::Change(..) | Self::Changing(..) => Some(CacheStatus::bypassed(Bypass::Method)),
            Self::Off | Self::Refused(_) | Self::Lookup(_) | Self::Miss(_) | Self::Fetching(_) => {
                None
            }
        }
    }

    /// What is known of the response, if the request has not gone to the origin. A miss turns back
    /// into a lookup, so that the request can look again.
    pub fn reopened(&mut self) -> Option<&mut Lookup<B>> {
        *self = match self.take() {
            Self::Miss(miss) => Self::Lookup(Box::new(miss.lookup)),
            phase => phase,
        };
        match self {
            Self::Lookup(lookup) => Some(lookup),
            _ => None,
        }
    }

    /// The path and the query that are sent to the origin. `target` is the normal form of `url`,
    /// and `plan` the plan of the route.
    ///
    /// On a miss they are those of the cache key, so that no spelling can bring a different answer
    /// under the same key. Otherwise they are as the client wrote them; but if a `GET` or `HEAD`
    /// bypasses the cache, only the declared parameters are left in its query.
    pub fn sent(
        &self,
        plan: Option<&CachePlan>,
        target: &Target<'_>,
        url: &str,
    ) -> Option<(String, Option<String>)> {
        if let (Self::Miss(_), Some(plan)) = (self, plan) {
            return Some((target.path().to_owned(), plan.query(target.query())));
        }
        let (path, query) = as_written(url)?;
        let query = match (self, plan) {
            // The cache has no part in other methods than `GET` and `HEAD`, nor in protocol
            // upgrades.
            (Self::Bypass(why), Some(plan)) if !matches!(why, Bypass::Method | Bypass::Upgrade) => {
                plan.query_past_cache(query)
            }
            _ => query,
        };
        Some((path, query))
    }

    /// Takes the phase out and leaves [`Phase::Off`].
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Off)
    }
}
