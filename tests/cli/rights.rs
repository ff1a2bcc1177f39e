//! The least rights in `docs/deploy.md` suffice for all that the gate and the command line do, and
//! each of them is needed.

use std::collections::BTreeSet;
use std::time::Duration;

use omnitrade_edge::cache::Purge;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Bucket, Charge};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::{Command, Options, RestClient, Value};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::store::{ADMIT, Ask, EntryQuery, KEEP};

use crate::common::redis::RedisServer;
use crate::common::{PATIENCE, eventually};
use crate::rig::{Rig, TOKEN};

type Client = RestClient<ReqwestTransport>;

/// The commands that set the user, as the page has them.
fn documented() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deploy.md");
    let page = std::fs::read_to_string(page).unwrap();
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER "));
    line.unwrap().to_owned()
}

fn client(rig: &Rig) -> Client {
    let options = Options::new(rig.rest.url(), TOKEN).timeout(PATIENCE);
    RestClient::new(ReqwestTransport::new().unwrap(), options).unwrap()
}

/// What the gate asks about a request, and writes after it.
async fn serve(client: &Client) {
    for id in ["Z00001", "Z00002"] {
        let mut ask = Ask::new(Timestamp::from_millis(0), id, Duration::from_secs(1), true);
        let bucket = Bucket {
            key: "ot:l:per-ip:x".into(),
            permits: 3,
        };
        ask.limit(&Charge::on(bucket, Duration::from_secs(60), 1), 0, &[]);
        ask.look_up(&EntryQuery {
            entry: "ot:c:a".into(),
            lease: "ot:f:a".into(),
            epochs: vec!["ot:t:@a".into(), "ot:t:b".into()],
            lease_for: Some(Duration::from_secs(1)),
            early: Duration::ZERO,
            known: None,
        });
        let reply = client.script(&ADMIT, &ask.keys, &ask.args).await.unwrap();
        assert!(ask.read(reply).is_some());
    }
    let keys = ["ot:c:a", "ot:t:@a", "ot:t:b"];
    let entry = "2 9999999999999 9999999999999 1 7 -,- {\"k\":1}\nbody";
    let kept = client.script(&KEEP, &keys, [entry, "7", "-,-", "60000"]);
    assert_eq!(kept.await, Ok(Value::Int(1)));
    let set = Command::new("SET").arg("ot:c:b").arg("x");
    let set = set.arg("PX").arg(60_000);
    assert_eq!(client.command(&set).await, Ok(Value::from("OK")));
    let delete = Command::new("DEL").arg("ot:f:a").arg("ot:c:b");
    assert!(client.command(&delete).await.is_ok());
    let mut purge = Purge::new("ot", 7);
    purge.tag("b");
    let purged = client.pipeline(&purge.commands()).await.unwrap();
    assert!(purged.iter().all(Result::is_ok), "{purged:?}");
}

#[tokio::test]
async fn the_documented_rights_suffice_and_none_is_too_many() {
    let rule = documented();
    let password = rule
        .split(' ')
        .find_map(|word| word.strip_prefix('>'))
        .unwrap();
    let user = rule.split(' ').nth(2).unwrap();
    let redis = RedisServer::start();
    assert_eq!(redis.say(&rule).as_deref(), Some("+OK"));
    let address = redis.url().replace("redis://", "");
    let url = format!("redis://{user}:{password}@{address}");
    let rig = Rig::behind(redis, &url, "keys");

    let client = client(&rig);
    serve(&client).await;
    let limiter = RateLimiter::new(self::client(&rig), Rule::new(9, Duration::from_secs(60)));
    assert!(limiter.limit("a", 2).await.success);
    limiter.refund("a", 1).await.unwrap();
    limiter.peek("a").await.unwrap();
    limiter.reset("a").await.unwrap();

    let key = rig.run(&["add", "--name", "Acme Ltd"]).ok().stdout;
    assert!(rig.run(&["list"]).ok().stdout.contains("Acme Ltd"));
    rig.run(&["add", "--valid-for", "1d"]).ok();
    let records = rig.run(&["list", "--json"]).ok().stdout;
    let records: Vec<serde_json::Value> = serde_json::from_str(&records).unwrap();
    // One that has expired is taken from the index.
    let expired = format!("ot:k:{}", records[1]["digest"].as_str().unwrap());
    assert!(
        client
            .command(&Command::new("DEL").arg(&expired))
            .await
            .is_ok()
    );
    assert_eq!(rig.run(&["list"]).ok().stdout.lines().count(), 1);
    rig.run_with(&["revoke", "--key-stdin"], key.trim_end())
        .ok();
    rig.run(&["add"]).ok();
    let secrets = [Some("of at least 16 characters"), Some("none")];
    let moved = rig.run_under(secrets, &["rotate"], "").ok();
    assert_eq!(moved.stdout, "moved 1 key\n");
    let id = rig.run(&["add"]).ok().stderr;
    let id = id.split([' ', ':']).nth(1).unwrap().to_owned();
    rig.run(&["revoke", &id]).ok();
    rig.run_other("purge", &["--tag", "b"]).ok();

    let granted: BTreeSet<String> = rule
        .split(' ')
        .filter_map(|word| word.strip_prefix('+'))
        .map(str::to_owned)
        .collect();
    let used = eventually("what was run is counted", || used_by(&rig.store));
    let idle: Vec<_> = granted.difference(&used).collect();
    assert!(
        idle.is_empty(),
        "granted and not used: {idle:?} of {used:?}"
    );
}

/// The commands that were run.
fn used_by(redis: &RedisServer) -> Option<BTreeSet<String>> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", redis.port())).ok()?;
    stream.write_all(b"INFO commandstats\r\nQUIT\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let run = text.lines().filter(|line| !line.contains(":calls=0,"));
    let names = run.filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
    Some(names.map(str::to_owned).collect())
}
