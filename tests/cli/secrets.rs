//! `keys` with secrets in the digests of keys: registers, finds and revokes under the current and
//! the previous one, and moves keys from one to the other.

use omnitrade_edge::identity::{ClientDigests, KeySecrets};
use serde_json::{Value, json};

use crate::common::redis::RedisServer;
use crate::rig::{DAY, Done, Rig};

const OLD: &str = "old-s3cret-0123456789";
const NEW: &str = "new-s3cret-0123456789";

/// The current secret and the previous one.
type Secrets = [Option<&'static str>; 2];

const NONE: Secrets = [None, None];
const OLD_ALONE: Secrets = [Some(OLD), None];
const NEW_ALONE: Secrets = [Some(NEW), None];
const BOTH: Secrets = [Some(NEW), Some(OLD)];
const FROM_NONE: Secrets = [Some(NEW), Some("none")];

fn digest(key: &str, secret: Option<&str>) -> String {
    let secrets = KeySecrets::read(secret, None).unwrap();
    ClientDigests::new("ot", secrets).of_api_key(key)
}

#[track_caller]
fn add(rig: &Rig, secrets: Secrets, args: &[&str]) -> String {
    let done = rig.run_under(secrets, &[&["add"], args].concat(), "").ok();
    done.stdout.trim_end().to_owned()
}

#[track_caller]
fn renew(rig: &Rig, secrets: Secrets, key: &str, args: &[&str]) -> Done {
    let args = [&["add", "--key-stdin"], args].concat();
    rig.run_under(secrets, &args, key).ok()
}

/// Digest and secret of each key in the list.
#[track_caller]
fn list(rig: &Rig, secrets: Secrets) -> Vec<(String, String)> {
    let keys = listed(rig, secrets);
    let text = |key: &Value, field: &str| key[field].as_str().unwrap().to_owned();
    let keys = keys.iter();
    keys.map(|key| (text(key, "digest"), text(key, "secret")))
        .collect()
}

#[track_caller]
fn listed(rig: &Rig, secrets: Secrets) -> Vec<Value> {
    let done = rig.run_under(secrets, &["list", "--json"], "").ok();
    serde_json::from_str(&done.stdout).unwrap()
}

#[track_caller]
fn rotate(rig: &Rig, secrets: Secrets) -> Done {
    rig.run_under(secrets, &["rotate"], "").ok()
}

async fn record(rig: &Rig, key: &str, secret: Option<&str>) -> Value {
    let name = format!("ot:k:{}", digest(key, secret));
    rig.redis(json!(["GET", name])).await
}

/// Everything in the store, as one text.
async fn everything(rig: &Rig) -> String {
    let index = rig.redis(json!(["HGETALL", "ot:k:index"])).await;
    format!("{:?} {index}", rig.names().await)
}

#[tokio::test]
async fn a_key_is_registered_under_the_secret_and_found_by_it() {
    let rig = Rig::start("keys");
    let done = rig.run_under(NEW_ALONE, &["add", "--plan", "pro"], "").ok();
    assert!(!done.stderr.contains("EDGE_KEY_SECRET"), "{done:?}");
    let key = done.stdout.trim_end();
    assert_eq!(record(&rig, key, Some(NEW)).await, "1 pro");
    assert_eq!(record(&rig, key, None).await, Value::Null);
    let of_key = digest(key, Some(NEW));
    assert_eq!(
        list(&rig, NEW_ALONE),
        [(of_key.clone(), "current".to_owned())]
    );
    let all = everything(&rig).await;
    for hidden in [key, &digest(key, None), NEW] {
        assert!(!all.contains(hidden), "{all}");
    }
    let renewed = renew(&rig, NEW_ALONE, key, &[]);
    assert!(
        renewed
            .stderr
            .starts_with(&format!("renewed {}: plan pro", &of_key[..12]))
    );
    rig.run_under(NEW_ALONE, &["revoke", &of_key[..8]], "").ok();
    assert_eq!(rig.names().await, [""; 0]);
}

#[test]
fn without_a_secret_it_is_said_that_there_is_none() {
    let rig = Rig::start("keys");
    let done = rig.run(&["add"]).ok();
    assert!(
        done.stderr
            .ends_with(", without a secret (EDGE_KEY_SECRET is not set)\n"),
        "{done:?}"
    );
    // An empty variable is none.
    let done = rig.run_under([Some(""), Some(" ")], &["add"], "").ok();
    assert!(done.stderr.contains("without a secret"), "{done:?}");
    let under: Vec<_> = list(&rig, NONE)
        .into_iter()
        .map(|(_, secret)| secret)
        .collect();
    assert_eq!(under, ["current", "current"]);
}

#[tokio::test]
async fn all_keys_are_moved_from_one_secret_to_the_next() {
    let rig = Rig::start("keys");
    let pro = add(
        &rig,
        OLD_ALONE,
        &["--plan", "pro", "--name", "Acme", "--valid-for", "9d"],
    );
    let plain = add(&rig, OLD_ALONE, &["--valid-for", "3d"]);
    let since = add(&rig, BOTH, &["--plan", "free"]);
    let before = listed(&rig, BOTH);
    let under =
        |keys: &[Value]| -> Vec<Value> { keys.iter().map(|key| key["secret"].clone()).collect() };
    assert_eq!(under(&before), ["previous", "previous", "current"]);

    let done = rotate(&rig, BOTH);
    assert_eq!((&done.stdout[..], &done.stderr[..]), ("moved 2 keys\n", ""));
    for (key, text, days) in [
        (&pro, "1 pro", 9),
        (&plain, "1", 3),
        (&since, "1 free", 365),
    ] {
        assert_eq!(record(&rig, key, Some(NEW)).await, text);
        assert_eq!(record(&rig, key, Some(OLD)).await, Value::Null);
        let name = format!("ot:k:{}", digest(key, Some(NEW)));
        let left = rig.redis(json!(["PTTL", name])).await.as_i64().unwrap();
        assert!(((days - 1) * DAY..=days * DAY).contains(&left), "{left}");
    }
    let after = listed(&rig, NEW_ALONE);
    assert_eq!(under(&after), ["current"; 3]);
    for (before, after) in before.iter().zip(&after) {
        for kept in ["plan", "name", "added", "until"] {
            assert_eq!(before[kept], after[kept], "{kept}");
        }
    }
    assert_eq!(rotate(&rig, BOTH).stdout, "moved 0 keys\n");
    // And on to a third one, and nothing is left of the first.
    const THIRD: &str = "third-s3cret-0123456789";
    assert_eq!(
        rotate(&rig, [Some(THIRD), Some(NEW)]).stdout,
        "moved 3 keys\n"
    );
    assert_eq!(record(&rig, &pro, Some(THIRD)).await, "1 pro");
    rig.run_under([Some(THIRD), None], &["revoke", "--key-stdin"], &pro)
        .ok();
    assert_eq!(list(&rig, [Some(THIRD), None]).len(), 2);
}

#[tokio::test]
async fn keys_registered_without_a_secret_are_moved_to_the_first_one() {
    let rig = Rig::start("keys");
    let key = add(&rig, NONE, &["--plan", "pro"]);
    assert_eq!(list(&rig, FROM_NONE)[0].1, "previous");
    // Without the word, nobody said that keys without a secret count.
    let done = rig.run_under(NEW_ALONE, &["list"], "").ok();
    assert!(
        done.stderr
            .contains("1 of the keys are registered under neither"),
        "{done:?}"
    );
    assert_eq!(rotate(&rig, FROM_NONE).stdout, "moved 1 key\n");
    assert_eq!(record(&rig, &key, Some(NEW)).await, "1 pro");
    assert_eq!(record(&rig, &key, None).await, Value::Null);
    assert_eq!(list(&rig, NEW_ALONE)[0].1, "current");
}

#[tokio::test]
async fn many_keys_are_moved_in_several_calls() {
    let rig = Rig::start("keys");
    let until = 4_102_444_800_000_u64;
    let (mut index, mut records) = (
        vec![json!("HSET"), json!("ot:k:index")],
        vec![json!("MSET")],
    );
    for n in 0..1_100 {
        let digest = digest(&format!("key-{n}"), None);
        records.extend([json!(format!("ot:k:{digest}")), json!("1 pro")]);
        index.extend([
            json!(digest),
            json!(json!({ "added": n, "until": until }).to_string()),
        ]);
    }
    rig.redis(Value::from(index)).await;
    rig.redis(Value::from(records)).await;
    assert_eq!(rotate(&rig, FROM_NONE).stdout, "moved 1100 keys\n");
    for n in [0, 249, 250, 1_099] {
        assert_eq!(record(&rig, &format!("key-{n}"), Some(NEW)).await, "1 pro");
    }
    assert_eq!(rig.names().await.len(), 1_101);
}

#[tokio::test]
async fn keys_of_other_secrets_stay_where_they_are_and_are_told_of() {
    let rig = Rig::start("keys");
    let foreign = add(&rig, [Some("a-third-s3cret-012345"), None], &[]);
    let open = add(&rig, NONE, &[]);
    let done = rotate(&rig, BOTH);
    assert_eq!(done.stdout, "moved 0 keys\n");
    assert!(
        done.stderr
            .contains("2 of the keys are registered under neither"),
        "{done:?}"
    );
    assert_eq!(record(&rig, &open, None).await, "1");
    let under: Vec<_> = list(&rig, BOTH)
        .into_iter()
        .map(|(_, secret)| secret)
        .collect();
    assert_eq!(under, ["other", "other"]);
    // Each can be revoked by its id all the same.
    for (digest, _) in list(&rig, BOTH) {
        rig.run_under(BOTH, &["revoke", &digest[..12]], "").ok();
    }
    let gone = rig.run_under(BOTH, &["revoke", "--key-stdin"], &foreign);
    gone.failed(1, "no such key is registered");
}

#[tokio::test]
async fn a_key_that_is_renewed_in_a_rotation_is_moved_and_keeps_its_terms() {
    for (secrets, before, under) in [(BOTH, OLD_ALONE, Some(OLD)), (FROM_NONE, NONE, None)] {
        let rig = Rig::start("keys");
        let key = add(&rig, before, &["--plan", "pro", "--name", "Acme"]);
        let first = listed(&rig, secrets).remove(0);
        let done = renew(&rig, secrets, &key, &["--valid-for", "400d"]);
        assert!(done.stderr.starts_with("renewed "), "{done:?}");
        let all = listed(&rig, NEW_ALONE);
        assert_eq!((all.len(), &all[0]["secret"]), (1, &json!("current")));
        for kept in ["plan", "name", "added"] {
            assert_eq!(all[0][kept], first[kept], "{kept}");
        }
        assert_eq!(record(&rig, &key, under).await, Value::Null);
        assert_eq!(record(&rig, &key, Some(NEW)).await, "1 pro");
    }
}

#[tokio::test]
async fn a_key_is_revoked_under_every_secret_that_it_is_registered_under() {
    for by_key in [true, false] {
        let rig = Rig::start("keys");
        let key = add(&rig, NONE, &[]);
        // Whoever gives one secret alone registers the key a second and a third time.
        renew(&rig, OLD_ALONE, &key, &[]);
        renew(&rig, NEW_ALONE, &key, &[]);
        assert_eq!(list(&rig, BOTH).len(), 3);
        match by_key {
            true => rig.run_under(BOTH, &["revoke", "--key-stdin"], &key).ok(),
            false => {
                let id = &digest(&key, Some(OLD))[..12];
                rig.run_under(BOTH, &["revoke", id], "").ok()
            }
        };
        assert_eq!(rig.names().await, [""; 0], "{by_key}");
    }
}

#[tokio::test]
async fn what_changes_while_a_rotation_runs_stays_as_it_is() {
    let rig = Rig::start("keys");
    let key = add(&rig, OLD_ALONE, &["--plan", "pro"]);
    let (old, new) = (digest(&key, Some(OLD)), digest(&key, Some(NEW)));
    let read = json!(["HGET", "ot:k:index", &old]);
    let entry = rig.redis(read.clone()).await;
    // What the command sends after it has read this entry.
    let script = include_str!("../../src/bin/omnitrade-edge/keys/move.lua");
    let [from, to] = [&old, &new].map(|digest| format!("ot:k:{digest}"));
    let entry = entry.as_str().unwrap();
    let call = json!([
        "EVAL",
        script,
        "3",
        "ot:k:index",
        from,
        to,
        old,
        entry,
        new,
        "{}",
        "4102444800000"
    ]);

    // The key is renewed meanwhile.
    renew(&rig, OLD_ALONE, &key, &["--plan", "free"]);
    assert_eq!(rig.redis(call.clone()).await, 0);
    assert_eq!(record(&rig, &key, Some(OLD)).await, "1 free");
    assert_eq!(record(&rig, &key, Some(NEW)).await, Value::Null);
    // It is revoked: first its record goes, then its entry.
    rig.redis(json!(["HSET", "ot:k:index", &old, entry])).await;
    let before = rig.redis(json!(["GETDEL", from])).await;
    assert_eq!(rig.redis(call.clone()).await, 0);
    rig.redis(json!(["SET", format!("ot:k:{old}"), before, "EX", 60]))
        .await;
    rig.redis(json!(["HDEL", "ot:k:index", &old])).await;
    assert_eq!(rig.redis(call.clone()).await, 0);
    assert_eq!(record(&rig, &key, Some(NEW)).await, Value::Null);
    // It is registered under the new secret: these terms stay.
    renew(&rig, NEW_ALONE, &key, &["--plan", "max"]);
    let listed = list(&rig, NEW_ALONE);
    rig.redis(json!(["HSET", "ot:k:index", &old, entry])).await;
    assert_eq!(rig.redis(call).await, 1);
    assert_eq!(record(&rig, &key, Some(NEW)).await, "1 max");
    assert_eq!(record(&rig, &key, Some(OLD)).await, Value::Null);
    assert_eq!(list(&rig, NEW_ALONE), listed);
    assert_eq!(rig.redis(read).await, Value::Null);
}

#[tokio::test]
async fn what_others_wrote_into_the_index_does_not_stop_a_rotation() {
    let rig = Rig::start("keys");
    let key = add(&rig, OLD_ALONE, &[]);
    for (n, text) in [
        "no JSON".to_owned(),
        json!({ "added": 1, "until": u64::MAX }).to_string(),
        json!({ "added": 1, "until": 2, "sealed": "AAAA" }).to_string(),
        json!({ "added": 1, "until": 2, "sealed": "" }).to_string(),
    ]
    .iter()
    .enumerate()
    {
        let digest = format!("{n}").repeat(32);
        rig.redis(json!(["SET", format!("ot:k:{digest}"), "1", "EX", 60]))
            .await;
        rig.redis(json!(["HSET", "ot:k:index", digest, text])).await;
    }
    let done = rotate(&rig, BOTH);
    assert_eq!(done.stdout, "moved 1 key\n");
    assert_eq!(record(&rig, &key, Some(NEW)).await, "1");
}

#[test]
fn secrets_that_cannot_be_right_are_refused_and_not_shown() {
    let rig = Rig::start("keys");
    let short = "s3cret-01234567";
    for verb in [
        &["add"][..],
        &["list"],
        &["revoke", "0123456789ab"],
        &["rotate"],
    ] {
        let done = rig.run_under([Some(short), None], verb, "");
        done.failed(
            2,
            "EDGE_KEY_SECRET: expected a random text of at least 16 characters",
        );
        let done = rig.run_under([Some(NEW), Some(short)], verb, "");
        done.failed(
            2,
            "EDGE_KEY_SECRET_PREVIOUS: expected a random text of at least 16",
        );
    }
    for (secrets, said) in [
        (NONE, "EDGE_KEY_SECRET: expected the secret that"),
        (
            [None, Some(OLD)],
            "EDGE_KEY_SECRET: expected the secret that",
        ),
        (
            NEW_ALONE,
            "EDGE_KEY_SECRET_PREVIOUS: expected another secret",
        ),
        (
            [Some(NEW), Some(NEW)],
            "EDGE_KEY_SECRET_PREVIOUS: expected another secret",
        ),
    ] {
        rig.run_under(secrets, &["rotate"], "").failed(2, said);
    }
}

#[tokio::test]
async fn keys_of_a_clustered_redis_are_moved_under_its_hash_tag() {
    let rig = Rig::before(RedisServer::start_cluster(), "keys");
    rig.configure("wrangler.toml", "redis = { key_prefix = '{ot}' }");
    add(&rig, OLD_ALONE, &[]);
    add(&rig, OLD_ALONE, &[]);
    assert_eq!(rotate(&rig, BOTH).stdout, "moved 2 keys\n");
    let under: Vec<_> = list(&rig, NEW_ALONE)
        .into_iter()
        .map(|(_, secret)| secret)
        .collect();
    assert_eq!(under, ["current"; 2]);
}
