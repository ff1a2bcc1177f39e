//! What is told of calls: one span each, an event for each further attempt, and no secret.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use omnitrade_edge::redis::{Command, RestClient, Script};
use omnitrade_edge::transport::TransportError;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::scripted::*;

type Fields = BTreeMap<&'static str, String>;

/// What was recorded: the fields of each span, and those of each event.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    spans: Vec<Fields>,
    /// The number of the span, and the fields.
    events: Vec<(u64, Fields)>,
    /// How many spans are entered, so that what goes on is known to belong to one.
    entered: Vec<u64>,
    /// All names, targets and values.
    text: String,
}

struct Visitor<'a>(&'a mut Fields, &'a mut String);

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.1, "{}={value} ", field.name()).unwrap();
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Recorded {
    fn note(&mut self, metadata: &Metadata<'_>) {
        let (name, target) = (metadata.name(), metadata.target());
        write!(self.text, "\n{target} {name} ").unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut recorded = self.0.lock().unwrap();
        recorded.note(span.metadata());
        let mut fields = Fields::new();
        span.record(&mut Visitor(&mut fields, &mut recorded.text));
        recorded.spans.push(fields);
        Id::from_u64(recorded.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let recorded = &mut *self.0.lock().unwrap();
        let fields = &mut recorded.spans[span.into_u64() as usize - 1];
        values.record(&mut Visitor(fields, &mut recorded.text));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut recorded = self.0.lock().unwrap();
        recorded.note(event.metadata());
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields, &mut recorded.text));
        let parent = event.parent().map_or(0, Id::into_u64);
        recorded.events.push((parent, fields));
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {}
}

/// Does the calls, and returns what was recorded of them.
async fn recorded(
    steps: impl IntoIterator<Item = Step>,
    calls: impl AsyncFnOnce(&RestClient<Scripted>),
) -> Recorded {
    let recorder = Recorder::default();
    let guard = tracing::subscriber::set_default(recorder.clone());
    calls(&client(steps)).await;
    drop(guard);
    std::mem::take(&mut recorder.0.lock().unwrap())
}

/// The value of a field; empty if it was not recorded.
fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
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
