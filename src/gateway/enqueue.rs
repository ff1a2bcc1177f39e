//! Requests that become jobs of a queue, in place of going to the origin. What a job is, and what
//! its client is told, `queue` decides.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::engine::http_cache::{Target, path_value};
use crate::engine::job_id::Part;
use crate::error::{Error, ErrorKind};
use crate::identity::Client;
use crate::message::body::{Body, BodyError};
use crate::message::head::Head;
use crate::ops::{Outcome, Purpose, StoreOp};
use crate::queue::{Refusal, new_id};
use crate::redis::Value;

use super::context::Context;
use super::gate::Gate;
use super::step::{BodyRequest, Step};

/// How long a body may take to arrive.
const LONGEST_ARRIVAL: Duration = Duration::from_secs(10);

/// What a standard job costs. One with a delay or a priority costs one more, one that is there
/// already half as many; the script does not tell.
const COMMANDS: u64 = 10;

impl<B: Body> Gate<B> {
    /// The next step for an admitted request that becomes a job.
    pub(super) fn enqueue(&self, head: &impl Head, context: Context<B>) -> Step<B> {
        let Some(plan) = context.route.enqueue.clone() else {
            return unconfirmed(context, Duration::ZERO);
        };
        match plan.check(head) {
            Ok(()) => {
                let reading = BodyRequest {
                    most: plan.longest_body,
                    time: LONGEST_ARRIVAL,
                };
                Step::ReadJob(reading, context)
            }
            Err(refusal) => context.answer(refusal.answer()).into(),
        }
    }

    /// The next step after a [`Step::ReadJob`].
    pub fn job_read(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        body: Result<Bytes, BodyError>,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        let route = context.route.clone();
        let Some(plan) = &route.enqueue else {
            return unconfirmed(context, Duration::ZERO);
        };
        let link = &mut self.link;
        let new_id = new_id(now, || (link.random() >> 11) as f64 / TWO_TO_53);
        let part = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Path(name) => {
                let value = path_value(&Target::of(head.url())?, &route.name, name)?;
                Some(String::from_utf8_lossy(&value).into_owned())
            }
            Part::Header(name) => Some(head.value(name)?.trim().to_owned()),
            Part::Client => Some(self.client_digest(head, &context)),
        };
        let longest_call = self.link.longest_call();
        match plan.job(body, part, new_id, now, longest_call) {
            Err(refusal) => context.answer(refusal.answer()).into(),
            Ok(job) if self.store_allows(&mut context, now) => {
                context.sent_at = now;
                Step::Enqueue(Box::new(job), context)
            }
            Ok(_) => {
                let down_for = self.link.down_for(now).unwrap_or_default();
                unconfirmed(context, down_for)
            }
        }
    }

    /// The next step after a [`Step::Enqueue`].
    pub fn enqueued(
        &mut self,
        mut context: Context<B>,
        reply: Result<Value, Error>,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        // The store serves if it refuses this script or its size.
        let of_store =
            |error: &&Error| !matches!(error.kind(), ErrorKind::Command | ErrorKind::TooLarge);
        self.link.heard(reply.as_ref().err().filter(of_store), now);
        let took = now.since(context.sent_at);
        context.waited[0] += took;
        let told = (StoreOp::Job, Purpose::Queue, COMMANDS);
        self.ops.simple_call(told, reply.as_ref().err(), took, now);
        let down_for = self.link.down_for(now).unwrap_or_default();
        let Some(plan) = context.route.enqueue.clone() else {
            return unconfirmed(context, down_for);
        };
        let answer = plan.answer(&reply, down_for);
        match answer.status {
            503 => context.end(answer, Outcome::Error).into(),
            _ => context.answer(answer).into(),
        }
    }
}

/// The answer if the store was not asked.
fn unconfirmed<B: Body>(context: Context<B>, down_for: Duration) -> Step<B> {
    let answer = Refusal::unconfirmed(None, down_for).answer();
    context.end(answer, Outcome::Error).into()
}

impl<B: Body> Gate<B> {
    /// The digest by which the sender of a request is called.
    fn client_digest(&self, head: &impl Head, context: &Context<B>) -> String {
        let prefix = &self.plan.store.key_prefix;
        let (rules, digests) = (&self.plan.client, &self.plan.digests);
        let holder = context.holder.clone();
        let mut client = Client::new(rules, prefix, digests, head, holder);
        let user = client.holder.as_ref().map(|holder| holder.subject.clone());
        let known = match client.holder_first {
            true => user.or_else(|| client.digest()),
            false => client.digest().or(user),
        };
        known.unwrap_or_else(|| {
            let address = client.address();
            digests.of_bucket(&format!("{prefix}:client:{address}"))
        })
    }
}

const TWO_TO_53: f64 = 9_007_199_254_740_992.0;
