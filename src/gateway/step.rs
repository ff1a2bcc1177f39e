//! The steps that a shell carries out for a request.

use std::time::Duration;

use crate::cache::{Fill, IfKept, Purge};
use crate::engine::http_cache::{CacheStatus, DIGESTS, Forward};
use crate::identity::{Awaited, Patient, Verification};
use crate::limiter::{Refusal, Work};
use crate::message::answer::Answer;
use crate::message::body::Body;
use crate::message::forward::Fetch;
use crate::message::head::OriginHead;
use crate::ops::{Outcome, Tally};
#[cfg(feature = "queue")]
use crate::queue::Job;
use crate::store::{Ask, Write};

use super::admission::Admission;
use super::context::Context;
#[cfg(doc)]
use super::gate::Gate;
use super::problem::Problem;

/// The next step for a request.
#[derive(Debug)]
pub enum Step<B: Body> {
    /// Give this answer.
    Respond(Respond<B>),
    /// Run [`ADMIT`](crate::store::ADMIT) in the store, then call [`Gate::resume`].
    Ask(Ask, Context<B>),
    /// Send this request to the origin, then call [`Gate::origin_answered`].
    Fetch(Fetch, Context<B>),
    /// Wait for this long, then call [`Gate::waited`]: another request fetches the same response.
    Wait(Duration, Context<B>),
    /// Check whether one of the keys has signed the token, then call [`Gate::verified`].
    Verify(Box<Verification>),
    /// Wait for this long, then call [`Gate::keys_awaited`]: the issuer's keys are being fetched.
    AwaitKeys(Duration, Awaited),
    /// Wait for this long, then call [`Gate::permits_awaited`]: another request of a new client has
    /// asked the store for permits.
    AwaitPermits(Duration, Patient),
    /// Read the request's body, then call [`Gate::job_read`].
    #[cfg(feature = "queue")]
    ReadJob(BodyRequest, Context<B>),
    /// Run the job's script in the store, even if the client hangs up, then call
    /// [`Gate::enqueued`].
    #[cfg(feature = "queue")]
    Enqueue(Box<Job>, Context<B>),
    /// Read the request's body, then call [`Gate::body_read`].
    Read(BodyRequest),
    /// Run [`Purge::commands`] in the store as one pipeline, even if the client hangs up, then call
    /// [`Gate::purged`].
    Purge(Purge),
    /// Tell how the store is seen from here. Only an authorised request gets here.
    Examine,
}

/// How much to read of a request's body, which is not sent to the origin.
#[derive(Debug)]
pub struct BodyRequest {
    pub(super) most: usize,
    pub(super) time: Duration,
}

impl BodyRequest {
    /// The longest body that is accepted, in bytes.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// How long it may take to arrive.
    pub const fn time(&self) -> Duration {
        self.time
    }
}

/// An answer, and what to do afterwards.
#[derive(Debug)]
pub struct Respond<B: Body> {
    /// The answer.
    pub answer: Answer<B>,
    /// What to do afterwards.
    pub after: After<B>,
    /// What the limits have decided, if they were asked.
    pub admission: Option<Admission>,
    /// What is counted of it, if anything is.
    pub tally: Option<Tally>,
}

/// What to do after an answer. [`Respond`] and [`Relay`] both carry it. Its parts are independent
/// of each other, so one write cannot replace another.
#[derive(Debug)]
pub struct After<B: Body> {
    /// What to write to the store, in this order.
    pub writes: Vec<Write>,
    /// Calls of the script to make; report each to [`Gate::worked`].
    pub calls: Vec<Work>,
    /// The first step of a background refresh. No client gets the answer that comes of it.
    pub refresh: Option<Box<Step<B>>>,
}

/// What to do with the origin's answer.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub enum Handoff<B: Body> {
    /// Relay it to the client.
    Relay(Relay<B>),
    /// Drop it, and carry out this step instead.
    Step(Step<B>),
}

