//! Subjects: whom a limit counts. A subject is an address or a digest of an API key, never the key
//! itself.

use std::net::{IpAddr, Ipv6Addr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The subject of all clients whose address is unknown. They share it, so that none of them is
/// unlimited.
pub const UNKNOWN_ADDRESS: &str = "unknown";

/// The subject of a client's address.
///
/// An IPv6 client usually has a whole network, so IPv6 addresses count by their first `ipv6_prefix`
/// bits. An IPv4 address written as IPv6 counts as the IPv4 address. A text that is not an address
/// gives [`UNKNOWN_ADDRESS`].
///
/// ```
/// # use omnitrade_edge::engine::subject::of_address;
/// assert_eq!(of_address("192.0.2.7", 64), "192.0.2.7");
/// assert_eq!(of_address("::ffff:192.0.2.7", 64), "192.0.2.7");
/// assert_eq!(of_address("2001:db8:1:2:3:4:5:6", 64), "2001:db8:1:2::/64");
/// assert_eq!(of_address("192.0.2.7, 10.0.0.1", 64), "unknown");
/// ```
pub fn of_address(text: &str, ipv6_prefix: u8) -> String {
    match address(text) {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => {
            let kept = u32::from(ipv6_prefix.min(128));
            let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
            format!("{}/{kept}", Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
        None => UNKNOWN_ADDRESS.to_owned(),
    }
}

/// Parses a client's address. `None` if the text is not an address.
pub fn address(text: &str) -> Option<IpAddr> {
    let ip = text.trim().parse::<IpAddr>().ok()?;
    Some(ip.to_canonical())
}

/// The subject of an API key: the first 128 bits of an HMAC-SHA-256 of the key, in hexadecimal.
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
    digest(key, domain, 16)
}

/// A name for the state under `key` that may be shown to the client: the first 64 bits of an
/// HMAC-SHA-256 of `key`, in hexadecimal. The name is the same in all isolates and at all times,
/// and it reveals neither the subject nor the key.
///
/// ```
/// # use omnitrade_edge::engine::subject::partition;
/// let name = partition("ot:l:per-ip:192.0.2.7");
/// assert_eq!((name.len(), &name), (16, &partition("ot:l:per-ip:192.0.2.7")));
/// assert_ne!(name, partition("ot:l:per-client:192.0.2.7"));
/// ```
pub fn partition(key: &str) -> String {
    digest(key, "omnitrade-edge:1:partition", 8)
}

/// The first `bytes` bytes of an HMAC-SHA-256 of `text`, in hexadecimal.
fn digest(text: &str, domain: &str, bytes: usize) -> String {
    // HMAC accepts keys of any length, so this error cannot occur. The value returned here would
    // reveal nothing either.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(domain.as_bytes()) else {
        return UNKNOWN_ADDRESS.to_owned();
    };
    mac.update(text.as_bytes());
    hex(mac.finalize().into_bytes().iter().take(bytes))
}

/// The HMAC domain of a deployment's digests. The prefix of its keys in Redis identifies the
/// deployment.
///
/// The gate and the command line must use the same domain, and no release may change it: all
/// registered keys would become unknown.
pub fn domain(prefix: &str) -> String {
    format!("omnitrade-edge:1:{prefix}")
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    use std::fmt::Write as _;
    bytes.fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
    fn what_is_no_address_shares_one_subject() {
        for text in ["", "x", "1.2.3", "1.2.3.4.5", "::g", "1.2.3.4:80", "[::1]"] {
            assert_eq!(of_address(text, 64), UNKNOWN_ADDRESS, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_subject_is_short_and_fit_for_a_key(text in ".*", prefix in 0_u8..=255) {
            let subject = of_address(&text, prefix);
            prop_assert!(subject.len() <= 43);
            prop_assert!(subject.bytes().all(|b| b.is_ascii_graphic()));
        }

        #[test]
        fn one_network_is_one_subject(bits: u128, other: u64) {
            let ip = Ipv6Addr::from_bits(bits | 1 << 127);
            let near = Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX) | u128::from(other));
            prop_assert_eq!(of_address(&ip.to_string(), 64), of_address(&near.to_string(), 64));
        }
    }
}
