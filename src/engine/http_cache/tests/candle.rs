use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// [`T0`] is 20 seconds into a minute.
const CLOSE: Timestamp = Timestamp::from_millis(1_700_000_040_000);

const NAMES: [&str; 16] = [
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w",
    "1M",
];

fn candles(interval: &str, end: Option<Timestamp>) -> CacheRules {
    CacheRules {
        ttl: Some(RouteTtl::Candles(Candles {
            interval: Interval::of(interval).unwrap(),
            end,
            open_ttl: None,
        })),
        ..rules()
    }
}

fn open_for(open_ttl: Duration, rules: CacheRules) -> CacheRules {
    match rules.ttl {
        Some(RouteTtl::Candles(candles)) => CacheRules {
            ttl: Some(RouteTtl::Candles(Candles {
                open_ttl: Some(open_ttl),
                ..candles
            })),
            ..rules
        },
        _ => rules,
    }
}

fn at(text: &str) -> Timestamp {
    date(text).unwrap()
}

#[test]
fn candles_close_where_the_exchange_closes_them() {
    // A Wednesday.
    let now = at("Wed, 28 Feb 2024 13:37:42 GMT");
    for (interval, close) in [
        ("1s", "Wed, 28 Feb 2024 13:37:43 GMT"),
        ("1m", "Wed, 28 Feb 2024 13:38:00 GMT"),
        ("3m", "Wed, 28 Feb 2024 13:39:00 GMT"),
        ("5m", "Wed, 28 Feb 2024 13:40:00 GMT"),
        ("15m", "Wed, 28 Feb 2024 13:45:00 GMT"),
        ("30m", "Wed, 28 Feb 2024 14:00:00 GMT"),
        ("1h", "Wed, 28 Feb 2024 14:00:00 GMT"),
        ("2h", "Wed, 28 Feb 2024 14:00:00 GMT"),
        ("4h", "Wed, 28 Feb 2024 16:00:00 GMT"),
        ("6h", "Wed, 28 Feb 2024 18:00:00 GMT"),
        ("8h", "Wed, 28 Feb 2024 16:00:00 GMT"),
        ("12h", "Thu, 29 Feb 2024 00:00:00 GMT"),
        ("1d", "Thu, 29 Feb 2024 00:00:00 GMT"),
        // Day 19,782 since the epoch is a multiple of three.
        ("3d", "Thu, 29 Feb 2024 00:00:00 GMT"),
        ("1w", "Mon, 04 Mar 2024 00:00:00 GMT"),
        ("1M", "Fri, 01 Mar 2024 00:00:00 GMT"),
    ] {
        let closes = Interval::of(interval).unwrap().close_after(now);
        assert_eq!(closes, at(close), "{interval}");
    }
    for none in [
        "", "1", "m", "1y", "1H", "1D", "1W", "01m", "2m", "1mo", " 1m", "60",
    ] {
        assert_eq!(Interval::of(none), None, "{none}");
    }
}

#[test]
fn the_instant_of_a_close_is_the_next_candles_first() {
    let month = |now| Interval::of("1M").unwrap().close_after(at(now));
    assert_eq!(
        month("Thu, 01 Feb 2024 00:00:00 GMT"),
        at("Fri, 01 Mar 2024 00:00:00 GMT")
    );
    assert_eq!(
        month("Sat, 31 Dec 2022 23:59:59 GMT"),
        at("Sun, 01 Jan 2023 00:00:00 GMT")
    );
    assert_eq!(
        month("Tue, 28 Feb 2023 23:59:59 GMT"),
        at("Wed, 01 Mar 2023 00:00:00 GMT")
    );
    let week = |now| Interval::of("1w").unwrap().close_after(at(now));
    assert_eq!(
        week("Mon, 04 Mar 2024 00:00:00 GMT"),
        at("Mon, 11 Mar 2024 00:00:00 GMT")
    );
    assert_eq!(
        week("Sun, 10 Mar 2024 23:59:59 GMT"),
        at("Mon, 11 Mar 2024 00:00:00 GMT")
    );
    assert_eq!(
        week("Thu, 01 Jan 1970 00:00:00 GMT"),
        at("Mon, 05 Jan 1970 00:00:00 GMT")
    );
}

#[test]
fn an_open_candle_is_fresh_until_it_closes_however_late_the_answer_comes() {
    let rules = candles("1m", None);
    for delay in [0, 1, 39_999] {
        let case = Case {
            response_time: T0 + ms(delay),
            ..Case::new(&[])
        };
        assert_eq!(case.freshness(&rules).fresh_until, CLOSE, "{delay}");
        assert_eq!(case.store(&rules), Ok(()));
    }
    let after_the_close = Case {
        response_time: CLOSE + ms(1),
        ..Case::new(&[])
    };
    assert!(!after_the_close.freshness(&rules).is_fresh(CLOSE + ms(1)));
    assert_eq!(after_the_close.store(&rules), Err(WhyNot::NothingToReuse));
}