/// How the origin's answer is relayed to the client.
#[derive(Debug)]
pub struct Relay<B: Body> {
    /// What is counted of it.
    pub tally: Tally,
    /// Headers that are removed, by lower-case name.
    pub remove: Vec<String>,
    /// Headers that are set.
    pub set: Vec<(&'static str, String)>,
    /// Header lines that are added to those of the same name.
    pub append: Vec<(&'static str, String)>,
    /// What is appended to `Cache-Status` (RFC 9211 §2).
    pub cache_status: Option<IfKept<String>>,
    /// What the client gets instead, because it has the body already.
    pub instead: Option<IfKept<Answer<B>>>,
    /// If there is something to store: read a copy of the body to its end and give it to
    /// [`Gate::filled`].
    pub fill: Option<Box<Fill>>,
    /// What to do afterwards. Its writes come before the one that storing the copy brings.
    pub after: After<B>,
}

impl<B: Body> After<B> {
    /// Nothing to do.
    pub const fn nothing() -> Self {
        Self {
            writes: Vec::new(),
            calls: Vec::new(),
            refresh: None,
        }
    }
}

impl<B: Body> Relay<B> {
    /// Relays the answer unchanged.
    pub(super) const fn untouched(tally: Tally, after: After<B>) -> Self {
        Self {
            tally,
            remove: Vec::new(),
            set: Vec::new(),
            append: Vec::new(),
            cache_status: None,
            instead: None,
            fill: None,
            after,
        }
    }

    /// Has a copy of the body stored, if there is a `fill`.
    pub(super) fn store_copy(&mut self, fill: Option<Box<Fill>>) {
        if fill.as_ref().is_some_and(|fill| fill.is_decoded()) {
            // The client and the cache then share one body. Whether the client still gets the bytes
            // that the digests are of depends on the platform.
            self.remove.extend(DIGESTS.map(str::to_owned));
        }
        self.fill = fill;
    }

    /// Sets `Cache-Status` on an answer of the origin, and `Age: 0` unless the answer has an age.
    pub(super) fn says(&mut self, status: CacheStatus, origin: &impl OriginHead) {
        self.tally.cached = Some(status);
        let said = |stored: bool| CacheStatus { stored, ..status }.to_string();
        self.cache_status = Some(IfKept {
            kept: said(self.fill.as_ref().is_some_and(|fill| fill.is_stored())),
            otherwise: said(false),
        });
        if !origin.has("age") {
            self.set.push(("age", "0".to_owned()));
        }
    }

    /// Says of an answer of the origin that its content coding is undone and applied again on the
    /// way: its octets are others then (RFC 9110 §8.8.1).
    pub fn is_coded_again(&mut self, origin: &impl OriginHead) {
        self.remove.push("content-length".to_owned());
        let tag = origin.value("etag").filter(|tag| !tag.starts_with("W/"));
        self.set.extend(tag.map(|tag| ("etag", format!("W/{tag}"))));
    }

    /// Whether the client's head depends on whether a copy is stored by then.
    pub fn tells(&self) -> bool {
        let said = self.cache_status.as_ref();
        self.instead.is_some() || said.is_some_and(|said| said.kept != said.otherwise)
    }
}

impl<B: Body> Context<B> {
    /// Takes what is known so far about the work after the answer, and leaves nothing of it.
    pub(super) fn after(&mut self) -> After<B> {
        After {
            writes: std::mem::take(&mut self.writes),
            calls: self.take_calls(),
            refresh: None,
        }
    }

    /// The answer with the headers that go with the request.
    pub(super) fn mark(&self, answer: Answer<B>) -> Answer<B> {
        self.outbound.mark(answer, self.own_headers())
    }

    /// The headers of the gate's own.
    pub(super) fn own_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = self.admission.headers();
        if self.route.tells_timing {
            headers.push(("server-timing", self.timing()));
        }
        headers
    }

    /// Answers, with the headers that go with the request.
    pub(super) fn answer(self, answer: Answer<B>) -> Respond<B> {
        let outcome = self.served(answer.said);
        self.end(answer, outcome)
    }

    /// Answers. `outcome`: what the request counts as.
    pub(super) fn end(mut self, answer: Answer<B>, outcome: Outcome) -> Respond<B> {
        let (after, tally) = (self.after(), self.tally(outcome, answer.said));
        Respond {
            answer: self.mark(answer),
            after,
            admission: Some(self.admission),
            tally: Some(tally),
        }
    }

    /// Answers with a problem.
    pub(super) fn refuse(self, problem: &Problem) -> Step<B> {
        let mut answer = problem.answer();
        if self.route.cache.is_some() {
            answer.set("cache-status", not_asked(problem));
            answer.set("age", "0".to_owned());
        }
        if matches!(problem, Problem::OnlyIfCached) {
            // The cache was asked.
            answer.said = Some(CacheStatus::forwarded(Forward::Miss));
        }
        let outcome = match self.admission.refusal() {
            Some(Refusal::Held { .. }) => Outcome::Held,
            Some(Refusal::StoreDown { .. }) => Outcome::Error,
            Some(_) => Outcome::Refused,
            // What the request asks for is not there, or cannot be.
            None => Outcome::Served,
        };
        self.end(answer, outcome).into()
    }
}

/// `Cache-Status` of a request that was refused before the cache was asked.
fn not_asked(problem: &Problem) -> String {
    match problem {
        // RFC 9111 §5.2.1.7: here the cache was asked, and has nothing.
        Problem::OnlyIfCached => "omnitrade-edge; detail=only-if-cached".to_owned(),
        Problem::UnknownQuery { .. } => "omnitrade-edge; detail=unknown-query".to_owned(),
        Problem::OriginQuotaSpent { .. } => "omnitrade-edge; detail=origin-quota".to_owned(),
        _ => "omnitrade-edge; detail=refused".to_owned(),
    }
}

impl<B: Body> From<Respond<B>> for Step<B> {
    fn from(respond: Respond<B>) -> Self {
        Self::Respond(respond)
    }
}

impl<B: Body> From<Answer<B>> for Step<B> {
    fn from(answer: Answer<B>) -> Self {
        Self::Respond(Respond {
            answer,
            after: After::nothing(),
            admission: None,
            tally: None,
        })
    }
}

impl<B: Body> From<Problem> for Step<B> {
    fn from(problem: Problem) -> Self {
        problem.answer().into()
    }
}
