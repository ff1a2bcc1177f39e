//! What job a request becomes, and what its client is told.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::clock::{Timestamp, seconds_up};
use crate::engine::job_id::{Part, Template, is_of_id};
use crate::engine::limit_problem::body;
use crate::error::{Error, ErrorKind};
use crate::message::answer::Answer;
use crate::message::body::BodyError;
use crate::message::head::{Head, announces_more};
use crate::redis::Value;

use super::bullmq::Bullmq;
use super::data;
use super::id::{self, NoId};
use super::job::{Job, NamedJob};
use super::name::QueueName;
use super::options::{Deduplication, JobOptions};

/// What job each request of a route becomes.
#[derive(Debug)]
pub struct Enqueue {
    /// The queue.
    pub queue: QueueName,
    /// Which versions of BullMQ work on it.
    pub bullmq: Bullmq,
    /// The job's name.
    pub job: String,
    /// Of what its id is made, if it is not a new one.
    pub id: Option<Template>,
    /// Which jobs are one: of what the id is made that they share, and how long they are one.
    pub deduplication: Option<(Template, Deduplication)>,
    /// The other options.
    pub options: JobOptions,
    /// The longest body, in bytes.
    pub longest_body: usize,
}

/// Why a request becomes no job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    code: &'static str,
    title: &'static str,
    /// The part of the request that is at fault, if one is.
    field: Option<Cow<'static, str>>,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Enqueue {
    /// Whether one of its ids names the client.
    pub fn names_client(&self) -> bool {
        let shared = self.deduplication.as_ref().map(|(template, _)| template);
        let mut parts = self.id.iter().chain(shared).flat_map(Template::parts);
        parts.any(|part| *part == Part::Client)
    }

    /// Checks the head of a request before its body is read.
    pub fn check(&self, head: &impl Head) -> Result<(), Refusal> {
        if announces_more(head, self.longest_body) {
            return Err(self.too_large());
        }
        let coding = head.value("content-encoding").unwrap_or_default();
        if !matches!(coding.trim(), "" | "identity") {
            return Err(Refusal::media(
                "content-encoding",
                "expected no content coding",
            ));
        }
        match is_json(&head.value("content-type").unwrap_or_default()) {
            true => Ok(()),
            false => Err(Refusal::media("content-type", "expected application/json")),
        }
    }

    /// The job that a request with this body becomes. `part`: the parts of the request by which ids
    /// are made. `new_id`: its id if it has no other. `longest_call`: as [`Job::new`] has it.
    pub fn job(
        &self,
        body: Result<Bytes, BodyError>,
        mut part: impl FnMut(&Part) -> Option<String>,
        new_id: String,
        now: Timestamp,
        longest_call: Duration,
    ) -> Result<Job, Refusal> {
        let data = self.data(body)?;
        let mut options = self.options.clone();
        if let Some(template) = &self.id
            && let Some(own) = filled(template, &mut part)?
        {
            if let Err(wrong) = id::check_strictly(&own) {
                return Err(Refusal::of_id("id", wrong));
            }
            options = options.job_id(&own);
        }
        if let Some((template, deduplication)) = &self.deduplication
            && let Some(shared) = filled(template, &mut part)?
        {
            if let Err(wrong @ NoId::Characters) = id::check_strictly(&shared) {
                return Err(Refusal::of_id("deduplication.id", wrong));
            }
            options = options.deduplication(deduplication.called(&shared));
        }
        let job = NamedJob {
            name: &self.job,
            data,
            options: &options,
        };
        let job = Job::new(&self.queue, self.bullmq, job, new_id, now, longest_call);
        job.map_err(|error| Refusal::unconfirmed(Some(&error), Duration::ZERO))
    }

    fn data(&self, body: Result<Bytes, BodyError>) -> Result<String, Refusal> {
        let body = match body {
            Ok(body) if body.len() <= self.longest_body => body,
            Ok(_) | Err(BodyError::TooLong) => return Err(self.too_large()),
            Err(BodyError::TooSlow) => {
                let (title, detail) = ("The body did not arrive in time", "expected it sooner");
                return Err(Refusal::of_body(408, "body_too_slow", title, detail));
            }
            Err(BodyError::Broken | BodyError::NoRoom) => {
                return Err(malformed("expected the body to come to its end"));
            }
        };
        if body.is_empty() {
            return Ok("{}".to_owned());
        }
        let text = std::str::from_utf8(&body).ok();
        let data = text.and_then(data::compact);
        data.ok_or_else(|| malformed("expected JSON"))
    }

    fn too_large(&self) -> Refusal {
        let detail = format!("expected at most {} bytes", self.longest_body);
        Refusal::of_body(413, "body_too_large", "The body is too large", detail)
    }

    /// What the client is told of the store's reply. `down_for`: how long the store will not be
    /// asked.
    pub fn answer<B>(&self, reply: &Result<Value, Error>, down_for: Duration) -> Answer<B> {
        let id = match reply {
            Ok(id) => id.as_str(),
            Err(error) => return Refusal::unconfirmed(Some(error), down_for).answer(),
        };
        let Some(id) = id else {
            return Refusal::unconfirmed(None, down_for).answer();
        };
        let told = json!({ "id": id, "queue": self.queue.name() });
        let mut answer = Answer::json(202, "application/json", &told);
        answer.set("cache-control", "no-store".to_owned());
        answer
    }
}

