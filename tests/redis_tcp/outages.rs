//! A Redis that is not there yet, dies, comes back, hangs, or takes no writes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{Command, RetryPolicy, Script, TcpClient, TcpOptions};

use tokio::net::{TcpListener, TcpStream};

use crate::common::PATIENCE;
use crate::common::redis::{RedisServer, free_port};
use crate::{client, get, incr, ms, options, servers, set};

/// A client that tries again for as long as a test waits.
fn persistent(server: &RedisServer) -> TcpClient {
    let policy = RetryPolicy::default().retries(u32::MAX).cap(ms(20));
    TcpClient::new(options(server).timeout(PATIENCE).retry_policy(policy)).unwrap()
}

/// How many connections the server has taken.
async fn connections(redis: &TcpClient) -> u64 {
    let info = Command::new("INFO").arg("stats");
    let info: String = redis.command_as(&info).await.unwrap();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn where_nothing_listens_nothing_is_sent() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let redis = TcpClient::connect(url).unwrap();
    let start = Instant::now();
    for error in [
        redis.command(&incr("n")).await.unwrap_err(),
        redis.pipeline(&[incr("n")]).await.unwrap_err(),
        redis.multi(&[incr("n")]).await.unwrap_err(),
        redis
            .script(&Script::new("return 1"), &["k"], [1])
            .await
            .unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.may_have_run()),
            (ErrorKind::Unreachable, false)
        );
        assert!(error.retry_is_safe(false));
    }
    assert!(
        start.elapsed() < redis.timeout() * 4,
        "it does not wait for a refusal"
    );
}

#[tokio::test]
async fn a_client_may_start_before_its_redis() {
    for mut server in servers() {
        server.stop();
        let redis = client(&server);
        assert!(redis.command(&get("k")).await.is_err());
        server.restart();
        assert_eq!(redis.command_as::<i64>(&incr("n")).await, Ok(1));
    }
}

