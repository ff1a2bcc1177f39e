//! The gate's own refusals and failures, as problem details (RFC 9457).

use std::time::Duration;

use serde_json::Value;

use crate::cache::Purged;
use crate::clock::seconds_up;
use crate::engine::limit_problem::{LimitProblem, Why, body};
use crate::message::answer::Answer;

/// Why the gate refuses a request or fails to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Limits refuse the request.
    Limited(LimitProblem),
    /// The origin's quota is exhausted, and there is nothing to serve in place of its answer.
    OriginQuotaSpent {
        /// How long until the origin may be called again.
        retry_after: Duration,
    },
    /// The origin gave no answer.
    OriginFailed,
    /// The origin gave no answer in time.
    OriginTimedOut,
    /// The client accepts only a stored response, and there is none (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// The gate is misconfigured; the log says how.
    Misconfigured,
    /// The URL cannot be read: it has a broken percent-escape or an unexpected scheme or host.
    MalformedUrl,
    /// The URL is longer than the gate accepts.
    UrlTooLong,
    /// The query has parameters that the route does not declare, and the route refuses them.
    UnknownQuery {
        /// The names of the first few.
        names: Vec<String>,
    },
    /// An admin page was requested without the token that opens it.
    Unauthorised,
    /// The body sent to an admin page is longer than the page accepts.
    BodyTooLarge,
    /// The body sent to an admin page did not arrive in time.
    BodyTooSlow,
    /// The body sent to an admin page does not have the form that the page expects.
    MalformedBody {
        /// What was expected.
        expected: &'static str,
    },
    /// Some of the names cannot be purged; nothing was purged.
    NotPurgeable {
        /// What is wrong: each item gives the field and what was expected.
        problems: Vec<String>,
    },
    /// The store has not confirmed a purge, or only a part of it.
    PurgeUnconfirmed {
        /// What the store has confirmed; `None`: it may have purged any part of it.
        done: Option<Purged>,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// There is no such page under `/__edge/`.
    NotFound,
    /// An admin page was requested with a method that it does not support.
    MethodNotAllowed {
        /// The methods that it supports.
        allow: &'static str,
    },
}

impl Problem {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::MalformedUrl | Self::MalformedBody { .. } | Self::UnknownQuery { .. } => 400,
            Self::Unauthorised => 401,
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::BodyTooSlow => 408,
            Self::BodyTooLarge => 413,
            Self::UrlTooLong => 414,
            Self::NotPurgeable { .. } => 422,
            Self::Limited(problem) => match problem.why {
                Why::QuotaExceeded | Why::AbnormalUsage => 429,
                // The client is not at fault.
                Why::ReducedCapacity | Why::StoreDown => 503,
            },
            Self::Misconfigured => 500,
            Self::OriginFailed => 502,
            Self::OriginQuotaSpent { .. } | Self::PurgeUnconfirmed { .. } => 503,
            Self::OriginTimedOut | Self::OnlyIfCached => 504,
        }
    }

    /// The stable name in snake case, which is also the member `code` of the body.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Limited(problem) => problem.why.code(),
            Self::OriginQuotaSpent { .. } => "origin_quota_spent",
            Self::OriginFailed => "origin_failed",
            Self::OriginTimedOut => "origin_timed_out",
            Self::OnlyIfCached => "not_cached",
            Self::Misconfigured => "misconfigured",
            Self::MalformedUrl => "malformed_url",
            Self::UrlTooLong => "url_too_long",
            Self::UnknownQuery { .. } => "unknown_query",
            Self::Unauthorised => "unauthorised",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::MalformedBody { .. } => "malformed_body",
            Self::NotPurgeable { .. } => "not_purgeable",
            Self::PurgeUnconfirmed { .. } => "purge_unconfirmed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::Limited(problem) => problem.why.title(),
            Self::OriginQuotaSpent { .. } => "The API behind the gate may not be asked so often",
            Self::OriginFailed => "The API behind the gate failed",
            Self::OriginTimedOut => "The API behind the gate did not answer in time",
            Self::OnlyIfCached => "No stored response can be used",
            Self::Misconfigured => "The gate is misconfigured",
            Self::MalformedUrl => "The URL is malformed",
            Self::UrlTooLong => "The URL is too long",
            Self::UnknownQuery { .. } => "The query has an unknown parameter",
            Self::Unauthorised => "The admin token is missing or wrong",
            Self::BodyTooLarge => "The body is too large",
            Self::BodyTooSlow => "The body did not arrive in time",
            Self::MalformedBody { .. } => "The body is malformed",
            Self::NotPurgeable { .. } => "This cannot be purged, and nothing was",
            Self::PurgeUnconfirmed { .. } => "The store has not confirmed the purge",
            Self::NotFound => "No such page",
            Self::MethodNotAllowed { .. } => "Method not allowed",
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited(LimitProblem { retry_after, .. })
            | Self::OriginQuotaSpent { retry_after }
            | Self::PurgeUnconfirmed { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The response. `Retry-After` is in seconds, and at least 1.
    pub fn answer<B>(&self) -> Answer<B> {
        let mut body = body(self.title(), self.status(), self.code());
        self.tell(&mut body);
        let body = Value::Object(body);
        let mut answer = Answer::json(self.status(), "application/problem+json", &body);
        if let Some(wait) = self.retry_after() {
            answer.set("retry-after", seconds_up(wait).max(1).to_string());
        }
        if let Self::MethodNotAllowed { allow } = self {
            answer.set("allow", (*allow).to_owned());
        }
        if matches!(self, Self::Unauthorised) {
            answer.set("www-authenticate", "Bearer".to_owned());
        }
        answer.set("cache-control", "no-store".to_owned());
        answer
    }

    /// Adds the members that describe a problem with limits, a query or a purge.
    fn tell(&self, body: &mut serde_json::Map<String, Value>) {
        let detail = match self {
            Self::Limited(problem) => return problem.tell(body),
            Self::MalformedBody { expected } => (*expected).to_owned(),
            Self::UnknownQuery { names } => {
                body.insert("parameters".to_owned(), names.clone().into());
                format!("Unknown: {}", names.join(", "))
            }
            Self::NotPurgeable { problems } => {
                body.insert("problems".to_owned(), problems.clone().into());
                problems.first().cloned().unwrap_or_default()
            }
            Self::PurgeUnconfirmed { done, .. } => {
                if let Some(done) = done {
                    body.insert("purged".to_owned(), done.to_json());
                }
                match done {
                    Some(done) if *done == Purged::default() => {
                        "Nothing was purged but in this isolate"
                    }
                    Some(_) => "Only a part was purged for certain: send it again",
                    None => "It may have been purged, or a part of it: send it again",
                }
                .to_owned()
            }
            _ => return,
        };
        body.insert("detail".to_owned(), detail.into());
    }
}
