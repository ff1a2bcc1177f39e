//! The limits of a request: what it counts against, and what clients are told about that.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::{By, Keys};
use crate::engine::limit::{Bucket, Buckets, Charge, Role, Source};
use crate::engine::limit_fields::{self, Style};
use crate::identity::{Client, ClientDigests, Holder};
use crate::limiter::{Check, LimitMemory, LimitView, Reason, Refusal, Told, UnknownKeys, told};
use crate::message::head::Head;
use crate::store::Reply;

use super::plan::{LimitPlan, Plan, RoutePlan};
use super::problem::Problem;

/// The limits that a request counts against, and their verdicts once they are known.
#[derive(Debug)]
pub struct Admission {
    check: Check,
    limits: Vec<Rc<LimitPlan>>,
    /// When the verdicts were given.
    decided_at: Timestamp,
    /// Why the request is refused, if it is.
    refusal: Option<Box<Refusal>>,
    style: Style,
    /// What names buckets to clients, if they are told.
    partitions: Option<Rc<ClientDigests>>,
    /// Whether its decisions are counted.
    is_counted: bool,
    /// Whether the header that should hold the client's address is there but does not, as far as a
    /// limit counts by it.
    pub odd_address: bool,
}

impl Admission {
    /// The limits of a route for the client that sent `head`. `holder`: the client that its token
    /// stands for.
    pub fn of(
        plan: &Plan,
        route: &RoutePlan,
        head: &impl Head,
        holder: Option<Arc<Holder>>,
        (memory, unknown): (&LimitMemory, &mut UnknownKeys),
        now: Timestamp,
    ) -> Self {
        let mut client = Client::new(
            &plan.client,
            &plan.store.key_prefix,
            &plan.digests,
            head,
            holder,
        );
        let (mut limits, mut charges) = (Vec::new(), Vec::new());
        for (limit, kept) in &route.limits {
            let Some(buckets) = buckets(&mut client, plan, limit, route) else {
                continue;
            };
            charges.push(Charge {
                buckets,
                window: limit.window,
                cost: route.cost,
                role: limit.role,
                on_failure: limit.on_failure,
                kept: *kept,
                unlent: limit.reserved,
                leased: limit.leased,
                local_share: limit.local_share,
                penalty: limit.penalty,
            });
            limits.push(Rc::clone(limit));
        }
        let origin_quota = route.origin_quota.as_ref();
        if let Some(quota) = origin_quota.filter(|_| !head.asks_limits_only()) {
            let bucket = Bucket {
                key: format!("{}:l:@origin:{}", plan.store.key_prefix, quota.name),
                permits: quota.quota.permits,
            };
            charges.push(Charge {
                role: Role::Origin,
                leased: quota.leased,
                ..Charge::on(bucket, quota.quota.window, 1)
            });
        }
        // If no limit depends on the API key, its record is not needed.
        let depends = charges.iter().any(|charge| !charge.is_settled());
        let record = depends.then(|| client.record()).flatten();
        let record = record.filter(|record| !unknown.hides(record, &charges, memory, now));
        Self {
            check: Check::new(charges, record, memory, now),
            limits,
            decided_at: now,
            refusal: None,
            style: plan.headers,
            partitions: plan.partition_key.then(|| Rc::clone(&plan.digests)),
            is_counted: false,
            odd_address: client.has_odd_address(),
        }
    }

    /// An admission without any limits.
    pub fn free(now: Timestamp) -> Self {
        Self {
            check: Check::free(),
            limits: Vec::new(),
            decided_at: now,
            refusal: None,
            style: Style::None,
            partitions: None,
            is_counted: false,
            odd_address: false,
        }
    }

    /// Takes out the origin quota, for a request in the background that calls the origin in place
    /// of this one and counts against no other limit.
    #[must_use]
    pub fn take_origin(&mut self, now: Timestamp) -> Self {
        Self {
            check: self.check.take_origin(),
            ..Self::free(now)
        }
    }

    /// Decides as far as this is possible from memory. Returns whether the store has to be asked
    /// about the limits.
    pub fn recall(&mut self, memory: &mut LimitMemory, now: Timestamp) -> Result<bool, Problem> {
        self.decided_at = now;
        let open = self.check.recall(memory, now);
        open.map_err(|refusal| self.refused(refusal))
    }

    /// Takes the store's reply. `None`: the store could not decide.
    pub fn decided(
        &mut self,
        reply: &mut Reply,
        asked_at: Timestamp,
        memory: &mut LimitMemory,
        now: Timestamp,
    ) -> Result<Option<()>, Problem> {
        self.decided_at = now;
        let decided = self.check.decided(reply, asked_at, memory, now);
        decided.map_err(|refusal| self.refused(refusal))
    }

    /// Decides without the store. `down_for`: for how long the store is still down; `None` if there
    /// is no store.
    pub fn locally(
        &mut self,
        memory: &mut LimitMemory,
        now: Timestamp,
        down_for: Option<Duration>,
    ) -> Result<(), Problem> {
        self.decided_at = now;
        let decided = self.check.locally(memory, now, down_for);
        decided.map_err(|refusal| self.refused(refusal))
    }

