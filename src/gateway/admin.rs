//! The admin pages under `/__edge/`. None of them ever reaches the origin, however its path is spelt.

use serde_json::json;

use crate::engine::breaker::Status;
use crate::engine::route::has_parameters;

use super::answer::{Answer, Content};
use super::body::Body;
use super::head::Head;
use super::problem::Problem;
use super::step::Step;
use super::token::AdminToken;
use super::{Gate, answer, purge};

impl<B: Body> Gate<B> {
    /// The same gate with the admin pages that this token opens; without one they are not there.
    #[must_use]
    pub fn with_admin_token(mut self, token: Option<AdminToken>) -> Self {
        self.admin_token = token;
        self
    }

    /// Answers a request under `/__edge/`; `None` for all others.
    ///
    /// A path with parameters (`/__edge;x/purge`) leads to no page: rules in front of the gate that guard
    /// `/__edge/` would not know it. Nor does it go to the origin.
    pub(super) fn admin(&self, head: &impl Head, spelt: &str, path: &[String]) -> Option<Step<B>> {
        let (first, page) = path.split_first()?;
        if first != "__edge" {
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
            (["purge"], method) => match &self.admin_token {
                None => Problem::NotFound.into(),
                Some(_) if method != "POST" => Problem::MethodNotAllowed { allow: "POST" }.into(),
                Some(token) if !token.opens(head.value("authorization").as_deref()) => {
                    Problem::Unauthorised.into()
                }
                Some(_) => purge::read(head),
            },
            _ => Problem::NotFound.into(),
        })
    }

    /// How this isolate sees the store. The gate itself is up, or it would not answer: 200 in any
    /// case.
    fn health(&self) -> Answer<B> {
        let store = match (self.has_store, self.memory.limiter.breaker.status()) {
            (false, _) => "none",
            (true, status) => status.as_str(),
        };
        let degraded = self.has_store && self.memory.limiter.breaker.status() != Status::Closed;
        let status = if degraded { "degraded" } else { "ok" };
        let body = json!({ "status": status, "store": store });
        let mut answer = answer::Answer::text(200, "application/json", body.to_string());
        answer.set("cache-control", "no-store".to_owned());
        answer
    }
}
