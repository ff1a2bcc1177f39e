//! The issuer's keys: how long they are used, and when they are fetched.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::engine::http_cache::{Fields, ResponseDirectives, date};
use crate::engine::jwt::KeySet;

/// How long a fetch is believed to be under way. The shell ends it earlier ([`FETCH_TIMEOUT`]).
const UNDER_WAY: Duration = Duration::from_secs(6);

/// How long the issuer may take for its key set, the whole of it.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest key set that is read, in bytes. Usual ones have 1 to 10 KB.
pub const LONGEST_KEY_SET: usize = 256 * 1024;

/// How long keys are fresh if the response does not say it.
const USUAL_LIFETIME: Duration = Duration::from_secs(300);

/// The same if it says that it must not be stored: each request cannot fetch it anew.
const SHORT_LIFETIME: Duration = Duration::from_secs(10);

/// The bounds of a lifetime that the response names.
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

/// How long stale keys are used at most, if no others can be fetched.
const STALE: Duration = Duration::from_secs(86_400);

/// How long to wait after a failed fetch. The pause doubles with every further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How many fetches in a row unknown keys may cause, and how long until there is one more. Anybody
/// can make up the name of a key, and these fetches must not become a burden for the issuer.
const FORCED: u32 = 5;
const FORCED_EVERY: Duration = Duration::from_secs(15);

/// The issuer's keys, as far as this isolate has them.
#[derive(Debug)]
pub struct IssuerKeys {
    set: Option<KeySet>,
    stale_at: Timestamp,
    fetching_until: Option<Timestamp>,
    /// The failures since the last success.
    failures: u32,
    retry_at: Timestamp,
    /// Whether a token has named a key that is not in the set.
    is_forced: bool,
    /// How many fetches unknown keys may still cause, since when.
    allowance: (u32, Timestamp),
}

/// The response of the issuer to a request for its keys.
#[derive(Debug, Clone)]
pub struct KeyReply {
    /// Its status.
    pub status: u16,
    /// Its header fields that say how long it is fresh: `cache-control`, `age` and `expires`.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Default for IssuerKeys {
    fn default() -> Self {
        Self {
            set: None,
            stale_at: Timestamp::default(),
            fetching_until: None,
            failures: 0,
            retry_at: Timestamp::default(),
            is_forced: false,
            allowance: (FORCED, Timestamp::default()),
        }
    }
}

impl IssuerKeys {
    /// The keys, if there are any that may be used.
    pub fn set(&self, now: Timestamp) -> Option<&KeySet> {
        self.set.as_ref().filter(|_| now < self.stale_at + STALE)
    }

    /// Whether the latest attempt to fetch them has failed.
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether they are being fetched.
    pub fn is_fetching(&self, now: Timestamp) -> bool {
        self.fetching_until.is_some_and(|until| now < until)
    }

    /// Has the keys fetched because a token names one that is not among them. Returns whether they
    /// will be: not if this has happened too often lately.
    pub fn force(&mut self, now: Timestamp) -> bool {
        let (left, since) = self.allowance;
        let more = now.since(since).as_millis() / FORCED_EVERY.as_millis();
        let left = u32::try_from(more).unwrap_or(FORCED).saturating_add(left);
        let left = left.min(FORCED);
        let since = if more > 0 { now } else { since };
        self.is_forced |= left > 0;
        self.allowance = (left.saturating_sub(1), since);
        left > 0
    }

    /// Whether a fetch is due. If so, it counts as begun.
    pub fn begin(&mut self, now: Timestamp) -> bool {
        // A fetch that an unknown key has caused may fail while the old keys are still fresh.
        let failed = self.is_failing();
        let needed = self.set.is_none() || now >= self.stale_at || self.is_forced || failed;
        if !needed || self.is_fetching(now) || now < self.retry_at {
            return false;
        }
        self.is_forced = false;
        self.fetching_until = Some(now + UNDER_WAY);
        true
    }

    /// Takes the issuer's response, or that there was none. If there are no keys in it, it says why
    /// not, and the old ones stay.
    pub fn fetched(
        &mut self,
        reply: Option<&KeyReply>,
        now: Timestamp,
    ) -> Result<Changed, &'static str> {
        self.fetching_until = None;
        let set = match reply {
            None => Err("no whole answer in 5 s, or one of more than 256 KiB"),
            Some(reply) if reply.status != 200 => Err("an answer other than 200"),
            Some(reply) => KeySet::parse(&reply.body)
                .map(|set| (set, lifetime(reply, now)))
                .ok_or("no JSON Web Key Set with a key for RS256, ES256 or EdDSA"),
        };
        match set {
            Ok((set, lifetime)) => {
                let is_new = self.set.as_ref() != Some(&set);
                self.set = Some(set);
                self.stale_at = now + lifetime;
                self.failures = 0;
                self.retry_at = now;
                Ok(Changed(is_new))
            }
            Err(why) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10));
                self.retry_at = now + pause.min(LONGEST_PAUSE);
                self.failures = self.failures.saturating_add(1);
                Err(why)
            }
        }
    }
}

/// Whether the keys are others than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed(pub bool);

/// How long a key set is fresh (RFC 9111 §4.2.1, for a private cache).
fn lifetime(reply: &KeyReply, now: Timestamp) -> Duration {
    let fields = reply.fields.as_slice();
    let said = ResponseDirectives::parse(&fields.value("cache-control").unwrap_or_default());
    if said.no_store || said.no_cache.is_everything() {
        return SHORT_LIFETIME;
    }
    let age = fields.value("age").and_then(|age| age.trim().parse().ok());
    let age = Duration::from_secs(age.unwrap_or(0));
    let expires = || Some(date(&fields.value("expires")?)?.since(now));
    let named = match said.max_age.valid() {
        Some(lifetime) => Some(lifetime.saturating_sub(age)),
        None => expires(),
    };
    let (least, most) = LIFETIMES;
    named.map_or(USUAL_LIFETIME, |lifetime| lifetime.clamp(least, most))
}

#[cfg(test)]
mod tests;
