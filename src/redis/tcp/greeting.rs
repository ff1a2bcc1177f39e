//! The first words on a connection to Redis: who we are, which database is meant, and a `PING` by
//! which it is known whether Redis serves us. Without it, a Redis that wants a password looks
//! connected.

use std::borrow::Cow;
use std::io;

use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls;

use super::super::failure::from_text;
use super::endpoint::{Endpoint, Stream};
use super::replies::{End, Replies};
use super::reply::Reply;
use crate::error::{Error, ErrorKind};

/// A connection on which Redis has answered.
pub struct Greeted {
    /// The connection.
    pub replies: Replies,
    /// What Redis says it cannot do now, though it is connected: that it still loads, or cannot
    /// save.
    pub warning: Option<String>,
}

/// Connects, and takes until `deadline` at most. `watched` wraps the stream that Redis answers on,
/// and no reply on it may have more than `most` bytes.
///
/// # Errors
///
/// Why there is no connection that serves, with neither address nor password. Nothing was carried
/// out.
pub async fn connect(
    endpoint: &Endpoint,
    deadline: Instant,
    watched: impl FnOnce(Stream) -> Stream,
    most: usize,
) -> Result<Greeted, Error> {
    let stream = timeout_at(deadline, endpoint.open()).await;
    let stream = stream
        .map_err(|_| unreachable("no connection in time"))?
        .map_err(|error| unreachable(error.to_string()))?;
    let stream = timeout_at(deadline, endpoint.secure(stream)).await;
    let stream = stream
        .map_err(|_| unreachable(NO_TLS))?
        .map_err(|error| tls_failure(&error))?;
    let replies = Replies::new(watched(stream), most);
    let greeted = timeout_at(deadline, greet(endpoint, replies)).await;
    greeted.unwrap_or_else(|_| Err(unreachable("it does not answer in time")))
}

async fn greet(endpoint: &Endpoint, mut replies: Replies) -> Result<Greeted, Error> {
    let mut commands = credentials(endpoint);
    let wanted = commands.len();
    commands.push(vec![b"PING".to_vec()]);
    // One that has said why and hung up may not take it; what it said can still be read.
    let _ = replies.send(&commands).await;
    for _ in 0..wanted {
        if let Reply::Error(text) = next(endpoint, &mut replies).await? {
            return Err(refusal(&from_text(&text, None)));
        }
    }
    let mut warning = None;
    if let Reply::Error(text) = next(endpoint, &mut replies).await? {
        let error = from_text(&text, None);
        match error.kind() {
            ErrorKind::Config => return Err(refusal(&error)),
            // A user who may not say PING is let in all the same.
            ErrorKind::Forbidden => {}
            _ => warning = Some(error.detail().to_owned()),
        }
    }
    Ok(Greeted { replies, warning })
}

async fn next(endpoint: &Endpoint, replies: &mut Replies) -> Result<Reply, Error> {
    replies.next().await.map_err(|end| match end {
        End::Gone if endpoint.is_plain_tcp() => unreachable(MAYBE_TLS),
        End::Gone => unreachable(HUNG_UP),
        // The first bytes of a TLS alert.
        End::Garbled([0x15, 0x03]) => config(IS_TLS),
        End::Garbled(_) => Error::new(ErrorKind::Protocol, false, NOT_REDIS),
    })
}

/// Why Redis lets nobody in by these settings. Of a refused command it is of no use to name the
/// command: the caller has not sent it.
fn refusal(error: &Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Server => ErrorKind::Server,
        _ => ErrorKind::Config,
    };
    Error::new(kind, false, error.detail().to_owned())
}

fn unreachable(detail: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Unreachable, false, detail)
}

fn config(detail: &'static str) -> Error {
    Error::new(ErrorKind::Config, false, detail)
}

/// AUTH and SELECT, where they are needed.
fn credentials(endpoint: &Endpoint) -> Vec<Vec<Vec<u8>>> {
    let settings = endpoint.settings();
    let mut commands = Vec::new();
    if let Some(password) = settings.password() {
        let mut auth = vec![b"AUTH".to_vec()];
        auth.extend(settings.username().map(|user| user.as_bytes().to_vec()));
        auth.push(password.as_bytes().to_vec());
        commands.push(auth);
    }
    if settings.db() != 0 {
        commands.push(vec![
            b"SELECT".to_vec(),
            settings.db().to_string().into_bytes(),
        ]);
    }
    commands
}

/// What a TLS handshake that failed says. The library's own text may hold names.
fn tls_failure(error: &io::Error) -> Error {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => config(CERTIFICATE),
        Some(rustls::Error::InvalidMessage(_)) => config(NOT_TLS),
        Some(_) => unreachable("the TLS handshake failed"),
        None => unreachable(format!("the TLS handshake broke off ({})", error.kind())),
    }
}

const IS_TLS: &str = "its port speaks TLS: write `rediss://` in place of `redis://`";
const MAYBE_TLS: &str = "it hung up without an answer: is there a Redis behind it, and if its port speaks \
                         TLS, does the address begin with `rediss://`?";
const HUNG_UP: &str = "it hung up without an answer: is there a Redis behind it?";
const NOT_TLS: &str = "its port does not speak TLS: write `redis://` in place of `rediss://`";
const NO_TLS: &str = "no TLS handshake in time: if its port does not speak TLS, write `redis://` in place \
                      of `rediss://`";
const NOT_REDIS: &str = "what answers there is not Redis: check host and port";
const CERTIFICATE: &str = "its certificate is not trusted here, or is for another name: name the authority \
                           in SSL_CERT_FILE, or the host as the certificate does";
