//! The admin pages under `/__edge/`. None of them ever reaches the origin.

use serde_json::json;

use crate::engine::breaker::Status;

use super::answer::{Answer, Content};
use super::body::Body;
use super::problem::Problem;
use super::{Gate, answer};

impl<B: Body> Gate<B> {
    /// Answers a request under `/__edge/`; `None` for all others.
    pub(super) fn admin(&self, method: &str, path: &[String]) -> Option<Answer<B>> {
        let (first, page) = path.split_first()?;
        if first != "__edge" {
            return None;
        }
        let page: Vec<_> = page.iter().map(String::as_str).collect();
        Some(match (page.as_slice(), method) {
            (["health"], "GET") => self.health(),
            (["health"], "HEAD") => Answer {
                body: Content::Empty,
                ..self.health()
            },
            (["health"], _) => Problem::MethodNotAllowed { allow: "GET, HEAD" }.answer(),
            _ => Problem::NotFound.answer(),
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
