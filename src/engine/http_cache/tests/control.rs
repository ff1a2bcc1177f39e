use super::*;

fn parse(text: &str) -> ResponseDirectives {
    ResponseDirectives::parse(text)
}

fn seconds(n: u64) -> Delta {
    Delta::Valid(Duration::from_secs(n))
}

#[test]
fn directives_are_case_insensitive_rfc9111_5_2() {
    assert_eq!(parse("MAX-age=1").max_age, seconds(1));
    assert!(parse("No-Store").no_store);
}

#[test]
fn token_and_quoted_forms_are_both_accepted_rfc9111_5_2() {
    assert_eq!(parse("max-age=\"10\"").max_age, seconds(10));
    assert_eq!(parse("max-age=\"1\\0\"").max_age, seconds(10));
}

#[test]
fn empty_elements_and_white_space_do_not_count_rfc9110_5_6_1() {
    let directives = parse(" ,, max-age=1 ,\tpublic,");
    assert_eq!(directives.max_age, seconds(1));
    assert!(directives.public);
}

#[test]
fn a_value_that_is_no_number_is_invalid_rfc9111_4_2_1() {
    for text in [
        "max-age",
        "max-age=",
        "max-age=-1",
        "max-age=1.5",
        "max-age='1'",
        "max-age=1s",
        "max-age= 1",
        "max-age =1",
        "max-age=\"1",
        "max-age=\"1\"x",
        "max-age=+1",
    ] {
        assert_eq!(parse(text).max_age, Delta::Invalid, "{text}");
    }
}

#[test]
fn values_that_differ_are_invalid_and_equal_ones_are_not_rfc9111_4_2_1() {
    assert_eq!(parse("max-age=1, max-age=2").max_age, Delta::Invalid);
    assert_eq!(parse("max-age=1, max-age=1").max_age, seconds(1));
    assert_eq!(parse("max-age=x, max-age=1").max_age, Delta::Invalid);
}

#[test]
fn a_number_too_large_is_the_largest_rfc9111_1_2_2() {
    for digits in ["2147483649", "99999999999999999999999999"] {
        assert_eq!(
            parse(&format!("max-age={digits}")).max_age,
            seconds(1 << 31)
        );
    }
}

#[test]
fn unknown_directives_are_ignored_rfc9111_5_2_3() {
    assert_eq!(parse("foo, bar=\"max-age=9, no-store\""), parse(""));
}

#[test]
fn a_quote_that_never_closes_hides_no_directive() {
    assert!(parse("foo=\"bar, no-store").no_store);
    assert!(parse("a=\"b\", c=\"d, private").private.is_everything());
}

#[test]
fn a_restricting_word_restricts_wherever_it_stands_in_a_malformed_line() {
    for text in [
        "private; max-age=0",
        "private;",
        "max-age=60 private",
        "max-age=60\tprivate",
        "\u{1}private",
        "private\u{7f}",
        "x=\"a\" private",
        "private: yes",
    ] {
        assert!(parse(text).private.is_everything(), "{text:?}");
    }
    assert!(parse("no-store; foo").no_store);
    assert!(parse("no-store must-understand").no_store);
    assert!(!parse("no-store must-understand").must_understand);
    assert!(parse("foo; no-cache").no_cache.is_everything());
    assert!(parse("must-revalidate;").must_revalidate);
    assert!(parse("no-transform;").no_transform);
}

#[test]
fn words_in_well_formed_lines_mean_what_they_say_only() {
    for text in [
        "x-private",
        "private-ish=1",
        "ext=\"private, no-store\"",
        "a=no-store",
        "no_store",
    ] {
        assert_eq!(parse(text), parse(""), "{text}");
    }
}

#[test]
fn a_lifetime_that_cannot_be_read_is_over_rfc9111_4_2_1() {
    for text in ["max-age: 60", "max-age 60", "foo; max-age", "max-age=60; x"] {
        assert_eq!(parse(text).max_age, Delta::Invalid, "{text}");
    }
    assert_eq!(parse("foo bar, max-age=1").max_age, seconds(1));
    assert_eq!(parse("s-maxage:1").s_maxage, Delta::Invalid);
}

#[test]
fn a_malformed_request_asks_for_no_less() {
    let asked = RequestDirectives::parse("no-store; x no-cache");
    assert!(asked.no_store && asked.no_cache);
    let asked = RequestDirectives::parse("max-age: 0");
    assert_eq!(asked.max_age, Some(Duration::ZERO));
}

#[test]
fn a_long_row_of_quotes_is_read_in_linear_time() {
    let text = "\"\\".repeat(50_000);
    assert_eq!(parse(&text), parse(""));
}

#[test]
fn lines_are_combined_rfc9110_5_3() {
    let response = headers(&[("cache-control", "public"), ("cache-control", "max-age=5")]);
    let directives = ResponseDirectives::of(&response);
    assert!(directives.public);
    assert_eq!(directives.max_age, seconds(5));
}

#[test]
fn no_store_with_a_value_is_no_store_rfc9111_5_2_2_5() {
    assert!(parse("no-store=\"x\"").no_store);
    assert!(parse("no-store=0").no_store);
}