    /// Whether the origin quota has to be charged before the origin is called, and is not known to
    /// be exhausted.
    pub fn origin_unpaid(&mut self, memory: &mut LimitMemory, now: Timestamp) -> bool {
        self.check.recall_origin(memory, now);
        !self.check.origin_at_hand(memory, now)
            && self.check.origin_unpaid()
            && self.check.origin_refused().is_none()
    }

    /// The limiter's own state of this request: whether the origin may be called, and what is
    /// corrected afterwards.
    pub const fn check(&mut self) -> &mut Check {
        &mut self.check
    }

    fn refused(&mut self, refusal: Refusal) -> Problem {
        let name = |place: usize| self.limits.get(place).map(|limit| limit.name.as_str());
        let problem = match refusal.problem(name) {
            Some(problem) => Problem::Limited(problem),
            None => Problem::OriginQuotaSpent {
                retry_after: refusal.retry_after(),
            },
        };
        self.refusal = Some(Box::new(refusal));
        problem
    }

    /// What decided.
    pub const fn source(&self) -> Source {
        self.check.source()
    }

    /// Why the request is refused, if it is. It names limits by their places.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_deref()
    }

    /// The names of the limits, and what was decided about each; `None` if it does not apply.
    pub fn limits(&self) -> impl Iterator<Item = (&str, Option<LimitView<'_>>)> {
        let seen = self.seen();
        seen.map(|(limit, seen)| (limit.name.as_str(), seen))
    }

    /// The limits, and what was decided about each; `None` if it does not apply.
    pub fn seen(&self) -> impl Iterator<Item = (&LimitPlan, Option<LimitView<'_>>)> {
        let limits = self.limits.iter().map(Rc::as_ref);
        limits.zip(self.check.limits())
    }

    /// The permits fetched ahead that the limit at this place took.
    pub fn spent(&self, place: usize) -> u64 {
        self.check.spent(place)
    }

    /// The same, of each limit.
    pub fn all_spent(&self) -> Vec<u64> {
        (0..self.limits.len()).map(|at| self.spent(at)).collect()
    }

    /// Whether its decisions are counted already.
    pub const fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Notes that its decisions are counted.
    pub const fn counted(&mut self) {
        self.is_counted = true;
    }

    /// What clients may know of each of them. `reason`: why the store did not decide.
    pub fn told(&self, reason: Option<Reason>, now: Timestamp) -> impl Iterator<Item = Told> {
        told(&self.check, self.refusal(), reason, now, now)
    }

    /// The headers for the client: those of its limits in the configured version, and
    /// `X-Edge-Limiter`.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("x-edge-limiter", self.check.source().as_str().to_owned())];
        let seen = self.limits().filter_map(|(name, seen)| Some((name, seen?)));
        let told = seen.filter(|(_, seen)| {
            !matches!(self.style, Style::Draft7 | Style::Legacy) || seen.role == Role::Enforce
        });
        let partitions = self.partitions.as_ref();
        let partition = |key| partitions.map(|digests| digests.of_bucket(key));
        let told = told.map(|(name, seen)| (name, seen, partition(seen.key)));
        let told: Vec<_> = told.collect();
        let items = told
            .iter()
            .map(|(name, seen, partition)| limit_fields::Item {
                name,
                quota: seen.quota,
                verdict: seen.verdict,
                partition: partition.as_deref(),
            });
        let items: Vec<_> = items.collect();
        headers.extend(limit_fields::fields(self.style, &items, self.decided_at));
        headers
    }
}

/// The buckets in which a limit counts a client; `None` if the limit does not apply to it.
fn buckets(
    client: &mut Client<'_, impl Head>,
    plan: &Plan,
    limit: &LimitPlan,
    route: &RoutePlan,
) -> Option<Buckets> {
    let prefix = &plan.store.key_prefix;
    let bucket = |subject: &str, permits| Bucket {
        key: [prefix, ":l:", &limit.name, ":", subject].concat(),
        permits,
    };
    let holder_first = match limit.by {
        By::Client | By::ApiKey => client.holder_first,
        By::User => true,
        By::Ip => return Some(Buckets::One(bucket(&client.address(), limit.quota))),
        By::Route if route.name.is_empty() => {
            return Some(Buckets::One(bucket("-", limit.quota)));
        }
        By::Route => return Some(Buckets::One(bucket(&route.subject(), limit.quota))),
        By::Global => return Some(Buckets::One(bucket("all", limit.quota))),
    };
    let holder = client.holder.as_ref().map(|holder| {
        let permits = holder.plan.as_ref().and_then(|plan| limit.plans.get(plan));
        bucket(&holder.subject, permits.copied().unwrap_or(limit.keyed))
    });
    let digest = match holder.is_some() && holder_first {
        true => None,
        false => client.digest(),
    };
    let with = digest.map(|digest| bucket(&digest, limit.keyed));
    let with = match (with, plan.client.keys) {
        (Some(with), Keys::Any) => return Some(Buckets::One(with)),
        (with, _) => with,
    };
    let without = match (holder, limit.by) {
        (Some(holder), _) => Some(holder),
        (None, By::ApiKey) => None,
        (None, _) => Some(bucket(&client.address(), limit.quota)),
    };
    Some(match with {
        None => Buckets::One(without?),
        Some(with) => Buckets::ByStanding {
            without,
            with,
            plans: Arc::clone(&limit.plans),
        },
    })
}
