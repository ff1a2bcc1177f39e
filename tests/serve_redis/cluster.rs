//! A clustered Redis refuses scripts with keys of several slots, and accepts them under a hash tag.

use std::time::Duration;

use omnitrade_edge::cache::Purge;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Bucket, Charge};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Command, Options, RestClient, Value};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::store::KEEP;
use omnitrade_edge::store::{ADMIT, Ask, EntryQuery, Outcome, Reply, Stored};

use crate::common::PATIENCE;
use crate::common::redis::RedisServer;
use crate::common::rest::RestServer;

const TOKEN: &str = "secret";
const REMEDY: &str = r#"`key_prefix = "{ot}"`"#;

type Client = RestClient<ReqwestTransport>;

fn client(rest: &RestServer) -> Client {
    let options = Options::new(rest.url(), TOKEN).timeout(PATIENCE);
    RestClient::new(ReqwestTransport::new().unwrap(), options).unwrap()
}

/// A request with two limits of three permits, and an entry with an epoch.
fn ask(prefix: &str, id: &str) -> Ask {
    let mut ask = Ask::new(Timestamp::from_millis(0), id, Duration::from_secs(1), true);
    for name in ["per-ip", "all"] {
        let bucket = Bucket {
            key: format!("{prefix}:l:{name}:x"),
            permits: 3,
        };
        ask.limit(&Charge::on(bucket, Duration::from_secs(60), 1), 0, &[]);
    }
    ask.look_up(&EntryQuery {
        entry: format!("{prefix}:c:a"),
        lease: format!("{prefix}:f:a"),
        epochs: vec![format!("{prefix}:t:@a"), format!("{prefix}:t:b")],
        lease_for: None,
        early: Duration::ZERO,
        known: None,
    });
    ask
}

async fn run(client: &Client, prefix: &str, id: &str) -> Result<Reply, Error> {
    let ask = ask(prefix, id);
    let reply = client.script(&ADMIT, &ask.keys, &ask.args).await?;
    Ok(ask.read(reply).unwrap())
}

#[tokio::test]
async fn without_a_hash_tag_the_error_is_named_with_its_remedy() {
    let redis = RedisServer::start_cluster();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let client = client(&rest);
    let error = run(&client, "ot", "Z00000").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        !error.may_have_run() && error.to_string().contains(REMEDY),
        "{error}"
    );

    let pair = ["ot:k:a", "ot:k:index"].map(|key| Command::new("SET").arg(key).arg("1"));
    let error = client.multi(&pair).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(
        !error.may_have_run() && error.to_string().contains(REMEDY),
        "{error}"
    );
    let count = client.command(&Command::new("DBSIZE")).await;
    assert_eq!(count, Ok(Value::Int(0)), "nothing has run");
}

#[tokio::test]
async fn under_a_hash_tag_limits_and_cache_work() {
    let redis = RedisServer::start_cluster();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let client = client(&rest);
    for prefix in ["{ot}", "shop.{ot}-test"] {
        let entry = format!("{prefix}:c:a");
        let stored = r#"2 9999999999999 9999999999999 1 7 -,- {"k":1}"#.to_owned() + "\nbody";
        let keys = [entry, format!("{prefix}:t:@a"), format!("{prefix}:t:b")];
        let args = [stored.as_str(), "7", "-,-", "60000"];
        assert_eq!(client.script(&KEEP, &keys, &args).await, Ok(Value::Int(1)));
        for n in 0..5 {
            let reply = run(&client, prefix, &format!("Z0000{n}")).await.unwrap();
            assert_eq!(reply.outcome == Outcome::Admitted, n < 3, "{prefix}: {n}");
            let found = reply.cached.unwrap().entry;
            assert_eq!(
                !matches!(found, Stored::Nothing | Stored::Void),
                n < 3,
                "{prefix}: {n}"
            );
        }
        let mut purge = Purge::new(prefix, 7);
        purge.tag("b");
        let replies = client.pipeline(&purge.commands()).await.unwrap();
        assert_eq!(replies, [Ok(Value::from("OK"))]);
        let epoch = Command::new("GET").arg(&keys[2]);
        assert_eq!(client.command(&epoch).await, Ok(Value::from(purge.epoch())));
    }
}

#[test]
fn serve_redis_says_at_its_start_what_a_clustered_redis_needs() {
    let redis = RedisServer::start_cluster();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let log = rest.log();
    let told = log.lines().filter(|line| line.contains("is clustered"));
    let told: Vec<_> = told.collect();
    assert!(told.len() == 1 && told[0].contains(REMEDY), "{log}");

    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    assert!(!rest.log().contains("is clustered"), "{}", rest.log());
}
