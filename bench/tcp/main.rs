//! How many exact checks a second one thread makes over TCP, and how many calls of the same script
//! it makes over the crate `redis` alone, in JSON. Arguments: the address of a Redis that may be
//! emptied, the number of rounds, the calls of a round, and how many are under way at once.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that finds nothing there should fail"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::error::Error;
use omnitrade_edge::limiter::{RateLimiter, Rule, Source};
use omnitrade_edge::redis::{Client, Command, Script, Shared, TcpClient, Value};
use omnitrade_edge::transport::BoxFuture;
use serde_json::json;

/// The subjects that take turns.
const SUBJECTS: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [url, rounds, calls, under_way] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        panic!("expected: ADDRESS ROUNDS CALLS UNDER_WAY,…");
    };
    let [rounds, calls] = [rounds, calls].map(|number| number.parse::<usize>().unwrap());
    let mut figures = Vec::new();
    for under_way in under_way.split(',') {
        let under_way = under_way.parse().unwrap();
        let mut ours = Vec::new();
        let mut bare = Vec::new();
        for _ in 0..rounds {
            let bench = Bench {
                url,
                calls,
                under_way,
            };
            let recorded = bench.record().await;
            ours.push(bench.checks().await);
            bare.push(bench.bare(recorded).await);
        }
        figures.push(json!({ "underWay": under_way, "ours": ours, "bare": bare }));
    }
    println!(
        "{}",
        json!({ "rounds": rounds, "calls": calls, "figures": figures })
    );
}

struct Bench<'a> {
    url: &'a str,
    calls: usize,
    under_way: usize,
}

/// The words of a call of a script after `EVALSHA`.
type Words = Vec<String>;

impl Bench<'_> {
    /// What a limiter sends.
    async fn record(&self) -> Vec<Words> {
        let recorder = Recorder {
            redis: TcpClient::connect(self.url).unwrap(),
            recorded: Arc::default(),
            shared: Shared::default(),
        };
        let recorded = Arc::clone(&recorder.recorded);
        self.limit(RateLimiter::new(recorder, rule())).await;
        let recorded = std::mem::take(&mut *recorded.lock().unwrap());
        assert_eq!(recorded.len(), self.calls, "each check is one call");
        recorded
    }

    /// Checks of a limiter, in calls per second.
    async fn checks(&self) -> f64 {
        let redis = TcpClient::connect(self.url).unwrap();
        redis.command(&Command::new("FLUSHDB")).await.unwrap();
        let limiter = RateLimiter::new(redis, rule());
        // The script is known from here on, and so is the clock of Redis.
        limiter.limit("first", 1).await;
        let start = Instant::now();
        self.limit(limiter).await;
        self.calls as f64 / start.elapsed().as_secs_f64()
    }

    /// The same calls over the crate `redis`, in calls per second.
    async fn bare(&self, recorded: Vec<Words>) -> f64 {
        let redis = redis::Client::open(self.url).unwrap();
        let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("FLUSHDB").exec_async(&mut redis).await.unwrap();
        let recorded = Arc::new(recorded);
        let start = Instant::now();
        self.together(move |n| {
            let mut redis = redis.clone();
            let recorded = Arc::clone(&recorded);
            async move {
                let mut command = redis::cmd("EVALSHA");
                for word in &recorded[n] {
                    command.arg(word);
                }
                let reply: redis::Value = command.query_async(&mut redis).await.unwrap();
                assert!(matches!(reply, redis::Value::Array(_)), "{reply:?}");
            }
        })
        .await;
        self.calls as f64 / start.elapsed().as_secs_f64()
    }

    async fn limit(&self, limiter: RateLimiter) {
        self.together(move |n| {
            let limiter = limiter.clone();
            async move {
                let subject = format!("user-{}", n % SUBJECTS);
                let limited = limiter.limit(&subject, 1).await;
                assert!(limited.success && limited.source == Source::Redis);
            }
        })
        .await;
    }

    /// Makes the calls, so many at once.
    async fn together<F: Future<Output = ()> + Send>(
        &self,
        call: impl Fn(usize) -> F + Send + Sync + 'static,
    ) {
        let call = Arc::new(call);
        let next = Arc::new(AtomicUsize::new(0));
        let tasks = (0..self.under_way).map(|_| {
            let (call, next, calls) = (Arc::clone(&call), Arc::clone(&next), self.calls);
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= calls {
                        break;
                    }
                    call(n).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}

/// So much that nobody is refused, and nothing is fetched ahead.
fn rule() -> Rule {
    Rule::new(1_000_000, Duration::from_secs(60)).named("bench")
}

/// Records the calls of scripts, and has them carried out.
struct Recorder {
    redis: TcpClient,
    recorded: Arc<Mutex<Vec<Words>>>,
    shared: Shared,
}

impl Client for Recorder {
    fn command<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Value, Error>> {
        Client::command(&self.redis, command)
    }

    fn pipeline<'a>(
        &'a self,
        commands: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Error>>, Error>> {
        Client::pipeline(&self.redis, commands)
    }

    fn script<'a>(
        &'a self,
        script: &'a Script,
        keys: &'a [String],
        args: &'a [String],
    ) -> BoxFuture<'a, Result<Value, Error>> {
        let mut words = vec![script.sha().to_owned(), keys.len().to_string()];
        words.extend(keys.iter().chain(args).cloned());
        if script.is_repeatable() {
            words.push("0".to_owned());
        }
        self.recorded.lock().unwrap().push(words);
        Client::script(&self.redis, script, keys, args)
    }

    fn timeout(&self) -> Duration {
        self.redis.timeout()
    }

    fn now(&self) -> Timestamp {
        self.redis.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.redis.sleep(duration)
    }

    fn random(&self) -> f64 {
        self.redis.random()
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }
}
