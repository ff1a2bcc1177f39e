use super::*;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn why(response: &[(&str, &str)]) -> Option<WhyNot> {
    Case::new(response).store(&overriding(SECOND)).err()
}

#[test]
fn only_a_get_is_stored_rfc9111_3() {
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
        let case = Case {
            method,
            ..Case::new(&[FRESH])
        };
        assert_eq!(case.store(&rules()), Err(WhyNot::Method));
    }
}

#[test]
fn interim_partial_304_and_server_errors_are_never_stored_rfc9111_3() {
    for status in [100, 103, 206, 304, 416, 500, 502, 503, 504, 599] {
        let case = Case::new(&[FRESH]).status(status);
        assert_eq!(case.store(&rules()), Err(WhyNot::Status), "{status}");
    }
}

#[test]
fn what_is_about_the_client_that_asks_is_never_stored_rfc6585() {
    let rules = CacheRules {
        server_errors: true,
        ..ttl(SECOND)
    };
    for status in [428, 429, 431, 511] {
        let case = Case::new(&[FRESH]).status(status);
        assert_eq!(case.store(&rules), Err(WhyNot::Status), "{status}");
        let shared = rules.for_failure(status, SECOND);
        assert_eq!(case.store(&shared), Err(WhyNot::Status), "{status}");
    }
}

#[test]
fn server_errors_are_stored_where_the_route_asks_for_it_rfc9111_3() {
    let rules = CacheRules {
        server_errors: true,
        ..ttl(SECOND)
    };
    for status in [500, 503, 599] {
        let store = |fields: &[_]| Case::new(fields).status(status).store(&rules);
        assert_eq!(store(&[FRESH]), Ok(()), "{status}");
        assert_eq!(
            store(&[]),
            Err(WhyNot::NoFreshness),
            "only by their own word"
        );
    }
    let text = ("cache-control", "max-age=60, must-understand");
    let store = |status| Case::new(&[text]).status(status).store(&rules);
    assert_eq!(store(503), Ok(()));
    assert_eq!(store(599), Err(WhyNot::NotUnderstood));
}

