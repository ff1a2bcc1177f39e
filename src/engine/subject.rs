//! Subjects: whom a limit counts. A subject is an address or a digest of an API key, never the key
//! itself.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The subject of all clients whose address is unknown. They share it, so that none of them is
/// unlimited.
pub const UNKNOWN_ADDRESS: &str = "unknown";

/// The subject of a client's address.
///
/// An IPv6 client usually has a whole network, so IPv6 addresses count by their first `ipv6_prefix`
/// bits. An IPv4 address written as IPv6 counts as the IPv4 address.
///
/// ```
/// # use omnitrade_edge::engine::subject::{address, of_address};
/// let subject = |text| of_address(address(text).unwrap(), 64);
/// assert_eq!(subject("192.0.2.7"), "192.0.2.7");
/// assert_eq!(subject("::ffff:192.0.2.7"), "192.0.2.7");
/// assert_eq!(subject("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
/// ```
pub fn of_address(address: IpAddr, ipv6_prefix: u8) -> String {
    match address {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let kept = u32::from(ipv6_prefix.min(128));
            let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
            format!("{}/{kept}", Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

/// The subject of a client by the header that should hold its address, and whether the header is
/// there but does not hold one: then, and if it is absent, the subject is [`UNKNOWN_ADDRESS`].
///
/// ```
/// # use omnitrade_edge::engine::subject::of_header;
/// assert_eq!(of_header(Some("192.0.2.7:80"), 64), ("192.0.2.7".to_owned(), false));
/// assert_eq!(of_header(Some("192.0.2.7, 10.0.0.1"), 64), ("unknown".to_owned(), true));
/// assert_eq!(of_header(None, 64), ("unknown".to_owned(), false));
/// ```
pub fn of_header(text: Option<&str>, ipv6_prefix: u8) -> (String, bool) {
    match text.and_then(address) {
        Some(ip) => (of_address(ip, ipv6_prefix), false),
        None => (UNKNOWN_ADDRESS.to_owned(), text.is_some()),
    }
}

/// Parses a client's address as proxies write it into a header: alone or with a port; an IPv6
/// address with or without brackets, which it must have before a port, and with or without a zone
/// (RFC 4007 §11; after `%25` as in the URLs of RFC 6874). Port and zone are left off, because they
/// do not identify a client.
///
/// `None` if the text is not one address. A list of addresses is not: nothing says which of them is
/// the client's.
///
/// ```
/// # use omnitrade_edge::engine::subject::address;
/// assert_eq!(address("192.0.2.7:4711"), address("192.0.2.7"));
/// assert_eq!(address("[fe80::1%eth0]:4711"), address("fe80::1"));
/// assert_eq!(address("192.0.2.7, 10.0.0.1"), None);
/// ```
pub fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let ip = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            let alone = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
            alone.then(|| v6(host))?
        }
        None => match text.split_once(':') {
            Some((host, port)) if is_port(port) && host.contains('.') => {
                host.parse().ok().map(IpAddr::V4)
            }
            Some(_) => v6(text),
            None => text.parse().ok(),
        },
    };
    ip.map(|ip| ip.to_canonical())
}

/// An IPv6 address, with or without a zone.
fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) => {
            let zone = zone.strip_prefix("25").unwrap_or(zone);
            // The name or the number of an interface; `25` may also be the number.
            let fit = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            (text.len() > address.len() + 1 && zone.bytes().all(fit)).then_some(address)?
        }
        None => text,
    };
    address.parse().ok().map(IpAddr::V6)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// HMACs with one key, which is prepared once: each digest starts from it.
#[derive(Clone)]
pub struct Digests(Option<Hmac<Sha256>>);

impl Digests {
    /// The digests with this key: a [`domain`], or a secret.
    pub fn new(key: &str) -> Self {
        // HMAC accepts keys of any length, so there always is one.
        Self(Hmac::new_from_slice(key.as_bytes()).ok())
    }

    /// As [`of_api_key`].
    pub fn of_api_key(&self, key: &str) -> String {
        self.digest(key, 16)
    }

    /// The first `bytes` bytes of an HMAC-SHA-256 of `text`, in hexadecimal.
    pub fn digest(&self, text: &str, bytes: usize) -> String {
        // What is returned otherwise would reveal nothing either.
        let Some(mut mac) = self.0.clone() else {
            return UNKNOWN_ADDRESS.to_owned();
        };
        mac.update(text.as_bytes());
        hex(mac.finalize().into_bytes().iter().take(bytes))
    }
}

