use bytes::Bytes;
use http::StatusCode;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::redis::Command;

/// The JSON that a server makes of a reply.
fn as_json(value: &Value, base64: bool) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(number) => json!(number),
        Value::Bytes(bytes) if base64 && bytes != "OK" => json!(STANDARD.encode(bytes)),
        Value::Bytes(bytes) => json!(std::str::from_utf8(bytes).unwrap()),
        Value::Array(values) => values.iter().map(|value| as_json(value, base64)).collect(),
        Value::Error(error) => json!({ "error": error.to_string() }),
    }
}

fn values(bytes: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(Value::from("OK")),
        any::<i64>().prop_map(Value::Int),
        bytes.prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(6, 40, 8, |inner| vec(inner, 0..8).prop_map(Value::Array))
        .boxed()
}

fn reply(json: &Json) -> Vec<u8> {
    serde_json::to_vec(json).unwrap()
}

fn one(json: &str) -> Result<Value, Error> {
    read_one(json.as_bytes(), false, "GET")
}

proptest! {
    #[test]
    fn text_replies_come_back_as_they_are(value in values(any::<String>().prop_map(Vec::from).boxed())) {
        let json = reply(&json!({ "result": as_json(&value, false) }));
        prop_assert_eq!(read_one(&json, false, "GET"), Ok(value));
    }

    #[test]
    fn binary_replies_come_back_as_they_are(value in values(vec(any::<u8>(), 0..40).boxed())) {
        let json = reply(&json!({ "result": as_json(&value, true) }));
        prop_assert_eq!(read_one(&json, true, "GET"), Ok(value));
    }

    #[test]
    fn several_replies_keep_their_order(values in vec(values(any::<String>().prop_map(Vec::from).boxed()), 0..6)) {
        let json: Json = values.iter().map(|value| json!({ "result": as_json(value, false) })).collect();
        let read = read_many(&reply(&json), false, &vec!["GET"; values.len()]);
        prop_assert_eq!(read, Ok(values.into_iter().map(Ok).collect::<Vec<_>>()));
    }

    #[test]
    fn commands_arrive_as_they_were_given(name in "[A-Z]{1,9}", texts in vec(any::<String>(), 0..6), int in any::<i64>(), uint in any::<u64>()) {
        let command = Command::new(&name).args(&texts).arg(int).arg(uint);
        let mut body = Vec::new();
        push_open_arrays(&mut body, [command.open_json(), command.open_json()].into_iter());
        let arrived: Vec<Vec<Json>> = serde_json::from_slice(&body).unwrap();
        let arrived: Vec<Vec<String>> = arrived
            .into_iter()
            .map(|command| command.into_iter().map(|arg| arg.as_str().map_or(arg.to_string(), String::from)).collect())
            .collect();
        let mut given = vec![name];
        given.extend(texts);
        given.extend([int.to_string(), uint.to_string()]);
        prop_assert_eq!(arrived, vec![given.clone(), given]);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in vec(any::<u8>(), 0..200), base64: bool) {
        let _ = read_one(&bytes, base64, "GET");
        let _ = read_many(&bytes, base64, &["GET"; 3]);
        let _ = failure::from_reply(StatusCode::BAD_REQUEST, &bytes, None);
    }

    #[test]
    fn no_near_miss_makes_reading_panic(text in r#"(\[|\{|"|result|error|:|,|null|-?[0-9]{1,20}|e|\.|\\u[d-f][8-f]00|OK|T0s=|\]|\}){0,30}"#, base64: bool) {
        let _ = read_one(text.as_bytes(), base64, "GET");
        let _ = read_many(text.as_bytes(), base64, &["GET"; 3]);
        let _ = failure::from_reply(StatusCode::BAD_REQUEST, text.as_bytes(), None);
    }
}

