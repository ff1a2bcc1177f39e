use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A server that reads a little, sends `reply` and, if told so, hangs up.
async fn server(reply: &'static [u8], hangs_up: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = socket.read(&mut head).await;
            let _ = socket.write_all(reply).await;
            if !hangs_up {
                let _ = socket.read(&mut head).await;
            }
        }
    });
    address
}

async fn send(
    address: SocketAddr,
    timeout: Duration,
    max_bytes: usize,
) -> Result<http::Response<Bytes>, TransportError> {
    let mut request = http::Request::new(Bytes::from_static(b"[]"));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = format!("http://{address}/").parse().unwrap();
    ReqwestTransport::new()
        .unwrap()
        .send(request, timeout, max_bytes)
        .await
}

#[tokio::test]
async fn a_reply_comes_with_its_status_and_headers() {
    let address = server(
        b"HTTP/1.1 400 No\r\nA: b\r\nContent-Length: 4\r\n\r\nbody",
        true,
    )
    .await;
    let reply = send(address, LONG, 4).await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), reply.body().as_ref()),
        (400, b"body".as_ref())
    );
    assert_eq!(reply.headers()["a"], "b");
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_refused_announced_or_not() {
    let announced = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody!", false).await;
    assert_eq!(
        send(announced, LONG, 4).await.unwrap_err(),
        TransportError::TooLarge
    );
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n1\r\n!\r\n";
    let chunked = server(head, false).await;
    // The end of the body never comes, so it must be refused before.
    assert_eq!(
        send(chunked, LONG, 4).await.unwrap_err(),
        TransportError::TooLarge
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let address = server(
        b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        true,
    )
    .await;
    assert_eq!(send(address, LONG, 4).await.unwrap().status().as_u16(), 307);
}

#[tokio::test]
async fn silence_is_a_timeout_in_the_head_and_in_the_body() {
    let short = Duration::from_millis(50);
    let head = server(b"", false).await;
    assert_eq!(
        send(head, short, 4).await.unwrap_err(),
        TransportError::Timeout
    );
    let body = server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo", false).await;
    assert_eq!(
        send(body, short, 4).await.unwrap_err(),
        TransportError::Timeout
    );
}

#[tokio::test]
async fn a_cut_reply_is_broken_and_no_server_is_no_connection() {
    let cut = server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo", true).await;
    assert_eq!(
        send(cut, LONG, 4).await.unwrap_err(),
        TransportError::Broken
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(
        send(nobody, LONG, 4).await.unwrap_err(),
        TransportError::Connect
    );
}

#[test]
fn random_numbers_differ_and_keep_their_range() {
    let transport = ReqwestTransport::new().unwrap();
    let numbers: Vec<f64> = (0..100).map(|_| transport.random()).collect();
    assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
    assert!(
        numbers.iter().any(|number| *number < 0.5) && numbers.iter().any(|number| *number > 0.5)
    );
}