/// Does not show the key.
impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests").finish_non_exhaustive()
    }
}

/// The subject of an API key where there is no secret: the first 128 bits of an HMAC-SHA-256 of the
/// key, in hexadecimal.
///
/// `domain` separates the digests of different deployments: see [`domain`].
///
/// ```
/// # use omnitrade_edge::engine::subject::{domain, of_api_key};
/// let digest = of_api_key("ote_example", &domain("ot"));
/// assert_eq!(digest.len(), 32);
/// assert_ne!(digest, of_api_key("ote_example", &domain("staging")));
/// ```
pub fn of_api_key(key: &str, domain: &str) -> String {
    Digests::new(domain).of_api_key(key)
}

/// The HMAC domain of a deployment's digests. The prefix of its keys in Redis identifies the
/// deployment.
///
/// The gate and the command line must use the same domain, and no release may change it: all
/// registered keys would become unknown.
pub fn domain(prefix: &str) -> String {
    format!("omnitrade-edge:1:{prefix}")
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    let digit = |half: u8| {
        if half < 10 {
            b'0' + half
        } else {
            b'a' - 10 + half
        }
    };
    let mut text = Vec::with_capacity(64);
    for byte in bytes {
        text.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    // All of it is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_not_in_its_subject() {
        let subject = of_api_key("secret", "ot");
        assert_eq!(subject.len(), 32);
        assert!(!subject.contains("secret"));
        assert_ne!(subject, of_api_key("secret", "other"));
        assert_ne!(subject, of_api_key("secret2", "ot"));
    }

    #[test]
    fn digests_stay_what_they_were() {
        assert_eq!(domain("ot"), "omnitrade-edge:1:ot");
        assert_eq!(
            of_api_key("secret", &domain("ot")),
            "9916b4a1f196e02c204f6fe6771bef6f"
        );
    }

    #[test]
    fn an_address_is_read_as_proxies_write_it() {
        let read = |text: &str| address(text).map(|ip| ip.to_string());
        for (text, expected) in [
            (" 192.0.2.7 ", "192.0.2.7"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("192.0.2.7:65535", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("fe80::1%25eth0", "fe80::1"),
            ("fe80::1%25", "fe80::1"),
            ("[fe80::1%eth0.100]:80", "fe80::1"),
            ("[fe80::1%25en-0]", "fe80::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7%1]:80", "192.0.2.7"),
            // One address, and not one with a port.
            ("::1:80", "::1:80"),
            ("1::80", "1::80"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_single_address_is_none() {
        for text in [
            "",
            "x",
            "unknown",
            "_hidden",
            "localhost",
            "1.2.3",
            "1.2.3.4.5",
            "::g",
            "1.2.3.4,",
            "1.2.3.4, 5.6.7.8",
            "1.2.3.4 5.6.7.8",
            "::1, 1.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:123456",
            "1.2.3.4:+80",
            "1.2.3.4%eth0",
            "[1.2.3.4]",
            "[1.2.3.4]:80",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "[[::1]]",
            "[::1]:80, 1.2.3.4",
            "\"[::1]:80\"",
            "fe80::1%",
            "fe80::1%a b",
            "fe80::1%a,b",
            "%eth0",
            "[]",
            "[]:80",
            ":80",
            "for=1.2.3.4",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_subject_is_short_and_fit_for_a_key(ip: IpAddr, prefix in 0_u8..=255) {
            let subject = of_address(ip, prefix);
            prop_assert!(subject.len() <= 43);
            prop_assert!(subject.bytes().all(|b| b.is_ascii_graphic()));
        }

        #[test]
        fn one_network_is_one_subject(bits: u128, other: u64) {
            let ip = Ipv6Addr::from_bits(bits | 1 << 127);
            let near = Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX) | u128::from(other));
            prop_assert_eq!(of_address(ip.into(), 64), of_address(near.into(), 64));
        }

        #[test]
        fn any_text_is_an_address_or_none(text in "[0-9a-f:.%\\[\\] ,]{0,30}|.*") {
            let _ = address(&text);
        }

        #[test]
        fn a_port_changes_no_address(ip: IpAddr, port: u16) {
            let socket = std::net::SocketAddr::new(ip, port).to_string();
            prop_assert_eq!(address(&socket), Some(ip.to_canonical()), "{}", socket);
            prop_assert_eq!(address(&ip.to_string()), Some(ip.to_canonical()));
        }
    }
}
