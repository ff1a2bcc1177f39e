//! What is to be purged: tags and URLs, as the body of a request or the command line names them.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;

use crate::config::{Absent, Config, Field, Shape};
use crate::engine::cache::{CacheKey, Target, same_origin_reference};
use crate::engine::route::segments;

use super::super::body::Body;
use super::super::plan::Plan;
use super::super::problem::Problem;
use super::super::{Gate, LONGEST_URL, is_web};
use super::Purge;

/// How many tags and URLs one request may name.
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
    /// It is none, or not as clients send it.
    #[error("expected {URL}")]
    NoUrl,
    /// No route with a cache claims it.
    #[error("expected a URL of a route with a cache")]
    Uncached,
}

/// Whether a tag may be named like this.
pub fn is_tag_name(text: &str) -> bool {
    (1..=LONGEST_TAG).contains(&text.len())
}

/// The key of an absolute URL for [`Purge::url`].
///
/// # Errors
///
/// If the URL is none, or no route of the configuration that claims it has a cache.
pub fn purged_key(config: &Config, url: &str) -> Result<CacheKey, Unpurgeable> {
    // A configuration that was changed since it was read may name what is not there.
    let plan = Plan::new(config).map_err(|_| Unpurgeable::Uncached)?;
    let url = absolute(url, None).ok_or(Unpurgeable::NoUrl)?;
    key(&plan, &url)
}

impl<B: Body> Gate<B> {
    /// Reads a body, and adds what it names. `base`: the URL that it was sent to.
    pub(super) fn name(&self, purge: &mut Purge, body: &Bytes, base: &str) -> Result<(), Problem> {
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
                if let Err(error) = self.name_url(purge, url, base) {
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

    fn name_url(&self, purge: &mut Purge, url: &str, base: &str) -> Result<(), Unpurgeable> {
        let url = absolute(url, Some(base)).ok_or(Unpurgeable::NoUrl)?;
        purge.url(&key(&self.plan, &url)?);
        // Requests lie under the URL without the parameters that do not count by the API's own word.
        if let Some(target) = Target::of(&url)
            && let Some(search) = self.memory.search(target.path)
        {
            let query = target.query.and_then(|query| search.canonical(query));
            let query = query.as_deref();
            purge.also(&key_of(&self.plan, &Target { query, ..target })?);
        }
        Ok(())
    }
}

/// The URL as clients send it; `None` if it is none. One without a host is of that of `base`.
fn absolute(url: &str, base: Option<&str>) -> Option<String> {
    let base = if url.starts_with('/') { base? } else { url };
    let (path, _) = url.split_once('?').unwrap_or((url, ""));
    if !url.bytes().all(|b| b.is_ascii_graphic()) || path.contains('\\') {
        return None;
    }
    let url = same_origin_reference(base, base, &spelt(url))?;
    let web = Target::of(&url).is_some_and(|target| is_web(&target) && !target.host.contains('@'));
    web.then_some(url)
}

/// A URL with the escapes that clients give it (URL Standard, "path percent-encode set" and "special-query
/// percent-encode set").
fn spelt(url: &str) -> String {
    let mut spelt = String::with_capacity(url.len());
    let mut in_query = false;
    for char in url.chars() {
        let escaped = match char {
            '"' | '<' | '>' => true,
            '\'' => in_query,
            '`' | '{' | '}' => !in_query,
            _ => false,
        };
        match escaped {
            true => drop(write!(spelt, "%{:02X}", u32::from(char))),
            false => spelt.push(char),
        }
        in_query |= char == '?';
    }
    spelt
}

fn key(plan: &Plan, url: &str) -> Result<CacheKey, Unpurgeable> {
    key_of(plan, &Target::of(url).ok_or(Unpurgeable::NoUrl)?)
}

fn key_of(plan: &Plan, target: &Target<'_>) -> Result<CacheKey, Unpurgeable> {
    let path = segments(target.path).map_err(|_| Unpurgeable::NoUrl)?;
    let route = plan.find("GET", &path);
    let cache = route.cache.as_ref().ok_or(Unpurgeable::Uncached)?;
    Ok(cache.purged_url(target))
}
