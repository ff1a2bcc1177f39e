//! What is said of requests without a key.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::Request;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::RateLimitLayer;

use crate::rig::{KEY, MINUTE, get, request};
use crate::wire::Wire;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_first_request_without_a_key_is_warned_about() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let rule = Rule::new(9, MINUTE).named("per-user");
    let layer = RateLimitLayer::new(RateLimiter::local(Wire::new(), rule)).key(KEY);
    let said = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    get(&layer, request("secret-key")).await;
    assert_eq!(said(), "");
    for _ in 0..3 {
        get(&layer.clone(), Request::new(String::new())).await;
        let said = said();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("WARN") && said.contains("per-user"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}
