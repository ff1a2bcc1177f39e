//! `RateLimiter`, the limiter for Rust programs, on a store that is the script's model.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "common/model.rs"]
mod model;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use model::ModelStore;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::limiter::{Limited, Penalty, RateLimiter, Reason, Rule, Source};
use omnitrade_edge::redis::{Options, RestClient, RetryPolicy, Value};
use omnitrade_edge::transport::{Transport, TransportError};
use serde_json::json;

/// The state that all transports of a test share.
#[derive(Default)]
struct World {
    store: RefCell<ModelStore>,
    now: Cell<Timestamp>,
    calls: Cell<u64>,
    /// The fault of the next call, if any: the call or its reply does not arrive.
    fault: Cell<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    Lost,
    ReplyLostOnce,
}

#[derive(Clone)]
struct Wire(Rc<World>);

impl Wire {
    fn new() -> Self {
        let world = World::default();
        world.now.set(Timestamp::from_millis(1_700_000_040_000));
        Self(Rc::new(world))
    }

    fn limiter(&self, rule: Rule) -> RateLimiter<Self> {
        let retry = RetryPolicy::default().base(Duration::ZERO);
        let options = Options::new("https://store.example", "token").retry_policy(retry);
        RateLimiter::new(RestClient::new(self.clone(), options).unwrap(), rule)
    }

    fn wait(&self, ms: u64) {
        self.0.now.set(self.0.now.get() + Duration::from_millis(ms));
    }

    fn calls(&self) -> u64 {
        self.0.calls.get()
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
        let (now, mut store) = (self.0.now.get(), self.0.store.borrow_mut());
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
        self.0.calls.set(self.calls() + 1);
        let command = serde_json::from_slice(request.body()).unwrap();
        if let Some(Fault::Lost) = self.0.fault.get() {
            return Err(TransportError::Broken);
        }
        let result = self.run(&command);
        if let Some(Fault::ReplyLostOnce) = self.0.fault.take() {
            return Err(TransportError::Broken);
        }
        let body = json!({ "result": result }).to_string();
        Ok(http::Response::new(body.into()))
    }

    fn now(&self) -> Timestamp {
        self.0.now.get()
    }

    async fn sleep(&self, _: Duration) {}

    fn random(&self) -> f64 {
        0.5
    }
}

const fn minute() -> Duration {
    Duration::from_secs(60)
}

async fn limit(limiter: &RateLimiter<Wire>, id: &str) -> Limited {
    let mut limited = limiter.limit(id, 1).await;
    if let Some(pending) = limited.pending.take() {
        limiter.finish(pending).await;
    }
    limited
}

#[tokio::test]
async fn a_subject_has_its_quota_and_is_told_when_it_has_more() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(3, minute()).named("per-user"));
    for left in [2, 1, 0] {
        let limited = limit(&limiter, "user-7").await;
        assert!(limited.success);
        assert_eq!((limited.limit, limited.remaining), (3, left));
        assert_eq!((limited.source, limited.reason), (Source::Redis, None));
        assert_eq!(limited.policy, "per-user");
    }
    let refused = limit(&limiter, "user-7").await;
    assert!(!refused.success);
    assert_eq!(refused.retry_after, Duration::from_secs(62));
    assert_eq!(refused.reset, wire.now() + refused.retry_after);
    let calls = wire.calls();
    let again = limit(&limiter, "user-7").await;
    assert_eq!(
        (again.source, again.reason),
        (Source::Blocked, Some(Reason::CacheBlock))
    );
    assert_eq!(wire.calls(), calls);
    assert!(limit(&limiter, "user-8").await.success);
    wire.wait(61_999);
    assert!(!limit(&limiter, "user-7").await.success);
    wire.wait(1);
    assert!(limit(&limiter, "user-7").await.success);
}

#[tokio::test]
async fn no_subject_stands_in_the_store_as_it_is() {
    let wire = Wire::new();
    limit(&wire.limiter(Rule::new(3, minute())), "alice@example.com").await;
    let store = wire.0.store.borrow();
    let keys: Vec<_> = store.keys().collect();
    assert_eq!(keys.len(), 1);
    assert!(
        keys[0].starts_with("ot:l:default:") && !keys[0].contains("alice"),
        "{keys:?}"
    );
}

#[tokio::test]
async fn a_look_takes_nothing() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(2, minute()));
    for _ in 0..10 {
        let seen = limiter.peek("a").await.unwrap();
        assert!(seen.success);
        assert_eq!(seen.remaining, 2);
    }
    limit(&limiter, "a").await;
    limit(&limiter, "a").await;
    let seen = limiter.peek("a").await.unwrap();
    assert!(!seen.success);
    assert_eq!(
        (seen.remaining, seen.retry_after),
        (0, Duration::from_secs(62))
    );
}

#[tokio::test]
async fn what_is_refunded_can_be_taken_again_and_no_more() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(5, minute()));
    limiter.limit("a", 4).await;
    limiter.refund("a", 2).await.unwrap();
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 3);
    limiter.refund("a", 100).await.unwrap();
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 5);
    limiter.refund("nobody", 1).await.unwrap();
    assert_eq!(limiter.peek("nobody").await.unwrap().remaining, 5);
    // This also holds for a refused client whose refusal is remembered.
    limiter.limit("b", 5).await;
    assert!(!limit(&limiter, "b").await.success);
    limiter.refund("b", 1).await.unwrap();
    assert!(limit(&limiter, "b").await.success);
}

