//! `purge`, the built program, against a real Redis behind `serve-redis`.
#![cfg(all(feature = "cli", feature = "reqwest"))]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

mod common;

use std::process::{Command, Output};

use serde_json::{Value, json};

use common::TempDir;
use common::redis::{RedisServer, free_port};
use common::rest::{PROGRAM, RestServer};

const TOKEN: &str = "t0ken-of-the-store";
const DAY: i64 = 86_400_000;
const URL: &str = "https://edge.example/book?symbol=BTC";

/// A store, and a directory in which the program is called.
struct Rig {
    _redis: RedisServer,
    rest: RestServer,
    directory: TempDir,
}

/// How a call of the program ended.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Rig {
    fn start() -> Self {
        Self::before(RedisServer::start(), "edge")
    }

    /// `prefix`: what the configuration has for the keys.
    fn before(redis: RedisServer, prefix: &str) -> Self {
        let rest = RestServer::start(&redis.url(), TOKEN);
        let directory = TempDir::new();
        let configuration = format!(
            "[vars.EDGE]\norigin = 'https://api.example.com'\n\
             redis = {{ key_prefix = '{prefix}' }}\n\
             [[vars.EDGE.routes]]\npath = '/book'\n\
             cache = {{ ttl = '1s', query = ['symbol'], vary = ['accept'] }}\n\
             [[vars.EDGE.routes]]\npath = '/order'"
        );
        std::fs::write(directory.path().join("edge.toml"), configuration).unwrap();
        Self {
            _redis: redis,
            rest,
            directory,
        }
    }

    fn purge(&self, args: &[&str]) -> Done {
        self.call(self.rest.url(), TOKEN, args)
    }

    fn call(&self, url: &str, token: &str, args: &[&str]) -> Done {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(PROGRAM)
            .arg("purge")
            .args(args)
            .current_dir(self.directory.path())
            .env("UPSTASH_REDIS_REST_URL", url)
            .env("UPSTASH_REDIS_REST_TOKEN", token)
            .output()
            .unwrap();
        Done {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    async fn redis(&self, command: Value) -> Value {
        let (status, mut reply) = self.rest.command(command).await;
        assert_eq!(status, 200, "{reply}");
        reply["result"].take()
    }

    async fn keys(&self) -> Vec<String> {
        let keys = self.redis(json!(["KEYS", "*"])).await;
        let mut keys: Vec<String> = serde_json::from_value(keys).unwrap();
        keys.sort();
        keys
    }
}

impl Done {
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It failed with this code, printed nothing, and said this.
    #[track_caller]
    fn failed(&self, code: i32, said: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.contains(said), "{self:?}");
        assert!(!self.stderr.contains(TOKEN), "{self:?}");
    }
}

#[tokio::test]
async fn each_tag_and_url_gets_an_epoch_that_expires() {
    let rig = Rig::start();
    let (tag, same) = ("symbol:BTC", "https://EDGE.example/book?utm=1&symbol=BTC");
    let args = [
        "edge.toml",
        "--tag",
        "book",
        "--tag",
        tag,
        "--url",
        URL,
        "--tag",
        "book",
        "--url",
        same,
    ];
    let done = rig.purge(&args).ok();
    let expected = format!("purged tag book\npurged tag {tag}\npurged url {URL}\n");
    assert_eq!(done.stdout, expected, "and nothing twice");

    let keys = rig.keys().await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(keys[0].starts_with("edge:t:@"), "{keys:?}");
    assert_eq!(keys[1..], ["edge:t:book", "edge:t:symbol:BTC"]);
    let epoch = rig.redis(json!(["GET", keys[0]])).await;
    for key in &keys {
        assert_eq!(rig.redis(json!(["GET", key])).await, epoch);
        let left = rig.redis(json!(["PTTL", key])).await;
        assert!(
            (30 * DAY + 1..=31 * DAY).contains(&left.as_i64().unwrap()),
            "{left}"
        );
    }
    rig.purge(&["--config", "edge.toml", "--tag", "book"]).ok();
    assert_ne!(rig.redis(json!(["GET", keys[1]])).await, epoch);
    assert_eq!(rig.redis(json!(["GET", keys[2]])).await, epoch);
}

