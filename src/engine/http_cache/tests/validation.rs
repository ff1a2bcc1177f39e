use super::*;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn condition(request: &[(&str, &str)], response: &[(&str, &str)]) -> Condition {
    client_condition(&headers(request), &Case::new(response).meta())
}

fn not_modified(response: &[(&str, &str)]) -> Case {
    Case {
        request_time: T0 + 90 * SECOND,
        response_time: T0 + 91 * SECOND,
        ..Case::new(response).status(304)
    }
}

fn updated(stored: &Meta, answer: &Case) -> Meta {
    match freshen(stored, 2, &answer.exchange(), &rules()) {
        Freshened::Updated(meta) => meta,
        other => panic!("{other:?}"),
    }
}

#[test]
fn if_none_match_compares_weakly_rfc9110_13_1_2() {
    for (asked, stored) in [
        ("\"a\"", "\"a\""),
        ("W/\"a\"", "\"a\""),
        ("\"a\"", "W/\"a\""),
        ("\"x\", \"a\"", "\"a\""),
        ("\"x,y\" , W/\"a,b\"", "\"a,b\""),
        ("*", "\"a\""),
    ] {
        let found = condition(&[("if-none-match", asked)], &[("etag", stored)]);
        assert_eq!(found, Condition::NotModified, "{asked}");
    }
    for asked in ["\"b\"", "a", "\"A\"", "w/\"a\"", ""] {
        let found = condition(&[("if-none-match", asked)], &[("etag", "\"a\"")]);
        assert_eq!(found, Condition::Full, "{asked}");
    }
}

#[test]
fn if_none_match_counts_before_if_modified_since_rfc9110_13_2_2() {
    let date = date_at(T0);
    let request = [("if-none-match", "\"b\""), ("if-modified-since", &date)];
    let response = [("etag", "\"a\""), ("last-modified", date.as_str())];
    assert_eq!(condition(&request, &response), Condition::Full);
}

#[test]
fn if_modified_since_compares_with_last_modified_rfc9110_13_1_3() {
    let (before, then) = (date_at(T0 - SECOND), date_at(T0));
    let response = [("last-modified", then.as_str())];
    let asked = |since: &str| condition(&[("if-modified-since", since)], &response);
    assert_eq!(asked(&then), Condition::NotModified);
    assert_eq!(asked(&before), Condition::Full);
    assert_eq!(asked("yesterday"), Condition::Full);
}

#[test]
fn if_modified_since_falls_back_to_date_rfc9111_4_3_2() {
    let (before, then) = (date_at(T0 - SECOND), date_at(T0));
    let asked = |since: &str| condition(&[("if-modified-since", since)], &[("date", &then)]);
    assert_eq!(asked(&then), Condition::NotModified);
    assert_eq!(asked(&before), Condition::Full);
}

#[test]
fn only_a_200_becomes_a_304_rfc9111_4_3_2() {
    let gone = Case::new(&[("etag", "\"a\""), FRESH]).status(404).meta();
    let request = headers(&[("if-none-match", "\"a\"")]);
    assert_eq!(client_condition(&request, &gone), Condition::Full);
}

#[test]
fn a_304_carries_no_metadata_of_the_body_rfc9110_15_4_5() {
    let meta = Case::new(&[
        FRESH,
        ("etag", "\"a\""),
        ("vary", "x-a"),
        ("content-type", "text/plain"),
        ("content-language", "de"),
        ("content-location", "/a"),
        ("date", &date_at(T0)),
    ])
    .meta();
    let names = meta.headers.iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = names.filter(|name| goes_with_not_modified(name)).collect();
    assert_eq!(
        names,
        ["cache-control", "etag", "vary", "content-location", "date"]
    );
}

#[test]
fn the_origin_is_asked_with_the_stored_validators_rfc9111_4_3_1() {
    let modified = date_at(T0);
    let meta = Case::new(&[("etag", "W/\"a\""), ("last-modified", &modified)]).meta();
    let sent = revalidation_headers(&meta);
    let expected = [
        (http::header::IF_NONE_MATCH, "W/\"a\"".to_owned()),
        (http::header::IF_MODIFIED_SINCE, modified),
    ];
    assert_eq!(sent, expected);
    assert!(revalidation_headers(&Case::new(&[FRESH]).meta()).is_empty());
}