#[tokio::test]
async fn a_reset_is_for_one_subject_and_forgets_all_about_it() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(2, minute()).leased());
    for _ in 0..4 {
        limit(&limiter, "a").await;
        limit(&limiter, "b").await;
    }
    let calls = wire.calls();
    limiter.reset("a").await.unwrap();
    assert_eq!(wire.calls(), calls + 1);
    assert!(limit(&limiter, "a").await.success);
    assert!(!limit(&limiter, "b").await.success);
}

#[tokio::test]
async fn several_subjects_are_charged_together_or_not_at_all_in_one_call() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(5, minute()));
    limiter.limit("ip", 4).await;
    let calls = wire.calls();
    let both = limiter.limit_many(&[("user", 2), ("ip", 2)]).await;
    assert_eq!(wire.calls(), calls + 1);
    assert!(both.iter().all(|limited| !limited.success));
    assert_eq!(both[0].remaining, 5, "nothing was taken");
    assert_eq!(
        both[0].retry_after,
        Duration::ZERO,
        "it is not the one to wait for"
    );
    assert_eq!(both[1].retry_after, Duration::from_secs(62));
    let both = limiter.limit_many(&[("user", 2), ("ip", 1)]).await;
    assert!(both.iter().all(|limited| limited.success));
    assert_eq!((both[0].remaining, both[1].remaining), (3, 0));
    assert!(limiter.limit_many(&[]).await.is_empty());
}

#[tokio::test]
async fn two_charges_on_one_state_count_together() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(5, minute()));
    limiter.limit("a", 1).await;
    let refused = limiter.limit_many(&[("a", 2), ("b", 1), ("a", 3)]).await;
    assert!(refused.iter().all(|limited| !limited.success));
    let waits = refused.iter().map(|limited| limited.retry_after.is_zero());
    assert_eq!(waits.collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 4);
    let both = limiter.limit_many(&[("a", 2), ("b", 1), ("a", 2)]).await;
    let left: Vec<_> = both.iter().map(|limited| limited.remaining).collect();
    assert_eq!(left, [0, 4, 0]);
}

#[tokio::test]
async fn with_leases_a_hot_subject_asks_the_store_now_and_then() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(100_000, minute()).leased());
    for n in 1..=1_000 {
        wire.wait(2);
        let limited = limit(&limiter, "hot").await;
        assert!(limited.success);
        assert_eq!(limited.remaining, 100_000 - n);
    }
    assert!(wire.calls() <= 25, "{} calls", wire.calls());
    assert_eq!(limit(&limiter, "hot").await.source, Source::Lease);
    // Unspent permits go back.
    wire.wait(10_000);
    limiter.return_unspent().await;
    let other = wire.limiter(Rule::new(100_000, minute()));
    assert_eq!(other.peek("hot").await.unwrap().remaining, 100_000 - 1_001);
}

#[tokio::test]
async fn while_the_store_fails_local_limits_decide_and_say_so() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(10, minute()));
    wire.0.fault.set(Some(Fault::Lost));
    let mut admitted = 0;
    for _ in 0..20 {
        let limited = limit(&limiter, "a").await;
        assert_eq!(
            (limited.source, limited.reason),
            (Source::Local, Some(Reason::Timeout))
        );
        admitted += u32::from(limited.success);
    }
    assert_eq!(admitted, 5);
    assert!(limiter.peek("a").await.is_err());
    assert!(limiter.refund("a", 1).await.is_err());
    wire.0.fault.set(None);
    wire.wait(2_000);
    assert_eq!(limit(&limiter, "a").await.source, Source::Redis);
}

#[tokio::test]
async fn a_call_whose_reply_was_lost_is_charged_once() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(10, minute()));
    for left in (0..10).rev() {
        wire.wait(400);
        wire.0.fault.set(Some(Fault::ReplyLostOnce));
        let limited = limit(&limiter, "a").await;
        assert!(limited.success);
        assert_eq!((limited.source, limited.remaining), (Source::Redis, left));
    }
}

#[tokio::test]
async fn without_a_store_it_limits_by_itself() {
    let wire = Wire::new();
    let limiter = RateLimiter::local(wire.clone(), Rule::new(10, minute()));
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 5);
    for _ in 0..5 {
        let limited = limit(&limiter, "a").await;
        assert!(limited.success);
        assert_eq!((limited.source, limited.reason), (Source::Local, None));
    }
    let refused = limit(&limiter, "a").await;
    assert!(!refused.success);
    limiter.refund("a", 1).await.unwrap();
    assert!(limit(&limiter, "a").await.success);
    limiter.reset("a").await.unwrap();
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 5);
    assert_eq!(wire.calls(), 0);
}

#[tokio::test]
async fn who_goes_on_after_refusals_is_held_off() {
    let wire = Wire::new();
    let hold = Duration::from_secs(300);
    let penalty = Penalty::new(3, hold, hold);
    let limiter = wire.limiter(Rule::new(1, minute()).with_penalty(penalty));
    limit(&limiter, "a").await;
    for _ in 0..3 {
        assert!(!limit(&limiter, "a").await.success);
    }
    let held = limit(&limiter, "a").await;
    assert_eq!(held.reason, Some(Reason::DenyList));
    assert_eq!(held.retry_after, Duration::from_secs(300));
    assert_eq!(held.reset, wire.now() + held.retry_after);
    wire.wait(300_000);
    assert!(limit(&limiter, "a").await.success);
}
