//! What the gate reports, and what is made of it.

use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::engine::breaker::Status;
use crate::engine::http_cache::CacheStatus;
use crate::engine::limit::Source;
use crate::error::Error;

use super::alerts::{Alert, Alerts};
use super::counts::{Counts, add};
use super::events::Events;
use super::labels::{
    CallResult, Decision, Labels, OriginClass, Outcome, Purpose, StoreOp, source_place,
};
use super::points::{Point, Points};
use super::prometheus::{self, Gauges};
use super::recent::Recent;
use super::refused::Refused;
use super::stats::{self, Shown};
use super::store_seen::StoreSeen;

/// What one isolate knows of its own work.
#[derive(Debug)]
pub struct Ops {
    labels: Labels,
    /// The length of what keys of limits begin with, up to the limit's name.
    prefix: usize,
    counts: Counts,
    recent: Recent,
    refused: Refused,
    events: Events,
    started: Option<Timestamp>,
    store: StoreSeen,
    /// How long the circuit breaker was not closed, until it closed or the store failed for the
    /// last time.
    degraded: Duration,
    /// The failures of the store of which nothing was told yet.
    failures: Vec<Failure>,
    points: Option<Points>,
    alerts: Option<Alerts>,
}

/// A failure of the store.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    result: CallResult,
    detail: String,
    /// Whether it stays until somebody mends its cause.
    is_lasting: bool,
}

/// A request that has its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The place of its route among the [`Labels`].
    pub route: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// What decided about its limits.
    pub source: Source,
    /// What the cache did, if it was asked.
    pub cached: Option<CacheStatus>,
}

/// What one limit decided about a request.
#[derive(Debug, Clone, Copy)]
pub struct LimitSeen<'a> {
    /// The place of the limit among the [`Labels`].
    pub limit: usize,
    /// What was decided.
    pub decision: Decision,
    /// What it was decided from.
    pub source: Source,
    /// The subject that the request counts against.
    pub subject: &'a str,
    /// The quota, in permits.
    pub quota: u64,
    /// What is left of it.
    pub remaining: u64,
    /// The permits fetched ahead that it took.
    pub spent: u64,
}

impl Ops {
    /// With these routes and limits, and all counters at zero. `key_prefix`: the prefix of all keys
    /// in the store.
    pub fn new(labels: Labels, key_prefix: &str) -> Self {
        Self {
            prefix: key_prefix.len() + ":l:".len(),
            counts: Counts::of(&labels),
            recent: Recent::new(labels.limits.len()),
            labels,
            refused: Refused::default(),
            events: Events::default(),
            started: None,
            store: StoreSeen::default(),
            degraded: Duration::ZERO,
            failures: Vec::new(),
            points: None,
            alerts: None,
        }
    }

    /// Makes rows for Workers Analytics Engine, so often.
    pub fn writes(&mut self, every: Duration) {
        self.points = Some(Points::every(every, &self.labels));
    }

    /// Sends alerts about outages that last longer than `after`. `fingerprint`: names the gate.
    pub fn alerts(&mut self, after: Duration, fingerprint: String) {
        self.alerts = Some(Alerts::new(after, fingerprint));
    }

    /// Whether rows are due.
    pub fn points_are_due(&mut self, now: Timestamp) -> bool {
        self.points
            .as_mut()
            .is_some_and(|points| points.is_due(now))
    }

    /// The rows of what was counted since the last ones.
    pub fn take_points(&mut self, gauges: Gauges, now: Timestamp) -> Vec<Point> {
        let points = self.points.as_mut();
        points.map_or_else(Vec::new, |points| {
            points.take(&self.counts, &self.labels, gauges, now)
        })
    }

    /// The alert that is due, if one is.
    pub fn take_alert(&mut self, now: Timestamp) -> Option<Alert> {
        self.alerts.as_mut()?.due(self.store, now)
    }

    /// The webhook did not take an alert.
    pub fn alert_lost(&mut self, alert: &Alert, now: Timestamp) {
        if let Some(alerts) = &mut self.alerts {
            alerts.lost(alert, now);
        }
    }

