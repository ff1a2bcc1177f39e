//! `doctor` finds each fault of a store, of the way to it and of a Worker, names the remedy, and
//! leaves nothing behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use omnitrade_edge::config::Config;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::{Options, RestClient};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::store::ADMIT;
use serde_json::{Value, json};

use crate::common::eventually;
use crate::common::redis::{RedisServer, free_port};
use crate::common::rest::{PROGRAM, RestServer};
use crate::proxy::{Fault, NONE, Proxy, Seen, tls_before};
use crate::rig::{Done, Folder, TOKEN, nowhere};

/// The token of the Worker.
const ADMIN: &str = "adm1n-t0ken-of-the-worker";

/// A user of Redis under these rules, and the store behind it.
struct Store {
    redis: RedisServer,
    rest: RestServer,
    folder: Folder,
}

impl Store {
    /// A store of which everything is allowed.
    fn open() -> Self {
        Self::of(RedisServer::start())
    }

    fn of(redis: RedisServer) -> Self {
        let rest = RestServer::start(&redis.url(), TOKEN);
        let folder = Folder::new();
        Self {
            redis,
            rest,
            folder,
        }
    }

    /// A store whose user has only the rights that `doctor` prints, and these.
    fn least(more: &str) -> Self {
        Self::under(&format!("{} {more}", printed_rule(&[])))
    }

    /// A store whose user has the rights of this rule.
    fn under(rule: &str) -> Self {
        let redis = RedisServer::start();
        assert_eq!(redis.say(rule).as_deref(), Some("+OK"), "{rule}");
        let url = user_url(&redis);
        let rest = RestServer::start(&url, TOKEN);
        let folder = Folder::new();
        Self {
            redis,
            rest,
            folder,
        }
    }

    fn run(&self, args: &[&str]) -> Run {
        self.run_in(&[], args)
    }

    fn run_in(&self, environment: &[(&str, &str)], args: &[&str]) -> Run {
        self.run_at(self.rest.url(), environment, args)
    }

    /// Runs it on the store at this address, and checks what holds for every run.
    fn run_at(&self, url: &str, environment: &[(&str, &str)], args: &[&str]) -> Run {
        diagnosed(&self.folder, url, environment, args)
    }

    async fn say(&self, command: Value) -> Value {
        let (_, mut reply) = self.rest.command(command).await;
        reply["result"].take()
    }
}

/// The address of the store's own user, whose password is that of the printed rule.
fn user_url(redis: &RedisServer) -> String {
    redis.url().replace("redis://", "redis://edge:PASSWORD@")
}

/// What a run has said.
struct Run {
    done: Done,
    report: Value,
}

fn diagnosed(folder: &Folder, url: &str, environment: &[(&str, &str)], args: &[&str]) -> Run {
    let store = [
        ("UPSTASH_REDIS_REST_URL", url),
        ("UPSTASH_REDIS_REST_TOKEN", TOKEN),
    ];
    let environment = [&store, environment].concat();
    let done = folder.call_in(&environment, &[&["doctor", "--json"], args].concat());
    let report: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let said = format!("{}{}", done.stdout, done.stderr);
    for secret in [TOKEN, ADMIN, "PASSWORD", "s3cret"] {
        assert!(!said.contains(secret), "{done:?}");
    }
    for (name, value) in &environment {
        if name.ends_with("_URL") {
            let place = value.rsplit(['/', '@']).find(|part| part.contains(':'));
            assert!(!said.contains(place.unwrap()), "{name}: {done:?}");
        }
    }
    for check in report["checks"].as_array().unwrap() {
        let text = |value: &Value| value.as_str().is_some_and(|text| text.len() > 5);
        for finding in check["findings"].as_array().unwrap() {
            assert!(
                text(&finding["remedy"]) && text(&finding["message"]),
                "{check}"
            );
        }
        let skipped = &check["skipped"];
        let whole = text(&skipped["reason"]) && text(&skipped["remedy"]);
        assert!(skipped.is_null() || whole, "{check}");
    }
    let worst = report["status"].as_str().unwrap();
    let strict = args.contains(&"--strict");
    let code = i32::from(worst == "fail" || strict && worst == "warn");
    assert_eq!(done.code, Some(code), "{done:?}");
    Run { done, report }
}

impl Run {
    #[track_caller]
    fn check(&self, name: &str) -> &Value {
        let all = self.report["checks"].as_array().unwrap();
        let check = all.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no {name} in {}", self.report))
    }

    /// The status of a check and the codes of its findings: `fail: a, b`.
    #[track_caller]
    fn of(&self, name: &str) -> String {
        let check = self.check(name);
        let status = check["status"].as_str().unwrap();
        let findings = check["findings"].as_array().unwrap().iter();
        let codes: Vec<_> = findings.map(|one| one["code"].as_str().unwrap()).collect();
        match codes.as_slice() {
            [] => status.to_owned(),
            codes => format!("{status}: {}", codes.join(", ")),
        }
    }

    /// All that is said of a check.
    fn words(&self, name: &str) -> String {
        self.check(name).to_string()
    }
}

#[track_caller]
fn printed_rule(args: &[&str]) -> String {
    let done = Folder::new()
        .call(&[&["doctor", "--print-acl"], args].concat())
        .ok();
    done.stdout.strip_suffix('\n').unwrap().to_owned()
}

