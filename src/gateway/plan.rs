//! The configuration in the form that the gateway works with: routes are sorted and names resolved.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, By, Config, ConfigError, Mode, OriginQuotaOf, Strategy};
use crate::engine::limit::{OnFailure, Quota, Role, penalty};
use crate::engine::limit_fields;
use crate::engine::route::Pattern;
use crate::engine::router::Router;
use crate::engine::sort::sort_by;

use crate::cache::CachePlan;
use crate::identity::{ClientDigests, KeySecrets};
use crate::message::outbound::OutboundPlan;
use crate::ops::{Labels, UNCLAIMED};
#[cfg(feature = "queue")]
use crate::queue::Enqueue;

#[cfg(feature = "queue")]
use super::job_plan;

/// The resolved configuration.
#[derive(Debug)]
pub struct Plan {
    /// Scheme, host and path prefix of the origin, without a slash at the end.
    pub origin: String,
    /// How clients are told apart.
    pub client: config::Client,
    /// How the store is used.
    pub store: config::Store,
    /// What stands for clients.
    pub digests: Rc<ClientDigests>,
    /// The version of the headers that tell clients their limits.
    pub headers: config::Style,
    /// Whether these headers name the bucket that the client counts in, which only draft-10 has a
    /// parameter for.
    pub partition_key: bool,
    /// What every answer gets on its way to the client.
    pub outbound: OutboundPlan,
    /// The names of routes and limits for metrics.
    pub labels: Labels,
    /// The routes, by path. Of two routes with one path, the one for some methods comes before the
    /// one for all methods.
    routes: Router<Rc<RoutePlan>>,
    /// The plan for requests that no route claims.
    unclaimed: Rc<RoutePlan>,
}

/// A route, or what applies to requests that no route claims.
#[derive(Debug)]
pub struct RoutePlan {
    /// The path as configured; empty for requests that no route claims.
    pub name: String,
    /// The place of the path among the [`Labels`].
    pub place: usize,
    /// The methods that the route claims; `None`: all.
    pub methods: Option<Vec<String>>,
    /// The limits, each with the percentage of its quota that is reserved for other routes.
    pub limits: Vec<(Rc<LimitPlan>, u64)>,
    /// Whether one of them counts by the client's token.
    pub counts_users: bool,
    /// Whether the gate tells clients of these limits.
    pub tells_limits: bool,
    /// Whether the gate tells clients how long the store and the origin took.
    pub tells_timing: bool,
    /// The cost of one request, in permits.
    pub cost: u64,
    /// The statuses of an answer for which the cost is refunded.
    pub refund_on: Vec<u16>,
    /// How often the origin may be called for this route.
    pub origin_quota: Option<OriginQuota>,
    /// How long the origin may take to start its answer.
    pub origin_timeout: Duration,
    /// The plan of the route's cache, if it has one.
    pub cache: Option<CachePlan>,
    /// What jobs its requests become, if they become jobs.
    #[cfg(feature = "queue")]
    pub enqueue: Option<Rc<Enqueue>>,
}

/// A limit.
#[derive(Debug)]
pub struct LimitPlan {
    /// Its name.
    pub name: String,
    /// Its place among the [`Labels`].
    pub place: usize,
    /// The subject that it counts by.
    pub by: config::By,
    /// The window, which all its quotas share.
    pub window: Duration,
    /// The permits of a client without an API key.
    pub quota: u64,
    /// The permits of a client with an API key.
    pub keyed: u64,
    /// The permits of a registered key, by the name of its plan.
    pub plans: Arc<BTreeMap<String, u64>>,
    /// Whether a refusal is enforced.
    pub role: Role,
    /// What happens while the store fails.
    pub on_failure: OnFailure,
    /// The percentage of the quota that the isolate may give in a window while the store fails.
    pub local_share: u64,
    /// Whether permits are fetched ahead.
    pub leased: bool,
    /// The penalty for clients that ignore refusals, if any.
    pub penalty: Option<penalty::Penalty>,
    /// The percentage of the quota that routes reserve for themselves.
    pub reserved: u64,
}

