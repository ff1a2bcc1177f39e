//! A server of HTTP/1.1 that goes wrong as it is told: in front of another one, or by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// A request, as a fault sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many came before it.
    pub number: usize,
    /// `GET /path`
    pub target: String,
    /// The value of `Authorization`.
    pub authorization: String,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

impl Seen {
    /// The name of the command that it brings to a store.
    pub fn command(&self) -> &str {
        self.body[0].as_str().unwrap_or_default()
    }
}

/// What happens to a request.
pub enum Fault {
    /// It is passed on, after so long.
    Slow(Duration),
    /// The connection breaks.
    Reset,
    /// It is answered here.
    Answer(u16, String),
    /// It is passed on with another body.
    Instead(Value),
    /// It is passed on to the server of this number.
    To(usize),
    /// This body is passed on before it, as a request of its own.
    After(Value),
    /// The answer is changed.
    Changed(fn(&mut Value)),
}

/// Passed on as it is.
pub const NONE: Fault = Fault::Slow(Duration::ZERO);

/// A running proxy. It ends with this value.
pub struct Proxy {
    url: String,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of these servers, of which the first one gets what is passed on.
    pub async fn start(
        servers: &[&str],
        fault: impl Fn(&Seen) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let shared = Arc::new((servers, fault, AtomicUsize::new(0)));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let (servers, fault, count) = &*shared;
                    serve(stream, servers, fault, count).await
                });
            }
        });
        Self { url, task }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Speaks TLS as `localhost`, and passes all on to a server on this machine. Returns its port, and
/// its certificate in PEM, which nobody else has signed.
pub async fn tls_before(server: u16) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Those that do not accept the certificate go.
                let Ok(mut inside) = acceptor.accept(stream).await else {
                    return;
                };
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut server).await;
            });
        }
    });
    (port, made.cert.pem())
}

/// Serves a connection until one of the two is done with it.
async fn serve(
    stream: TcpStream,
    servers: &[String],
    fault: &(impl Fn(&Seen) -> Fault + Sync),
    count: &AtomicUsize,
) -> Option<()> {
    let client = reqwest::Client::new();
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut authorization) = (String::new(), 0, String::new());
        stream.read_line(&mut line).await.ok()?;
        let target = line.rsplit_once(' ')?.0.to_owned();
        loop {
            line.clear();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => authorization = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let seen = Seen {
            number: count.fetch_add(1, Ordering::SeqCst),
            target,
            authorization,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let path = seen.target.split_once(' ')?.1;
        let send = |server: usize, body: Value| {
            let request = client.post(format!("{}{path}", servers[server]));
            let request = request.header("authorization", &seen.authorization);
            async move {
                let answer = request.body(body.to_string()).send().await.unwrap();
                let status = answer.status().as_u16();
                (status, answer.text().await.unwrap())
            }
        };
        let whole = seen.body.clone();
        let (status, text) = match fault(&seen) {
            Fault::Reset => return None,
            Fault::Answer(status, text) => (status, text),
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                send(0, whole).await
            }
            Fault::Instead(other) => send(0, other).await,
            Fault::To(server) => send(server, whole).await,
            Fault::After(first) => {
                send(0, first).await;
                send(0, whole).await
            }
            Fault::Changed(change) => {
                let (status, text) = send(0, whole).await;
                let mut answer: Value = serde_json::from_str(&text).unwrap();
                change(&mut answer);
                (status, answer.to_string())
            }
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
    }
}
