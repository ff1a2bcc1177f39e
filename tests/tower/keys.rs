//! Whom a limit counts.

use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use http::{Request, StatusCode};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::{FromExtension, Header, Key, PeerIp, RateLimitLayer};
use proptest::prelude::*;

use crate::rig::{KEY, MINUTE, get, request};
use crate::wire::Wire;

fn parts(change: impl FnOnce(&mut Request<()>)) -> Parts {
    let mut request = Request::new(());
    change(&mut request);
    request.into_parts().0
}

fn extended(extension: impl Clone + Send + Sync + 'static) -> Parts {
    parts(|request| {
        request.extensions_mut().insert(extension);
    })
}

fn header(name: &'static str, value: &[u8]) -> Parts {
    parts(|request| {
        let value = http::HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().insert(name, value);
    })
}

/// The key of a request, if it has one.
fn key(key: &impl Key, parts: &Parts) -> Option<String> {
    key.key(parts).map(String::from)
}

#[test]
fn a_header_is_a_key_if_it_is_text() {
    let api_key = Header("X-Api-Key");
    assert_eq!(key(&api_key, &header("x-api-key", b"a b")).unwrap(), "a b");
    let umlaut = header("x-api-key", "ü".as_bytes());
    assert_eq!(key(&api_key, &umlaut).unwrap(), "ü");
    assert_eq!(key(&api_key, &header("x-api-key", b"\xff")), None);
    assert_eq!(key(&api_key, &header("x-other", b"a")), None);
    assert_eq!(key(&Header("not a name"), &header("x-api-key", b"a")), None);
}

#[test]
fn an_address_is_found_where_servers_put_it() {
    let peer = PeerIp::v6_prefix(64);
    let socket = |text: &str| -> SocketAddr { text.parse().unwrap() };
    let with = |address: SocketAddr| extended(address);
    let v4 = with(socket("192.0.2.7:80"));
    assert_eq!(key(&peer, &v4).unwrap(), "192.0.2.7");
    let mapped = with(socket("[::ffff:192.0.2.7]:80"));
    assert_eq!(key(&peer, &mapped).unwrap(), "192.0.2.7");
    let v6 = with(socket("[2001:db8:1:2:3::4]:80"));
    assert_eq!(key(&peer, &v6).unwrap(), "2001:db8:1:2::/64");
    assert_eq!(key(&PeerIp::v6_prefix(48), &v6).unwrap(), "2001:db8:1::/48");
    let alone = parts(|r| {
        let ip: IpAddr = [192, 0, 2, 7].into();
        r.extensions_mut().insert(ip);
    });
    assert_eq!(key(&peer, &alone).unwrap(), "192.0.2.7");
    assert_eq!(key(&peer, &parts(|_| {})), None);

    #[derive(Clone)]
    struct Info(Option<SocketAddr>);
    let read = peer.from_extension(|info: &Info| Some(info.0?.ip()));
    let with = |info| extended(Info(info));
    let known = with(Some(socket("192.0.2.7:80")));
    assert_eq!(key(&read, &known).unwrap(), "192.0.2.7");
    assert_eq!(key(&read, &with(None)), None);
    assert_eq!(key(&read, &v4), None);
}

#[cfg(feature = "axum")]
#[test]
fn an_address_is_found_where_axum_puts_it() {
    let address: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
    let info = axum::extract::ConnectInfo(address);
    let parts = extended(info);
    let found = key(&PeerIp::v6_prefix(64), &parts);
    assert_eq!(found.unwrap(), "2001:db8::/64");
}

#[test]
fn behind_proxies_the_address_counts_that_the_first_of_them_has_seen() {
    let forwarded = |lines: &[&[u8]]| {
        parts(|request| {
            for line in lines {
                let line = http::HeaderValue::from_bytes(line).unwrap();
                request.headers_mut().append("x-forwarded-for", line);
            }
        })
    };
    let peer = PeerIp::v6_prefix(64);
    for (proxies, lines, expected) in [
        (1, vec![&b"192.0.2.7"[..]], Some("192.0.2.7")),
        (1, vec![b"6.6.6.6, 192.0.2.7"], Some("192.0.2.7")),
        (1, vec![b"6.6.6.6", b"192.0.2.7"], Some("192.0.2.7")),
        (2, vec![b"6.6.6.6, 192.0.2.7,10.0.0.1"], Some("192.0.2.7")),
        (
            2,
            vec![b"6.6.6.6, 192.0.2.7", b"10.0.0.1"],
            Some("192.0.2.7"),
        ),
        (2, vec![b"\xff\xff, 192.0.2.7, 10.0.0.1"], Some("192.0.2.7")),
        (1, vec![b"[2001:db8::1]:4711"], Some("2001:db8::/64")),
        (2, vec![b"10.0.0.1"], None),
        (1, vec![b"192.0.2.7, "], None),
        (1, vec![b"unknown"], None),
        (1, vec![], None),
    ] {
        let parts = forwarded(&lines);
        let found = key(&peer.clone().behind_proxies(proxies), &parts);
        assert_eq!(found.as_deref(), expected, "{proxies} {lines:?}");
    }
    let mut direct = forwarded(&[b"6.6.6.6"]);
    let address: SocketAddr = "192.0.2.7:80".parse().unwrap();
    direct.extensions.insert(address);
    let found = key(&peer.clone().behind_proxies(0), &direct);
    assert_eq!(found.unwrap(), "192.0.2.7");

    let named = peer.from_header("cf-connecting-ip");
    let parts = |value: &[u8]| header("cf-connecting-ip", value);
    assert_eq!(key(&named, &parts(b"192.0.2.7")).unwrap(), "192.0.2.7");
    assert_eq!(key(&named, &parts(b"192.0.2.7, 6.6.6.6")), None);
}