#[test]
fn integers_beyond_a_double_go_as_strings() {
    let command = Command::new("X")
        .arg(MAX_EXACT)
        .arg(MAX_EXACT + 1)
        .arg(i64::MIN)
        .arg(-1);
    let mut body = command.open_json().to_vec();
    body.push(b']');
    let expected = r#"["X",9007199254740991,"9007199254740992","-9223372036854775808",-1]"#;
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn what_is_not_of_the_protocol_is_refused() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "<html>",
        "{\"result\":",
        "{\"result\":1} x",
        "{\"result\":1.5}",
        "{\"result\":true}",
        "{\"result\":9223372036854775808}",
        "{\"result\":{\"a\":1}}",
        "{\"error\":7}",
        "{\"result\":\"\\ud800\"}",
        "\"text\"",
    ] {
        assert_eq!(one(text).unwrap_err().kind(), ErrorKind::Protocol, "{text}");
    }
    let invalid_utf8 = read_one(b"{\"result\":\"\xff\"}", false, "GET");
    assert_eq!(invalid_utf8.unwrap_err().kind(), ErrorKind::Protocol);
}

#[test]
fn the_reply_is_never_quoted() {
    let error = one("{\"result\":{\"s3cret\":1}}").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[test]
fn unknown_fields_are_passed_over() {
    assert_eq!(
        one(r#"{"time":{"ms":[1]},"result":1,"error":null}"#),
        Ok(Value::Int(1))
    );
    assert_eq!(
        one(r#"{"result":null,"error":"WRONGTYPE x"}"#)
            .unwrap_err()
            .redis_code(),
        Some("WRONGTYPE")
    );
}

#[test]
fn a_reply_nested_without_end_is_refused() {
    let deep = "{\"result\":".to_owned() + &"[".repeat(1_000_000);
    assert_eq!(one(&deep).unwrap_err().kind(), ErrorKind::Protocol);
    let errors = "{\"result\":".repeat(1_000_000);
    assert_eq!(one(&errors).unwrap_err().kind(), ErrorKind::Protocol);
}

#[test]
fn base64_is_taken_off_everything_but_ok() {
    let reply = br#"{"result":["OK","T0s=",["YQ==",["/w=="]],1,null,""]}"#;
    let bytes = |bytes: &'static [u8]| Value::Bytes(Bytes::from_static(bytes));
    let expected = Value::Array(vec![
        bytes(b"OK"),
        bytes(b"OK"),
        Value::Array(vec![bytes(b"a"), Value::Array(vec![bytes(b"\xff")])]),
        Value::Int(1),
        Value::Null,
        bytes(b""),
    ]);
    assert_eq!(read_one(reply, true, "GET"), Ok(expected));
    let plain = read_one(br#"{"result":"plain text"}"#, true, "GET");
    assert_eq!(plain.unwrap_err().kind(), ErrorKind::Protocol);
}

#[test]
fn several_replies_must_be_as_many_as_the_commands() {
    let kind = |text: &str, count| {
        read_many(text.as_bytes(), false, &vec!["GET"; count])
            .unwrap_err()
            .kind()
    };
    assert_eq!(kind(r#"[{"result":1}]"#, 2), ErrorKind::Protocol);
    assert_eq!(
        kind(r#"[{"result":1},{"result":2}]"#, 1),
        ErrorKind::Protocol
    );
    assert_eq!(kind(r#"{"result":1}"#, 1), ErrorKind::Protocol);
    assert_eq!(
        kind(r#"{"error":"EXECABORT Transaction discarded"}"#, 2),
        ErrorKind::Command
    );
    let mixed = read_many(
        br#"[{"result":1},{"error":"WRONGTYPE x"}]"#,
        false,
        &["GET"; 2],
    )
    .unwrap();
    assert_eq!(mixed[0], Ok(Value::Int(1)));
    assert_eq!(
        mixed[1].as_ref().unwrap_err().redis_code(),
        Some("WRONGTYPE")
    );
}

#[test]
fn an_error_inside_an_array_stays_there() {
    let Ok(Value::Array(values)) = one(r#"{"result":[1,{"error":"ERR x"}]}"#) else {
        panic!("an array was expected");
    };
    assert!(matches!(&values[1], Value::Error(error) if error.kind() == ErrorKind::Command));
}
