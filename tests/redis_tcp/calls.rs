//! Commands, pipelines and transactions, and what comes back.

use std::collections::HashMap;

use bytes::Bytes;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Command, Script, TcpClient, Value};

use crate::common::PATIENCE;
use crate::{client, get, incr, ms, options, servers, set};

#[tokio::test]
async fn a_command_returns_what_redis_says() {
    for server in servers() {
        let redis = client(&server);
        assert_eq!(redis.command(&get("k")).await, Ok(Value::Null));
        assert_eq!(redis.command(&set("k", "v")).await, Ok(Value::from("OK")));
        assert_eq!(
            redis.command_as::<String>(&get("k")).await.as_deref(),
            Ok("v")
        );
        assert_eq!(redis.command(&incr("n")).await, Ok(Value::Int(1)));
        let fill = Command::new("HSET").arg("h").args(["a", "1", "b", "2"]);
        assert_eq!(redis.command_as::<u64>(&fill).await, Ok(2));
        let all = Command::new("HGETALL").arg("h");
        let all: HashMap<String, i64> = redis.command_as(&all).await.unwrap();
        assert_eq!((all["a"], all["b"]), (1, 2));
    }
}

#[tokio::test]
async fn any_text_arrives_as_it_was_and_integers_keep_all_digits() {
    for server in servers() {
        let redis = client(&server);
        let long = "x".repeat(300_000);
        for text in ["", "a \"b\" \\ 'c'", "é\r\n$3\r\n\u{0}\u{1f600}", &long] {
            let echo = Command::new("ECHO").arg(text);
            assert_eq!(redis.command_as::<String>(&echo).await.as_deref(), Ok(text));
        }
        let most = Command::new("SET").arg("u").arg(u64::MAX);
        redis.command_as::<()>(&most).await.unwrap();
        assert_eq!(redis.command_as::<u64>(&get("u")).await, Ok(u64::MAX));
        let least = Command::new("INCRBY").arg("i").arg(i64::MIN + 1);
        assert_eq!(redis.command(&least).await, Ok(Value::Int(i64::MIN + 1)));
        let beyond = redis.command(&incr("u")).await.unwrap_err();
        assert_eq!(beyond.redis_code(), Some("ERR"));
    }
}

#[tokio::test]
async fn binary_values_come_back_unharmed() {
    let store = Script::new(
        "local all = {} for n = 0, 255 do all[n + 1] = string.char(n) end
         redis.call('SET', KEYS[1], table.concat(all)) return redis.call('GET', KEYS[1])",
    );
    let all: Bytes = (0..=255).collect::<Vec<u8>>().into();
    for server in servers() {
        let redis = client(&server);
        let returned: Bytes = redis.script_as(&store, &["b"], [""; 0]).await.unwrap();
        assert_eq!(returned, all);
        assert_eq!(redis.command_as::<Bytes>(&get("b")).await, Ok(all.clone()));
        let error = redis.command_as::<String>(&get("b")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedType);
    }
}

#[tokio::test]
async fn a_wrong_type_is_an_error_of_its_command() {
    for server in servers() {
        let redis = client(&server);
        let push = Command::new("RPUSH").arg("list").arg("a");
        redis.command_as::<()>(&push).await.unwrap();
        let error = redis.command(&get("list")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.command(), error.redis_code()),
            (ErrorKind::Command, Some("GET"), Some("WRONGTYPE"))
        );
        assert!(error.may_have_run() && !error.retry_is_safe(true));
    }
}

