//! `RateLimiter`, the limiter for Rust programs, on a store that is the script's model.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "common/wire.rs"]
mod wire;

use std::sync::atomic::Ordering;
use std::time::Duration;

use omnitrade_edge::limiter::{Limited, Penalty, RateLimiter, Reason, Rule, Source, Subject};
use omnitrade_edge::redis::RestClient;
use omnitrade_edge::transport::Transport as _;
use wire::{Fault, Wire};

const fn any_thread<T: Send + Sync + Clone + 'static>() {}
const fn any_thread_runs<F: Future + Send>(_: &F) {}

#[test]
fn any_thread_may_use_a_limiter_and_run_its_futures() {
    any_thread::<RateLimiter>();
    any_thread::<RestClient<Wire>>();
    let limiter = Wire::new().limiter(Rule::new(1, minute()));
    any_thread_runs(&limiter.limit("a", 1));
    any_thread_runs(&limiter.limit_many(&[]));
    any_thread_runs(&RateLimiter::all([(&limiter, "a")]));
    any_thread_runs(&limiter.until_allowed("a", 1, minute()));
    any_thread_runs(&limiter.subject("a").limit());
    any_thread_runs(&limiter.peek("a"));
    any_thread_runs(&limiter.refund("a", 1));
    any_thread_runs(&limiter.reset("a"));
    any_thread_runs(&limiter.return_unspent());
}

const fn minute() -> Duration {
    Duration::from_secs(60)
}

async fn limit(limiter: &RateLimiter, id: &str) -> Limited {
    let limited = limiter.limit(id, 1).await;
    assert!(limited.pending.is_none(), "there is a runtime");
    // What is left to do is done by a task.
    tokio::task::yield_now().await;
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
    let store = wire.0.store.lock().unwrap();
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
    *wire.0.fault.lock().unwrap() = Some(Fault::Lost);
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
    *wire.0.fault.lock().unwrap() = None;
    wire.wait(2_000);
    assert_eq!(limit(&limiter, "a").await.source, Source::Redis);
}

#[tokio::test]
async fn a_call_whose_reply_was_lost_is_charged_once() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(10, minute()));
    for left in (0..10).rev() {
        wire.wait(400);
        *wire.0.fault.lock().unwrap() = Some(Fault::ReplyLostOnce);
        let limited = limit(&limiter, "a").await;
        assert!(limited.success);
        assert_eq!((limited.source, limited.remaining), (Source::Redis, left));
    }
}

#[tokio::test]
async fn without_a_store_it_limits_by_itself() {
    let wire = Wire::new();
    let limiter = RateLimiter::local(wire.clone(), Rule::new(10, minute()));
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 10);
    for _ in 0..10 {
        let limited = limit(&limiter, "a").await;
        assert!(limited.success);
        assert_eq!((limited.source, limited.reason), (Source::Local, None));
    }
    let refused = limit(&limiter, "a").await;
    assert!(!refused.success);
    limiter.refund("a", 1).await.unwrap();
    assert!(limit(&limiter, "a").await.success);
    limiter.reset("a").await.unwrap();
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 10);
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

#[tokio::test]
async fn several_limits_of_one_store_are_asked_in_one_call() {
    let wire = Wire::new();
    let client = wire.client();
    let per_ip = RateLimiter::new(client.clone(), Rule::new(3, minute()).named("ip"));
    let per_user = RateLimiter::new(client, Rule::new(2, minute()).named("user"));
    for left in [1, 0] {
        let all = RateLimiter::all([(&per_ip, "i"), (&per_user, "u")]).await;
        let remaining: Vec<_> = all.results.iter().map(|l| l.remaining).collect();
        assert!(all.success);
        assert_eq!(remaining, [left + 1, left]);
        let names: Vec<_> = all.results.iter().map(|l| l.policy.as_str()).collect();
        assert_eq!(names, ["ip", "user"]);
    }
    assert_eq!(wire.calls(), 2);
    let all = RateLimiter::all([(&per_ip, "i"), (&per_user, "u")]).await;
    let passes: Vec<_> = all.results.iter().map(|l| l.success).collect();
    assert!(!all.success && all.retry_after() > Duration::ZERO);
    assert_eq!(passes, [true, false]);
    assert_eq!(per_ip.peek("i").await.unwrap().remaining, 1, "from none");
}

