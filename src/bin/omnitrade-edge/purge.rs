//! `purge`: makes cached responses void, by tag and by URL, in the store itself.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use omnitrade_edge::cache::Purge;
use omnitrade_edge::config::Config;
use omnitrade_edge::error::Error;
use omnitrade_edge::gateway::{Unpurgeable, is_tag_name, purged_key};
use omnitrade_edge::redis::{Token, Value};

use crate::Failure;
use crate::place::{Place, store_failure};

/// Make cached responses void, by tag and by URL
///
/// Each tag and each URL is one command in the store, however many responses it makes void. The
/// gate notices a purge when it next asks the store; an isolate may use the entries in its memory
/// for up to `l1_max_age`. Prints what was purged, one line each.
#[derive(clap::Args)]
pub struct Options {
    /// The gate's configuration, like --config
    #[arg(conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Purge the responses with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG", value_parser = tag, required_unless_present = "urls")]
    tags: Vec<String>,
    /// Purge the response to this URL, https://host/path?query as clients send it; may be given
    /// several times
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// The store's address: Upstash's, or that of `serve-redis`
    #[arg(long, env = "UPSTASH_REDIS_REST_URL", hide_env_values = true)]
    store_url: String,
    /// The token of the store. Give it through the environment, so that `ps` does not show it
    #[arg(long, env = "UPSTASH_REDIS_REST_TOKEN", hide_env_values = true)]
    store_token: Token,
    #[command(flatten)]
    place: Place,
}

/// Shows neither the store's address nor its token.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("tags", &self.tags)
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// Runs the command.
pub fn run(options: Options) -> Result<(), Failure> {
    crate::wait_for(purge(options))
}

async fn purge(options: Options) -> Result<(), Failure> {
    let config = options.place.config(options.file.as_deref())?;
    let (store, prefix) =
        options
            .place
            .open(&options.store_url, &options.store_token, config.as_ref())?;
    let (purge, names) = named(&options, config.as_ref(), &prefix)?;
    let replies = store.pipeline(&purge.commands()).await.map_err(|error| {
        let Failure::Runtime(text) = store_failure(&error) else {
            return store_failure(&error);
        };
        let unsure = match error.may_have_run() {
            true => "; some of it may have been purged all the same: call it again",
            false => "; nothing was purged",
        };
        Failure::Runtime(format!("{text}{unsure}"))
    })?;
    tell(&names, &replies)
}

/// The purge, and a name for each of its parts.
fn named(
    options: &Options,
    config: Option<&Config>,
    prefix: &str,
) -> Result<(Purge, Vec<String>), Failure> {
    let random = getrandom::u64().map_err(|error| {
        Failure::Runtime(format!("the system gives no random numbers: {error}"))
    })?;
    let (mut purge, mut names) = (Purge::new(prefix, random), Vec::new());
    let mut add = |purge: &Purge, name: String| {
        // It has a key of its own, unless it repeats an earlier one.
        if purge.keys().count() > names.len() {
            names.push(name);
        }
    };
    for tag in &options.tags {
        purge.tag(tag);
        add(&purge, format!("tag {tag}"));
    }
    for url in &options.urls {
        let config = config.ok_or_else(|| {
            Failure::Usage(
                "--url: expected a configuration beside it (FILE), which says what counts of a URL"
                    .into(),
            )
        })?;
        purge.url(&purged_key(config, url).map_err(|error| not_purgeable(error, url))?);
        add(&purge, format!("url {url}"));
    }
    Ok((purge, names))
}

/// Prints what was purged; an error if not everything was.
fn tell(names: &[String], replies: &[Result<Value, Error>]) -> Result<(), Failure> {
    let (mut purged, mut failed) = (String::new(), Vec::new());
    for (name, reply) in names.iter().zip(replies) {
        match reply {
            Ok(_) => drop(writeln!(purged, "purged {name}")),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    crate::print(&purged)
        .map_err(|error| Failure::Runtime(format!("purged, but cannot print: {error}")))?;
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Runtime(format!(
            "not purged: {}",
            failed.join("; ")
        ))),
    }
}

fn not_purgeable(error: Unpurgeable, url: &str) -> Failure {
    Failure::Usage(format!("--url: {error}, found {url:?}"))
}

/// For clap: checks a tag as it may be on an entry.
fn tag(text: &str) -> Result<String, &'static str> {
    match is_tag_name(text) {
        true => Ok(text.to_owned()),
        false => Err("expected a tag of 1 to 1024 bytes"),
    }
}
