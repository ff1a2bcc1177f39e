//! The address of Redis, and the connection to it: TCP, TLS or a Unix socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// The address of a Redis server and its credentials, which are never shown.
pub struct Endpoint {
    address: Address,
    settings: RedisConnectionInfo,
}

/// A stream to Redis over any of these connections.
pub type Stream = Box<dyn Duplex>;

/// The traits of a stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

enum Address {
    Tcp {
        host: String,
        port: u16,
    },
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
        connector: TlsConnector,
    },
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no such sockets"))]
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads a URL. The error never quotes it, because it may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (secure, plain) = match url.split_once("://") {
            Some(("rediss" | "valkeys", rest)) => (true, format!("redis://{rest}")),
            _ => (false, url.to_owned()),
        };
        if url.contains("#insecure") {
            return Err("TLS without checking the certificate is not supported; \
                        name the certificate to trust in SSL_CERT_FILE"
                .into());
        }
        let info = plain.into_connection_info().map_err(
            |_| "expected redis://[user:password@]host[:port][/db], rediss://… or unix:///path",
        )?;
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP2)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) if secure => Address::Tls {
                host: host.clone(),
                port: *port,
                name: ServerName::try_from(host.clone())
                    .map_err(|_| "the host's name cannot be in a certificate")?,
                connector: tls()?,
            },
            ConnectionAddr::Tcp(host, port) => Address::Tcp {
                host: host.clone(),
                port: *port,
            },
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err("this kind of address is not supported".into()),
        };
        Ok(Self { address, settings })
    }

    /// User, password and database, which are sent after connecting.
    pub fn settings(&self) -> &RedisConnectionInfo {
        &self.settings
    }

    /// Whether it is reached by TCP without TLS.
    pub fn is_plain_tcp(&self) -> bool {
        matches!(self.address, Address::Tcp { .. })
    }

    /// Opens a stream, without TLS yet. It takes as long as the network does, so the caller has to
    /// bound it.
    pub async fn open(&self) -> io::Result<Stream> {
        match &self.address {
            Address::Tcp { host, port } | Address::Tls { host, port, .. } => {
                Ok(Box::new(tcp(host, *port).await?))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Makes the TLS handshake on it, if there is to be TLS. Bound it, too.
    pub async fn secure(&self, stream: Stream) -> io::Result<Stream> {
        match &self.address {
            Address::Tls {
                name, connector, ..
            } => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
            Address::Tcp { .. } | Address::Unix(_) => Ok(stream),
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TLS with the certificates that the system trusts, or those in the file that `SSL_CERT_FILE`
/// names.
fn tls() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("the system has no trusted certificates; name some in SSL_CERT_FILE".into());
    }
    // The provider is named because there is no default if the build contains two.
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_is_not_quoted() {
        for url in [
            "",
            "redis",
            "http://:secret@host",
            "redis://:secret@",
            "redis://:secret@host/nodb",
            "redis://:secret@host:99999",
            "rediss://:secret@host/#insecure",
        ] {
            let reason = Endpoint::parse(url)
                .err()
                .unwrap_or_else(|| panic!("{url} was read"));
            assert!(!reason.contains("secret"), "{reason}");
        }
    }

    #[test]
    fn urls_of_every_kind_are_read() {
        for url in [
            "redis://127.0.0.1",
            "redis://user:p%40ss@[::1]:6380/3?protocol=resp3",
            "valkey://h",
            "unix:///run/redis.sock",
        ] {
            let endpoint = Endpoint::parse(url).unwrap_or_else(|reason| panic!("{url}: {reason}"));
            assert_eq!(
                endpoint.settings().protocol(),
                ProtocolVersion::RESP2,
                "{url}"
            );
        }
    }
}