#[test]
fn open_ttl_counts_from_the_arrival_and_ends_with_the_candle() {
    let rules = open_for(2 * SECOND, candles("1m", None));
    let late = |delay| Case {
        response_time: T0 + delay,
        ..Case::new(&[])
    };
    let fresh_until = |delay| late(delay).freshness(&rules).fresh_until;
    assert_eq!(fresh_until(Duration::ZERO), T0 + 2 * SECOND);
    assert_eq!(fresh_until(5 * SECOND), T0 + 7 * SECOND);
    assert_eq!(fresh_until(38 * SECOND), CLOSE);
    assert_eq!(fresh_until(39 * SECOND), CLOSE);
    let short = open_for(90 * SECOND, candles("1m", None));
    assert_eq!(Case::new(&[]).freshness(&short).fresh_until, CLOSE);
}

#[test]
fn an_answer_whose_last_candle_had_settled_when_asked_for_never_changes() {
    // The candle closed at 22:13:00, 20 seconds ago; it may still change for 30 seconds.
    let end = CLOSE - MINUTE - ms(1);
    let rules = open_for(SECOND, candles("1m", Some(end)));
    let asked = |after| Case {
        request_time: T0 + after,
        response_time: T0 + 50 * SECOND,
        ..Case::new(&[])
    };
    let fresh_for = |after| {
        let freshness = asked(after).freshness(&rules);
        freshness.fresh_until.since(T0 + after)
    };
    assert_eq!(fresh_for(10 * SECOND), Candles::LONGEST);
    assert_eq!(
        fresh_for(10 * SECOND - ms(1)),
        30 * SECOND + ms(1),
        "until the open one closes"
    );
    assert_eq!(Candles::LONGEST, 30 * DAY);
}

#[test]
fn an_end_in_an_open_candle_or_ahead_is_open() {
    for end in [
        CLOSE - MINUTE,
        T0,
        CLOSE,
        T0 + 90 * DAY,
        Timestamp::from_millis(u64::MAX),
    ] {
        let freshness = Case::new(&[]).freshness(&candles("1m", Some(end)));
        assert_eq!(freshness.fresh_until, CLOSE, "{end:?}");
    }
}

#[test]
fn an_answer_from_a_cache_before_this_one_was_asked_for_so_much_earlier() {
    let with_age = Case::new(&[("age", "25")]);
    // The candle that was open 25 seconds ago closed 20 seconds ago.
    let freshness = with_age.freshness(&candles("1m", None));
    assert_eq!(freshness.fresh_until, CLOSE - MINUTE);
    let end = Some(CLOSE - 2 * MINUTE);
    let settled = Case::new(&[]).freshness(&candles("1m", end));
    assert!(!settled.is_fresh(T0 + DAY), "20 seconds after the close");
    let long_ago = Some(CLOSE - 3 * MINUTE);
    assert!(
        Case::new(&[])
            .freshness(&candles("1m", long_ago))
            .is_fresh(T0 + DAY)
    );
    let cached = Case::new(&[("age", "60")]).freshness(&candles("1m", long_ago));
    assert!(!cached.is_fresh(T0 + DAY), "open when it was made");
}

#[test]
fn the_origins_word_counts_before_candles_unless_the_route_overrides_it() {
    let case = Case::new(&[("cache-control", "max-age=3600")]);
    let rules = candles("1m", None);
    assert_eq!(case.freshness(&rules).fresh_until, T0 + ms(3_600_000));
    let overriding = CacheRules {
        override_origin: true,
        ..rules
    };
    assert_eq!(case.freshness(&overriding).fresh_until, CLOSE);
}

#[test]
fn stale_windows_go_on_from_the_close() {
    let rules = CacheRules {
        stale_while_revalidate: Some(8 * SECOND),
        stale_if_error: Some(MINUTE),
        ..candles("1m", None)
    };
    let case = Case {
        response_time: T0 + 19 * SECOND,
        ..Case::new(&[])
    };
    let freshness = case.freshness(&rules);
    assert_eq!(freshness.usable_until, CLOSE + 8 * SECOND);
    assert_eq!(freshness.ceiling, CLOSE + MINUTE);
}

#[test]
fn a_response_whose_parameters_do_not_count_has_no_candles_lifetime() {
    let end = Some(T0 - DAY);
    let says = [("no-vary-search", "params=(\"endTime\")")];
    let freshness = Case::new(&says).freshness(&candles("1m", end));
    assert_eq!(freshness.lifetime.source, LifetimeSource::Nothing);
    assert_eq!(
        Case::new(&says).store(&candles("1m", end)),
        Err(WhyNot::NoFreshness)
    );
}

