//! TLS: `rediss://`, with certificates that are checked.

use std::net::SocketAddr;
use std::process::Command as Program;
use std::sync::Arc;

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{TcpClient, TcpOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, pki_types::CertificateDer};

use crate::common::redis::RedisServer;
use crate::common::{PATIENCE, TempDir};
use crate::{get, incr, servers};

/// Where the parent has put the certificate and its key for the child.
const FOLDER: &str = "OMNITRADE_TEST_CERTIFICATE";

/// Runs itself once more, since a process learns at its start which certificates to trust.
#[test]
fn redis_is_reached_by_tls_if_its_certificate_is_trusted_and_its_own() {
    let Ok(folder) = std::env::var(FOLDER) else {
        let folder = TempDir::new();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("pem"), made.cert.pem()).unwrap();
        std::fs::write(path("certificate"), made.cert.der()).unwrap();
        std::fs::write(path("key"), made.signing_key.serialize_der()).unwrap();
        let test = "tls::redis_is_reached_by_tls_if_its_certificate_is_trusted_and_its_own";
        let output = Program::new(std::env::current_exe().unwrap())
            .args([test, "--exact"])
            .env(FOLDER, folder.path())
            .env("SSL_CERT_FILE", path("pem"))
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("1 passed"), "{output:?}");
        return;
    };
    let read = |name: &str| std::fs::read(format!("{folder}/{name}")).unwrap();
    let certificate = CertificateDer::from(read("certificate"));
    let key = PrivatePkcs8KeyDer::from(read("key"));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for server in servers() {
            let front = tls_before(&server, config.clone()).await;
            through(&server, front.port()).await;
        }
    });
}

async fn through(server: &RedisServer, port: u16) {
    let at = |url: String| TcpClient::new(TcpOptions::new(url).timeout(PATIENCE)).unwrap();
    let redis = at(format!("rediss://localhost:{port}"));
    assert_eq!(redis.command_as::<i64>(&incr("n")).await, Ok(1));
    assert_eq!(redis.command_as::<i64>(&get("n")).await, Ok(1));

    for (url, remedy) in [
        (format!("rediss://127.0.0.1:{port}"), "SSL_CERT_FILE"),
        (format!("redis://localhost:{port}"), "rediss://"),
    ] {
        let error = at(url).command(&incr("n")).await.unwrap_err();
        assert!(
            !error.may_have_run() && error.to_string().contains(remedy),
            "{error}"
        );
    }
    let plain = TcpOptions::new(server.url().replace("redis://", "rediss://"));
    let plain = TcpClient::new(plain).unwrap();
    let error = plain.command(&incr("n")).await.unwrap_err();
    // Redis keeps silent on a handshake, or refuses it in its own protocol.
    let kinds = [
        ErrorKind::Timeout,
        ErrorKind::Unreachable,
        ErrorKind::Config,
    ];
    assert!(
        kinds.contains(&error.kind()) && !error.may_have_run(),
        "{error}"
    );
    assert_eq!(redis.command_as::<i64>(&get("n")).await, Ok(1));
}

/// A server that speaks TLS and passes all on to a Redis.
async fn tls_before(server: &RedisServer, config: ServerConfig) -> SocketAddr {
    let redis = server.port();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Those that do not accept the certificate go.
                let Ok(mut inside) = acceptor.accept(stream).await else {
                    return;
                };
                let mut redis = TcpStream::connect(("127.0.0.1", redis)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut redis).await;
            });
        }
    });
    address
}
