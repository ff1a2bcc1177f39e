//! The limit on calls of the origin. It is charged only if the origin will be called.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::{Role, Verdict};

use super::super::memory::LimitMemory;
use super::Check;
use super::limit_check::{LimitCheck, Paid};

impl Check {
    /// The slot of the limit on calls of the origin, if there is one.
    fn origin(&self) -> Option<usize> {
        let is_origin = |slot: &LimitCheck| slot.charge.role == Role::Origin;
        self.slots.iter().position(is_origin)
    }

    /// Takes out the limit on calls of the origin, for another request that calls it instead.
    #[must_use]
    pub fn take_origin(&mut self) -> Self {
        let slot = self.origin().map(|n| self.slots.remove(n));
        Self {
            slots: slot.into_iter().collect(),
            ..Self::free()
        }
    }

    /// Whether the origin must not be called yet: the store has to be asked first, or has refused.
    pub fn origin_unpaid(&self) -> bool {
        let slot = self.origin().and_then(|n| self.slots.get(n));
        slot.is_some_and(LimitCheck::is_unpaid)
    }

    /// The origin is to be called once more, and that call needs a decision of its own.
    pub fn origin_again(&mut self) {
        if let Some(slot) = self.origin().and_then(|n| self.slots.get_mut(n)) {
            slot.paid = Paid::No;
            slot.verdict = None;
        }
    }

    /// How long the origin must not be called, if a refusal is known.
    pub fn origin_refused(&self) -> Option<Duration> {
        let verdict = self.slots.get(self.origin()?)?.verdict.as_ref()?;
        (!verdict.met).then_some(verdict.retry_after)
    }

    /// Spends permits that were fetched ahead on the call of the origin that is about to be made,
    /// unless it is paid or refused already. Returns whether it did.
    pub fn spend_origin(&mut self, memory: &mut LimitMemory, now: Timestamp) -> bool {
        let Some(slot) = self.origin().and_then(|n| self.slots.get_mut(n)) else {
            return false;
        };
        let undecided = slot.charge.leased && slot.is_unpaid() && slot.verdict.is_none();
        let Some(bucket) = slot.bucket.as_ref().filter(|_| undecided) else {
            return false;
        };
        let (cost, window) = (slot.charge.cost, slot.charge.window);
        memory.leases.demand(&bucket.key, cost, window, now);
        slot.spend_ahead(memory, now)
    }

    /// Whether enough permits were fetched ahead for a call of the origin.
    pub fn origin_at_hand(&self, memory: &LimitMemory, now: Timestamp) -> bool {
        let slot = self.origin().and_then(|n| self.slots.get(n));
        let slot = slot.filter(|slot| slot.charge.leased && slot.is_unpaid());
        slot.is_some_and(|slot| {
            let key = slot.bucket.as_ref().map(|bucket| bucket.key.as_str());
            key.is_some_and(|key| memory.leases.left(key, now) >= slot.charge.cost)
        })
    }

    /// Looks up in memory whether the origin must not be called.
    pub fn recall_origin(&mut self, memory: &mut LimitMemory, now: Timestamp) {
        if self.origin_at_hand(memory, now) {
            return;
        }
        let Some(slot) = self.origin().and_then(|n| self.slots.get_mut(n)) else {
            return;
        };
        let Some(bucket) = &slot.bucket else { return };
        let refused =
            memory
                .denied
                .refused_until(&bucket.key, slot.charge.cost, bucket.permits, now);
        if let Some(until) = refused {
            slot.verdict = Some(Verdict {
                met: false,
                remaining: 0,
                retry_after: until.since(now),
                reset_after: until.since(now),
            });
        }
    }

    /// Decides without the store whether the origin may be called.
    pub fn origin_locally(&mut self, memory: &mut LimitMemory, now: Timestamp) {
        let Some(slot) = self.origin().and_then(|n| self.slots.get_mut(n)) else {
            return;
        };
        let take = slot.take_here();
        let verdict = take.and_then(|take| memory.fallback.admit(&[&take], now).pop());
        if verdict.as_ref().is_some_and(|verdict| verdict.met) {
            slot.paid = Paid::Local;
        }
        slot.verdict = verdict;
    }
}