#[test]
fn cookies_are_stored_where_the_route_asks_for_it_rfc9111_7_3() {
    let rules = CacheRules {
        set_cookie: true,
        ..rules()
    };
    let case = Case::new(&[FRESH, ("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    assert_eq!(case.store(&rules), Ok(()));
    let kept = case.meta().headers;
    assert_eq!(
        kept.iter().filter(|(name, _)| name == "set-cookie").count(),
        2
    );
}

#[test]
fn a_guess_is_not_made_for_a_request_with_a_cookie() {
    let rules = CacheRules {
        heuristic: true,
        ..rules()
    };
    let modified = date_at(T0 - 100 * SECOND);
    let store = |fields: &[_]| {
        let case = Case::new(fields).request(&[("cookie", "session=1")]);
        case.store(&rules)
    };
    let field = ("last-modified", modified.as_str());
    assert_eq!(store(&[field]), Err(WhyNot::NoFreshness));
    assert_eq!(store(&[field, ("cache-control", "public")]), Ok(()));
}

#[test]
fn any_other_final_status_with_a_lifetime_of_its_own_is_stored_rfc9111_3() {
    for status in [200, 201, 299, 302, 404, 410, 451] {
        assert_eq!(Case::new(&[FRESH]).status(status).store(&rules()), Ok(()));
    }
}

#[test]
fn no_store_is_not_stored_whatever_the_route_says_rfc9111_5_2_2_5() {
    let text = ("cache-control", "max-age=60, no-store");
    assert_eq!(why(&[text]), Some(WhyNot::NoStore));
}

#[test]
fn no_store_in_the_request_is_not_stored_rfc9111_5_2_1_5() {
    let case = Case::new(&[FRESH]).request(&[("cache-control", "no-store")]);
    assert_eq!(case.store(&rules()), Err(WhyNot::RequestNoStore));
}

#[test]
fn private_is_not_stored_whatever_the_route_says_rfc9111_5_2_2_7() {
    let text = ("cache-control", "private, max-age=60");
    assert_eq!(why(&[text]), Some(WhyNot::Private));
}

#[test]
fn private_with_fields_is_stored_without_them_rfc9111_5_2_2_7() {
    let case = Case::new(&[
        ("cache-control", "max-age=60, private=\"x-user\""),
        ("x-user", "7"),
        ("x-other", "8"),
    ]);
    assert_eq!(case.store(&rules()), Ok(()));
    assert_eq!(case.meta().field("x-user"), None);
    assert_eq!(case.meta().field("x-other").as_deref(), Some("8"));
}

#[test]
fn no_cache_with_fields_is_reused_without_them_rfc9111_5_2_2_4() {
    let case = Case::new(&[
        ("cache-control", "max-age=60, no-cache=\"x-user\""),
        ("x-user", "7"),
    ]);
    assert!(is_fresh(case.later(&[], &rules(), SECOND)));
    assert_eq!(case.meta().field("x-user"), None);
}

#[test]
fn authorization_needs_leave_from_the_response_rfc9111_3_5() {
    let store = |text| {
        Case::new(&[("cache-control", text)])
            .request(&[("authorization", "Bearer x")])
            .store(&overriding(SECOND))
    };
    assert_eq!(store("max-age=60"), Err(WhyNot::Authorization));
    assert_eq!(store("s-maxage=x"), Err(WhyNot::Authorization));
    for leave in [
        "max-age=60, public",
        "s-maxage=60",
        "max-age=60, must-revalidate",
    ] {
        assert_eq!(store(leave), Ok(()), "{leave}");
    }
}

#[test]
fn a_response_that_sets_a_cookie_is_never_stored_rfc9111_7_3() {
    let fields = [
        ("cache-control", "public, max-age=60"),
        ("set-cookie", "a=b"),
    ];
    assert_eq!(why(&fields), Some(WhyNot::SetCookie));
}

#[test]
fn a_star_anywhere_in_vary_is_never_stored_rfc9111_4_1() {
    for vary in ["*", "accept, *", "*, accept"] {
        assert_eq!(why(&[FRESH, ("vary", vary)]), Some(WhyNot::VaryAny));
    }
    let lines = [FRESH, ("vary", "accept"), ("vary", "*")];
    assert_eq!(why(&lines), Some(WhyNot::VaryAny));
}

#[test]
fn must_understand_overrides_no_store_where_understood_rfc9111_5_2_2_3() {
    let text = [("cache-control", "max-age=60, must-understand, no-store")];
    assert_eq!(Case::new(&text).store(&rules()), Ok(()));
    assert_eq!(
        Case::new(&text).status(299).store(&rules()),
        Err(WhyNot::NotUnderstood)
    );
}

#[test]
fn without_a_lifetime_nothing_is_stored_rfc9111_3() {
    assert_eq!(Case::new(&[]).store(&rules()), Err(WhyNot::NoFreshness));
    let tagged = Case::new(&[("etag", "\"a\"")]);
    assert_eq!(tagged.store(&rules()), Err(WhyNot::NoFreshness));
}

#[test]
fn what_is_stale_on_arrival_is_stored_for_validation_and_errors_only() {
    let stale = ("cache-control", "max-age=0");
    let store = |fields: &[_], rules| Case::new(fields).store(&rules);
    assert_eq!(store(&[stale], rules()), Err(WhyNot::NothingToReuse));
    assert_eq!(store(&[stale, ("etag", "\"a\"")], rules()), Ok(()));
    let on_error = CacheRules {
        stale_if_error: Some(SECOND),
        ..rules()
    };
    assert_eq!(store(&[stale], on_error), Ok(()));
    let no_cache = ("cache-control", "no-cache");
    assert_eq!(store(&[no_cache], rules()), Err(WhyNot::NothingToReuse));
    assert_eq!(store(&[no_cache, ("etag", "\"a\"")], rules()), Ok(()));
}

#[test]
fn fields_of_one_hop_or_one_exchange_are_not_stored_rfc9111_3_1() {
    let case = Case::new(&[
        FRESH,
        ("connection", "keep-alive, X-Hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("proxy-authenticate", "Basic"),
        ("upgrade", "h2c"),
        ("age", "3"),
        ("content-length", "10"),
        ("cache-status", "a; hit"),
        ("ratelimit", "\"a\";r=1"),
        ("x-ratelimit-remaining", "5"),
        ("content-type", "application/json"),
        ("link", "<a>"),
        ("link", "<b>"),
    ]);
    let meta = case.meta();
    let names: Vec<&str> = meta.headers.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(
        names,
        ["cache-control", "content-type", "link", "link", "date"]
    );
    assert_eq!(lines(&meta.headers, "link").count(), 2);
}

#[test]
fn a_missing_date_is_the_time_of_arrival_rfc9110_6_6_1() {
    let date = Case::new(&[FRESH]).meta().field("date");
    assert_eq!(date, Some(date_at(T0)));
}

#[test]
fn a_body_that_was_decoded_has_a_weak_tag_and_does_not_vary_by_coding() {
    let case = Case::new(&[
        FRESH,
        ("content-encoding", "gzip"),
        ("etag", "\"a\""),
        ("vary", "Origin, Accept-Encoding"),
        ("content-digest", "sha-256=:AAAA:"),
        ("repr-digest", "sha-256=:AAAA:"),
        ("digest", "sha-256=AAAA"),
        ("content-md5", "AAAA"),
    ])
    .request(&[("accept-encoding", "gzip")]);
    let meta = case.meta();
    assert!(meta.decoded);
    for name in [
        "content-encoding",
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
    ] {
        assert_eq!(meta.field(name), None, "{name}");
    }
    assert_eq!(meta.field("etag").as_deref(), Some("W/\"a\""));
    assert_eq!(meta.field("vary").as_deref(), Some("Origin"));
    assert_eq!(meta.vary, [("origin".to_owned(), None)]);
}

#[test]
fn a_body_in_its_coding_keeps_its_tag_and_varies_by_it() {
    let case = Case::new(&[
        FRESH,
        ("content-encoding", "gzip"),
        ("etag", "\"a\""),
        ("vary", "Accept-Encoding"),
    ]);
    let meta = Meta::from_response(&case.exchange(), &key(), BodyCoding::AsReceived, &rules());
    assert!(!meta.decoded);
    assert_eq!(meta.field("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(meta.field("etag").as_deref(), Some("\"a\""));
    assert_eq!(meta.vary.len(), 1);
}

#[test]
fn a_body_shorter_than_announced_is_not_whole_rfc9111_3_3() {
    let whole = |fields, coding, received| body_is_whole(&headers(fields), coding, received);
    use BodyCoding::{AsReceived, Decoded};
    assert!(whole(&[], Decoded, 9));
    assert!(whole(&[("content-length", "9")], Decoded, 9));
    assert!(!whole(&[("content-length", "10")], Decoded, 9));
    let coded: &[_] = &[("content-length", "10"), ("content-encoding", "gzip")];
    assert!(whole(coded, Decoded, 90));
    assert!(!whole(coded, AsReceived, 90));
}

#[test]
fn a_vary_that_does_not_parse_is_vary_any_rfc9110_12_5_5() {
    for vary in [
        "Accept-Encoding Origin",
        "Origin;",
        "\u{1}",
        "a, b c",
        "\"x\"",
    ] {
        let stored = Case::new(&[FRESH, ("vary", vary)]).store(&rules());
        assert_eq!(stored, Err(WhyNot::VaryAny), "{vary:?}");
    }
    assert_eq!(
        Case::new(&[FRESH, ("vary", ",, x-a ,")]).store(&rules()),
        Ok(())
    );
}

#[test]
fn a_malformed_connection_names_all_that_stands_in_it() {
    let case = Case::new(&[
        FRESH,
        ("connection", "close x-hop;x-b"),
        ("x-hop", "1"),
        ("x-b", "2"),
    ]);
    assert_eq!(case.meta().field("x-hop"), None);
    assert_eq!(case.meta().field("x-b"), None);
}