#[tokio::test]
async fn a_pipeline_goes_on_after_an_error_and_keeps_the_errors_apart() {
    for server in servers() {
        let redis = client(&server);
        let commands = [set("k", "v"), incr("k"), get("k")];
        type Three = ((), Result<i64, Error>, Option<String>);
        let ((), error, value) = redis.pipeline_as::<Three>(&commands).await.unwrap();
        assert_eq!(value.as_deref(), Some("v"));
        let error = error.unwrap_err();
        assert_eq!(
            (error.command(), error.redis_code()),
            (Some("INCR"), Some("ERR"))
        );
        let whole = redis.pipeline_as::<((), i64, String)>(&commands).await;
        assert_eq!(whole.unwrap_err().redis_code(), Some("ERR"));
        assert_eq!(redis.pipeline(&[]).await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn a_transaction_runs_whole_or_not_at_all() {
    for server in servers() {
        let redis = client(&server);
        let both = [incr("n"), get("n")];
        assert_eq!(redis.multi_as::<(i64, i64)>(&both).await, Ok((1, 1)));

        // Redis cannot even queue this one.
        let malformed = [incr("n"), Command::new("GET")];
        let error = redis.multi(&malformed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Command);
        assert_eq!(error.redis_code(), Some("EXECABORT"));
        assert_eq!(redis.command_as::<i64>(&get("n")).await, Ok(1));

        // One that fails while it runs does not undo the others.
        let failing = [incr("n"), set("k", "v"), incr("k")];
        type Three = (i64, (), Result<i64, Error>);
        let (n, (), error) = redis.multi_as::<Three>(&failing).await.unwrap();
        assert_eq!((n, error.unwrap_err().redis_code()), (2, Some("ERR")));
        assert_eq!(redis.multi(&[]).await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn calls_share_a_connection_and_each_gets_its_own_reply() {
    for server in servers() {
        let redis = client(&server);
        let calls = (0..500).map(|n: u64| {
            let redis = redis.clone();
            tokio::spawn(async move {
                let key = format!("k{n}");
                let both = [set(&key, &n.to_string()), get(&key)];
                let ((), read) = redis.pipeline_as::<((), u64)>(&both).await.unwrap();
                assert_eq!(read, n);
                redis.command_as::<u64>(&get(&key)).await == Ok(n)
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert!(call.await.unwrap());
        }
        let info = Command::new("INFO").arg("clients");
        let info: String = redis.command_as(&info).await.unwrap();
        assert!(info.contains("connected_clients:1\r\n"), "{info}");
    }
}

#[tokio::test]
async fn calls_that_nobody_waits_for_take_no_replies_of_others() {
    for server in servers() {
        let redis = client(&server);
        let echo = |n: u64| Command::new("ECHO").arg(n);
        for n in 0..200 {
            let dropped = echo(1_000_000 + n);
            let dropped = redis.command(&dropped);
            // It is polled once or a few times, and then it is gone.
            let _ = tokio::time::timeout(ms(0), dropped).await;
            let kept = redis.command_as::<u64>(&echo(n)).await;
            assert_eq!(kept, Ok(n));
        }
    }
}

#[tokio::test]
async fn a_command_that_would_take_the_connection_over_is_not_sent() {
    for server in servers() {
        let redis = client(&server);
        for line in [
            "SUBSCRIBE a",
            "select 1",
            "BLPOP a 0",
            "MULTI",
            "CLIENT REPLY OFF",
        ] {
            let mut words = line.split(' ');
            let command = Command::new(words.next().unwrap()).args(words);
            for error in [
                redis.command(&command).await.unwrap_err(),
                redis
                    .pipeline(&[incr("n"), command.clone()])
                    .await
                    .unwrap_err(),
                redis
                    .multi(&[incr("n"), command.clone()])
                    .await
                    .unwrap_err(),
            ] {
                assert_eq!(
                    (error.kind(), error.may_have_run()),
                    (ErrorKind::Forbidden, false),
                    "{line}"
                );
            }
        }
        assert_eq!(redis.command_as::<i64>(&incr("n")).await, Ok(1));
    }
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_not_read_and_the_next_call_is_served() {
    for server in servers() {
        let options = options(&server).timeout(PATIENCE).max_reply_bytes(1_000);
        let redis = TcpClient::new(options).unwrap();
        redis
            .command_as::<()>(&set("fits", &"x".repeat(990)))
            .await
            .unwrap();
        redis
            .command_as::<()>(&set("long", &"x".repeat(1_000)))
            .await
            .unwrap();
        let fits = redis.command_as::<String>(&get("fits")).await.unwrap();
        assert_eq!(fits.len(), 990);
        // Together they are longer, but each is a reply of its own.
        let three = [get("fits"), get("fits"), get("fits")];
        assert_eq!(redis.pipeline(&three).await.unwrap().len(), 3);
        let error = redis.command(&get("long")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.may_have_run()),
            (ErrorKind::TooLarge, true)
        );
        let list = Command::new("MGET").args(["fits"; 2]);
        assert_eq!(
            redis.command(&list).await.unwrap_err().kind(),
            ErrorKind::TooLarge
        );
        assert_eq!(redis.command_as::<i64>(&incr("n")).await, Ok(1));
    }
}
