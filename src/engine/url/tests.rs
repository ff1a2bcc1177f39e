use proptest::prelude::*;
use url::Url;

use super::*;

fn normal(url: &str) -> Option<String> {
    Target::of(url).map(|target| target.to_string())
}

#[track_caller]
fn is(url: &str, expected: &str) {
    assert_eq!(normal(url).as_deref(), Some(expected), "{url}");
}

#[test]
fn urls_are_taken_apart() {
    let target = Target::of("http://h:8080?a?b#c").unwrap();
    assert_eq!(
        (target.scheme(), target.host(), target.path()),
        ("http", "h:8080", "/")
    );
    assert_eq!(target.query(), Some("a?b"));
}

#[test]
fn scheme_and_host_are_in_lower_case_and_the_default_port_is_off() {
    for same in [
        "HTTPS://H/",
        "https://h:443/",
        "https://h:/",
        "https://h:0443",
        "https://h\\",
        "https://h#x?y",
        " https://h/\n",
    ] {
        is(same, "https://h/");
    }
    is("http://h:443/", "http://h:443/");
    is("http://[::FFFF:1]:80/", "http://[::ffff:1]/");
    is("http://[::1]:0081?", "http://[::1]:81/?");
    is("http://H:65535/", "http://h:65535/");
}

#[test]
fn what_is_no_url_of_the_web_has_no_form() {
    for url in [
        "",
        "/path",
        "://h",
        "ftp://h/",
        "https://",
        "https:///a",
        "https:/h",
        "https://u:p@h/",
        "https://@h/",
        "https://:80/",
        "https://h:x/",
        "https://h:+1/",
        "https://h:65536/",
        "https://h:1:2/",
        "https://hé/",
        "https://h h/",
        "https://h%41/",
        "https://h|/",
        "https://h\t/",
        "https://a\r\nb/",
        "https:/\t/h",
        "https://[::1/",
        "https://[::1]a/",
        "https://[x]/",
        "https://a]/",
        "https://h/\u{FFFD}",
        "https://h/?\u{FFFD}",
    ] {
        assert_eq!(Target::of(url), None, "{url}");
    }
    is("https://h/#\u{FFFD}", "https://h/");
    is("https://h/%EF%BF%BD", "https://h/%EF%BF%BD");
}

