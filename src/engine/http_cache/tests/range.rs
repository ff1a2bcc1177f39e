use super::*;

const ETAG: (&str, &str) = ("etag", "\"a\"");

fn part_of(request: &[(&str, &str)], response: &[(&str, &str)], length: u64) -> Part {
    let meta = Case::new(response).meta();
    requested_part(&Method::GET, &headers(request), &meta, length)
}

fn part(range: &str) -> Part {
    part_of(&[("range", range)], &[], 10)
}

const fn bytes(first: u64, last: u64) -> Part {
    Part::Bytes { first, last }
}

#[test]
fn a_range_is_counted_from_either_end_rfc9110_14_1_2() {
    assert_eq!(part("bytes=0-1"), bytes(0, 1));
    assert_eq!(part("bytes=3-"), bytes(3, 9));
    assert_eq!(part("bytes=-4"), bytes(6, 9));
    assert_eq!(part("bytes=9-9"), bytes(9, 9));
    assert_eq!(part("BYTES=0-0"), bytes(0, 0));
    assert_eq!(part("bytes= 2-3 "), bytes(2, 3));
}

#[test]
fn a_range_past_the_end_is_cut_rfc9110_14_1_2() {
    assert_eq!(part("bytes=8-99"), bytes(8, 9));
    assert_eq!(part("bytes=-99"), bytes(0, 9));
    assert_eq!(part("bytes=5-99999999999999999999999"), bytes(5, 9));
}

#[test]
fn a_range_of_nothing_is_unsatisfiable_rfc9110_15_5_17() {
    for range in [
        "bytes=10-",
        "bytes=10-12",
        "bytes=-0",
        "bytes=99999999999999999999999-",
    ] {
        assert_eq!(part(range), Part::Unsatisfiable, "{range}");
    }
    for range in ["bytes=0-", "bytes=-1"] {
        assert_eq!(part_of(&[("range", range)], &[], 0), Part::Unsatisfiable);
    }
}

#[test]
fn what_is_no_single_range_of_bytes_is_ignored_rfc9110_14_2() {
    for range in [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=3-1",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "bytes=1",
        "bytes=--1",
        "items=0-1",
        "=0-1",
        "bytes=+0-1",
        "bytes=0-1-2",
    ] {
        assert_eq!(part(range), Part::Whole, "{range}");
    }
}

#[test]
fn range_is_for_get_and_200_alone_rfc9110_14_2() {
    let request = headers(&[("range", "bytes=0-1")]);
    let meta = Case::new(&[]).meta();
    let head = requested_part(&Method::HEAD, &request, &meta, 10);
    assert_eq!(head, Part::Whole);
    let missing = Case::new(&[]).status(404).meta();
    let get = requested_part(&Method::GET, &request, &missing, 10);
    assert_eq!(get, Part::Whole);
}

#[test]
fn if_range_compares_strongly_rfc9110_13_1_5() {
    let asked = |condition: &str, response: &[(&str, &str)]| {
        let request = [("range", "bytes=0-1"), ("if-range", condition)];
        part_of(&request, response, 10) == bytes(0, 1)
    };
    assert!(asked("\"a\"", &[ETAG]));
    for (condition, stored) in [
        ("\"b\"", "\"a\""),
        ("W/\"a\"", "W/\"a\""),
        ("\"a\"", "W/\"a\""),
        ("a", "\"a\""),
        ("", "\"a\""),
    ] {
        assert!(
            !asked(condition, &[("etag", stored)]),
            "{condition} {stored}"
        );
    }
    let (made, before) = (date_at(T0), date_at(T0 - SECOND));
    let stored = [("last-modified", before.as_str()), ("date", &made)];
    assert!(asked(&before, &stored));
    assert!(!asked(&made, &stored), "not the same");
    let just_now = [("last-modified", made.as_str()), ("date", &made)];
    assert!(
        !asked(&made, &just_now),
        "it may have changed again in that second"
    );
}
