//! The configuration: one grammar for the Worker, the npm package and Rust.
//!
//! A [`Config`] is always valid: [`Config::from_json`] is the only way to make one; it checks
//! everything first and returns all errors at once. The grammar is data (`config/grammar.rs`), and
//! the JSON Schema and the reference page are generated from it.

mod cache;
mod check;
mod cors;
mod digest;
mod duration;
mod error;
mod grammar;
mod jwt;
mod method;
mod ops;
mod overlay;
mod path;
#[cfg(feature = "queue")]
mod queue;
mod read;
mod reference;
mod shape;
mod share;
mod size;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use self::digest::Digest;
use self::read::{Misread, Read, field, tables, words};

pub use cache::{Cache, Ttl, UnknownQuery};
pub use cors::Cors;
#[doc(hidden)]
pub use duration::{format_duration, parse_duration};
pub use error::{ConfigError, ConfigProblem};
pub use jwt::Jwt;
pub use ops::{Alerts, Metrics};
#[doc(hidden)]
pub use overlay::laid_over;
#[cfg(feature = "queue")]
#[cfg_attr(docsrs, doc(cfg(feature = "queue")))]
pub use queue::{Backoff, Bullmq, Deduplication, Enqueue, KeepJobs, Queue, Retry};
#[doc(hidden)]
pub use shape::is_key_prefix;
pub(crate) use shape::{Absent, Field, Shape};
pub use share::Percent;
#[doc(hidden)]
pub use share::{parse_part, parse_share};
pub use size::Sizes;
#[doc(hidden)]
pub use size::{format_size, parse_size};

#[doc(inline)]
pub use crate::engine::http_cache::{Letters, VersionSource};
#[doc(inline)]
pub use crate::engine::limit::OnFailure;
#[doc(hidden)]
pub use crate::engine::limit::unreserved;
#[doc(inline)]
pub use crate::engine::limit_fields::Style;

/// The checked configuration of the gate.
///
/// ```
/// use omnitrade_edge::config::Config;
///
/// let config: Config = r#"{
///     "origin": "https://api.example.com",
///     "limits": { "per-ip": { "by": "ip", "window": "60s", "quota": 10 } },
///     "default_limits": ["per-ip"]
/// }"#
/// .parse()?;
/// assert_eq!(config.client.ipv6_prefix, 64);
///
/// let wrong = r#"{ "origin": "x", "default_limits": ["y"] }"#.parse::<Config>().unwrap_err();
/// assert_eq!(wrong.problems().len(), 2);
/// # Ok::<(), omnitrade_edge::config::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The API behind the gate: scheme, host and an optional path prefix, without a slash at the
    /// end.
    pub origin: String,
    /// How long the origin may take to start its response after it has received the whole request,
    /// and how long an upload may pause.
    pub origin_timeout: Duration,
    /// The methods that routes may name beside those of the IANA HTTP Method Registry.
    pub extra_methods: Vec<String>,
    /// The limits of every request that no route claims.
    pub default_limits: Vec<String>,
    /// Which headers tell clients their limits.
    pub headers: Style,
    /// Whether these headers name the bucket in which the client is counted (`pk`); only
    /// [`Style::Draft10`] can.
    pub partition_key: bool,
    /// Whether an absolute `Location` or `Content-Location` that names the origin is turned into
    /// the client's address when it is served.
    pub rewrite_location: bool,
    /// Which pages of other origins may read answers; if absent, the gate says nothing about that.
    pub cors: Option<Cors>,
    /// How clients are told apart.
    pub client: Client,
    /// How the store is used.
    pub redis: Store,
    /// How much the cache stores in each place.
    pub cache: Sizes,
    /// Whether answers tell how long the store and the origin were waited for (`Server-Timing`).
    pub server_timing: bool,
    /// Where metrics of all isolates come together.
    pub metrics: Metrics,
    /// When the webhook is called.
    pub alerts: Alerts,
    /// The limits, by name.
    pub limits: BTreeMap<String, Limit>,
    /// How often all isolates together may call the origin, by name: quotas that routes share.
    pub origin_quotas: BTreeMap<String, OriginQuota>,
    /// The queues of jobs, by name.
    #[cfg(feature = "queue")]
    #[cfg_attr(docsrs, doc(cfg(feature = "queue")))]
    pub queues: BTreeMap<String, Queue>,
    /// The routes: what applies to which paths.
    pub routes: Vec<Route>,
    digest: Digest,
}

