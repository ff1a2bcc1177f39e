//! What is decided without the store, because there is none or it does not answer.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::fallback::Take;
use crate::engine::limit::{OnFailure, Role, Source, Verdict, unreserved};

use super::super::memory::LimitMemory;
use super::Check;
use super::limit_check::{LimitCheck, Paid};
use super::refusal::Refusal;

impl Check {
    /// Decides everything that is undecided without the store, which is absent, or fails and is
    /// asked again only after `down_for`.
    ///
    /// # Errors
    ///
    /// The refusal of the request.
    pub fn locally(
        &mut self,
        memory: &mut LimitMemory,
        now: Timestamp,
        down_for: Option<Duration>,
    ) -> Result<(), Refusal> {
        let mut places = Vec::new();
        for (n, slot) in self.slots.iter_mut().enumerate() {
            if !slot.is_open(true) || slot.bucket.is_none() {
                continue;
            }
            match (down_for, slot.charge.on_failure) {
                (Some(retry_after), OnFailure::Closed) if slot.charge.role == Role::Enforce => {
                    self.put_back(memory);
                    return Err(Refusal::StoreDown { retry_after });
                }
                (Some(_), OnFailure::Open | OnFailure::Closed) => {}
                (None, _) | (_, OnFailure::Local) => places.push(n),
            }
        }
        let slots = places.iter().filter_map(|n| self.slots.get(*n));
        let takes: Vec<_> = slots.clone().filter_map(LimitCheck::take_here).collect();
        let all: Vec<_> = takes.iter().collect();
        let verdicts = match (&mut memory.windows, down_for) {
            (Some(windows), None) => windows.admit(&all, now),
            (None, None) => memory.fallback.admit(&all, now),
            (_, Some(_)) => {
                let shares: Vec<_> = slots.map(|slot| slot.charge.local_share).collect();
                admit_here(&all, &shares, memory, now)
            }
        };
        let admitted = takes
            .iter()
            .zip(&verdicts)
            .all(|(t, v)| v.met || !t.enforced);
        for (n, verdict) in places.into_iter().zip(verdicts) {
            self.source = Source::Local;
            if let Some(slot) = self.slots.get_mut(n) {
                if admitted && verdict.met {
                    slot.paid = Paid::Local;
                }
                slot.verdict = Some(verdict);
            }
        }
        if admitted {
            return Ok(());
        }
        let refusal = self.refused(Source::Local, memory);
        if down_for.is_some() {
            return Err(refusal.while_reduced());
        }
        let hold = self.penalise(refusal.violated(), memory, now);
        Err(refusal.with_hold(hold))
    }
}

/// Decides in place of a store that does not answer: by the local limits, as far as what this
/// isolate may give in a window and what the store has said is left allow it. What is given is told
/// to the store later.
fn admit_here(
    takes: &[&Take<'_>],
    shares: &[u64],
    memory: &mut LimitMemory,
    now: Timestamp,
) -> Vec<Verdict> {
    let LimitMemory {
        fallback, ledger, ..
    } = memory;
    let mut bounds = Vec::with_capacity(takes.len());
    let mut refused = false;
    for (take, share) in takes.iter().zip(shares) {
        let told = fallback.told(take.key, take.quota, now);
        let open = unreserved(fallback.open(take.quota, *share), take.kept);
        let bound = ledger.check(take.key, take.quota, open, take.cost, told, now);
        refused |= take.enforced && !bound.met;
        bounds.push(bound);
    }
    if refused {
        return bounds;
    }
    let verdicts = fallback.admit(takes, now);
    for (take, verdict) in takes.iter().zip(&verdicts) {
        refused |= take.enforced && !verdict.met;
    }
    for ((take, verdict), bound) in takes.iter().zip(verdicts).zip(&mut bounds) {
        bound.met &= verdict.met;
        bound.retry_after = bound.retry_after.max(verdict.retry_after);
        bound.reset_after = bound.reset_after.max(verdict.reset_after);
        if !refused {
            bound.remaining = bound.remaining.saturating_sub(take.cost);
        }
        bound.remaining = bound.remaining.min(verdict.remaining);
        if bound.met && !refused {
            ledger.give(take.key, take.quota, take.cost, now);
        }
    }
    bounds
}
