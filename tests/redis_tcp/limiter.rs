//! A limiter over TCP: alone, on many threads, through an outage, and beside one over REST.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use omnitrade_edge::limiter::{RateLimiter, Reason, Rule, Source};

use crate::{client, ms, options, servers};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_and_clients_together_get_exactly_the_quota() {
    for server in servers() {
        let admitted = Arc::new(AtomicU64::new(0));
        // Two processes have a client each.
        let limiters = [(); 2]
            .map(|()| RateLimiter::new(client(&server), Rule::new(100, HOUR).named("shared")));
        let tasks = (0..16).map(|n| {
            let limiter = limiters[n % 2].clone();
            let admitted = Arc::clone(&admitted);
            tokio::spawn(async move {
                for _ in 0..25 {
                    let limited = limiter.limit("user", 1).await;
                    assert_eq!(limited.reason.filter(|r| *r == Reason::Timeout), None);
                    admitted.fetch_add(u64::from(limited.success), Ordering::Relaxed);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(admitted.load(Ordering::Relaxed), 100);
    }
}

#[tokio::test]
async fn a_limiter_goes_on_while_redis_is_gone_and_counts_there_again() {
    for mut server in servers() {
        let redis = omnitrade_edge::redis::TcpClient::new(options(&server).timeout(ms(500)));
        let limiter = RateLimiter::new(redis.unwrap(), Rule::new(1_000, HOUR).named("a"));
        assert_eq!(limiter.limit("user", 1).await.source, Source::Redis);
        server.stop();
        let without = limiter.limit("user", 1).await;
        assert!(without.success);
        assert_eq!(without.source, Source::Local);
        server.restart();
        let start = std::time::Instant::now();
        while limiter.limit("user", 1).await.source != Source::Redis {
            assert!(
                start.elapsed() < crate::common::PATIENCE,
                "it does not come back"
            );
            tokio::time::sleep(ms(20)).await;
        }
    }
}

#[cfg(all(feature = "cli", feature = "reqwest"))]
#[tokio::test]
async fn limiters_over_tcp_and_over_rest_count_together() {
    use crate::common::PATIENCE;
    use crate::common::rest::RestServer;
    use omnitrade_edge::redis::{Options, RestClient};
    use omnitrade_edge::shell::ReqwestTransport;

    for server in servers() {
        let front = RestServer::start(&server.url(), "token");
        let rest = Options::new(front.url(), front.token()).timeout(PATIENCE);
        let rest = RestClient::new(ReqwestTransport::new().unwrap(), rest).unwrap();
        let rule = || Rule::new(10, HOUR).named("both");
        let limiters = [
            RateLimiter::new(client(&server), rule()),
            RateLimiter::new(rest, rule()),
        ];
        for taken in 1..=10 {
            let limited = limiters[taken % 2].limit("user", 1).await;
            assert!(limited.success);
            assert_eq!(limited.source, Source::Redis);
            assert_eq!(limited.remaining, 10 - taken as u64);
        }
        for limiter in &limiters {
            let limited = limiter.limit("user", 1).await;
            assert!(!limited.success);
            assert_eq!(limiter.peek("user").await.unwrap().remaining, 0);
        }
    }
}