#[test]
fn the_rule_that_is_printed_is_the_documented_one_for_the_prefix() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deploy.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.lines().any(|line| line == printed_rule(&[])));
    let other = printed_rule(&["--prefix", "{shop}"]);
    assert_eq!(other, printed_rule(&[]).replace("~ot:*", "~{shop}:*"));
    let folder = Folder::new();
    folder.write(
        "edge.toml",
        "[vars.EDGE]\norigin = 'https://a.example'\nredis = { key_prefix = 'cfg' }",
    );
    let done = folder.call(&["doctor", "edge.toml", "--print-acl"]).ok();
    assert!(done.stdout.contains(" ~cfg:* "), "{done:?}");
    assert!(!done.stdout.contains("+zadd"), "{done:?}");

    // With a queue, all that the page about jobs names comes to it.
    folder.write(
        "edge.toml",
        "[vars.EDGE]\norigin = 'https://a.example'\n[vars.EDGE.queues.bots]\nname = 'trading-bots'",
    );
    let done = folder.call(&["doctor", "edge.toml", "--print-acl"]).ok();
    let jobs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/jobs.md");
    let jobs = std::fs::read_to_string(jobs).unwrap();
    let rule = jobs
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER edge "));
    for word in rule.unwrap().split(' ') {
        assert!(
            done.stdout.contains(&format!(" {word}")),
            "{word}: {done:?}"
        );
    }
}

#[tokio::test]
async fn a_store_that_is_well_has_no_finding_but_plain_http() {
    let store = Store::least("+scan +pttl +getrange +info");
    let seen = store.run(&[]);
    for name in ["scripts", "deadline", "clock", "rights", "memory", "keys"] {
        assert_eq!(seen.of(name), "ok", "{}", seen.words(name));
    }
    assert_eq!(seen.of("reach"), "warn: plain_http_here");
    for name in ["edge", "queues", "redis-url", "config", "plan"] {
        assert_eq!(seen.of(name), "skip", "{}", seen.words(name));
    }
    let reach = &seen.check("reach")["data"];
    assert_eq!(
        (&reach["answered"], &reach["tls"]),
        (&json!(20), &json!(false))
    );
    assert!(reach["p50_ms"].as_f64().unwrap() <= reach["p99_ms"].as_f64().unwrap());
    assert_eq!(seen.check("scripts")["data"]["charged"], 1);
    assert_eq!(seen.done.stderr, "");

    let strict = store.run(&["--strict", "--only", "reach"]);
    assert!(
        strict.done.stderr.contains("with a warning: reach"),
        "{:?}",
        strict.done
    );
    store.run(&["--strict", "--only", "scripts,rights"]);
}

#[tokio::test]
async fn people_get_a_line_for_each_check_with_its_remedy() {
    let store = Store::open();
    let environment = [
        ("UPSTASH_REDIS_REST_URL", store.rest.url()),
        ("UPSTASH_REDIS_REST_TOKEN", TOKEN),
    ];
    let done = store.folder.call_in(&environment, &["doctor"]).ok();
    let text = &done.stdout;
    for line in [
        "warn  reach     ",
        "ok    scripts   ",
        "warn  rights    ",
        "skip  plan      ",
    ] {
        assert!(text.lines().any(|each| each.starts_with(line)), "{text}");
    }
    assert!(
        text.contains("\n                better: the token can run FLUSHDB, "),
        "{text}"
    );
    assert!(
        text.contains("\n                  -> give the gate a user of its own"),
        "{text}"
    );
    assert!(
        text.contains("\n                not checked: REDIS_URL is not set\n")
            || text.contains("not checked: REDIS_URL"),
        "{text}"
    );
    assert!(
        text.ends_with(" ok, 2 with a warning, 0 failed, 5 skipped\n"),
        "{text}"
    );
}

#[tokio::test]
async fn what_the_least_rights_forbid_is_skipped_and_nothing_else() {
    let store = Store::least("");
    let seen = store.run(&[]);
    for name in ["scripts", "deadline", "clock", "rights"] {
        assert_eq!(seen.of(name), "ok", "{}", seen.words(name));
    }
    for (name, right) in [("memory", "INFO"), ("keys", "SCAN")] {
        assert_eq!(seen.of(name), "skip", "{}", seen.words(name));
        let reason = seen.check(name)["skipped"]["reason"].as_str().unwrap();
        assert!(reason.starts_with(right), "{reason}");
    }
    // A part of what it needs.
    let store = Store::least("+scan");
    store
        .say(json!(["SET", "ot:l:a:b", "x", "PX", 60_000]))
        .await;
    assert_eq!(store.run(&["--only", "keys"]).of("keys"), "skip");
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let rule = printed_rule(&[]);
    let store = Store::under(&rule.replace(" +del", "").replace(" +mget", ""));
    let seen = store.run(&["--only", "rights,scripts"]);
    assert_eq!(seen.of("rights"), "fail: rights_missing");
    assert_eq!(
        seen.check("rights")["data"]["missing"],
        json!(["MGET", "DEL"])
    );
    assert_eq!(seen.of("scripts"), "fail: forbidden");

    let store = Store::under(&rule.replace(" +eval ", " "));
    let seen = store.run(&["--only", "rights,scripts"]);
    assert_eq!(seen.check("rights")["data"]["missing"], json!(["EVAL"]));
    assert_eq!(seen.of("scripts"), "fail: forbidden");

    // Keys of another prefix are forbidden, whatever the commands.
    let store = Store::under(&rule);
    let seen = store.run(&["--only", "rights", "--prefix", "other"]);
    assert_eq!(seen.of("rights"), "fail: rights_missing");

    let store = Store::under(&rule.replace(" +time", "").replace(" +ping", ""));
    let seen = store.run(&["--only", "reach,clock"]);
    assert_eq!(
        seen.of("reach"),
        "warn: plain_http_here",
        "it answers, if only that it may not"
    );
    assert_eq!(seen.of("clock"), "skip");
}

