//! Origins that may be called so often only: whether they may be now, and what is served if not.

use std::time::Duration;

use crate::clock::Timestamp;

use super::Gate;
use super::body::Body;
use super::caching::Caching;
use super::head::Head;
use super::problem::Problem;
use super::step::{Exchange, Step};

impl<B: Body> Gate<B> {
    /// Whether the origin may be called without asking the store first.
    pub(super) fn may_call_origin(&mut self, exchange: &mut Exchange<B>, now: Timestamp) -> bool {
        let memory = &mut self.memory.limiter;
        if exchange.admission.origin_unpaid(memory, now) && exchange.store_failed {
            exchange.admission.check().origin_locally(memory, now);
        }
        !exchange.admission.check().origin_unpaid()
    }

    /// The origin may not be called for this long: what is stored, as far as it may be served, or
    /// a refusal that costs nothing.
    pub(super) fn instead_of_origin(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        retry_after: Duration,
        now: Timestamp,
    ) -> Step<B> {
        self.disembark(&mut exchange, now);
        let stale = match &exchange.caching {
            Caching::On(cached) => cached.answer_in_place(head, now),
            _ => None,
        };
        if let Some(answer) = stale {
            return exchange.answer(answer);
        }
        let memory = &mut self.memory.limiter;
        let work = exchange.admission.check().settle(0, memory, now);
        exchange.work.extend(work);
        exchange.refuse(&Problem::OriginQuotaSpent { retry_after })
    }
}