#[test]
fn qualified_directives_name_fields_rfc9111_5_2_2_4_and_7() {
    let directives = parse("private=\"X-A, x-b\", private=x-c, no-cache=\"x-d\"");
    assert_eq!(directives.private.fields(), ["x-a", "x-b", "x-c"]);
    assert_eq!(directives.no_cache.fields(), ["x-d"]);
}

#[test]
fn a_qualified_directive_malformed_or_repeated_bare_holds_for_everything() {
    for text in [
        "private",
        "private=\"\"",
        "private=\"a b\"",
        "private=",
        "private=\"x-a\", private",
        "private, private=\"x-a\"",
    ] {
        assert!(parse(text).private.is_everything(), "{text}");
    }
}

#[test]
fn request_directives_are_read_rfc9111_5_2_1() {
    let asked = RequestDirectives::parse(
        "max-age=1, min-fresh=2, max-stale=3, no-cache, no-store, only-if-cached",
    );
    assert_eq!(asked.max_age, Some(SECOND));
    assert_eq!(asked.min_fresh, Some(2 * SECOND));
    assert_eq!(asked.max_stale, MaxStale::UpTo(3 * SECOND));
    assert!(asked.no_cache && asked.no_store && asked.only_if_cached);
    assert_eq!(
        RequestDirectives::parse("max-stale").max_stale,
        MaxStale::Anything
    );
}

#[test]
fn invalid_request_directives_never_make_more_acceptable() {
    assert_eq!(
        RequestDirectives::parse("max-age=x").max_age,
        Some(Duration::ZERO)
    );
    assert_eq!(
        RequestDirectives::parse("max-stale=x").max_stale,
        MaxStale::Nothing
    );
}

#[test]
fn pragma_counts_where_there_is_no_cache_control_rfc9111_5_4() {
    let pragma = |fields| RequestDirectives::of(&headers(fields)).no_cache;
    assert!(pragma(&[("pragma", "No-Cache")]));
    assert!(!pragma(&[
        ("pragma", "no-cache"),
        ("cache-control", "max-age=5")
    ]));
    assert!(!pragma(&[("pragma", "foo")]));
}

mod targeted {
    use super::*;

    #[test]
    fn a_malformed_targeted_field_restricts_but_gives_nothing() {
        for text in [
            "private max-age=9",
            "PRIVATE",
            "&, private",
            "max-age=9; private",
        ] {
            let directives = of(&[("cdn-cache-control", text)]);
            assert!(directives.private.is_everything(), "{text}");
        }
        let fields = [
            ("cdn-cache-control", "max-age=9 foo"),
            ("cache-control", "max-age=1"),
        ];
        assert_eq!(of(&fields).max_age, seconds(1));
    }

    fn of(fields: &[(&str, &str)]) -> ResponseDirectives {
        ResponseDirectives::of(&headers(fields))
    }

    #[test]
    fn a_targeted_field_counts_before_cache_control_and_expires_rfc9213_2_2() {
        let response = [
            ("cdn-cache-control", "max-age=10"),
            ("cache-control", "no-store, max-age=1"),
            ("expires", "0"),
        ];
        let directives = of(&response);
        assert!(!directives.no_store && directives.targeted);
        assert_eq!(directives.max_age, seconds(10));
        let only_no_age = Case::new(&[("cdn-cache-control", "public"), ("expires", "0")]);
        assert_eq!(
            only_no_age.freshness(&ttl(SECOND)).lifetime.source,
            LifetimeSource::RouteTtl
        );
    }

    #[test]
    fn the_more_specific_target_counts_first_rfc9213_2_2() {
        let directives = of(&[
            ("cdn-cache-control", "max-age=10"),
            ("edge-cache-control", "max-age=20"),
        ]);
        assert_eq!(directives.max_age, seconds(20));
    }

    #[test]
    fn an_empty_or_malformed_one_is_as_good_as_absent_rfc9213_2_1() {
        for text in ["", " ", "max-age=\"1", "Max-Age=1", "max-age=", "=1", "a b"] {
            let directives = of(&[("cdn-cache-control", text), ("cache-control", "no-store")]);
            assert!(directives.no_store, "{text}");
        }
    }

    #[test]
    fn values_have_the_types_of_structured_fields_rfc9213_2_1() {
        let cdn = |text| of(&[("cdn-cache-control", text)]);
        assert_eq!(cdn("max-age=\"10\"").max_age, Delta::Invalid);
        assert_eq!(cdn("max-age=1.5").max_age, Delta::Invalid);
        assert_eq!(cdn("max-age=-1").max_age, Delta::Invalid);
        for not_a_number in [
            "1.",
            "-.5",
            "-",
            "1e3",
            "-inf",
            "1.2345",
            "-1234567890123456",
        ] {
            let text = format!("public, x={not_a_number}");
            assert!(!of(&[("cdn-cache-control", &text)]).targeted, "{text}");
        }
        assert_eq!(cdn("max-age=1, max-age=2;x=y").max_age, seconds(2));
        assert!(!cdn("no-store=?0, public").no_store);
        assert!(cdn("no-store=?1").no_store);
        assert_eq!(cdn("private=\"x-a\"").private.fields(), ["x-a"]);
    }
}
