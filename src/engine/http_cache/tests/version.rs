use proptest::prelude::*;

use super::*;

fn at(source: &str, body: &str) -> Option<String> {
    let source = VersionSource::parse(source).unwrap();
    source.of(&Case::new(&[]).meta().headers, body.as_bytes())
}

#[test]
fn a_number_is_found_at_the_end_of_its_path() {
    let body = r#"{"a":[{"x":{"b":1}},{"b":"22"}],"b":[[],[3,4]],"":5,"e\u0301":6,"c":{"b":7}}"#;
    for (path, version) in [
        ("json:a.0.x.b", "1"),
        ("json:a.1.b", "22"),
        ("json:b.1.1", "4"),
        ("json:e\u{301}", "6"),
        ("json:c.b", "7"),
    ] {
        assert_eq!(at(path, body).as_deref(), Some(version), "{path}");
    }
    assert_eq!(at("json:0.id", "[{\"id\":9}]").as_deref(), Some("9"));
}

#[test]
fn what_is_not_there_has_no_version() {
    for body in [
        "",
        "7",
        "[]",
        "{}",
        "null",
        r#"{"a":{}}"#,
        r#"{"a":[1]}"#,
        r#"{"b":1}"#,
    ] {
        for path in ["json:a.b", "json:a.1", "json:a.-1", "json:a.x.y"] {
            assert_eq!(at(path, body), None, "{path} in {body}");
        }
    }
}

#[test]
fn only_whole_numbers_of_at_most_twenty_digits_are_versions() {
    for (value, version) in [
        ("0", Some("0")),
        ("\"000\"", Some("0")),
        ("\"0017\"", Some("17")),
        ("1768478430000", Some("1768478430000")),
        ("18446744073709551616", Some("18446744073709551616")),
        ("\"99999999999999999999\"", Some("99999999999999999999")),
        ("100000000000000000000", None),
        ("-1", None),
        ("-0", None),
        ("1.0", None),
        ("1e3", None),
        ("\"\"", None),
        ("\" 1\"", None),
        ("\"+1\"", None),
        ("\"\u{661}\"", None),
        ("true", None),
        ("null", None),
        ("[1]", None),
        ("{\"v\":1}", None),
    ] {
        let body = format!("{{\"other\":[1,{{}}],\"v\":{value},\"v\":8}}");
        assert_eq!(at("json:v", &body).as_deref(), version, "{value}");
    }
}

#[test]
fn a_header_says_it_too() {
    for (value, version) in [
        ("0042", Some("42")),
        (" 7 ", Some("7")),
        ("7, 8", None),
        ("v7", None),
    ] {
        let meta = Case::new(&[("x-sequence", value)]).meta();
        let source = VersionSource::parse("header:X-Sequence").unwrap();
        assert_eq!(source.of(&meta.headers, b"").as_deref(), version, "{value}");
        assert_eq!(
            source.of_head(&meta.headers, None).as_deref(),
            version,
            "{value}"
        );
    }
}

#[test]
fn a_revalidated_response_keeps_the_version_of_its_body() {
    let version = Some("5".to_owned());
    let meta = Meta {
        version: version.clone(),
        ..Case::new(&[]).meta()
    };
    assert_eq!(
        VersionSource::parse("json:v")
            .unwrap()
            .of_head(&meta.headers, meta.version.as_deref()),
        version
    );
}

#[test]
fn no_depth_of_nesting_harms() {
    let deep = format!(
        "{{\"a\":{}1{},\"v\":3}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(at("json:v", &deep).as_deref(), Some("3"));
    let path = vec!["a"; 64].join(".");
    let deep = format!("{}7{}", "{\"a\":".repeat(64), "}".repeat(64));
    assert_eq!(at(&format!("json:{path}"), &deep).as_deref(), Some("7"));
}

#[test]
fn a_place_is_a_path_or_a_header() {
    for wrong in [
        "",
        "json",
        "json:",
        "json:a..b",
        "json:.a",
        "header:",
        "header:a b",
        "xml:a",
        "a:json",
    ] {
        assert_eq!(VersionSource::parse(wrong), None, "{wrong}");
    }
    assert_eq!(
        VersionSource::parse(&format!("json:{}", "a".repeat(129))),
        None
    );
}

/// A stored response, and whether another one replaces it.
fn replaces(held: (Option<&str>, u64), other: (Option<&str>, u64)) -> bool {
    let entry = |(version, after): (Option<&str>, u64)| {
        let case = Case {
            response_time: T0 + ms(after),
            ..Case::new(&[])
        };
        let meta = Meta {
            version: version.map(str::to_owned),
            ..case.meta()
        };
        Entry {
            freshness: meta.freshness(&ttl(SECOND)),
            meta: meta.into(),
            body: (),
            body_len: 0,
            checked_at: T0,
        }
    };
    let mut l1 = L1::new(1 << 20, 1);
    l1.insert(&key(), entry(held));
    l1.insert(&key(), entry(other)) == Insertion::Kept
}

#[test]
fn in_memory_a_newer_version_is_never_replaced_by_an_older_one() {
    for (held, other, expected) in [
        ((Some("10"), 0), (Some("9"), 5), false),
        ((Some("9"), 5), (Some("10"), 0), true),
        (
            (Some("18446744073709551616"), 0),
            (Some("18446744073709551615"), 5),
            false,
        ),
        // The same response, freshened.
        ((Some("10"), 0), (Some("10"), 5), true),
        ((Some("10"), 5), (Some("10"), 0), false),
        // Without a version, the time of arrival decides.
        ((Some("10"), 0), (None, 5), true),
        ((None, 5), (Some("10"), 0), false),
    ] {
        assert_eq!(replaces(held, other), expected, "{held:?} {other:?}");
    }
}

proptest! {
    #[test]
    fn any_number_is_found_wherever_it_stands(
        before in "[a-y]{0,9}", version in any::<u64>(), quoted: bool, spaces in "[ \n\t]{0,3}",
    ) {
        let value = if quoted { format!("\"{version}\"") } else { version.to_string() };
        let body = format!("{{\"{before}\":[{{\"z\":1}}],{spaces}\"z\"{spaces}:{spaces}{value}{spaces}}}");
        prop_assert_eq!(at("json:z", &body), Some(version.to_string()));
    }

    #[test]
    fn no_body_makes_it_panic(body in "[\\[\\]{}:,\"\\\\a0-9.e-]{0,40}") {
        at("json:a.0", &body);
    }
}
