use super::*;

#[test]
fn a_right_configuration_is_told_in_words() {
    let text = r#"
        [vars.EDGE]
        origin = "https://api.example.com"
        default_limits = ["per-ip"]
        [vars.EDGE.limits.per-ip]
        by = "ip"
        window = "60s"
        quota = 10
        mode = "shadow"
        [[vars.EDGE.routes]]
        path = "/book"
        methods = ["GET"]
        limits = ["per-ip"]
        [vars.EDGE.routes.cache]
        ttl = "500ms"
        query = ["symbol"]
    "#;
    let summary = check(Path::new("wrangler.toml"), text).unwrap();
    for line in [
        "  per-ip: 10 per 1m for each address, only reported\n",
        "GET /book: per-ip; cached as the origin says, else for 500ms",
        "by query symbol",
        "  everything else: per-ip\n",
    ] {
        assert!(summary.contains(line), "{line:?} is not in:\n{summary}");
    }
}

#[test]
fn headers_are_told_of_when_they_are_not_the_usual_ones() {
    let told = |fields: &str| {
        let text = format!("[vars.EDGE]\norigin = 'https://api.example.com'\n{fields}");
        let summary = check(Path::new("wrangler.toml"), &text).unwrap();
        let mut lines = summary.lines();
        let line = lines.find_map(|line| line.strip_prefix("headers  "));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(told(""), "");
    assert_eq!(told("headers = 'draft-10'\npartition_key = false"), "");
    for (fields, line) in [
        (
            "partition_key = true",
            "RateLimit as of the IETF's draft 10, with partition keys",
        ),
        ("headers = 'draft-7'", "RateLimit as of the IETF's draft 7"),
        (
            "headers = 'legacy'",
            "X-RateLimit-Limit, -Remaining and -Reset",
        ),
        (
            "headers = 'none'\npartition_key = true",
            "none tell clients their limits (partition_key has no effect on these)",
        ),
    ] {
        assert_eq!(told(fields), line);
    }
}

#[test]
fn everything_wrong_is_named() {
    let wrong = |file: &str, text: &str| check(Path::new(file), text).unwrap_err();
    let problems = wrong(
        "wrangler.toml",
        "[vars.EDGE]\norigin = 'x'\nnonsense = 1\n[vars.EDGE.limits.a]\nwindow = '60'",
    );
    assert!(problems.len() >= 3, "{problems:?}");
    assert!(problems.iter().any(|p| p.starts_with("limits.a.window: ")));
    assert_eq!(
        wrong("wrangler.toml", "name = 'x'"),
        ["expected a table [vars.EDGE], found nothing"]
    );
    assert!(
        wrong("wrangler.toml", "[[[")
            .concat()
            .starts_with("expected TOML")
    );
    assert!(
        wrong("edge.json", "{")
            .concat()
            .starts_with("expected JSON")
    );
}
