//! The configuration: one grammar for the Worker, the npm package and Rust.
//!
//! A [`Config`] is valid: [`Config::from_json`] checks everything first and returns all that is
//! wrong at once. There is no other way to make one. The grammar is data (`config/grammar.rs`),
//! from which the JSON Schema and the reference page are made too.

mod cache;
mod check;
mod duration;
mod error;
mod grammar;
mod reference;
mod shape;
mod share;
mod size;
mod version;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

pub use cache::{Cache, Ttl};
#[doc(hidden)]
pub use duration::{format_duration, parse_duration};
pub use error::{ConfigError, ConfigProblem};
#[doc(hidden)]
pub use shape::is_key_prefix;
pub(crate) use shape::{Absent, Field, Shape};
#[doc(hidden)]
pub use share::parse_share;
pub use size::Sizes;
#[doc(hidden)]
pub use size::{format_size, parse_size};

#[doc(inline)]
pub use crate::engine::http_cache::{Letters, VersionSource};
#[doc(inline)]
pub use crate::engine::limit::OnFailure;
#[doc(hidden)]
pub use crate::engine::limit::unreserved;

/// What the gate does, checked.
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
#[derive(Debug, Clone, Deserialize)]
#[serde(remote = "Self")]
#[non_exhaustive]
pub struct Config {
    /// The API behind the gate: scheme, host and an optional path prefix, no slash at its end.
    pub origin: String,
    /// How long the origin may take to start its answer once it has the whole request, and for how long an
    /// upload may pause.
    #[serde(deserialize_with = "duration::required")]
    pub origin_timeout: Duration,
    /// The limits of every request that no route claims.
    pub default_limits: Vec<String>,
    /// Which headers tell clients their limits.
    pub headers: Style,
    /// Whether those headers name the bucket that the client counts in, in a version that can.
    pub partition_key: bool,
    /// How clients are told apart.
    pub client: Client,
    /// How the store is used.
    pub redis: Store,
    /// How much the cache keeps where.
    pub cache: Sizes,
    /// The limits, by name.
    pub limits: BTreeMap<String, Limit>,
    /// How often all edges together may call the origin, by name: quotas that routes share.
    pub origin_quotas: BTreeMap<String, OriginQuota>,
    /// What applies to which paths.
    pub routes: Vec<Route>,
}

impl Config {
    /// Checks a configuration and fills in what it leaves out.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, each with its path and what was expected.
    pub fn from_json(mut value: Value) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        grammar::CONFIG.check(&mut value, "", &mut problems);
        problems.extend(check::problems(&value));
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        // What has the right shape has the right types.
        let mut config =
            Config::deserialize(value).map_err(|e| ConfigError::of("", &e.to_string()))?;
        config
            .origin
            .truncate(config.origin.trim_end_matches('/').len());
        Ok(config)
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

    /// The reference page of the configuration, in Markdown: an example with every field, and a
    /// section for each table with the types, defaults and meanings of its fields.
    #[doc(hidden)]
    pub fn reference() -> String {
        reference::page(&grammar::CONFIG)
    }
}

impl FromStr for Config {
    type Err = ConfigError;

    /// Reads a configuration from JSON.
    fn from_str(json: &str) -> Result<Self, ConfigError> {
        let value = serde_json::from_str(json)
            .map_err(|e| ConfigError::of("", &format!("expected a JSON object: {e}")))?;
        Self::from_json(value)
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(value).map_err(D::Error::custom)
    }
}

