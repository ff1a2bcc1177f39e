//! `serve-redis` before a Redis that serves nobody by the address given: it ends and says what is
//! wrong, or, if that comes later, answers with it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::common::TempDir;
use crate::common::redis::{RedisServer, free_port};
use crate::common::rest::{PROGRAM, RestServer};

const TOKEN: &str = "a-secret-token";

/// Starts it where it ends by itself.
fn start(redis_url: &str) -> Output {
    let child = Command::new(PROGRAM)
        .args(["serve-redis", "--listen", "127.0.0.1:0"])
        .env("OMNITRADE_REDIS_URL", redis_url)
        .env("OMNITRADE_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.wait_with_output().unwrap()
}

/// It ended with 2, was never ready, and said this.
#[track_caller]
fn assert_refused(redis_url: &str, words: &[&str]) {
    let output = start(redis_url);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(output.stdout, b"", "{said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("error: --redis: "), "{said}");
    for word in words {
        assert!(last.contains(word), "no {word} in {said}");
    }
    assert!(
        !said.contains("hush") && !said.contains("127.0.0.1"),
        "{said}"
    );
}

/// A server that says this to everybody at once, and hangs up.
fn one_that_says(text: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // It may be gone already.
            let _ = stream.write_all(text);
            let _ = stream.read(&mut [0; 256]);
        }
    });
    port
}

#[test]
fn a_password_that_lacks_or_is_wrong_ends_it_at_the_start() {
    let redis = RedisServer::start_with(&["--requirepass", "hush-hush"]);
    let at = |user: &str| redis.url().replace("redis://", &format!("redis://{user}"));
    let remedy = "`OMNITRADE_REDIS_URL`";
    assert_refused(&at(""), &["NOAUTH", "Redis wants a password", remedy]);
    assert_refused(&at(":hush@"), &["WRONGPASS", remedy]);
    assert_refused(&at("somebody:hush-hush@"), &["WRONGPASS", remedy]);

    let open = RedisServer::start();
    let at = |user: &str, path: &str| {
        let address = open.url().replace("redis://", "");
        format!("redis://{user}{address}{path}")
    };
    assert_refused(&at(":hush@", ""), &["Redis has no password", remedy]);
    assert_refused(&at("", "/99"), &["no database of that number", remedy]);
}

#[test]
fn protected_mode_and_a_tls_port_end_it_at_the_start() {
    let denied =
        b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n";
    let port = one_that_says(denied);
    let url = format!("redis://127.0.0.1:{port}");
    assert_refused(&url, &["DENIED", "protected mode", "`requirepass`"]);

    let alert = one_that_says(b"\x15\x03\x03\x00\x02\x02\x46");
    assert_refused(
        &format!("redis://127.0.0.1:{alert}"),
        &["TLS", "`rediss://`"],
    );
}

