//! What to do next about a request, and what is known of it between two steps.

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::limiter::{Ask, Work};

#[cfg(doc)]
use super::Gate;
use super::admission::Admission;
use super::answer::Answer;
use super::body::Body;
use super::caching::Caching;
use super::forward::Fetch;
use super::plan::RoutePlan;
use super::problem::Problem;
use super::purge::{Purge, Reading};
use super::saving::Write;
use super::stored;

/// The longest a refresh lease holds others off.
pub const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// What to do next about a request.
#[derive(Debug)]
pub enum Step<B: Body> {
    /// Answer it.
    Respond(Respond<B>),
    /// Run [`ADMIT`](crate::limiter::ADMIT) in the store, then [`Gate::resume`].
    Ask(Ask, Exchange<B>),
    /// Ask the origin, then [`Gate::origin_answered`].
    Fetch(Fetch, Exchange<B>),
    /// Wait for so long, then [`Gate::waited`]: another request is on its way for the same.
    Wait(Duration, Exchange<B>),
    /// Read the request's body, then [`Gate::body_read`].
    Read(Reading),
    /// Run [`Purge::commands`] in the store as one pipeline, then [`Gate::purged`]; also when the client
    /// hangs up.
    Purge(Purge),
}

/// An answer, and what to do after it has been given.
#[derive(Debug)]
pub struct Respond<B: Body> {
    /// The answer.
    pub answer: Answer<B>,
    /// What to do in the background to refresh the entry. The answer that comes of it is nobody's.
    pub refresh: Option<Box<Step<B>>>,
    /// An entry to write to the store.
    pub write: Option<Write>,
    /// Calls of the script to make, then [`Gate::worked`].
    pub work: Vec<Work>,
}

/// What is known of a request between two steps.
#[derive(Debug)]
pub struct Exchange<B: Body> {
    pub(super) route: Rc<RoutePlan>,
    pub(super) admission: Admission,
    pub(super) caching: Caching<B>,
    /// Whether the store has failed this request already.
    pub(super) store_failed: bool,
    /// Calls of the script that need not wait for the answer.
    pub(super) work: Vec<Work>,
    pub(super) queue: Queue,
    /// The key of a lease that it was given and does not use: somebody else may have it.
    pub(super) release: Option<String>,
    /// Whether this is the refresh of an entry, for which no client waits.
    pub(super) behind: bool,
}

/// A request's place among those that miss the same.
#[derive(Debug, Default)]
pub struct Queue {
    /// What it fetches while others wait for it.
    pub flight: Option<String>,
    /// Whether it has gone to the origin for that, and does not wait for another isolate any more.
    pub departed: bool,
    /// Since when it waits, and how often it has looked again.
    pub since: Option<Timestamp>,
    pub looks: u32,
}

impl<B: Body> Exchange<B> {
    /// Whether other requests wait for what comes of this one: then it should go on when its client
    /// hangs up.
    pub const fn leads(&self) -> bool {
        self.queue.flight.is_some()
    }

    pub(super) fn lease(&self) -> Duration {
        self.route.origin_timeout.min(LONGEST_LEASE)
    }

    /// Calls of the script that need not wait for the answer.
    pub fn take_work(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.work)
    }

    /// Answers, with the headers that go with the request.
    pub(super) fn answer(self, answer: Answer<B>) -> Step<B> {
        Step::Respond(Respond {
            answer: self.admission.mark(answer),
            refresh: None,
            write: self.release.map(Write::give_back),
            work: self.work,
        })
    }

    /// Answers with a problem.
    pub(super) fn refuse(self, problem: &Problem) -> Step<B> {
        let mut answer = problem.answer();
        if self.route.cache.is_some() {
            answer.set("cache-status", stored::not_asked(problem));
            answer.set("age", "0".to_owned());
        }
        self.answer(answer)
    }
}

impl<B: Body> Step<B> {
    /// The same answer, and something to write to the store.
    pub(super) fn with_write(mut self, write: Option<Write>) -> Self {
        if let Self::Respond(respond) = &mut self {
            respond.write = write.or(respond.write.take());
        }
        self
    }
}

impl<B: Body> From<Answer<B>> for Step<B> {
    fn from(answer: Answer<B>) -> Self {
        Self::Respond(Respond {
            answer,
            refresh: None,
            write: None,
            work: Vec::new(),
        })
    }
}

impl<B: Body> From<Problem> for Step<B> {
    fn from(problem: Problem) -> Self {
        problem.answer().into()
    }
}
