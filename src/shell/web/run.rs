//! Carries out what the gateway decides.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Function, Math, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, Request, Response};

use crate::cache::{Fill, Inserted, LONGEST_WAIT, Purge};
use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::gateway::{After, BodyRequest, Context, Gate, Handoff, Problem, Relay, Respond, Step};
use crate::identity::{AdminToken, KeySecrets};
use crate::limiter::Work;
use crate::message::answer::Answer;
use crate::message::body::BodyError;
use crate::message::forward::Failure;
use crate::ops::{Alert, Tally};
#[cfg(feature = "queue")]
use crate::queue::Job;
use crate::redis::{Command, RestClient, Value};
use crate::shell::FetchTransport;
use crate::store::{ADMIT, Ask, KEEP, Write};

use super::body::JsBody;
use super::examine::examine;
use super::head::{RequestHead, Usual};
use super::ops::Outlets;
use super::origin::{Answered, Part};
use super::platform::{
    ExecutionContext, Hold, Signal, Timer, idle, keep_alive, now, sleep, warn, with_resolvers,
};
use super::respond::Wait;
use super::{origin, respond, task, token, told};

/// How long work goes on after a response, at most: the platform ends it after 30 s. Permits that
/// are overdue later are returned by a later request.
const LONGEST_AFTERWARDS: Duration = Duration::from_secs(25);

/// How long the head of a response waits for the end of its body, so that it can say whether the
/// response was stored. Most bodies end together with their head.
const AT_ONCE: Duration = Duration::from_millis(50);

/// A client of the store.
pub type Store = RestClient<FetchTransport>;

/// One isolate's gate and its way to the store.
#[derive(Debug)]
pub struct Isolate {
    gate: RefCell<Gate<JsBody>>,
    store: Option<Store>,
    usual: Rc<Usual>,
    /// The digest of its configuration.
    config: Box<str>,
    /// What is told of each failure of the store.
    listener: Option<Function>,
    outlets: Outlets,
}

impl Isolate {
    /// A gate with an empty memory; without a store it is in local mode, without a token some admin
    /// pages are not there. `listener`: what is told of each failure of the store. `outlets`: by
    /// what operators are told.
    ///
    /// # Errors
    ///
    /// As [`Gate::new`].
    pub fn new(
        config: &Config,
        store: Option<Store>,
        admin_token: Option<AdminToken>,
        key_secrets: KeySecrets,
        listener: Option<Function>,
        outlets: Outlets,
    ) -> Result<Rc<Self>, ConfigError> {
        let points = outlets.writes().then_some(config.metrics.every);
        let alerts = outlets.alerts().then_some(config.alerts.store_open_for);
        let gate = Gate::new(config, store.is_some(), Math::random().to_bits())?
            .with_admin_token(admin_token)
            .with_key_secrets(key_secrets)
            .with_outlets(points, alerts);
        Ok(Rc::new(Self {
            gate: RefCell::new(gate),
            store,
            usual: Rc::new(Usual::of(config)),
            config: config.digest().into(),
            listener,
            outlets,
        }))
    }

    /// Answers a request: at once with a response where memory suffices, else with a promise
    /// and the function that resolves it.
    pub fn handle(self: &Rc<Self>, request: Request, context: ExecutionContext) -> JsValue {
        let (run, step) = self.begin(RequestHead::of(request, &self.usual), context);
        match step {
            Step::Respond(respond) => run.answer(respond).into(),
            step => later(async move { run.carry_out(step).await.into() }),
        }
    }

    /// Asks only the limits about a request: a promise of what [`told::admission`] returns, and the
    /// function that resolves it.
    pub fn admit(self: &Rc<Self>, request: Request, context: ExecutionContext) -> JsValue {
        let head = RequestHead::of(request, &self.usual).limits_only();
        let (run, mut step) = self.begin(head, context);
        later(async move {
            let mut held = None;
            loop {
                step = match run.advance(step, &mut held).await {
                    Advance::Step(step) => step,
                    Advance::Respond(mut respond) => {
                        run.count(respond.tally.as_ref());
                        let after = std::mem::replace(&mut respond.after, After::nothing());
                        let has_store = run.isolate.store.is_some();
                        run.work_after(after);
                        return told::admission(respond, has_store, now());
                    }
                    // Nothing but the limits was asked, so no step leads there.
                    Advance::Relay(..) | Advance::Failed => return JsValue::UNDEFINED,
                };
            }
        })
    }

