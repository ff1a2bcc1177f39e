//! A limiter and a cache over a client that another crate has, with public names alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::limiter::{RateLimiter, Rule, Source};
use omnitrade_edge::redis::{Client, Command, Script, Shared, Value, error_of_reply};
use omnitrade_edge::transport::BoxFuture;
use omnitrade_edge::values::{Entry, ValueCache};
use redis::aio::MultiplexedConnection;

use crate::common::redis::RedisServer;
use crate::{client, ms, servers};

const HOUR: Duration = Duration::from_secs(3_600);

/// A client over a connection of the crate `redis`.
struct Own {
    connection: MultiplexedConnection,
    shared: Shared,
}

impl Own {
    async fn new(server: &RedisServer) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        Self {
            connection: client.get_multiplexed_async_connection().await.unwrap(),
            shared: Shared::default(),
        }
    }

    async fn run(&self, words: &[String], name: &str) -> Result<Value, Error> {
        let mut cmd = redis::Cmd::new();
        cmd.arg(words);
        let reply = cmd.query_async(&mut self.connection.clone()).await;
        value(reply.map_err(|error| failure(&error, name))?)
    }
}

fn value(reply: redis::Value) -> Result<Value, Error> {
    Ok(match reply {
        redis::Value::Nil => Value::Null,
        redis::Value::Int(number) => Value::Int(number),
        redis::Value::Okay => Value::from("OK"),
        redis::Value::SimpleString(text) => Value::from(text.as_str()),
        redis::Value::BulkString(bytes) => Value::Bytes(Bytes::from(bytes)),
        redis::Value::Array(items) => {
            let items: Result<_, Error> = items.into_iter().map(value).collect();
            Value::Array(items?)
        }
        _ => return Err(Error::from(ErrorKind::Protocol)),
    })
}

fn failure(error: &redis::RedisError, name: &str) -> Error {
    match error.code() {
        Some(code) => error_of_reply(
            &format!("{code} {}", error.detail().unwrap_or("")),
            Some(name),
        ),
        None if error.is_connection_refusal() => Error::from(ErrorKind::Unreachable).not_run(),
        None => Error::from(ErrorKind::Unreachable),
    }
}

impl Client for Own {
    fn command<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async { self.run(&command.words(), command.name()).await })
    }

    fn pipeline<'a>(
        &'a self,
        commands: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Error>>, Error>> {
        Box::pin(async move {
            let mut replies = Vec::new();
            for command in commands {
                replies.push(self.run(&command.words(), command.name()).await);
            }
            Ok(replies)
        })
    }

    fn script<'a>(
        &'a self,
        script: &'a Script,
        keys: &'a [String],
        args: &'a [String],
    ) -> BoxFuture<'a, Result<Value, Error>> {
        let called = |name: &str, source: &str| {
            let mut words = vec![name.to_owned(), source.to_owned(), keys.len().to_string()];
            words.extend(keys.iter().chain(args).cloned());
            // It is sent once, so no earlier attempt may have run.
            words.extend(script.is_repeatable().then(|| "0".to_owned()));
            words
        };
        let (by_digest, by_source) = (
            called("EVALSHA", script.sha()),
            called("EVAL", script.lua()),
        );
        Box::pin(async move {
            match self.run(&by_digest, "EVALSHA").await {
                Err(error) if error.redis_code() == Some("NOSCRIPT") => {
                    self.run(&by_source, "EVAL").await
                }
                other => other,
            }
        })
    }

    fn timeout(&self) -> Duration {
        crate::common::PATIENCE
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp::from_millis(since.unwrap().as_millis().try_into().unwrap())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> f64 {
        0.5
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }
}

#[tokio::test]
async fn a_limiter_counts_together_with_one_over_a_client_of_ours() {
    for server in servers() {
        let rule = || Rule::new(10, HOUR).named("shared");
        let theirs = RateLimiter::new(Own::new(&server).await, rule());
        let ours = RateLimiter::new(client(&server), rule());
        let mut admitted = 0;
        for _ in 0..8 {
            for limiter in [&theirs, &ours] {
                let limited = limiter.limit("user", 1).await;
                assert_ne!(limited.source, Source::Local);
                admitted += u64::from(limited.success);
            }
        }
        assert_eq!(admitted, 10);
    }
}

#[tokio::test]
async fn a_cache_loads_once_reads_and_forgets_what_is_purged() {
    for server in servers() {
        let caches = [
            ValueCache::new(Own::new(&server).await),
            ValueCache::new(client(&server)),
        ];
        let loads = Arc::new(AtomicU64::new(0));
        let entry = Entry::ttl(HOUR).tags(["prices"]);
        let ask = async |n: usize| -> u64 {
            let loads = Arc::clone(&loads);
            let load = move || async move { Ok::<_, Error>(loads.fetch_add(1, Ordering::Relaxed)) };
            caches[n].get_or_set("price", &entry, load).await.unwrap()
        };
        assert_eq!((ask(0).await, ask(1).await), (0, 0));
        caches[1].purge_tags(["prices"]).await.unwrap();
        // Another process hears of a purge within a second.
        tokio::time::sleep(ms(1_100)).await;
        assert_eq!((ask(0).await, ask(1).await), (1, 1));
    }
}

#[tokio::test]
async fn what_redis_refuses_keeps_its_code() {
    for server in servers() {
        let own = Own::new(&server).await;
        let set = Command::new("SET").arg("text").arg("a");
        let push = Command::new("LPUSH").arg("text").arg("b");
        let replies = own.pipeline(&[set, push]).await.unwrap();
        let error = replies[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Command);
        assert_eq!(error.redis_code(), Some("WRONGTYPE"));
        assert_eq!(error.command(), Some("LPUSH"));
    }
}
