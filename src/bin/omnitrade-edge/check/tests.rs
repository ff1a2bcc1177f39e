use std::path::Path;

use super::*;

/// What `check` says of a file with this text, or what is wrong with it.
fn checked(file: &str, text: &str) -> Result<String, Vec<String>> {
    told(&Configurations::of(Path::new(file), text, None)?)
}

/// The same of a file beside an `edge.toml`.
fn checked_over(edge: &str, text: &str) -> Result<String, Vec<String>> {
    let built = Some((Path::new("edge.toml"), edge));
    told(&Configurations::of(
        Path::new("wrangler.toml"),
        text,
        built,
    )?)
}

fn summary_of(text: &str) -> String {
    checked("wrangler.toml", text).unwrap()
}

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
    let summary = summary_of(text);
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
fn a_secret_is_advised_where_keys_or_users_are_counted() {
    let of = |by: &str| {
        summary_of(&format!(
            "[vars.EDGE]\norigin = 'https://api.example.com'\n\
             limits = {{ a = {{ by = '{by}', window = '60s', quota = 1 }} }}"
        ))
    };
    let line =
        "secret   EDGE_KEY_SECRET: set it, or those who can read the store can check guesses";
    for by in ["client", "api-key", "user"] {
        assert!(of(by).contains(line), "{}", of(by));
    }
    for by in ["ip", "route", "global"] {
        assert!(!of(by).contains("EDGE_KEY_SECRET"), "{}", of(by));
    }
}