#[tokio::test]
async fn a_password_that_comes_later_is_asked_for_in_every_answer() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    assert_eq!(rest.command(json!(["PING"])).await.0, 200);
    let set = "CONFIG SET requirepass hush-hush\r\nCLIENT KILL TYPE normal SKIPME yes";
    assert_eq!(redis.say(set).as_deref(), Some("+OK"));
    for _ in 0..3 {
        let (status, answer) = rest.command(json!(["PING"])).await;
        let error = answer["error"].as_str().unwrap();
        // The first may have met the connection while it was closed.
        if status == 503 && error.starts_with("ERR the connection to Redis broke") {
            continue;
        }
        assert!(
            status == 503 && error.starts_with("NOAUTH, Redis wants a password"),
            "{answer}"
        );
    }
    let log = rest.log();
    let told = log.lines().filter(|line| line.contains("NOAUTH"));
    let told: Vec<_> = told.collect();
    assert!(told.len() == 1 && told[0].contains("ERROR"), "{log}");
    assert!(!log.contains("hush-hush"), "{log}");

    let unset = "AUTH hush-hush\r\nCONFIG SET requirepass \"\"";
    assert_eq!(redis.say(unset).as_deref(), Some("+OK"));
    assert_eq!(rest.command(json!(["PING"])).await.0, 200);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn the_client_takes_a_lacking_password_for_a_wrong_setting() {
    use omnitrade_edge::error::ErrorKind;
    use omnitrade_edge::redis::{Command, Options, RestClient};
    use omnitrade_edge::shell::ReqwestTransport;

    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let set = "CONFIG SET requirepass hush\r\nCLIENT KILL TYPE normal SKIPME yes";
    assert_eq!(redis.say(set).as_deref(), Some("+OK"));
    let options = Options::new(rest.url(), TOKEN).timeout(crate::common::PATIENCE);
    let client = RestClient::new(ReqwestTransport::new().unwrap(), options).unwrap();
    let error = client
        .command(&Command::new("GET").arg("k"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(
        error.to_string().contains("NOAUTH, Redis wants a password"),
        "{error}"
    );
}

#[tokio::test]
async fn a_user_who_may_not_say_ping_is_served() {
    let redis = RedisServer::start();
    let said = redis.say("ACL SETUSER edge on >hush ~* -@all +get");
    assert_eq!(said.as_deref(), Some("+OK"));
    let url = redis.url().replace("redis://", "redis://edge:hush@");
    let rest = RestServer::start(&url, TOKEN);
    assert_eq!(
        rest.command(json!(["GET", "k"])).await,
        (200, json!({"result": null}))
    );
}

#[tokio::test]
async fn what_may_be_a_wrong_address_is_waited_for_and_said() {
    let http = one_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let silent = one_that_says(b"");
    let nothing = free_port();
    for (port, words) in [
        (http, "what answers there is not Redis"),
        (silent, "does the address begin with `rediss://`?"),
        (nothing, "refused"),
    ] {
        let rest = RestServer::start(&format!("redis://127.0.0.1:{port}"), TOKEN);
        for _ in 0..2 {
            let answer = rest.command(json!(["PING"])).await;
            assert_eq!(
                answer,
                (503, json!({"error": "ERR Redis cannot be reached"}))
            );
        }
        let log = rest.log();
        assert_eq!(log.matches("cannot connect to Redis").count(), 1, "{log}");
        assert!(log.contains(words), "{log}");
    }
}

/// Redis waits for the end of a line that the handshake does not have.
#[tokio::test]
async fn tls_to_a_port_that_speaks_none_is_named() {
    let folder = TempDir::new();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, AUTHORITY).unwrap();
    let redis = RedisServer::start();
    let url = redis.url().replace("redis://", "rediss://");
    let environment = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    let rest = RestServer::start_in(&url, TOKEN, &[], &environment);
    let log = rest.log();
    assert!(
        log.contains("write `redis://` in place of `rediss://`"),
        "{log}"
    );

    let plain = one_that_says(b"-ERR Protocol error\r\n");
    let output = Command::new(PROGRAM)
        .args(["serve-redis", "--listen", "127.0.0.1:0", "--token", "t"])
        .env("OMNITRADE_REDIS_URL", format!("rediss://127.0.0.1:{plain}"))
        .envs(environment)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("its port does not speak TLS"), "{said}");
}

/// Some authority to trust: without one TLS cannot be set up. Its key was thrown away.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBeDCCAR+gAwIBAgIUS6+SKtXMBvN3/Jd7AjAw5X+VD9QwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGYSB0ZXN0MCAXDTI2MTEyNjExMTQwNloYDzIxMjYxMTAyMTEx
NDA2WjARMQ8wDQYDVQQDDAZhIHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQi42Avmz3qdl2x84CXplrlXpXFxkQ8/oDj+IHRn4v6bBOOrchsGebbCqq2A1Go
iZp/ZrmoFPCzTi4YlukmbMLmo1MwUTAdBgNVHQ4EFgQUZrEK4b+OqrAWOkgbZ0Kt
GqSUrdYwHwYDVR0jBBgwFoAUZrEK4b+OqrAWOkgbZ0KtGqSUrdYwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBukyJS2eNiIHwhajvO6IhmYADzbyEe
QEvwuHzs5G895QIgQZqZSDg4Wv4+xg5NSbXKI7WDNV1M+rJ6ffq9n/Z3XaE=
-----END CERTIFICATE-----
";