#[tokio::test]
async fn nobody_takes_the_permits_of_an_address_by_sending_it_as_a_key() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(1, MINUTE));
    let key = KEY.or(PeerIp::v6_prefix(64));
    let layer = RateLimitLayer::new(limiter.clone()).key(key);
    let anonymous = || {
        let mut request = Request::new(String::new());
        let address: SocketAddr = "192.0.2.7:80".parse().unwrap();
        request.extensions_mut().insert(address);
        request
    };
    assert_eq!(
        get(&layer, request("192.0.2.7")).await.status,
        StatusCode::OK
    );
    assert_eq!(get(&layer, anonymous()).await.status, StatusCode::OK);
    assert_eq!(
        get(&layer, anonymous()).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    for subject in ["192.0.2.7", "\n192.0.2.7"] {
        assert_eq!(limiter.peek(subject).await.unwrap().remaining, 0);
    }
}

#[tokio::test]
async fn requests_without_a_key_share_one_quota() {
    let limiter = RateLimiter::local(Wire::new(), Rule::new(2, MINUTE));
    let none = |_: &Parts| None::<String>;
    let empty = FromExtension::new(|text: &String| text.clone());
    let layer = RateLimitLayer::new(limiter.clone()).key(KEY.or(none).or(empty));
    let mut second = request("");
    second.extensions_mut().insert(String::new());
    for request in [Request::new(String::new()), second] {
        assert_eq!(get(&layer, request).await.status, StatusCode::OK);
    }
    let refused = get(&layer, Request::new(String::new())).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(get(&layer, request("a")).await.status, StatusCode::OK);
    assert_eq!(limiter.peek("").await.unwrap().remaining, 0);
}

#[tokio::test]
async fn a_layer_without_a_key_counts_addresses() {
    let limiter = RateLimiter::local(Wire::new(), Rule::new(1, MINUTE));
    let layer = RateLimitLayer::new(limiter);
    for (address, expected) in [
        ("192.0.2.7:1", StatusCode::OK),
        ("192.0.2.8:1", StatusCode::OK),
        ("192.0.2.7:2", StatusCode::TOO_MANY_REQUESTS),
    ] {
        let mut request = Request::new(String::new());
        let address: SocketAddr = address.parse().unwrap();
        request.extensions_mut().insert(address);
        assert_eq!(get(&layer, request).await.status, expected);
    }
}

/// Places where a key can be, with what is in them: nothing, an empty text, or text.
fn places() -> impl Strategy<Value = Vec<Option<String>>> {
    proptest::collection::vec(proptest::option::of("[ab]{0,2}|\u{fc}"), 4)
}

fn request_with(places: &[Option<String>]) -> Parts {
    parts(|request| {
        for (name, value) in ["x-a", "x-b", "x-c"].iter().zip(places) {
            if let Some(value) = value {
                let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
                request.headers_mut().insert(*name, value);
            }
        }
        if let Some(text) = &places[3] {
            request.extensions_mut().insert(text.clone());
        }
    })
}

proptest! {
    /// Two requests have one subject only if they have it of the same place.
    #[test]
    fn a_subject_tells_its_text_and_its_place(one in places(), other in places()) {
        let extension = || FromExtension::new(|text: &String| text.clone());
        let flat = Header("x-a").or(Header("x-b")).or(Header("x-c")).or(extension());
        let nested = Header("x-a").or(Header("x-b").or(Header("x-c").or(extension())));
        let pairs = (Header("x-a").or(Header("x-b"))).or(Header("x-c").or(extension()));
        let found = |places: &[Option<String>]| {
            let texts = places.iter().enumerate();
            let mut texts = texts.filter_map(|(n, text)| Some((n, text.clone()?)));
            texts.find(|(_, text)| !text.is_empty())
        };
        let told = |places: &[Option<String>]| key(&flat, &request_with(places));
        prop_assert_eq!(found(&one) == found(&other), told(&one) == told(&other));
        let expected = found(&one).map(|(n, text)| "\n".repeat(n) + &text);
        prop_assert_eq!(&told(&one), &expected);
        prop_assert_eq!(key(&nested, &request_with(&one)), expected.clone());
        prop_assert_eq!(key(&pairs, &request_with(&one)), expected);
    }
}
