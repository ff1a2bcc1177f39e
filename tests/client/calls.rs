//! What the client sends, and what it makes of the replies.

use omnitrade_edge::redis::Value;

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