impl Config {
    /// Checks a configuration and fills in the defaults.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each problem with its path and what was expected.
    pub fn from_json(mut value: Value) -> Result<Self, ConfigError> {
        let digest = Digest::of(&mut value);
        let mut problems = Vec::new();
        grammar::CONFIG.check(&mut value, "", &mut problems);
        problems.extend(check::problems(&value));
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        // A value that has the right shape can be read.
        let misread = Misread::default();
        let mut config = Self::read(&value, &misread);
        if !misread.is_none() {
            return Err(ConfigError::of("", "expected what the grammar describes"));
        }
        config
            .origin
            .truncate(config.origin.trim_end_matches('/').len());
        config.digest = digest;
        Ok(config)
    }

    /// The SHA-256 of the configuration as it was given, in 64 hexadecimal digits: of its JSON
    /// without white space, with the fields of each table sorted by name, before defaults are
    /// filled in. By it `omnitrade-edge doctor` tells whether a Worker runs by the same file.
    ///
    /// ```
    /// use omnitrade_edge::config::Config;
    ///
    /// let one: Config = r#"{ "origin": "https://api.example.com", "limits": {} }"#.parse()?;
    /// let same: Config = r#"{"limits":{},"origin":"https://api.example.com"}"#.parse()?;
    /// let other: Config = r#"{"origin":"https://api.example.com"}"#.parse()?;
    /// assert_eq!(one.digest(), same.digest());
    /// assert_ne!(one.digest(), other.digest());
    /// # Ok::<(), omnitrade_edge::config::ConfigError>(())
    /// ```
    pub fn digest(&self) -> &str {
        self.digest.as_str()
    }

    /// Reads the configuration that a Worker was built with, in JSON, and lays over it what its
    /// environment says ([`laid_over`]); either may be absent. `origin`: what replaces the `origin`
    /// of both, and the name of the variable that says so.
    ///
    /// # Errors
    ///
    /// As [`Config::from_json`]; and if neither is there.
    #[doc(hidden)]
    pub fn from_layers(
        built: Option<&str>,
        environment: Option<&str>,
        origin: Option<(&str, &str)>,
    ) -> Result<Self, ConfigError> {
        let mut config = match (built, environment) {
            (None, None) => {
                return Err(ConfigError::of(
                    "EDGE",
                    "expected the configuration, as a JSON variable or in edge.toml, found nothing",
                ));
            }
            (None, Some(only)) | (Some(only), None) => value_of(only)?,
            (Some(built), Some(over)) => laid_over(value_of(built)?, value_of(over)?),
        };
        let (Some((name, origin)), Value::Object(fields)) = (origin, &mut config) else {
            return Self::from_json(config);
        };
        fields.insert("origin".to_owned(), origin.into());
        Self::from_json(config).map_err(|error| error.renamed("origin", name))
    }

    /// The JSON Schema (2020-12) of the configuration.
    pub fn schema() -> Value {
        let mut schema = grammar::CONFIG.schema();
        if let Value::Object(map) = &mut schema {
            let head = [
                ("$schema", "https://json-schema.org/draft/2020-12/schema"),
                ("title", "Configuration of omnitrade-edge"),
            ];
            map.extend(head.map(|(name, value)| (name.to_owned(), value.into())));
        }
        schema
    }

    /// The reference page of the configuration, in Markdown: an example with every field, and for
    /// each table a section with the types, defaults and meanings of its fields.
    #[doc(hidden)]
    pub fn reference() -> String {
        reference::page(&grammar::CONFIG)
    }
}

impl FromStr for Config {
    type Err = ConfigError;

