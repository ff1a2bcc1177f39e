//! `keys`, the built program, against a real Redis behind `serve-redis`.
#![cfg(all(feature = "cli", feature = "reqwest"))]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

mod common;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use omnitrade_edge::engine::subject;
use serde_json::{Value, json};

use common::redis::{RedisServer, free_port};
use common::rest::{PROGRAM, RestServer};
use common::{TempDir, eventually};

const TOKEN: &str = "t0ken-of-the-store";
const DAY: i64 = 86_400_000;

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
        Self::before(RedisServer::start())
    }

    fn before(redis: RedisServer) -> Self {
        let rest = RestServer::start(&redis.url(), TOKEN);
        Self {
            _redis: redis,
            rest,
            directory: TempDir::new(),
        }
    }

    fn keys(&self, args: &[&str]) -> Done {
        self.keys_with(args, "")
    }

    fn keys_with(&self, args: &[&str], stdin: &str) -> Done {
        self.call(self.rest.url(), TOKEN, args, stdin)
    }

    fn call(&self, url: &str, token: &str, args: &[&str], stdin: &str) -> Done {
        let mut process = Command::new(PROGRAM)
            .arg("keys")
            .args(args)
            .current_dir(self.directory.path())
            .env("UPSTASH_REDIS_REST_URL", url)
            .env("UPSTASH_REDIS_REST_TOKEN", token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended without reading it.
        let _ = process.stdin.take().unwrap().write_all(stdin.as_bytes());
        let Output {
            status,
            stdout,
            stderr,
        } = process.wait_with_output().unwrap();
        let done = Done {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        };
        assert!(!done.stderr.contains(TOKEN), "{done:?}");
        done
    }

    /// Adds a new key and gives it.
    #[track_caller]
    fn add(&self, args: &[&str]) -> String {
        let done = self.keys(&[&["add"], args].concat()).ok();
        let key = done.stdout.strip_suffix('\n').unwrap();
        assert!(!done.stderr.contains(key), "{done:?}");
        key.to_owned()
    }

    #[track_caller]
    fn list(&self) -> Vec<Value> {
        let text = self.keys(&["list", "--json"]).ok().stdout;
        serde_json::from_str(&text).unwrap()
    }

    fn configure(&self, text: &str) {
        let edge = "[vars.EDGE]\norigin = 'https://api.example.com'\n";
        std::fs::write(
            self.directory.path().join("wrangler.toml"),
            [edge, text].concat(),
        )
        .unwrap();
    }

    async fn redis(&self, command: Value) -> Value {
        let (status, mut reply) = self.rest.command(command).await;
        assert_eq!(status, 200, "{reply}");
        reply["result"].take()
    }

    /// All that is in Redis: each key's name, value, and milliseconds to live.
    async fn everything(&self) -> Vec<(String, Value, i64)> {
        let mut all = Vec::new();
        for name in self.redis(json!(["KEYS", "*"])).await.as_array().unwrap() {
            let read = match self.redis(json!(["TYPE", name])).await.as_str() {
                Some("hash") => "HGETALL",
                _ => "GET",
            };
            let value = self.redis(json!([read, name])).await;
            let left = self.redis(json!(["PTTL", name])).await;
            let name = name.as_str().unwrap().to_owned();
            all.push((name, value, left.as_i64().unwrap()));
        }
        all
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
    }
}

fn digest(key: &str) -> String {
    subject::of_api_key(key, &subject::domain("ot"))
}

