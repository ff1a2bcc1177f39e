//! `keys` registers clients' API keys, lists them and revokes them.

use omnitrade_edge::engine::subject;
use serde_json::{Value, json};

use crate::common::eventually;
use crate::common::redis::RedisServer;
use crate::rig::{DAY, Rig, TOKEN, nowhere};

/// Adds a new key and returns it.
#[track_caller]
fn add(rig: &Rig, args: &[&str]) -> String {
    let done = rig.run(&[&["add"], args].concat()).ok();
    let key = done.stdout.strip_suffix('\n').unwrap();
    assert!(!done.stderr.contains(key), "{done:?}");
    key.to_owned()
}

#[track_caller]
fn list(rig: &Rig) -> Vec<Value> {
    let text = rig.run(&["list", "--json"]).ok().stdout;
    serde_json::from_str(&text).unwrap()
}

/// All keys in Redis: name, value, and time to live in milliseconds.
async fn everything(rig: &Rig) -> Vec<(String, Value, i64)> {
    let mut all = Vec::new();
    for name in rig.names().await {
        let read = match rig.redis(json!(["TYPE", name])).await.as_str() {
            Some("hash") => "HGETALL",
            _ => "GET",
        };
        let value = rig.redis(json!([read, name])).await;
        let left = rig.redis(json!(["PTTL", name])).await;
        all.push((name, value, left.as_i64().unwrap()));
    }
    all
}

fn digest(key: &str) -> String {
    subject::of_api_key(key, &subject::domain("ot"))
}

#[tokio::test]
async fn a_key_is_added_listed_and_revoked() {
    let rig = Rig::start("keys");
    let done = rig
        .run(&["add", "--plan", "pro", "--name", "Acme Ltd"])
        .ok();
    let key = done.stdout.trim_end();
    let digest = digest(key);
    let id = &digest[..12];
    assert!(key.starts_with("ote_"), "{done:?}");
    assert!(
        done.stderr
            .starts_with(&format!("added {id}: plan pro, until 2"))
    );
    let record = json!(["GET", format!("ot:k:{digest}")]);
    assert_eq!(rig.redis(record.clone()).await, "1 pro");

    let other = add(&rig, &[]);
    let lines = rig.run(&["list"]).ok().stdout;
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(&format!("{id}  pro  2")), "{lines:?}");
    assert!(lines[0].ends_with("Z  Acme Ltd"), "{lines:?}");
    assert!(lines[1].ends_with("Z  -"), "{lines:?}");

    let done = rig.run(&["revoke", &id[..8].to_uppercase()]).ok();
    assert_eq!(done.stdout, format!("revoked {id}\n"));
    assert_eq!(rig.redis(record).await, Value::Null);
    let left = list(&rig);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["digest"], self::digest(&other));
    let again = rig.run(&["revoke", id]);
    again.failed(1, "error: no such key is registered");

    rig.run_with(&["revoke", "--key-stdin"], &other).ok();
    assert_eq!(everything(&rig).await, [], "nothing is left behind");
    assert_eq!(rig.run(&["list"]).ok().stdout, "");
}

#[tokio::test]
async fn no_key_is_in_redis_and_all_that_is_there_expires() {
    let rig = Rig::start("keys");
    let old = "an-existing-key-of-a-client";
    let done = rig
        .run_with(
            &["add", "--key-stdin", "--valid-for", "30d"],
            &format!(" {old}\n"),
        )
        .ok();
    assert_eq!(done.stdout, "", "what was given is not printed");
    assert!(!done.stderr.contains(old), "{done:?}");
    let new = add(&rig, &["--valid-for", "90d", "--log", "trace"]);
    add(&rig, &["--valid-for", "1d"]);

    let all = everything(&rig).await;
    assert_eq!(all.len(), 4);
    for (name, value, left) in all {
        for key in [old, &new] {
            assert!(!format!("{name} {value}").contains(key), "{name}: {value}");
        }
        let days = match name.strip_prefix("ot:k:").unwrap() {
            "index" => 90,
            record if record == digest(old) => 30,
            record if record == digest(&new) => 90,
            _ => 1,
        };
        assert!(
            ((days - 1) * DAY..=days * DAY).contains(&left),
            "{name}: {left}"
        );
    }
    let log = rig.rest.log();
    assert!(!log.contains(old) && !log.contains(&new), "{log}");
}