    /// A request has its answer.
    pub fn request(&mut self, tally: &Tally, now: Timestamp) {
        self.counts.request(tally.route, tally.outcome);
        let cached = tally.cached.as_ref().map(CacheStatus::counted);
        if let Some((result, tier)) = cached {
            self.counts.cached(tally.route, result, tier);
        }
        if let Some(span) = self.recent.now(now) {
            add(&mut span.outcomes, tally.outcome.place(), 1);
            add(&mut span.sources, source_place(tally.source), 1);
            if let Some((result, _)) = cached {
                add(&mut span.cache, result.place(), 1);
            }
        }
    }

    /// A limit has decided.
    pub fn limit(&mut self, seen: &LimitSeen<'_>, now: Timestamp) {
        self.counts.decided(seen.limit, seen.decision, seen.source);
        let used = seen.quota.saturating_sub(seen.remaining);
        let full = (used.saturating_mul(100) / seen.quota.max(1)).min(100);
        if let Some(limit) = self.counts.limits.get_mut(seen.limit) {
            limit.near += u64::from(full > NEAR);
            limit.spend(seen.spent);
        }
        if seen.decision == Decision::Refused {
            self.refused.count(seen.limit, seen.subject);
        }
        let span = self.recent.now(now);
        if let Some(limit) = span.and_then(|span| span.limits.get_mut(seen.limit)) {
            match seen.decision {
                Decision::Refused => limit.refused += 1,
                Decision::Admitted | Decision::ShadowRefused => limit.admitted += 1,
            }
            limit.fullest = limit.fullest.max(u8::try_from(full).unwrap_or(100));
        }
    }

    /// The cost of a request was corrected: of the permits fetched ahead it took `before`, and in
    /// the end `after`.
    pub fn settled(&mut self, limit: usize, before: u64, after: u64) {
        if let Some(limit) = self.counts.limits.get_mut(limit) {
            limit.unspent = limit.unspent.saturating_add(before.saturating_sub(after));
            limit.spend(after.saturating_sub(before));
        }
    }

    /// A call of the store has ended.
    pub fn call(&mut self, op: StoreOp, result: CallResult, took: Duration, now: Timestamp) {
        if let Some(calls) = self.counts.calls.get_mut(op.place()) {
            add(&mut calls.results, result.place(), 1);
            calls.took.add(took);
        }
        if let Some(span) = self.recent.now(now) {
            span.calls.add(took);
        }
    }

    /// So many commands of the store were spent.
    pub fn commands(&mut self, purpose: Purpose, number: u64) {
        add(&mut self.counts.commands, purpose.place(), number);
    }

    /// Permits were fetched ahead, or went back unspent. `key`: that of the limit's state,
    /// "prefix:l:name:subject".
    pub fn leased(&mut self, key: &str, granted: u64, returned: u64) {
        if granted == 0 && returned == 0 {
            return;
        }
        let name = key
            .get(self.prefix..)
            .and_then(|rest| rest.split(':').next());
        let limit = name.and_then(|name| self.labels.limits.iter().position(|known| known == name));
        if let Some(limit) = limit.and_then(|limit| self.counts.limits.get_mut(limit)) {
            limit.granted = limit.granted.saturating_add(granted);
            limit.give_back(returned);
        }
    }

    /// The origin has answered, or not.
    pub fn origin(&mut self, route: usize, class: OriginClass, took: Duration) {
        if let Some(route) = self.counts.routes.get_mut(route) {
            add(&mut route.origin, class.place(), 1);
            route.origin_took.add(took);
        }
    }

