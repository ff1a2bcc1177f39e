//! Which of several responses to one URL is meant (RFC 9111 §4.1).

use crate::clock::Timestamp;
use crate::engine::cache::{CacheKey, Family, L1, Meta, NoVarySearch};

use super::super::body::Body;
use super::super::head::Head;
use super::{Cached, Caching, Found};

impl<B: Body> Caching<B> {
    /// Looks into the isolate's own memory.
    pub fn look_into_l1(&mut self, head: &impl Head, l1: &mut L1<B>, now: Timestamp) {
        if let Self::On(cached) = self {
            cached.look(l1, now);
            cached.turn(head, l1, now);
        }
    }

    /// The same after a wait for another request's answer.
    pub fn look_again(&mut self, head: &impl Head, l1: &mut L1<B>, now: Timestamp) {
        if let Self::On(cached) = self {
            cached.waited = true;
        }
        self.look_into_l1(head, l1, now);
        // The store has told of other epochs since that was asked for.
        if let Self::On(cached) = self
            && let (Some(found), Some(_)) = (&cached.found, &cached.epochs)
            && cached.family.is_none()
            && found.entry.checked_at < cached.epochs_at
            && found.entry.meta.epochs != cached.epochs
        {
            cached.found = None;
        }
    }

    /// The same once the store has failed: while it was waited for, another request may have stored what
    /// this one misses.
    pub fn look_without_store(&mut self, head: &impl Head, l1: &mut L1<B>, now: Timestamp) {
        let Self::On(cached) = self else {
            return;
        };
        let before = cached.found.take();
        cached.look(l1, now);
        if cached.found.is_none() {
            cached.found = before;
        }
        cached.turn(head, l1, now);
    }

    /// Turns to the variant that is meant, where the response under the URL's own key answers other
    /// requests. Whether it did.
    pub fn turn(&mut self, head: &impl Head, l1: &mut L1<B>, now: Timestamp) -> bool {
        match self {
            Self::On(cached) => cached.turn(head, l1, now),
            _ => false,
        }
    }
}

impl<B: Body> Cached<B> {
    fn look(&mut self, l1: &mut L1<B>, now: Timestamp) {
        let entry = l1.get(&self.key, now);
        let entry = entry.filter(|entry| self.speaks_for(&entry.meta));
        self.found = entry.map(|entry| Found {
            entry: entry.clone(),
            level: "l1",
        });
    }

    fn turn(&mut self, head: &impl Head, l1: &mut L1<B>, now: Timestamp) -> bool {
        let leader = self.found.as_ref().map(|found| &found.entry.meta);
        let family = match leader {
            Some(leader)
                if self.family.is_none()
                    && !Family::leader_answers(leader, &self.as_forwarded(head)) =>
            {
                Family::of(leader)
            }
            _ => None,
        };
        let Some(family) = family else {
            return false;
        };
        self.key = family.key(&self.url, &self.as_forwarded(head));
        self.family = Some(family);
        self.refresh = None;
        self.look(l1, now);
        true
    }

    /// Whether a response answers this request by its own word, where not all parameters are in the key.
    pub fn speaks_for(&self, meta: &Meta) -> bool {
        self.search.is_none() || NoVarySearch::of(meta.headers.as_slice()) == self.search
    }

    /// Says under which key a response is kept, and writes it into the response.
    ///
    /// One that answers every request, and the first of its family, lie under the URL's own: `url`.
    pub fn place(&self, meta: &mut Meta, url: &CacheKey) -> CacheKey {
        if *url == self.url && self.family.is_some() && !meta.vary.is_empty() {
            return self.key.clone();
        }
        meta.key = url.text().to_owned();
        meta.generation = match (meta.vary.is_empty(), &self.family) {
            (true, _) => 0,
            (false, None) if *url == self.url => self.generation(meta),
            (false, _) => meta.response_time.as_millis(),
        };
        url.clone()
    }

    /// The generation of a leader: that of the one before it, as long as the store still has that. A
    /// leader that was removed there takes its family with it.
    fn generation(&self, meta: &Meta) -> u64 {
        let at_hand = self.found.as_ref().map(|found| found.entry.meta.generation);
        let known = match self.generation {
            Some(stored) => stored,
            None => at_hand,
        };
        match known {
            Some(generation) if generation > 0 => generation,
            _ => meta.response_time.as_millis(),
        }
    }
}
