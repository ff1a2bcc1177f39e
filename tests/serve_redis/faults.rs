//! Faults around `serve-redis`: requests without the token, requests that are too large, a Redis
//! that is gone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};

use crate::common::redis::{RedisServer, free_port};
use crate::common::rest::{PROGRAM, RestServer, send};
use crate::common::{PATIENCE, eventually};
use reqwest::Method;
use serde_json::json;

const TOKEN: &str = "a-secret-token";
const LIMIT: usize = 10 * 1024 * 1024;

#[tokio::test]
async fn only_the_token_opens_it() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let refused = json!({"error": "WRONGPASS invalid or missing auth token"});
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a-secret",
        "Bearer a-secret-token-",
        TOKEN,
    ] {
        let request = rest
            .anonymous(Method::GET, "/ping")
            .header("Authorization", value);
        let answer = send(request).await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, refused.clone()),
            "{value:?}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for path in [
        "/ping",
        "/ping?_token=",
        "/ping?_token=wrong",
        "/?token=a-secret-token",
    ] {
        let answer = send(rest.anonymous(Method::GET, path)).await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, refused.clone()),
            "{path}"
        );
    }

    let lower = rest
        .anonymous(Method::GET, "/ping")
        .header("Authorization", format!("bearer {TOKEN}"));
    assert_eq!(send(lower).await.status, 200);
    let path = format!("/set/k/v?_token={TOKEN}&EX=9");
    assert_eq!(
        send(rest.anonymous(Method::GET, &path)).await.json(),
        json!({"result": "OK"})
    );
    let path = format!("/pipeline?_token={TOKEN}");
    let answer = send(rest.anonymous(Method::POST, &path).body(r#"[["GET","k"]]"#)).await;
    assert_eq!(answer.json(), json!([{"result": "v"}]));
    assert!(!rest.log().contains(TOKEN), "{}", rest.log());
}

#[tokio::test]
async fn other_methods_are_refused() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    for method in [Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = send(rest.request(method.clone(), "/ping")).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "HEAD, GET, POST, PUT");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("ERR "));
    }
}

#[tokio::test]
async fn ten_megabytes_pass_and_one_byte_more_does_not() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let full = rest.post("/set/k", vec![b'x'; LIMIT]).await;
    assert_eq!((full.status, full.json()), (200, json!({"result": "OK"})));
    let (_, length) = rest.command(json!(["STRLEN", "k"])).await;
    assert_eq!(length, json!({"result": LIMIT}));
    let back = send(rest.request(Method::GET, "/get/k")).await;
    assert_eq!(back.body.len(), LIMIT + br#"{"result":""}"#.len());

    for path in ["/set/k", "/", "/pipeline", "/multi-exec"] {
        let over = rest.post(path, vec![b'y'; LIMIT + 1]).await;
        assert_eq!(over.status, 413, "{path}");
        let error = "ERR max request size exceeded. Limit: 10485760 bytes, Actual: 10485761 bytes";
        assert_eq!(over.json(), json!({"error": error}), "{path}");
    }
    assert!(announce(&rest, LIMIT).starts_with("HTTP/1.1 100 "));
    assert!(announce(&rest, LIMIT + 1).starts_with("HTTP/1.1 413 "));
    let kept = send(rest.request(Method::GET, "/getrange/k/0/0")).await;
    assert_eq!(kept.json(), json!({"result": "x"}));
}