    /// A call of the store has failed: [`seen`](Self::seen) tells of it if anything has changed.
    pub fn failed(&mut self, error: &Error) {
        let failure = Failure {
            result: CallResult::of(error.kind()),
            detail: format!("store: {error}"),
            is_lasting: error.kind().is_lasting(),
        };
        if self.failures.len() < MOST_FAILURES && !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// So many states of limits could not be read.
    pub fn unreadable(&mut self, states: u64, now: Timestamp) {
        self.events.unreadable(states, now);
    }

    /// The store is seen in this state.
    pub fn seen(&mut self, status: Option<Status>, now: Timestamp) {
        self.started.get_or_insert(now);
        let failures = std::mem::take(&mut self.failures);
        let before = self.store.status.unwrap_or(Status::Closed);
        if let Some(status) = status.filter(|status| *status != before) {
            self.changed(before, status, failures.last(), now);
        }
        let has_opened = status == Some(Status::Open) && before != Status::Open;
        if self.store.down_since.is_some() && (has_opened || !failures.is_empty()) {
            let failed_at = self.store.failed_at.replace(now);
            self.degraded += failed_at.map_or(Duration::ZERO, |at| now.since(at));
        }
        self.store.status = status;
        for failure in &failures {
            self.events
                .failure(&failure.detail, failure.is_lasting, now);
        }
    }

    fn changed(
        &mut self,
        before: Status,
        status: Status,
        failure: Option<&Failure>,
        now: Timestamp,
    ) {
        match status {
            Status::Open => {
                let reason = failure.map_or(CallResult::Protocol, |failure| failure.result);
                add(&mut self.counts.opened, reason.place(), 1);
                self.store.reason = Some(reason);
                if before == Status::Closed {
                    self.store.down_since = Some(now);
                    let mut fields = vec![("reason", reason.word().into())];
                    if let Some(failure) = failure {
                        fields.push(("detail", failure.detail.as_str().into()));
                        // This event tells it.
                        self.events.is_new(&failure.detail, failure.is_lasting, now);
                    }
                    self.events.tell("store_open", fields, now);
                }
            }
            Status::HalfOpen => self.counts.probed += 1,
            Status::Closed => {
                self.counts.closed += 1;
                let down = self.store.down_since.take().map(|since| now.since(since));
                let down = down.unwrap_or_default();
                self.degraded += self.unheard(now);
                self.store.failed_at = None;
                self.store.reason = None;
                let fields = vec![("after_ms", millis(down).into())];
                self.events.tell("store_closed", fields, now);
            }
        }
    }

    /// Takes the lines for the log.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.events.take_lines()
    }

    /// What is told beside the counters.
    pub fn gauges(&self, l1_bytes: u64, offset_ms: i64, now: Timestamp) -> Gauges {
        Gauges {
            open: self.store.down_since.is_some(),
            degraded_ms: millis(self.degraded + self.unheard(now)),
            l1_bytes,
            offset_ms,
        }
    }

    /// How long ago the store failed last, as far as that counts: without requests nobody knows
    /// whether it still does.
    fn unheard(&self, now: Timestamp) -> Duration {
        let failed_at = self.store.failed_at;
        failed_at.map_or(Duration::ZERO, |at| now.since(at).min(MOST_UNHEARD))
    }

    /// The counters in the text format of Prometheus.
    pub fn prometheus(&self, gauges: Gauges) -> String {
        prometheus::text(&self.counts, &self.labels, gauges)
    }

    /// What the page shows that happened after `since`. `digest`: makes a digest of a subject.
    pub fn stats(
        &self,
        gauges: Gauges,
        digest: impl Fn(&str) -> String,
        since: Timestamp,
        now: Timestamp,
    ) -> String {
        stats::json(&Shown {
            labels: &self.labels,
            counts: &self.counts,
            spans: self.recent.since(since, now),
            lately: &self.recent.since(now - LATELY, now),
            events: self.events.since(since).collect(),
            refused: self.refused.most(digest, MOST_REFUSED),
            store: self.store,
            started: self.started.unwrap_or(now),
            gauges,
            now,
        })
    }
}

/// So many failures wait to be told.
const MOST_FAILURES: usize = 8;

/// So long after its latest failure a store counts as down, at most.
const MOST_UNHEARD: Duration = Duration::from_secs(10);

/// A quota is near its end beyond so many hundredths.
const NEAR: u64 = 80;

/// So many subjects are shown.
const MOST_REFUSED: usize = 10;

