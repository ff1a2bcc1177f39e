use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn seconds() -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of((0u64..20_000).prop_map(Duration::from_millis))
}

fn any_ttl() -> impl Strategy<Value = RouteTtl> {
    let candles = (
        prop::sample::select(vec!["1s", "1m", "1M"]),
        -90i64..90,
        seconds(),
    )
        .prop_map(|(interval, end, open_ttl)| {
            let end = T0.as_millis().checked_add_signed(end * 1_000).unwrap();
            RouteTtl::Candles(Candles {
                interval: Interval::of(interval).unwrap(),
                end: Some(Timestamp::from_millis(end)),
                open_ttl,
            })
        });
    prop_oneof![
        2 => (0u64..20_000).prop_map(|ttl| RouteTtl::Fixed(ms(ttl))),
        1 => candles,
    ]
}

prop_compose! {
    fn any_rules()(
        ttl in proptest::option::of(any_ttl()),
        negative_ttl in seconds(),
        override_origin: bool,
        stale_while_revalidate in seconds(),
        stale_if_error in seconds(),
        [heuristic, server_errors, set_cookie, strict_age] in any::<[bool; 4]>(),
    ) -> CacheRules {
        CacheRules {
            ttl,
            negative_ttl,
            override_origin,
            stale_while_revalidate,
            stale_if_error,
            heuristic,
            server_errors,
            set_cookie,
            strict_age,
            ..CacheRules::default()
        }
    }
}

fn directive() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("max-age"),
        Just("s-maxage"),
        Just("stale-while-revalidate"),
        Just("stale-if-error"),
        Just("max-stale"),
        Just("min-fresh"),
        Just("no-cache"),
        Just("no-store"),
        Just("private"),
        Just("public"),
        Just("must-revalidate"),
        Just("proxy-revalidate"),
        Just("must-understand"),
        Just("only-if-cached"),
        Just("No-Store"),
        Just("foo"),
    ];
    let argument = prop_oneof![
        4 => Just(String::new()),
        6 => (0u32..30).prop_map(|n| format!("={n}")),
        1 => (0u32..30).prop_map(|n| format!("=\"{n}\"")),
        1 => "=[ -~]{0,6}",
    ];
    (name, argument).prop_map(|(name, argument)| format!("{name}{argument}"))
}

fn field() -> impl Strategy<Value = (String, String)> {
    let date = (-30i64..30).prop_map(|n| {
        let time = T0.as_millis().checked_add_signed(n * 1_000).unwrap();
        date_at(Timestamp::from_millis(time))
    });
    prop_oneof![
        6 => vec(directive(), 0..4).prop_map(|d| ("cache-control".to_owned(), d.join(", "))),
        1 => vec(directive(), 0..3).prop_map(|d| ("cdn-cache-control".to_owned(), d.join(", "))),
        3 => ("(date|expires|last-modified)", date),
        2 => ("(age|content-length)", "[0-9]{1,3}"),
        2 => ("(vary|connection)", "(\\*|x-a|x-b|accept-encoding)(, ?(\\*|x-a))?"),
        2 => ("(etag|if-none-match)", "(W/)?\"[a-b]\""),
        1 => ("(set-cookie|authorization|pragma|range|content-encoding|x-a)", "[a-z]{0,3}"),
        1 => ("no-vary-search", "(params|key-order|except)?=?[?(]?[1\"a) ]{0,5}"),
        1 => ("(range|if-range)", "(bytes=)?[0-9]{0,3}-?[0-9]{0,2}"),
        1 => ("[a-z-]{1,9}", "[ -~]{0,9}"),
        1 => ("(cache-control|vary|age|expires|date|etag)", "[\t -~\u{a0}-\u{ff}]{0,20}"),
        1 => ("(cache-control|vary|etag|x-a)", "[a-z\u{1}-\u{1f}\u{7f}\u{fffd}李]{0,5}"),
    ]
}

fn message() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(field(), 0..6)
}

prop_compose! {
    fn any_case()(
        request in message(),
        response in message(),
        status in prop_oneof![6 => Just(200u16), 1 => 100u16..600],
        delay in 0u64..2_000,
    ) -> Case {
        Case {
            method: Method::GET,
            request,
            status,
            response,
            request_time: T0 - ms(delay),
            response_time: T0,
        }
    }
}

