//! A transport with scripted answers, and helpers of the tests for it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use omnitrade_edge::clock::{ManualClock, Timestamp};
use omnitrade_edge::error::Error;
use omnitrade_edge::redis::{Command, Options, RestClient};
use omnitrade_edge::transport::{Transport, TransportError};

pub const URL: &str = "https://host-s3cret.example/prefix/";
pub const TOKEN: &str = "token-s3cret";
pub const NO_SCRIPT: &str = r#"{"error":"NOSCRIPT No matching script. Please use EVAL."}"#;

/// Gives scripted answers, each after a time, and records the requests.
#[derive(Default)]
pub struct Scripted {
    pub clock: ManualClock,
    pub random: Cell<f64>,
    pub steps: RefCell<VecDeque<Step>>,
    pub sent: RefCell<Vec<(Request<Bytes>, Duration, usize)>>,
    pub slept: RefCell<Vec<Duration>>,
    pub set_back_on_sleep: Cell<Option<Timestamp>>,
}

/// The time that an answer takes in milliseconds, and the answer.
pub type Step = (u64, Result<Response<Bytes>, TransportError>);

impl Transport for Scripted {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        self.sent.borrow_mut().push((request, timeout, max_bytes));
        let (after, reply) = self
            .steps
            .borrow_mut()
            .pop_front()
            .expect("no more replies");
        let after = ms(after);
        self.clock.advance(after.min(timeout));
        if after >= timeout {
            Err(TransportError::Timeout)
        } else {
            reply
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.slept.borrow_mut().push(duration);
        self.clock.advance(duration);
        if let Some(earlier) = self.set_back_on_sleep.take() {
            self.clock.set(earlier);
        }
    }

    fn random(&self) -> f64 {
        self.random.get()
    }
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn reply(status: u16, body: &str) -> Step {
    let body = Bytes::copy_from_slice(body.as_bytes());
    (
        1,
        Ok(Response::builder().status(status).body(body).unwrap()),
    )
}

pub fn ok(body: &str) -> Step {
    reply(200, body)
}

pub fn with_sync(mut step: Step, token: &str) -> Step {
    if let Ok(reply) = &mut step.1 {
        reply
            .headers_mut()
            .insert("upstash-sync-token", token.parse().unwrap());
    }
    step
}

pub fn failed(error: TransportError) -> Step {
    (1, Err(error))
}

pub fn options() -> Options {
    Options::new(URL, TOKEN)
        .timeout(ms(150))
        .max_reply_bytes(1000)
}

pub fn client(steps: impl IntoIterator<Item = Step>) -> RestClient<Scripted> {
    client_with(options(), steps)
}

pub fn client_with(
    options: Options,
    steps: impl IntoIterator<Item = Step>,
) -> RestClient<Scripted> {
    let scripted = Scripted::default();
    scripted
        .clock
        .set(Timestamp::from_millis(1_700_000_000_000));
    scripted.steps.borrow_mut().extend(steps);
    RestClient::new(scripted, options).unwrap()
}

pub fn get() -> Command {
    Command::new("GET").arg("key-s3cret")
}

pub fn set() -> Command {
    Command::new("SET").arg("key-s3cret").arg("value-s3cret")
}

pub fn sent(client: &RestClient<Scripted>) -> usize {
    client.transport().sent.borrow().len()
}

pub fn body(client: &RestClient<Scripted>, index: usize) -> String {
    String::from_utf8(client.transport().sent.borrow()[index].0.body().to_vec()).unwrap()
}

pub fn header(client: &RestClient<Scripted>, index: usize, name: &str) -> Option<String> {
    let sent = client.transport().sent.borrow();
    sent[index]
        .0
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap().to_owned())
}

/// Asserts that neither `Display` nor `Debug` of an error shows a secret.
pub fn assert_clean(error: &Error) {
    let shown = format!("{error} {error:?} {}", error.code());
    assert!(
        !shown.contains("s3cret") && !shown.contains("example"),
        "{shown}"
    );
}
