use super::*;

fn lifetime(response: &[(&str, &str)], rules: &CacheRules) -> (Duration, LifetimeSource) {
    let lifetime = Case::new(response).freshness(rules).lifetime;
    (lifetime.length, lifetime.source)
}

#[test]
fn s_maxage_counts_before_max_age_before_expires_before_ttl_rfc9111_4_2_1() {
    let expires = date_at(T0 + 30 * SECOND);
    let all = [
        ("cache-control", "s-maxage=10, max-age=20"),
        ("expires", expires.as_str()),
    ];
    let rules = ttl(40 * SECOND);
    assert_eq!(
        lifetime(&all, &rules),
        (10 * SECOND, LifetimeSource::SharedMaxAge)
    );
    let max_age = [("cache-control", "max-age=20"), ("expires", &expires)];
    assert_eq!(
        lifetime(&max_age, &rules),
        (20 * SECOND, LifetimeSource::MaxAge)
    );
    let expires = [("expires", expires.as_str())];
    assert_eq!(
        lifetime(&expires, &rules),
        (30 * SECOND, LifetimeSource::Expires)
    );
    assert_eq!(
        lifetime(&[], &rules),
        (40 * SECOND, LifetimeSource::RouteTtl)
    );
}

#[test]
fn invalid_freshness_information_is_stale_rfc9111_4_2_1() {
    for fields in [
        [("cache-control", "max-age=x")],
        [("cache-control", "max-age=1, max-age=2")],
        [("cache-control", "s-maxage=x, max-age=100")],
        [("expires", "0")],
        [("expires", "in a while")],
    ] {
        assert_eq!(lifetime(&fields, &ttl(SECOND)).0, Duration::ZERO);
    }
}

#[test]
fn repeated_expires_is_stale_rfc9111_4_2_1() {
    let (soon, late) = (date_at(T0 + SECOND), date_at(T0 + 90 * SECOND));
    let both = [("expires", soon.as_str()), ("expires", late.as_str())];
    assert_eq!(lifetime(&both, &rules()).0, Duration::ZERO);
}

#[test]
fn expires_counts_from_date_rfc9111_4_2_1() {
    let (date, expires) = (date_at(T0 - 5 * SECOND), date_at(T0 + 5 * SECOND));
    let fields = [("date", date.as_str()), ("expires", expires.as_str())];
    assert_eq!(lifetime(&fields, &rules()).0, 10 * SECOND);
}

#[test]
fn the_routes_ttl_holds_for_some_statuses_only() {
    for status in [200, 203, 204, 300, 301, 308, 302, 307, 400, 404, 410, 429] {
        let case = Case::new(&[]).status(status);
        let expected = matches!(status, 200 | 203 | 204 | 300 | 301 | 308);
        assert_eq!(case.store(&ttl(SECOND)).is_ok(), expected, "{status}");
    }
}

#[test]
fn override_origin_replaces_what_the_response_says_about_freshness() {
    for text in [
        "max-age=100",
        "max-age=0",
        "no-cache",
        "must-revalidate, max-age=0",
        "max-age=x",
    ] {
        let case = Case::new(&[("cache-control", text)]);
        let freshness = case.freshness(&overriding(SECOND));
        assert_eq!(freshness.lifetime.length, SECOND, "{text}");
        assert_eq!(freshness.stale_forbidden, None, "{text}");
        assert!(is_fresh(case.later(&[], &overriding(SECOND), ms(999))));
    }
}

#[test]
fn override_origin_leaves_other_statuses_to_the_origin() {
    let gone = Case::new(&[("cache-control", "max-age=60, must-revalidate")]).status(404);
    let freshness = gone.freshness(&overriding(SECOND));
    assert_eq!(freshness.lifetime.source, LifetimeSource::MaxAge);
    assert!(freshness.stale_forbidden.is_some());
}

#[test]
fn freshness_counts_in_milliseconds() {
    let case = Case::new(&[]);
    assert!(is_fresh(case.later(&[], &ttl(ms(500)), ms(499))));
    assert!(!is_fresh(case.later(&[], &ttl(ms(500)), ms(500))));
}

#[test]
fn a_response_is_fresh_while_its_lifetime_exceeds_its_age_rfc9111_4_2() {
    let case = Case::new(&[("cache-control", "max-age=10")]);
    assert!(is_fresh(case.later(&[], &rules(), ms(9_999))));
    assert!(!is_fresh(case.later(&[], &rules(), ms(10_000))));
}

