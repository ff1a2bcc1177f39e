//! The first words on a connection to Redis: who we are, which database is meant, and a `PING` by
//! which it is known whether Redis serves us. Without it, a Redis that wants a password looks
//! connected.

use std::io;

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::meaning_of;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls;

use super::endpoint::Endpoint;
use super::replies::{End, Replies};
use super::reply::Reply;
use super::wire::Command;

/// Why there is no connection that serves. The texts name neither address nor password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoConnection {
    /// Nothing answers there, or not yet: what was met, and what may be the reason.
    Unreachable(String),
    /// Redis answers, and serves nobody by these settings: what is wrong, and what to do.
    Refused(String),
}

/// A connection on which Redis has answered.
pub struct Greeted {
    /// The connection.
    pub replies: Replies,
    /// What Redis says it cannot do now, though it is connected: that it still loads, or cannot
    /// save.
    pub warning: Option<String>,
}

/// Connects, and takes until `deadline` at most.
pub async fn connect(endpoint: &Endpoint, deadline: Instant) -> Result<Greeted, NoConnection> {
    let unreachable = |text: &str| NoConnection::Unreachable(text.to_owned());
    let stream = timeout_at(deadline, endpoint.open()).await;
    let stream = stream
        .map_err(|_| unreachable("no connection in time"))?
        .map_err(|error| NoConnection::Unreachable(error.to_string()))?;
    let stream = timeout_at(deadline, endpoint.secure(stream)).await;
    let stream = stream
        .map_err(|_| unreachable(NO_TLS))?
        .map_err(|error| tls_failure(&error))?;
    let greeted = timeout_at(deadline, greet(endpoint, Replies::new(stream))).await;
    greeted.unwrap_or_else(|_| Err(unreachable("it does not answer in time")))
}

async fn greet(endpoint: &Endpoint, mut replies: Replies) -> Result<Greeted, NoConnection> {
    let mut commands = credentials(endpoint);
    let wanted = commands.len();
    commands.push(vec![b"PING".to_vec()]);
    // One that has said why and hung up may not take it; what it said can still be read.
    let _ = replies.send(&commands).await;
    for _ in 0..wanted {
        if let Reply::Error(text) = next(endpoint, &mut replies).await? {
            let error = meaning_of(&text, None);
            let why = error.detail().to_owned();
            return Err(match error.kind() {
                ErrorKind::Server => NoConnection::Unreachable(why),
                _ => NoConnection::Refused(why),
            });
        }
    }
    let mut warning = None;
    if let Reply::Error(text) = next(endpoint, &mut replies).await? {
        let error = meaning_of(&text, None);
        match error.kind() {
            ErrorKind::Config => return Err(NoConnection::Refused(error.detail().to_owned())),
            // A user who may not say PING is let in all the same.
            ErrorKind::Forbidden => {}
            _ => warning = Some(error.detail().to_owned()),
        }
    }
    Ok(Greeted { replies, warning })
}

async fn next(endpoint: &Endpoint, replies: &mut Replies) -> Result<Reply, NoConnection> {
    replies.next().await.map_err(|end| match end {
        End::Gone if endpoint.is_plain_tcp() => NoConnection::Unreachable(MAYBE_TLS.into()),
        End::Gone => NoConnection::Unreachable(HUNG_UP.into()),
        // The first bytes of a TLS alert.
        End::Garbled([0x15, 0x03]) => NoConnection::Refused(IS_TLS.into()),
        End::Garbled(_) => NoConnection::Unreachable(NOT_REDIS.into()),
    })
}

/// AUTH and SELECT, where they are needed.
fn credentials(endpoint: &Endpoint) -> Vec<Command> {
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
fn tls_failure(error: &io::Error) -> NoConnection {
    use rustls::Error;
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(_)) => NoConnection::Refused(CERTIFICATE.into()),
        Some(Error::InvalidMessage(_)) => NoConnection::Refused(NOT_TLS.into()),
        Some(_) => NoConnection::Unreachable("the TLS handshake failed".into()),
        None => {
            NoConnection::Unreachable(format!("the TLS handshake broke off ({})", error.kind()))
        }
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