#[tokio::test]
async fn a_key_that_is_registered_is_renewed() {
    let rig = Rig::start("keys");
    let key = add(
        &rig,
        &["--plan", "pro", "--name", "Acme", "--valid-for", "10d"],
    );
    let before = list(&rig).remove(0);
    let renew = |args: &[&str]| {
        let done = rig.run_with(&[&["add", "--key-stdin"], args].concat(), &key);
        let done = done.ok();
        assert!(done.stderr.starts_with("renewed "), "{done:?}");
        list(&rig).remove(0)
    };

    let longer = renew(&["--valid-for", "20d"]);
    for kept in ["digest", "plan", "name", "added"] {
        assert_eq!(longer[kept], before[kept], "{kept}");
    }
    let until = |key: &Value| key["until"].as_i64().unwrap();
    assert!(until(&longer) - until(&before) >= 10 * DAY);

    let other = renew(&["--plan", "max", "--name", "New", "--valid-for", "5d"]);
    assert_eq!(
        (&other["plan"], &other["name"]),
        (&json!("max"), &json!("New"))
    );
    assert!(until(&other) < until(&before));
    assert_eq!(list(&rig).len(), 1);
    let record = format!("ot:k:{}", digest(&key));
    assert_eq!(rig.redis(json!(["GET", record])).await, "1 max");
    let left = rig.redis(json!(["PTTL", record])).await;
    assert!(left.as_i64().unwrap() <= 5 * DAY);
}

#[tokio::test]
async fn what_has_expired_is_not_listed_and_leaves_the_index() {
    let rig = Rig::start("keys");
    let stays = add(&rig, &[]);
    add(&rig, &["--valid-for", "1ms"]);
    let listed = eventually("the other expires", || {
        let listed = list(&rig);
        (listed.len() == 1).then_some(listed)
    });
    assert_eq!(listed[0]["digest"], digest(&stays));
    assert_eq!(
        rig.redis(json!(["HKEYS", "ot:k:index"])).await,
        json!([digest(&stays)])
    );
}

#[tokio::test]
async fn what_others_wrote_into_the_index_does_no_harm() {
    let rig = Rig::start("keys");
    let key = add(&rig, &[]);
    let (a, b) = ("a".repeat(32), format!("{}b", "a".repeat(31)));
    let bad = r#"{"name":"\u001b[2J","added":1,"until":2}"#;
    rig.redis(json!(["HSET", "ot:k:index", &a, bad, &b, "x", "y", "z"]))
        .await;
    for name in [&a, &b] {
        rig.redis(json!(["SET", format!("ot:k:{name}"), "1", "EX", 60]))
            .await;
    }
    let done = rig.run(&["list"]).ok();
    assert_eq!(done.stdout.lines().count(), 1, "{done:?}");
    assert!(done.stdout.starts_with(&digest(&key)[..12]), "{done:?}");
    assert!(!done.stderr.contains("\x1b[2J"), "{done:?}");
    assert!(done.stderr.contains("not understood"), "{done:?}");

    let ambiguous = rig.run(&["revoke", &a[..12]]);
    ambiguous.failed(1, "found that of 2: give more digits");
    rig.run(&["revoke", &a]).ok();
    rig.run(&["revoke", &b]).ok();
    assert_eq!(list(&rig).len(), 1);
}

#[test]
fn a_store_that_fails_is_named_by_its_failure_alone() {
    let rig = Rig::start("keys");
    let absent = nowhere();
    for verb in [&["add"][..], &["list"], &["revoke", "0123456789ab"]] {
        let wrong = rig.run_at(rig.rest.url(), "wrong-token", verb, "");
        wrong.failed(1, "error: the store refused the token");
        let away = rig.run_at(&absent, TOKEN, verb, "");
        away.failed(1, "error: the store cannot be reached");
        for done in [wrong, away] {
            assert!(!done.stderr.contains("127.0.0.1"), "{done:?}");
            assert!(!done.stderr.contains("wrong-token"), "{done:?}");
        }
        let nonsense = rig.run_at("s3cret", TOKEN, verb, "");
        nonsense.failed(2, "url: expected an address");
        assert!(!nonsense.stderr.contains("s3cret"), "{nonsense:?}");
    }
}