    /// Purges what `request` names in its body, as the admin page does, but without its token: a
    /// promise of what [`told::purged`] returns, and the function that resolves it.
    pub fn purge_for(self: &Rc<Self>, request: Request) -> JsValue {
        let head = RequestHead::of(request, &self.usual);
        let isolate = Rc::clone(self);
        later(async move {
            let reading = BodyRequest::PURGE;
            let body = origin::read(head.request().body(), reading.most(), reading.time()).await;
            let step = {
                let mut gate = isolate.gate.borrow_mut();
                gate.body_read(&head, reading, body, now())
            };
            let (step, failure) = match step {
                Step::Purge(purge) => match isolate.purge(&purge).await {
                    Some(replies) => {
                        let failure = told::failure_of(&replies).cloned();
                        let mut gate = isolate.gate.borrow_mut();
                        (gate.purged(&purge, replies, now()), failure)
                    }
                    None => return JsValue::UNDEFINED,
                },
                step => (step, None),
            };
            match step {
                Step::Respond(respond) => told::purged(respond, failure.as_ref()),
                _ => JsValue::UNDEFINED,
            }
        })
    }

    /// What this isolate has counted, in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        self.gate.borrow().metrics(now())
    }

    /// The first step for a request.
    fn begin(self: &Rc<Self>, head: RequestHead, context: ExecutionContext) -> (Run, Step<JsBody>) {
        let now = now();
        let mut gate = self.gate.borrow_mut();
        let step = gate.decide(&head, now);
        log(&mut gate, now);
        let points = gate.take_points(now);
        let alert = gate.take_alert(now);
        drop(gate);
        self.outlets.write(points);
        if let Some(alert) = alert {
            self.send_later(alert, &context);
        }
        self.fetch_keys_if_due(&context, now);
        let run = Run {
            isolate: Rc::clone(self),
            head,
            context,
        };
        (run, step)
    }

    /// Sends an alert after the response.
    fn send_later(self: &Rc<Self>, alert: Alert, context: &ExecutionContext) {
        let isolate = Rc::clone(self);
        keep_alive(context, async move {
            if !isolate.outlets.send(&alert).await {
                isolate.gate.borrow_mut().alert_lost(&alert, now());
            }
        });
    }
}

/// A promise of what a future gives, and the function that resolves it.
fn later(future: impl Future<Output = JsValue> + 'static) -> JsValue {
    let resolvers = with_resolvers();
    let later = resolvers.clone();
    task::start(async move { resolvers.resolve(&future.await) });
    later.into()
}

/// One request on its way.
struct Run {
    isolate: Rc<Isolate>,
    head: RequestHead,
    context: ExecutionContext,
}

/// The state of a copy of a body.
enum Copy {
    /// It has not arrived yet.
    Pending,
    /// It is stored.
    Kept,
    /// It is not stored.
    NotKept,
    /// It is not stored, because the body broke off after this part.
    Broken(Vec<Uint8Array>),
}

/// The result of a step.
enum Advance {
    /// The next step.
    Step(Step<JsBody>),
    /// An answer.
    Respond(Respond<JsBody>),
    /// The origin's response, and how it is relayed.
    Relay(Answered, Relay<JsBody>),
    /// There is no response.
    Failed,
}

impl Run {
    async fn carry_out(self, mut step: Step<JsBody>) -> Response {
        let mut held = None;
        loop {
            step = match self.advance(step, &mut held).await {
                Advance::Step(step) => step,
                Advance::Respond(respond) => return self.answer(respond),
                Advance::Relay(origin, relay) => return self.hand_on(&origin, relay).await,
                Advance::Failed => return failed(),
            };
        }
    }