#[test]
fn only_a_number_is_an_end_and_one_in_seconds_is_read_as_such() {
    let ms = |ms| Some(Timestamp::from_millis(ms));
    assert_eq!(end_time("1700000000000"), ms(1_700_000_000_000));
    assert_eq!(end_time("1700000000"), ms(1_700_000_000_000));
    assert_eq!(
        end_time("1700000000000000"),
        ms(1_700_000_000_000_000),
        "far ahead: open"
    );
    for none in [
        "",
        "-1",
        "+1",
        "1.5",
        "1e12",
        "0x10",
        " 1",
        "%31",
        "99999999999999999999",
        "now",
    ] {
        assert_eq!(end_time(none), None, "{none}");
    }
}

#[test]
fn only_answers_that_are_right_have_a_candles_lifetime() {
    let rules = candles("1m", Some(T0 - DAY));
    for status in [206, 400, 404, 410, 429, 500, 503] {
        let freshness = Case::new(&[]).status(status).freshness(&rules);
        assert_eq!(freshness.lifetime.length, Duration::ZERO, "{status}");
    }
}

prop_compose! {
    fn question()(
        interval in prop::sample::select(NAMES.to_vec()),
        end in proptest::option::of(0u64..4_000_000_000_000),
        near in proptest::option::of(-200_000i64..200_000),
        open_ttl in proptest::option::of(1u64..100_000_000),
        request_time in 1_000_000_000_000u64..4_000_000_000_000,
    ) -> (Candles, Timestamp) {
        let near = near.map(|by| request_time.checked_add_signed(by).unwrap());
        let candles = Candles {
            interval: Interval::of(interval).unwrap(),
            end: near.or(end).map(Timestamp::from_millis),
            open_ttl: open_ttl.map(ms),
        };
        (candles, Timestamp::from_millis(request_time))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The response can next change when a candle of that interval closes. No response is fresh
    /// beyond that, however it arrived.
    #[test]
    fn no_answer_that_can_change_is_fresh_beyond_its_candles_close(
        (candles, sent) in question(),
        delay in 0u64..100_000,
        age in prop_oneof![2 => Just(0u64), 1 => 0u64..100_000],
        windows in proptest::option::of(0u64..100_000),
        override_origin: bool,
    ) {
        let age_text = age.to_string();
        let case = Case {
            request_time: sent,
            response_time: sent + ms(delay),
            ..Case::new(&[("age", age_text.as_str())])
        };
        let rules = CacheRules {
            ttl: Some(RouteTtl::Candles(candles)),
            stale_while_revalidate: windows.map(ms),
            override_origin,
            ..rules()
        };
        let made = sent - Duration::from_secs(age);
        let freshness = case.freshness(&rules);
        let close = candles.interval.close_after(made);
        let closed = candles.end.is_some_and(|end| candles.interval.close_after(end) < made);
        prop_assert!(made < close);
        if !closed {
            prop_assert!(freshness.fresh_until <= close, "{:?} {:?}", freshness, close);
            let arrival = case.response_time - Duration::from_secs(age);
            let most = candles.open_ttl.map_or(close, |ttl| arrival + ttl);
            prop_assert!(freshness.fresh_until <= most);
        }
        prop_assert!(freshness.fresh_until <= made + Candles::LONGEST);
    }

    /// Candles close in order, each ends where the next begins, and none is too long.
    #[test]
    fn candles_lie_side_by_side(
        name in prop::sample::select(NAMES.to_vec()),
        now in 0u64..8_000_000_000_000,
    ) {
        let interval = Interval::of(name).unwrap();
        let now = Timestamp::from_millis(now);
        let close = interval.close_after(now);
        prop_assert!(now < close && close <= now + 31 * DAY);
        prop_assert_eq!(interval.close_after(close - ms(1)), close);
        let next = interval.close_after(close);
        let length = next.since(close);
        match interval {
            Interval::Fixed { length: ms, .. } => prop_assert_eq!(length.as_millis(), u128::from(ms)),
            Interval::Month => {
                prop_assert!(length >= 28 * DAY && length <= 31 * DAY);
                let day = |time| http_date(time).unwrap()[5..7].to_owned();
                prop_assert_eq!((day(close), day(next)), ("01".to_owned(), "01".to_owned()));
            }
        }
    }

    #[test]
    fn no_instant_makes_it_panic(name in prop::sample::select(NAMES.to_vec()), now: u64, end: u64) {
        let candles = Candles {
            interval: Interval::of(name).unwrap(),
            end: Some(Timestamp::from_millis(end)),
            open_ttl: None,
        };
        let _ = candles.at(Timestamp::from_millis(now));
    }
}
