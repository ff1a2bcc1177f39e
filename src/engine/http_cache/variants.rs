//! Several stored responses to one URL, distinguished by `Vary` (RFC 9111 §4.1).

use super::entry::Meta;
use super::fields::Fields;
use super::key::CacheKey;
use super::vary;

/// The request headers that distinguish the stored responses to one URL.
///
/// The response that is stored first has the key of the URL and is the leader. It says which
/// request headers distinguish the others, so that their keys can be computed from it; a request
/// that the leader does not answer takes one more lookup. The keys contain the leader's generation:
/// once the leader is gone, because it was invalidated or expired, the others can never be found
/// again, not even by the next leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    generation: u64,
    names: Vec<String>,
}

impl Family {
    /// The family that a stored response leads; `None` if it answers every request.
    pub fn of(leader: &Meta) -> Option<Self> {
        (!leader.vary.is_empty()).then(|| Self {
            generation: leader.generation,
            names: leader.vary.iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    /// Whether the leader itself answers this request.
    pub fn leader_answers<F: Fields + ?Sized>(leader: &Meta, request: &F) -> bool {
        vary::matches(&leader.vary, request)
    }

    /// The key of the response to this request. `url` is the leader's key.
    pub fn key<F: Fields + ?Sized>(&self, url: &CacheKey, request: &F) -> CacheKey {
        let selectors: Vec<_> = self
            .names
            .iter()
            .map(|name| (name.clone(), vary::selector(request, name)))
            .collect();
        url.variant(self.generation, &selectors)
    }

    /// The key of a response that was selected by the same headers as the leader, but with other
    /// values; otherwise `None`.
    pub fn key_beside(&self, url: &CacheKey, leader: &Meta, other: &Meta) -> Option<CacheKey> {
        let names = |meta: &Meta| meta.vary.iter().map(|(name, _)| name.clone()).collect();
        let (led, others): (Vec<_>, Vec<_>) = (names(leader), names(other));
        (led == others && leader.vary != other.vary)
            .then(|| url.variant(self.generation, &other.vary))
    }
}