#[test]
fn a_304_updates_the_stored_headers_rfc9111_3_2() {
    let stored = Case::new(&[
        FRESH,
        ("etag", "\"a\""),
        ("x-kept", "old"),
        ("x-new", "old"),
        ("x-new", "older"),
        ("content-encoding", "br"),
        ("age", "9"),
    ]);
    let stored = Meta::from_response(&stored.exchange(), &key(), BodyCoding::AsReceived, &rules());
    let answer = not_modified(&[
        ("cache-control", "max-age=30"),
        ("etag", "\"a\""),
        ("x-new", "new"),
        ("content-length", "0"),
        ("content-encoding", "gzip"),
        ("content-range", "bytes 0-1/2"),
        ("set-cookie", "a=b"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("age", "1"),
    ]);
    let meta = updated(&stored, &answer);
    let field = |name| meta.field(name);
    assert_eq!(field("cache-control").as_deref(), Some("max-age=30"));
    assert_eq!(field("x-kept").as_deref(), Some("old"));
    assert_eq!(field("x-new").as_deref(), Some("new"));
    assert_eq!(field("content-encoding").as_deref(), Some("br"));
    for absent in ["content-length", "content-range", "set-cookie", "x-hop"] {
        assert_eq!(field(absent), None, "{absent}");
    }
    assert_eq!(field("date"), Some(date_at(answer.response_time)));
    assert_eq!((meta.status, meta.age), (200, SECOND));
    let freshness = meta.freshness(&rules());
    assert_eq!(freshness.fresh_until, answer.response_time + 28 * SECOND);
}

#[test]
fn a_304_does_not_make_the_tag_of_a_decoded_body_strong_again() {
    let stored = Case::new(&[FRESH, ("etag", "\"a\""), ("content-encoding", "gzip")]).meta();
    let answer = not_modified(&[("etag", "\"a\""), ("vary", "accept-encoding")]);
    let meta = updated(&stored, &answer);
    assert_eq!(meta.field("etag").as_deref(), Some("W/\"a\""));
    assert_eq!(meta.field("vary"), None);
}

#[test]
fn a_304_of_another_representation_updates_nothing_rfc9111_4_3_4() {
    let stored = Case::new(&[FRESH, ("etag", "\"a\"")]).meta();
    let other_tag = not_modified(&[("etag", "\"b\"")]);
    assert_eq!(
        freshen(&stored, 2, &other_tag.exchange(), &rules()),
        Freshened::Mismatch
    );
    let stored = Case::new(&[FRESH, ("last-modified", &date_at(T0))]).meta();
    let other_date = not_modified(&[("last-modified", &date_at(T0 + SECOND))]);
    assert_eq!(
        freshen(&stored, 2, &other_date.exchange(), &rules()),
        Freshened::Mismatch
    );
}

#[test]
fn a_304_that_forbids_to_store_is_served_once() {
    let stored = Case::new(&[FRESH, ("etag", "\"a\"")]).meta();
    let answer = not_modified(&[("cache-control", "private")]);
    assert!(matches!(
        freshen(&stored, 2, &answer.exchange(), &rules()),
        Freshened::ServeOnce(_, WhyNot::Private)
    ));
}

#[test]
fn a_head_updates_what_it_agrees_with_rfc9111_4_3_5() {
    let stored = Case::new(&[FRESH, ("etag", "\"a\"")]).meta();
    let head = |fields: &[_]| Case {
        method: Method::HEAD,
        ..Case::new(fields)
    };
    let same = head(&[("etag", "\"a\""), ("content-length", "2"), ("x-a", "1")]);
    assert_eq!(updated(&stored, &same).field("x-a").as_deref(), Some("1"));
    for other in [
        head(&[("etag", "\"b\"")]),
        head(&[("etag", "\"a\""), ("content-length", "3")]),
        head(&[("etag", "\"a\"")]).status(404),
    ] {
        assert_eq!(
            freshen(&stored, 2, &other.exchange(), &rules()),
            Freshened::Mismatch
        );
    }
}