/// Announces a body of this length, as curl does, and returns the answer that comes before the body
/// is sent.
fn announce(rest: &RestServer, length: usize) -> String {
    let mut stream = TcpStream::connect(rest.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /set/k?_token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[tokio::test]
async fn a_redis_that_dies_is_noticed_at_once_and_one_that_returns_too() {
    let mut redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    for round in 0..3 {
        let up = rest.command(json!(["INCR", "n"])).await;
        assert_eq!(up, (200, json!({"result": 1})), "round {round}");

        redis.stop();
        for (path, body) in [
            ("/", r#"["GET","n"]"#),
            ("/pipeline", r#"[["GET","n"]]"#),
            ("/multi-exec", r#"[["GET","n"]]"#),
        ] {
            let answer = rest.post(path, body).await;
            assert_eq!(answer.status, 503, "{path}");
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(
                error.starts_with("ERR ") && !error.contains("127.0.0.1"),
                "{error}"
            );
        }

        // There is no back-off: the first request after the return is served.
        redis.restart();
        let back = rest.command(json!(["DBSIZE"])).await;
        assert_eq!(back, (200, json!({"result": 0})), "round {round}");
    }
}

#[tokio::test]
async fn clients_do_not_notice_a_redis_that_was_swapped_between_two_requests() {
    let mut redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    for round in 1..=5 {
        assert_eq!(rest.command(json!(["SET", "k", "v"])).await.0, 200);
        redis.restart();
        eventually("the end of the connection is seen", || {
            (rest.log().matches("connection to Redis is gone").count() == round).then_some(())
        });
        assert_eq!(
            rest.command(json!(["EXISTS", "k"])).await,
            (200, json!({"result": 0}))
        );
    }
}

#[tokio::test]
async fn a_redis_that_comes_late_is_served() {
    let mut redis = RedisServer::start();
    redis.stop();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let answer = rest.command(json!(["PING"])).await;
    assert_eq!(
        answer,
        (503, json!({"error": "ERR Redis cannot be reached"}))
    );
    redis.restart();
    assert_eq!(rest.command(json!(["PING"])).await.0, 200);
}

#[cfg(unix)]
#[tokio::test]
async fn a_redis_that_hangs_is_not_waited_for() {
    let redis = RedisServer::start();
    let rest = RestServer::start_with(&redis.url(), TOKEN, &["--redis-timeout", "1"]);
    assert_eq!(rest.command(json!(["PING"])).await.0, 200);
    redis.pause();
    // The first request was sent and not answered; the next one does not get a connection.
    assert_eq!(rest.command(json!(["PING"])).await.0, 504);
    assert_eq!(rest.command(json!(["PING"])).await.0, 503);
    redis.resume();
    assert_eq!(rest.command(json!(["PING"])).await.0, 200);
}

#[tokio::test]
async fn a_password_is_used_and_kept_secret() {
    let redis = RedisServer::start_with(&["--requirepass", "hush-hush"]);
    let address = redis.url().replace("redis://", "");
    let rest = RestServer::start(&format!("redis://:hush-hush@{address}/3"), TOKEN);
    assert_eq!(rest.command(json!(["SET", "k", "v"])).await.0, 200);
    let (_, info) = rest.command(json!(["INFO", "keyspace"])).await;
    assert!(
        info["result"].as_str().unwrap().contains("db3:keys=1"),
        "{info}"
    );

    assert!(
        !rest.log().contains("hush-hush") && !rest.log().contains(TOKEN),
        "{}",
        rest.log()
    );
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_ends_it_well() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    assert_eq!(rest.command(json!(["PING"])).await.0, 200);
    let (status, printed) = rest.terminate();
    assert!(status.success(), "{status}");
    assert_eq!(printed, "", "only the one line goes to stdout");
}

#[test]
fn wrong_usage_ends_with_2_and_failure_with_1() {
    let redis = RedisServer::start();
    let taken = format!("127.0.0.1:{}", redis.port());
    let free = format!("127.0.0.1:{}", free_port());
    for (arguments, code) in [
        (&["serve-redis", "--listen", &free][..], 2),
        (&["serve-redis", "--token", ""], 2),
        (&["serve-redis", "--token", "t", "--listen", "nowhere"], 2),
        (
            &["serve-redis", "--token", "t", "--redis", "http://u:hush@h"],
            2,
        ),
        (&["serve-redis", "--token", "t", "--redis-timeout", "0"], 2),
        (&["nonsense"], 2),
        (
            &["serve-redis", "--token", "t", "--listen", "256.0.0.1:1"],
            1,
        ),
        (&["serve-redis", "--token", "t", "--listen", &taken], 1),
        (&["--help"], 0),
        (&["serve-redis", "--help"], 0),
    ] {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("hush"),
            "{output:?}"
        );
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env_remove("OMNITRADE_TOKEN")
        .env_remove("OMNITRADE_REDIS_URL")
        .output()
        .unwrap()
}