#[tokio::test]
async fn rights_that_are_too_many_are_named_and_none_is_used() {
    let store = Store::open();
    store.say(json!(["SET", "another", "value"])).await;
    let seen = store.run(&["--only", "rights"]);
    assert_eq!(seen.of("rights"), "warn: foreign_keys, dangerous");
    let all = json!([
        "FLUSHDB",
        "FLUSHALL",
        "KEYS",
        "CONFIG SET",
        "ACL SETUSER",
        "SHUTDOWN"
    ]);
    assert_eq!(seen.check("rights")["data"]["dangerous"], all);
    assert_eq!(
        seen.check("rights")["data"]["foreign_keys"],
        json!(["read", "write"])
    );
    assert_eq!(store.say(json!(["KEYS", "*"])).await, json!(["another"]));

    let seen = Store::least("+flushdb").run(&["--only", "rights"]);
    assert_eq!(seen.of("rights"), "warn: dangerous");
    assert_eq!(
        seen.check("rights")["data"]["dangerous"],
        json!(["FLUSHDB"])
    );
    let seen = Store::least("%R~*").run(&["--only", "rights"]);
    assert_eq!(seen.of("rights"), "warn: foreign_keys");
    assert_eq!(
        seen.check("rights")["data"]["foreign_keys"],
        json!(["read"])
    );
}

