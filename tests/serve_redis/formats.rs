//! How `serve-redis` writes replies: as text, as base64, as RESP2.

use crate::common::redis::RedisServer;
use crate::common::rest::{Answer, RestServer, send};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

fn start() -> (RedisServer, RestServer) {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), "secret");
    (redis, rest)
}

async fn base64(rest: &RestServer, path: &str, body: &Value) -> Answer {
    let request = rest
        .request(Method::POST, path)
        .header("Upstash-Encoding", "base64");
    send(request.body(body.to_string())).await
}

#[tokio::test]
async fn base64_carries_every_byte() {
    let (_redis, rest) = start();
    let every: String = (0..=255).map(|byte| format!("%{byte:02X}")).collect();
    let set = send(
        rest.request(Method::GET, &format!("/set/k/{every}"))
            .header("Upstash-Encoding", "base64"),
    );
    assert_eq!(set.await.json(), json!({"result": "OK"}));
    assert_eq!(
        rest.command(json!(["STRLEN", "k"])).await.1,
        json!({"result": 256})
    );

    let script = "return {redis.call('GET', KEYS[1]), 1, false, {'a'}}";
    let answer = base64(&rest, "/", &json!(["EVAL", script, 1, "k"]))
        .await
        .json();
    let encoded = answer["result"][0].as_str().unwrap();
    let decoded = STANDARD.decode(encoded).unwrap();
    assert_eq!(decoded, (0..=255).collect::<Vec<u8>>());
    assert_eq!(answer["result"][1], 1);
    assert_eq!(answer["result"][2], Value::Null);
    assert_eq!(answer["result"][3], json!(["YQ=="]));

    let commands = json!([["SET", "k", "OK"], ["GET", "k"], ["INCR", "k"], ["PING"]]);
    for path in ["/pipeline", "/multi-exec"] {
        let answer = base64(&rest, path, &commands).await.json();
        assert_eq!(
            answer,
            json!([
                {"result": "OK"},
                {"result": "T0s="},
                {"error": "ERR value is not an integer or out of range"},
                {"result": "UE9ORw=="},
            ])
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_replaced_in_json() {
    let (_redis, rest) = start();
    rest.post("/set/k", b"a\xffb".to_vec()).await;
    assert_eq!(
        send(rest.request(Method::GET, "/get/k")).await.json(),
        json!({"result": "a\u{fffd}b"})
    );
}

#[tokio::test]
async fn resp2_is_answered_raw() {
    let (_redis, rest) = start();
    let resp2 = |path: &str, body: &Value| {
        let request = rest
            .request(Method::POST, path)
            .header("Upstash-Response-Format", "resp2");
        send(request.body(body.to_string()))
    };
    let ok = resp2("/", &json!(["SET", "k", "v"])).await;
    assert_eq!((ok.status, ok.body.as_slice()), (200, &b"+OK\r\n"[..]));
    assert_eq!(ok.header("content-type"), "application/octet-stream");
    let list = resp2("/", &json!(["MGET", "k", "absent"])).await;
    assert_eq!(list.body, b"*2\r\n$1\r\nv\r\n$-1\r\n");
    let error = resp2("/", &json!(["INCR", "k"])).await;
    assert_eq!(error.status, 400);
    assert_eq!(
        error.body,
        b"-ERR value is not an integer or out of range\r\n"
    );
    let pipeline = resp2(
        "/pipeline",
        &json!([["GET", "k"], ["INCR", "k"], ["EXISTS", "k"]]),
    )
    .await;
    assert_eq!(pipeline.status, 200);
    assert_eq!(
        pipeline.body,
        b"$1\r\nv\r\n-ERR value is not an integer or out of range\r\n:1\r\n"
    );
    // A transaction is answered in JSON, whichever format was requested.
    let transaction = resp2("/multi-exec", &json!([["GET", "k"]])).await;
    assert_eq!(transaction.json(), json!([{"result": "v"}]));

    for (format, encoding) in [("resp2", "base64"), ("resp3", "")] {
        let request = rest
            .request(Method::POST, "/")
            .header("Upstash-Response-Format", format)
            .header("Upstash-Encoding", encoding)
            .body("[\"PING\"]");
        let answer = send(request).await;
        assert_eq!(answer.status, 400, "{format} {encoding}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("ERR "));
    }
}