    /// Refreshes an entry after the response.
    async fn refresh(self, mut step: Step<JsBody>) {
        let mut held = None;
        loop {
            step = match self.advance(step, &mut held).await {
                Advance::Step(step) => step,
                Advance::Respond(respond) => {
                    self.isolate.write_all(respond.after.writes).await;
                    self.call(respond.after.calls);
                    match respond.after.refresh {
                        Some(step) => *step,
                        None => return,
                    }
                }
                Advance::Relay(origin, relay) => {
                    self.isolate.write_all(relay.after.writes).await;
                    self.call(relay.after.calls);
                    let Some(fill) = relay.fill else {
                        return origin::let_go(&origin.response);
                    };
                    let body = origin.response.body();
                    let (inserted, _) = self.isolate.fill(*fill, body).await;
                    return self.isolate.write_all(inserted.write).await;
                }
                Advance::Failed => return,
            };
        }
    }

    /// Carries out one step. `held` keeps the request going while others wait for it.
    async fn advance(&self, step: Step<JsBody>, held: &mut Option<Hold>) -> Advance {
        match step {
            Step::Respond(respond) => Advance::Respond(respond),
            Step::Ask(ask, context) => {
                let Some(reply) = self.isolate.ask(&ask).await else {
                    return Advance::Failed;
                };
                let (now, mut gate) = (now(), self.isolate.gate.borrow_mut());
                let step = gate.resume(&self.head, &ask, context, reply, now);
                log(&mut gate, now);
                drop(gate);
                self.sweep_later();
                Advance::Step(step)
            }
            Step::Wait(pause, context) => {
                sleep(pause).await;
                let mut gate = self.isolate.gate.borrow_mut();
                Advance::Step(gate.waited(&self.head, context, now()))
            }
            Step::Verify(token) => {
                let outcome = token::verify(&token).await;
                let (now, mut gate) = (now(), self.isolate.gate.borrow_mut());
                let step = gate.verified(&self.head, *token, outcome, now);
                log(&mut gate, now);
                drop(gate);
                self.isolate.fetch_keys_if_due(&self.context, now);
                Advance::Step(step)
            }
            Step::AwaitKeys(pause, awaited) => {
                sleep(pause).await;
                let mut gate = self.isolate.gate.borrow_mut();
                Advance::Step(gate.keys_awaited(&self.head, awaited, now()))
            }
            Step::AwaitPermits(pause, patient) => {
                sleep(pause).await;
                let (now, mut gate) = (now(), self.isolate.gate.borrow_mut());
                let step = gate.permits_awaited(&self.head, patient, now);
                log(&mut gate, now);
                Advance::Step(step)
            }
            Step::Read(reading) => {
                let sent = self.head.request().body();
                let body = origin::read(sent, reading.most(), reading.time()).await;
                let mut gate = self.isolate.gate.borrow_mut();
                Advance::Step(gate.body_read(&self.head, reading, body, now()))
            }
            #[cfg(feature = "queue")]
            Step::ReadJob(reading, context) => {
                let sent = self.head.request().body();
                let body = origin::read(sent, reading.most(), reading.time()).await;
                let mut gate = self.isolate.gate.borrow_mut();
                Advance::Step(gate.job_read(&self.head, context, body, now()))
            }
            #[cfg(feature = "queue")]
            Step::Enqueue(job, context) => {
                *held = Some(Hold::on(&self.context));
                let Some(reply) = self.isolate.enqueue(&job).await else {
                    return Advance::Failed;
                };
                let (now, mut gate) = (now(), self.isolate.gate.borrow_mut());
                let step = gate.enqueued(context, reply, now);
                log(&mut gate, now);
                Advance::Step(step)
            }
            Step::Purge(purge) => {
                *held = Some(Hold::on(&self.context));
                let Some(replies) = self.isolate.purge(&purge).await else {
                    return Advance::Failed;
                };
                let mut gate = self.isolate.gate.borrow_mut();
                Advance::Step(gate.purged(&purge, replies, now()))
            }
            Step::Examine => {
                let isolate = &self.isolate;
                let breaker = isolate.gate.borrow().store_state();
                let seen = examine(isolate.store.as_ref(), breaker, &isolate.config).await;
                let answer = Answer::text("application/json", seen);
                Advance::Step(answer.into())
            }
            Step::Fetch(fetch, mut context) => {
                self.call(context.take_calls());
                if context.leads() && held.is_none() {
                    *held = Some(Hold::on(&self.context));
                }
                let answered = origin::fetch(self.head.request(), &fetch).await;
                match (self.origin_answered(context, &answered), answered) {
                    (Handoff::Step(step), answered) => {
                        let origin = answered.iter().map(|origin| &origin.response);
                        origin.for_each(origin::let_go);
                        Advance::Step(step)
                    }
                    (Handoff::Relay(relay), Ok(origin)) => Advance::Relay(origin, relay),
                    (Handoff::Relay(_), Err(_)) => Advance::Failed,
                }
            }
        }
    }

