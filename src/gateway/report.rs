//! What the gate reports to the operators' counters, and what leaves the isolate of that.

use std::time::Duration;

use crate::cache::Purge;
use crate::clock::{Timestamp, millis};
use crate::engine::http_cache::{CacheResult, CacheStatus};
use crate::engine::limit::{Role, Source};
use crate::error::Error;
use crate::message::body::Body;
use crate::message::forward::Failure;
use crate::ops::{
    Alert, Decision, Gauges, LimitSeen, OriginClass, Outcome, Point, Purpose, StoreOp, Tally,
};
use crate::redis::Value;
use crate::store::Write;

use super::admission::Admission;
use super::context::Context;
use super::gate::Gate;
use super::problem::Problem;
use super::step::Step;

impl<B: Body> Gate<B> {
    /// What this isolate has counted, in the text format of Prometheus.
    pub fn metrics(&self, now: Timestamp) -> String {
        self.ops.prometheus(self.gauges(now))
    }

    /// Takes the rows of metrics that are due.
    pub fn take_points(&mut self, local_now: Timestamp) -> Vec<Point> {
        let now = self.link.now(local_now);
        match self.ops.points_are_due(now) {
            true => self.ops.take_points(self.gauges(now), now),
            false => Vec::new(),
        }
    }

    /// Takes the alert that is due, if one is.
    pub fn take_alert(&mut self, local_now: Timestamp) -> Option<Alert> {
        self.ops.take_alert(self.link.now(local_now))
    }

    /// Call this when the webhook did not take an alert: it will be due again.
    pub fn alert_lost(&mut self, alert: &Alert, local_now: Timestamp) {
        self.ops.alert_lost(alert, self.link.now(local_now));
    }

    /// What is told beside the counters.
    pub(super) fn gauges(&self, now: Timestamp) -> Gauges {
        let (bytes, offset) = (self.cache.entries.bytes(), self.link.correction_ms());
        self.ops.gauges(bytes, offset, now)
    }

    /// Call this when a request has its answer.
    pub fn answered(&mut self, tally: &Tally, local_now: Timestamp) {
        let mut tally = *tally;
        let in_place = tally.cached.map(|said| said.counted().0) == Some(CacheResult::StaleError);
        if tally.outcome == Outcome::Degraded && !self.link.exists() && !in_place {
            // Without a store nothing is missing.
            tally.outcome = Outcome::Served;
        }
        self.ops.request(&tally, self.link.now(local_now));
    }

    /// Answers with the refusal of a limit.
    pub(super) fn refuse(
        &mut self,
        mut context: Context<B>,
        problem: &Problem,
        now: Timestamp,
    ) -> Step<B> {
        self.report_limits(&mut context.admission, now);
        context.refuse(problem)
    }

    /// Counts what the limits of a request have decided, the first time that it is called for it.
    pub(super) fn report_limits(&mut self, admission: &mut Admission, now: Timestamp) {
        if admission.is_counted() {
            return;
        }
        let (source, prefix) = (admission.source(), self.plan.store.key_prefix.len());
        let violated = admission.refusal().map(|refusal| refusal.violated());
        for (place, (limit, seen)) in admission.seen().enumerate() {
            let Some(seen) = seen else { continue };
            let refuses = violated.is_some_and(|violated| violated.contains(&place));
            let is_met = seen.verdict.is_none_or(|verdict| verdict.met);
            let decision = match (refuses, violated, seen.role) {
                (true, ..) => Decision::Refused,
                (_, _, Role::Shadow) if !is_met => Decision::ShadowRefused,
                // A request that one limit refuses counts for that limit alone.
                (_, Some(_), _) => continue,
                _ if seen.verdict.is_none() => continue,
                _ => Decision::Admitted,
            };
            // The key is "prefix:l:name:subject".
            let subject = seen.key.get(prefix + limit.name.len() + 4..);
            let seen = LimitSeen {
                limit: limit.place,
                decision,
                source,
                subject: subject.unwrap_or_default(),
                quota: seen.quota.permits,
                remaining: seen.verdict.map_or(0, |verdict| verdict.remaining),
                spent: admission.spent(place),
            };
            self.ops.limit(&seen, now);
        }
        admission.counted();
    }