    /// Reads a configuration from JSON.
    fn from_str(json: &str) -> Result<Self, ConfigError> {
        Self::from_json(value_of(json)?)
    }
}

fn value_of(json: &str) -> Result<Value, ConfigError> {
    // From bytes, as all JSON: a second parser, for texts, would make the Worker larger.
    serde_json::from_slice(json.as_bytes())
        .map_err(|e| ConfigError::of("", &format!("expected a JSON object: {e}")))
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(value).map_err(D::Error::custom)
    }
}

/// How clients are told apart.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Client {
    /// The request headers that may hold the client's API key; the first one that does counts. Of
    /// `authorization` only a `Bearer` token counts.
    pub api_key_headers: Vec<String>,
    /// How tokens are verified that name the user; if absent, none are.
    pub jwt: Option<Jwt>,
    /// The request header with the client's address.
    pub ip_header: String,
    /// How many leading bits of an IPv6 address identify one client.
    pub ipv6_prefix: u8,
    /// Which API keys identify a client.
    pub keys: Keys,
}

/// Which API keys identify a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keys {
    /// Every key that is sent.
    Any,
    /// Only registered keys (`omnitrade-edge keys add`). A request with any other key is treated
    /// like one without a key.
    Registered,
}

/// How the store is used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Store {
    /// The deadline of one store call.
    pub timeout: Duration,
    /// The prefix of all key names ([`is_key_prefix`]).
    pub key_prefix: String,
    /// What happens while the store fails.
    pub on_failure: OnFailure,
}

/// One limit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limit {
    /// The subject that it counts.
    pub by: By,
    /// The window.
    pub window: Duration,
    /// Permits in a window, without an API key or a verified token.
    pub quota: u64,
    /// Permits in a window with one; [`quota`](Self::quota) if absent.
    pub keyed_quota: Option<u64>,
    /// Permits by plan: of registered keys if [`Client::keys`] is [`Keys::Registered`], and of
    /// verified tokens if [`Jwt::plan_claim`] is set.
    pub plans: BTreeMap<String, u64>,
    /// How the store is asked about it.
    pub strategy: Strategy,
    /// The penalty for clients that ignore refusals, if any.
    pub penalty: Option<Penalty>,
    /// Whether its refusals are enforced.
    pub mode: Mode,
    /// What happens to this limit while the store fails; if absent, [`Store::on_failure`] applies.
    pub on_failure: Option<OnFailure>,
    /// The part of the quota that one isolate may give in a window while the store fails.
    pub local_share: Percent,
}

/// The subject that a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum By {
    /// The API key; without one, the user whom a verified token names; else the address.
    Client,
    /// The user whom a verified token names; else as [`By::Client`].
    User,
    /// The address.
    Ip,
    /// The API key or the user of a verified token. Requests without either are not counted.
    ApiKey,
    /// All clients together, for each route.
    Route,
    /// All clients together.
    Global,
}

/// How the store is asked about a limit or an origin quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Every request asks; of an origin quota every call to the origin.
    Exact,
    /// Permits are fetched ahead, so that most requests need no store call.
    Lease,
}

/// The penalty for a client that goes on after it was refused: it is held off for some time, and
/// its requests make no store call meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Penalty {
    /// How many refusals inside one window start a hold.
    pub after: u64,
    /// The length of the first hold; each further one is twice as long.
    pub hold: Duration,
    /// The longest hold; not shorter than `hold`.
    pub max: Duration,
}

/// Whether the refusals of a limit are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// A request that the limit refuses is refused.
    Enforce,
    /// The refusal is only reported, and the request passes.
    Shadow,
}

