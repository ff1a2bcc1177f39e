//! Calls of the store: how long they took, what they cost, and which permits they moved.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::store::{Ask, Reply};

use super::labels::{CallResult, Purpose, StoreOp};
use super::report::Ops;

/// Who waits for a call of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// A request.
    Request,
    /// Nobody: permits are fetched ahead or go back, or a cost is corrected.
    Nobody,
}

impl Ops {
    /// A call of the script has ended. `reply`: `None` if it was none; `failure` says more, unless
    /// the reply could not be read.
    pub fn script_call(
        &mut self,
        ask: &Ask,
        (reply, failure): (Option<&Reply>, Option<&Error>),
        waits: Waits,
        took: Duration,
        now: Timestamp,
    ) {
        if let Some(error) = failure {
            self.failed(error);
        }
        let result = match (reply, failure) {
            (Some(_), _) => CallResult::Ok,
            (None, Some(error)) => CallResult::of(error.kind()),
            (None, None) => CallResult::Protocol,
        };
        let (op, purpose) = match waits {
            Waits::Request => (StoreOp::Admit, Purpose::Limit),
            Waits::Nobody => (StoreOp::Lease, Purpose::Lease),
        };
        self.call(op, result, took, now);
        let Some(reply) = reply else {
            let purpose = match ask.asks_limits() {
                true => purpose,
                false => Purpose::Cache,
            };
            // The script begins with two commands.
            let ran = failure.is_none_or(Error::may_have_run);
            return self.commands(purpose, if ran { 2 } else { 0 });
        };
        let (limits, cache) = ask.commands(reply);
        self.commands(purpose, limits);
        self.commands(Purpose::Cache, cache);
        for (key, granted, returned) in ask.lent(reply) {
            self.leased(key, granted, returned);
        }
    }

    /// Another call of the store has ended: what it was, what it was for, and its commands.
    pub fn simple_call(
        &mut self,
        (op, purpose, commands): (StoreOp, Purpose, u64),
        failure: Option<&Error>,
        took: Duration,
        now: Timestamp,
    ) {
        if let Some(error) = failure {
            self.failed(error);
        }
        let result = failure.map_or(CallResult::Ok, |error| CallResult::of(error.kind()));
        self.call(op, result, took, now);
        let ran = failure.is_none_or(Error::may_have_run);
        self.commands(purpose, if ran { commands } else { 0 });
    }
}