#[test]
fn the_configuration_says_the_prefix_and_the_plans() {
    let rig = Rig::start("keys");
    rig.configure(
        "wrangler.toml",
        "[vars.EDGE.redis]\nkey_prefix = 'edge'\n\
         [vars.EDGE.limits.a]\nby = 'client'\nwindow = '60s'\nquota = 1\n\
         plans = { pro = 2, free = 1 }",
    );
    let unknown = rig.run(&["add", "--plan", "gold"]);
    unknown.failed(
        2,
        r#"--plan: expected a plan that a limit knows (free, pro), found "gold""#,
    );
    let key = add(&rig, &["--plan", "pro"]);
    let domain = subject::domain("edge");
    assert_eq!(list(&rig)[0]["digest"], subject::of_api_key(&key, &domain));
    let elsewhere = rig.run(&["list", "--prefix", "ot"]).ok();
    assert_eq!(elsewhere.stdout, "");

    rig.configure("wrangler.toml", "nonsense = 1");
    rig.run(&["list"]).failed(1, "wrangler.toml: nonsense: ");
    let prefix = ["--prefix", "edge"];
    let named = rig.run(&[&["list", "--config", "wrangler.toml"], &prefix[..]].concat());
    named.failed(1, "nonsense");
    // Whatever the store holds, a key can be revoked.
    let revoke = [&["revoke", "--key-stdin"], &prefix[..]].concat();
    rig.run_with(&revoke, &key).ok();
    rig.run(&["list", "--config", "absent.toml"])
        .failed(1, "cannot read absent.toml");
}

#[test]
fn the_prefix_is_that_of_the_environment_and_of_edge_toml() {
    let rig = Rig::start("keys");
    rig.write(
        "edge.toml",
        "origin = 'https://api.example.com'\nredis = { key_prefix = 'built' }",
    );
    rig.write(
        "wrangler.toml",
        "[env.a.vars]\n[env.b.vars.EDGE.redis]\nkey_prefix = 'b'\n",
    );
    for (args, prefix) in [
        (&[][..], "built"),
        (&["--env", "a"], "built"),
        (&["--env", "b"], "b"),
    ] {
        let key = add(&rig, args);
        let done = rig.run(&[&["list", "--json"], args].concat()).ok();
        let digest = subject::of_api_key(&key, &subject::domain(prefix));
        assert!(done.stdout.contains(&digest), "{prefix}: {done:?}");
    }
    rig.run(&["list", "--env", "c"])
        .failed(1, "wrangler.toml: expected an environment [env.c]");
}

#[test]
fn what_is_asked_wrongly_is_refused_before_anything_is_sent() {
    let rig = Rig::start("keys");
    let away = nowhere();
    let long = "x".repeat(65);
    for (args, stdin, said) in [
        (&["add", "--plan", "a b"][..], "", "at most 64 letters"),
        (&["add", "--plan", ""], "", "at most 64 letters"),
        (&["add", "--name", "a\u{202e}b"], "", "printable"),
        (&["add", "--name", &long], "", "1 to 64"),
        (&["add", "--valid-for", "0s"], "", "such as 365d"),
        (&["add", "--prefix", "a:b"], "", "at most 32 letters"),
        (&["add", "--key-stdin"], "", "found nothing"),
        (&["add", "--key-stdin"], "a-short-secret", "16 to 1024"),
        (
            &["add", "--key-stdin"],
            "0123456789abcdef s3cret",
            "visible",
        ),
        (&["add", "--key-stdin"], "0123456789abcdef\x07", "visible"),
        (&["revoke"], "", "<ID>"),
        (&["revoke", "0123456"], "", "8 to 32"),
        (&["revoke", "ote_s3cret-s3cret"], "", "goes to stdin"),
        (
            &["revoke", "0123456789ab", "--key-stdin"],
            "",
            "cannot be used",
        ),
    ] {
        let done = rig.run_at(&away, TOKEN, args, stdin);
        done.failed(2, said);
        assert!(!done.stderr.contains("s3cret"), "{done:?}");
        assert!(!done.stderr.contains("short-secret"), "{done:?}");
    }
}

#[tokio::test]
async fn keys_of_a_clustered_redis_are_kept_under_a_hash_tag() {
    let rig = Rig::before(RedisServer::start_cluster(), "keys");
    let refused = rig.run(&["add"]);
    refused.failed(1, "CROSSSLOT");
    assert!(
        refused.stderr.contains(r#"`key_prefix = "{ot}"`"#),
        "{refused:?}"
    );
    assert_eq!(everything(&rig).await, [], "nothing was written");

    rig.configure("wrangler.toml", "redis = { key_prefix = '{ot}' }");
    let key = add(&rig, &["--plan", "pro"]);
    let digest = subject::of_api_key(&key, &subject::domain("{ot}"));
    let record = rig
        .redis(json!(["GET", format!("{{ot}}:k:{digest}")]))
        .await;
    assert_eq!(record, "1 pro", "where the gate looks for it");
    add(&rig, &["--name", "another"]);
    assert_eq!(list(&rig).len(), 2);
    rig.run(&["revoke", &digest[..12]]).ok();
    let named = rig.run(&["list", "--prefix", "{ot}"]).ok();
    assert!(named.stdout.ends_with("another\n") && !named.stdout.contains(&digest[..12]));
    rig.run(&["list", "--prefix", "{}"])
        .failed(2, "some of them in braces");
}
