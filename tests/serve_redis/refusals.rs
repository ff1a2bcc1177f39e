//! What a real Redis refuses: the client says which command, what is wrong, and what to do.

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Bucket, Charge};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Command, Options, RestClient};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::store::{ADMIT, Ask};
use std::time::Duration;

use crate::common::redis::RedisServer;
use crate::common::rest::RestServer;
use crate::common::{PATIENCE, eventually};

const TOKEN: &str = "secret";

type Client = RestClient<ReqwestTransport>;

fn client(rest: &RestServer) -> Client {
    let options = Options::new(rest.url(), TOKEN).timeout(PATIENCE);
    RestClient::new(ReqwestTransport::new().unwrap(), options).unwrap()
}

/// A client of `redis` for a user with these rights.
fn with_rights(redis: &RedisServer, rights: &str) -> (RestServer, Client) {
    let said = redis.say(&format!("ACL SETUSER edge reset on >hush {rights}"));
    assert_eq!(said.as_deref(), Some("+OK"), "{rights}");
    let url = redis.url().replace("redis://", "redis://edge:hush@");
    let rest = RestServer::start(&url, TOKEN);
    let client = client(&rest);
    (rest, client)
}

/// Asks about a request with one limit.
async fn admit(client: &Client) -> Result<(), Error> {
    let mut ask = Ask::new(
        Timestamp::from_millis(0),
        "Z00000",
        Duration::from_secs(1),
        true,
    );
    let bucket = Bucket {
        key: "ot:l:per-ip:x".into(),
        permits: 3,
    };
    ask.limit(&Charge::on(bucket, Duration::from_secs(60), 1), 0, &[]);
    client.script(&ADMIT, &ask.keys, &ask.args).await.map(drop)
}

async fn run(client: &Client, words: &[&str]) -> Result<(), Error> {
    let (name, args) = words.split_first().unwrap();
    let command = Command::new(name).args(args.iter().copied());
    client.command(&command).await.map(drop)
}

