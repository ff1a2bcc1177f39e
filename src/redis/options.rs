//! The address of the store and the settings of a call.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::retry::RetryPolicy;
use crate::error::{Error, ErrorKind};

/// The secret that authenticates the client to the store. It prints as `[redacted]`.
#[derive(Clone)]
pub struct Token(Box<str>);

/// The settings of a [`RestClient`](super::RestClient).
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::redis::Options;
///
/// let options = Options::new("https://eu1.example.com", "secret")
///     .timeout(Duration::from_millis(150))
///     .retries(1);
/// let shown = format!("{options:?}");
/// assert!(!shown.contains("example") && !shown.contains("secret"));
/// ```
#[derive(Clone)]
pub struct Options {
    url: Box<str>,
    token: Token,
    pub(super) timeout: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) max_reply_bytes: usize,
    pub(super) base64: bool,
}

impl Options {
    /// The store at `url` (`UPSTASH_REDIS_REST_URL`), with `token` (`UPSTASH_REDIS_REST_TOKEN`).
    /// Both are checked when the client is made.
    ///
    /// The defaults are 2 s per call, two retries, replies of at most 8 MiB, and strings that are
    /// not base64.
    pub fn new(url: impl Into<String>, token: impl Into<Token>) -> Self {
        Self {
            url: url.into().into(),
            token: token.into(),
            timeout: Duration::from_secs(2),
            retry: RetryPolicy::default(),
            max_reply_bytes: 8 << 20,
            base64: false,
        }
    }

    /// The store that variables name: `UPSTASH_REDIS_REST_URL` and `UPSTASH_REDIS_REST_TOKEN`, or,
    /// if neither is set, `KV_REST_API_URL` and `KV_REST_API_TOKEN`. White space around a value is
    /// left out, and a value of nothing else counts as not set.
    ///
    /// `lookup` returns the value of a variable. Except on wasm32, `from_env` looks in the
    /// environment.
    ///
    /// ```
    /// use omnitrade_edge::redis::Options;
    ///
    /// let lookup = |name: &str| match name {
    ///     "KV_REST_API_URL" => Some("https://eu1.example.com".to_owned()),
    ///     _ => None,
    /// };
    /// let error = Options::from_vars(lookup).unwrap_err();
    /// assert!(error.to_string().ends_with("KV_REST_API_TOKEN: expected a value, found nothing"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the variable and what was expected, not the value.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let find = |prefix: &str, suffix: &str| {
            let value = lookup(&format!("{prefix}_{suffix}"))?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let [first, _] = PREFIXES;
        let prefix = PREFIXES
            .into_iter()
            .find(|prefix| find(prefix, URL).or_else(|| find(prefix, TOKEN)).is_some())
            .unwrap_or(first);
        let value = |suffix| {
            find(prefix, suffix).ok_or_else(|| {
                config(format!(
                    "{prefix}_{suffix}: expected a value, found nothing"
                ))
            })
        };
        let options = Self::new(value(URL)?, value(TOKEN)?);
        match options.endpoint() {
            Ok(_) => Ok(options),
            Err(error) => {
                let detail = error.detail();
                let variable = |field, suffix| {
                    let wrong = detail.strip_prefix(field)?;
                    Some(config(format!("{prefix}_{suffix}{wrong}")))
                };
                Err(variable("url", URL)
                    .or_else(|| variable("token", TOKEN))
                    .unwrap_or(error))
            }
        }
    }

    /// The store that variables of the environment name: [`from_vars`](Self::from_vars).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the variable and what was expected, not the value.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_env() -> Result<Self, Error> {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// The time for a whole call: all its attempts, the waits between them, and the second request
    /// that a script may need.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many attempts may follow the first one.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retry.retries = retries;
        self
    }

    /// How many attempts may follow the first one, and how long to wait before each.
    #[must_use]
    pub const fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The longest reply that is read, in bytes of JSON. A parsed reply that consists of tiny
    /// values may take about twenty times as much memory.
    #[must_use]
    pub const fn max_reply_bytes(mut self, bytes: usize) -> Self {
        self.max_reply_bytes = bytes;
        self
    }

    /// Asks for strings in base64 and decodes them, so that stored bytes that are not UTF-8 come
    /// back unchanged. Replies are a third longer; it is needed only if such bytes are stored.
    #[must_use]
    pub const fn base64(mut self, base64: bool) -> Self {
        self.base64 = base64;
        self
    }

    /// Checks the settings and prepares what every request needs.
    pub(super) fn endpoint(&self) -> Result<Endpoint, Error> {
        if self.timeout.is_zero() {
            return Err(config("timeout: expected more than zero"));
        }
        if self.max_reply_bytes == 0 {
            return Err(config("max_reply_bytes: expected more than zero"));
        }
        let base = self.base_url()?;
        let endpoint = |path: &str| {
            format!("{base}{path}")
                .parse::<Uri>()
                .map_err(|_| config(EXPECTED_URL))
        };
        Ok(Endpoint {
            command: endpoint("/")?,
            pipeline: endpoint("/pipeline")?,
            multi: endpoint("/multi-exec")?,
            headers: self.headers()?,
        })
    }

    /// The URL without a slash at its end.
    fn base_url(&self) -> Result<&str, Error> {
        let uri: Uri = self.url.parse().map_err(|_| config(EXPECTED_URL))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let Some(authority) = uri.authority().filter(|_| is_http) else {
            return Err(config(EXPECTED_URL));
        };
        if authority.as_str().contains('@') {
            return Err(config(
                "url: expected no user or password; the token goes into `token`",
            ));
        }
        if uri.query().is_some() || self.url.contains('#') {
            return Err(config("url: expected neither a query nor a fragment"));
        }
        Ok(self.url.trim_end_matches('/'))
    }

    fn headers(&self) -> Result<HeaderMap, Error> {
        let Token(token) = &self.token;
        let is_plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .ok()
            .filter(|_| is_plain)
            .ok_or_else(|| config("token: expected visible ASCII characters without spaces"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.base64 {
            headers.insert(ENCODING, HeaderValue::from_static("base64"));
        }
        Ok(headers)
    }
}

/// Shows neither the URL nor the token.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &format_args!("[redacted]"))
            .field("token", &self.token)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("max_reply_bytes", &self.max_reply_bytes)
            .field("base64", &self.base64)
            .finish()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token.into())
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.into())
    }
}

/// The checked settings, in the form that requests use.
pub(super) struct Endpoint {
    pub(super) command: Uri,
    pub(super) pipeline: Uri,
    pub(super) multi: Uri,
    pub(super) headers: HeaderMap,
}

fn config(detail: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Config, false, detail)
}

/// What the variables that name a store begin with, and how they end. A variable of the first pair
/// comes before those of the second.
const PREFIXES: [&str; 2] = ["UPSTASH_REDIS_REST", "KV_REST_API"];
const URL: &str = "URL";
const TOKEN: &str = "TOKEN";

const EXPECTED_URL: &str = "url: expected an address that starts with https:// or http://";

const ENCODING: HeaderName = HeaderName::from_static("upstash-encoding");
