//! What is sent, and what comes back.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{Arg, Script, Value};
use omnitrade_edge::transport::Transport;

use crate::scripted::*;

#[tokio::test]
async fn a_command_is_one_post_with_the_token() {
    let client = client_with(options().base64(true), [ok(r#"{"result":"YQ=="}"#)]);
    assert_eq!(client.command(&get()).await, Ok(Value::from("a")));
    let sent = client.transport().sent.borrow();
    let (request, timeout, max_bytes) = &sent[0];
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "https://host-s3cret.example/prefix/");
    assert_eq!(request.headers()["authorization"], "Bearer token-s3cret");
    assert_eq!(request.headers()["upstash-encoding"], "base64");
    assert_eq!(request.body(), r#"["GET","key-s3cret"]"#);
    assert_eq!((*timeout, *max_bytes), (ms(150), 1000));
    assert!(!format!("{request:?}").contains("token-s3cret"));
}

#[tokio::test]
async fn a_pipeline_gives_each_command_its_own_result() {
    let client = client([ok(
        r#"[{"result":"OK"},{"error":"WRONGTYPE x"},{"result":null}]"#,
    )]);
    let results = client.pipeline(&[set(), get(), get()]).await.unwrap();
    assert_eq!(results[0], Ok(Value::from("OK")));
    assert_eq!(
        results[1].as_ref().unwrap_err().redis_code(),
        Some("WRONGTYPE")
    );
    assert_eq!(results[2], Ok(Value::Null));
    assert_eq!(
        body(&client, 0),
        r#"[["SET","key-s3cret","value-s3cret"],["GET","key-s3cret"],["GET","key-s3cret"]]"#
    );
    assert!(
        client.transport().sent.borrow()[0]
            .0
            .uri()
            .path()
            .ends_with("/prefix/pipeline")
    );
}

#[tokio::test]
async fn a_transaction_succeeds_or_fails_as_a_whole() {
    let abort = r#"{"error":"EXECABORT Transaction discarded because of previous errors."}"#;
    let client = client([ok(r#"[{"result":1}]"#), reply(400, abort)]);
    assert_eq!(client.multi(&[get()]).await, Ok(vec![Ok(Value::Int(1))]));
    assert!(
        client.transport().sent.borrow()[0]
            .0
            .uri()
            .path()
            .ends_with("/prefix/multi-exec")
    );
    let error = client.multi(&[get()]).await.unwrap_err();
    assert_eq!(error.redis_code(), Some("EXECABORT"));
}

#[tokio::test]
async fn nothing_is_sent_for_no_commands() {
    let client = client([]);
    assert_eq!(client.pipeline(&[]).await, Ok(Vec::new()));
    assert_eq!(client.multi(&[]).await, Ok(Vec::new()));
    assert_eq!(sent(&client), 0);
}

#[tokio::test]
async fn a_script_goes_by_digest_and_once_by_source_if_unknown() {
    let script = Script::new("return '\"'");
    let client = client([
        reply(400, NO_SCRIPT),
        ok(r#"{"result":1}"#),
        ok(r#"{"result":2}"#),
    ]);
    let keys = ["k1".to_owned(), "k2".to_owned()];
    let args = [Arg::from("a"), Arg::from(5)];
    assert_eq!(client.script(&script, &keys, args).await, Ok(Value::Int(1)));
    assert_eq!(
        client.script(&script, &[""; 0], [7]).await,
        Ok(Value::Int(2))
    );
    assert_eq!(
        body(&client, 0),
        format!(r#"["EVALSHA","{}",2,"k1","k2","a",5]"#, script.sha())
    );
    assert_eq!(
        body(&client, 1),
        r#"["EVAL","return '\"'",2,"k1","k2","a",5]"#
    );
    assert_eq!(
        body(&client, 2),
        format!(r#"["EVALSHA","{}",0,7]"#, script.sha())
    );
}

#[tokio::test]
async fn a_script_that_stays_unknown_is_an_error_after_one_source() {
    let client = client([reply(400, NO_SCRIPT), ok(NO_SCRIPT)]);
    let error = client
        .script(&Script::new("return 1"), &["k"], [1])
        .await
        .unwrap_err();
    assert_eq!((error.redis_code(), sent(&client)), (Some("NOSCRIPT"), 2));
}

#[tokio::test]
async fn an_error_that_a_script_makes_up_does_not_run_it_again() {
    let text = r#"{"error":"NOSCRIPT made up script: f00, on @user_script:1."}"#;
    let client = client([reply(400, text)]);
    let error = client
        .script(&Script::new("return 1"), &["k"], [1])
        .await
        .unwrap_err();
    assert!(error.may_have_run());
    assert_eq!(sent(&client), 1);
}

#[tokio::test]
async fn a_script_shares_one_deadline_over_both_requests() {
    let slow = |step: Step, after| (after, step.1);
    let client = client([slow(reply(400, NO_SCRIPT), 100), slow(ok("{}"), 100)]);
    let start = client.transport().now();
    let error = client
        .script(&Script::new("return 1"), &["k"], [1])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (ErrorKind::Timeout, true)
    );
    assert_eq!(client.transport().now().since(start), ms(150));
    assert_eq!(client.transport().sent.borrow()[1].1, ms(50));
}

#[tokio::test]
async fn each_request_carries_the_sync_token_of_the_latest_reply() {
    let client = client([
        with_sync(ok(r#"{"result":"OK"}"#), "first"),
        with_sync(reply(400, r#"{"error":"ERR x"}"#), "second"),
        ok(r#"[{"result":1}]"#),
        with_sync(reply(500, ""), &"x".repeat(2_000)),
        ok(r#"{"result":1}"#),
    ]);
    assert!(client.command(&set()).await.is_ok());
    assert!(client.command(&set()).await.is_err());
    assert!(client.pipeline(&[get()]).await.is_ok());
    assert!(client.command(&get()).await.is_ok());
    let tokens: Vec<_> = (0..5)
        .map(|i| header(&client, i, "upstash-sync-token"))
        .collect();
    let some = |token: &str| Some(token.to_owned());
    assert_eq!(
        tokens,
        [
            None,
            some("first"),
            some("second"),
            some("second"),
            some("second")
        ]
    );
}
