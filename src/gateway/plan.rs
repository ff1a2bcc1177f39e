//! The configuration as the gateway works with it: routes sorted, names resolved.

use std::rc::Rc;
use std::time::Duration;

use crate::config::{self, Config, ConfigError, Mode, OnFailure};
use crate::engine::limit::Quota;
use crate::engine::route::Pattern;

/// What the gate does, ready for use.
#[derive(Debug)]
pub struct Plan {
    /// Scheme, host and path prefix of the origin, no slash at the end.
    pub origin: String,
    /// How clients are told apart.
    pub client: config::Client,
    /// How the store is used.
    pub store: config::Store,
    /// Which headers tell clients their limits.
    pub headers: config::Style,
    /// Whether they name the bucket that the client counts in, which only draft-10 has room for.
    pub partition_key: bool,
    /// The most specific path first.
    routes: Vec<Rc<RoutePlan>>,
    /// For requests that no route claims.
    unclaimed: Rc<RoutePlan>,
}

/// What applies to a request.
#[derive(Debug)]
pub struct RoutePlan {
    /// The path as configured; empty for what no route claims.
    pub name: String,
    pattern: Option<Pattern>,
    methods: Option<Vec<String>>,
    /// What it counts against.
    pub limits: Vec<Rc<LimitPlan>>,
    /// What one request takes.
    pub cost: u64,
    /// How long the origin may take to start its answer.
    pub origin_timeout: Duration,
    /// What is cached.
    pub cache: Option<config::Cache>,
}

/// One limit.
#[derive(Debug)]
pub struct LimitPlan {
    /// Its name.
    pub name: String,
    /// For whom it counts.
    pub by: config::By,
    quota: Quota,
    keyed: Quota,
    /// Whether a refusal counts.
    pub enforced: bool,
    /// What happens while the store fails.
    pub on_failure: OnFailure,
}

impl Plan {
    /// Resolves the names of a configuration.
    ///
    /// # Errors
    ///
    /// None for a [`Config`] as it was read; one that was changed since may name what is not there.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let limit = |name: &String| {
            let limit = config.limits.get(name).ok_or_else(|| {
                ConfigError::of("limits", &format!("expected a limit named \"{name}\""))
            })?;
            let quota = |permits| Quota {
                permits,
                window: limit.window,
            };
            Ok(Rc::new(LimitPlan {
                name: name.clone(),
                by: limit.by,
                quota: quota(limit.quota),
                keyed: quota(limit.keyed_quota.unwrap_or(limit.quota)),
                enforced: limit.mode == Mode::Enforce,
                on_failure: limit.on_failure.unwrap_or(config.redis.on_failure),
            }))
        };
        let limits = |names: &[String]| names.iter().map(limit).collect::<Result<Vec<_>, _>>();
        let mut routes = Vec::new();
        for route in &config.routes {
            let pattern = Pattern::parse(&route.path)
                .map_err(|e| ConfigError::of("routes", &e.to_string()))?;
            routes.push(Rc::new(RoutePlan {
                name: route.path.clone(),
                pattern: Some(pattern),
                methods: route.methods.clone(),
                limits: limits(&route.limits)?,
                cost: route.cost,
                origin_timeout: route.origin_timeout.unwrap_or(config.origin_timeout),
                cache: route.cache.clone(),
            }));
        }
        // Of two routes with one path, the one for some methods comes before the one for all others.
        routes.sort_by(|a, b| {
            (&a.pattern, a.methods.is_none()).cmp(&(&b.pattern, b.methods.is_none()))
        });
        Ok(Self {
            origin: config.origin.clone(),
            client: config.client.clone(),
            store: config.redis.clone(),
            headers: config.headers,
            partition_key: config.partition_key && config.headers == config::Style::Draft10,
            routes,
            unclaimed: Rc::new(RoutePlan {
                name: String::new(),
                pattern: None,
                methods: None,
                limits: limits(&config.default_limits)?,
                cost: 1,
                origin_timeout: config.origin_timeout,
                cache: None,
            }),
        })
    }

    /// What requests cost, for each quota that they count against.
    pub fn costs(&self) -> impl Iterator<Item = (Quota, u64)> {
        let all = self.routes.iter().chain([&self.unclaimed]);
        all.flat_map(|route| {
            let limits = route.limits.iter();
            limits.flat_map(|limit| [(limit.quota, route.cost), (limit.keyed, route.cost)])
        })
    }

    /// What applies to a request with this method and path ([`segments`](crate::engine::route::segments)).
    pub fn find(&self, method: &str, path: &[String]) -> Rc<RoutePlan> {
        let claims = |route: &&Rc<RoutePlan>| {
            route.claims_method(method) && route.pattern.as_ref().is_some_and(|p| p.matches(path))
        };
        Rc::clone(self.routes.iter().find(claims).unwrap_or(&self.unclaimed))
    }
}

impl RoutePlan {
    fn claims_method(&self, method: &str) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|m| m == method))
    }

    /// The subject of limits that count everybody on the route: two routes may share a path.
    pub fn subject(&self) -> String {
        match &self.methods {
            Some(methods) => format!("{}:{}", methods.join(","), self.name),
            None => self.name.clone(),
        }
    }

    /// Whether the route names this method, and does not just take all.
    pub fn names_method(&self, method: &str) -> bool {
        self.methods.is_some() && self.claims_method(method)
    }
}

impl LimitPlan {
    /// The quota of a client with or without an API key.
    pub const fn quota(&self, keyed: bool) -> Quota {
        if keyed { self.keyed } else { self.quota }
    }
}