/// The times that calls of the store take are shown of the last minutes.
const LATELY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + ms)
    }

    fn ops() -> Ops {
        let labels = Labels {
            routes: vec!["default".to_owned(), "/a".to_owned()],
            limits: vec!["per-ip".to_owned()],
        };
        Ops::new(labels, "ot")
    }

    fn error(kind: ErrorKind) -> Error {
        let said = match kind {
            ErrorKind::Unauthorised => "WRONGPASS invalid username-password pair",
            _ => "LOADING Redis is loading the dataset in memory",
        };
        crate::redis::error_of_reply(said, None)
    }

    #[test]
    fn an_outage_is_a_few_lines_however_long_it_is() {
        let mut ops = ops();
        ops.seen(Some(Status::Closed), at(0));
        for n in 0..50 {
            ops.failed(&error(ErrorKind::Server));
            let status = match n {
                0..2 => Status::Closed,
                n if n % 2 == 0 => Status::Open,
                _ => Status::HalfOpen,
            };
            ops.seen(Some(status), at(100 * n));
        }
        ops.seen(Some(Status::Closed), at(5_200));
        let lines = ops.take_lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains(r#""event":"store_error""#), "{lines:?}");
        assert!(
            lines[1].contains(r#""event":"store_open","reason":"network""#),
            "{lines:?}"
        );
        assert!(lines[2].contains(r#""after_ms":5000"#), "{lines:?}");
        let gauges = ops.gauges(0, 0, at(6_000));
        assert_eq!((gauges.open, gauges.degraded_ms), (false, 5_000));
        assert_eq!((ops.counts.probed, ops.counts.closed), (24, 1));
    }

    #[test]
    fn an_isolate_without_requests_knows_of_no_outage() {
        let mut ops = ops();
        ops.alerts(Duration::from_secs(30), String::new());
        ops.seen(Some(Status::Closed), at(0));
        ops.failed(&error(ErrorKind::Server));
        ops.seen(Some(Status::Open), at(1_000));
        // An hour later a request comes, and the store is asked again.
        let hour = 3_600_000;
        ops.seen(Some(Status::HalfOpen), at(hour));
        assert_eq!(ops.take_alert(at(hour)), None);
        let gauges = ops.gauges(0, 0, at(hour));
        assert_eq!((gauges.open, gauges.degraded_ms), (true, 10_000));
        ops.seen(Some(Status::Closed), at(hour + 5));
        assert_eq!(ops.take_alert(at(hour + 5)), None);
        assert_eq!(ops.gauges(0, 0, at(hour + 9)).degraded_ms, 10_000);
        // If it still fails, it has failed all the time.
        ops.failed(&error(ErrorKind::Server));
        ops.seen(Some(Status::Open), at(2 * hour));
        ops.seen(Some(Status::HalfOpen), at(3 * hour));
        assert_eq!(ops.take_alert(at(3 * hour)), None);
        ops.failed(&error(ErrorKind::Server));
        ops.seen(Some(Status::Open), at(3 * hour + 5));
        assert!(ops.take_alert(at(3 * hour + 5)).is_some());
        let degraded_ms = ops.gauges(0, 0, at(3 * hour + 5)).degraded_ms;
        assert_eq!(degraded_ms, 10_000 + hour + 5);
    }

    #[test]
    fn a_refused_token_is_told_once_with_or_without_the_breaker() {
        let mut ops = ops();
        for n in 0..5 {
            ops.failed(&error(ErrorKind::Unauthorised));
            ops.seen(
                Some(if n == 0 { Status::Closed } else { Status::Open }),
                at(n),
            );
        }
        let lines = ops.take_lines();
        let told = lines.iter().filter(|line| line.contains("WRONGPASS"));
        assert!(told.count() >= 1, "{lines:?}");
        assert!(lines.len() <= 2, "{lines:?}");
    }

    #[test]
    fn a_limit_counts_what_it_decided_and_how_full_it_is() {
        let mut ops = ops();
        for remaining in (0..10).rev() {
            let seen = LimitSeen {
                limit: 0,
                decision: Decision::Admitted,
                source: Source::Redis,
                subject: "203.0.113.7",
                quota: 10,
                remaining,
                spent: 0,
            };
            ops.limit(&seen, at(0));
        }
        assert_eq!(ops.counts.limits[0].near, 2);
        let [seconds, ..] = ops.recent.since(at(0), at(500));
        assert_eq!(seconds[0].limits[0].admitted, 10);
        assert_eq!(seconds[0].limits[0].fullest, 100);
    }
}
