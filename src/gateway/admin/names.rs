//! The tags and URLs to purge, as the body of a request or the command line names them.

use bytes::Bytes;
use serde_json::Value;

use crate::config::{Absent, Config, Field, Shape};
use crate::engine::http_cache::{CacheKey, Target};
use crate::engine::route::segments;

use crate::cache::{CacheMemory, Purge};
use crate::message::body::Body;
use crate::message::head::LONGEST_URL;

use super::super::plan::Plan;
use super::super::problem::Problem;

/// The largest number of tags and URLs that one request may name.
const MOST_NAMES: usize = 100;

/// The longest name of a tag, in bytes.
const LONGEST_TAG: usize = 1_024;

const BODY: Shape = Shape::Table(&[
    Field {
        name: "tags",
        shape: Shape::List(&Shape::Text {
            expected: "a tag of 1 to 1024 bytes",
            fits: is_tag_name,
        }),
        absent: Absent::Is("[]"),
        doc: "The tags of the entries to purge.",
    },
    Field {
        name: "urls",
        shape: Shape::List(&Shape::Text {
            expected: URL,
            fits: |text| text.len() <= LONGEST_URL,
        }),
        absent: Absent::Is("[]"),
        doc: "The URLs whose entries to purge.",
    },
]);

const URL: &str = "a URL such as \"https://edge.example/v1/book?symbol=BTCUSDT\", or its path and \
                   query, as clients send it and of at most 16384 bytes";

/// Why a URL cannot be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpurgeable {
    /// It is not a URL, or not one that a client can send.
    #[error("expected {URL}")]
    NoUrl,
    /// No route with a cache claims it.
    #[error("expected a URL of a route with a cache")]
    Uncached,
}

/// Whether `text` may name a tag: it has 1 to 1024 bytes.
pub fn is_tag_name(text: &str) -> bool {
    (1..=LONGEST_TAG).contains(&text.len())
}

/// The key of an absolute URL for [`Purge::url`].
///
/// # Errors
///
/// If `url` is not a URL, or the route that claims it has no cache.
pub fn purged_key(config: &Config, url: &str) -> Result<CacheKey, Unpurgeable> {
    // If the configuration was changed after it was read, it may refer to names that do not exist.
    let plan = Plan::new(config).map_err(|_| Unpurgeable::Uncached)?;
    key(&plan, &named(url, None).ok_or(Unpurgeable::NoUrl)?)
}

/// Reads the body of a purge and adds what it names to `purge`. `base`: the URL to which the purge
/// was sent.
pub(super) fn read<B: Body>(
    body: &Bytes,
    base: &str,
    plan: &Plan,
    memory: &CacheMemory<B>,
    purge: &mut Purge,
) -> Result<(), Problem> {
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    if !body.is_object() {
        return Err(Problem::MalformedBody {
            expected: "expected a JSON object such as {\"tags\":[\"orderbook\"]}",
        });
    }
    let mut problems = Vec::new();
    BODY.check(&mut body, "", &mut problems);
    let mut problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let texts = |field: &str| {
        let list = body.get(field).and_then(Value::as_array);
        let list = list.into_iter().flatten();
        list.filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let (tags, urls) = (texts("tags"), texts("urls"));
    if problems.is_empty() && !(1..=MOST_NAMES).contains(&(tags.len() + urls.len())) {
        let found = tags.len() + urls.len();
        problems.push(format!(
            "tags, urls: expected 1 to {MOST_NAMES} names together, found {found}"
        ));
    }
    if problems.is_empty() {
        tags.iter().for_each(|tag| purge.tag(tag));
        for (n, url) in urls.iter().enumerate() {
            if let Err(error) = name_url(url, base, plan, memory, purge) {
                let shown: String = url.chars().take(100).collect();
                problems.push(format!("urls[{n}]: {error}, found {shown:?}"));
            }
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Problem::NotPurgeable { problems }),
    }
}

fn name_url<B: Body>(
    url: &str,
    base: &str,
    plan: &Plan,
    memory: &CacheMemory<B>,
    purge: &mut Purge,
) -> Result<(), Unpurgeable> {
    let target = named(url, Some(base)).ok_or(Unpurgeable::NoUrl)?;
    let named = key(plan, &target).map_err(|error| match url.starts_with("//") {
        // The client probably meant a host to follow.
        true => Unpurgeable::NoUrl,
        false => error,
    })?;
    purge.url(&named);
    // Entries may lie under the URL without the parameters that do not count, as responses have
    // said.
    if let Some(search) = memory.no_vary_search(target.path()) {
        purge.also(&key(plan, &search.counted(&target))?);
    }
    Ok(())
}

/// The target of a URL in any spelling that a client may use; `None` if it is not a URL. A URL that
/// begins with a slash is a path on the host of `base`.
fn named(url: &str, base: Option<&str>) -> Option<Target<'static>> {
    if !url.starts_with(['/', '\\']) {
        return Target::of(url).map(Target::into_owned);
    }
    let base = Target::of(base?)?;
    let url = format!("{}://{}{url}", base.scheme(), base.host());
    Target::of(&url).map(Target::into_owned)
}

fn key(plan: &Plan, target: &Target<'_>) -> Result<CacheKey, Unpurgeable> {
    let path = segments(target.path()).map_err(|_| Unpurgeable::NoUrl)?;
    let route = plan.find("GET", &path);
    let cache = route.cache.as_ref().ok_or(Unpurgeable::Uncached)?;
    Ok(cache.purged_url(target))
}
