//! `purge` sets the epochs of tags and URLs in the store.

use serde_json::json;

use crate::common::redis::RedisServer;
use crate::rig::{DAY, Rig, TOKEN, nowhere};

const URL: &str = "https://edge.example/book?symbol=BTC";

/// An empty store, and a configuration in `edge.toml`.
fn start() -> Rig {
    before(RedisServer::start(), "edge")
}

/// A rig on this Redis. `prefix`: the configured prefix of all keys.
fn before(redis: RedisServer, prefix: &str) -> Rig {
    let rig = Rig::before(redis, "purge");
    let configuration = format!(
        "redis = {{ key_prefix = '{prefix}' }}\n\
         [[vars.EDGE.routes]]\npath = '/book'\n\
         cache = {{ ttl = '1s', query = ['symbol'], vary = ['accept'] }}\n\
         [[vars.EDGE.routes]]\npath = '/order'"
    );
    rig.configure("edge.toml", &configuration);
    rig
}

#[tokio::test]
async fn each_tag_and_url_gets_an_epoch_that_expires() {
    let rig = start();
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
    let done = rig.run(&args).ok();
    let expected = format!("purged tag book\npurged tag {tag}\npurged url {URL}\n");
    assert_eq!(done.stdout, expected, "and nothing twice");

    let keys = rig.names().await;
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
    rig.run(&["--config", "edge.toml", "--tag", "book"]).ok();
    assert_ne!(rig.redis(json!(["GET", keys[1]])).await, epoch);
    assert_eq!(rig.redis(json!(["GET", keys[2]])).await, epoch);
}

#[tokio::test]
async fn the_prefix_is_enough_for_tags() {
    let rig = start();
    rig.run(&["--prefix", "p", "--tag", "a b"]).ok();
    rig.run(&["--tag", "a"]).ok();
    let keys = rig.names().await;
    assert_eq!(keys[0], "ot:t:a");
    assert!(keys[1].starts_with("p:t:#"), "{keys:?}");
}

#[test]
fn a_store_that_fails_is_named_by_its_failure_alone() {
    let rig = start();
    let absent = nowhere();
    let args = ["--tag", "a"];
    let away = rig.run_at(&absent, TOKEN, &args, "");
    away.failed(1, "error: the store cannot be reached");
    assert!(away.stderr.contains("nothing was purged"), "{away:?}");
    assert!(!away.stderr.contains("127.0.0.1"), "{away:?}");
    rig.run_at(rig.rest.url(), "wrong-token", &args, "")
        .failed(1, "error: the store refused the token");
    rig.run_at("s3cret", TOKEN, &args, "")
        .failed(2, "url: expected an address");
}

#[tokio::test]
async fn what_the_store_refuses_is_told_and_the_rest_is_purged() {
    let rig = start();
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
    let done = rig.run(&["--tag", "a", "--tag", "b"]);
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
    let rig = start();
    let away = nowhere();
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
        rig.run_at(&away, TOKEN, args, "").failed(2, said);
    }
    rig.run(&["absent.toml", "--tag", "a"])
        .failed(1, "cannot read absent.toml");
}

#[tokio::test]
async fn what_a_clustered_redis_holds_is_purged_under_a_hash_tag() {
    let rig = before(RedisServer::start_cluster(), "shop.{ot}");
    let done = rig.run(&["edge.toml", "--tag", "book", "--tag", "a", "--url", URL]);
    assert_eq!(done.ok().stdout.lines().count(), 3);
    let keys = rig.names().await;
    assert!(
        keys.len() == 3 && keys.iter().all(|key| key.starts_with("shop.{ot}:t:")),
        "{keys:?}"
    );
    rig.run(&["--prefix", "{ot}", "--tag", "book"]).ok();
    assert!(rig.names().await.contains(&"{ot}:t:book".to_owned()));
}
