//! Carries out what the gateway decides.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use js_sys::{Date, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use web_sys::{Request, Response};

use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::gateway::forward::Fetch;
use crate::gateway::{
    ADMIT, Exchange, Failure, Gate, Handoff, LARGEST_BODY, Problem, Relay, Respond, Save, Step,
    Write,
};
use crate::redis::{Command, RestClient};
use crate::shell::ReqwestTransport;

use super::body::JsBody;
use super::head::{RequestHead, ResponseHead};
use super::{origin, respond};

#[wasm_bindgen]
extern "C" {
    /// What a handler gets beside the request.
    #[derive(Clone)]
    pub type ExecutionContext;

    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &ExecutionContext, promise: &Promise);

    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn warn(message: &str);
}

/// A client of the store.
pub type Store = RestClient<ReqwestTransport>;

/// One isolate's gate and its way to the store.
#[derive(Debug)]
pub struct Isolate {
    gate: RefCell<Gate<JsBody>>,
    store: Option<Store>,
}

impl Isolate {
    /// A gate with an empty memory; without a store it is in local mode.
    ///
    /// # Errors
    ///
    /// As [`Gate::new`].
    pub fn new(config: &Config, store: Option<Store>) -> Result<Rc<Self>, ConfigError> {
        Ok(Rc::new(Self {
            gate: RefCell::new(Gate::new(config, store.is_some())?),
            store,
        }))
    }

    /// Answers a request: at once with a response where memory suffices, else with a promise.
    pub fn handle(self: &Rc<Self>, request: Request, context: ExecutionContext) -> JsValue {
        let head = RequestHead::of(&request);
        let step = self.gate.borrow_mut().decide(&head, now());
        let run = Run {
            isolate: Rc::clone(self),
            request,
            head,
            context,
        };
        match step {
            Step::Respond(respond) => run.answer(respond).into(),
            step => future_to_promise(async move { Ok(run.carry_out(step).await.into()) }).into(),
        }
    }
}

/// One request on its way.
struct Run {
    isolate: Rc<Isolate>,
    request: Request,
    head: RequestHead,
    context: ExecutionContext,
}

impl Run {
    async fn carry_out(self, mut step: Step<JsBody>) -> Response {
        loop {
            step = match step {
                Step::Respond(respond) => return self.answer(respond),
                Step::Ask(ask, exchange) => {
                    let reply = match &self.isolate.store {
                        Some(store) => store.script(&ADMIT, &ask.keys, &ask.args).await,
                        None => return failed(),
                    };
                    if let Err(error) = &reply {
                        warn(&format!("store: {error}"));
                    }
                    let mut gate = self.isolate.gate.borrow_mut();
                    gate.resume(&self.head, &ask, exchange, reply, now())
                }
                Step::Fetch(fetch, exchange) => {
                    let answered = origin::fetch(&self.request, &fetch).await;
                    match self.origin_answered(exchange, &answered) {
                        Handoff::Step(step) => step,
                        Handoff::Relay(relay) => match answered {
                            Ok(origin) => return self.hand_on(&origin, relay),
                            Err(_) => return failed(),
                        },
                    }
                }
            }
        }
    }

    fn origin_answered(
        &self,
        exchange: Exchange<JsBody>,
        answered: &Result<Response, Failure>,
    ) -> Handoff<JsBody> {
        let head = answered.as_ref().map(ResponseHead);
        let mut gate = self.isolate.gate.borrow_mut();
        gate.origin_answered(&self.head, exchange, head.as_ref().map_err(|e| **e), now())
    }

    /// Answers, and sees to what remains to be done.
    fn answer(self, answer: Respond<JsBody>) -> Response {
        let response = respond::respond(answer.answer).unwrap_or_else(|_| failed());
        if let Some(write) = answer.write {
            self.write(write);
        }
        if let Some((fetch, exchange)) = answer.refresh {
            let context = self.context.clone();
            keep_alive(&context, async move { self.refresh(fetch, exchange).await });
        }
        response
    }

    /// Hands the origin's response on, and keeps a copy where one is to be kept.
    fn hand_on(&self, origin: &Response, mut relay: Relay<JsBody>) -> Response {
        let save = relay.save.take();
        let instead = relay.instead.take();
        let copy = match (&save, &instead) {
            // Nobody else reads it.
            (Some(_), Some(_)) => Some(Clone::clone(origin)),
            // One stream for the client, one for the cache.
            (Some(_), None) => origin.clone().ok(),
            (None, _) => None,
        };
        let response = match instead {
            Some(answer) => respond::respond(answer),
            None => respond::relay(origin, &relay),
        };
        if let (Some(save), Some(copy)) = (save, copy) {
            let isolate = Rc::clone(&self.isolate);
            keep_alive(
                &self.context,
                async move { isolate.save(save, &copy).await },
            );
        }
        if let Some(write) = relay.write {
            self.write(write);
        }
        response.unwrap_or_else(|_| failed())
    }

    /// Refreshes an entry behind the client's back.
    async fn refresh(self, mut fetch: Fetch, mut exchange: Exchange<JsBody>) {
        loop {
            let answered = origin::fetch(&self.request, &fetch).await;
            match (self.origin_answered(exchange, &answered), answered) {
                (
                    Handoff::Relay(Relay {
                        save: Some(save), ..
                    }),
                    Ok(origin),
                ) => {
                    return self.isolate.save(save, &origin).await;
                }
                (
                    Handoff::Step(Step::Respond(Respond {
                        write: Some(write), ..
                    })),
                    _,
                ) => {
                    return self.isolate.write(write).await;
                }
                (Handoff::Step(Step::Fetch(again, rest)), _) => (fetch, exchange) = (again, rest),
                _ => return,
            }
        }
    }

    fn write(&self, write: Write) {
        let isolate = Rc::clone(&self.isolate);
        keep_alive(&self.context, async move { isolate.write(write).await });
    }
}

impl Isolate {
    async fn save(&self, save: Save, response: &Response) {
        let Some(body) = origin::read(response, LARGEST_BODY).await else {
            return;
        };
        let write = self.gate.borrow_mut().save(save, body, now());
        if let Some(write) = write {
            self.write(write).await;
        }
    }

    async fn write(&self, write: Write) {
        let Some(store) = &self.store else {
            return;
        };
        let command = match &write {
            Write::Set { key, value, ttl_ms } => Command::new("SET")
                .arg(key)
                .arg(value)
                .arg("PX")
                .arg(*ttl_ms),
            Write::Delete { key } => Command::new("DEL").arg(key),
        };
        if let Err(error) = store.command(&command).await {
            warn(&format!("store: {error}"));
        }
    }
}

/// Lets work go on after the response, also when the client hangs up.
fn keep_alive(context: &ExecutionContext, work: impl Future<Output = ()> + 'static) {
    context.wait_until(&future_to_promise(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    }));
}

/// The response when even a response could not be made.
fn failed() -> Response {
    respond::respond(Problem::OriginFailed.answer())
        .or_else(|_| Response::new())
        .unwrap_or_else(|_| Response::error())
}

/// The isolate's clock.
fn now() -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates"
    )]
    Timestamp::from_millis(Date::now() as u64)
}