/// Which headers tell clients their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum Style {
    /// `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-10.
    #[serde(rename = "draft-10")]
    Draft10,
    /// `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-07.
    #[serde(rename = "draft-7")]
    Draft7,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset`.
    #[serde(rename = "legacy")]
    Legacy,
    /// None.
    #[serde(rename = "none")]
    None,
}

/// How clients are told apart.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Client {
    /// The request header with the client's API key.
    pub api_key_header: String,
    /// The request header with the client's address.
    pub ip_header: String,
    /// How many bits of an IPv6 address make one client.
    pub ipv6_prefix: u8,
    /// Which API keys count as keys.
    pub keys: Keys,
}

/// Which API keys count as keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Keys {
    /// Any that is sent.
    Any,
    /// Those that are registered (`omnitrade-edge keys add`); a request with another counts as one
    /// without a key.
    Registered,
}

/// How the store is used.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Store {
    /// The deadline of one store call.
    #[serde(deserialize_with = "duration::required")]
    pub timeout: Duration,
    /// What the name of every key starts with ([`is_key_prefix`]).
    pub key_prefix: String,
    /// What happens while the store fails.
    pub on_failure: OnFailure,
}

/// One limit.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Limit {
    /// For whom it counts.
    pub by: By,
    /// The window.
    #[serde(deserialize_with = "duration::required")]
    pub window: Duration,
    /// Permits in a window, without an API key.
    pub quota: u64,
    /// Permits in a window with an API key, if not as many.
    #[serde(default)]
    pub keyed_quota: Option<u64>,
    /// Permits of registered keys, by plan; without effect unless [`Client::keys`] is
    /// [`Keys::Registered`].
    pub plans: BTreeMap<String, u64>,
    /// How the store is asked.
    pub strategy: Strategy,
    /// What comes of being refused too often, if anything.
    #[serde(default)]
    pub penalty: Option<Penalty>,
    /// Whether a refusal counts.
    pub mode: Mode,
    /// What happens to this limit while the store fails, if not as the store's setting says.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// For whom a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum By {
    /// The API key, else the address.
    Client,
    /// The address.
    Ip,
    /// The API key; requests without one are not counted.
    ApiKey,
    /// Everybody on the same route.
    Route,
    /// Everybody.
    Global,
}

/// How the store is asked about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// By every request.
    Exact,
    /// For permits ahead, so that most requests ask nobody.
    Lease,
}

/// How a client is held off that goes on after it was refused; no store call is made for it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Penalty {
    /// How many refusals inside a window bring it.
    pub after: u64,
    /// How long the client is held off the first time; each further time twice as long.
    #[serde(deserialize_with = "duration::required")]
    pub hold: Duration,
    /// The longest that it is held off; no shorter than `hold`.
    #[serde(deserialize_with = "duration::required")]
    pub max: Duration,
}

/// Whether a limit's refusal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mode {
    /// It does.
    Enforce,
    /// It is reported, and the request let through.
    Shadow,
}

/// What applies to the requests of one path.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Route {
    /// The path, as configured.
    pub path: String,
    /// The methods it claims; all if absent.
    #[serde(default)]
    pub methods: Option<Vec<String>>,
    /// Its limits, by name.
    pub limits: Vec<String>,
    /// What one request takes from each limit. The origin may say in the response header
    /// `X-Edge-Cost` what it truly was: that is settled after the response.
    pub cost: u64,
    /// The statuses of the origin's answer upon which the permits come back.
    pub refund_on: Vec<u16>,
    /// The share of a limit, in hundredths from 1 to 90 and by the limit's name, that the route
    /// keeps for itself. Other routes cannot use that last part of it (what remains to
    /// them is rounded down), this one can use all.
    #[serde(deserialize_with = "share::by_name")]
    pub reserve: BTreeMap<String, u64>,
    /// How often all edges together may call the origin here; as often as they like if absent.
    #[serde(default)]
    pub origin_quota: Option<OriginQuotaOf>,
    /// How long the origin may take here, if not as at the top level.
    #[serde(default, deserialize_with = "duration::optional")]
    pub origin_timeout: Option<Duration>,
    /// What is cached, if anything.
    #[serde(default)]
    pub cache: Option<Cache>,
}

/// How often all edges together may call the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct OriginQuota {
    /// Calls in any interval of the window's length.
    pub limit: u64,
    /// The window.
    #[serde(deserialize_with = "duration::required")]
    pub window: Duration,
}

/// Where a route's origin quota is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum OriginQuotaOf {
    /// Under this name in [`Config::origin_quotas`]; shared with all routes that name it.
    Named(String),
    /// At the route, which has it for itself.
    Own(OriginQuota),
}