#[test]
fn the_age_on_arrival_counts_rfc9111_4_2_3() {
    let case = Case::new(&[("cache-control", "max-age=10"), ("age", "7")]);
    assert!(is_fresh(case.later(&[], &rules(), ms(2_999))));
    assert!(!is_fresh(case.later(&[], &rules(), ms(3_000))));
    assert_eq!(case.freshness(&rules()).age_seconds(T0 + ms(2_999)), 9);
}

#[test]
fn the_delay_of_the_response_counts_rfc9111_4_2_3() {
    let mut case = Case::new(&[("cache-control", "max-age=10"), ("age", "1")]);
    case.request_time = T0 - 2 * SECOND;
    assert_eq!(case.freshness(&rules()).initial_age, 3 * SECOND);
}

#[test]
fn an_origin_slower_than_the_ttl_of_the_route_can_be_cached() {
    let mut case = Case::new(&[]);
    case.request_time = T0 - 2 * SECOND;
    let freshness = case.freshness(&CacheRules {
        stale_while_revalidate: Some(3 * SECOND),
        ..ttl(ms(500))
    });
    assert_eq!(freshness.fresh_until, T0 + ms(500));
    assert_eq!(freshness.age_seconds(T0), 2, "its age is what it is");
    // The ceiling counts from the request.
    assert_eq!(freshness.ceiling, T0 + ms(1_500));
}

#[test]
fn an_old_date_makes_a_response_old_rfc9111_4_2_3() {
    let old = date_at(T0 - 20 * SECOND);
    let case = Case::new(&[("cache-control", "max-age=10"), ("date", &old)]);
    assert!(!is_fresh(case.later(&[], &rules(), Duration::ZERO)));
}

#[test]
fn a_date_of_this_second_takes_nothing_from_a_lifetime() {
    let mut case = Case::new(&[("cache-control", "max-age=1"), ("date", &date_at(T0))]);
    case.request_time = T0 + ms(990);
    case.response_time = T0 + ms(999);
    assert_eq!(case.freshness(&rules()).initial_age, ms(9));
}

#[test]
fn an_origin_whose_clock_is_behind_does_not_spoil_the_routes_ttl() {
    let behind = date_at(T0 - 90 * SECOND);
    let case = Case::new(&[("date", &behind)]);
    assert!(is_fresh(case.later(&[], &ttl(ms(500)), ms(499))));
}

#[test]
fn age_is_its_first_valid_member_or_nothing_rfc9111_5_1() {
    for (text, age) in [
        ("5", 5),
        ("5, 9", 5),
        ("-5", 0),
        ("x", 0),
        ("5.5", 0),
        ("", 0),
        ("99999999999999999999", 1 << 31),
    ] {
        let case = Case::new(&[("age", text), ("cache-control", "max-age=1")]);
        assert_eq!(case.meta().age, Duration::from_secs(age), "{text}");
    }
}

#[test]
fn an_age_beyond_all_bounds_is_stale_rfc9111_1_2_2() {
    let case = Case::new(&[
        ("age", "99999999999999999999"),
        ("cache-control", "max-age=99999999999999999999"),
    ]);
    assert!(!is_fresh(case.later(&[], &rules(), Duration::ZERO)));
}

#[test]
fn the_response_says_how_long_it_is_usable_when_stale_rfc5861() {
    let case = Case::new(&[(
        "cache-control",
        "max-age=1, stale-while-revalidate=2, stale-if-error=5",
    )]);
    let freshness = case.freshness(&rules());
    assert_eq!(freshness.fresh_until, T0 + SECOND);
    assert_eq!(freshness.usable_until, T0 + 3 * SECOND);
    assert_eq!(freshness.ceiling, T0 + 6 * SECOND);
}

#[test]
fn the_routes_word_about_staleness_counts_before_the_responses() {
    let case = Case::new(&[(
        "cache-control",
        "max-age=1, stale-while-revalidate=20, stale-if-error=50",
    )]);
    let rules = CacheRules {
        stale_while_revalidate: Some(2 * SECOND),
        stale_if_error: Some(5 * SECOND),
        ..rules()
    };
    let freshness = case.freshness(&rules);
    assert_eq!(freshness.usable_until, T0 + 3 * SECOND);
    assert_eq!(freshness.ceiling, T0 + 6 * SECOND);
}

