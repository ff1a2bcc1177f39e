//! Processes over one store, which is the script's model, on tokio's clock: it stands still between
//! timers where a test pauses it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::redis::{Options, RestClient, RetryPolicy, Value};
use omnitrade_edge::transport::{BoxFuture, SendTransport, Transport, TransportError};
use omnitrade_edge::values::{Builder, ValueCache};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::model::ModelStore;

/// The store, and what processes have in common.
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    store: Mutex<ModelStore>,
    start: Instant,
    seed: AtomicU64,
}

/// A process's way to the store.
#[derive(Clone)]
pub struct Process {
    pub world: World,
    link: Arc<Link>,
}

#[derive(Default)]
struct Link {
    calls: AtomicU64,
    fault: Mutex<Option<Fault>>,
    /// How long a call takes, there and back.
    latency: Mutex<Duration>,
}

/// How the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Calls don't arrive.
    Lost,
    /// Calls are carried out, and nothing comes back.
    ReplyLost,
    /// Nothing happens.
    Hang,
    /// The token is refused.
    Refused,
    /// The reply is nonsense.
    Nonsense,
}

const START: u64 = 1_800_000_000_000;

/// The token of the store.
pub const SECRET: &str = "s3cr3t";

/// The deadline of a call.
pub const TIMEOUT: Duration = Duration::from_millis(150);

impl World {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            store: Mutex::default(),
            start: Instant::now(),
            seed: AtomicU64::new(1),
        }))
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(START) + self.0.start.elapsed()
    }

    pub fn process(&self) -> Process {
        Process {
            world: self.clone(),
            link: Arc::default(),
        }
    }

    /// A cache in a process of its own.
    pub fn cache(&self) -> ValueCache {
        self.process().cache(ValueCache::builder())
    }

    /// Does something with the store.
    pub fn store<R>(&self, act: impl FnOnce(&mut ModelStore) -> R) -> R {
        let mut store = self.0.store.lock().unwrap();
        store.expire(self.now());
        act(&mut store)
    }

    /// The keys of one kind.
    pub fn keys(&self, kind: &str) -> Vec<String> {
        let of_kind = |key: &&str| key.contains(kind);
        self.store(|store| store.keys().filter(of_kind).map(str::to_owned).collect())
    }

    /// The only stored entry.
    pub fn entry(&self) -> Option<(String, String)> {
        let keys = self.keys(":v:");
        assert!(keys.len() < 2, "{keys:?}");
        let key = keys.into_iter().next()?;
        let text = self.store(|store| store.text(&key).unwrap().to_owned());
        Some((key, text))
    }
}

impl Process {
    pub fn client(&self) -> RestClient<Self> {
        let retry = RetryPolicy::default().base(Duration::ZERO);
        let options = Options::new("https://store.example", SECRET).retry_policy(retry);
        RestClient::new(self.clone(), options.timeout(TIMEOUT)).unwrap()
    }

    pub fn cache(&self, builder: Builder) -> ValueCache {
        builder.over(self.client())
    }

    /// How many calls the store got.
    pub fn calls(&self) -> u64 {
        self.link.calls.load(Ordering::SeqCst)
    }

    pub fn fail(&self, fault: Option<Fault>) {
        *self.link.fault.lock().unwrap() = fault;
    }

    pub fn take(&self, latency: Duration) {
        *self.link.latency.lock().unwrap() = latency;
    }

    fn fault(&self) -> Option<Fault> {
        *self.link.fault.lock().unwrap()
    }

    fn run(&self, command: &serde_json::Value) -> serde_json::Value {
        let words = command.as_array().unwrap();
        let words = words.iter().map(|word| match word.as_str() {
            Some(text) => text.to_owned(),
            None => word.to_string(),
        });
        let words: Vec<String> = words.collect();
        let now = self.world.now();
        self.world.store(|store| match words[0].as_str() {
            "DEL" => {
                words[1..].iter().for_each(|key| store.delete(key));
                json!(1)
            }
            "SET" => {
                assert_eq!(words[3], "PX");
                store.set(&words[1], &words[2], words[4].parse().unwrap(), now);
                json!("OK")
            }
            "MGET" => words[1..].iter().map(|key| store.text(key)).collect(),
            "EVALSHA" => {
                let keys = 3 + words[2].parse::<usize>().unwrap();
                let (last, args) = words[keys..].split_last().unwrap();
                json_of(store.call_again(&words[3..keys], args, now, last == "1"))
            }
            other => panic!("{other}"),
        })
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

impl Transport for Process {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        _: usize,
    ) -> Result<http::Response<Bytes>, TransportError> {
        self.link.calls.fetch_add(1, Ordering::SeqCst);
        let latency = *self.link.latency.lock().unwrap();
        let fault = self.fault();
        if fault == Some(Fault::Hang) || latency > timeout {
            sleep(timeout).await;
            return Err(TransportError::Timeout);
        }
        sleep(latency / 2).await;
        match fault {
            Some(Fault::Lost) => return Err(TransportError::Connect),
            Some(Fault::Refused) => {
                let body = json!({ "error": "WRONGPASS invalid or missing auth token" });
                let mut response = http::Response::new(body.to_string().into());
                *response.status_mut() = http::StatusCode::UNAUTHORIZED;
                return Ok(response);
            }
            Some(Fault::Nonsense) => return Ok(http::Response::new("<html>".into())),
            _ => {}
        }
        let sent: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let reply = |command| json!({ "result": self.run(command) });
        let body = match request.uri().path() {
            "/pipeline" => sent.as_array().unwrap().iter().map(reply).collect(),
            _ => reply(&sent),
        };
        sleep(latency - latency / 2).await;
        match fault {
            Some(Fault::ReplyLost) => Err(TransportError::Broken),
            _ => Ok(http::Response::new(body.to_string().into())),
        }
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }

    fn random(&self) -> f64 {
        let seed = self.world.0.seed.fetch_add(1, Ordering::SeqCst);
        f64::from(u32::try_from(seed % 1_000).unwrap()) / 1_000.0
    }
}

impl SendTransport for Process {
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
