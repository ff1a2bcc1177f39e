use super::*;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn look_up(method: &Method, request: &[(&str, &str)]) -> Result<RequestDirectives, Bypass> {
    may_look_up(method, &headers(request))
}

#[test]
fn get_and_head_are_looked_up_and_no_other_method_rfc9111_2() {
    for method in [Method::GET, Method::HEAD] {
        assert!(look_up(&method, &[]).is_ok());
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(look_up(&method, &[]), Err(Bypass::Method));
    }
}

#[test]
fn requests_that_are_not_the_caches_to_answer_go_past_it() {
    for (name, value, why) in [
        ("cache-control", "no-store", Bypass::NoStore),
        ("if-match", "\"a\"", Bypass::Precondition),
        ("if-unmodified-since", "x", Bypass::Precondition),
        ("content-length", "5", Bypass::Content),
        ("transfer-encoding", "chunked", Bypass::Content),
    ] {
        let found = look_up(&Method::GET, &[(name, value)]);
        assert_eq!(found, Err(why), "{name}");
    }
    let empty = look_up(&Method::GET, &[("content-length", "0")]);
    assert!(empty.is_ok());
}

#[test]
fn no_cache_is_validated_each_time_rfc9111_5_2_2_4() {
    let case = Case::new(&[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")]);
    let rules = CacheRules {
        stale_while_revalidate: Some(60 * SECOND),
        stale_if_error: Some(60 * SECOND),
        ..rules()
    };
    let found = case.later(&[], &rules, Duration::ZERO);
    assert_eq!(on_error(found), OnError::Forbidden(StaleForbidden::NoCache));
    let early = Case {
        response_time: T0 + SECOND,
        ..case
    };
    assert!(matches!(
        early.later(&[], &rules, Duration::ZERO),
        Use::Stale { .. }
    ));
}

#[test]
fn stale_is_forbidden_by_directives_rfc9111_4_2_4() {
    let rules = CacheRules {
        stale_while_revalidate: Some(60 * SECOND),
        stale_if_error: Some(60 * SECOND),
        ..rules()
    };
    for (text, why) in [
        ("max-age=1, must-revalidate", StaleForbidden::MustRevalidate),
        (
            "max-age=1, proxy-revalidate",
            StaleForbidden::ProxyRevalidate,
        ),
        ("s-maxage=1", StaleForbidden::SharedMaxAge),
    ] {
        let case = Case::new(&[("cache-control", text)]);
        let found = case.later(&[("cache-control", "max-stale")], &rules, 2 * SECOND);
        assert_eq!(on_error(found), OnError::Forbidden(why), "{text}");
    }
}

#[test]
fn s_maxage_beside_stale_while_revalidate_allows_stale_rfc5861_3() {
    let text = "s-maxage=1, stale-while-revalidate=10";
    let case = Case::new(&[("cache-control", text)]);
    assert!(is_served_stale(case.later(&[], &rules(), 2 * SECOND)));
}

#[test]
fn stale_is_served_while_revalidating_and_no_longer_rfc5861_3() {
    let rules = CacheRules {
        stale_while_revalidate: Some(ms(2_000)),
        ..ttl(ms(500))
    };
    let case = Case::new(&[]);
    assert_eq!(
        case.later(&[], &rules, ms(500)),
        Use::StaleWhileRevalidate {
            age: ms(500),
            stale_for: Duration::ZERO
        }
    );
    assert!(is_served_stale(case.later(&[], &rules, ms(2_499))));
    assert_eq!(
        on_error(case.later(&[], &rules, ms(2_500))),
        OnError::TooOld
    );
}

#[test]
fn stale_is_served_on_error_until_the_ceiling_and_no_longer_rfc5861_4() {
    let rules = CacheRules {
        stale_if_error: Some(ms(10_000)),
        ..ttl(ms(500))
    };
    let case = Case::new(&[]);
    assert_eq!(
        on_error(case.later(&[], &rules, ms(10_499))),
        OnError::ServeUntil(T0 + ms(10_500))
    );
    assert_eq!(
        on_error(case.later(&[], &rules, ms(10_500))),
        OnError::TooOld
    );
}

#[test]
fn a_request_may_ask_for_validation_rfc9111_5_2_1_4() {
    let case = Case::new(&[FRESH]);
    for request in [("cache-control", "no-cache"), ("pragma", "no-cache")] {
        let found = case.later(&[request], &rules(), SECOND);
        assert!(matches!(
            found,
            Use::Stale {
                why: WhyRevalidate::Request,
                ..
            }
        ));
    }
}

#[test]
fn a_request_may_bound_the_age_rfc9111_5_2_1_1() {
    let case = Case::new(&[FRESH]);
    let found = |text| case.later(&[("cache-control", text)], &rules(), ms(5_000));
    assert!(is_fresh(found("max-age=5")));
    assert!(!is_fresh(found("max-age=4")));
    let at_once = case.later(&[("cache-control", "max-age=0")], &rules(), ms(0));
    assert!(!is_fresh(at_once));
}

#[test]
fn a_request_may_ask_for_more_freshness_rfc9111_5_2_1_3() {
    let case = Case::new(&[FRESH]);
    let found = |text| case.later(&[("cache-control", text)], &rules(), ms(5_000));
    assert!(is_fresh(found("min-fresh=55")));
    assert!(!is_fresh(found("min-fresh=56")));
}

#[test]
fn a_request_may_accept_stale_within_the_ceiling_rfc9111_5_2_1_2() {
    let rules = CacheRules {
        stale_if_error: Some(10 * SECOND),
        ..ttl(SECOND)
    };
    let case = Case::new(&[]);
    let found = |text, after| case.later(&[("cache-control", text)], &rules, after);
    assert!(is_served_stale(found("max-stale", 5 * SECOND)));
    assert!(is_served_stale(found("max-stale=4", 5 * SECOND)));
    assert!(!is_served_stale(found("max-stale=3", 5 * SECOND)));
    assert!(!is_served_stale(found("max-stale", 11 * SECOND)));
    assert!(!is_served_stale(found("max-stale, no-cache", 5 * SECOND)));
    assert!(!is_served_stale(found("max-stale, max-age=2", 5 * SECOND)));
}

#[test]
fn a_request_that_bounds_the_age_takes_nothing_stale_rfc9111_5_2_1_1() {
    let rules = CacheRules {
        stale_while_revalidate: Some(10 * SECOND),
        ..ttl(SECOND)
    };
    let case = Case::new(&[]);
    assert!(is_served_stale(case.later(&[], &rules, 2 * SECOND)));
    for text in ["max-age=60", "min-fresh=1", "no-cache"] {
        let found = case.later(&[("cache-control", text)], &rules, 2 * SECOND);
        assert!(!is_served_stale(found), "{text}");
    }
}

#[test]
fn the_selecting_headers_must_match_rfc9111_4_1() {
    let case = Case::new(&[FRESH, ("vary", "Accept-Language, X-B")])
        .request(&[("accept-language", "de, en"), ("x-b", "1")]);
    let found = |request: &[_]| case.later(request, &rules(), SECOND);
    assert!(is_fresh(found(&[
        ("accept-language", "de, en"),
        ("x-b", "1")
    ])));
    // Normalised: white space, and a list on two lines.
    assert!(is_fresh(found(&[
        ("x-b", "1"),
        ("accept-language", "de"),
        ("accept-language", " en")
    ])));
    for request in [
        &[("accept-language", "en"), ("x-b", "1")][..],
        &[("accept-language", "de, en")],
        &[("x-b", "1")],
        &[("accept-language", "de, en"), ("x-b", "")],
        &[],
    ] {
        assert_eq!(found(request), Use::VaryMismatch, "{request:?}");
    }
}

#[test]
fn an_absent_selecting_header_matches_only_an_absent_one_rfc9111_4_1() {
    let case = Case::new(&[FRESH, ("vary", "x-a")]);
    assert!(is_fresh(case.later(&[], &rules(), SECOND)));
    let found = case.later(&[("x-a", "")], &rules(), SECOND);
    assert_eq!(found, Use::VaryMismatch);
}

#[test]
fn selecting_headers_are_kept_as_digests_only() {
    let case = Case::new(&[("cache-control", "s-maxage=60"), ("vary", "authorization")])
        .request(&[("authorization", "Bearer secret")]);
    assert!(!format!("{:?}", case.meta()).contains("secret"));
}

#[test]
fn an_entry_from_the_future_is_not_used() {
    let case = Case {
        response_time: T0 + 60 * SECOND,
        ..Case::new(&[FRESH])
    };
    assert_eq!(
        case.later(&[], &rules(), Duration::ZERO),
        Use::Unusable(Unusable::FromTheFuture)
    );
}

#[test]
fn unsafe_methods_invalidate_unless_they_fail_rfc9111_4_4() {
    assert!(invalidates(&Method::POST, 201));
    assert!(invalidates(&Method::DELETE, 303));
    assert!(!invalidates(&Method::POST, 404));
    assert!(!invalidates(&Method::GET, 200));
}