#[tokio::test]
async fn a_redis_that_was_swapped_between_two_calls_is_not_noticed() {
    for mut server in servers() {
        let redis = client(&server);
        for _ in 0..3 {
            // It is not idempotent, so it would fail on a connection that is no longer there.
            assert_eq!(redis.command_as::<i64>(&incr("n")).await, Ok(1));
            server.restart();
            // The end of the old connection has arrived; the runtime has to see it.
            tokio::time::sleep(ms(20)).await;
        }
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_redis_died_is_repeated_only_if_it_may_be() {
    for mut server in servers() {
        let redis = persistent(&server);
        assert_eq!(redis.command_as::<i64>(&incr("n")).await, Ok(1));
        server.pause();
        let under_way = [get("n"), incr("n")].map(|command| {
            let redis = redis.clone();
            tokio::spawn(async move { redis.command_as::<Option<i64>>(&command).await })
        });
        let once = Script::new("return redis.call('INCR', KEYS[1])");
        let knows = Script::new("return ARGV[#ARGV]").repeatable();
        let scripts = [once, knows].map(|script| {
            let redis = redis.clone();
            tokio::spawn(async move { redis.script_as::<i64>(&script, &["n"], [""; 0]).await })
        });
        // All of them are sent by then, and none is answered.
        tokio::time::sleep(ms(100)).await;
        server.restart();

        let [read, written] = under_way;
        assert_eq!(read.await.unwrap(), Ok(None), "the new one is empty");
        let [once, knows] = scripts;
        assert_eq!(
            knows.await.unwrap(),
            Ok(1),
            "it is told that it may have run"
        );
        for error in [
            written.await.unwrap().unwrap_err(),
            once.await.unwrap().unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.may_have_run()),
                (ErrorKind::Unreachable, true)
            );
            assert!(!error.retry_is_safe(false) && error.retry_is_safe(true));
        }
        assert_eq!(redis.command_as::<Option<i64>>(&get("n")).await, Ok(None));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_redis_that_hangs_is_not_waited_for_beyond_the_deadline() {
    for server in servers() {
        let redis = TcpClient::new(options(&server).timeout(ms(150))).unwrap();
        assert_eq!(redis.command_as::<i64>(&incr("n")).await, Ok(1));
        server.pause();
        // The first is sent. The second finds the connection silent, and gets no other.
        for may_have_run in [true, false] {
            let start = Instant::now();
            let error = redis.command(&incr("n")).await.unwrap_err();
            let took = start.elapsed();
            assert_eq!(
                (error.kind(), error.may_have_run()),
                (ErrorKind::Timeout, may_have_run)
            );
            assert!(took >= ms(140) && took < PATIENCE / 4, "{took:?}");
        }
        server.resume();
        let patient = client(&server);
        assert_eq!(patient.command_as::<i64>(&incr("n")).await, Ok(3));
        let start = Instant::now();
        while redis.command(&get("n")).await.is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not come back");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_silent_connection_is_given_up_though_no_caller_waits_so_long() {
    for server in servers() {
        let redis = TcpClient::new(options(&server).timeout(ms(200))).unwrap();
        let before = connections(&redis).await;
        server.pause();
        let impatient = async || tokio::time::timeout(ms(20), redis.command(&get("k"))).await;
        assert!(impatient().await.is_err());
        tokio::time::sleep(ms(220)).await;
        assert!(impatient().await.is_err());
        server.resume();
        let start = Instant::now();
        while redis.command(&get("k")).await.is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not come back");
        }
        assert!(connections(&redis).await > before);
    }
}

#[tokio::test]
async fn a_connection_that_takes_longer_than_a_call_is_made_all_the_same() {
    for server in servers() {
        let accepted = Arc::new(AtomicU64::new(0));
        // It is there in the middle of the fourth call, so no call meets it at its own end.
        let far = far_away(&server, ms(1_750), Arc::clone(&accepted)).await;
        let options = TcpOptions::new(format!("redis://{far}")).timeout(ms(500));
        let redis = TcpClient::new(options).unwrap();
        let start = Instant::now();
        while let Err(error) = redis.command(&get("k")).await {
            assert_eq!(
                (error.kind(), error.may_have_run()),
                (ErrorKind::Timeout, false)
            );
            assert!(start.elapsed() < PATIENCE, "no connection is made");
        }
        assert!(start.elapsed() >= ms(1_750));
        assert_eq!(
            accepted.load(Ordering::Relaxed),
            1,
            "no call has begun anew"
        );
    }
}

/// Passes all on to a Redis, but lets each connection wait before that. Counts them.
async fn far_away(server: &RedisServer, wait: Duration, accepted: Arc<AtomicU64>) -> SocketAddr {
    let redis = server.port();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            accepted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let mut redis = TcpStream::connect(("127.0.0.1", redis)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut redis).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_does_not_cost_the_connection() {
    for server in servers() {
        let redis = client(&server);
        let before = connections(&redis).await;
        for _ in 0..20 {
            // It is polled at least once; the reply may already be there.
            let _ = tokio::time::timeout(ms(0), redis.command(&get("k"))).await;
            assert!(redis.command(&get("k")).await.is_ok());
        }
        assert_eq!(connections(&redis).await, before);
    }
}

#[tokio::test]
async fn a_former_primary_is_left_and_a_write_comes_again() {
    for server in servers() {
        let redis = persistent(&server);
        redis.command_as::<()>(&set("k", "v")).await.unwrap();
        assert_eq!(server.say("REPLICAOF 127.0.0.1 1").as_deref(), Some("+OK"));
        let once = TcpClient::new(options(&server).timeout(PATIENCE).retries(0)).unwrap();
        let before = connections(&once).await;
        let refused = once.command(&set("k", "w")).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.may_have_run()),
            (ErrorKind::Server, false)
        );
        assert!(refused.to_string().contains("READONLY"), "{refused}");
        assert_eq!(
            connections(&once).await,
            before + 1,
            "it may lead to the primary now"
        );

        let writing = tokio::spawn(async move { redis.command(&set("k", "w")).await });
        tokio::time::sleep(ms(30)).await;
        assert_eq!(server.say("REPLICAOF NO ONE").as_deref(), Some("+OK"));
        assert!(writing.await.unwrap().is_ok());
    }
}

#[test]
fn a_client_outlives_the_runtime_that_has_connected_it() {
    for server in servers() {
        let redis = client(&server);
        for count in 1..=3 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let reply = runtime
                .unwrap()
                .block_on(redis.command_as::<i64>(&incr("n")));
            assert_eq!(reply, Ok(count));
        }
    }
}

#[tokio::test]
async fn what_is_no_redis_is_told_from_one_that_is_away() {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let web = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let redis = TcpClient::new(TcpOptions::new(url).retries(0)).unwrap();
    let error = redis.command(&get("k")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (ErrorKind::Protocol, false)
    );
    web.join().unwrap();
}