/// How often the origin may be called, by all isolates together.
#[derive(Debug)]
pub struct OriginQuota {
    /// The name under which calls are counted. Routes may share it.
    pub name: String,
    /// The quota.
    pub quota: Quota,
    /// Whether permits are fetched ahead.
    pub leased: bool,
}

impl Plan {
    /// Resolves the names of a configuration.
    ///
    /// # Errors
    ///
    /// None for a [`Config`] as it was read; one that was changed since may refer to names that do
    /// not exist.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let unknown = |field: &str, name: &str| {
            ConfigError::of(field, &format!("expected the name \"{name}\" to be there"))
        };
        let mut shares = BTreeMap::<String, u64>::new();
        for (name, share) in config.routes.iter().flat_map(|route| &route.reserve) {
            let others = shares.get(name).copied().unwrap_or(0);
            shares.insert(name.clone(), others + share);
        }
        let reserved = |name: &str| shares.get(name).copied().unwrap_or(0);
        let labels = labels(config);
        let limits = |names: &[String], own: &BTreeMap<String, u64>| {
            let each = names.iter().map(|name| {
                let limit = config.limits.get(name);
                let limit = limit.ok_or_else(|| unknown("limits", name))?;
                let kept = reserved(name).saturating_sub(own.get(name).copied().unwrap_or(0));
                let on_failure = limit.on_failure.unwrap_or(config.redis.on_failure);
                let place = place(&labels.limits, name);
                let plan = LimitPlan::new(name, place, limit, on_failure, reserved(name));
                Ok((Rc::new(plan), kept))
            });
            each.collect::<Result<Vec<_>, ConfigError>>()
        };
        let counts_users = |names: &[String]| {
            let mut limits = names.iter().filter_map(|name| config.limits.get(name));
            let by = |limit: &config::Limit| matches!(limit.by, By::Client | By::User | By::ApiKey);
            config.client.jwt.is_some() && limits.any(by)
        };
        let tells = |limits: &[String]| !limits.is_empty() && config.headers != config::Style::None;
        let cache = |route: &config::Route, timeout| {
            let plan = |cache| CachePlan::new(cache, &route.path, timeout);
            let plan = route.cache.as_ref().map(plan).transpose();
            plan.map_err(|e| ConfigError::of("routes", &e.to_string()))
        };
        let mut routes = Vec::new();
        for route in &config.routes {
            let origin_timeout = route.origin_timeout.unwrap_or(config.origin_timeout);
            let pattern = Pattern::parse(&route.path)
                .map_err(|e| ConfigError::of("routes", &e.to_string()))?;
            let mut plan = RoutePlan {
                name: route.path.clone(),
                place: place(&labels.routes, &route.path),
                methods: route.methods.clone(),
                limits: limits(&route.limits, &route.reserve)?,
                counts_users: counts_users(&route.limits),
                tells_limits: tells(&route.limits),
                tells_timing: config.server_timing,
                cost: route.cost,
                refund_on: route.refund_on.clone(),
                origin_quota: None,
                origin_timeout,
                cache: cache(route, origin_timeout)?,
                #[cfg(feature = "queue")]
                enqueue: job_plan::plan(config, route)?.map(Rc::new),
            };
            #[cfg(feature = "queue")]
            if plan.enqueue.as_ref().is_some_and(|it| it.names_client()) {
                plan.counts_users |= config.client.jwt.is_some();
            }
            plan.origin_quota = match &route.origin_quota {
                None => None,
                Some(OriginQuotaOf::Own(own)) => Some(OriginQuota::new(plan.subject(), own)),
                Some(OriginQuotaOf::Named(name)) => {
                    let shared = config.origin_quotas.get(name);
                    let shared = shared.ok_or_else(|| unknown("origin_quotas", name))?;
                    Some(OriginQuota::new(name.clone(), shared))
                }
            };
            routes.push((pattern, Rc::new(plan)));
        }
        // The router keeps routes with one path in this order.
        sort_by(&mut routes, |(_, one), (_, other)| {
            one.methods.is_none().cmp(&other.methods.is_none())
        });
        Ok(Self {
            origin: config.origin.clone(),
            client: config.client.clone(),
            store: config.redis.clone(),
            digests: Rc::new(ClientDigests::new(
                &config.redis.key_prefix,
                KeySecrets::default(),
            )),
            headers: config.headers,
            partition_key: config.partition_key && config.headers == config::Style::Draft10,
            outbound: OutboundPlan {
                cors: config
                    .cors
                    .as_ref()
                    .map(|cors| cors.rules(limit_fields::names(config.headers))),
                rewritten: config
                    .rewrite_location
                    .then(|| config.origin.as_str().into()),
            },
            labels: labels.clone(),
            routes: routes.into_iter().collect(),
            unclaimed: Rc::new(RoutePlan {
                name: String::new(),
                place: 0,
                methods: None,
                limits: limits(&config.default_limits, &BTreeMap::new())?,
                counts_users: counts_users(&config.default_limits),
                tells_limits: tells(&config.default_limits),
                tells_timing: config.server_timing,
                cost: 1,
                refund_on: Vec::new(),
                origin_quota: None,
                origin_timeout: config.origin_timeout,
                cache: None,
                #[cfg(feature = "queue")]
                enqueue: None,
            }),
        })
    }

    /// The cost of a request, for each quota that it may count against.
    pub fn costs(&self) -> Vec<(Quota, u64)> {
        let mut costs = Vec::new();
        for route in self.routes.values().into_iter().chain([&self.unclaimed]) {
            for (limit, _) in &route.limits {
                let plans = limit.plans.values().copied();
                for permits in plans.chain([limit.quota, limit.keyed]) {
                    let window = limit.window;
                    costs.push((Quota { permits, window }, route.cost));
                }
            }
        }
        costs
    }

    /// The plan for a request with this method and path
    /// ([`segments`](crate::engine::route::segments)).
    pub fn find(&self, method: &str, path: &[String]) -> Rc<RoutePlan> {
        let route = self.routes.find(path, |route| route.claims_method(method));
        Rc::clone(route.unwrap_or(&self.unclaimed))
    }
}

