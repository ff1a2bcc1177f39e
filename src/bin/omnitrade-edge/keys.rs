//! `keys`: registers API keys, lists the registered ones, revokes them, and moves them to another
//! secret.
//!
//! [`Place`] finds the store that the gate uses, [`registry`] changes it. A key ([`secret`]) is
//! printed only once, when it is made; its digest is stored, shown and queried instead. The secrets
//! in the digests come from the environment, under the names that the gate's bindings have.

mod date;
mod entry;
mod registry;
mod seal;
mod secret;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::config::{Config, parse_duration};
use omnitrade_edge::engine::registry::is_plan;
use omnitrade_edge::identity::KeySecrets;
use omnitrade_edge::redis::Token;
use serde_json::json;

use crate::Failure;
use crate::place::Place;
use registry::{Listed, Registry, Rotated, Terms, Under, id};
pub use secret::ApiKey;

/// Register API keys, list the registered ones, and revoke them
///
/// With `client.keys = "registered"` the gate accepts an API key only if it is registered. The keys
/// are registered in the gate's own store, which gets only their digests, never the keys.
///
/// The digests are made with the secret in the environment variable `EDGE_KEY_SECRET`, which must
/// be the gate's. While the gate has an `EDGE_KEY_SECRET_PREVIOUS`, set that, too.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Add(Add),
    List(List),
    Revoke(Revoke),
    Rotate(Rotate),
}

/// Make an API key, register it, and print it, once
///
/// Only the key goes to stdout: KEY=$(omnitrade-edge keys add). Its id goes to stderr. If the key
/// is registered already, it is renewed, and keeps its plan and its name unless new ones are given.
#[derive(Debug, clap::Args)]
struct Add {
    /// The plan, which gives the key its quota in every limit that has this plan
    #[arg(long, value_parser = plan)]
    plan: Option<String>,
    /// The owner of the key, for `keys list`: at most 64 printable characters
    #[arg(long, value_parser = entry::name)]
    name: Option<String>,
    /// How long it stays registered, such as 90d or 12h; at most ten years
    #[arg(long, default_value = "365d", value_parser = validity)]
    valid_for: Duration,
    /// Register the key that is read from stdin, and print none
    #[arg(long)]
    key_stdin: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    place: Place,
}

/// Print the registered keys, one line each, the oldest first
///
/// Each line has the id, the plan, when the key was added, until when it is valid, and the name;
/// `-` stands for none.
#[derive(Debug, clap::Args)]
struct List {
    /// Print JSON: a list of objects, with times in milliseconds since 1970
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    place: Place,
}

/// Revoke a registered key
#[derive(Debug, clap::Args)]
struct Revoke {
    /// The key's id, as `keys list` shows it: at least its first 8 digits
    #[arg(required_unless_present = "key_stdin", conflicts_with = "key_stdin")]
    id: Option<String>,
    /// Revoke the key that is read from stdin
    #[arg(long)]
    key_stdin: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    place: Place,
}

/// Move all keys from the previous secret to the current one
///
/// Do this once every gate has both secrets; after it `EDGE_KEY_SECRET_PREVIOUS` is not needed any
/// more. If keys are registered without a secret, `EDGE_KEY_SECRET_PREVIOUS` is `none`.
#[derive(Debug, clap::Args)]
struct Rotate {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    place: Place,
}

/// The options for access to the store.
#[derive(clap::Args)]
struct Access {
    /// The store's address: Upstash's, or that of `serve-redis`
    #[arg(long, env = "UPSTASH_REDIS_REST_URL", hide_env_values = true)]
    url: String,
    /// The token of the store. Give it through the environment, so that `ps` does not show it
    #[arg(long, env = "UPSTASH_REDIS_REST_TOKEN", hide_env_values = true)]
    token: Token,
}

/// Shows neither the address nor the token.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    fn registry(
        &self,
        place: &Place,
        config: Option<&Config>,
        secrets: KeySecrets,
    ) -> Result<Registry, Failure> {
        let (store, prefix) = place.open(&self.url, &self.token, config)?;
        Ok(Registry::new(store, prefix, secrets))
    }
}

