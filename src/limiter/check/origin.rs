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

    /// Looks up in memory whether the origin must not be called.
    pub fn recall_origin(&mut self, memory: &mut LimitMemory, now: Timestamp) {
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
