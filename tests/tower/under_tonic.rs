//! The layer in tonic, over sockets.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::{Header, PeerIp, RateLimitLayer};
use omnitrade_edge::transport::BoxFuture;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};
use tower::Service;

use crate::rig::MINUTE;
use crate::wire::Wire;

/// Messages that are bytes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A service whose method answers with what it was sent, and fails if that is "fail".
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = tower::service_fn(async |request: tonic::Request<Bytes>| {
            match &*request.into_inner() {
                b"fail" => Err(Status::internal("as it was told")),
                message => Ok(tonic::Response::new(Bytes::copy_from_slice(message))),
            }
        });
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(Raw);
            Ok(server.unary(method, request).await)
        })
    }
}

async fn call(
    channel: &Channel,
    key: Option<&'static str>,
    text: &'static str,
) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client
        .ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    let mut request = tonic::Request::new(Bytes::from_static(text.as_bytes()));
    if let Some(key) = key {
        request
            .metadata_mut()
            .insert("x-api-key", key.parse().unwrap());
    }
    let path = http::uri::PathAndQuery::from_static("/test.Echo/Echo");
    let answer = client.unary(request, path, Raw).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_refused_gets_the_status_that_clients_expect() {
    let wire = Wire::new();
    for limiter in [
        RateLimiter::local(wire.clone(), Rule::new(2, MINUTE).named("calls")),
        wire.limiter(Rule::new(2, MINUTE).named("calls")),
    ] {
        let peer = PeerIp::v6_prefix(64)
            .from_extension(|info: &TcpConnectInfo| Some(info.remote_addr()?.ip()));
        // tonic tells most failures in the head of a response.
        let failed = |response: &http::response::Parts| {
            let status = response.headers.get("grpc-status")?;
            (status != "0").then_some(0)
        };
        let layer = RateLimitLayer::new(limiter.clone())
            .key(Header("x-api-key").or(peer))
            .cost_from_response(failed);
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", incoming.local_addr().unwrap());
        let server = Server::builder().layer(layer).add_service(Echo);
        tokio::spawn(server.serve_with_incoming(incoming));
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();

        for (key, subject) in [(Some("a"), "a"), (None, "\n127.0.0.1")] {
            let error = call(&channel, key, "fail").await.unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (Code::Internal, "as it was told")
            );
            while limiter.peek(subject).await.unwrap().remaining < 2 {
                tokio::task::yield_now().await;
            }
            for _ in 0..2 {
                assert_eq!(call(&channel, key, "hello").await.unwrap(), "hello");
            }
            let refused = call(&channel, key, "hello").await.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
            assert_eq!(
                refused.message(),
                "Request cannot be satisfied as assigned quota has been exceeded"
            );
            let metadata = refused.metadata();
            assert_eq!(metadata.get("retry-after").unwrap(), "62");
            assert_eq!(metadata.get("ratelimit").unwrap(), "\"calls\";r=0;t=62");
            assert_eq!(limiter.peek(subject).await.unwrap().remaining, 0);
        }
    }
}
