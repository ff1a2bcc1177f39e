//! The store of the gate and the prefix of its keys, as the options name them; and the texts of its
//! errors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use omnitrade_edge::config::{Config, is_key_prefix};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Options, RestClient, Token};
use omnitrade_edge::shell::ReqwestTransport;

use crate::Failure;
use crate::configuration::{load, nearby};

/// The options that determine the prefix.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The prefix of all key names in Redis [default: `redis.key_prefix` of the configuration, or
    /// "ot"]
    #[arg(long, value_parser = key_prefix)]
    prefix: Option<String>,
    /// The gate's configuration, as `check` reads it [default: wrangler.json, wrangler.jsonc or
    /// wrangler.toml, if there is one and no --prefix]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The environment of the configuration that the gate runs in, as Wrangler's --env
    #[arg(long = "env", value_name = "NAME", env = "CLOUDFLARE_ENV")]
    environment: Option<String>,
}

impl Place {
    /// The configuration, if there is one. `file` takes precedence over `--config`.
    ///
    /// A Wrangler configuration that is only found in the current folder counts only without
    /// `--prefix`: a broken one, or one of another Worker, must not prevent anybody from revoking a
    /// key.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the configuration. A guessed prefix is no alternative: the
    /// gate would not find keys that are registered under it.
    pub fn config(&self, file: Option<&Path>) -> Result<Option<Config>, Failure> {
        let file = match (file.or(self.config.as_deref()), &self.prefix) {
            (Some(file), _) => Some(file.to_owned()),
            (None, None) => nearby(),
            (None, Some(_)) => None,
        };
        let environment = self.environment.as_deref().filter(|name| !name.is_empty());
        file.map(|file| load(&file, environment)).transpose()
    }

    /// The store, and the prefix of its keys. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if the address or the token cannot be valid; it does not show them.
    pub fn open(
        &self,
        url: &str,
        token: &Token,
        config: Option<&Config>,
    ) -> Result<(Store, String), Failure> {
        Ok((open(url, token)?, self.prefix(config)))
    }

    /// The prefix of all key names.
    pub fn prefix(&self, config: Option<&Config>) -> String {
        let configured = || config.map(|config| config.redis.key_prefix.clone());
        let prefix = self.prefix.clone().or_else(configured);
        prefix.unwrap_or_else(|| "ot".into())
    }
}

/// The store. Nothing is sent yet.
///
/// # Errors
///
/// As [`Place::open`].
pub fn open(url: &str, token: &Token) -> Result<Store, Failure> {
    let transport = ReqwestTransport::new().map_err(|error| store_failure(&error))?;
    let options = Options::new(url, token.clone())
        .timeout(TIMEOUT)
        .max_reply_bytes(MAX_REPLY);
    RestClient::new(transport, options).map_err(|error| store_failure(&error))
}

/// A client of the store.
pub type Store = RestClient<ReqwestTransport>;

/// The failure that a store's error becomes: it shows no address, no token and no value.
pub fn store_failure(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Config => Failure::Usage(error.to_string()),
        _ => Failure::Runtime(error.to_string()),
    }
}

/// For clap: checks a prefix as `redis.key_prefix` is checked.
fn key_prefix(text: &str) -> Result<String, &'static str> {
    match is_key_prefix(text) {
        true => Ok(text.to_owned()),
        false => Err(
            "expected at most 32 letters, digits, `-`, `_` or `.`, some of them in braces or not, \
             such as \"ot\" or \"{ot}\"",
        ),
    }
}

/// The deadline of a store call. No client's request waits for it, and a first connection takes
/// long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest reply that is read, in bytes: enough for an index of about 400 000 keys.
const MAX_REPLY: usize = 64 << 20;
