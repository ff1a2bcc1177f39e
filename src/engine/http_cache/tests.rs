//! One test for each rule, named after the rule and its section, and properties over arbitrary
//! messages.

mod candle;
mod control;
mod freshness;
mod key;
mod l1;
mod negative;
mod oracle;
mod properties;
mod query;
mod range;
mod reference;
mod reuse;
mod search;
mod storage;
mod tags;
mod validation;
mod variants;
mod version;
mod wire;
mod writing;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::*;
use crate::clock::Timestamp;

/// A whole second, so that `Date` can say it.
const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn headers(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let lines = fields.iter();
    lines
        .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
        .collect()
}

fn date_at(time: Timestamp) -> String {
    http_date(time).unwrap()
}

fn rules() -> CacheRules {
    CacheRules::default()
}

fn ttl(ttl: Duration) -> CacheRules {
    CacheRules {
        ttl: Some(RouteTtl::Fixed(ttl)),
        ..rules()
    }
}

fn overriding(ttl: Duration) -> CacheRules {
    CacheRules {
        ttl: Some(RouteTtl::Fixed(ttl)),
        override_origin: true,
        ..rules()
    }
}

fn key() -> CacheKey {
    let target = Target::of("https://api.example/v1/depth?symbol=BTCUSDT").unwrap();
    CacheKey::new(&target, None, &[], &HeaderMap::new())
}

/// A `GET` and its response, both at [`T0`] unless a test moves them.
#[derive(Debug, Clone)]
struct Case {
    method: Method,
    request: Vec<(String, String)>,
    status: u16,
    response: Vec<(String, String)>,
    request_time: Timestamp,
    response_time: Timestamp,
}

impl Case {
    fn new(response: &[(&str, &str)]) -> Self {
        Self {
            method: Method::GET,
            request: Vec::new(),
            status: 200,
            response: headers(response),
            request_time: T0,
            response_time: T0,
        }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn request(self, request: &[(&str, &str)]) -> Self {
        Self {
            request: headers(request),
            ..self
        }
    }

    fn exchange(&self) -> Exchange<'_, Vec<(String, String)>> {
        Exchange {
            method: &self.method,
            request: &self.request,
            status: StatusCode::from_u16(self.status).unwrap(),
            response: &self.response,
            request_time: self.request_time,
            response_time: self.response_time,
        }
    }

    fn meta(&self) -> Meta {
        Meta::from_response(&self.exchange(), &key(), BodyCoding::Decoded, &rules())
    }

    fn store(&self, rules: &CacheRules) -> Result<(), WhyNot> {
        may_store(&self.exchange(), rules)
    }

    fn freshness(&self, rules: &CacheRules) -> Freshness {
        self.meta().freshness(rules)
    }

    /// How it may be used for a request with these headers, this long after [`T0`].
    fn later(&self, request: &[(&str, &str)], rules: &CacheRules, after: Duration) -> Use {
        let request = headers(request);
        let asked = RequestDirectives::of(&request);
        let meta = self.meta();
        evaluate(&meta, &meta.freshness(rules), &request, &asked, T0 + after)
    }
}

fn is_fresh(use_: Use) -> bool {
    matches!(use_, Use::Fresh { .. })
}

fn is_served_stale(use_: Use) -> bool {
    matches!(use_, Use::StaleWhileRevalidate { .. })
}

fn on_error(use_: Use) -> OnError {
    match use_ {
        Use::Stale { on_error, .. } => on_error,
        other => panic!("not stale: {other:?}"),
    }
}

#[test]
fn a_value_that_is_no_utf_8_is_known_not_to_be_exact() {
    for (octets, exact) in [
        (&b"plain"[..], true),
        ("n=李".as_bytes(), true),
        (b"caf\xe9 \xff", false),
        (b"\xed\xa0\x80", false),
    ] {
        let mut map = HeaderMap::new();
        map.append("x", HeaderValue::from_bytes(octets).unwrap());
        assert_eq!(is_exact(&map.value("x").unwrap()), exact, "{octets:?}");
    }
}

#[test]
fn dates_are_read_in_all_three_forms_rfc9110_5_6_7() {
    let expected = Some(Timestamp::from_millis(784_111_777_000));
    assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), expected);
    assert_eq!(date("Sunday, 06-Nov-94 08:49:37 GMT"), expected);
    assert_eq!(date("Sun Nov  6 08:49:37 1994"), expected);
    assert_eq!(date("0"), None);
    assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT, x"), None);
}

#[test]
fn no_instant_is_too_late_to_be_written_as_a_date_without_a_panic() {
    assert_eq!(http_date(Timestamp::from_millis(u64::MAX)), None);
    assert_eq!(date_at(T0), "Tue, 14 Nov 2023 22:13:20 GMT");
}

mod cache_status {
    use super::*;

    #[test]
    fn a_hit_says_its_remaining_lifetime_rfc9211_2_4() {
        let mut status = CacheStatus::hit();
        status.ttl_ms = Some(1_999);
        status.detail = Some("l1");
        assert_eq!(status.to_string(), "omnitrade-edge; hit; ttl=1; detail=l1");
        status.ttl_ms = Some(-1);
        assert_eq!(status.to_string(), "omnitrade-edge; hit; ttl=-1; detail=l1");
    }

    #[test]
    fn a_miss_says_whether_it_was_stored_rfc9211_2_5() {
        let mut status = CacheStatus::forwarded(Forward::UriMiss);
        status.stored = true;
        assert_eq!(status.to_string(), "omnitrade-edge; fwd=uri-miss; stored");
    }

    #[test]
    fn a_bypass_says_why_rfc9211_2_2() {
        let says = |why| CacheStatus::bypassed(why).to_string();
        assert_eq!(says(Bypass::Method), "omnitrade-edge; fwd=method");
        assert_eq!(
            says(Bypass::Content),
            "omnitrade-edge; fwd=bypass; detail=content"
        );
    }

    #[test]
    fn a_detail_that_is_no_token_is_quoted_rfc9211_2_8() {
        let mut status = CacheStatus::hit();
        status.detail = Some("a \"b\"\r\n");
        assert_eq!(
            status.to_string(),
            r#"omnitrade-edge; hit; detail="a \"b\"""#
        );
    }
}
