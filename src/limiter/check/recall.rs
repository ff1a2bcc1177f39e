//! What memory knows of a request's limits: whether the client is held off, whether it was refused
//! before, and whether permits were fetched ahead.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::{Role, Source, Verdict};

use super::super::memory::LimitMemory;
use super::Check;
use super::limit_check::LimitCheck;
use super::refusal::Refusal;

impl Check {
    /// Decides as far as memory can: it refuses clients that are held off and requests whose
    /// earlier refusal still applies, and spends permits that were fetched ahead. Returns whether
    /// the store has to be asked about the rest.
    ///
    /// # Errors
    ///
    /// The refusal of the request.
    pub fn recall(&mut self, memory: &mut LimitMemory, now: Timestamp) -> Result<bool, Refusal> {
        self.refused_before(memory, now)?;
        let sure = self.standing_known;
        for slot in &mut self.slots {
            let Some(bucket) = slot.bucket.as_ref() else {
                continue;
            };
            // Whether the origin will be called is not known yet.
            let leased = slot.charge.leased;
            let may_spend = leased || memory.may_hold_shared(now);
            if !may_spend || slot.charge.role == Role::Origin {
                continue;
            }
            if leased {
                let (key, cost) = (&bucket.key, slot.charge.cost);
                memory.leases.demand(key, cost, slot.charge.window, now);
            }
            if !(sure || slot.charge.is_settled()) {
                continue;
            }
            if slot.spend_ahead(memory, now) {
                self.source = match self.source {
                    Source::None if leased => Source::Lease,
                    // The store has lent them to this request, which waited for that.
                    _ if !leased => Source::Redis,
                    source => source,
                };
            }
        }
        Ok(self.slots.iter().any(|slot| slot.is_open(sure)))
    }

    /// Whether memory decides about the request now, so that [`recall`](Self::recall) leaves
    /// nothing to ask.
    pub fn settles(&self, memory: &LimitMemory, now: Timestamp) -> bool {
        let sure = self.standing_known;
        let at_hand = |slot: &LimitCheck| match &slot.bucket {
            Some(bucket) if slot.charge.leased || memory.may_hold_shared(now) => {
                (sure || slot.charge.is_settled()) && slot.has_ahead(bucket, memory, now)
            }
            _ => false,
        };
        self.is_refused_before(memory, now)
            || self
                .slots
                .iter()
                .all(|slot| !slot.is_open(sure) || at_hand(slot))
    }

    /// Whether the client is held off, or an earlier refusal still applies.
    pub fn is_refused_before(&self, memory: &LimitMemory, now: Timestamp) -> bool {
        !self.holds(memory, now).is_empty() || !self.denials(memory, now).is_empty()
    }

    fn refused_before(&mut self, memory: &mut LimitMemory, now: Timestamp) -> Result<(), Refusal> {
        let held = self.holds(memory, now);
        let denied = self.denials(memory, now);
        if held.is_empty() && denied.is_empty() {
            return Ok(());
        }
        self.source = Source::Blocked;
        let longest = |list: &[(usize, Duration)], at| {
            let waits = list.iter().filter(|(n, _)| *n == at).map(|(_, wait)| *wait);
            waits.max()
        };
        for (n, slot) in self.slots.iter_mut().enumerate() {
            let Some(bucket) = slot.bucket.as_ref() else {
                continue;
            };
            // A refusal may outlast its window by some sub-buckets.
            let mut quota = slot.charge.quota(bucket);
            quota.window = quota.window.saturating_mul(2);
            let known = memory.fallback.last_known(&bucket.key, quota, now);
            let wait = longest(&held, n).max(longest(&denied, n));
            let lent = memory.leases.left(&bucket.key, now);
            slot.verdict = match (known, wait) {
                (known, Some(wait)) => Some(Verdict {
                    met: false,
                    remaining: known.map_or(0, |known| known.remaining),
                    retry_after: wait,
                    reset_after: wait,
                }),
                (Some(known), None) => {
                    let left = known.remaining.saturating_add(lent);
                    Some(Verdict {
                        met: true,
                        remaining: left.min(bucket.permits),
                        ..known
                    })
                }
                (None, None) => None,
            };
        }
        let places = |list: &[(usize, Duration)]| list.iter().map(|(n, _)| *n).collect();
        let wait = |list: &[(usize, Duration)]| list.iter().map(|(_, wait)| *wait).max();
        if !held.is_empty() {
            return Err(Refusal::Held {
                violated: places(&held),
                retry_after: wait(&held).max(wait(&denied)).unwrap_or_default(),
            });
        }
        let violated: Vec<usize> = places(&denied);
        let hold = self.penalise(&violated, memory, now);
        Err(Refusal::Quota {
            violated,
            retry_after: wait(&denied).max(hold).unwrap_or_default(),
        })
    }

    /// The limits whose earlier refusal still applies, and for how long.
    fn denials(&self, memory: &LimitMemory, now: Timestamp) -> Vec<(usize, Duration)> {
        let sure = self.standing_known;
        let denied = self.slots.iter().enumerate().filter_map(|(n, slot)| {
            let bucket = slot.enforced_bucket(sure)?;
            let (cost, enough) = (slot.charge.cost, slot.enough(bucket));
            let denied = &memory.denied;
            let until = denied.refused_until(&bucket.key, cost, enough, now)?;
            // A call that the store answered before the one that was refused may have brought some.
            let at_hand = memory.leases.left(&bucket.key, now) >= cost.max(1);
            (!at_hand).then(|| (n, until.since(now)))
        });
        denied.collect()
    }

    /// The limits for which the client is held off, and for how long; only those for which it is
    /// known where the client is counted.
    fn holds(&self, memory: &LimitMemory, now: Timestamp) -> Vec<(usize, Duration)> {
        let sure = self.standing_known;
        let held = self.slots.iter().enumerate().filter_map(|(n, slot)| {
            slot.charge.penalty?;
            let bucket = slot.enforced_bucket(sure)?;
            let until = memory.penalties.held_until(&bucket.key, now)?;
            Some((n, until.since(now)))
        });
        held.collect()
    }

    /// Refuses a client that turns out to be held off, now that the store has said where it is
    /// counted.
    pub(super) fn held_after_all(
        &mut self,
        memory: &LimitMemory,
        now: Timestamp,
    ) -> Option<Refusal> {
        let held = self.holds(memory, now);
        let retry_after = held.iter().map(|(_, wait)| *wait).max()?;
        for (n, wait) in &held {
            if let Some(verdict) = self.slots.get_mut(*n).and_then(|s| s.verdict.as_mut()) {
                verdict.met = false;
                verdict.retry_after = *wait;
                verdict.reset_after = *wait;
            }
        }
        Some(Refusal::Held {
            violated: held.into_iter().map(|(n, _)| n).collect(),
            retry_after,
        })
    }
}