impl Refusal {
    /// The store has not confirmed the job. `error`: why, if it was asked.
    pub fn unconfirmed(error: Option<&Error>, down_for: Duration) -> Self {
        let detail = match error {
            Some(error) if error.may_have_run() => {
                "The job may have been added: only with the same id it is safe to send it again"
            }
            _ => "The job was not added: send it again",
        };
        if error.is_some_and(|error| error.kind() == ErrorKind::TooLarge) {
            let title = "The body is too large";
            return Self::of_body(413, "body_too_large", title, "too large for the store");
        }
        Self {
            status: 503,
            code: "job_unconfirmed",
            title: "The store has not confirmed the job",
            field: None,
            detail: detail.into(),
            retry_after: Some(down_for),
        }
    }

    fn of_body(
        status: u16,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            field: Some("body".into()),
            detail: detail.into(),
            retry_after: None,
        }
    }

    fn media(field: &'static str, detail: &'static str) -> Self {
        let (code, title) = (
            "unsupported_media_type",
            "The body is of another media type",
        );
        Self {
            field: Some(field.into()),
            ..Self::of_body(415, code, title, detail)
        }
    }

    fn of_id(field: impl Into<Cow<'static, str>>, wrong: NoId) -> Self {
        let detail = format!("expected {}", wrong.expected());
        Self {
            field: Some(field.into()),
            ..Self::of_body(422, "invalid_job_id", "The job cannot have this id", detail)
        }
    }

    /// The answer, as problem details (RFC 9457).
    pub fn answer<B>(&self) -> Answer<B> {
        let mut body = body(self.title, self.status, self.code);
        body.insert("detail".to_owned(), self.detail.as_ref().into());
        if let Some(field) = &self.field {
            body.insert("field".to_owned(), field.as_ref().into());
        }
        let body = Json::Object(body);
        let mut answer = Answer::json(self.status, "application/problem+json", &body);
        if let Some(wait) = self.retry_after {
            answer.set("retry-after", seconds_up(wait).max(1).to_string());
        }
        answer
    }
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::of_body(400, "malformed_body", "The body is malformed", detail)
}

/// An id made of a request; `None` if one of its parts is missing.
fn filled(
    template: &Template,
    part: &mut impl FnMut(&Part) -> Option<String>,
) -> Result<Option<String>, Refusal> {
    let mut id = String::new();
    let mut missing = false;
    for each in template.parts() {
        let value = match each {
            Part::Text(text) => Some(text.clone()),
            _ => part(each).filter(|value| !value.is_empty()),
        };
        let Some(value) = value else {
            missing = true;
            continue;
        };
        if !value.bytes().all(is_of_id) {
            let name = each.name().into_owned();
            return Err(Refusal::of_id(name, NoId::Characters));
        }
        id.push_str(&value);
    }
    Ok((!missing).then_some(id))
}

/// Whether a body of this media type may be JSON. `curl -d` says that it is a form, so that is no
/// reason to refuse it; whether it is JSON, its octets tell.
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let (_, subtype) = essence.split_once('/').unwrap_or_default();
    essence.is_empty()
        || subtype == "json"
        || subtype.ends_with("+json")
        || essence == "application/x-www-form-urlencoded"
}
