//! Compares the cache with the crate `http-cache-semantics`, in the cases in which the crate is
//! right.
//!
//! The crate is wrong, and the messages avoid the case, if
//!
//! - directives are in capitals, or their arguments hold commas or escapes (§5.2; it compares
//!   bytes);
//! - a directive comes twice with two values: it takes the first (§4.2.1 would have it stale);
//! - `max-age` has no argument: it falls back to `Expires` (§5.3 does not);
//! - `no-cache` or `private` names fields: it ignores the names (§5.2.2.4, §5.2.2.7);
//! - `proxy-revalidate` is present: it treats the response as never fresh (§5.2.2.8 only forbids
//!   serving it stale);
//! - `must-understand` (§5.2.2.3) or a targeted field (RFC 9213) is present: it knows neither;
//! - the status is not one of 14: it stores no other with a lifetime of its own (§3 does);
//! - `Date` is behind, or the origin is slow: it knows no `apparent_age` and no `response_delay`
//!   (§4.2.3);
//! - `Expires` or `Date` is in one of the two obsolete forms (RFC 9110 §5.6.7), or `Age` is a list
//!   (§5.1);
//! - a field has several lines: it keeps the first;
//! - a selecting header is a list in another spelling (§4.1 lets it be normalised);
//! - `Pragma` is present beside `Cache-Control` (§5.4 ignores it), or a request has `max-age=0` at
//!   age zero;
//! - a request has `max-stale`: it serves the response beyond `s-maxage` and `proxy-revalidate`
//!   (§4.2.4).

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderName;
use http_cache_semantics::{BeforeRequest, CacheOptions, CachePolicy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

fn response_directives() -> impl Strategy<Value = Vec<String>> {
    let bare = [
        "no-store",
        "no-cache",
        "private",
        "public",
        "must-revalidate",
        "immutable",
        "x-own",
    ];
    let seconds = || proptest::option::of(0u32..120);
    (subsequence(bare.to_vec(), 0..2), seconds(), seconds()).prop_map(|(bare, own, shared)| {
        let mut all: Vec<String> = bare.into_iter().map(str::to_owned).collect();
        all.extend(own.map(|n| format!("max-age={n}")));
        all.extend(shared.map(|n| format!("s-maxage=\"{n}\"")));
        all
    })
}

prop_compose! {
    fn stored()(
        directives in response_directives(),
        status in prop::sample::select(vec![200u16, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410]),
        expires in proptest::option::of(-30i64..90),
        modified in proptest::option::of(1u64..60),
        age in proptest::option::of(0u32..40),
        vary in prop::bool::weighted(0.3),
        known in prop::bool::weighted(0.2),
        refuses in prop::bool::weighted(0.1),
        own in "[a-b]?",
    ) -> Case {
        let mut fields = vec![("date", date_at(T0))];
        if !directives.is_empty() {
            fields.push(("cache-control", directives.join(", ")));
        }
        let at = |seconds: i64| T0.as_millis().checked_add_signed(seconds * 1_000).unwrap();
        fields.extend(expires.map(|n| ("expires", date_at(Timestamp::from_millis(at(n))))));
        // A tenth of it in whole seconds, as the oracle counts.
        fields.extend(modified.map(|n| ("last-modified", date_at(T0 - Duration::from_secs(n * 10)))));
        fields.extend(age.map(|n| ("age", n.to_string())));
        if vary {
            fields.push(("vary", "x-a".to_owned()));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut asked = vec![("x-a", own.as_str())];
        if known {
            asked.push(("authorization", "Bearer t"));
        }
        if refuses {
            asked.push(("cache-control", "no-store"));
        }
        Case::new(&fields).status(status).request(&asked)
    }
}

fn request() -> impl Strategy<Value = Vec<(String, String)>> {
    let directive = prop_oneof![
        (1u32..60).prop_map(|n| format!("max-age={n}")),
        (0u32..60).prop_map(|n| format!("min-fresh={n}")),
        Just("no-cache".to_owned()),
        Just("x-own=1".to_owned()),
    ];
    let control = vec(directive, 0..2).prop_map(|all| all.join(", "));
    (control, any::<bool>(), "[a-b]?").prop_map(|(control, pragma, own)| {
        let mut fields = vec![("x-a", own.as_str())];
        if !control.is_empty() {
            fields.push(("cache-control", control.as_str()));
        } else if pragma {
            fields.push(("pragma", "no-cache"));
        }
        headers(&fields)
    })
}

fn system(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + ms(time.as_millis())
}

fn map(headers: &[(String, String)]) -> HeaderMap {
    let lines = headers.iter();
    lines
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect()
}

fn asks(headers: &[(String, String)]) -> http::Request<()> {
    let mut request = http::Request::new(());
    *request.uri_mut() = "https://api.example/v1/depth".parse().unwrap();
    *request.headers_mut() = map(headers);
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_serve_the_same_without_asking_the_origin(
        case in stored(),
        request in request(),
        after in 0u64..60,
    ) {
        let rules = CacheRules { heuristic: true, ..rules() };
        let asked = RequestDirectives::of(&request);
        let (meta, now) = (case.meta(), T0 + Duration::from_secs(after));
        let use_ = evaluate(&meta, &meta.freshness(&rules), &request, &asked, now);
        let ours = case.store(&rules).is_ok() && is_fresh(use_);

        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::from_u16(case.status).unwrap();
        *response.headers_mut() = map(&case.response);
        let options = CacheOptions {
            shared: true,
            cache_heuristic: 0.1,
            immutable_min_time_to_live: Duration::ZERO,
            ignore_cargo_cult: false,
        };
        let policy = CachePolicy::new_options(&asks(&case.request), &response, system(T0), options);
        let before = policy.before_request(&asks(&request), system(now));
        let theirs = policy.is_storable() && matches!(before, BeforeRequest::Fresh(_));
        prop_assert_eq!(ours, theirs, "{:?}", use_);
        if ours {
            prop_assert_eq!(meta.freshness(&rules).age(now), policy.age(system(now)));
        }
    }
}
