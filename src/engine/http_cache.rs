//! A shared HTTP cache's decisions (RFC 9111), without a clock, a store or a network.
//!
//! A request passes through these steps:
//!
//! 1. [`may_look_up`] says whether the cache may answer this request at all;
//! 2. [`CacheKey`] names the requested resource;
//! 3. an [`Entry`] comes from [`L1`], or a [`Meta`] and a body come from the store
//!    ([`envelope::decode`]);
//! 4. [`evaluate`] says what may be done with it: serve it, serve it and refresh it, or revalidate
//!    it ([`revalidation_headers`]); [`client_condition`] says whether the client already has it;
//! 5. after a fetch, [`may_store`] says whether the response may be stored,
//!    [`Meta::from_response`] what of it is kept, and [`freshen`] merges a `304` into the stored
//!    response.
//!
//! Several responses to one URL that `Vary` distinguishes form a [`Family`]. A [`Part`] is the part
//! of a response that `Range` requests. Entries that are purged together have a [`Tag`] in common.
//!
//! Lifetimes and ages are in milliseconds ([`Freshness`]). Each rule is documented with the section
//! of the RFC that it comes from.

mod candle;
mod control;
mod entry;
pub mod envelope;
mod exchange;
mod fields;
mod freshness;
mod key;
mod l1;
mod policy;
mod query;
mod range;
mod reference;
mod rules;
mod search;
mod status;
mod storage;
mod tags;
mod targeted;
mod validation;
mod variants;
mod vary;
mod version;

#[cfg(test)]
mod tests;

pub use candle::{Candle, Candles, Interval, end_time};
pub use control::{Delta, MaxStale, RequestDirectives, ResponseDirectives, Scope};
pub use entry::{DIGESTS, Meta};
pub(in crate::engine) use envelope::checksum;
pub use exchange::{BodyCoding, Exchange, is_coded};
pub use fields::{Elements, Fields, date, elements, http_date, is_exact, is_token, lines, tokens};
pub use freshness::{Freshness, Lifetime, LifetimeSource, StaleForbidden};
pub use key::CacheKey;
pub use l1::{Entry, Insertion, L1};
pub use policy::{
    Bypass, OnError, Unusable, Use, WhyRevalidate, asks_for_more, evaluate, invalidates,
    is_origin_error, may_look_up,
};
pub use query::{DeclaredQuery, Letters, canonical_query, only_value};
pub use range::{Part, requested_part};
pub use reference::same_origin_reference;
pub use rules::{CacheRules, RouteTtl};
pub use search::NoVarySearch;
pub use status::{CacheResult, CacheStatus, Forward, Handling, IN_PLACE, Tier};
pub use storage::{WhyNot, body_is_whole, is_for_some, may_store};
#[cfg(feature = "queue")]
pub use tags::path_value;
pub use tags::{
    LONGEST_STORED, MOST_TAGS, PURGE_REMEMBERED, Place, Tag, TagError, TagTemplate, Tags, epoch,
    has_parameter, places, purged_url, tag_key, url_key,
};
pub use validation::{
    CONDITIONAL, Condition, Freshened, client_condition, freshen, goes_with_not_modified,
    revalidation_headers,
};
pub use variants::Family;
pub use version::VersionSource;

pub use super::url::Target;