/// What applies to the requests of one path.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Route {
    /// The path, as configured.
    pub path: String,
    /// The methods that it claims; all if absent.
    pub methods: Option<Vec<String>>,
    /// Its limits, by name.
    pub limits: Vec<String>,
    /// How many permits one request takes from each limit. If the origin's response has the header
    /// `X-Edge-Cost`, the charge is corrected to that cost afterwards.
    pub cost: u64,
    /// The permits are given back if the origin's response has one of these statuses.
    pub refund_on: Vec<u16>,
    /// The share of a limit that the route reserves for itself, by the name of the limit, in
    /// hundredths from 1 to 90. Other routes cannot use this last part of the limit (what remains
    /// for them is rounded down); this route can use the whole limit.
    pub reserve: BTreeMap<String, u64>,
    /// How often all isolates together may call the origin on this route; unlimited if absent.
    pub origin_quota: Option<OriginQuotaOf>,
    /// How long the origin may take on this route; if absent, [`Config::origin_timeout`] applies.
    pub origin_timeout: Option<Duration>,
    /// How its responses are cached; if absent, they are not.
    pub cache: Option<Cache>,
    /// What job a request becomes; if absent, it goes to the origin.
    #[cfg(feature = "queue")]
    #[cfg_attr(docsrs, doc(cfg(feature = "queue")))]
    pub enqueue: Option<Enqueue>,
}

/// How often all isolates together may call the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginQuota {
    /// The most calls in any interval as long as the window.
    pub limit: u64,
    /// The window.
    pub window: Duration,
    /// How the store is asked about it.
    pub strategy: Strategy,
}

/// Where a route's origin quota is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginQuotaOf {
    /// In [`Config::origin_quotas`] under this name. All routes that name it share it.
    Named(String),
    /// At the route, which does not share it.
    Own(OriginQuota),
}

tables! {
    Config {
        origin, origin_timeout, extra_methods, default_limits, headers, partition_key,
        rewrite_location, cors, client, redis, cache, server_timing, metrics, alerts, limits,
        origin_quotas,
        #[cfg(feature = "queue")]
        queues,
        routes, digest,
    }
    Store { timeout, key_prefix, on_failure }
    Limit { by, window, quota, keyed_quota, plans, strategy, penalty, mode, on_failure, local_share }
    Penalty { after, hold, max }
    OriginQuota { limit, window, strategy }
}

words! {
    By {
        "client": Client, "user": User, "ip": Ip, "api-key": ApiKey, "route": Route,
        "global": Global,
    }
    Keys { "any": Any, "registered": Registered }
    Mode { "enforce": Enforce, "shadow": Shadow }
    Strategy { "exact": Exact, "lease": Lease }
}

impl Read for Client {
    fn read(value: &Value, misread: &Misread) -> Self {
        let keys = &value["api_key_header"];
        Self {
            api_key_headers: match keys.as_str() {
                Some(one) => vec![one.to_owned()],
                None => Vec::read(keys, misread),
            },
            jwt: field(value, "jwt", misread),
            ip_header: field(value, "ip_header", misread),
            ipv6_prefix: field(value, "ipv6_prefix", misread),
            keys: field(value, "keys", misread),
        }
    }
}

impl Read for Route {
    fn read(value: &Value, misread: &Misread) -> Self {
        let mut reserve = BTreeMap::new();
        for (name, share) in value["reserve"].as_object().into_iter().flatten() {
            let share = misread.unless(share.as_str().and_then(parse_share));
            reserve.insert(name.clone(), share);
        }
        Self {
            path: field(value, "path", misread),
            #[cfg(not(feature = "queue"))]
            methods: field(value, "methods", misread),
            #[cfg(feature = "queue")]
            methods: queue::methods(value, misread),
            limits: field(value, "limits", misread),
            cost: field(value, "cost", misread),
            refund_on: field(value, "refund_on", misread),
            reserve,
            origin_quota: field(value, "origin_quota", misread),
            origin_timeout: field(value, "origin_timeout", misread),
            cache: field(value, "cache", misread),
            #[cfg(feature = "queue")]
            enqueue: field(value, "enqueue", misread),
        }
    }
}

impl Read for OriginQuotaOf {
    fn read(value: &Value, misread: &Misread) -> Self {
        match value.as_str() {
            Some(name) => Self::Named(name.to_owned()),
            None => Self::Own(OriginQuota::read(value, misread)),
        }
    }
}
