//! A store that is the script's model, and the transport that reaches it.

#![allow(dead_code, reason = "every test binary uses its own part of this")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's store may fail loudly"
)]

#[path = "model.rs"]
mod model;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use model::ModelStore;
use omnitrade_edge::clock::{ManualClock, Timestamp};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::{Options, RestClient, RetryPolicy, Value};
use omnitrade_edge::transport::{BoxFuture, SendTransport, Transport, TransportError};
use serde_json::json;

/// The state that all transports of a test share.
#[derive(Default)]
pub struct World {
    pub store: Mutex<ModelStore>,
    pub clock: ManualClock,
    pub calls: AtomicU64,
    /// The fault of the next call, if any: the call or its reply does not arrive.
    pub fault: Mutex<Option<Fault>>,
    /// Whether the clock moves when somebody sleeps.
    pub sleeps: AtomicBool,
}

#[derive(Clone, Copy)]
pub enum Fault {
    Lost,
    ReplyLostOnce,
}

#[derive(Clone)]
pub struct Wire(pub Arc<World>);

impl Wire {
    pub fn new() -> Self {
        let world = World::default();
        world.clock.set(Timestamp::from_millis(1_700_000_040_000));
        Self(Arc::new(world))
    }

    pub fn client(&self) -> RestClient<Self> {
        let retry = RetryPolicy::default().base(Duration::ZERO);
        let options = Options::new("https://store.example", "token").retry_policy(retry);
        RestClient::new(self.clone(), options).unwrap()
    }

    pub fn limiter(&self, rule: Rule) -> RateLimiter {
        RateLimiter::new(self.client(), rule)
    }

    pub fn wait(&self, ms: u64) {
        self.0.clock.advance(Duration::from_millis(ms));
    }

    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    fn run(&self, command: &serde_json::Value) -> serde_json::Value {
        let words: Vec<String> = command
            .as_array()
            .unwrap()
            .iter()
            .map(|word| {
                word.as_str()
                    .map_or_else(|| word.to_string(), str::to_owned)
            })
            .collect();
        let (now, mut store) = (self.0.clock.now(), self.0.store.lock().unwrap());
        match words[0].as_str() {
            "DEL" => {
                store.delete(&words[1]);
                json!(1)
            }
            "EVALSHA" => {
                let keys = 3 + words[2].parse::<usize>().unwrap();
                let (last, args) = words[keys..].split_last().unwrap();
                json_of(store.call_again(&words[3..keys], args, now, last == "1"))
            }
            other => panic!("{other}"),
        }
    }
}

fn json_of(value: Value) -> serde_json::Value {
    match value {
        Value::Null => json!(null),
        Value::Int(number) => json!(number),
        Value::Array(items) => items.into_iter().map(json_of).collect(),
        other => json!(other.as_str().unwrap()),
    }
}

impl Transport for Wire {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
        _: usize,
    ) -> Result<http::Response<Bytes>, TransportError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let command = serde_json::from_slice(request.body()).unwrap();
        if let Some(Fault::Lost) = *self.0.fault.lock().unwrap() {
            return Err(TransportError::Broken);
        }
        let result = self.run(&command);
        if let Some(Fault::ReplyLostOnce) = self.0.fault.lock().unwrap().take() {
            return Err(TransportError::Broken);
        }
        let body = json!({ "result": result }).to_string();
        Ok(http::Response::new(body.into()))
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        if self.0.sleeps.load(Ordering::SeqCst) {
            self.0.clock.advance(duration);
        }
    }

    fn random(&self) -> f64 {
        0.5
    }
}

impl SendTransport for Wire {
    fn send_boxed(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(self.send(request, timeout, max_bytes))
    }

    fn sleep_boxed(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.sleep(duration))
    }
}
