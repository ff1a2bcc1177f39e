//! Scripts: by digest or by source, the argument of repeatable ones, and their errors.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{Arg, Command, Script, TcpClient, Value};

use crate::{client, servers};

/// Which of the script's two variants Redis knows by its digest.
async fn known(redis: &TcpClient, script: &Script) -> [bool; 2] {
    let exists = Command::new("SCRIPT").arg("EXISTS");
    let exists = exists.arg(script.sha()).arg(script.locking_sha());
    let (plain, locking) = redis.command_as(&exists).await.unwrap();
    [plain, locking]
}

#[tokio::test]
async fn the_plain_script_goes_by_digest_and_by_source_after_a_flush() {
    let script = Script::new("return {redis.call('INCR', KEYS[1]), ARGV[1], #ARGV}");
    for server in servers() {
        let redis = client(&server);
        for count in 1..=4_i64 {
            let args = [Arg::from("a"), Arg::from(u64::MAX)];
            let reply = redis.script(&script, &["n"], args).await;
            let expected = vec![Value::Int(count), Value::from("a"), Value::Int(2)];
            assert_eq!(reply, Ok(Value::Array(expected)));
            assert_eq!(known(&redis, &script).await, [true, false]);
            if count % 2 == 0 {
                let flush = Command::new("SCRIPT").arg("FLUSH");
                redis.command_as::<()>(&flush).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_repeatable_script_gets_one_more_argument() {
    let script = Script::new("return {#KEYS, unpack(ARGV)}").repeatable();
    for server in servers() {
        let redis = client(&server);
        for _ in 0..2 {
            let reply = redis.script_as::<(u64, String, String)>(&script, &["k"], ["a"]);
            let (keys, first, flag) = reply.await.unwrap();
            assert_eq!((keys, first.as_str(), flag.as_str()), (1, "a", "0"));
        }
    }
}

#[tokio::test]
async fn an_error_of_a_script_tells_whether_it_had_begun() {
    for server in servers() {
        let redis = client(&server);
        let run = async |lua: &'static str| {
            let script = Script::new(lua);
            redis.script(&script, &["k"], [""; 0]).await.unwrap_err()
        };
        let wrong = run("redis.call('SET', KEYS[1], 'v') return redis.call('RPUSH', KEYS[1], 'a')");
        let wrong = wrong.await;
        assert_eq!(
            (wrong.kind(), wrong.may_have_run()),
            (ErrorKind::Command, true)
        );
        let unknown = run("return redis.call('NOSUCH', KEYS[1])").await;
        assert_eq!(
            (unknown.kind(), unknown.may_have_run()),
            (ErrorKind::Forbidden, true)
        );
        let made_up = run("return redis.error_reply('NOSCRIPT of its own')").await;
        assert_eq!(made_up.redis_code(), Some("NOSCRIPT"));
        let no_lua = run("this is not Lua").await;
        assert_eq!(no_lua.kind(), ErrorKind::Command);
    }
}

#[tokio::test]
async fn an_error_within_a_reply_is_that_of_its_element() {
    let script = Script::new("return {1, redis.error_reply('MYOWN words'), 3}");
    for server in servers() {
        let redis = client(&server);
        let reply = redis.script(&script, &["k"], [""; 0]).await.unwrap();
        let items = reply.as_array().unwrap();
        assert_eq!((&items[0], &items[2]), (&Value::Int(1), &Value::Int(3)));
        let Value::Error(error) = &items[1] else {
            panic!("{items:?}");
        };
        assert_eq!(error.redis_code(), Some("MYOWN"));
    }
}