#[test]
fn every_choice_of_the_grammar_has_words() {
    let schema = Config::schema();
    let choices = |pointer: &str| {
        let node = schema.pointer(pointer).expect(pointer);
        let words = node["enum"].as_array().expect(pointer);
        words
            .iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let limit = "/properties/limits/additionalProperties/properties";
    let cache = "/properties/routes/items/properties/cache/properties";
    let mut told = 0;
    for (pointer, at) in [
        (
            "/properties/client/properties/keys".to_owned(),
            "/client/keys",
        ),
        ("/properties/headers".to_owned(), "/headers"),
        (
            "/properties/redis/properties/on_failure".to_owned(),
            "/redis/on_failure",
        ),
        (format!("{limit}/by"), "/limits/l/by"),
        (format!("{limit}/mode"), "/limits/l/mode"),
        (format!("{limit}/strategy"), "/limits/l/strategy"),
        (format!("{limit}/on_failure"), "/limits/l/on_failure"),
        (
            format!("{cache}/normalize/additionalProperties"),
            "/routes/0/cache/normalize/q",
        ),
        (
            format!("{cache}/unknown_query"),
            "/routes/0/cache/unknown_query",
        ),
    ] {
        for word in choices(&pointer) {
            let mut config = serde_json::json!({
                "origin": "https://api.example.com",
                "headers": "draft-10",
                "client": { "keys": "any" },
                "redis": { "on_failure": "local" },
                "limits": {
                    "keyed": { "by": "client", "window": "60s", "quota": 1, "keyed_quota": 2 },
                    "l": {
                        "by": "ip", "window": "60s", "quota": 1,
                        "mode": "enforce", "strategy": "exact", "on_failure": "local",
                    },
                },
                "routes": [{ "path": "/a", "limits": ["l"], "cache": {
                    "ttl": "1s", "query": ["q"], "normalize": { "q": "upper" },
                    "unknown_query": "drop",
                } }],
            });
            *config.pointer_mut(at).expect(at) = word.clone().into();
            let summary = Summary(&Config::from_json(config).expect(&word)).to_string();
            assert!(
                !summary.contains(UNDESCRIBED),
                "{at} = {word:?}:\n{summary}"
            );
            told += 1;
        }
    }
    assert!(told >= 20, "{told}");
}

#[test]
fn what_a_cache_stores_beyond_the_usual_is_told() {
    let told = |fields: &str| {
        let text = format!(
            "[vars.EDGE]\norigin = 'https://api.example.com'\n\
             [[vars.EDGE.routes]]\npath = '/book'\ncache = {{ {fields} }}"
        );
        let summary = summary_of(&text);
        let line = summary.lines().find(|line| line.contains("/book"));
        line.and_then(|line| line.split_once("; "))
            .map(|(_, cache)| cache.to_owned())
            .unwrap()
    };
    let plain = "cached as the origin says";
    assert_eq!(told(""), format!("{plain}, else by its Last-Modified"));
    assert_eq!(told("heuristic = false"), plain);
    assert_eq!(
        told("heuristic = false, server_errors = true, set_cookie = true, strict_age = true"),
        format!("{plain}, server errors too, with cookies, not of an unclear Age")
    );
    assert_eq!(told("ttl = '1s'"), format!("{plain}, else for 1s"));
    assert_eq!(
        told(
            "ttl = 'candle', open_ttl = '2s', negative_ttl = '5s', \
             query = ['symbol', 'interval', 'endTime'], normalize = { symbol = 'upper' }, \
             defaults = { interval = '1h' }, forward = ['accept', 'x-api-key']"
        ),
        format!(
            "{plain}, else until its last candle closes, 2s at most while that is open, for 30d \
             when all had closed, 400, 404 and 410 for 5s, by query symbol and interval and endTime, \
             symbol in capitals, interval 1h where it is absent, beside that the origin gets accept \
             and x-api-key"
        )
    );
    assert_eq!(
        told("ttl = 'candle', override_origin = true"),
        "cached until its last candle closes, for 30d when all had closed"
    );
    assert_eq!(
        told(
            "ttl = '1s', negative_ttl = '5s', negative_statuses = [404, 500], query = ['a'], \
              unknown_query = 'pass'"
        ),
        format!(
            "{plain}, else for 1s, 404 and 500 for 5s, by query a, past the cache with other \
                 parameters"
        )
    );
    for (version, words) in [
        ("json:data.0.id", "by data.0.id in it"),
        ("header:X-Sequence", "by its header x-sequence"),
    ] {
        assert_eq!(
            told(&format!(
                "ttl = '1s', min_ttl = '500ms', version = '{version}'"
            )),
            format!(
                "{plain}, else for 1s, in the store if good for 500ms more, the newest {words}"
            )
        );
    }
}

#[test]
fn how_much_is_kept_where_is_told() {
    let told = |fields: &str| {
        let text = format!("[vars.EDGE]\norigin = 'https://api.example.com'\n{fields}");
        let summary = summary_of(&text);
        let mut lines = summary.lines();
        let line = lines.find_map(|line| line.strip_prefix("cache    "));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(
        told(""),
        "16MB of memory in each isolate, at most 1MB for an entry in the store, compressed from 512B on"
    );
    assert_eq!(
        told("cache = { l1_size = '0B', max_entry = '64KB', compress_from = 'off' }"),
        "0B of memory in each isolate, at most 64KB for an entry in the store, never compressed"
    );
}

#[test]
fn headers_are_told_of_when_they_are_not_the_usual_ones() {
    let told = |fields: &str| {
        let text = format!("[vars.EDGE]\norigin = 'https://api.example.com'\n{fields}");
        let summary = summary_of(&text);
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
    let wrong = |file: &str, text: &str| checked(file, text).unwrap_err();
    let problems = wrong(
        "wrangler.toml",
        "[vars.EDGE]\norigin = 'x'\nnonsense = 1\n[vars.EDGE.limits.a]\nwindow = '60'",
    );
    assert!(problems.len() >= 3, "{problems:?}");
    assert!(
        problems
            .iter()
            .any(|p| p.starts_with("wrangler.toml: limits.a.window: "))
    );
    assert_eq!(
        wrong("wrangler.toml", "name = 'x'"),
        ["wrangler.toml: expected a table [vars.EDGE], found nothing"]
    );
    assert!(
        wrong("wrangler.toml", "[[[")
            .concat()
            .starts_with("wrangler.toml: expected TOML")
    );
    assert!(
        wrong("edge.json", "{")
            .concat()
            .starts_with("edge.json: expected JSON")
    );
}

/// A configuration whose limits and routes use all that the command describes.
const FULL: &str = r#"
    [vars.EDGE]
    origin = "https://api.example.com"
    [vars.EDGE.client]
    keys = "registered"
    [vars.EDGE.limits.per-client]
    by = "client"
    window = "60s"
    quota = 10
    keyed_quota = 100
    plans = { pro = 1000 }
    strategy = "lease"
    penalty = { max = "10m" }
    [vars.EDGE.origin_quotas.coingecko]
    limit = 10
    window = "60s"
    [[vars.EDGE.routes]]
    path = "/orders"
    limits = ["per-client"]
    refund_on = [502, 503]
    reserve = { per-client = "20%" }
    origin_quota = { limit = 50, window = "1s" }
    [[vars.EDGE.routes]]
    path = "/markets"
    origin_quota = "coingecko"
"#;

#[test]
fn every_part_of_a_limit_and_of_a_route_is_told() {
    let summary = summary_of(FULL);
    for line in [
        "clients  by x-api-key if the key is registered, else by cf-connecting-ip (IPv6 by /64)\n",
        "  per-client: 10 per 1m for each client, 100 with a registered API key, 1000 with plan pro, \
         permits fetched ahead, after 20 refusals in a window held off for 1m, each further time \
         twice as long, at most 10m\n",
        "origin quotas\n  coingecko: at most 10 calls of the origin per 1m by all edges together\n",
        "  all methods /orders: per-client, permits back on 502, 503, keeps 20% of per-client for \
         itself, at most 50 calls of the origin per 1s by all edges together\n",
        "  all methods /markets: none, calls of the origin by origin quota coingecko\n",
    ] {
        assert!(summary.contains(line), "{line:?} is not in:\n{summary}");
    }
}

#[test]
fn plans_without_registered_keys_are_told_to_be_in_vain() {
    let text = FULL.replace("\"registered\"", "\"any\"");
    let summary = summary_of(&text);
    let line = "1000 with plan pro (plans have no effect unless client.keys is \"registered\" or \
                client.jwt.plan_claim is set)";
    assert!(summary.contains(line), "{line:?} is not in:\n{summary}");
}

#[test]
fn whom_limits_count_is_told_in_words() {
    let told = |client: &str| {
        let limit =
            "{ by = \"user\", window = \"60s\", quota = 1, keyed_quota = 2, plans = { a = 3 } }";
        summary_of(&format!(
            "[vars.EDGE]\norigin = \"https://a.example\"\nlimits.l = {limit}\n[vars.EDGE.client]\n{client}"
        ))
    };
    let jwt = "jwt = { jwks = \"https://login.example/keys\", plan_claim = \"plan\"";
    for (client, lines) in [
        (
            "api_key_header = [\"x-key\", \"Authorization\"]".to_owned(),
            vec![
                "clients  by x-key or the Bearer token of authorization, else by cf-connecting-ip",
                "l: 1 per 1m for each client (users are not known without client.jwt), 2 with an API \
                 key, 3 with plan a (",
            ],
        ),
        (
            format!(
                "api_key_header = [\"Authorization\"]\n{jwt}, issuer = \"me\", audience = \"you\" }}"
            ),
            vec![
                "clients  by cf-connecting-ip",
                "users    by sub of the Bearer tokens of authorization that the keys of \
                 https://login.example/keys verify, issued by me for you, plan by plan\n",
                "l: 1 per 1m for each user, or else each client, 2 with a verified token, 3 with plan a\n",
            ],
        ),
        (
            format!("api_key_header = [\"authorization\", \"x-key\"]\n{jwt} }}"),
            vec![", 2 with an API key or a verified token, 3 with plan a\n"],
        ),
        (
            format!("api_key_header = []\n{jwt} }}"),
            vec![
                "clients  by cf-connecting-ip",
                ", whoever issued them (for any audience: if the issuer signs tokens for others with \
                 these keys, name client.jwt.audience), plan by plan\n",
                ", 2 with a verified token, 3 with plan a\n",
            ],
        ),
        (
            "api_key_header = []".to_owned(),
            vec![", 2 with an API key, which no header can hold, 3 with plan a ("],
        ),
    ] {
        let summary = told(&client);
        for line in lines {
            assert!(summary.contains(line), "{line:?} is not in:\n{summary}");
        }
    }
}

#[test]
fn the_sample_in_the_readme_is_right() {
    let readme = include_str!("../../../../README.md");
    let (_, sample) = readme.split_once("```toml\n").unwrap();
    let (sample, _) = sample.split_once("```").unwrap();
    assert_eq!(checked("wrangler.toml", sample).err(), None);
}

/// A table of `count` routes of a Wrangler configuration, or of `edge.toml`.
fn routes(prefix: &str, count: usize) -> String {
    (0..count)
        .map(|n| format!("[[{prefix}routes]]\npath = '/api/v1/resource-number-{n}/{{id}}'\n"))
        .collect()
}

#[test]
fn a_variable_beyond_5_kb_is_refused_with_its_size_and_the_remedy() {
    let edge = |count| {
        let routes = routes("vars.EDGE.", count);
        format!("[vars.EDGE]\norigin = 'https://api.example.com'\n{routes}")
    };
    assert!(checked("wrangler.toml", &edge(100)).is_ok_and(|told| told.contains("number-99")));
    let problems = checked("wrangler.toml", &edge(130)).unwrap_err();
    let size = |n: usize| format!(r#"{{"path":"/api/v1/resource-number-{n}/{{id}}"}}"#).len();
    let bytes = r#"{"origin":"https://api.example.com","routes":[]}"#.len()
        + (0..130).map(size).sum::<usize>()
        + 129;
    assert_eq!(
        problems,
        [format!(
            "wrangler.toml: vars.EDGE: expected at most 5 KB (5120 bytes of compact JSON), which is all \
             that Cloudflare takes for one variable, found {bytes} bytes: move it, or most of it, to \
             edge.toml beside this file (the same fields without `vars.EDGE.`), which is compiled into \
             the Worker; what stays here is laid over it"
        )]
    );
}

#[test]
fn the_variable_is_measured_to_the_byte_in_utf_8_and_edge_toml_is_not() {
    let of_size = |bytes: usize| {
        let start = r#"{"origin":"https://api.example.com","routes":[{"path":"/é""#;
        let path = "x".repeat(bytes - start.len() - r#""}]}"#.len() + 1);
        format!(
            "[vars.EDGE]\norigin = 'https://api.example.com'\n\
             [[vars.EDGE.routes]]\npath = '/é{path}'"
        )
    };
    assert!(checked("wrangler.toml", &of_size(5_120)).is_ok());
    let problems = checked("wrangler.toml", &of_size(5_121)).unwrap_err();
    assert!(
        problems.concat().contains("found 5121 bytes"),
        "{problems:?}"
    );
    let over = "[vars.EDGE]\norigin = 'https://api.example.com'";
    let told = checked_over(&routes("", 500), over).unwrap();
    assert_eq!(
        told.matches("all methods /api/v1/resource-number-").count(),
        500
    );
}

#[test]
fn edge_toml_is_what_the_variable_is_laid_over() {
    let edge = "origin = 'https://api.example.com'\n[limits.a]\nby = 'ip'\nwindow = '60s'\nquota = 10\n\
                [[routes]]\npath = '/book'\nlimits = ['a']";
    let told = checked_over(
        edge,
        "[vars.EDGE]\norigin = 'https://b.example'\n[vars.EDGE.limits.a]\nquota = 20",
    )
    .unwrap();
    let heading =
        "edge.toml, and over it limits.a.quota, origin from [vars.EDGE] of wrangler.toml\n";
    assert!(told.starts_with(heading), "{told}");
    for line in [
        "origin   https://b.example,",
        "a: 20 per 1m",
        "all methods /book: a\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    let alone = checked_over(edge, "name = 'x'").unwrap();
    let heading =
        "edge.toml (there is no [vars.EDGE] of wrangler.toml)\norigin   https://api.example.com";
    assert!(alone.starts_with(heading), "{alone}");
}

#[test]
fn a_problem_is_told_with_the_file_that_it_is_in() {
    let edge = "[limits.a]\nby = 'ip'\nwindow = '60'\n[limits.'b.c']\nby = 'ip'\nwindow = '60s'\nquota = 1";
    let over = "[vars.EDGE.limits.'b.c']\nquota = 0\n[[vars.EDGE.routes]]\npath = 'x'\n\
                [env.live.vars.EDGE]\norigin = 'x'";
    let mut problems = checked_over(edge, over).unwrap_err();
    problems.sort();
    let starts = [
        "edge.toml: limits.a.quota: expected a whole number",
        "edge.toml: limits.a.window: expected a duration",
        "wrangler.toml: env.live: origin: expected an address",
        "wrangler.toml: limits.b.c.quota: expected a whole number",
        "wrangler.toml: origin: expected an address",
        "wrangler.toml: routes[0].path: expected a path",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
    let prefixed = checked_over("[vars.EDGE]\norigin = 'x'", over).unwrap_err();
    let expected = "edge.toml: vars: expected the fields without `vars.EDGE.` before them";
    assert!(prefixed.concat().starts_with(expected), "{prefixed:?}");
}

#[test]
fn every_environment_is_checked_by_itself() {
    let top = "[vars.EDGE]\norigin = 'https://api.example.com'\n";
    let told = checked(
        "wrangler.toml",
        &format!("{top}[env.staging.vars.EDGE]\norigin = 'https://staging.example.com'"),
    )
    .unwrap();
    for part in [
        "[vars.EDGE] of wrangler.toml\norigin   https://api.example.com,",
        "\n\n[env.staging.vars.EDGE] of wrangler.toml\norigin   https://staging.example.com,",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let problems = checked(
        "wrangler.toml",
        &format!(
            "{top}[env.a.vars.EDGE]\norigin = 'https://a.example'\ndefault_limits = ['none']\n\
             [env.b]\nname = 'b'\n[env.c.vars.EDGE]\nheaders = 'none'\n[env.c.vars]\nX = 'x'"
        ),
    );
    assert_eq!(
        problems.unwrap_err(),
        [
            "wrangler.toml: env.a: default_limits[0]: expected the name of a limit (there are none under \
             `limits`), found \"none\"",
            "wrangler.toml: expected a table [env.b.vars.EDGE] (an environment has none of the variables \
             outside of it), found nothing",
            "wrangler.toml: env.c: origin: expected an address such as \"https://api.example.com\", \
             without user, query or fragment, found nothing",
        ]
    );
    let only = "[env.a.vars.EDGE]\norigin = 'https://a.example'";
    assert!(
        checked("wrangler.toml", only)
            .unwrap()
            .starts_with("origin   https://a.example,")
    );
}

#[test]
fn wranglers_json_is_read_with_comments_and_trailing_commas() {
    let text = r#"{
        // Where the API is.
        "vars": { "EDGE": { "origin": "https://api.example.com", /* nothing */ }, },
        "env": { "a": { "vars": { "EDGE": "{\"origin\":\"https://a.example\"}" } } },
    }"#;
    for file in ["wrangler.json", "wrangler.jsonc", "other.jsonc"] {
        let told = checked(file, text).unwrap();
        assert!(told.contains("origin   https://api.example.com,"), "{told}");
        assert!(
            told.contains("origin   https://a.example,"),
            "as text: {told}"
        );
    }
    let alone = checked("edge.json", r#"{ "origin": "https://api.example.com" }"#).unwrap();
    assert!(
        alone.starts_with("origin   https://api.example.com,"),
        "{alone}"
    );
    let alone = checked("edge.toml", "origin = 'https://api.example.com'").unwrap();
    assert!(
        alone.starts_with("origin   https://api.example.com,"),
        "{alone}"
    );
    for wrong in [
        "{ vars: {} }",
        "{ 'vars': {} }",
        "{ \"vars\": 0x10 }",
        "{ \"a\": 1 \"b\": 2 }",
    ] {
        let problems = checked("wrangler.json", wrong).unwrap_err().concat();
        assert!(
            problems.starts_with("wrangler.json: expected JSON"),
            "{wrong}: {problems}"
        );
    }
    for odd in [
        "",
        "[]",
        "7",
        r#"{ "env": [] }"#,
        r#"{ "env": { "a": 1 } }"#,
        r#"{ "vars": 1 }"#,
    ] {
        assert!(checked("wrangler.json", odd).is_err(), "{odd}");
    }
    let text = checked("wrangler.json", r#"{ "vars": { "EDGE": "x" } }"#).unwrap_err();
    let expected = "wrangler.json: vars.EDGE: expected a table, or JSON as text";
    assert!(text.concat().starts_with(expected), "{text:?}");
}

#[test]
fn a_byte_order_mark_before_json_is_skipped() {
    let text = "\u{feff}{ \"origin\": \"https://api.example.com\" }";
    let told = checked("edge.json", text).unwrap();
    assert!(told.starts_with("origin   https://api.example.com,"));
}

#[test]
fn what_pages_may_read_is_told_in_words() {
    let told = |cors: &str| {
        let text = format!("[vars.EDGE]\norigin = \"https://api.example.com\"\n{cors}");
        let summary = summary_of(&text);
        let line = summary.lines().find(|line| line.starts_with("cors"));
        line.map(str::to_owned)
    };
    assert_eq!(told(""), None);
    for (cors, expected) in [
        (
            r#"cors = { origins = ["https://a.example", "https://b.example"] }"#,
            "pages of https://a.example, https://b.example may read answers, with the gate's own \
             headers; the origin answers preflights",
        ),
        (
            r#"cors = { origins = ["*"], expose = ["ETag"], preflight = true }"#,
            "every page may read answers, with ETag; the gate answers preflights: the route's \
             methods, with the headers that are asked for",
        ),
        (
            r#"cors = { origins = ["https://a.example"], credentials = true, expose = [], preflight = true,
                allow_methods = ["GET", "PUT"], allow_headers = [], max_age = "2h" }"#,
            "pages of https://a.example may read answers and send credentials, with no other \
             headers than they always may; the gate answers preflights: GET, PUT, with no headers \
             but the simple ones, remembered for 2h",
        ),
        (
            "cors = { origins = [] }",
            "no page of another origin may read answers",
        ),
    ] {
        // TOML has tables in one line only.
        let cors = cors
            .split('\n')
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(told(&cors), Some(format!("cors     {expected}")));
    }
    let summary =
        summary_of("[vars.EDGE]\norigin = \"https://a.example\"\nrewrite_location = true");
    assert!(
        summary.contains("\nlocation that names the origin is turned into the client's address\n")
    );
}

#[test]
fn queues_and_their_jobs_are_told_and_ids_of_any_client_warned_of() {
    let of = |queue: &str, enqueue: &str| {
        summary_of(&format!(
            "[vars.EDGE]\norigin = 'https://api.example.com'\n\
             queues = {{ bots = {{ name = 'trading-bots', {queue} }} }}\n\
             [[vars.EDGE.routes]]\npath = '/bots/{{id}}/jobs'\n\
             enqueue = {{ queue = 'bots', job = 'run', {enqueue} }}"
        ))
    };
    let plain = of(
        "prefix = '{bull}'",
        "attempts = 3, backoff = { delay = '1s' }",
    );
    for line in [
        "  bots: trading-bots, keys {bull}:trading-bots:…, for workers of BullMQ 5 and 6\n",
        "  POST /bots/{id}/jobs: none; becomes a job run of queue bots, its id a new one, of at most \
         64KB of JSON, tried 3 times after 1s\n",
    ] {
        assert!(plain.contains(line), "{line:?} is not in:\n{plain}");
    }
    let warning = "warning: two clients can choose the same";
    let header = "'{path.id}-{header.idempotency-key}'";
    for (enqueue, warns) in [
        (format!("id = {header}"), true),
        (format!("deduplication = {{ id = {header} }}"), true),
        ("id = '{client}-{header.idempotency-key}'".into(), false),
        ("id = 'bot-{path.id}'".into(), false),
    ] {
        let told = of("bullmq = 6", &enqueue);
        assert_eq!(told.contains(warning), warns, "{told}");
        assert!(told.contains("BullMQ 6 alone"), "{told}");
    }
    let told = of(
        "bullmq = 5",
        "id = '{client}-{path.id}', remove_on_complete = true",
    );
    assert!(told.contains("removed when completed"), "{told}");
    assert!(told.contains("starts another"), "{told}");
}
