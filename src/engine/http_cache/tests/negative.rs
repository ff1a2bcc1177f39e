use super::*;

fn negative() -> CacheRules {
    CacheRules {
        negative_ttl: Some(2 * SECOND),
        stale_while_revalidate: Some(60 * SECOND),
        stale_if_error: Some(60 * SECOND),
        ..ttl(10 * SECOND)
    }
}

#[test]
fn a_400_404_or_410_has_the_negative_lifetime_and_other_errors_have_none() {
    for status in [400, 404, 410] {
        let case = Case::new(&[]).status(status);
        assert_eq!(case.store(&negative()), Ok(()));
        assert_eq!(case.freshness(&negative()).fresh_until, T0 + 2 * SECOND);
        assert_eq!(case.store(&ttl(SECOND)), Err(WhyNot::NoFreshness));
    }
    for status in [401, 403, 405, 429, 500, 503] {
        let case = Case::new(&[]).status(status);
        assert!(case.store(&negative()).is_err(), "{status}");
    }
    let plain = Case::new(&[]).freshness(&negative());
    assert_eq!(plain.fresh_until, T0 + 10 * SECOND);
    assert_eq!(plain.ceiling, T0 + 70 * SECOND);
}

#[test]
fn a_route_may_name_other_statuses() {
    let named = CacheRules {
        negative_statuses: Some([404, 500].into()),
        ..negative()
    };
    for status in [404, 500] {
        let case = Case::new(&[]).status(status);
        assert_eq!(case.store(&named), Ok(()), "{status}");
        let freshness = case.freshness(&named);
        assert_eq!(freshness.fresh_until, T0 + 2 * SECOND);
        assert_eq!(freshness.ceiling, freshness.fresh_until, "never stale");
    }
    for status in [400, 410, 502, 503] {
        let case = Case::new(&[]).status(status);
        assert!(case.store(&named).is_err(), "{status}");
    }
}

#[test]
fn its_own_lifetime_counts_first_unless_the_route_overrides_it() {
    let case = Case::new(&[("cache-control", "max-age=5")]).status(404);
    assert_eq!(case.freshness(&negative()).fresh_until, T0 + 5 * SECOND);
    let overriding = CacheRules {
        override_origin: true,
        ..negative()
    };
    assert_eq!(case.freshness(&overriding).fresh_until, T0 + 2 * SECOND);
}

#[test]
fn it_is_not_served_stale_unless_it_says_so_itself() {
    for own in ["", "max-age=2"] {
        let case = Case::new(&[("cache-control", own)]).status(404);
        let freshness = case.freshness(&negative());
        assert_eq!(freshness.usable_until, freshness.fresh_until);
        assert_eq!(freshness.ceiling, freshness.fresh_until);
    }
    let says = [(
        "cache-control",
        "stale-while-revalidate=3, stale-if-error=4",
    )];
    let freshness = Case::new(&says).status(404).freshness(&negative());
    assert_eq!(freshness.usable_until, T0 + 5 * SECOND);
    assert_eq!(freshness.ceiling, T0 + 6 * SECOND);
}

#[test]
fn without_a_negative_lifetime_the_routes_windows_are_for_all() {
    let rules = CacheRules {
        negative_ttl: None,
        ..negative()
    };
    let case = Case::new(&[("cache-control", "max-age=5")]).status(404);
    assert_eq!(case.freshness(&rules).ceiling, T0 + 65 * SECOND);
}
