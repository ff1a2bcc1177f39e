//! Scripts that recognise their own repeats: the argument that they get, and when they are sent
//! again.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{RestClient, RetryPolicy, Script, Value};
use omnitrade_edge::transport::{Transport, TransportError};

use crate::scripted::*;

const REFUSAL: &str = r#"{"error":"ERR Unexpected flag in script shebang: allow-key-locking"}"#;
const ONE: &str = r#"{"result":1}"#;

fn script() -> Script {
    Script::new("return 1").repeatable()
}

fn broken() -> Step {
    failed(TransportError::Broken)
}

fn connect() -> Step {
    failed(TransportError::Connect)
}

/// For each request that was sent: its command and its last argument.
fn flags(client: &RestClient<Scripted>) -> Vec<String> {
    let flag = |index| {
        let sent: Vec<serde_json::Value> = serde_json::from_str(&body(client, index)).unwrap();
        let [command, flag] = [sent.first(), sent.last()].map(|item| item.unwrap().as_str());
        format!("{} {}", command.unwrap(), flag.unwrap())
    };
    (0..sent(client)).map(flag).collect()
}

/// Runs the script over a transport with these answers, and expects success.
async fn flags_over(steps: impl IntoIterator<Item = Step>) -> Vec<String> {
    let client = client(steps);
    assert_eq!(
        client.script(&script(), &["k"], [1]).await,
        Ok(Value::Int(1))
    );
    flags(&client)
}

#[tokio::test]
async fn the_flag_comes_after_all_other_arguments() {
    let client = client([ok(ONE), broken(), ok(ONE)]);
    for _ in 0..2 {
        assert!(client.script(&script(), &["k"], ["a", "b"]).await.is_ok());
    }
    let expected = |flag| {
        let sha = script().locking_sha().to_owned();
        format!(r#"["EVALSHA","{sha}",1,"k","a","b","{flag}"]"#)
    };
    assert_eq!(body(&client, 0), expected(0));
    assert_eq!(body(&client, 1), expected(0), "each call begins anew");
    assert_eq!(body(&client, 2), expected(1));
}

#[tokio::test]
async fn a_script_that_is_not_repeatable_gets_no_flag() {
    let once = Script::new("return 1");
    assert!(script().is_repeatable() && !once.is_repeatable());
    let client = client([connect(), reply(400, NO_SCRIPT), broken()]);
    let error = client.script(&once, &["k"], [7]).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (ErrorKind::Unreachable, true)
    );
    let sent: Vec<_> = (0..sent(&client))
        .map(|index| body(&client, index))
        .collect();
    assert_eq!(sent.len(), 3, "the broken one is the last");
    assert!(
        sent.iter().all(|body| body.ends_with(r#",1,"k",7]"#)),
        "{sent:?}"
    );
}

#[tokio::test]
async fn a_repeat_is_marked_once_an_attempt_may_have_run() {
    assert_eq!(
        flags_over([broken(), ok(ONE)]).await,
        ["EVALSHA 0", "EVALSHA 1"]
    );
    assert_eq!(
        flags_over([reply(503, ""), ok(ONE)]).await,
        ["EVALSHA 0", "EVALSHA 1"]
    );
    assert_eq!(
        flags_over([broken(), connect(), ok(ONE)]).await,
        ["EVALSHA 0", "EVALSHA 1", "EVALSHA 1"]
    );
}

#[tokio::test]
async fn a_retry_after_what_ran_nothing_is_not_marked() {
    let loading = r#"{"error":"LOADING Redis is loading the dataset in memory"}"#;
    for nothing_ran in [connect(), reply(429, ""), reply(400, loading)] {
        let flags = flags_over([nothing_ran, broken(), ok(ONE)]).await;
        assert_eq!(flags, ["EVALSHA 0", "EVALSHA 0", "EVALSHA 1"]);
    }
}

#[tokio::test]
async fn an_unknown_digest_and_a_refused_flag_are_no_attempts() {
    let no_script = || reply(400, NO_SCRIPT);
    let refused = || reply(400, REFUSAL);
    assert_eq!(
        flags_over([no_script(), refused(), no_script(), ok(ONE)]).await,
        ["EVALSHA 0", "EVAL 0", "EVALSHA 0", "EVAL 0"]
    );
    assert_eq!(
        flags_over([no_script(), broken(), ok(ONE)]).await,
        ["EVALSHA 0", "EVAL 0", "EVAL 1"]
    );
}

#[tokio::test]
async fn the_mark_stays_over_all_requests_of_the_call() {
    let no_script = || reply(400, NO_SCRIPT);
    assert_eq!(
        flags_over([
            broken(),
            no_script(),
            reply(400, REFUSAL),
            no_script(),
            ok(ONE)
        ])
        .await,
        ["EVALSHA 0", "EVALSHA 1", "EVAL 1", "EVALSHA 1", "EVAL 1"]
    );
    // If the last error says that nothing ran, that does not hold for the earlier attempts.
    for last in [no_script(), ok(NO_SCRIPT), reply(401, "")] {
        let client = client([broken(), no_script(), last]);
        let error = client.script(&script(), &["k"], [1]).await.unwrap_err();
        assert!(error.may_have_run(), "{error}");
        assert_eq!(flags(&client), ["EVALSHA 0", "EVALSHA 1", "EVAL 1"]);
    }
}

#[tokio::test]
async fn a_repeatable_script_is_not_sent_again_once_the_time_is_up() {
    let silent = || (u64::MAX, ok("{}").1);
    for (steps, count) in [(vec![silent()], 1), (vec![broken(), silent()], 2)] {
        let client = client(steps);
        let start = client.transport().now();
        let error = client.script(&script(), &["k"], [1]).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.may_have_run()),
            (ErrorKind::Timeout, true)
        );
        assert_eq!(client.transport().now().since(start), ms(150));
        assert_eq!(sent(&client), count);
    }
}

#[tokio::test]
async fn a_repeatable_script_keeps_to_the_policy() {
    let none = client_with(options().retries(0), [broken()]);
    assert!(none.script(&script(), &["k"], [1]).await.is_err());
    let policy = RetryPolicy::default().retries(3).base(ms(10)).cap(ms(20));
    let steps = (0..4).map(|_| broken());
    let three = client_with(options().retry_policy(policy), steps);
    assert!(three.script(&script(), &["k"], [1]).await.is_err());
    assert_eq!(*three.transport().slept.borrow(), [5, 10, 10].map(ms));
}

#[tokio::test]
async fn what_redis_refuses_is_not_repeated() {
    for (status, text) in [
        (400, r#"{"error":"WRONGTYPE x"}"#),
        (400, r#"{"error":"ERR max requests limit exceeded"}"#),
        (401, ""),
        (200, "x"),
    ] {
        let client = client([reply(status, text)]);
        assert!(client.script(&script(), &["k"], [1]).await.is_err());
        assert_eq!(sent(&client), 1);
    }
}
