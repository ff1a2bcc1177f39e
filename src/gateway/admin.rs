//! The admin pages under `/__edge/`. No request to them reaches the origin, in whichever spelling
//! of the path.
//!
//! `POST /__edge/purge` voids entries by tag and by URL, in this isolate and in the store. The page
//! reads a body with the [`names`], has the store set their epochs, and answers once the store has
//! confirmed that. Either way the isolate drops all its entries, and does so twice: before the
//! store is asked, because the store may never answer, and afterwards, because entries may have
//! been read meanwhile.

mod names;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, json};

use crate::cache::{Purge, Purged};
use crate::clock::Timestamp;
use crate::engine::breaker::Status;
use crate::engine::route::has_parameters;
use crate::error::Error;
use crate::identity::AdminToken;
use crate::message::answer::{Answer, Content};
use crate::message::body::{Body, BodyError};
use crate::message::head::{Head, announces_more};
use crate::ops::Page;
use crate::redis::Value;

use super::gate::Gate;
use super::problem::Problem;
use super::step::{BodyRequest, Step};

pub use names::{Unpurgeable, is_tag_name, purged_key};

/// The longest body that the purge page accepts, in bytes, and how long it may take to arrive.
const LONGEST_BODY: usize = 64 << 10;
const LONGEST_ARRIVAL: Duration = Duration::from_secs(5);

impl<B: Body> Gate<B> {
    /// Answers a request under `/__edge/`; `None` for all other requests.
    ///
    /// A path with parameters (`/__edge;x/purge`) leads to no page, because a rule in front of the
    /// gate that guards `/__edge/` would not recognise it. It does not reach the origin either.
    pub(super) fn admin(
        &self,
        head: &impl Head,
        spelt: &str,
        path: &[String],
        now: Timestamp,
    ) -> Option<Step<B>> {
        let (first, page) = path.split_first()?;
        if first != "__edge" || head.asks_limits_only() {
            return None;
        }
        if has_parameters(spelt) {
            return Some(Problem::NotFound.into());
        }
        let page: Vec<_> = page.iter().map(String::as_str).collect();
        Some(match (page.as_slice(), head.method()) {
            (["health"], "GET") => self.health().into(),
            (["health"], "HEAD") => Answer {
                body: Content::Empty,
                ..self.health()
            }
            .into(),
            (["health"], _) => Problem::MethodNotAllowed { allow: "GET, HEAD" }.into(),
            // The page refers to others of this folder.
            ([], _) if !spelt.ends_with('/') => Problem::NotFound.into(),
            (page, method) => match &self.admin_token {
                None => Problem::NotFound.into(),
                Some(token) => self.protected(head, page, method, token, now),
            },
        })
    }

    /// The pages that exist only with a token. The page for operators is no secret, because it has
    /// nothing of its own; what it shows it asks for with the token that is typed there.
    fn protected(
        &self,
        head: &impl Head,
        page: &[&str],
        method: &str,
        token: &AdminToken,
        now: Timestamp,
    ) -> Step<B> {
        let allow = match page {
            [] | ["doctor" | "metrics" | "stats"] => "GET",
            ["purge"] => "POST",
            _ => return Problem::NotFound.into(),
        };
        if method != allow {
            return Problem::MethodNotAllowed { allow }.into();
        }
        if page.is_empty() {
            let Page { html, policy } = Page::built();
            let mut answer = Answer::text("text/html; charset=utf-8", html.to_owned());
            answer.set("content-security-policy", policy);
            return answer.into();
        }
        if !token.opens(head.value("authorization").as_deref()) {
            return Problem::Unauthorised.into();
        }
        match page {
            ["doctor"] => Step::Examine,
            ["metrics"] => Answer::text(PROMETHEUS, self.metrics(now)).into(),
            ["stats"] => {
                let since = since(head.url());
                let told = |subject: &str| token.digest_of(subject);
                let stats = self.ops.stats(self.gauges(now), told, since, now);
                Answer::text("application/json", stats).into()
            }
            _ => purge_page(head),
        }
    }