#[test]
fn the_routes_stale_if_error_is_a_ceiling_for_every_staleness() {
    let rules = CacheRules {
        stale_while_revalidate: Some(60 * SECOND),
        stale_if_error: Some(SECOND),
        ..ttl(SECOND)
    };
    let freshness = Case::new(&[]).freshness(&rules);
    assert_eq!(freshness.usable_until, T0 + 2 * SECOND);
    assert_eq!(freshness.ceiling, T0 + 2 * SECOND);
}

#[test]
fn without_stale_if_error_the_ceiling_is_stale_while_revalidate() {
    let rules = CacheRules {
        stale_while_revalidate: Some(3 * SECOND),
        ..ttl(SECOND)
    };
    assert_eq!(Case::new(&[]).freshness(&rules).ceiling, T0 + 4 * SECOND);
    assert_eq!(Case::new(&[]).freshness(&ttl(SECOND)).ceiling, T0 + SECOND);
}

mod heuristic {
    use super::*;

    fn guess(status: u16, fields: &[(&str, &str)], on: bool) -> (Duration, LifetimeSource) {
        let rules = CacheRules {
            heuristic: on,
            ..rules()
        };
        let lifetime = Case::new(fields).status(status).freshness(&rules).lifetime;
        (lifetime.length, lifetime.source)
    }

    #[test]
    fn a_tenth_of_the_time_since_the_last_change_rfc9111_4_2_2() {
        let (modified, made) = (date_at(T0 - 100 * SECOND), date_at(T0));
        let fields = [("last-modified", modified.as_str()), ("date", &made)];
        let expected = (10 * SECOND, LifetimeSource::Heuristic);
        assert_eq!(guess(200, &fields, true), expected);
        let nothing = (Duration::ZERO, LifetimeSource::Nothing);
        assert_eq!(guess(200, &fields, false), nothing);
        assert_eq!(guess(200, &[("date", &made)], true), nothing);
        // It is at most a day, whatever the response's age, and never based on a modification in
        // the future.
        let long_ago = [("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(guess(200, &long_ago, true).0, 86_400 * SECOND);
        let later = date_at(T0 + 100 * SECOND);
        assert_eq!(
            guess(200, &[("last-modified", &later), ("date", &made)], true),
            nothing
        );
    }

    #[test]
    fn only_of_statuses_that_allow_it_or_with_public_rfc9110_15_1() {
        let modified = date_at(T0 - 100 * SECOND);
        let field = ("last-modified", modified.as_str());
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            assert!(!guess(status, &[field], true).0.is_zero(), "{status}");
        }
        for status in [201, 202, 302, 403, 429, 500, 503] {
            assert!(guess(status, &[field], true).0.is_zero(), "{status}");
            let public = ("cache-control", "public");
            assert!(
                !guess(status, &[field, public], true).0.is_zero(),
                "{status}"
            );
        }
    }

    #[test]
    fn an_explicit_word_counts_before_a_guess_rfc9111_4_2_2() {
        let modified = date_at(T0 - 100 * SECOND);
        let field = ("last-modified", modified.as_str());
        let with = |text| guess(200, &[field, ("cache-control", text)], true);
        assert_eq!(with("max-age=3"), (3 * SECOND, LifetimeSource::MaxAge));
        assert!(with("max-age=x").0.is_zero());
        assert!(with("no-cache").0.is_zero());
        assert!(guess(200, &[field, ("expires", "0")], true).0.is_zero());
    }
}

#[test]
fn an_unclear_age_makes_the_response_stale_where_the_route_is_strict() {
    let age = |text: &str, strict_age| {
        let rules = CacheRules {
            strict_age,
            ..rules()
        };
        let case = Case::new(&[("cache-control", "max-age=60"), ("age", text)]);
        let meta = Meta::from_response(&case.exchange(), &key(), BodyCoding::Decoded, &rules);
        meta.freshness(&rules).is_fresh(T0)
    };
    for (text, plainly) in [
        ("abc", true),
        ("-1", true),
        ("1.0", true),
        ("0, 9", true),
        ("99, 0", false),
    ] {
        assert_eq!(age(text, false), plainly, "{text}");
        assert!(!age(text, true), "{text}");
    }
    assert!(age("7", true) && age("7", false));
}