/// A store that cannot be asked without doing it.
#[tokio::test(flavor = "multi_thread")]
async fn whether_all_can_be_deleted_is_told_without_acl_check_too() {
    let old = |seen: &Seen| match seen.body[1].as_str() {
        Some(script) if script.contains("acl_check_cmd") => {
            Fault::Answer(200, r#"{"result":null}"#.into())
        }
        _ => NONE,
    };
    let store = Store::open();
    let proxy = Proxy::start(&[store.rest.url()], old).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "rights"]);
    assert_eq!(
        seen.of("rights"),
        "warn: foreign_keys, dangerous",
        "it is the default user"
    );

    let store = Store::least("+acl|whoami");
    let proxy = Proxy::start(&[store.rest.url()], old).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "rights"]);
    assert_eq!(seen.of("rights"), "ok");
    assert!(
        seen.words("rights").contains("is not known"),
        "{}",
        seen.words("rights")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_nothing_is_to_be_better_if_the_certificate_is_trusted() {
    let store = Store::least("");
    let port = store
        .rest
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let (port, certificate) = tls_before(port).await;
    let url = format!("https://localhost:{port}");
    store.folder.write("trusted.pem", &certificate);
    let trust = [("SSL_CERT_FILE", "trusted.pem")];
    let seen = store.run_at(&url, &trust, &["--strict"]);
    assert_eq!(seen.of("reach"), "ok", "{}", seen.words("reach"));
    assert_eq!(seen.check("reach")["data"]["tls"], true);
    assert_eq!(seen.report["status"], "ok");

    let seen = store.run_at(&url, &[], &["--only", "reach"]);
    assert_eq!(seen.of("reach"), "fail: unreachable");
    assert!(seen.words("reach").contains("certificate"));
}

#[tokio::test]
async fn a_store_that_is_not_there_fails_once() {
    let folder = Folder::new();
    let seen = diagnosed(&folder, &nowhere(), &[], &[]);
    assert_eq!(seen.of("reach"), "fail: plain_http_here, unreachable");
    for name in ["deadline", "scripts", "clock", "rights", "memory", "keys"] {
        assert_eq!(seen.of(name), "skip");
    }
    assert!(
        seen.done.stderr.contains("failed: reach"),
        "{:?}",
        seen.done
    );
    let mut store = Store::open();
    store.redis.stop();
    let seen = store.run(&["--only", "reach"]);
    assert_eq!(seen.of("reach"), "fail: plain_http_here, server");
    let seen = diagnosed(&folder, &nowhere(), &[], &["--only", "scripts"]);
    assert_eq!(
        seen.of("scripts"),
        "fail: unreachable",
        "without the check that says so"
    );
    // Not this machine: the token must not go there in clear.
    let seen = diagnosed(&folder, "http://192.0.2.1:9", &[], &["--only", "reach"]);
    assert!(
        seen.of("reach").starts_with("fail: plain_http, "),
        "{}",
        seen.of("reach")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_says_of_the_token_and_the_plan_is_told_with_its_remedy() {
    let store = Store::open();
    let wrong = RestServer::start(&store.redis.url(), "another-token");
    let seen = store.run_at(wrong.url(), &[], &[]);
    assert_eq!(seen.of("reach"), "fail: plain_http_here, unauthorised");
    assert!(
        seen.words("reach")
            .contains("UPSTASH_REDIS_REST_TOKEN anew")
    );

    let used_up =
        r#"{"error":"ERR max daily request limit exceeded. Limit: 10000, Usage: 10000."}"#;
    let proxy = Proxy::start(&[], move |_| Fault::Answer(400, used_up.into())).await;
    let seen = store.run_at(proxy.url(), &[], &[]);
    assert_eq!(seen.of("reach"), "fail: plain_http_here, quota_exhausted");
    assert!(seen.words("reach").contains("raise the plan"));

    let proxy = Proxy::start(&[], |_| Fault::Answer(200, "<html>".into())).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "reach"]);
    assert_eq!(seen.of("reach"), "fail: plain_http_here, protocol");
    assert!(seen.words("reach").contains("serve-redis"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_slow_or_unsteady_is_found() {
    let store = Store::open();
    let slow = |_: &Seen| Fault::Slow(Duration::from_millis(30));
    let proxy = Proxy::start(&[store.rest.url()], slow).await;
    for (file, timeout) in [("short.toml", "20ms"), ("long.toml", "5s")] {
        let redis = format!("redis = {{ timeout = '{timeout}' }}");
        store
            .folder
            .write(file, &format!("[vars.EDGE]\n{EDGE}{redis}"));
    }
    let seen = store.run_at(
        proxy.url(),
        &[],
        &["short.toml", "--only", "reach,deadline"],
    );
    assert_eq!(seen.of("deadline"), "warn: too_slow_from_here");
    assert!(seen.check("reach")["data"]["p50_ms"].as_f64().unwrap() >= 30.0);
    let seen = store.run_at(proxy.url(), &[], &["long.toml", "--only", "deadline"]);
    assert_eq!(seen.of("deadline"), "ok");

    // One in five, which is more than p90.
    let at_times = |seen: &Seen| match seen.number % 5 {
        0 => Fault::Slow(Duration::from_millis(200)),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], at_times).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "deadline"]);
    assert_eq!(seen.of("deadline"), "warn: often_too_slow");

    let breaks = |seen: &Seen| match seen.number % 3 {
        2 => Fault::Reset,
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], breaks).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "reach"]);
    assert_eq!(seen.of("reach"), "fail: plain_http_here, unsteady");
    let failed = seen.check("reach")["data"]["failed"]["unreachable"].as_u64();
    assert!(
        failed.is_some_and(|failed| failed >= 5),
        "{}",
        seen.words("reach")
    );
    let once = |seen: &Seen| match seen.number {
        9 => Fault::Answer(503, "{}".into()),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], once).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "reach"]);
    assert_eq!(seen.of("reach"), "warn: plain_http_here, unsteady");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_scripts_is_found() {
    let store = Store::open();
    let flushed = |seen: &Seen| match seen.command() {
        "EVALSHA" => Fault::After(json!(["SCRIPT", "FLUSH"])),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], flushed).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "scripts"]);
    assert_eq!(seen.of("scripts"), "warn: forgets_scripts");

    // One that does not say so.
    let silent = |seen: &Seen| match seen.command() {
        "EVALSHA" => Fault::Answer(400, r#"{"error":"ERR no such script"}"#.into()),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], silent).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "scripts"]);
    assert_eq!(seen.of("scripts"), "fail: command");
    let cached = |seen: &Seen| match seen.command() {
        "EVALSHA" => Fault::Answer(200, r#"{"result":"1"}"#.into()),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], cached).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "scripts"]);
    assert_eq!(seen.of("scripts"), "fail: no_reload");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_is_charged_twice_is_found() {
    let (store, other) = (Store::open(), Store::open());
    for server in [&store, &other] {
        for source in [ADMIT.lua(), ADMIT.locking_lua()] {
            let digest = server.say(json!(["SCRIPT", "LOAD", source])).await;
            assert!(digest.is_string(), "{digest}");
        }
    }
    // The servers do not share their keys.
    let spread = |seen: &Seen| match seen.command() {
        "EVALSHA" if seen.body[2] == 2 => Fault::To(seen.number % 2),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url(), other.rest.url()], spread).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "scripts"]);
    assert_eq!(seen.of("scripts"), "fail: repeat_charged");

    // The ids are lost on the way.
    let nameless = |seen: &Seen| {
        let mut body = seen.body.clone();
        let Some(at) = body[2]
            .as_u64()
            .filter(|keys| *keys > 0 && seen.command() == "EVALSHA")
        else {
            return NONE;
        };
        let at = 3 + usize::try_from(at).unwrap() + 5;
        if body[at].is_string() {
            body[at] = format!("Z{:05}", seen.number).into();
        }
        Fault::Instead(body)
    };
    let proxy = Proxy::start(&[store.rest.url()], nameless).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "scripts"]);
    assert_eq!(seen.of("scripts"), "fail: repeat_charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_key_locking_is_served_and_told() {
    let store = Store::open();
    let plain = |seen: &Seen| match seen.body[1].as_str() {
        Some(script) if script.contains("allow-key-locking") => {
            let error = "ERR Unexpected flag in script shebang: allow-key-locking";
            Fault::Answer(400, json!({ "error": error }).to_string())
        }
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], plain).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "scripts"]);
    assert_eq!(seen.of("scripts"), "ok", "{}", seen.words("scripts"));
    assert_eq!(seen.check("scripts")["data"]["key_locking"], false);
    assert_eq!(
        store.run(&["--only", "scripts"]).check("scripts")["data"]["key_locking"],
        true
    );
}