#[test]
fn dot_segments_are_resolved_however_they_are_spelt() {
    for (path, expected) in [
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e/b/.%2E/c", "/a/c"),
        ("/../../a", "/a"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a//../b", "/a/b"),
        ("//a///", "//a///"),
        ("/.a/..b/...", "/.a/..b/..."),
        ("\\a\\..\\b", "/b"),
        ("/a%2F../b", "/a%2F../b"),
        ("/a/%2e%2e%zz", "/a/%2e%2e%zz"),
        ("/a?/../b", "/a?/../b"),
    ] {
        is(&format!("https://h{path}"), &format!("https://h{expected}"));
    }
}

#[test]
fn escapes_are_in_upper_case_and_none_is_needless_rfc3986_6_2_2() {
    for (one, expected) in [
        ("/a%7eb?c=%2f", "/a~b?c=%2F"),
        ("/%61%7Eb?%63=%2F", "/a~b?c=%2F"),
        ("/%00%ff?%0a", "/%00%FF?%0A"),
        ("/%2F%3f%23?%26%3d%2b%20", "/%2F%3F%23?%26%3D%2B%20"),
        ("/;a=1,+?;a+b;", "/;a=1,+?;a+b;"),
        ("/?", "/?"),
        ("/?&=&&==", "/?&=&&=="),
    ] {
        is(&format!("https://h{one}"), &format!("https://h{expected}"));
    }
}

#[test]
fn what_may_not_stand_raw_is_escaped() {
    let odd = " \"'<>[]^`{|}\u{7f}\u{1}é𝄞";
    let rest = "%3C%3E%5B%5D%5E%60%7B%7C%7D%7F%01%C3%A9%F0%9D%84%9E";
    is(
        &format!("https://h/{odd}?{odd}\\"),
        &format!("https://h/%20%22'{rest}?%20%22%27{rest}%5C"),
    );
    is("https://h/a\tb?c\r\nd", "https://h/ab?cd");
    is("https://h/%\t41", "https://h/A");
}

#[test]
fn beside_a_broken_escape_all_escapes_stay() {
    for broken in ["%", "%4", "%zz", "%%341", "%2g%41%7e", "%+1%c3"] {
        is(
            &format!("https://h/{broken}/%41?{broken}=%41&%41={broken}&%7e"),
            &format!("https://h/{broken}/A?{broken}=A&A={broken}&~"),
        );
    }
    is("https://h/?a=%4\"1", "https://h/?a=%4%221");
    is("https://h/?a=%é", "https://h/?a=%%C3%A9");
}

#[test]
fn what_is_normal_is_not_copied() {
    let url = "https://api.example:8443/v1/a;b=1/%2F'?symbol=BTC%2FUSDT&limit=5";
    let target = Target::of(url).unwrap();
    let parts = [&target.host, &target.path, target.query.as_ref().unwrap()];
    assert!(parts.iter().all(|part| matches!(part, Cow::Borrowed(_))));
    assert_eq!(target.to_string(), url);
}

#[test]
fn a_url_of_any_length_has_a_form() {
    for odd in ["é", "%7e", "/..", "/.", "%", "&=", "\\", "\t"] {
        let url = format!("https://h/{}?{0}", odd.repeat(20_000));
        let once = normal(&url).unwrap();
        assert_eq!(normal(&once), Some(once));
    }
}

#[test]
fn a_path_is_sent_as_it_is_written_but_for_dot_segments() {
    let written = |url| {
        let (path, query) = as_written(url).unwrap();
        query.map_or(path.clone(), |query| format!("{path}?{query}"))
    };
    for (url, expected) in [
        (
            "https://h/%7e|[]?a=%e2%82%ac&b={x}",
            "/%7e|[]?a=%e2%82%ac&b={x}",
        ),
        ("https://h/x/../%7e\\y?\\", "/%7e/y?\\"),
        ("https://h/x/%2e%2e/../%41/.", "/%41/"),
        ("https://h?", "/?"),
        ("https://h/a b ?c d\u{1}#", "/a%20b%20?c%20d%01"),
        ("https://h/a?b#c", "/a?b"),
    ] {
        assert_eq!(written(url), expected, "{url}");
    }
}

/// Unusual pieces of paths and queries, to be combined.
fn odd() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        2 => prop::sample::select(vec![
            "%", "%2", "%2e", "%2E", "%2F", "%2f", "%41", "%7e", "%c3%a9", "%zz", "%00", "%27",
            "%7C", "/..", "/.", "\\", "é", "\t", "\n",
        ]).prop_map(str::to_owned),
        1 => "[\\x01-\\x7f]".prop_filter("ends a query", |text| text != "#"),
        2 => "[a-bA2e./?&=+;'\"<>{|}^`\\[\\]]",
    ];
    prop::collection::vec(one, 0..12).prop_map(|all| all.concat())
}

fn urls() -> impl Strategy<Value = String> {
    let host =
        "(https|http|HTTPS)://(h|H\\.example|edge\\.example|\\[::1\\])(:|:80|:443|:0443|:8080)?";
    let path = prop_oneof![Just(""), Just("/"), Just("\\")];
    let path = prop_oneof![
        Just(String::new()),
        (path, odd()).prop_map(|(slash, odd)| match slash {
            "" => String::new(),
            slash => format!("{slash}{odd}"),
        })
    ];
    let query = prop::option::of(odd());
    (host, path, query, "(#[a-z?/é]{0,3})?").prop_map(|(host, path, query, fragment)| {
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        format!("{host}{path}{query}{fragment}")
    })
}

/// The path and the query of a URL, as a server receives them.
fn sent(url: &Url) -> String {
    url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
}

/// The meaning of a URL, computed independently of the code under test: its segments and pairs,
/// decoded unless they contain a broken escape.
fn meaning(url: &str) -> impl PartialEq {
    let url = Url::parse(url).unwrap();
    let pair = |pair: &str| pair.splitn(2, '=').map(decoded).collect::<Vec<_>>();
    (
        url.origin().ascii_serialization(),
        url.path().split('/').map(decoded).collect::<Vec<_>>(),
        url.query()
            .map(|query| query.split('&').map(pair).collect::<Vec<_>>()),
    )
}

fn decoded(text: &str) -> Vec<u8> {
    let octet = |text: &[u8]| {
        let digits = text
            .get(1..3)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).ok()
    };
    let mut text = text.as_bytes().to_vec();
    for raw in *b"[]^`{|}\\" {
        while let Some(at) = text.iter().position(|&byte| byte == raw) {
            text.splice(at..=at, format!("%{raw:02X}").into_bytes());
        }
    }
    let signs: Vec<_> = (0..text.len())
        .rev()
        .filter(|&at| text[at] == b'%')
        .collect();
    if signs.iter().all(|&at| octet(&text[at..]).is_some()) {
        for at in signs {
            let octet = octet(&text[at..]).unwrap();
            // A reserved character is not the same as its escape.
            match b"!$&'()*+,;=:@/?#%".contains(&octet) {
                true => text[at..at + 3].make_ascii_uppercase(),
                false => drop(text.splice(at..at + 3, [octet])),
            }
        }
    }
    text
}

