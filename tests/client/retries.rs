//! What is sent again, when, and until when.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{Command, RetryPolicy, Script, Value};
use omnitrade_edge::transport::{Transport, TransportError};

use crate::scripted::*;

#[tokio::test]
async fn a_script_that_may_have_run_is_never_sent_again() {
    for step in [
        failed(TransportError::Broken),
        (999, ok("{}").1),
        reply(503, ""),
    ] {
        let client = client([step]);
        let error = client
            .script(&Script::new("return 1"), &["k"], [1])
            .await
            .unwrap_err();
        assert!(error.may_have_run() && !error.retry_is_safe(false));
        assert_eq!(sent(&client), 1);
    }
}

#[tokio::test]
async fn what_was_never_sent_is_sent_again_whatever_it_is() {
    let connect = || failed(TransportError::Connect);
    let client = client([connect(), connect(), ok(r#"{"result":1}"#)]);
    assert_eq!(
        client.script(&Script::new("return 1"), &["k"], [1]).await,
        Ok(Value::Int(1))
    );
    assert_eq!(sent(&client), 3);
}

#[tokio::test]
async fn only_what_may_run_twice_is_sent_again() {
    let broken = || failed(TransportError::Broken);
    let retried = async |command: Command| {
        let client = client([broken(), ok(r#"{"result":1}"#)]);
        let result = client.command(&command).await;
        assert_eq!(result.is_ok(), sent(&client) == 2);
        result.is_ok()
    };
    assert!(retried(get()).await);
    assert!(!retried(set()).await);
    assert!(!retried(Command::new("INCR").arg("k")).await);
    assert!(!retried(Command::new("GETDEL").arg("k")).await);
    assert!(retried(set().idempotent(true)).await);
    assert!(!retried(get().idempotent(false)).await);

    let mixed = client([broken()]);
    assert!(mixed.pipeline(&[get(), set()]).await.is_err());
    let reads = client([broken(), ok(r#"[{"result":1},{"result":2}]"#)]);
    assert!(reads.pipeline(&[get(), get()]).await.is_ok());
}

#[tokio::test]
async fn retries_end_and_remember_that_an_attempt_may_have_run() {
    let client = client([
        failed(TransportError::Broken),
        failed(TransportError::Connect),
        failed(TransportError::Connect),
    ]);
    let error = client.command(&get()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (ErrorKind::Unreachable, true)
    );
    assert_eq!(sent(&client), 3);
}

#[tokio::test]
async fn waits_grow_within_their_bounds_and_with_the_random_number() {
    let policy = RetryPolicy::default().retries(4).base(ms(100)).cap(ms(300));
    for (random, expected) in [(0.0, [50, 100, 150, 150]), (0.5, [75, 150, 225, 225])] {
        let options = options().timeout(ms(5_000)).retry_policy(policy);
        let client = client_with(options, (0..5).map(|_| reply(500, "")));
        client.transport().random.set(random);
        assert_eq!(
            client.command(&get()).await.unwrap_err().kind(),
            ErrorKind::Server
        );
        assert_eq!(*client.transport().slept.borrow(), expected.map(ms));
    }
}

#[tokio::test]
async fn the_deadline_holds_over_retries_and_no_wait_is_in_vain() {
    let policy = RetryPolicy::default().retries(99).base(ms(40)).cap(ms(40));
    let options = options().retry_policy(policy);
    let client = client_with(options, (0..99).map(|_| failed(TransportError::Broken)));
    let start = client.transport().now();
    let error = client.command(&get()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(client.transport().now().since(start) < ms(150));
    let timeouts: Vec<_> = client
        .transport()
        .sent
        .borrow()
        .iter()
        .map(|sent| sent.1)
        .collect();
    assert!(
        timeouts.windows(2).all(|pair| pair[1] < pair[0]),
        "{timeouts:?}"
    );
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let client = client([(u64::MAX, ok("{}").1)]);
    let start = client.transport().now();
    let error = client.command(&get()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (ErrorKind::Timeout, true)
    );
    assert_eq!(client.transport().now().since(start), ms(150));
}

#[tokio::test]
async fn what_redis_refuses_is_not_sent_again() {
    let quota = r#"{"error":"ERR max requests limit exceeded"}"#;
    for (status, text) in [
        (400, r#"{"error":"WRONGTYPE x"}"#),
        (400, quota),
        (401, ""),
        (200, "x"),
    ] {
        let client = client([reply(status, text)]);
        assert!(client.command(&get()).await.is_err());
        assert_eq!(sent(&client), 1);
    }
}

#[test]
fn no_policy_makes_the_wait_overflow() {
    for (base, cap) in [
        (Duration::MAX, Duration::MAX),
        (Duration::ZERO, Duration::MAX),
    ] {
        let policy = RetryPolicy::default().retries(u32::MAX).base(base).cap(cap);
        for (retry, random) in [
            (0, 1.0),
            (31, f64::INFINITY),
            (32, f64::NAN),
            (u32::MAX, -1.0),
        ] {
            assert!(policy.wait(retry, random) <= cap);
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_no_more_than_the_whole() {
    let client = client([failed(TransportError::Connect), ok(r#"{"result":1}"#)]);
    client
        .transport()
        .set_back_on_sleep
        .set(Some(Timestamp::from_millis(5)));
    assert_eq!(client.command(&get()).await, Ok(Value::Int(1)));
    assert!(
        client
            .transport()
            .sent
            .borrow()
            .iter()
            .all(|sent| sent.1 <= ms(150))
    );
}
