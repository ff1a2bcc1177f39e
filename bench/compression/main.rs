//! What bodies become in Redis: writes the named files as envelopes, reads them back, and prints
//! the figures as JSON.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement that finds nothing there should fail"
)]

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::http_cache::{
    BodyCoding, CacheKey, CacheRules, Exchange, Freshness, Meta, Target, envelope,
};
use serde_json::json;

fn main() {
    let files = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let measured: Vec<_> = files
        .map(|file| {
            let body = std::fs::read(&file).expect("a file");
            measure(&file, &body)
        })
        .collect();
    println!("{}", json!(measured));
}

fn measure(file: &str, body: &[u8]) -> serde_json::Value {
    let (key, meta, freshness) = response();
    let write = |from| envelope::encode(&meta, &freshness, body, from).unwrap();
    let [plain, packed] = [None, Some(0)].map(write);
    // In the form in which it is sent to Upstash: as a JSON string.
    let sent = |text: &str| serde_json::to_string(text).unwrap().len();
    json!({
        "file": file,
        "body": body.len(),
        "plain": sent(&plain),
        "packed": sent(&packed),
        "writeUs": microseconds(|| drop(write(Some(0)))),
        "writePlainUs": microseconds(|| drop(write(None))),
        "readUs": microseconds(|| drop(envelope::decode(&packed, &key).unwrap())),
        "readPlainUs": microseconds(|| drop(envelope::decode(&plain, &key).unwrap())),
    })
}

/// A response with an almost empty head.
fn response() -> (CacheKey, Meta, Freshness) {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let target = Target::of("https://api.example/").unwrap();
    let (headers, rules) = (Vec::new(), CacheRules::default());
    let key = CacheKey::new(&target, None, &[], &headers);
    let exchange = Exchange {
        method: &Method::GET,
        request: &headers,
        status: StatusCode::OK,
        response: &headers,
        request_time: now,
        response_time: now,
    };
    let mut meta = Meta::from_response(&exchange, &key, BodyCoding::Decoded, &rules);
    meta.epochs = Some("-".to_owned());
    let freshness = meta.freshness(&rules);
    (key, meta, freshness)
}

/// The time of the fastest of many runs; the others are slower only by noise.
fn microseconds(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = Duration::MAX;
    while start.elapsed() < Duration::from_millis(200) {
        let before = Instant::now();
        work();
        best = best.min(before.elapsed());
    }
    best.as_secs_f64() * 1e6
}