#[track_caller]
fn assert_says(error: &Error, kind: ErrorKind, command: &str, words: &[&str]) {
    assert_eq!(
        (error.kind(), error.command()),
        (kind, Some(command)),
        "{error}"
    );
    let text = error.to_string();
    for word in [command, "hush", "edge", "ot:l:", "127.0.0.1"] {
        assert_eq!(text.contains(word), word == command, "{word} in {text}");
    }
    for word in words {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[tokio::test]
async fn a_right_that_lacks_is_named_with_the_command_that_lacks_it() {
    let redis = RedisServer::start();
    let least = ["The gate runs EVALSHA, EVAL, MGET, SET, DEL and TIME"];
    let forbidden = ErrorKind::Forbidden;

    let (_rest, client) = with_rights(&redis, "~ot:* -@all +eval +mget +set +time +ping");
    let error = admit(&client).await.unwrap_err();
    assert_says(&error, forbidden, "EVALSHA", &least);
    assert!(!error.may_have_run(), "{error}");
    let error = run(&client, &["CONFIG", "GET", "x"]).await.unwrap_err();
    assert_says(&error, forbidden, "CONFIG|GET", &least);
    let both = [
        Command::new("SET").arg("ot:a").arg("1"),
        Command::new("HGET").arg("ot:b").arg("c"),
    ];
    let replies = client.pipeline(&both).await.unwrap();
    assert!(replies[0].is_ok());
    assert_says(replies[1].as_ref().unwrap_err(), forbidden, "HGET", &least);

    let (_rest, client) = with_rights(&redis, "~ot:* -@all +eval +evalsha +set +time");
    for sent in ["EVAL", "EVALSHA"] {
        let error = admit(&client).await.unwrap_err();
        let words = ["within the script", least[0]];
        assert_says(&error, forbidden, sent, &words);
        assert!(error.may_have_run(), "{error}");
    }

    let (_rest, client) = with_rights(&redis, "~other:* resetchannels +@all");
    for error in [
        run(&client, &["GET", "ot:l:a"]).await.unwrap_err(),
        run(&client, &["HKEYS", "ot:l:a"]).await.unwrap_err(),
        admit(&client).await.unwrap_err(),
    ] {
        let command = error.command().unwrap_or_default().to_owned();
        assert_says(&error, forbidden, &command, &["`~PREFIX:*`"]);
    }
    let error = run(&client, &["PUBLISH", "a", "b"]).await.unwrap_err();
    assert_says(&error, forbidden, "PUBLISH", &["the channel"]);
    let error = run(
        &client,
        &["EVAL", "return redis.call('GET', 'ot:l:a')", "0"],
    )
    .await;
    assert_says(&error.unwrap_err(), forbidden, "EVAL", &["`~PREFIX:*`"]);

    let pair = [
        Command::new("SET").arg("other:a").arg("1"),
        Command::new("SET").arg("ot:l:a").arg("1"),
    ];
    let error = client.multi(&pair).await.unwrap_err();
    assert_eq!(error.kind(), forbidden, "{error}");
    assert!(!error.may_have_run() && error.to_string().contains("`~PREFIX:*`"));
}

#[tokio::test]
async fn a_command_that_was_renamed_or_disabled_is_named() {
    let redis = RedisServer::start_with(&["--rename-command", "EVALSHA", ""]);
    let rest = RestServer::start(&redis.url(), TOKEN);
    let client = client(&rest);
    let error = admit(&client).await.unwrap_err();
    let words = ["`rename-command`", "The gate runs EVALSHA"];
    assert_says(&error, ErrorKind::Forbidden, "EVALSHA", &words);
    let inside = [
        "EVAL",
        "return redis.call('EVALSHA', KEYS[1])",
        "1",
        "ot:l:a",
    ];
    let error = run(&client, &inside).await.unwrap_err();
    assert_says(&error, ErrorKind::Forbidden, "EVAL", &words[..1]);
}

#[tokio::test]
async fn a_replica_says_so_and_the_next_call_connects_anew() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let redis = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    let rest = RestServer::start(&redis.url(), TOKEN);
    let warned = rest.log();
    assert!(warned.contains("this Redis is a replica"), "{warned}");
    let client = client(&rest);
    let connected = || rest.log().matches("connected to Redis").count();
    for _ in 0..2 {
        let before = connected();
        let error = run(&client, &["SET", "ot:l:a", "1"]).await.unwrap_err();
        assert_says(
            &error,
            ErrorKind::Server,
            "SET",
            &["READONLY", "connect to the primary"],
        );
        assert!(!error.may_have_run(), "{error}");
        // The client tries again, for it may be a failover.
        assert!(connected() > before, "{}", rest.log());
    }
    let error = admit(&client).await.unwrap_err();
    assert!(error.to_string().contains("READONLY"), "{error}");

    assert_eq!(redis.say("REPLICAOF NO ONE").as_deref(), Some("+OK"));
    run(&client, &["SET", "ot:l:a", "1"]).await.unwrap();
}

#[tokio::test]
async fn a_full_memory_that_evicts_nothing_is_a_quota_used_up() {
    let full = ["--maxmemory", "1", "--maxmemory-policy", "noeviction"];
    let redis = RedisServer::start_with(&full);
    let rest = RestServer::start(&redis.url(), TOKEN);
    let client = client(&rest);
    let words = ["OOM", "raise `maxmemory`"];
    let error = run(&client, &["SET", "ot:l:a", "1"]).await.unwrap_err();
    assert_says(&error, ErrorKind::QuotaExhausted, "SET", &words);
    let error = admit(&client).await.unwrap_err();
    assert_says(&error, ErrorKind::QuotaExhausted, "EVAL", &words);
    assert!(!rest.log().contains("evicts keys"), "{}", rest.log());

    let evicting = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let redis = RedisServer::start_with(&evicting);
    let rest = RestServer::start(&redis.url(), TOKEN);
    let log = rest.log();
    assert!(log.contains("evicts keys when its memory is full"), "{log}");
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_named_and_passes() {
    let redis = RedisServer::start_with(&["--save", "3600 1"]);
    let dump = redis.directory().join("dump.rdb");
    std::fs::create_dir(&dump).unwrap();
    redis.say("BGSAVE");
    eventually("the save fails", || {
        let said = redis.say("SET a 1")?;
        said.starts_with("-MISCONF").then_some(())
    });
    let rest = RestServer::start(&redis.url(), TOKEN);
    assert!(
        rest.log().contains("MISCONF, Redis cannot save"),
        "{}",
        rest.log()
    );
    let client = client(&rest);
    let error = run(&client, &["SET", "ot:l:a", "1"]).await.unwrap_err();
    assert_says(
        &error,
        ErrorKind::Server,
        "SET",
        &["MISCONF", "make room on the disk"],
    );

    std::fs::remove_dir(&dump).unwrap();
    redis.say("BGSAVE");
    eventually("the save succeeds", || {
        (redis.say("SET a 1")? == "+OK").then_some(())
    });
    run(&client, &["SET", "ot:l:a", "1"]).await.unwrap();
}