#[tokio::test]
async fn the_prefix_is_enough_for_tags() {
    let rig = Rig::start();
    rig.purge(&["--prefix", "p", "--tag", "a b"]).ok();
    rig.purge(&["--tag", "a"]).ok();
    let keys = rig.keys().await;
    assert_eq!(keys[0], "ot:t:a");
    assert!(keys[1].starts_with("p:t:#"), "{keys:?}");
}

#[test]
fn a_store_that_fails_is_named_by_its_failure_alone() {
    let rig = Rig::start();
    let absent = format!("http://127.0.0.1:{}", free_port());
    let args = ["--tag", "a"];
    let away = rig.call(&absent, TOKEN, &args);
    away.failed(1, "error: the store cannot be reached");
    assert!(away.stderr.contains("nothing was purged"), "{away:?}");
    assert!(!away.stderr.contains("127.0.0.1"), "{away:?}");
    rig.call(rig.rest.url(), "wrong-token", &args)
        .failed(1, "error: the store refused the token");
    rig.call("s3cret", TOKEN, &args)
        .failed(2, "url: expected an address");
}

#[tokio::test]
async fn what_the_store_refuses_is_told_and_the_rest_is_purged() {
    let rig = Rig::start();
    rig.redis(json!([
        "ACL",
        "SETUSER",
        "default",
        "-@all",
        "+set",
        "+acl",
        "resetkeys",
        "~ot:t:a"
    ]))
    .await;
    let done = rig.purge(&["--tag", "a", "--tag", "b"]);
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(1), "purged tag a\n"),
        "{done:?}"
    );
    assert!(
        done.stderr.contains("error: not purged: tag b: "),
        "{done:?}"
    );
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_before_anything_is_sent() {
    let rig = Rig::start();
    let away = format!("http://127.0.0.1:{}", free_port());
    let long = "x".repeat(1_025);
    for (args, said) in [
        (&["edge.toml"][..], "--tag"),
        (&["--tag", ""], "a tag of 1 to 1024 bytes"),
        (&["--tag", &long], "a tag of 1 to 1024 bytes"),
        (
            &["--url", URL],
            "--url: expected a configuration beside it (FILE)",
        ),
        (
            &["edge.toml", "--url", "/book?symbol=BTC"],
            "--url: expected a URL such as",
        ),
        (
            &["edge.toml", "--url", "https://edge.example/order"],
            "--url: expected a URL of a route with a cache",
        ),
        (
            &["edge.toml", "--config", "edge.toml", "--tag", "a"],
            "cannot be used with",
        ),
        (&["--prefix", "a:b", "--tag", "a"], "at most 32 letters"),
    ] {
        rig.call(&away, TOKEN, args).failed(2, said);
    }
    rig.purge(&["absent.toml", "--tag", "a"])
        .failed(1, "cannot read absent.toml");
}

#[tokio::test]
async fn what_a_clustered_redis_holds_is_purged_under_a_hash_tag() {
    let rig = Rig::before(RedisServer::start_cluster(), "shop.{ot}");
    let done = rig.purge(&["edge.toml", "--tag", "book", "--tag", "a", "--url", URL]);
    assert_eq!(done.ok().stdout.lines().count(), 3);
    let keys = rig.keys().await;
    assert!(
        keys.len() == 3 && keys.iter().all(|key| key.starts_with("shop.{ot}:t:")),
        "{keys:?}"
    );
    rig.purge(&["--prefix", "{ot}", "--tag", "book"]).ok();
    assert!(rig.keys().await.contains(&"{ot}:t:book".to_owned()));
}
