//! Scripts: by digest or by source, with or without Upstash's key locking.

use std::collections::HashSet;

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{Arg, RestClient, Script, Value};
use omnitrade_edge::transport::{Transport, TransportError};

use crate::scripted::*;

/// The errors with which Redis 7 and later refuse Upstash's flag, and earlier versions any `#!`
/// line.
const REFUSALS: [&str; 2] = [
    r#"{"error":"ERR Unexpected flag in script shebang: allow-key-locking"}"#,
    r#"{"error":"ERR Error compiling script (new function): user_script:1: unexpected symbol near '#' "}"#,
];

const ONE: &str = r#"{"result":1}"#;

fn script() -> Script {
    Script::new("return 1")
}

/// For each request that was sent: its command, and `locking` or `plain`.
fn variants(client: &RestClient<Scripted>, script: &Script) -> Vec<String> {
    let variant = |index| {
        let sent: Vec<serde_json::Value> = serde_json::from_str(&body(client, index)).unwrap();
        let [command, named] = [&sent[0], &sent[1]].map(|item| item.as_str().unwrap().to_owned());
        let variant = match named {
            name if name == script.locking_sha() || name == script.locking_lua() => "locking",
            name if name == script.sha() || name == script.lua() => "plain",
            name => panic!("another script: {name}"),
        };
        format!("{command} {variant}")
    };
    (0..sent(client)).map(variant).collect()
}