#[tokio::test]
async fn several_limits_of_several_stores_take_from_all_or_from_none() {
    let (wire, other) = (Wire::new(), Wire::new());
    let one = wire.limiter(Rule::new(5, minute()).named("one"));
    let two = other.limiter(Rule::new(2, minute()).named("two"));
    let three = RateLimiter::local(wire.clone(), Rule::new(9, minute()).named("three"));
    let ask = async || {
        let subjects = [(&one, "a", 2), (&two, "a", 1), (&three, "a", 3)];
        RateLimiter::all(subjects).await
    };
    let remaining = |all: &[Limited]| all.iter().map(|l| l.remaining).collect::<Vec<_>>();
    for expected in [[3, 1, 6], [1, 0, 3]] {
        let all = ask().await;
        assert!(all.success);
        assert_eq!(remaining(&all.results), expected);
    }
    one.refund("a", 2).await.unwrap();
    let all = ask().await;
    assert!(!all.success);
    let passes: Vec<_> = all.results.iter().map(|l| l.success).collect();
    assert_eq!(passes, [true, false, true]);
    for (limiter, left) in [(&one, 3), (&two, 0), (&three, 3)] {
        assert_eq!(limiter.peek("a").await.unwrap().remaining, left);
    }
    assert!(RateLimiter::all(Vec::<Subject<'_>>::new()).await.success);
}

#[tokio::test]
async fn a_subject_can_have_a_quota_of_its_own() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(2, minute()));
    let limited = limiter.subject("a").quota(5).cost(4).limit().await;
    assert!(limited.success);
    assert_eq!((limited.limit, limited.remaining), (5, 1));
    let looked = limiter.subject("a").quota(9).peek().await.unwrap();
    assert_eq!((looked.limit, looked.remaining), (9, 5));
    assert!(!limiter.limit("a", 1).await.success);
    limiter.subject("a").cost(3).refund().await.unwrap();
    assert!(limiter.limit("a", 1).await.success);
}

#[tokio::test]
async fn what_memory_knows_is_said_at_once() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(1, minute()));
    assert!(
        limiter.limit_now("a", 1).is_none(),
        "the store has to be asked"
    );
    assert_eq!(wire.calls(), 0);
    limiter.limit("a", 1).await;
    limiter.limit("a", 1).await;
    let refused = limiter.limit_now("a", 1).unwrap();
    assert!(!refused.success);
    assert_eq!(refused.source, Source::Blocked);
    let local = RateLimiter::local(wire, Rule::new(1, minute()));
    assert!(local.limit_now("a", 1).unwrap().success);
    assert!(!local.limit_now("a", 1).unwrap().success);
}

#[tokio::test]
async fn who_can_wait_waits_exactly_long_enough() {
    let wire = Wire::new();
    wire.0.sleeps.store(true, Ordering::SeqCst);
    let limiter = wire.limiter(Rule::new(2, minute()));
    let began = wire.now();
    limiter.limit("a", 2).await;
    let refused = limiter
        .until_allowed("a", 1, minute() / 2)
        .await
        .unwrap_err();
    assert_eq!(
        wire.now(),
        began,
        "it is known at once that it takes too long"
    );
    let wait = refused.limited.retry_after;
    assert!(
        refused.to_string().contains("allows no more for"),
        "{refused}"
    );
    limiter.until_allowed("a", 1, minute() * 2).await.unwrap();
    let waited = wire.now().since(began);
    assert!(
        wait <= waited && waited <= wait + Duration::from_millis(2),
        "{waited:?}"
    );
    let never = limiter.until_allowed("a", 3, minute() * 100).await;
    assert!(never.unwrap_err().to_string().contains("never"));
}

#[tokio::test]
async fn many_who_wait_take_turns_within_the_quota() {
    let wire = Wire::new();
    wire.0.sleeps.store(true, Ordering::SeqCst);
    let second = Duration::from_secs(1);
    let limiter = RateLimiter::local(wire.clone(), Rule::new(3, second));
    let mut passed = Vec::new();
    for _ in 0..20 {
        limiter.until_allowed("a", 1, second * 2).await.unwrap();
        passed.push(wire.now());
    }
    for window in passed.windows(4) {
        assert!(window[3].since(window[0]) >= second, "{window:?}");
    }
    let all = passed[19].since(passed[0]);
    assert!(all < second * 7, "no longer than it has to: {all:?}");
}

#[test]
fn without_a_runtime_the_caller_does_what_is_left() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(100_000, minute()).leased());
    for _ in 0..100 {
        wire.wait(2);
        let limited = ready(limiter.limit("hot", 1));
        if let Some(pending) = limited.pending {
            ready(limiter.finish(pending));
        }
    }
    assert!(wire.calls() <= 20, "{} calls", wire.calls());
}

/// The result of a future that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn a_task_returns_what_was_not_spent() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(1_000, minute()).leased());
    for _ in 0..30 {
        wire.wait(50);
        limit(&limiter, "a").await;
    }
    let other = wire.limiter(Rule::new(1_000, minute()));
    assert!(
        other.peek("a").await.unwrap().remaining < 970,
        "some are fetched ahead"
    );
    // From here on, the task's sleep passes at once.
    wire.0.sleeps.store(true, Ordering::SeqCst);
    limit(&limiter, "a").await;
    limiter.limit("b", 1).await;
    limiter.limit("b", 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(other.peek("a").await.unwrap().remaining, 1_000 - 31);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_count_together() {
    let wire = Wire::new();
    for leased in [false, true] {
        let rule = Rule::new(500, minute()).named(if leased { "leased" } else { "exact" });
        let limiter = wire.limiter(if leased { rule.leased() } else { rule });
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    let mut passed = 0;
                    for _ in 0..100 {
                        passed += u32::from(limiter.limit("a", 1).await.success);
                    }
                    passed
                })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            passed += task.await.unwrap();
        }
        assert!((450..=500).contains(&passed), "{passed} of 500");
        if !leased {
            assert_eq!(passed, 500);
        }
    }
}
