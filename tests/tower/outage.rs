//! A real Redis that dies and comes back, behind `serve-redis`, under an application of axum.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::{Options, RestClient};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::tower::{Header, PeerIp, RateLimitLayer};
use tokio::net::TcpListener;

use crate::common::PATIENCE;
use crate::common::redis::RedisServer;
use crate::common::rest::RestServer;
use crate::rig::MINUTE;

const QUOTA: u64 = 20;

/// What a client was answered.
struct Answer {
    status: StatusCode,
    /// The permits that are left.
    left: u64,
    text: String,
}

async fn ask(client: &reqwest::Client, url: &str, key: &str) -> Answer {
    let request = client.get(url).header("x-api-key", key);
    let answer = request.send().await.unwrap();
    let told = answer.headers()["ratelimit"].to_str().unwrap();
    let left = told.split(";r=").nth(1).unwrap().split(';').next().unwrap();
    Answer {
        left: left.parse().unwrap(),
        status: answer.status(),
        text: answer.text().await.unwrap(),
    }
}

/// An application whose limiter counts in this store.
async fn serve(store: &RestServer, rule: Rule) -> String {
    let options = Options::new(store.url(), store.token())
        .timeout(Duration::from_millis(300))
        .retries(0);
    let redis = RestClient::new(ReqwestTransport::new().unwrap(), options).unwrap();
    let layer = RateLimitLayer::new(RateLimiter::new(redis, rule))
        .key(Header("x-api-key").or(PeerIp::v6_prefix(64)))
        .refund_on(StatusCode::is_server_error);
    let app = Router::new().route("/", get(async || "hello")).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}

/// Asks with new keys until the store has decided: then all but one permit are left, of which the
/// local limits give a part only.
async fn until_the_store_decides(client: &reqwest::Client, url: &str, name: &str) {
    let asking = async {
        for n in 0.. {
            let answer = ask(client, url, &format!("{name}-{n}")).await;
            if answer.left == QUOTA - 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.expect("the store decides");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_and_comes_back_fails_no_request() {
    for leased in [false, true] {
        let mut redis = RedisServer::start();
        let store = RestServer::start(&redis.url(), "token");
        let rule = Rule::new(QUOTA, MINUTE).named("per-user");
        let url = serve(&store, if leased { rule.leased() } else { rule }).await;
        let client = reqwest::Client::new();
        until_the_store_decides(&client, &url, "first").await;

        // Others that send all the time, whatever happens to the store.
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let others: Vec<_> = (0..4)
            .map(|n| {
                let (client, url) = (client.clone(), url.clone());
                let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
                tokio::spawn(async move {
                    while !stop.load(Ordering::SeqCst) {
                        let status = ask(&client, &url, &format!("other-{n}")).await.status;
                        let is_known =
                            [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                        assert!(is_known, "{status}");
                        sent.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
            })
            .collect();

        redis.stop();
        // A client that the store has never seen, and whom the process limits by itself.
        let mut passed = 0;
        let refused = loop {
            let answer = ask(&client, &url, "during").await;
            match answer.status {
                StatusCode::OK => passed += 1,
                _ => break answer,
            }
        };
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(
            refused.text.contains("reduced_capacity"),
            "{}",
            refused.text
        );
        assert!((1..=QUOTA).contains(&passed), "{passed}");

        redis.restart();
        until_the_store_decides(&client, &url, "again").await;
        // One that answers nothing is a store that fails, too.
        #[cfg(unix)]
        {
            redis.pause();
            for n in 0..10 {
                let answer = ask(&client, &url, &format!("paused-{n}")).await;
                assert_eq!(answer.status, StatusCode::OK);
            }
            redis.resume();
            until_the_store_decides(&client, &url, "resumed").await;
        }
        stop.store(true, Ordering::SeqCst);
        for other in others {
            other.await.unwrap();
        }
        assert!(sent.load(Ordering::SeqCst) > 100);
        let counted = redis.say("DBSIZE").unwrap();
        assert_ne!(counted, ":0", "the store counts");
    }
}