/// The secrets in the environment. They are no options, so that `ps` never shows them.
fn secrets() -> Result<KeySecrets, Failure> {
    let read = |name: &str| match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(_) => Err(Failure::Usage(format!("{name}: expected a text in UTF-8"))),
    };
    let current = read(KeySecrets::CURRENT)?;
    let previous = read(KeySecrets::PREVIOUS)?;
    let secrets = KeySecrets::read(current.as_deref(), previous.as_deref());
    secrets.map_err(|error| Failure::Usage(error.to_string()))
}

/// Runs the command.
pub fn run(options: Options) -> Result<(), Failure> {
    crate::wait_for(async {
        match options.verb {
            Verb::Add(options) => add(options).await,
            Verb::List(options) => list(&options).await,
            Verb::Revoke(options) => revoke(options).await,
            Verb::Rotate(options) => rotate(&options).await,
        }
    })
}

async fn add(options: Add) -> Result<(), Failure> {
    let config = options.place.config(None)?;
    if let (Some(plan), Some(config)) = (&options.plan, &config) {
        known_plan(plan, config)?;
    }
    let secrets = secrets()?;
    let note = match secrets.current() {
        Some(_) => "",
        None => ", without a secret (EDGE_KEY_SECRET is not set)",
    };
    let registry = options
        .access
        .registry(&options.place, config.as_ref(), secrets)?;
    let key = match options.key_stdin {
        true => ApiKey::from_stdin()?,
        false => ApiKey::random()?,
    };
    let terms = Terms {
        plan: options.plan,
        name: options.name,
        valid_for: options.valid_for,
    };
    let added = registry.add(&key, terms).await?;
    let digest = registry.digest(&key);
    let id = id(&digest);
    if !options.key_stdin {
        crate::print(&format!("{}\n", key.reveal())).map_err(|error| {
            Failure::Runtime(format!(
                "cannot print the key: {error}; it is registered, so revoke {id}"
            ))
        })?;
    }
    let done = if added.renewed { "renewed" } else { "added" };
    let plan = match &added.plan {
        Some(plan) => format!("plan {plan}"),
        None => "no plan".to_owned(),
    };
    let until = date::rfc3339(added.until);
    // The exit code reports success too, in case stderr is closed.
    let _ = writeln!(
        std::io::stderr(),
        "{done} {id}: {plan}, until {until}{note}"
    );
    Ok(())
}

async fn list(options: &List) -> Result<(), Failure> {
    let config = options.place.config(None)?;
    let listed = options
        .access
        .registry(&options.place, config.as_ref(), secrets()?)?
        .list()
        .await?;
    remark(&listed);
    let text = match options.json {
        true => as_json(&listed),
        false => as_lines(&listed),
    };
    print(&text)
}

async fn revoke(options: Revoke) -> Result<(), Failure> {
    let start = options.id.as_deref().map(id_start).transpose()?;
    let config = options.place.config(None)?;
    let registry = options
        .access
        .registry(&options.place, config.as_ref(), secrets()?)?;
    let digest = match start {
        Some(start) => {
            let digest = registry.find(&start).await?;
            registry.revoke_digest(&digest).await?;
            digest
        }
        None => {
            let key = ApiKey::from_stdin()?;
            registry.revoke(&key).await?;
            registry.digest(&key)
        }
    };
    print(&format!("revoked {}\n", id(&digest)))
}

async fn rotate(options: &Rotate) -> Result<(), Failure> {
    let config = options.place.config(None)?;
    let secrets = secrets()?;
    if secrets.current().is_none() {
        let message = "expected the secret that the keys are moved to, found nothing";
        let name = KeySecrets::CURRENT;
        return Err(Failure::Usage(format!("{name}: {message}")));
    }
    if !secrets.has_previous() {
        let message = "expected another secret than EDGE_KEY_SECRET: the one that keys are \
                       registered under, or \"none\"";
        let name = KeySecrets::PREVIOUS;
        return Err(Failure::Usage(format!("{name}: {message}")));
    }
    let registry = options
        .access
        .registry(&options.place, config.as_ref(), secrets)?;
    let Rotated { moved, others } = registry.rotate().await?;
    if others > 0 {
        tracing::warn!("{others} {OTHERS}");
    }
    let keys = if moved == 1 { "key" } else { "keys" };
    print(&format!("moved {moved} {keys}\n"))
}

