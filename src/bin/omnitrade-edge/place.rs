//! Where the gate keeps things: which store, and what its keys' names start with. And how its errors
//! are told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use omnitrade_edge::config::{Config, is_key_prefix};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Options, RestClient, Token};
use omnitrade_edge::shell::ReqwestTransport;

use crate::{Failure, check};

/// The options that say it.
#[derive(Debug, clap::Args)]
pub struct Place {
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
    /// another Worker's, must not keep anybody from revoking a key. `file` stands for `--config`.
    ///
    /// # Errors
    ///
    /// All that is wrong with it: a guess at its prefix would register keys for nobody.
    pub fn config(&self, file: Option<&Path>) -> Result<Option<Config>, Failure> {
        let nearby = Path::new("wrangler.toml");
        match (file.or(self.config.as_deref()), &self.prefix) {
            (Some(file), _) => check::load(file).map(Some),
            (None, None) if nearby.exists() => check::load(nearby).map(Some),
            (None, _) => Ok(None),
        }
    }

    /// The store and the prefix there. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an address or a token that cannot be one, without showing it.
    pub fn open(
        &self,
        url: &str,
        token: &Token,
        config: Option<&Config>,
    ) -> Result<(Store, String), Failure> {
        let transport = ReqwestTransport::new().map_err(|error| store_failure(&error))?;
        let options = Options::new(url, token.clone())
            .timeout(TIMEOUT)
            .max_reply_bytes(MAX_REPLY);
        let client = RestClient::new(transport, options).map_err(|error| store_failure(&error))?;
        let configured = || config.map(|config| config.redis.key_prefix.clone());
        let prefix = self.prefix.clone().or_else(configured);
        Ok((client, prefix.unwrap_or_else(|| "ot".into())))
    }
}

/// A client of the store.
pub type Store = RestClient<ReqwestTransport>;

/// A store's error, told: it shows no address, no token, no value.
pub fn store_failure(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Config => Failure::Usage(error.to_string()),
        _ => Failure::Runtime(error.to_string()),
    }
}

/// For clap: a prefix as `redis.key_prefix` takes it.
fn key_prefix(text: &str) -> Result<String, &'static str> {
    match is_key_prefix(text) {
        true => Ok(text.to_owned()),
        false => Err(
            "expected at most 32 letters, digits, `-`, `_` or `.`, some of them in braces or not, \
             such as \"ot\" or \"{ot}\"",
        ),
    }
}

/// The deadline of a store call. Nobody's request waits for it, and a first connection takes long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest reply that is read, in bytes: an index of some 400 000 keys.
const MAX_REPLY: usize = 64 << 20;
