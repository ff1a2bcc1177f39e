//! The address of the client, as a key.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::request::Parts;
use http::{Extensions, HeaderMap};

use crate::engine::subject::{address, of_address};

use super::key::{Key, Or};

/// The address from which a request comes.
///
/// It is found where the server puts it, in the extensions of the request: as `SocketAddr` or
/// `IpAddr`, or, with the feature `axum`, as axum's `ConnectInfo<SocketAddr>`, if the program
/// serves by `into_make_service_with_connect_info::<SocketAddr>()`. For others there is
/// [`from_extension`](Self::from_extension). Behind a proxy, it is the address of the proxy: see
/// [`behind_proxies`](Self::behind_proxies) and [`from_header`](Self::from_header).
///
/// The key of an IPv4 address is the address; that of an IPv6 address is its network, such as
/// `2001:db8:1:2::/64`.
#[derive(Clone)]
pub struct PeerIp {
    v6_prefix: u8,
    place: Place,
}

/// Where the address is.
#[derive(Clone)]
enum Place {
    /// Where servers put it.
    Usual,
    /// In an extension of a server that is not known here.
    Extension(Arc<Read>),
    /// In a header, alone.
    Header(&'static str),
    /// In `X-Forwarded-For`, so many from the end.
    Forwarded(usize),
}

type Read = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

impl PeerIp {
    /// The whole IPv4 address, or the first `bits` bits of the IPv6 address: 64 are usually one
    /// client.
    pub const fn v6_prefix(bits: u8) -> Self {
        Self {
            v6_prefix: bits,
            place: Place::Usual,
        }
    }

    /// Takes the address from an extension of another type.
    ///
    /// ```
    /// use omnitrade_edge::tower::PeerIp;
    /// # use std::net::SocketAddr;
    /// # #[derive(Clone)]
    /// # struct TcpConnectInfo;
    /// # impl TcpConnectInfo { fn remote_addr(&self) -> Option<SocketAddr> { None } }
    ///
    /// // Under tonic, whose type this is:
    /// let key = PeerIp::v6_prefix(64)
    ///     .from_extension(|info: &TcpConnectInfo| Some(info.remote_addr()?.ip()));
    /// ```
    #[must_use]
    pub fn from_extension<T: Send + Sync + 'static>(
        self,
        read: impl Fn(&T) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        let read = move |extensions: &Extensions| read(extensions.get::<T>()?);
        Self {
            place: Place::Extension(Arc::new(read)),
            ..self
        }
    }

    /// Takes the address from `X-Forwarded-For`, for a service that is reached only by way of so
    /// many proxies, each of which appends the address from which it was called. With one proxy
    /// the last address in the header counts, and clients cannot forge it.
    ///
    /// A request with fewer addresses than proxies, or with something else in that place, has no
    /// key. With zero proxies, the address of the peer counts.
    #[must_use]
    pub fn behind_proxies(self, proxies: usize) -> Self {
        let place = match proxies {
            0 => Place::Usual,
            _ => Place::Forwarded(proxies),
        };
        Self { place, ..self }
    }

    /// Takes the address from a header that holds nothing else and that a proxy always sets, such
    /// as `cf-connecting-ip` or `x-real-ip`. If clients can reach the service without the proxy,
    /// they can forge it.
    #[must_use]
    pub fn from_header(self, name: &'static str) -> Self {
        let place = Place::Header(name);
        Self { place, ..self }
    }

    /// The address, and `other` for requests of which it is not known.
    pub fn or<K: Key>(self, other: K) -> Or<Self, K> {
        Or::new(self, other)
    }

    fn address(&self, parts: &Parts) -> Option<IpAddr> {
        match &self.place {
            Place::Usual => usual(&parts.extensions),
            Place::Extension(read) => read(&parts.extensions),
            Place::Header(name) => address(parts.headers.get(*name)?.to_str().ok()?),
            Place::Forwarded(proxies) => forwarded(&parts.headers, *proxies),
        }
    }
}

impl Key for PeerIp {
    fn key<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>> {
        let address = self.address(parts)?.to_canonical();
        Some(Cow::Owned(of_address(address, self.v6_prefix)))
    }
}

impl fmt::Debug for PeerIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place: &dyn fmt::Debug = match &self.place {
            Place::Usual => &"peer",
            Place::Extension(_) => &"extension",
            Place::Header(name) => name,
            Place::Forwarded(proxies) => proxies,
        };
        f.debug_struct("PeerIp")
            .field("v6_prefix", &self.v6_prefix)
            .field("place", place)
            .finish()
    }
}

fn usual(extensions: &Extensions) -> Option<IpAddr> {
    #[cfg(all(feature = "axum", not(target_arch = "wasm32")))]
    if let Some(info) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0.ip());
    }
    let socket = extensions.get::<SocketAddr>().map(SocketAddr::ip);
    socket.or_else(|| extensions.get::<IpAddr>().copied())
}

/// The address that the first of so many proxies has appended. All lines of the header are one
/// list.
fn forwarded(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let mut before = proxies.checked_sub(1)?;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        // What a client has put in front may be anything.
        let line = String::from_utf8_lossy(line.as_bytes());
        for text in line.rsplit(',') {
            match before {
                0 => return address(text),
                _ => before -= 1,
            }
        }
    }
    None
}