/// Says which keys a gate with these secrets does not count, and which will have to be moved.
fn remark(listed: &[Listed]) {
    let count = |under| listed.iter().filter(|key| key.under == under).count();
    let (previous, others) = (count(Under::Previous), count(Under::Other));
    if previous > 0 {
        tracing::info!(
            "{previous} of the keys listed are registered under the previous secret: `keys rotate` \
             moves them to the current one"
        );
    }
    if others > 0 {
        tracing::warn!("{others} {OTHERS}");
    }
}

/// What is said of keys that are registered under neither secret.
const OTHERS: &str = "of the keys are registered under neither EDGE_KEY_SECRET nor \
     EDGE_KEY_SECRET_PREVIOUS, so a gate with these secrets does not count them";

fn print(text: &str) -> Result<(), Failure> {
    crate::print(text).map_err(|error| Failure::Runtime(format!("cannot print: {error}")))
}

/// The table of keys. The name comes last, so that nothing in it looks like another column.
fn as_lines(listed: &[Listed]) -> String {
    let plan = |key: &Listed| key.plan.clone().unwrap_or_else(|| "-".to_owned());
    let width = listed.iter().map(|key| plan(key).len()).max().unwrap_or(0);
    listed.iter().fold(String::new(), |mut text, key| {
        let (id, plan) = (id(&key.digest), plan(key));
        let time = |ms| date::rfc3339(Timestamp::from_millis(ms));
        let (added, until) = (time(key.entry.added), time(key.entry.until));
        let name = key.entry.name.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{id}  {plan:width$}  {added}  {until}  {name}");
        text
    })
}

fn as_json(listed: &[Listed]) -> String {
    let keys: Vec<_> = listed
        .iter()
        .map(|key| {
            json!({
                "id": id(&key.digest),
                "digest": key.digest,
                "plan": key.plan,
                "secret": match key.under {
                    Under::Current => "current",
                    Under::Previous => "previous",
                    Under::Other => "other",
                },
                "name": key.entry.name,
                "added": key.entry.added,
                "until": key.entry.until,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(keys))
}

/// Rejects a plan that no limit has, which is probably a typing error, unless no limit has plans
/// yet.
fn known_plan(plan: &str, config: &Config) -> Result<(), Failure> {
    let plans = config.limits.values().flat_map(|limit| limit.plans.keys());
    let known: BTreeSet<_> = plans.map(String::as_str).collect();
    if known.is_empty() {
        tracing::warn!("--plan: has no effect yet, as no limit of the configuration has `plans`");
        return Ok(());
    }
    if known.contains(plan) {
        return Ok(());
    }
    let known: Vec<_> = known.into_iter().collect();
    let known = known.join(", ");
    Err(Failure::Usage(format!(
        "--plan: expected a plan that a limit knows ({known}), found {plan:?}"
    )))
}

/// Reads the start of an id. An invalid text is not shown: it may be a key that was given by
/// mistake.
fn id_start(text: &str) -> Result<String, Failure> {
    let is_id = (8..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_id {
        return Err(Failure::Usage(
            "ID: expected the first 8 to 32 hexadecimal digits of an id, as `keys list` shows it; \
             a key itself goes to stdin, with --key-stdin"
                .into(),
        ));
    }
    Ok(text.to_ascii_lowercase())
}

fn plan(text: &str) -> Result<String, &'static str> {
    match is_plan(text) {
        true => Ok(text.to_owned()),
        false => Err("expected at most 64 letters, digits, `-`, `_` or `.`"),
    }
}

fn validity(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or("expected a duration such as 365d: a whole number and one of ms, s, m, h and d, at most 3650d")
}

#[cfg(test)]
mod tests;