proptest! {
    #[test]
    fn the_normal_form_is_its_own(url in urls()) {
        let once = normal(&url).unwrap();
        prop_assert_eq!(normal(&once), Some(once.clone()));
        prop_assert!(once.bytes().all(|byte| byte.is_ascii_graphic()), "{}", once);
        let target = Target::of(&once).unwrap();
        let copied = matches!(target.query, Some(Cow::Owned(_)));
        prop_assert!(!copied || once.contains('%'), "{}", once);
    }

    /// Therefore the platform sends exactly this text.
    #[test]
    fn the_url_standard_leaves_the_normal_form_as_it_is(url in urls()) {
        let once = normal(&url).unwrap();
        let parsed = Url::parse(&once).unwrap();
        prop_assert_eq!(parsed.as_str(), once);
    }

    /// Therefore it does not matter whether a client, the platform or the gate has parsed the URL
    /// before.
    #[test]
    fn what_the_url_standard_makes_of_a_url_has_the_same_form(url in urls()) {
        let parsed = Url::parse(&url).unwrap();
        prop_assert_eq!(normal(parsed.as_str()), normal(&url));
    }

    /// In both directions: different resources have different normal forms, and the same resource
    /// has one.
    #[test]
    fn two_urls_have_one_form_if_and_only_if_they_mean_the_same(
        one in urls(),
        spelling in prop::collection::vec(0_usize..4, 64),
        other in urls(),
    ) {
        let respelt = respelt(&normal(&one).unwrap(), &spelling);
        for other in [respelt, other] {
            let same = meaning(&one) == meaning(&other);
            prop_assert_eq!(normal(&one) == normal(&other), same, "{:?} {:?}", one, other);
        }
    }

    /// The path that is routed and limited by its normal form is the path that the origin is asked
    /// for.
    #[test]
    fn what_is_sent_as_written_is_what_was_routed(url in urls()) {
        let once = normal(&url).unwrap();
        let (path, query) = as_written(&url).unwrap();
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let sent_as_written = Url::parse(&format!("http://origin/prefix{path}{query}")).unwrap();
        let sent_normal = Url::parse(&once).unwrap();
        let arrived = normal(sent_as_written.as_str()).unwrap();
        prop_assert_eq!(arrived, format!("http://origin/prefix{}", sent(&sent_normal)));
        // And nothing else differs from what the platform would send.
        let raw = Url::parse(&url).unwrap();
        prop_assert_eq!(sent(&sent_as_written), format!("/prefix{}", sent(&raw)));
    }

    #[test]
    fn no_text_makes_it_panic(url in "\\PC{0,60}|https?://\\PC{0,60}") {
        if let Some(once) = normal(&url) {
            prop_assert_eq!(normal(&once), Some(once));
        }
        let _ = as_written(&url);
    }
}

/// Another spelling of a URL, in most cases of the same resource: octets are escaped, in either
/// case, or not.
fn respelt(url: &str, spelling: &[usize]) -> String {
    let at = url.find("://").unwrap() + 3;
    let (origin, mut rest) = url.split_at(url[at..].find('/').unwrap() + at);
    let mut spelt = origin.to_ascii_uppercase();
    for how in spelling.iter().cycle() {
        let Some(char) = rest.chars().next() else {
            break;
        };
        let escape = rest.get(..3).filter(|text| text.starts_with('%'));
        let raw = escape.and_then(|escape| u8::from_str_radix(&escape[1..], 16).ok());
        match (escape, raw) {
            (Some(_), Some(raw)) if *how == 0 && b"\"<>[]^`{|}".contains(&raw) => {
                spelt.push(char::from(raw));
            }
            (Some(escape), Some(_)) if *how == 1 => spelt.push_str(&escape.to_ascii_lowercase()),
            (Some(escape), Some(_)) => spelt.push_str(escape),
            _ if *how == 0 && char.is_ascii_alphanumeric() => push_escape(&mut spelt, char as u8),
            _ => spelt.push(char),
        }
        rest = &rest[raw.map_or(1, |_| 3)..];
    }
    spelt
}