#[test]
fn a_cluster_without_a_hash_tag_is_found() {
    let store = Store::of(RedisServer::start_cluster());
    let seen = store.run(&["--only", "scripts"]);
    assert_eq!(seen.of("scripts"), "fail: config");
    assert!(
        seen.words("scripts").contains("{ot}"),
        "{}",
        seen.words("scripts")
    );
    let seen = store.run(&["--only", "scripts,keys,rights", "--prefix", "{ot}"]);
    assert_eq!(seen.of("scripts"), "ok", "{}", seen.words("scripts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_found() {
    let store = Store::open();
    let ahead = |seen: &Seen| match seen.command() {
        "TIME" => Fault::Changed(|answer| {
            let seconds = answer["result"][0]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap();
            answer["result"][0] = (seconds + 90).to_string().into();
        }),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], ahead).await;
    let seen = store.run_at(proxy.url(), &[], &["--only", "clock"]);
    assert_eq!(seen.of("clock"), "warn: clock_here");
    let offset = seen.check("clock")["data"]["offset_ms"].as_f64().unwrap();
    assert!((89_000.0..91_000.0).contains(&offset), "{offset}");
    let odd = |_: &Seen| Fault::Answer(200, r#"{"result":"now"}"#.into());
    let proxy = Proxy::start(&[store.rest.url()], odd).await;
    assert_eq!(
        store
            .run_at(proxy.url(), &[], &["--only", "clock"])
            .of("clock"),
        "fail: no_time"
    );
}

#[tokio::test]
async fn eviction_and_memory_that_runs_out_are_found() {
    let store = Store::open();
    let info = store.say(json!(["INFO", "memory"])).await;
    let used = info
        .as_str()
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().parse().unwrap();
    let set = |name: &'static str, value: String| store.say(json!(["CONFIG", "SET", name, value]));
    set("maxmemory", (used * 115 / 100).to_string()).await;
    assert_eq!(
        store.run(&["--only", "memory"]).of("memory"),
        "warn: memory_nearly_full"
    );
    set("maxmemory", (used / 2).to_string()).await;
    assert_eq!(
        store.run(&["--only", "memory"]).of("memory"),
        "fail: memory_full"
    );
    set("maxmemory", "0".into()).await;
    set("maxmemory-policy", "volatile-lru".into()).await;
    let seen = store.run(&["--only", "memory"]);
    assert_eq!(seen.of("memory"), "warn: evicts");
    assert_eq!(seen.check("memory")["data"]["policy"], "volatile-lru");

    set("maxmemory-policy", "allkeys-lru".into()).await;
    set("maxmemory", (used + 2_000_000).to_string()).await;
    for n in 0..60 {
        store
            .say(json!(["SET", format!("filler:{n}"), "x".repeat(100_000)]))
            .await;
    }
    let seen = store.run(&["--only", "memory"]);
    assert!(
        seen.of("memory").contains("has_evicted"),
        "{}",
        seen.words("memory")
    );
    assert!(
        seen.check("memory")["data"]["evicted_keys"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[tokio::test]
async fn queues_of_another_version_and_jobs_that_can_be_lost_are_found() {
    let store = Store::open();
    let queues = "[vars.EDGE.queues.bots]\nname = 'trading-bots'\n\
                  [vars.EDGE.queues.old]\nname = 'old'\nprefix = '{b}'\nbullmq = 5";
    let file = format!("[vars.EDGE]\n{EDGE}\n{queues}");
    store.folder.write("wrangler.toml", &file);
    let only = ["--only", "queues"];
    let seen = store.run(&only);
    assert_eq!(seen.of("queues"), "ok", "{}", seen.words("queues"));
    // `serve-redis` tells nobody who else is connected.
    assert!(seen.words("queues").contains("110 commands a minute"));
    let met = |key: &'static str, version: &'static str| {
        store.say(json!(["HSET", key, "version", version]))
    };
    met("bull:trading-bots:meta", "bullmq:5.81.3").await;
    met("{b}:old:meta", "bullmq:5.1.0").await;
    assert_eq!(store.run(&only).of("queues"), "ok");
    met("{b}:old:meta", "bullmq:6.7.0").await;
    let seen = store.run(&only);
    assert_eq!(seen.of("queues"), "fail: bullmq_version");
    assert!(
        seen.words("queues").contains("6.7.0"),
        "{}",
        seen.words("queues")
    );
    met("{b}:old:meta", "bullmq:5.1.0").await;
    store
        .say(json!(["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]))
        .await;
    assert_eq!(store.run(&only).of("queues"), "fail: jobs_evicted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_info_says_nothing_is_not_judged_by_it() {
    let store = Store::open();
    let silent = |seen: &Seen| match seen.command() {
        "INFO" => Fault::Answer(200, r##"{"result":"# Server\r\nx:1\r\n"}"##.into()),
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], silent).await;
    assert_eq!(
        store
            .run_at(proxy.url(), &[], &["--only", "memory"])
            .of("memory"),
        "skip"
    );
}

#[tokio::test]
async fn keys_that_do_not_expire_or_cannot_be_read_are_found() {
    let store = Store::open();
    let client = Options::new(store.rest.url(), TOKEN);
    let client = RestClient::new(ReqwestTransport::new().unwrap(), client).unwrap();
    let limiter = RateLimiter::new(client, Rule::new(9, Duration::from_secs(60)));
    assert!(limiter.limit("s3cret-subject", 2).await.success);
    let environment = [
        ("UPSTASH_REDIS_REST_URL", store.rest.url()),
        ("UPSTASH_REDIS_REST_TOKEN", TOKEN),
    ];
    store
        .folder
        .call_in(&environment, &["keys", "add", "--plan", "pro"])
        .ok();
    store
        .folder
        .call_in(&environment, &["purge", "--tag", "book"])
        .ok();
    let entry = "2 9999999999999 9999999999999 1 - - {\"k\":1}\nbody";
    store
        .say(json!(["SET", "ot:c:0123", entry, "PX", 60_000]))
        .await;
    // Another program's, under the same prefix, and one of another prefix.
    store.say(json!(["SET", "ot:jobs:s3cret", "x"])).await;
    store.say(json!(["SET", "other:l:s3cret", "x"])).await;
    let seen = store.run(&["--only", "keys"]);
    assert_eq!(seen.of("keys"), "ok", "{}", seen.words("keys"));
    let data = &seen.check("keys")["data"];
    let families = json!({
        "cached answers": 1, "epochs": 1, "limits": 1, "others": 1, "registered keys": 2,
    });
    assert_eq!(data["families"], families);
    assert_eq!(data["complete"], true);

    store
        .say(json!(["SET", "ot:l:per-ip:s3cret", "7", "PX", 60_000]))
        .await;
    store
        .say(json!(["HSET", "ot:l:per-ip:s3cret-hash", "a", "b"]))
        .await;
    store
        .say(json!(["PEXPIRE", "ot:l:per-ip:s3cret-hash", 60_000]))
        .await;
    let seen = store.run(&["--only", "keys"]);
    assert_eq!(seen.of("keys"), "fail: unreadable");
    assert_eq!(
        seen.check("keys")["data"]["unreadable"],
        json!({ "limits": 2 })
    );

    store
        .say(json!([
            "DEL",
            "ot:l:per-ip:s3cret",
            "ot:l:per-ip:s3cret-hash"
        ]))
        .await;
    store.say(json!(["PERSIST", "ot:c:0123"])).await;
    let seen = store.run(&["--only", "keys"]);
    assert_eq!(seen.of("keys"), "warn: without_ttl");
    assert_eq!(
        seen.check("keys")["data"]["without_ttl"],
        json!({ "cached answers": 1 })
    );
}

#[tokio::test]
async fn of_many_keys_a_sample_is_looked_at() {
    let store = Store::open();
    let plant = "for n = 1, 2000 do redis.call('SET', 'ot:t:' .. n, n, 'PX', 60000) end";
    store.say(json!(["EVAL", plant, 0])).await;
    let seen = store.run(&["--only", "keys"]);
    let data = &seen.check("keys")["data"];
    assert_eq!(
        (&data["sampled"], &data["complete"]),
        (&json!(500), &json!(false))
    );
    assert_eq!(data["families"], json!({ "epochs": 500 }));
}

#[tokio::test]
async fn another_database_behind_redis_url_is_found() {
    let store = Store::open();
    let only = ["--only", "redis-url"];
    let with = |url: &str| store.run_in(&[("REDIS_URL", url)], &only).of("redis-url");
    let url = store.redis.url();
    assert_eq!(with(&url), "ok");
    assert_eq!(with(&format!("{url}/1")), "fail: different");
    let other = RedisServer::start();
    assert_eq!(with(&other.url()), "fail: different");
    assert_eq!(
        with(&format!("redis://127.0.0.1:{}", free_port())),
        "fail: redis_url"
    );
    assert_eq!(with("nonsense:1"), "fail: redis_url");
    assert_eq!(store.run(&only).of("redis-url"), "skip");

    let store = Store::least("");
    let rule = "ACL SETUSER reader on >PASSWORD resetchannels ~bull:* +@all";
    assert_eq!(store.redis.say(rule).as_deref(), Some("+OK"));
    let reader = store
        .redis
        .url()
        .replace("redis://", "redis://reader:PASSWORD@");
    let seen = store.run_in(&[("REDIS_URL", &reader)], &only);
    assert_eq!(seen.of("redis-url"), "skip", "{}", seen.words("redis-url"));
    let wrong = store
        .redis
        .url()
        .replace("redis://", "redis://reader:s3cret@");
    let seen = store.run_in(&[("REDIS_URL", &wrong)], &only);
    assert_eq!(seen.of("redis-url"), "fail: redis_url");
}

#[tokio::test]
async fn probes_leave_nothing_and_expire_if_they_cannot_be_deleted() {
    let store = Store::open();
    store.run_in(&[("REDIS_URL", &store.redis.url())], &[]);
    assert_eq!(store.say(json!(["KEYS", "*"])).await, json!([]));

    let rule = printed_rule(&[]).replace(" +del", "");
    let store = Store::under(&rule);
    store.run_in(&[("REDIS_URL", &store.redis.url())], &[]);
    let client = RestServer::start(&store.redis.url(), TOKEN);
    let (_, names) = client.command(json!(["KEYS", "*"])).await;
    let names = names["result"].as_array().unwrap().clone();
    assert!(!names.is_empty());
    for name in names {
        assert!(name.as_str().unwrap().starts_with("ot:doctor:"), "{name}");
        let (_, left) = client.command(json!(["PTTL", name])).await;
        let left = left["result"].as_i64().unwrap();
        assert!((1..=60_000).contains(&left), "{name}: {left}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn probes_leave_nothing_if_the_run_is_interrupted() {
    let store = Store::open();
    // The first call by digest is not known, the second one is never passed on.
    let calls = AtomicUsize::new(0);
    let held = move |seen: &Seen| match seen.command() {
        "EVALSHA" if seen.body[2] == 2 && calls.fetch_add(1, Ordering::SeqCst) > 0 => {
            Fault::Slow(Duration::MAX)
        }
        _ => NONE,
    };
    let proxy = Proxy::start(&[store.rest.url()], held).await;
    let mut run = std::process::Command::new(PROGRAM)
        .args(["doctor", "--only", "scripts"])
        .env("UPSTASH_REDIS_REST_URL", proxy.url())
        .env("UPSTASH_REDIS_REST_TOKEN", TOKEN)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("a probe has made a key", || {
        let keys = store.redis.say("DBSIZE")?;
        (keys != ":0").then_some(())
    });
    let interrupt = ["-INT".to_owned(), run.id().to_string()];
    let sent = std::process::Command::new("kill").args(interrupt).status();
    assert!(sent.unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(2));
    assert_eq!(store.redis.say("DBSIZE").as_deref(), Some(":0"));
}

/// A Worker that says this of itself.
async fn worker(page: Value) -> Proxy {
    Proxy::start(&[], move |seen| {
        assert_eq!(seen.target, "GET /__edge/doctor");
        match seen.authorization == format!("Bearer {ADMIN}") {
            true => Fault::Answer(200, page.to_string()),
            false => Fault::Answer(401, "{}".into()),
        }
    })
    .await
}

const EDGE: &str = "origin = 'https://a.example'\n";

/// What a Worker with the configuration above says, with these changes.
fn page(changes: Value) -> Value {
    let config: Config = r#"{"origin":"https://a.example"}"#.parse().unwrap();
    let mut page = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "config": config.digest(),
        "breaker": "closed",
        "clock_offset_ms": 3,
        "pings": [{ "ms": 4 }, { "ms": 2 }, { "ms": 9 }],
    });
    for (name, value) in changes.as_object().unwrap() {
        page[name] = value.clone();
    }
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_says_is_judged() {
    let store = Store::open();
    store
        .folder
        .write("wrangler.toml", &format!("[vars.EDGE]\n{EDGE}"));
    let token = [("EDGE_ADMIN_TOKEN", ADMIN)];
    let only = "edge,deadline,clock,config";
    let said = async |changes: Value| {
        let worker = worker(page(changes)).await;
        store.run_in(&token, &["--worker", worker.url(), "--only", only])
    };
    let seen = said(json!({})).await;
    assert_eq!(
        seen.of("edge"),
        "warn: plain_http_here",
        "{}",
        seen.words("edge")
    );
    for name in ["deadline", "clock", "config"] {
        assert_eq!(seen.of(name), "ok", "{}", seen.words(name));
    }
    let seen =
        said(json!({ "breaker": "open", "pings": [{ "error": "timeout" }, { "ms": 3 }] })).await;
    assert_eq!(
        seen.of("edge"),
        "fail: plain_http_here, breaker_open, edge_failures"
    );
    let seen = said(json!({ "breaker": "none", "pings": [] })).await;
    assert_eq!(seen.of("edge"), "warn: plain_http_here, no_store");
    let seen = said(json!({ "pings": [{ "ms": 900 }, { "ms": 3 }] })).await;
    assert_eq!(
        seen.of("deadline"),
        "ok",
        "the first one makes the connection"
    );
    let seen = said(json!({ "pings": [{ "ms": 4 }, { "ms": 300 }] })).await;
    assert_eq!(seen.of("deadline"), "fail: too_slow");
    let seen = said(json!({ "clock_offset_ms": -8_000 })).await;
    assert_eq!(seen.of("clock"), "warn: clock_edge");
    let seen = said(json!({ "config": "ab", "version": "9.9.9" })).await;
    assert_eq!(seen.of("config"), "fail: differs, version");
    let seen = said(json!({ "version": 7 })).await;
    assert_eq!(seen.of("edge"), "fail: worker_answer");
    assert_eq!(
        (seen.of("config"), seen.of("deadline")),
        ("skip".into(), "ok".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_be_asked_fails_with_the_reason() {
    let store = Store::open();
    let ask = |url: &str, environment: &[(&str, &str)]| {
        let args = ["--worker", url, "--only", "edge"];
        store.run_in(environment, &args).of("edge")
    };
    let there = worker(page(json!({}))).await;
    let token = [("EDGE_ADMIN_TOKEN", ADMIN)];
    assert_eq!(ask(there.url(), &[]), "fail: admin_token");
    assert_eq!(
        ask(there.url(), &[("EDGE_ADMIN_TOKEN", "wrong")]),
        "fail: admin_token"
    );
    assert_eq!(ask(&nowhere(), &token), "fail: worker_silent");
    for url in [
        "http://192.0.2.1:9",
        "edge.example",
        "ftp://127.0.0.1",
        "https://a@b.example",
    ] {
        assert_eq!(ask(url, &token), "fail: worker_address", "{url}");
    }
    let without = Proxy::start(&[], |_| Fault::Answer(404, "{}".into())).await;
    assert_eq!(ask(without.url(), &token), "fail: no_page");
    let other = Proxy::start(&[], |_| Fault::Answer(200, "<html>".into())).await;
    assert_eq!(ask(other.url(), &token), "fail: worker_answer");
    // Without a store, too.
    let args = [
        "doctor",
        "--worker",
        there.url(),
        "--only",
        "reach,edge,scripts",
    ];
    let done = store.folder.call_in(&token, &args).ok();
    assert!(
        done.stdout
            .contains("0 ok, 1 with a warning, 0 failed, 2 skipped"),
        "{done:?}"
    );
}

/// Upstash's account API, with a database at 127.0.0.1.
async fn account(database: Value, stats: Value) -> Proxy {
    let mut known = json!({
        "database_id": "96ad0856-03b1-4ee7-9666-e81abd0349e1", "endpoint": "127.0.0.1",
        "state": "active", "type": "free", "db_request_limit": 500_000, "eviction": false,
        "rest_token": "s3cret",
    });
    for (name, value) in database.as_object().unwrap() {
        known[name] = value.clone();
    }
    let other = json!({ "database_id": "1", "endpoint": "other-1.upstash.io" });
    Proxy::start(&[], move |seen| {
        // `ops@a.example:upstash-key`
        if seen.authorization != "Basic b3BzQGEuZXhhbXBsZTp1cHN0YXNoLWtleQ==" {
            return Fault::Answer(401, r#""Unauthorized""#.into());
        }
        let answer = match seen.target.as_str() {
            "GET /v2/redis/databases" => json!([other, known]),
            "GET /v2/redis/stats/96ad0856-03b1-4ee7-9666-e81abd0349e1" => stats.clone(),
            other => panic!("{other}"),
        };
        Fault::Answer(200, answer.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_or_will_be_used_up_is_found() {
    let store = Store::open();
    let asked = async |database: Value, stats: Value| {
        let api = account(database, stats).await;
        let url = format!("{}/v2", api.url());
        let environment = [
            ("UPSTASH_API_URL", url.as_str()),
            ("UPSTASH_EMAIL", "ops@a.example"),
            ("UPSTASH_API_KEY", "upstash-key"),
        ];
        let seen = store.run_in(&environment, &["--only", "plan"]);
        assert!(!seen.done.stdout.contains("a.example"), "{:?}", seen.done);
        seen
    };
    let seen = asked(json!({}), json!({ "total_monthly_requests": 7 })).await;
    assert_eq!(seen.of("plan"), "ok", "{}", seen.words("plan"));
    assert_eq!(seen.check("plan")["data"]["commands_limit"], 500_000.0);
    let seen = asked(json!({}), json!({ "total_monthly_requests": 500_000 })).await;
    assert_eq!(seen.of("plan"), "fail: used_up");
    // Of nearly all there is a warning on every day of a month.
    let seen = asked(json!({}), json!({ "total_monthly_requests": 499_999 })).await;
    let found = seen.of("plan");
    assert!(
        ["warn: pace", "warn: nearly_used_up"].contains(&found.as_str()),
        "{found}"
    );
    let unlimited =
        json!({ "db_request_limit": 8_024_278_031_528_736_858_u64, "type": "payg", "budget": 20 });
    let seen = asked(
        unlimited.clone(),
        json!({ "total_monthly_requests": 1e9, "total_monthly_billing": 0.01 }),
    )
    .await;
    assert_eq!(seen.of("plan"), "ok", "{}", seen.words("plan"));
    let seen = asked(unlimited, json!({ "total_monthly_billing": 20.5 })).await;
    assert_eq!(seen.of("plan"), "fail: used_up");
    let full = json!({ "db_disk_threshold": 100 });
    let seen = asked(full, json!({ "current_storage": 85 })).await;
    assert_eq!(seen.of("plan"), "warn: nearly_used_up");
    let seen = asked(json!({ "state": "suspended", "eviction": true }), json!({})).await;
    assert_eq!(seen.of("plan"), "fail: suspended, evicts");
    let seen = asked(json!({ "endpoint": "eu1-x.upstash.io" }), json!({})).await;
    assert_eq!(seen.of("plan"), "skip");

    let api = account(json!({}), json!({})).await;
    let wrong = [
        ("UPSTASH_API_URL", &*format!("{}/v2", api.url())),
        ("UPSTASH_EMAIL", "ops@a.example"),
        ("UPSTASH_API_KEY", "s3cret"),
    ];
    assert_eq!(
        store.run_in(&wrong, &["--only", "plan"]).of("plan"),
        "fail: account_api"
    );
}

/// The texts at the beginning of the arguments of calls like `check.warn("code", …`.
fn codes_in(source: &str) -> Vec<&str> {
    let calls = [".warn(", ".fail("];
    let after = calls.iter().flat_map(|call| source.split(call).skip(1));
    let first = after.filter_map(|rest| rest.trim_start().strip_prefix('"'));
    first.filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn the_page_lists_every_check_and_every_code() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let page = std::fs::read_to_string(format!("{root}docs/operations.md")).unwrap();
    let mut codes = 0;
    for file in std::fs::read_dir(format!("{root}src/bin/omnitrade-edge/doctor")).unwrap() {
        let path = file.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for code in codes_in(source) {
            codes += 1;
            assert!(
                page.contains(&format!("`{code}`")),
                "{code} of {}",
                path.display()
            );
        }
    }
    assert!(codes > 30, "only {codes} were found");
    let help = Folder::new().call(&["doctor", "--help"]).ok().stdout;
    let checks = help.split("Possible values:").nth(1).unwrap();
    let names = checks
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    let names: Vec<_> = names.map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names.len(), 12, "{help}");
    for name in names {
        assert_eq!(
            page.matches(&format!("\n| `{name}` | ")).count(),
            2,
            "{name}"
        );
    }
}

#[test]
fn a_run_that_cannot_be_made_ends_with_2() {
    let folder = Folder::new();
    let url = ("UPSTASH_REDIS_REST_URL", "https://store.example");
    let token = ("UPSTASH_REDIS_REST_TOKEN", TOKEN);
    folder
        .call(&["doctor"])
        .failed(2, "UPSTASH_REDIS_REST_URL: expected");
    folder
        .call_in(&[url], &["doctor"])
        .failed(2, "UPSTASH_REDIS_REST_TOKEN: expected");
    folder
        .call_in(&[url, token], &["doctor", "--only", "x"])
        .failed(2, "--only");
    let odd = ("UPSTASH_REDIS_REST_URL", "s3cret");
    let done = folder.call_in(&[odd, token], &["doctor"]);
    done.failed(2, "url: expected an address");
    assert!(!done.stderr.contains("s3cret"), "{done:?}");
    folder.write("wrangler.toml", "[vars.EDGE]\norigin = 7");
    folder
        .call_in(&[url, token], &["doctor"])
        .failed(2, "origin: expected");
    folder
        .call(&["doctor", "--print-acl", "none.toml"])
        .failed(2, "cannot read none.toml");
}
