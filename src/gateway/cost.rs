//! What a request cost in truth, which is known once the origin has answered.

use crate::clock::Timestamp;

use super::body::Body;
use super::origin::{Failure, OriginHead};
use super::{Exchange, Gate};

/// The header in which the origin says what a request cost in truth. It is for the gate, not for clients.
pub(super) const COST: &str = "x-edge-cost";

/// The most that one request may cost.
const LARGEST_COST: u64 = 1_000_000;

impl<B: Body> Gate<B> {
    /// Corrects what the request cost, now that its answer is known: nothing where the route gives it
    /// back, or as much as the origin says.
    pub(super) fn settle(
        &mut self,
        exchange: &mut Exchange<B>,
        answered: Result<&impl OriginHead, Failure>,
        now: Timestamp,
    ) {
        let status = match answered {
            Ok(origin) => origin.status(),
            Err(failure) => failure.problem().status(),
        };
        let told = answered.ok().and_then(|origin| true_cost(origin));
        let cost = match exchange.route.refund_on.contains(&status) {
            true => Some(0),
            false => told,
        };
        if let Some(cost) = cost {
            let memory = &mut self.memory.limiter;
            let work = exchange.admission.check().settle(cost, memory, now);
            // Without a store to tell, what is charged there stays charged.
            exchange.work.extend(work.filter(|_| self.store_is_up()));
        }
    }
}

/// What the origin says that the request cost, if it says a number.
fn true_cost(origin: &impl OriginHead) -> Option<u64> {
    let cost = origin.value(COST)?.trim().parse::<u64>().ok()?;
    Some(cost.min(LARGEST_COST))
}