#[tokio::test]
async fn a_script_goes_by_digest_and_once_by_source_if_unknown() {
    let script = Script::new("return '\"'");
    let client = client([
        reply(400, NO_SCRIPT),
        ok(r#"{"result":1}"#),
        ok(r#"{"result":2}"#),
    ]);
    let keys = ["k1".to_owned(), "k2".to_owned()];
    let args = [Arg::from("a"), Arg::from(5)];
    assert_eq!(client.script(&script, &keys, args).await, Ok(Value::Int(1)));
    assert_eq!(
        client.script(&script, &[""; 0], [7]).await,
        Ok(Value::Int(2))
    );
    assert_eq!(
        body(&client, 0),
        format!(
            r#"["EVALSHA","{}",2,"k1","k2","a",5]"#,
            script.locking_sha()
        )
    );
    assert_eq!(
        body(&client, 1),
        r##"["EVAL","#!lua flags=allow-key-locking\nreturn '\"'",2,"k1","k2","a",5]"##
    );
    assert_eq!(
        body(&client, 2),
        format!(r#"["EVALSHA","{}",0,7]"#, script.locking_sha())
    );
}

#[tokio::test]
async fn a_script_that_stays_unknown_is_an_error_after_one_source() {
    let client = client([reply(400, NO_SCRIPT), ok(NO_SCRIPT)]);
    let error = client
        .script(&Script::new("return 1"), &["k"], [1])
        .await
        .unwrap_err();
    assert_eq!((error.redis_code(), sent(&client)), (Some("NOSCRIPT"), 2));
}

#[tokio::test]
async fn an_error_that_a_script_makes_up_does_not_run_it_again() {
    let text = r#"{"error":"NOSCRIPT made up script: f00, on @user_script:1."}"#;
    let client = client([reply(400, text)]);
    let error = client
        .script(&Script::new("return 1"), &["k"], [1])
        .await
        .unwrap_err();
    assert!(error.may_have_run());
    assert_eq!(sent(&client), 1);
}

#[tokio::test]
async fn a_script_shares_one_deadline_over_both_requests() {
    let slow = |step: Step, after| (after, step.1);
    let client = client([slow(reply(400, NO_SCRIPT), 100), slow(ok("{}"), 100)]);
    let start = client.transport().now();
    let error = client
        .script(&Script::new("return 1"), &["k"], [1])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (ErrorKind::Timeout, true)
    );
    assert_eq!(client.transport().now().since(start), ms(150));
    assert_eq!(client.transport().sent.borrow()[1].1, ms(50));
}

#[tokio::test]
async fn a_store_refusing_key_locking_gets_the_plain_script_in_the_same_call() {
    for refusal in REFUSALS {
        for status in [400, 200, 500] {
            let client = client([
                reply(400, NO_SCRIPT),
                reply(status, refusal),
                reply(400, NO_SCRIPT),
                ok(ONE),
            ]);
            let result = client.script(&script(), &["k"], ["a"]).await;
            assert_eq!(result, Ok(Value::Int(1)));
            assert_eq!(
                variants(&client, &script()),
                [
                    "EVALSHA locking",
                    "EVAL locking",
                    "EVALSHA plain",
                    "EVAL plain"
                ]
            );
            assert_eq!(body(&client, 3), r#"["EVAL","return 1",1,"k","a"]"#);
        }
    }
}

#[tokio::test]
async fn a_refusal_of_key_locking_is_remembered_for_all_scripts_of_the_client() {
    let other = Script::new("return 2");
    for refusal in REFUSALS {
        let client = client([
            reply(400, NO_SCRIPT),
            reply(400, refusal),
            ok(ONE),
            ok(ONE),
            reply(400, NO_SCRIPT),
            ok(ONE),
        ]);
        for script in [&script(), &script(), &other] {
            let result = client.script(script, &["k"], [1]).await;
            assert_eq!(result, Ok(Value::Int(1)));
        }
        client.transport().sent.borrow_mut().drain(..3);
        let sent: Vec<_> = (0..3).map(|index| body(&client, index)).collect();
        assert_eq!(
            sent,
            [
                format!(r#"["EVALSHA","{}",1,"k",1]"#, script().sha()),
                format!(r#"["EVALSHA","{}",1,"k",1]"#, other.sha()),
                r#"["EVAL","return 2",1,"k",1]"#.to_owned(),
            ]
        );
    }
}

#[tokio::test]
async fn no_other_error_gives_key_locking_up() {
    for text in [
        r#"{"error":"ERR Unexpected flag in script shebang: nonsense"}"#,
        r#"{"error":"ERR Error compiling script (new function): user_script:1: unexpected symbol near ')'"}"#,
        r#"{"error":"ERR Error compiling script (new function): user_script:2: unexpected symbol near '#'"}"#,
        r#"{"error":"ERR user_script:2: Unexpected flag in script shebang: allow-key-locking script: f00, on @user_script:2."}"#,
        r#"{"error":"ERR user_script:2: a key of a script with allow-key-locking is not in KEYS"}"#,
        r#"{"error":"ERR max requests limit exceeded"}"#,
        "<html>",
    ] {
        let client = client([reply(400, NO_SCRIPT), reply(400, text), ok(ONE)]);
        assert!(client.script(&script(), &["k"], [1]).await.is_err());
        assert_eq!(sent(&client), 2, "{text}");
        let result = client.script(&script(), &["k"], [1]).await;
        assert_eq!(result, Ok(Value::Int(1)));
        assert_eq!(variants(&client, &script())[2], "EVALSHA locking", "{text}");
    }
    // A request that does not reach the store says nothing about its Lua.
    let unreached = client_with(
        options().retries(0),
        [failed(TransportError::Connect), ok(ONE)],
    );
    assert!(unreached.script(&script(), &["k"], [1]).await.is_err());
    assert!(unreached.script(&script(), &["k"], [1]).await.is_ok());
    assert_eq!(variants(&unreached, &script())[1], "EVALSHA locking");
}

#[tokio::test]
async fn a_plain_script_failing_after_a_refusal_is_not_tried_with_locking_again() {
    let wrong = r#"{"error":"WRONGTYPE x"}"#;
    let client = client([
        reply(400, NO_SCRIPT),
        reply(400, REFUSALS[0]),
        reply(400, wrong),
        // If the plain script is refused with this text, the script itself has raised the error.
        reply(400, REFUSALS[0]),
    ]);
    for code in ["WRONGTYPE", "ERR"] {
        let error = client.script(&script(), &["k"], [1]).await.unwrap_err();
        assert_eq!(error.redis_code(), Some(code));
    }
    assert_eq!(variants(&client, &script())[2..], ["EVALSHA plain"; 2]);
}

#[tokio::test]
async fn both_variants_share_one_deadline() {
    let slow = |step: Step| (40, step.1);
    let client = client([
        slow(reply(400, NO_SCRIPT)),
        slow(reply(400, REFUSALS[0])),
        slow(reply(400, NO_SCRIPT)),
        slow(ok(ONE)),
    ]);
    let start = client.transport().now();
    let error = client.script(&script(), &["k"], [1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(client.transport().now().since(start), ms(150));
    let timeouts: Vec<_> = client
        .transport()
        .sent
        .borrow()
        .iter()
        .map(|s| s.1)
        .collect();
    assert_eq!(timeouts, [150, 110, 70, 30].map(ms));
}

#[tokio::test]
async fn a_script_with_a_first_line_of_its_own_is_left_as_it_is() {
    let own = Script::new("#!lua flags=no-writes\nreturn 1");
    assert_eq!(
        (own.locking_lua(), own.locking_sha()),
        (own.lua(), own.sha())
    );
    let client = client([reply(400, NO_SCRIPT), reply(400, REFUSALS[1]), ok(ONE)]);
    let error = client.script(&own, &["k"], [1]).await.unwrap_err();
    assert_eq!(
        (error.redis_code(), error.may_have_run()),
        (Some("ERR"), false)
    );
    // The refusal says nothing about the line that other scripts get.
    assert!(client.script(&script(), &["k"], [1]).await.is_ok());
    let last = format!(r#"["EVALSHA","{}",1,"k",1]"#, script().locking_sha());
    assert_eq!((sent(&client), body(&client, 2)), (3, last));
}

#[test]
fn the_two_variants_differ_in_their_first_line_only() {
    let script = script();
    assert_eq!(script.lua(), "return 1");
    assert_eq!(
        script.locking_lua(),
        "#!lua flags=allow-key-locking\nreturn 1"
    );
    assert_eq!(
        script.locking_sha(),
        Script::new(script.locking_lua().to_owned()).sha()
    );
    let digests: HashSet<_> = [script.sha(), script.locking_sha()].into();
    assert_eq!(digests.len(), 2);
}
