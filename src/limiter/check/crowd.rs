//! Requests of one subject that come at once: who waits for a call that is on its way, and what
//! becomes of them.

use crate::clock::Timestamp;
use crate::engine::limit::Role;
use crate::engine::limit::crowd::Patience;

use super::super::memory::LimitMemory;
use super::Check;
use crate::store::Link;

impl Check {
    /// Whether the request waits, because calls about all that it lacks are on their way. If so, it
    /// is counted among those for whom the next call asks, and this is how it goes on.
    ///
    /// A request about whose subject nobody asks never waits. `entry`: the key of the entry that it
    /// lacks too, if it does.
    pub fn joins(
        &mut self,
        patience: Patience,
        entry: impl FnOnce() -> Option<String>,
        memory: &mut LimitMemory,
        link: &Link,
        now: Timestamp,
    ) -> Option<Patience> {
        self.patience = patience;
        let crowds = &memory.crowds;
        if crowds.are_idle(now) || !link.is_up() || !crowds.is_patient(patience) {
            return None;
        }
        // Whom the call on its way asks for waits until that is over: one of its own would come
        // later, and the permits that are lent to it would be lost.
        let has_time = patience.waited() < link.timeout();
        if patience.waited() >= link.longest_call() {
            return None;
        }
        let mut lacks = Vec::new();
        for slot in &self.slots {
            if !slot.is_open(true) || slot.charge.role == Role::Origin {
                continue;
            }
            let bucket = slot.bucket.as_ref().filter(|_| slot.charge.is_settled())?;
            if memory.leases.left(&bucket.key, now) >= slot.charge.cost {
                continue;
            }
            let crowds = &memory.crowds;
            let goes_on = match has_time {
                true => crowds.is_busy(&bucket.key, now),
                false => crowds.is_asked_for(&bucket.key, patience, now),
            };
            if !goes_on || !crowds.can_share(slot.charge.window) {
                return None;
            }
            lacks.push((&bucket.key, slot.charge.cost));
        }
        if lacks.is_empty() || self.is_refused_before(memory, now) {
            return None;
        }
        // It would have to ask the store all the same.
        if entry().is_some_and(|entry| !memory.crowds.is_busy(&entry, now)) {
            return None;
        }
        let mut counted = patience;
        for (key, cost) in lacks {
            memory.crowds.joined(key, cost, patience);
            counted = memory.crowds.counted(key, patience);
        }
        Some(counted)
    }

    /// The call that asks about the limits asks about an entry, too.
    pub fn looks_up(&mut self, entry: &str, memory: &mut LimitMemory, link: &Link, now: Timestamp) {
        if !self.calling.is_empty() {
            let who = (0, Patience::default());
            memory.crowds.begun(entry, who, now + link.timeout(), now);
            self.calling.push(entry.to_owned());
        }
    }

    /// The call that asked about the request was answered.
    pub(super) fn answered(
        &mut self,
        asked_at: Timestamp,
        memory: &mut LimitMemory,
        now: Timestamp,
    ) {
        if !self.calling.is_empty() {
            memory.crowds.took(now.since(asked_at));
        }
        self.is_over(memory);
    }

    /// The call that asked about the request has failed. Returns how many requests it would have
    /// decided beside this one.
    pub fn failed(&mut self, memory: &mut LimitMemory, now: Timestamp) -> u32 {
        let mut waiting = 0;
        for key in &self.calling {
            waiting = memory.crowds.failed(key).max(waiting);
        }
        self.gave_up(memory, now);
        waiting
    }

    /// Nobody waits for the answer of the call any more.
    pub fn gave_up(&mut self, memory: &mut LimitMemory, now: Timestamp) {
        self.is_over(memory);
        for slot in &mut self.slots {
            if let Some(bucket) = &slot.bucket {
                memory.ledger.owe(&bucket.key, slot.owed, now);
            }
            slot.owed = 0;
        }
    }

    fn is_over(&mut self, memory: &mut LimitMemory) {
        for key in self.calling.drain(..) {
            memory.crowds.ended(&key);
        }
    }
}