    /// The health page: how this isolate sees the store. The status is always 200, because the gate
    /// itself is up if it answers.
    fn health(&self) -> Answer<B> {
        let store = self.store_state();
        let degraded = self.link.exists() && !self.link.is_up();
        let status = if degraded { "degraded" } else { "ok" };
        let body = json!({ "status": status, "store": store });
        let mut answer = Answer::json(200, "application/json", &body);
        answer.set("cache-control", "no-store".to_owned());
        answer
    }

    /// How this isolate sees the store: `none`, or a state of its circuit breaker.
    pub fn store_state(&self) -> &'static str {
        self.link.status().map_or("none", Status::as_str)
    }

    /// Takes the body of a purge request.
    pub fn body_read(
        &mut self,
        head: &impl Head,
        _: BodyRequest,
        body: Result<Bytes, BodyError>,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        let body = match body {
            Ok(body) if body.len() <= LONGEST_BODY => body,
            Ok(_) | Err(BodyError::TooLong) => return Problem::BodyTooLarge.into(),
            Err(BodyError::TooSlow) => return Problem::BodyTooSlow.into(),
            Err(BodyError::Broken | BodyError::NoRoom) => {
                return Problem::MalformedBody {
                    expected: "expected the body to come to its end",
                }
                .into();
            }
        };
        let random = self.link.random();
        let mut purge = Purge::new(&self.plan.store.key_prefix, random);
        if let Err(problem) = names::read(&body, head.url(), &self.plan, &self.cache, &mut purge) {
            return problem.into();
        }
        self.cache.purge(now);
        if !self.link.exists() {
            return told(purge.named(), Some("isolate"));
        }
        match self.link.allows(now) {
            true => Step::Purge(purge),
            false => self.unconfirmed(Some(Purged::default()), now),
        }
    }

    /// Takes the store's replies to a purge.
    pub fn purged(
        &mut self,
        purge: &Purge,
        replies: Result<Vec<Result<Value, Error>>, Error>,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        self.cache.purge(now);
        self.link.heard(replies.as_ref().err(), now);
        match replies {
            Ok(replies) => match purge.confirmed(&replies) {
                (done, true) => told(done, None),
                (done, false) => self.unconfirmed(Some(done), now),
            },
            Err(error) => self.unconfirmed((!error.may_have_run()).then(Purged::default), now),
        }
    }

    fn unconfirmed(&self, done: Option<Purged>, now: Timestamp) -> Step<B> {
        let retry_after = self.link.down_for(now).unwrap_or_default();
        Problem::PurgeUnconfirmed { done, retry_after }.into()
    }
}

/// The media type of Prometheus's text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The parameter `since` of a URL, a Unix time in milliseconds; the beginning if there is none.
fn since(url: &str) -> Timestamp {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let since = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("since="));
    let since = since.and_then(|since| since.parse().ok());
    Timestamp::from_millis(since.unwrap_or_default())
}

/// What to do about an authorised request to the purge page.
fn purge_page<B: Body>(head: &impl Head) -> Step<B> {
    match announces_more(head, LONGEST_BODY) {
        true => Problem::BodyTooLarge.into(),
        false => Step::Read(BodyRequest::PURGE),
    }
}

impl BodyRequest {
    /// That of a purge, for a caller that needs no token because it holds the gate itself.
    pub const PURGE: Self = Self {
        most: LONGEST_BODY,
        time: LONGEST_ARRIVAL,
    };
}

/// The answer that tells what was purged, and if not everywhere, where.
fn told<B: Body>(purged: Purged, scope: Option<&str>) -> Step<B> {
    let mut body = Map::new();
    body.insert("purged".to_owned(), purged.to_json());
    if let Some(scope) = scope {
        body.insert("scope".to_owned(), scope.into());
    }
    let mut answer = Answer::json(200, "application/json", &body.into());
    answer.set("cache-control", "no-store".to_owned());
    answer.into()
}
