//! What is told of calls: one span each, an event for each further attempt, and no secret.

use omnitrade_edge::redis::{Command, RestClient, Script};
use omnitrade_edge::transport::TransportError;

use crate::recorder::{Fields, Recorded, Recorder, field};
use crate::scripted::*;

/// Does the calls, and returns what was recorded of them.
async fn recorded(
    steps: impl IntoIterator<Item = Step>,
    calls: impl AsyncFnOnce(&RestClient<Scripted>),
) -> Recorded {
    let recorder = Recorder::default();
    let guard = tracing::subscriber::set_default(recorder.clone());
    calls(&client(steps)).await;
    drop(guard);
    recorder.take()
}

#[tokio::test]
async fn a_call_is_one_span_in_the_words_of_opentelemetry() {
    let recorded = recorded([ok(r#"{"result":"OK"}"#)], async |client| {
        client.command(&set()).await.unwrap();
    });
    let recorded = recorded.await;
    assert_eq!((recorded.spans.len(), recorded.events.len()), (1, 0));
    assert!(recorded.entered.contains(&1), "the work is done within it");
    let expected = [
        ("db.operation.name", "SET"),
        ("db.system.name", "redis"),
        ("omnitrade_edge.attempts", "1"),
        ("omnitrade_edge.outcome", "ok"),
        ("otel.kind", "client"),
        ("otel.name", "SET"),
    ];
    let expected: Fields = expected
        .map(|(name, value)| (name, value.to_owned()))
        .into();
    assert_eq!(recorded.spans[0], expected);
    assert!(recorded.text.starts_with("\nomnitrade_edge::redis redis "));
}

#[tokio::test]
async fn scripts_and_several_commands_are_told_apart() {
    let one = || ok(r#"{"result":1}"#);
    let two = || ok(r#"[{"result":1},{"result":1}]"#);
    let script = Script::new("return 1");
    let steps = [
        reply(400, NO_SCRIPT),
        one(),
        two(),
        two(),
        ok(r#"[{"result":1}]"#),
    ];
    let recorded = recorded(steps, async |client| {
        client
            .script(&script, &["key-s3cret"], ["arg-s3cret"])
            .await
            .unwrap();
        client.pipeline(&[get(), get()]).await.unwrap();
        client.multi(&[get(), set()]).await.unwrap();
        client.pipeline(&[get()]).await.unwrap();
        client.pipeline(&[]).await.unwrap();
    });
    let recorded = recorded.await;
    let told = recorded.spans.iter().map(|span| {
        [
            field(span, "db.operation.name"),
            field(span, "db.operation.batch.size"),
            field(span, "omnitrade_edge.attempts"),
        ]
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ["EVALSHA", "", "2"],
            ["PIPELINE GET", "2", "1"],
            ["MULTI", "2", "1"],
            ["GET", "", "1"],
        ]
    );
    assert_eq!(
        field(&recorded.spans[0], "db.stored_procedure.name"),
        script.sha()
    );
}

#[tokio::test]
async fn each_further_attempt_is_an_event_of_the_span() {
    let steps = [
        failed(TransportError::Connect),
        failed(TransportError::Broken),
        reply(503, ""),
    ];
    let recorded = recorded(steps, async |client| {
        client.command(&get()).await.unwrap_err();
    });
    let recorded = recorded.await;
    let told = recorded.events.iter().map(|(span, event)| {
        let names = [
            "omnitrade_edge.attempt",
            "error.type",
            "omnitrade_edge.may_have_run",
        ];
        (*span, names.map(|name| field(event, name)))
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (1, ["1", "unreachable", "false"]),
            (1, ["2", "unreachable", "true"]),
        ]
    );
    let names = [
        "omnitrade_edge.attempts",
        "omnitrade_edge.outcome",
        "omnitrade_edge.may_have_run",
        "error.type",
        "otel.status_code",
    ];
    let [span] = &recorded.spans[..] else {
        panic!("{:?}", recorded.spans);
    };
    assert_eq!(
        names.map(|name| field(span, name)),
        ["3", "server", "true", "server", "ERROR"]
    );
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_if_redis_has_such_a_code() {
    for (text, kind, code) in [
        ("WRONGTYPE Operation against a key", "command", "WRONGTYPE"),
        ("ERR syntax error", "command", "ERR"),
        ("SECRETWORD of a script", "command", ""),
        (
            "WRONGPASS invalid or missing auth token",
            "unauthorised",
            "",
        ),
    ] {
        let body = format!(r#"{{"error":"{text}"}}"#);
        let recorded = recorded([reply(400, &body)], async |client| {
            client.command(&set()).await.unwrap_err();
        });
        let [span] = &recorded.await.spans[..] else {
            panic!("{text}");
        };
        assert_eq!(field(span, "error.type"), kind);
        assert_eq!(field(span, "db.response.status_code"), code, "{text}");
    }
}

#[tokio::test]
async fn no_secret_is_recorded_wherever_it_stands() {
    let value = || ok(r#"{"result":"value-s3cret"}"#);
    let steps = [
        value(),
        reply(400, r#"{"error":"ERR the value s3cret is wrong"}"#),
        reply(400, r#"{"error":"S3CRET of a script"}"#),
        reply(400, r#"{"error":"WRONGTYPE 's3cret' is"}"#),
        reply(502, "<html>host-s3cret"),
        reply(502, "<html>host-s3cret"),
        reply(502, "<html>host-s3cret"),
        ok("s3cret"),
        value(),
        ok(r#"[{"error":"ERR s3cret"},{"result":"s3cret"}]"#),
        reply(401, r#"{"error":"WRONGPASS token-s3cret"}"#),
        value(),
        value(),
    ];
    let recorded = recorded(steps, async |client| {
        for _ in 0..6 {
            let _ = client.command(&get()).await;
        }
        let script = Script::new("return 's3cret'").repeatable();
        assert!(
            client
                .script(&script, &["key-s3cret"], ["s3cret"])
                .await
                .is_ok()
        );
        assert!(client.pipeline(&[get(), set()]).await.is_ok());
        assert!(client.multi(&[get(), set()]).await.is_err());
        // What is no name of a command may be a secret in the wrong place.
        for name in ["s3cret", "a secret s3cret of two words"] {
            assert!(client.command(&Command::new(name)).await.is_ok());
        }
    });
    let recorded = recorded.await;
    assert_eq!((recorded.spans.len(), recorded.events.len()), (11, 2));
    for secret in ["s3cret", "S3CRET", "example", "html"] {
        assert!(!recorded.text.contains(secret), "{}", recorded.text);
    }
}