    /// Counts what a correction of the cost changed of the permits fetched ahead that a request
    /// had `spent`.
    pub(super) fn report_settled(&mut self, admission: &Admission, spent: &[u64]) {
        for (place, ((limit, _), before)) in admission.seen().zip(spent).enumerate() {
            let now = admission.spent(place);
            self.ops.settled(limit.place, *before, now);
        }
    }

    /// Counts an answer of the origin, or that there was none.
    pub(super) fn report_origin(
        &mut self,
        context: &mut Context<B>,
        status: Result<u16, Failure>,
        now: Timestamp,
    ) {
        let class = match status {
            Ok(status) => OriginClass::of(status),
            Err(Failure::Failed) => OriginClass::Failed,
            Err(Failure::TimedOut) => OriginClass::TimedOut,
        };
        let took = now.since(context.sent_at);
        context.waited[1] += took;
        self.ops.origin(context.route.place, class, took);
    }

    /// Call this when the commands of a purge have been made. `failure`: that of all, or of one.
    pub fn made_purge(
        &mut self,
        purge: &Purge,
        failure: Option<&Error>,
        took: Duration,
        local_now: Timestamp,
    ) {
        let commands = u64::try_from(purge.commands().len()).unwrap_or_default();
        let told = (StoreOp::Purge, Purpose::Purge, commands);
        self.ops
            .simple_call(told, failure, took, self.link.now(local_now));
    }

    /// Call this when a write has been made, or has failed.
    pub fn wrote(
        &mut self,
        write: &Write,
        result: Result<&Value, &Error>,
        took: Duration,
        local_now: Timestamp,
    ) {
        let (op, commands) = match (write, result) {
            (Write::Set { .. }, _) => (StoreOp::Set, 1),
            (Write::Delete { .. }, _) => (StoreOp::Delete, 1),
            // EVALSHA and MGET, and SET if it was written.
            (Write::Keep { entry, .. }, Ok(reply)) => {
                self.kept(entry, reply);
                let written = reply.as_int() == Some(1);
                (StoreOp::Keep, 2 + u64::from(written))
            }
            (Write::Keep { .. }, Err(_)) => (StoreOp::Keep, 2),
        };
        let now = self.link.now(local_now);
        let told = (op, Purpose::Cache, commands);
        self.ops.simple_call(told, result.err(), took, now);
    }
}

impl<B: Body> Context<B> {
    /// What is counted of the request.
    pub(super) fn tally(&self, outcome: Outcome, cached: Option<CacheStatus>) -> Tally {
        Tally {
            route: self.route.place,
            outcome,
            source: self.admission.source(),
            cached,
        }
    }

    /// What a request counts as that has an answer.
    pub(super) fn served(&self, said: Option<CacheStatus>) -> Outcome {
        let result = said.map(|said| said.counted().0);
        match self.store_failed || result == Some(CacheResult::StaleError) {
            true => Outcome::Degraded,
            false => Outcome::Served,
        }
    }

    /// The value of `Server-Timing`: how long the store and the origin were waited for, in
    /// milliseconds (Server Timing §2).
    pub(super) fn timing(&self) -> String {
        let [store, origin] = self.waited.map(|waited| millis(waited).to_string());
        ["edge-store;dur=", &store, ", edge-origin;dur=", &origin].concat()
    }
}

impl Tally {
    /// A request whose URL leads nowhere.
    pub(super) const REJECTED: Self = Self {
        route: 0,
        outcome: Outcome::Served,
        source: Source::None,
        cached: None,
    };
}