/// The names for metrics: each path once, and the limits.
fn labels(config: &Config) -> Labels {
    let mut routes = vec![UNCLAIMED.to_owned()];
    for route in &config.routes {
        if !routes.contains(&route.path) {
            routes.push(route.path.clone());
        }
    }
    let limits = config.limits.keys().cloned().collect();
    Labels { routes, limits }
}

fn place(names: &[String], name: &str) -> usize {
    let place = names.iter().position(|known| known == name);
    place.unwrap_or_default()
}

impl RoutePlan {
    fn claims_method(&self, method: &str) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|m| m == method))
    }

    /// The subject of limits that count by route. It includes the methods, because two routes may
    /// share a path.
    pub fn subject(&self) -> String {
        match &self.methods {
            Some(methods) => format!("{}:{}", methods.join(","), self.name),
            None => self.name.clone(),
        }
    }

    /// Whether the route names this method explicitly instead of accepting all methods.
    pub fn names_method(&self, method: &str) -> bool {
        self.methods.is_some() && self.claims_method(method)
    }
}

impl LimitPlan {
    fn new(
        name: &str,
        place: usize,
        limit: &config::Limit,
        on_failure: OnFailure,
        reserved: u64,
    ) -> Self {
        Self {
            name: name.to_owned(),
            place,
            by: limit.by,
            window: limit.window,
            quota: limit.quota,
            keyed: limit.keyed_quota.unwrap_or(limit.quota),
            plans: Arc::new(limit.plans.clone()),
            role: match limit.mode {
                Mode::Enforce => Role::Enforce,
                Mode::Shadow => Role::Shadow,
            },
            on_failure,
            local_share: limit.local_share.0,
            leased: limit.strategy == Strategy::Lease,
            penalty: limit.penalty.as_ref().map(|penalty| penalty::Penalty {
                after: penalty.after,
                hold: penalty.hold,
                max: penalty.max,
            }),
            reserved,
        }
    }
}

impl OriginQuota {
    fn new(name: String, quota: &config::OriginQuota) -> Self {
        Self {
            name,
            leased: quota.strategy == Strategy::Lease,
            quota: Quota {
                permits: quota.limit,
                window: quota.window,
            },
        }
    }
}
