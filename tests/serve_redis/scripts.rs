//! Scripts with Upstash's flag `allow-key-locking` run on a plain Redis, under their own digest.

use crate::common::redis::RedisServer;
use crate::common::rest::RestServer;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

const TOKEN: &str = "secret";
const SCRIPT: &str = "#!lua flags=allow-key-locking\nreturn redis.call('INCR', KEYS[1])";
const NOSCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

fn digest(script: &str) -> String {
    Sha1::digest(script)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn result(value: impl Into<Value>) -> (u16, Value) {
    (200, json!({ "result": value.into() }))
}

fn error(text: &str) -> (u16, Value) {
    (400, json!({ "error": text }))
}

#[tokio::test]
async fn after_eval_the_script_s_own_digest_works() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let evalsha = json!(["EVALSHA", digest(SCRIPT), 1, "n"]);
    assert_eq!(rest.command(evalsha.clone()).await, error(NOSCRIPT));
    let eval = json!(["EVAL", SCRIPT, 1, "n"]);
    assert_eq!(rest.command(eval.clone()).await, result(1));
    assert_eq!(rest.command(evalsha.clone()).await, result(2));

    let flush = rest.command(json!(["SCRIPT", "FLUSH"])).await;
    assert_eq!(flush, result("OK"));
    assert_eq!(rest.command(evalsha.clone()).await, error(NOSCRIPT));
    assert_eq!(rest.command(eval.clone()).await, result(3));

    // Another server flushes the scripts, so this one does not notice it.
    let behind = RestServer::start(&redis.url(), TOKEN);
    behind.command(json!(["SCRIPT", "FLUSH"])).await;
    assert_eq!(rest.command(evalsha.clone()).await, error(NOSCRIPT));
    assert_eq!(rest.command(eval).await, result(4));
    assert_eq!(rest.command(evalsha.clone()).await, result(5));

    // After a restart it needs the script again, as Redis would.
    let restarted = RestServer::start(&redis.url(), TOKEN);
    assert_eq!(restarted.command(evalsha).await, error(NOSCRIPT));
}

#[tokio::test]
async fn script_load_and_exists_know_the_script_by_its_own_digest() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let sha = digest(SCRIPT);
    let exists = json!(["SCRIPT", "EXISTS", sha, digest("absent")]);
    assert_eq!(rest.command(exists.clone()).await, result(json!([0, 0])));
    let load = rest.command(json!(["SCRIPT", "LOAD", SCRIPT])).await;
    assert_eq!(load, result(sha.clone()));
    assert_eq!(rest.command(exists).await, result(json!([1, 0])));

    let commands = json!([
        ["EVALSHA", sha.to_uppercase(), 1, "n"],
        ["SCRIPT", "LOAD", SCRIPT],
        ["EVAL", SCRIPT, 1, "n"],
    ]);
    for (path, counts) in [("/pipeline", [1, 2]), ("/multi-exec", [3, 4])] {
        let answer = rest.post(path, commands.to_string()).await.json();
        let wanted = json!([{"result": counts[0]}, {"result": sha}, {"result": counts[1]}]);
        assert_eq!(answer, wanted);
    }
}

#[tokio::test]
async fn other_flags_and_the_numbers_of_the_lines_are_kept() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let writes = "#!lua flags=no-writes,allow-key-locking\nreturn redis.call('SET', KEYS[1], 1)";
    let (status, refused) = rest.command(json!(["EVAL", writes, 1, "k"])).await;
    let text = refused["error"].as_str().unwrap_or_default();
    assert_eq!(status, 400);
    assert!(text.contains("Write commands are not allowed"), "{text}");
    assert!(text.contains(&digest(writes)), "{text}");

    let third = "#!lua flags=allow-key-locking\n\nerror('no')";
    let (_, failed) = rest.command(json!(["EVAL", third, 0])).await;
    let text = failed["error"].as_str().unwrap_or_default();
    assert!(text.contains("user_script:3: no"), "{text}");
    assert!(text.contains(&digest(third)), "{text}");

    let unknown = "#!lua flags=allow-key-locking,nonsense\nreturn 1";
    let (_, refused) = rest.command(json!(["EVAL", unknown, 0])).await;
    let text = refused["error"].as_str().unwrap_or_default();
    assert!(
        text.starts_with("ERR Unexpected flag in script shebang"),
        "{text}"
    );
}
