//! A real Redis behind `serve-redis`, and processes of many threads.

use std::time::Duration;

use omnitrade_edge::redis::{Command, Options, RestClient, Script, TcpClient, TcpOptions};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::values::{Entry, ValueCache};
use tokio::time::{Instant, sleep};

use crate::common::PATIENCE;
use crate::common::redis::RedisServer;
use crate::common::rest::RestServer;
use crate::{Loads, minute, ms};

const TOKEN: &str = "secret";

fn client(rest: &RestServer, timeout: Duration) -> RestClient<ReqwestTransport> {
    let options = Options::new(rest.url(), TOKEN).timeout(timeout);
    RestClient::new(ReqwestTransport::new().unwrap(), options).unwrap()
}

/// The cache of a process of its own.
fn cache(rest: &RestServer) -> ValueCache {
    ValueCache::new(client(rest, PATIENCE))
}

/// Waits until this holds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(ms(5)).await;
    }
}

async fn number(cache: &ValueCache, key: &str) -> Option<u32> {
    cache.get(key).await.map(|found| found.value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_of_many_threads_share_loads_stale_values_and_purges() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let caches: Vec<_> = (0..4).map(|_| cache(&rest)).collect();
    let entry = Entry::ttl(ms(700)).stale_while_revalidate(ms(60_000));
    let entry = entry.tags(["t"]);
    let loads = Loads::default();
    let all = |expected: std::ops::RangeInclusive<u32>| {
        let calls: Vec<_> = (0..64_usize)
            .map(|n| {
                let (cache, entry) = (caches[n % 4].clone(), entry.clone());
                let load = loads.take(ms(200));
                tokio::spawn(async move { cache.get_or_set("k", &entry, load).await })
            })
            .collect();
        async move {
            for call in calls {
                let value = call.await.unwrap().unwrap();
                assert!(expected.contains(&value), "{value}");
            }
        }
    };
    all(1..=1).await;
    assert_eq!(loads.count(), 1);
    until("it is written", async || {
        number(&cache(&rest), "k").await == Some(1)
    })
    .await;

    // Stale: all get it at once, and one loads.
    sleep(ms(800)).await;
    all(1..=2).await;
    until("it is loaded anew", async || {
        number(&cache(&rest), "k").await == Some(2)
    })
    .await;
    assert_eq!(loads.count(), 2);

    caches[0].purge_tags(["t"]).await.unwrap();
    assert_eq!(number(&caches[0], "k").await, None);
    assert_eq!(number(&cache(&rest), "k").await, None);
    sleep(ms(1_000)).await;
    all(3..=3).await;
    caches[1].delete("k").await.unwrap();
    assert_eq!(number(&caches[1], "k").await, None);

    // Nothing is kept for ever.
    let redis = client(&rest, PATIENCE);
    let keys = redis
        .command(&Command::new("KEYS").arg("ot:*"))
        .await
        .unwrap();
    let keys = keys.into_array().unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        let lifetime = Command::new("PTTL").arg(key.as_str().unwrap());
        assert!(redis.command(&lifetime).await.unwrap().as_int() > Some(0));
    }
}

#[tokio::test]
async fn caches_over_rest_and_over_tcp_share_values_loads_and_purges() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let options = TcpOptions::new(redis.url()).timeout(PATIENCE);
    let (one, two) = (
        cache(&rest),
        ValueCache::new(TcpClient::new(options).unwrap()),
    );
    let (entry, loads) = (minute().tags(["t"]), Loads::default());
    let both = tokio::join!(
        one.get_or_set("k", &entry, loads.take(ms(100))),
        two.get_or_set("k", &entry, loads.take(ms(100)))
    );
    assert_eq!(both, (Ok(1), Ok(1)));
    two.set_bytes("b", &[0, 255], &entry).await.unwrap();
    assert_eq!(one.get_bytes("b").await.unwrap().value, [0, 255][..]);
    two.purge_tags(["t"]).await.unwrap();
    assert_eq!(number(&two, "k").await, None);
    assert_eq!(number(&cache(&rest), "k").await, None);
    assert!(cache(&rest).get_bytes("b").await.is_none());
}

#[tokio::test]
async fn a_value_of_another_kind_in_redis_is_a_miss() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let redis = client(&rest, PATIENCE);
    let spoil = [
        "redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x')",
        "redis.call('SET', KEYS[1], 'x\\255')",
        "redis.call('APPEND', KEYS[1], '\\255')",
        "redis.call('SET', KEYS[1], string.rep('x', 100000))",
    ];
    let started = Instant::now();
    for (n, spoil) in spoil.into_iter().enumerate() {
        let one = ValueCache::builder().prefixed(format!("p{n}"));
        let other = ValueCache::builder().prefixed(format!("p{n}"));
        let [one, other] = [one, other].map(|builder| builder.over(client(&rest, PATIENCE)));
        one.set("k", &1, &minute()).await.unwrap();
        let keys = Command::new("KEYS").arg(&format!("p{n}:v:*"));
        let keys = redis.command(&keys).await.unwrap();
        let key = keys.as_array().unwrap()[0].as_str().unwrap();
        let script = Script::new(spoil);
        redis
            .script(&script, &[key], [] as [&str; 0])
            .await
            .unwrap();
        assert_eq!(number(&other, "k").await, None, "{spoil}");
        let loads = Loads::default();
        let value = other.get_or_set("k", &minute(), loads.take(ms(1))).await;
        assert_eq!((value, loads.count()), (Ok(1), 1), "{spoil}");
        sleep(ms(1_000)).await;
        until("it is mended", async || number(&one, "k").await == Some(1)).await;
    }
    assert!(
        started.elapsed() < ms(9_000),
        "nobody waits for a load that is over"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_and_comes_back_fails_no_call() {
    let mut redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let caches = [(); 2].map(|()| ValueCache::new(client(&rest, ms(500))));
    let (loads, entry) = (Loads::default(), minute());
    let first = caches[0].get_or_set("k", &entry, loads.take(ms(1))).await;
    assert_eq!(first, Ok(1));
    redis.stop();
    for n in 0..40 {
        let key = format!("k{n}");
        let value = caches[0].get_or_set(&key, &entry, loads.take(ms(1))).await;
        assert_eq!(value, Ok(n + 2));
        let value = caches[0].get_or_set(&key, &entry, loads.take(ms(1))).await;
        assert_eq!(value, Ok(n + 2), "memory has it");
    }
    assert!(caches[0].set("k", &0, &entry).await.is_err());
    redis.restart();
    until("it is used again", async || {
        let set = caches[0].set("back", &7, &entry).await;
        set.is_ok() && number(&caches[1], "back").await == Some(7)
    })
    .await;
}
