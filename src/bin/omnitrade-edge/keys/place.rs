//! Where keys are registered: which store, and what its keys' names start with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use omnitrade_edge::config::Config;
use omnitrade_edge::redis::{Options, RestClient, Token};
use omnitrade_edge::shell::ReqwestTransport;

use super::registry::{Registry, store_failure};
use crate::{Failure, check};

/// The options that all of `keys` have.
#[derive(clap::Args)]
pub struct Place {
    /// The store's address: Upstash's, or that of `serve-redis`
    #[arg(long, env = "UPSTASH_REDIS_REST_URL", hide_env_values = true)]
    url: String,
    /// What opens the store. Give it through the environment, so that `ps` does not show it
    #[arg(long, env = "UPSTASH_REDIS_REST_TOKEN", hide_env_values = true)]
    token: Token,
    /// What the names of all keys in Redis start with [default: `redis.key_prefix` of the
    /// configuration, or "ot"]
    #[arg(long, value_parser = key_prefix)]
    prefix: Option<String>,
    /// The gate's configuration, a wrangler.toml or a JSON file [default: wrangler.toml, if there
    /// is one and no --prefix]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The configuration, where one is at hand.
    ///
    /// A wrangler.toml that merely lies here counts only without `--prefix`: one that is broken, or
    /// another Worker's, must not keep anybody from revoking a key.
    ///
    /// # Errors
    ///
    /// All that is wrong with it: a guess at its prefix would register keys for nobody.
    pub fn config(&self) -> Result<Option<Config>, Failure> {
        let nearby = Path::new("wrangler.toml");
        match (&self.config, &self.prefix) {
            (Some(file), _) => check::load(file).map(Some),
            (None, None) if nearby.exists() => check::load(nearby).map(Some),
            (None, _) => Ok(None),
        }
    }

    /// The registry there. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an address or a token that cannot be one, without showing it.
    pub fn open(&self, config: Option<&Config>) -> Result<Registry, Failure> {
        let transport = ReqwestTransport::new().map_err(|error| store_failure(&error))?;
        let options = Options::new(self.url.as_str(), self.token.clone())
            .timeout(TIMEOUT)
            .max_reply_bytes(MAX_REPLY);
        let client = RestClient::new(transport, options).map_err(|error| store_failure(&error))?;
        let configured = || config.map(|config| config.redis.key_prefix.clone());
        let prefix = self.prefix.clone().or_else(configured);
        Ok(Registry::new(client, prefix.unwrap_or_else(|| "ot".into())))
    }
}

/// Shows neither the address nor the token.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("prefix", &self.prefix)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// For clap: a prefix as `redis.key_prefix` takes it.
fn key_prefix(text: &str) -> Result<String, &'static str> {
    let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match (1..=32).contains(&text.len()) && text.bytes().all(fit) {
        true => Ok(text.to_owned()),
        false => Err("expected at most 32 letters, digits, `-`, `_` or `.`"),
    }
}

/// The deadline of a store call. Nobody's request waits for it, and a first connection takes long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest reply that is read, in bytes: an index of some 400 000 keys.
const MAX_REPLY: usize = 64 << 20;
