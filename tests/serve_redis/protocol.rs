//! `serve-redis` speaks Upstash's REST protocol: tests on a real Redis.

use crate::common::redis::RedisServer;
use crate::common::rest::{Answer, RestServer, send};
use reqwest::Method;
use serde_json::{Value, json};

fn start() -> (RedisServer, RestServer) {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), "secret");
    (redis, rest)
}

async fn get(rest: &RestServer, path: &str) -> Answer {
    send(rest.request(Method::GET, path)).await
}

#[tokio::test]
async fn a_command_is_a_json_array() {
    let (_redis, rest) = start();
    let ok = (200, json!({"result": "OK"}));
    assert_eq!(rest.command(json!(["SET", "k", "é\n\""])).await, ok);
    for (command, result) in [
        (json!(["GET", "k"]), json!("é\n\"")),
        (json!(["get", "absent"]), Value::Null),
        (json!(["INCRBY", "n", 7]), json!(7)),
        (json!(["RPUSH", "l", 1.5, true, null, "x"]), json!(4)),
        (
            json!(["LRANGE", "l", 0, -1]),
            json!(["1.5", "true", "null", "x"]),
        ),
        (json!(["MGET", "k", "absent"]), json!(["é\n\"", null])),
        (json!(["PING"]), json!("PONG")),
        (
            json!(["EVAL", "return {1, {2, 'a'}, {}, false}", 0]),
            json!([1, [2, "a"], [], null]),
        ),
        (
            json!(["EVAL", "return {1, {err = 'MY own error'}}", 0]),
            json!([1, "MY own error"]),
        ),
    ] {
        let answer = rest.command(command.clone()).await;
        assert_eq!(answer, (200, json!({"result": result})), "{command}");
    }
    let put = send(rest.request(Method::PUT, "/").body(r#"["GET", "n"]"#)).await;
    assert_eq!(put.json(), json!({"result": "7"}));
    assert_eq!(put.header("content-type"), "application/json");
}

#[tokio::test]
async fn errors_keep_the_text_that_redis_gave_them() {
    let (_redis, rest) = start();
    rest.command(json!(["SET", "k", "text"])).await;
    // Redis truncates long arguments when it quotes them, here in the middle of a character.
    let long = "€".repeat(100);
    for (command, error) in [
        (
            json!(["GET"]),
            "ERR wrong number of arguments for 'get' command".to_owned(),
        ),
        (
            json!(["LPUSH", "k", 1]),
            "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
        ),
        (
            json!(["INCR", "k"]),
            "ERR value is not an integer or out of range".into(),
        ),
        (
            json!(["EVALSHA", "0".repeat(40), 0]),
            "NOSCRIPT No matching script. Please use EVAL.".into(),
        ),
        (
            json!(["EVAL", "return {err = 'MYCODE is mine'}", 0]),
            "MYCODE is mine".into(),
        ),
        (json!(["EVAL", "return {err = 'é\\255'}", 0]), "é?".into()),
        (
            json!(["NOPE", long]),
            format!(
                "ERR unknown command 'NOPE', with args beginning with: '{}??' ",
                "€".repeat(42)
            ),
        ),
    ] {
        let answer = rest.command(command.clone()).await;
        assert_eq!(answer, (400, json!({"error": error})), "{command}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_command_is_refused() {
    let (_redis, rest) = start();
    for (path, body, error) in [
        ("/", "", "ERR failed to parse command"),
        ("/", "[\"GET\"", "ERR failed to parse command"),
        ("/", "{\"a\":1}", "ERR failed to parse command"),
        ("/", "[\"SET\",\"k\",{}]", "ERR failed to parse command"),
        ("/", "[]", "ERR empty command"),
        ("/pipeline", "", "ERR failed to parse pipeline request"),
        ("/pipeline", "[]", "ERR empty pipeline request"),
        ("/pipeline", "[[]]", "ERR empty pipeline command"),
        (
            "/pipeline",
            "[\"GET\",\"k\"]",
            "ERR failed to parse pipeline command",
        ),
        (
            "/multi-exec",
            "nonsense",
            "ERR failed to parse pipeline request",
        ),
        (
            "/get/%zz",
            "",
            "ERR failed to parse command: invalid URL escape",
        ),
    ] {
        let answer = rest.post(path, body).await;
        assert_eq!(answer.status, 400, "{path} {body}");
        assert_eq!(answer.json(), json!({"error": error}), "{path} {body}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_pipeline_answers_each_command() {
    let (_redis, rest) = start();
    let commands = json!([
        ["SET", "k", "v"],
        ["INCR", "k"],
        ["BLPOP", "list", 0],
        ["NOPE"],
        ["GET", "k"],
    ]);
    let answer = rest.post("/pipeline", commands.to_string()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!([
            {"result": "OK"},
            {"error": "ERR value is not an integer or out of range"},
            {"error": "ERR Command \"BLPOP\" is not allowed in REST or it has a special context path"},
            {"error": "ERR unknown command 'NOPE', with args beginning with: "},
            {"result": "v"},
        ])
    );
}

#[tokio::test]
async fn a_transaction_runs_whole_or_not_at_all() {
    let (_redis, rest) = start();
    let executed = json!([["SET", "k", "v"], ["INCR", "k"], ["GET", "k"]]);
    let answer = rest.post("/multi-exec", executed.to_string()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!([
            {"result": "OK"},
            {"error": "ERR value is not an integer or out of range"},
            {"result": "v"},
        ])
    );

    for (second, error) in [
        (
            json!(["NOPE"]),
            "EXECABORT Transaction discarded because of: ERR unknown command 'NOPE', with args beginning with: ",
        ),
        (
            json!(["GET"]),
            "EXECABORT Transaction discarded because of: ERR wrong number of arguments for 'get' command",
        ),
        (
            json!(["WATCH", "k"]),
            "ERR Command \"WATCH\" is not allowed in REST or it has a special context path",
        ),
    ] {
        let discarded = json!([["SET", "k", "never"], second]);
        let answer = rest.post("/multi-exec", discarded.to_string()).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json(), json!({"error": error}));
        let kept = rest.command(json!(["GET", "k"])).await;
        assert_eq!(kept, (200, json!({"result": "v"})));
    }
}

#[tokio::test]
async fn transactions_do_not_mix() {
    let (_redis, rest) = start();
    let body = json!([["INCR", "a"], ["INCR", "b"], ["MGET", "a", "b"]]).to_string();
    let answers = (0..50).map(|_| rest.post("/multi-exec", body.clone()));
    let singles = (0..50).map(|_| rest.command(json!(["INCR", "c"])));
    let (answers, _) = tokio::join!(all(answers), all(singles));
    for answer in answers {
        let json = answer.json();
        let (a, b) = (&json[2]["result"][0], &json[2]["result"][1]);
        assert_eq!(a, b, "something came in between: {json}");
    }
}

#[tokio::test]
async fn a_hundred_requests_at_once_each_get_their_own_answer() {
    let (_redis, rest) = start();
    let answers = all((0..100).map(|number| {
        let text = format!("text {number}");
        let rest = &rest;
        async move { (rest.command(json!(["ECHO", text])).await, text) }
    }));
    for (answer, text) in answers.await {
        assert_eq!(answer, (200, json!({"result": text})));
    }
}

/// Drives several futures at the same time on this task.
async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

#[tokio::test]
async fn a_path_is_a_command() {
    let (_redis, rest) = start();
    assert_eq!(
        get(&rest, "/set/foo/bar?EX=100").await.json(),
        json!({"result": "OK"})
    );
    let ttl = get(&rest, "/ttl/foo").await.json()["result"]
        .as_i64()
        .unwrap();
    assert!((90..=100).contains(&ttl), "{ttl}");
    assert_eq!(get(&rest, "/set/a%2Fb/c%20d+e").await.status, 200);
    assert_eq!(
        rest.command(json!(["GET", "a/b"])).await.1,
        json!({"result": "c d+e"})
    );

    const IS_RAW: &str = r"return redis.call('GET', KEYS[1]) == '\0\255\r\n/?'";
    let bytes = b"\x00\xff\r\n/?".to_vec();
    assert_eq!(
        rest.post("/set/raw?PX=100000&NX", bytes.clone())
            .await
            .status,
        200
    );
    let raw = rest.command(json!(["EVAL", IS_RAW, 1, "raw"])).await.1;
    assert_eq!(raw, json!({"result": 1}));
    assert_eq!(
        rest.post("/set/raw?NX", bytes).await.json(),
        json!({"result": null})
    );
    let put = send(rest.request(Method::PUT, "/set/put").body("value")).await;
    assert_eq!(put.json(), json!({"result": "OK"}));

    let failed = get(&rest, "/incr/foo").await;
    assert_eq!(failed.status, 400);
    assert_eq!(
        failed.json(),
        json!({"error": "ERR value is not an integer or out of range"})
    );

    let head = send(rest.request(Method::HEAD, "/set/by/head")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        get(&rest, "/get/by").await.json(),
        json!({"result": "head"})
    );
}

#[tokio::test]
async fn what_would_break_the_shared_connection_is_refused() {
    let (_redis, rest) = start();
    for name in [
        "SUBSCRIBE",
        "PSUBSCRIBE",
        "MONITOR",
        "BLPOP",
        "SELECT",
        "AUTH",
        "QUIT",
        "CLIENT",
        "MULTI",
        "EXEC",
        "WATCH",
        "HELLO",
        "RESET",
    ] {
        let error = format!(
            "ERR Command \"{name}\" is not allowed in REST or it has a special context path"
        );
        let answer = rest.command(json!([name.to_lowercase(), "x"])).await;
        assert_eq!(answer, (400, json!({"error": error})));
    }
    let blocking = rest
        .command(json!(["XREAD", "BLOCK", 0, "STREAMS", "s", "$"]))
        .await;
    assert_eq!(blocking.0, 400);
    assert_eq!(rest.command(json!(["PING"])).await.0, 200);
}

#[tokio::test]
async fn sync_tokens_grow_with_every_answer() {
    let (_redis, rest) = start();
    let mut latest = 0;
    for body in [
        "[\"SET\",\"k\",\"v\"]",
        "nonsense",
        "[\"NOPE\"]",
        "[\"GET\",\"k\"]",
    ] {
        let request = rest
            .request(Method::POST, "/")
            .header("upstash-sync-token", latest.to_string());
        let token = send(request.body(body))
            .await
            .header("upstash-sync-token")
            .parse()
            .unwrap();
        assert!(token > latest, "{token} after {latest}");
        latest = token;
    }
}
