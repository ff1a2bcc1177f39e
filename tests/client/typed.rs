//! Replies as types: of one command, of several, and of a script.

use std::collections::HashMap;

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Command, Script};
use omnitrade_edge::transport::TransportError;

use crate::scripted::*;

#[tokio::test]
async fn a_reply_is_read_as_the_type_that_is_asked_for() {
    let client = client([
        ok(r#"{"result":null}"#),
        ok(r#"{"result":"7"}"#),
        ok(r#"{"result":["a","1","b","2"]}"#),
        ok(r#"{"result":[1,"x"]}"#),
    ]);
    assert_eq!(client.command_as::<Option<String>>(&get()).await, Ok(None));
    assert_eq!(client.command_as::<u64>(&get()).await, Ok(7));
    let all = Command::new("HGETALL").arg("key-s3cret");
    let map: HashMap<String, u32> = client.command_as(&all).await.unwrap();
    assert_eq!((map["a"], map["b"]), (1, 2));
    let script = Script::new("return {1, 'x'}");
    let pair: (bool, String) = client.script_as(&script, &["k"], [1]).await.unwrap();
    assert_eq!(pair, (true, "x".to_owned()));
}

#[tokio::test]
async fn a_pipeline_and_a_transaction_are_read_as_tuples() {
    let reply = || ok(r#"[{"result":"a"},{"result":2},{"result":["x",null]}]"#);
    let client = client([reply(), reply()]);
    let commands = [get(), Command::new("INCR").arg("n"), get()];
    type Three = (Option<String>, i64, Vec<Option<String>>);
    let expected = || (Some("a".to_owned()), 2, vec![Some("x".to_owned()), None]);
    assert_eq!(client.pipeline_as::<Three>(&commands).await, Ok(expected()));
    assert_eq!(client.multi_as::<Three>(&commands).await, Ok(expected()));
    let paths = [0, 1].map(|n| {
        client.transport().sent.borrow()[n]
            .0
            .uri()
            .path()
            .to_owned()
    });
    assert_eq!(paths, ["/prefix/pipeline", "/prefix/multi-exec"]);
}

#[tokio::test]
async fn errors_of_a_pipeline_stay_apart_where_a_result_is_asked_for() {
    let reply = || ok(r#"[{"result":"a"},{"error":"LOADING x"},{"result":"no-s3cret"}]"#);
    let client = client([reply(), reply(), reply()]);
    let commands = [get(), get(), get()];
    type Apart = (String, Result<String, Error>, Result<i64, Error>);
    let (first, second, third) = client.pipeline_as::<Apart>(&commands).await.unwrap();
    assert_eq!(first, "a");
    let second = second.unwrap_err();
    assert_eq!(
        (second.kind(), second.may_have_run(), second.command()),
        (ErrorKind::Server, false, Some("GET"))
    );
    let third = third.unwrap_err();
    assert_eq!(third.kind(), ErrorKind::UnexpectedType);
    assert_clean(&third);

    // The whole fails with the first that failed; by then the others have run.
    for error in [
        client.pipeline_as::<(String, (), ())>(&commands).await,
        client.multi_as::<(String, (), ())>(&commands).await,
    ] {
        let error = error.unwrap_err();
        assert_eq!(
            (
                error.kind(),
                error.may_have_run(),
                error.retry_is_safe(false)
            ),
            (ErrorKind::Server, true, false)
        );
    }
}

#[tokio::test]
async fn a_transaction_that_fails_as_a_whole_has_no_values() {
    let abort = r#"{"error":"EXECABORT Transaction discarded because of previous errors."}"#;
    let client = client([reply(400, abort), failed(TransportError::Broken)]);
    let all = async || client.multi_as::<(Result<(), Error>,)>(&[set()]).await;
    assert_eq!(all().await.unwrap_err().redis_code(), Some("EXECABORT"));
    let broken = all().await.unwrap_err();
    assert!(broken.may_have_run() && !broken.retry_is_safe(false));
}

#[tokio::test]
async fn another_type_is_named_with_its_place_and_not_shown() {
    let secret = ok(r#"[{"result":["value-s3cret"]},{"result":1}]"#);
    let client = client([ok(r#"{"result":"value-s3cret"}"#), secret]);
    let error = client.command_as::<i64>(&get()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store's reply is of another type: expected an integer of type i64, found another string"
    );
    assert!(error.may_have_run() && !error.retry_is_safe(true));
    assert_clean(&error);
    let commands = [get(), get()];
    let error = client.pipeline_as::<(Vec<f64>, i64)>(&commands).await;
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains(": [0][0]: expected a number"),
        "{error}"
    );
    assert_clean(&error);
}
