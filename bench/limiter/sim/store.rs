//! The store and the connection to it: REST calls that take some virtual time and are answered by
//! the model of the script.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::redis::Value;
use omnitrade_edge::transport::{BoxFuture, SendTransport, Transport, TransportError};
use send_wrapper::SendWrapper;
use serde_json::json;

use crate::model::ModelStore;
use crate::world::World;

/// The store of all isolates of a run.
#[derive(Debug, Default)]
pub struct Store {
    model: ModelStore,
    pub calls: u64,
    pub commands: u64,
    pub largest_state: usize,
    /// The states of the only subject, each with the instant from which on it held.
    pub history: Vec<(Timestamp, Option<String>)>,
    /// Calls that nobody waits for any more, and when they arrive.
    late: BTreeMap<(Timestamp, u64), Vec<String>>,
}

impl Store {
    /// A call of which nobody will hear arrives later.
    fn arrives_late(&mut self, words: Vec<String>, at: Timestamp) {
        let order = self.late.len() as u64;
        self.late.insert((at, order), words);
    }

    /// Carries out a call that arrives now, after those that have arrived before.
    fn arrived(&mut self, words: &[String], now: Timestamp) -> Value {
        let later = self.late.split_off(&(now + Duration::from_millis(1), 0));
        for ((at, _), words) in std::mem::replace(&mut self.late, later) {
            self.call(&words, at);
        }
        self.call(words, now)
    }

    /// Carries out `EVALSHA sha n key… arg…`.
    fn call(&mut self, words: &[String], now: Timestamp) -> Value {
        let count: usize = words[2].parse().expect("the number of keys");
        let (keys, args) = words[3..].split_at(count);
        let (repeated, args) = args.split_last().expect("arguments");
        let texts = |model: &ModelStore| -> Vec<_> {
            let of = |key| model.text(key).map(str::to_owned);
            keys.iter().map(|key: &String| of(key)).collect()
        };
        self.model.expire(now);
        let before = texts(&self.model);
        let reply = self.model.call_again(keys, args, now, repeated == "1");
        let after = texts(&self.model);
        let writes = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        self.calls += 1;
        // EVALSHA, MGET, a SET or DEL for each state that changed, and a TIME if the clock was
        // asked for.
        self.commands += 2 + writes as u64 + u64::from(args[4] == "1");
        let longest = after.iter().flatten().map(String::len).max();
        self.largest_state = self.largest_state.max(longest.unwrap_or_default());
        if let (1.., [text]) = (writes, &after[..]) {
            self.history.push((now, text.clone()));
        }
        reply
    }
}

/// An isolate's connection to the store.
#[derive(Debug)]
pub struct Line {
    pub world: SendWrapper<Rc<World>>,
    pub store: SendWrapper<Rc<RefCell<Store>>>,
    /// The shortest and the longest time of a call; half of it passes before the store answers,
    /// half after.
    pub takes: (Duration, Duration),
    pub random: AtomicU64,
}

impl Line {
    fn half(&self) -> Duration {
        let (least, most) = self.takes;
        (least + (most - least).mul_f64(self.random())) / 2
    }
}

impl Transport for Line {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        _: usize,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let words: Vec<serde_json::Value> =
            serde_json::from_slice(request.body()).expect("a command as JSON");
        let words: Vec<_> = words.into_iter().map(word).collect();
        assert_eq!(words[0], "EVALSHA", "the limiter asks nothing else");
        let (there, back) = (self.half(), self.half());
        if there > timeout {
            let arrives = self.world.now() + there;
            self.store.borrow_mut().arrives_late(words, arrives);
            self.world.sleep(timeout).await;
            return Err(TransportError::Timeout);
        }
        self.world.sleep(there).await;
        let reply = self.store.borrow_mut().arrived(&words, self.world.now());
        if there + back > timeout {
            self.world.sleep(timeout - there).await;
            return Err(TransportError::Timeout);
        }
        self.world.sleep(back).await;
        let body = json!({ "result": as_json(reply) }).to_string();
        Ok(http::Response::new(Bytes::from(body)))
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.world.sleep(duration).await;
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn random(&self) -> f64 {
        let state = self
            .random
            .load(Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.store(state, Relaxed);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The simulation has one thread, so its futures need not be `Send`.
impl SendTransport for Line {
    fn send_boxed(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(SendWrapper::new(self.send(request, timeout, max_bytes)))
    }

    fn sleep_boxed(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(SendWrapper::new(self.sleep(duration)))
    }
}

fn word(json: serde_json::Value) -> String {
    match json {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn as_json(value: Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(number) => number.into(),
        Value::Array(items) => items.into_iter().map(as_json).collect(),
        text => text.as_str().expect("text").into(),
    }
}