/// Whether any line of `Cache-Control`, or of the targeted field before it, has the bare directive.
fn says(response: &[(String, String)], directive: &str) -> bool {
    lines(response, "cache-control").any(|line| {
        line.split(',')
            .any(|element| element.trim().eq_ignore_ascii_case(directive))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_is_fresh_beyond_its_lifetime_nor_served_beyond_the_ceiling(
        case in any_case(),
        request in message(),
        rules in any_rules(),
        after in 0u64..25_000,
    ) {
        let meta = case.meta();
        let freshness = meta.freshness(&rules);
        let now = T0 + ms(after);
        let asked = RequestDirectives::of(&request);
        let length = freshness.lifetime.length;
        let age = freshness.age(now);
        prop_assert!(freshness.fresh_until <= freshness.usable_until.max(Timestamp::default()));
        prop_assert!(freshness.usable_until <= freshness.ceiling);
        prop_assert!(freshness.ceiling <= freshness.keep_until);
        match evaluate(&meta, &freshness, &request, &asked, now) {
            Use::Fresh { ttl_left, .. } => {
                prop_assert!(age < length);
                prop_assert_eq!(ttl_left, length - age);
                prop_assert!(!asked.no_cache);
            }
            Use::StaleWhileRevalidate { .. } => {
                prop_assert!(age >= length);
                prop_assert!(now < freshness.ceiling);
                prop_assert!(freshness.stale_forbidden.is_none());
                prop_assert!(!asked.no_cache);
            }
            Use::Stale { on_error: OnError::ServeUntil(until), .. } => {
                prop_assert!(now < until && until <= freshness.ceiling);
            }
            _ => {}
        }
        if let Some(most) = rules.stale_if_error {
            prop_assert!(freshness.ceiling <= T0 + length + most);
        }
    }

    #[test]
    fn nothing_is_stored_that_must_not_be(case in any_case(), rules in any_rules()) {
        let stored = case.store(&rules).is_ok();
        let (request, response) = (&case.request, &case.response);
        let cookies = response.has("set-cookie");
        prop_assert!(!(stored && cookies && !rules.set_cookie));
        prop_assert!(!(stored && (case.status < 200 || case.status >= 600)));
        prop_assert!(!(stored && case.status >= 500 && !rules.server_errors));
        prop_assert!(!(stored && matches!(case.status, 206 | 304 | 416)));
        prop_assert!(!(stored && says(request, "no-store")));
        let directives = ResponseDirectives::of(response);
        if stored && !directives.targeted {
            prop_assert!(!says(response, "private"));
            prop_assert!(!says(response, "no-store") || directives.must_understand);
        }
        if stored && request.has("authorization") {
            let leave = directives.public || directives.must_revalidate;
            prop_assert!(leave || directives.s_maxage.valid().is_some());
        }
        let vary = response.value("vary").unwrap_or_default();
        prop_assert!(!(stored && vary.split(',').any(|name| name.trim() == "*")));
        prop_assert!(!(stored && response.iter().any(|(_, value)| !is_exact(value))));
    }

    #[test]
    fn a_restricting_word_in_a_malformed_line_restricts(
        word in "(private|no-store|Private|NO-STORE)",
        before in "([a-z]{1,5}(=[0-9]{1,3})?)?",
        after in "([a-z]{1,5}(=[0-9]{1,3})?)?",
        separator in "[;: \t/\u{1}\u{7f}\u{a0}@\u{fffd}]{1,2}",
        field in "(cache-control|cdn-cache-control)",
    ) {
        let malformed = format!("{before}{separator}{word}{separator}{after}, max-age=60");
        let case = Case::new(&[(&field, &malformed)]);
        prop_assert!(case.store(&ttl(SECOND)).is_err(), "{:?}", malformed);
    }

    #[test]
    fn a_request_with_a_value_that_is_not_exact_matches_nothing(value in "[a-b,\u{fffd}]{0,4}") {
        let varying = Case::new(&[("cache-control", "max-age=60"), ("vary", "x-a")]);
        let stored = varying.clone().request(&[("x-a", &value)]).store(&rules());
        prop_assert_eq!(stored.is_ok(), is_exact(&value));
        let kept = varying.request(&[("x-a", "a")]);
        let found = kept.later(&[("x-a", &value)], &rules(), SECOND);
        prop_assert!(is_exact(&value) || found == Use::VaryMismatch);
    }

    #[test]
    fn what_is_stored_carries_no_field_that_must_not_be(case in any_case()) {
        let meta = Meta { epochs: Some("-".to_owned()), ..case.meta() };
        for name in ["connection", "age", "content-length"] {
            prop_assert!(meta.field(name).is_none(), "{}", name);
        }
        prop_assert!(meta.field("content-encoding").is_none_or(|coding| coding.is_empty()));
        prop_assert!(meta.field("date").is_some());
        let text = envelope::encode(&meta, &meta.freshness(&rules()), b"x", None).unwrap();
        if (200..=599).contains(&meta.status) {
            let (read, _) = envelope::decode(&text, &key()).unwrap();
            prop_assert_eq!(read.freshness(&rules()), meta.freshness(&rules()));
            prop_assert_eq!(read, meta);
        }
    }

    #[test]
    fn no_message_makes_it_panic(
        case in any_case(),
        answer in any_case(),
        request in message(),
        rules in any_rules(),
        now: u64,
        request_time: u64,
        response_time: u64,
        length: u64,
    ) {
        let case = Case {
            request_time: Timestamp::from_millis(request_time),
            response_time: Timestamp::from_millis(response_time),
            ..case
        };
        let now = Timestamp::from_millis(now);
        let meta = case.meta();
        let freshness = meta.freshness(&rules);
        let asked = RequestDirectives::of(&request);
        let found = evaluate(&meta, &freshness, &request, &asked, now);
        let _ = (found.ttl_ms(), freshness.ttl_left(now), freshness.stale_for(now));
        let _ = may_look_up(&Method::GET, &request);
        let _ = client_condition(&request, &meta);
        let _ = revalidation_headers(&meta);
        let _ = freshen(&meta, 1, &answer.clone().status(304).exchange(), &rules);
        let _ = body_is_whole(&answer.response, BodyCoding::AsReceived, 1);
        let part = requested_part(&Method::GET, &request, &meta, length);
        if let Part::Bytes { first, last } = part {
            prop_assert!(first <= last && last < length);
        }
        if let Some(search) = NoVarySearch::of(&case.response) {
            let _ = search.canonical("a=1&&b&%zz");
        }
        if let Some(family) = Family::of(&meta) {
            prop_assert!(family.key(&key(), &request) != key());
        }
    }
}
