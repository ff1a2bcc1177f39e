//! The layer in hyper alone, over sockets.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::RateLimitLayer;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::rig::MINUTE;
use crate::wire::Wire;

/// Answers with the request's body.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Response::new(body.into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_serves_a_limited_service_with_the_address_of_the_peer() {
    let wire = Wire::new();
    for limiter in [
        RateLimiter::local(wire.clone(), Rule::new(5, MINUTE)),
        wire.limiter(Rule::new(5, MINUTE)),
    ] {
        let layer = RateLimitLayer::new(limiter.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let limited = layer.layer(service_fn(echo));
                let service = limited.map_request(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(peer);
                    request
                });
                let service = TowerToHyperService::new(service);
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        // Many requests on each connection.
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let client = reqwest::Client::new();
            for n in 0..4 {
                let sent = format!("body {n}");
                let answer = client.post(&url).body(sent.clone()).send().await.unwrap();
                let status = answer.status();
                statuses.push(status.as_u16());
                let text = answer.text().await.unwrap();
                match status {
                    StatusCode::OK => assert_eq!(text, sent),
                    _ => assert!(text.contains("quota_exceeded"), "{text}"),
                }
            }
        }
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
        assert_eq!(limiter.peek("127.0.0.1").await.unwrap().remaining, 0);
    }
}