#[tokio::test]
async fn a_key_is_added_listed_and_revoked() {
    let rig = Rig::start();
    let done = rig
        .keys(&["add", "--plan", "pro", "--name", "Acme Ltd"])
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

    let other = rig.add(&[]);
    let lines = rig.keys(&["list"]).ok().stdout;
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(&format!("{id}  pro  2")), "{lines:?}");
    assert!(lines[0].ends_with("Z  Acme Ltd"), "{lines:?}");
    assert!(lines[1].ends_with("Z  -"), "{lines:?}");

    let done = rig.keys(&["revoke", &id[..8].to_uppercase()]).ok();
    assert_eq!(done.stdout, format!("revoked {id}\n"));
    assert_eq!(rig.redis(record).await, Value::Null);
    let left = rig.list();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["digest"], self::digest(&other));
    let again = rig.keys(&["revoke", id]);
    again.failed(1, "error: no such key is registered");

    rig.keys_with(&["revoke", "--key-stdin"], &other).ok();
    assert_eq!(rig.everything().await, [], "nothing is left behind");
    assert_eq!(rig.keys(&["list"]).ok().stdout, "");
}

#[tokio::test]
async fn no_key_is_in_redis_and_all_that_is_there_expires() {
    let rig = Rig::start();
    let old = "an-existing-key-of-a-client";
    let done = rig
        .keys_with(
            &["add", "--key-stdin", "--valid-for", "30d"],
            &format!(" {old}\n"),
        )
        .ok();
    assert_eq!(done.stdout, "", "what was given is not printed");
    assert!(!done.stderr.contains(old), "{done:?}");
    let new = rig.add(&["--valid-for", "90d", "--log", "trace"]);
    rig.add(&["--valid-for", "1d"]);

    let all = rig.everything().await;
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
    let rig = Rig::start();
    let key = rig.add(&["--plan", "pro", "--name", "Acme", "--valid-for", "10d"]);
    let before = rig.list().remove(0);
    let renew = |args: &[&str]| {
        let done = rig.keys_with(&[&["add", "--key-stdin"], args].concat(), &key);
        let done = done.ok();
        assert!(done.stderr.starts_with("renewed "), "{done:?}");
        rig.list().remove(0)
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
    assert_eq!(rig.list().len(), 1);
    let record = format!("ot:k:{}", digest(&key));
    assert_eq!(rig.redis(json!(["GET", record])).await, "1 max");
    let left = rig.redis(json!(["PTTL", record])).await;
    assert!(left.as_i64().unwrap() <= 5 * DAY);
}

#[tokio::test]
async fn what_has_expired_is_not_listed_and_leaves_the_index() {
    let rig = Rig::start();
    let stays = rig.add(&[]);
    rig.add(&["--valid-for", "1ms"]);
    let listed = eventually("the other expires", || {
        let listed = rig.list();
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
    let rig = Rig::start();
    let key = rig.add(&[]);
    let (a, b) = ("a".repeat(32), format!("{}b", "a".repeat(31)));
    let bad = r#"{"name":"\u001b[2J","added":1,"until":2}"#;
    rig.redis(json!(["HSET", "ot:k:index", &a, bad, &b, "x", "y", "z"]))
        .await;
    for name in [&a, &b] {
        rig.redis(json!(["SET", format!("ot:k:{name}"), "1", "EX", 60]))
            .await;
    }
    let done = rig.keys(&["list"]).ok();
    assert_eq!(done.stdout.lines().count(), 1, "{done:?}");
    assert!(done.stdout.starts_with(&digest(&key)[..12]), "{done:?}");
    assert!(!done.stderr.contains("\x1b[2J"), "{done:?}");
    assert!(done.stderr.contains("not understood"), "{done:?}");

    let ambiguous = rig.keys(&["revoke", &a[..12]]);
    ambiguous.failed(1, "found that of 2: give more digits");
    rig.keys(&["revoke", &a]).ok();
    rig.keys(&["revoke", &b]).ok();
    assert_eq!(rig.list().len(), 1);
}

#[test]
fn a_store_that_fails_is_named_by_its_failure_alone() {
    let rig = Rig::start();
    let absent = format!("http://127.0.0.1:{}", free_port());
    for verb in [&["add"][..], &["list"], &["revoke", "0123456789ab"]] {
        let wrong = rig.call(rig.rest.url(), "wrong-token", verb, "");
        wrong.failed(1, "error: the store refused the token");
        let away = rig.call(&absent, TOKEN, verb, "");
        away.failed(1, "error: the store cannot be reached");
        for done in [wrong, away] {
            assert!(!done.stderr.contains("127.0.0.1"), "{done:?}");
            assert!(!done.stderr.contains("wrong-token"), "{done:?}");
        }
        let nonsense = rig.call("s3cret", TOKEN, verb, "");
        nonsense.failed(2, "url: expected an address");
        assert!(!nonsense.stderr.contains("s3cret"), "{nonsense:?}");
    }
}

#[test]
fn the_configuration_says_the_prefix_and_the_plans() {
    let rig = Rig::start();
    rig.configure(
        "[vars.EDGE.redis]\nkey_prefix = 'edge'\n\
         [vars.EDGE.limits.a]\nby = 'client'\nwindow = '60s'\nquota = 1\n\
         plans = { pro = 2, free = 1 }",
    );
    let unknown = rig.keys(&["add", "--plan", "gold"]);
    unknown.failed(
        2,
        r#"--plan: expected a plan that a limit knows (free, pro), found "gold""#,
    );
    let key = rig.add(&["--plan", "pro"]);
    let domain = subject::domain("edge");
    assert_eq!(rig.list()[0]["digest"], subject::of_api_key(&key, &domain));
    let elsewhere = rig.keys(&["list", "--prefix", "ot"]).ok();
    assert_eq!(elsewhere.stdout, "");

    rig.configure("nonsense = 1");
    rig.keys(&["list"]).failed(1, "wrangler.toml: nonsense: ");
    let prefix = ["--prefix", "edge"];
    let named = rig.keys(&[&["list", "--config", "wrangler.toml"], &prefix[..]].concat());
    named.failed(1, "nonsense");
    // Nothing that lies about keeps a key from being revoked.
    let revoke = [&["revoke", "--key-stdin"], &prefix[..]].concat();
    rig.keys_with(&revoke, &key).ok();
    rig.keys(&["list", "--config", "absent.toml"])
        .failed(1, "cannot read absent.toml");
}

#[test]
fn what_is_asked_wrongly_is_refused_before_anything_is_sent() {
    let rig = Rig::start();
    let away = format!("http://127.0.0.1:{}", free_port());
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
        let done = rig.call(&away, TOKEN, args, stdin);
        done.failed(2, said);
        assert!(!done.stderr.contains("s3cret"), "{done:?}");
        assert!(!done.stderr.contains("short-secret"), "{done:?}");
    }
}

#[tokio::test]
async fn keys_of_a_clustered_redis_are_kept_under_a_hash_tag() {
    let rig = Rig::before(RedisServer::start_cluster());
    let refused = rig.keys(&["add"]);
    refused.failed(1, "CROSSSLOT");
    assert!(
        refused.stderr.contains(r#"`key_prefix = "{ot}"`"#),
        "{refused:?}"
    );
    assert_eq!(rig.everything().await, [], "nothing was written");

    rig.configure("redis = { key_prefix = '{ot}' }");
    let key = rig.add(&["--plan", "pro"]);
    let digest = subject::of_api_key(&key, &subject::domain("{ot}"));
    let record = rig
        .redis(json!(["GET", format!("{{ot}}:k:{digest}")]))
        .await;
    assert_eq!(record, "1 pro", "where the gate looks for it");
    rig.add(&["--name", "another"]);
    assert_eq!(rig.list().len(), 2);
    rig.keys(&["revoke", &digest[..12]]).ok();
    let named = rig.keys(&["list", "--prefix", "{ot}"]).ok();
    assert!(named.stdout.ends_with("another\n") && !named.stdout.contains(&digest[..12]));
    rig.keys(&["list", "--prefix", "{}"])
        .failed(2, "some of them in braces");
}