    fn origin_answered(
        &self,
        context: Context<JsBody>,
        answered: &Result<Answered, Failure>,
    ) -> Handoff<JsBody> {
        let head = answered.as_ref().map(|origin| &origin.head);
        let mut gate = self.isolate.gate.borrow_mut();
        gate.origin_answered(&self.head, context, head.map_err(|e| *e), now())
    }

    /// Answers, and starts the work that follows the response.
    fn answer(self, answer: Respond<JsBody>) -> Response {
        self.count(answer.tally.as_ref());
        let response = respond::respond(answer.answer).unwrap_or_else(|_| refused());
        self.work_after(answer.after);
        response
    }

    /// Starts the work that follows an answer.
    fn work_after(self, after: After<JsBody>) {
        let After {
            writes,
            calls,
            refresh,
        } = after;
        self.write_later(writes);
        self.call(calls);
        if let Some(step) = refresh {
            let context = self.context.clone();
            keep_alive(&context, async move { self.refresh(*step).await });
        }
    }

    /// Counts a request that has its answer.
    fn count(&self, tally: Option<&Tally>) {
        if let Some(tally) = tally {
            self.isolate.gate.borrow_mut().answered(tally, now());
        }
    }

    /// Relays the origin's response, and keeps a copy if one is to be stored.
    async fn hand_on(&self, origin: &Answered, mut relay: Relay<JsBody>) -> Response {
        self.count(Some(&relay.tally));
        let written = self.write_later(std::mem::take(&mut relay.after.writes));
        self.call(std::mem::take(&mut relay.after.calls));
        let mut body = None;
        let mut kept = false;
        if let Some(fill) = relay.fill.take() {
            let (mut own, copy, wait) = match &relay.instead {
                // Only the cache reads the body.
                Some(_) => (None, Ok(origin.response.body()), Wait::Yes),
                None => {
                    let unseen = fill.may_be_unseen();
                    let shared = respond::share(origin, relay.tells(), unseen);
                    if let Some(over) = shared.over {
                        keep_alive(&self.context, async { drop(JsFuture::from(over).await) });
                    }
                    if respond::is_coded(origin) && !unseen {
                        relay.is_coded_again(&origin.head);
                    }
                    (shared.body, shared.copy, shared.wait)
                }
            };
            match (self.store_copy(*fill, copy, written, &wait).await, wait) {
                (Copy::Kept, _) => kept = true,
                (Copy::Broken(part), Wait::Piped(length)) => {
                    let part = JsBody::of(&part);
                    own = respond::broken_off(length, part.array().clone()).ok();
                }
                _ => {}
            }
            body = Some(own);
        }
        let cache_status = relay.cache_status.take().map(|said| said.when(kept));
        let response = match relay.instead.take() {
            Some(answer) => respond::respond(answer.when(kept)),
            None => respond::relay(origin, body, &relay, cache_status.as_deref()),
        };
        response.unwrap_or_else(|_| refused())
    }

    /// Stores a copy, and writes it to the store once the `written` signal is given, if there is
    /// one. Returns the state of the copy. With `wait`, it first waits at most [`AT_ONCE`] for it.
    async fn store_copy(
        &self,
        fill: Fill,
        copy: Result<Option<ReadableStream>, JsValue>,
        written: Option<Rc<Signal>>,
        wait: &Wait,
    ) -> Copy {
        let (state, over) = (Rc::new(Cell::new(Copy::Pending)), Rc::new(Signal::new()));
        let isolate = Rc::clone(&self.isolate);
        let (tell, tell_over) = (Rc::clone(&state), Rc::clone(&over));
        keep_alive(&self.context, async move {
            let (inserted, part) = match copy {
                Ok(copy) => isolate.fill(fill, copy).await,
                Err(_) => (isolate.fill_failed(&fill, BodyError::Broken), None),
            };
            tell.set(match part {
                _ if inserted.kept => Copy::Kept,
                Some(part) if part.why == BodyError::Broken => Copy::Broken(part.chunks),
                _ => Copy::NotKept,
            });
            tell_over.give();
            if let Some(written) = written {
                written.wait().await;
            }
            isolate.write_all(inserted.write).await;
        });
        if !matches!(wait, Wait::No) {
            over.wait_for(AT_ONCE).await;
        }
        state.replace(Copy::Pending)
    }

    /// Makes calls of the script that the response does not wait for.
    fn call(&self, calls: Vec<Work>) {
        for call in calls {
            let isolate = Rc::clone(&self.isolate);
            keep_alive(&self.context, async move {
                isolate.call(&call).await;
                // A call may have fetched permits.
                let wait = isolate.sweep_after(LONGEST_AFTERWARDS);
                if let Some(wait) = wait {
                    isolate.sweep(wait).await;
                }
            });
        }
    }

    /// Returns the permits of a client that sends no further request. The next request of a client
    /// that does so returns them without an extra command.
    fn sweep_later(&self) {
        let Some(wait) = self.isolate.sweep_after(LONGEST_AFTERWARDS) else {
            return;
        };
        let isolate = Rc::clone(&self.isolate);
        keep_alive(&self.context, async move { isolate.sweep(wait).await });
    }

    /// Writes to the store after the response, in this order. The signal tells that it is done.
    /// `None` if there is nothing to write.
    fn write_later(&self, writes: Vec<Write>) -> Option<Rc<Signal>> {
        if writes.is_empty() {
            return None;
        }
        let (isolate, written) = (Rc::clone(&self.isolate), Rc::new(Signal::new()));
        let tell = Rc::clone(&written);
        keep_alive(&self.context, async move {
            isolate.write_all(writes).await;
            tell.give();
        });
        Some(written)
    }
}

impl Isolate {
    /// Runs the script; `None` without a store.
    async fn ask(&self, ask: &Ask) -> Option<Result<Value, Error>> {
        let store = self.store.as_ref()?;
        let reply = store.script(&ADMIT, &ask.keys, &ask.args).await;
        self.heard(reply.as_ref().err());
        Some(reply)
    }

    /// Reports a failure of the store to the program's listener.
    fn heard(&self, failure: Option<&Error>) {
        if let (Some(listener), Some(error)) = (&self.listener, failure) {
            told::report(listener, error);
        }
    }

    /// Runs the commands of a purge; `None` without a store.
    async fn purge(&self, purge: &Purge) -> Option<Result<Vec<Result<Value, Error>>, Error>> {
        let store = self.store.as_ref()?;
        let begun = now();
        let replies = store.pipeline(&purge.commands()).await;
        let failure = told::failure_of(&replies);
        self.heard(failure);
        let (now, mut gate) = (now(), self.gate.borrow_mut());
        gate.made_purge(purge, failure, now.since(begun), now);
        log(&mut gate, now);
        drop(gate);
        Some(replies)
    }

    /// Adds a job to its queue; `None` without a store.
    #[cfg(feature = "queue")]
    async fn enqueue(&self, job: &Job) -> Option<Result<Value, Error>> {
        let store = self.store.as_ref()?;
        let reply = store.script(job.script(), job.keys(), job.args()).await;
        self.heard(reply.as_ref().err());
        Some(reply)
    }

    /// Fetches the keys of the tokens' issuer in the background, if that is due.
    fn fetch_keys_if_due(self: &Rc<Self>, context: &ExecutionContext, now: Timestamp) {
        if let Some(url) = self.gate.borrow_mut().take_key_fetch(now) {
            let isolate = Rc::clone(self);
            keep_alive(context, async move { isolate.fetch_keys(&url).await });
        }
    }

    /// Fetches the issuer's keys from their address.
    async fn fetch_keys(&self, url: &str) {
        let reply = token::fetch_keys(url).await;
        let (now, mut gate) = (now(), self.gate.borrow_mut());
        gate.keys_fetched(reply.as_ref(), now);
        log(&mut gate, now);
    }

    async fn call(&self, call: &Work) {
        if let Some(reply) = self.ask(&call.ask).await {
            let (now, mut gate) = (now(), self.gate.borrow_mut());
            gate.worked(call, reply, now);
            log(&mut gate, now);
        }
    }

    fn sweep_after(&self, patience: Duration) -> Option<Duration> {
        self.gate.borrow_mut().sweep_after(patience, now())
    }

    /// Waits until permits are overdue, and returns them. It repeats this while there are more, for
    /// as long as the platform allows.
    async fn sweep(&self, mut wait: Duration) {
        let start = now();
        loop {
            idle(wait).await;
            let call = self.gate.borrow_mut().sweep(now());
            if let Some(call) = call {
                self.call(&call).await;
            }
            let patience = LONGEST_AFTERWARDS.saturating_sub(now().since(start));
            let Some(next) = self.sweep_after(patience) else {
                return;
            };
            wait = next;
        }
    }

    /// Reads a body, and stores the response if the body ends in time.
    async fn fill(
        self: &Rc<Self>,
        fill: Fill,
        body: Option<ReadableStream>,
    ) -> (Inserted, Option<Part>) {
        let slow = self.gate.borrow().still_arriving(&fill);
        let _timer = slow.map(|write| {
            let isolate = Rc::clone(self);
            let tell = async move { isolate.write(write).await };
            Timer::after(LONGEST_WAIT, move || spawn_local(tell))
        });
        let grows = |length| self.gate.borrow_mut().fill_grows(&fill, length);
        match origin::read_chunks(body, fill.largest_body(), fill.time(), grows).await {
            Ok(chunks) => {
                let body = JsBody::of(&chunks);
                (self.gate.borrow_mut().filled(fill, body, now()), None)
            }
            Err(part) => (self.fill_failed(&fill, part.why), Some(part)),
        }
    }

    fn fill_failed(&self, fill: &Fill, why: BodyError) -> Inserted {
        self.gate.borrow_mut().fill_failed(fill, why, now())
    }

    async fn write_all(&self, writes: impl IntoIterator<Item = Write>) {
        for write in writes {
            self.write(write).await;
        }
    }

    async fn write(&self, write: Write) {
        let Some(store) = &self.store else {
            return;
        };
        let begun = now();
        let written = match &write {
            Write::Set { key, value, ttl_ms } => {
                let command = Command::new("SET").arg(key).arg(value);
                store.command(&command.arg("PX").arg(*ttl_ms)).await
            }
            Write::Keep { keys, args, .. } => store.script(&KEEP, keys, args).await,
            Write::Delete { keys } => {
                let command = Command::new("DEL");
                let command = keys.iter().fold(command, |command, key| command.arg(key));
                store.command(&command).await
            }
        };
        self.heard(written.as_ref().err());
        let (now, mut gate) = (now(), self.gate.borrow_mut());
        gate.wrote(&write, written.as_ref(), now.since(begun), now);
        log(&mut gate, now);
    }
}

/// Logs what the gate has noted.
fn log(gate: &mut Gate<JsBody>, now: Timestamp) {
    gate.take_notes(now).iter().for_each(|note| warn(note));
}

/// The response in place of one that the runtime refuses. That is a fault of this program, so it is
/// logged.
fn refused() -> Response {
    warn("a response could not be built: the runtime refuses its head");
    failed()
}

/// The response when no other could be made.
fn failed() -> Response {
    respond::respond(Problem::OriginFailed.answer())
        .or_else(|_| Response::new())
        .unwrap_or_else(|_| Response::error())
}
