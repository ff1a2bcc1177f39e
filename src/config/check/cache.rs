//! The consistency of the fields of a route's cache.

use std::time::Duration;

use serde_json::Value;

use super::super::duration::parse_duration;
use super::super::error::ConfigProblem;
use super::super::shape::texts;
use crate::engine::proxy_names::{Reserved, speaks_for_proxy};

/// The problems of the cache at `path` other than those of its shape.
///
/// `client` is the table of that name; its headers identify the client.
pub fn problems(path: &str, cache: &Value, client: &Value, problems: &mut Vec<ConfigProblem>) {
    let mut problem = |field: &str, expected: &str, found: Option<&Value>| {
        problems.push(ConfigProblem::new(
            &format!("{path}.{field}"),
            expected,
            found,
        ));
    };
    let given = |field: &str| !cache[field].is_null();
    let candle = cache["ttl"] == "candle";
    if cache["override_origin"] == true && !given("ttl") {
        let expected = "a `ttl` beside it, to replace what the response says";
        problem("override_origin", expected, None);
    }
    if given("open_ttl") && !candle {
        problem("open_ttl", "the ttl \"candle\" beside it", None);
    }
    let declared = cache["query"].as_array().map(|_| texts(&cache["query"]));
    if let (true, Some(declared)) = (candle, &declared)
        && !BOUNDS_OF_CANDLES.iter().all(|name| declared.contains(name))
    {
        let expected = "\"interval\" and \"endTime\" in it, beside the ttl \"candle\"";
        problem("query", expected, Some(&cache["query"]));
    }
    let negative = &cache["negative_ttl"];
    let too_long = |text: &str| parse_duration(text).is_some_and(|ttl| ttl > LONGEST_NEGATIVE);
    if negative.as_str().is_some_and(too_long) {
        problem(
            "negative_ttl",
            "a duration of at most \"10m\"",
            Some(negative),
        );
    }
    if given("negative_statuses") && !given("negative_ttl") {
        problem("negative_statuses", "a `negative_ttl` beside it", None);
    }
    let statuses = &cache["negative_statuses"];
    if statuses.as_array().is_some_and(Vec::is_empty) {
        problem("negative_statuses", "at least one status", Some(statuses));
    }
    for field in ["normalize", "defaults"] {
        let names = cache[field].as_object().into_iter().flatten();
        for (name, _) in names {
            let expected = match &declared {
                None => "a list `query` beside it that names the parameter".to_owned(),
                Some(declared) if declared.contains(&name.as_str()) => continue,
                Some(declared) if declared.is_empty() => "a parameter of `query` (none)".to_owned(),
                Some(declared) => format!("a parameter of `query` ({})", declared.join(", ")),
            };
            problem(&format!("{field}.{name}"), &expected, None);
        }
    }
    if declared.is_none() && matches!(cache["unknown_query"].as_str(), Some("pass" | "refuse")) {
        let expected = "a list `query` beside it (without one every parameter is known)";
        problem("unknown_query", expected, Some(&cache["unknown_query"]));
    }
    if given("forward") && declared.is_none() {
        let expected = "a list `query` beside it (without one all headers go to the origin)";
        problem("forward", expected, None);
    }
    let vary: Vec<_> = texts(&cache["vary"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    for field in ["forward", "vary"] {
        for (n, name) in texts(&cache[field]).into_iter().enumerate() {
            if let Some(why) = never_forwarded(name, client, &vary) {
                let expected = format!("the name of a header that reaches the origin ({why})");
                problem(&format!("{field}[{n}]"), &expected, Some(&name.into()));
            }
        }
    }
}

/// Why the gate removes a header of this name from every request; `None` if it does not.
fn never_forwarded(name: &str, client: &Value, vary: &[String]) -> Option<&'static str> {
    let keys = &client["api_key_header"];
    let keys = keys.as_str().into_iter().chain(texts(keys));
    let keys: Vec<_> = keys.map(str::to_owned).collect();
    let reserved = Reserved {
        api_keys: &keys,
        ip: client["ip_header"].as_str().unwrap_or_default(),
        vary,
    };
    match (reserved.takes_off(name), speaks_for_proxy(name)) {
        (false, _) => None,
        (true, true) => Some("a client could speak for the gate in this one: it is taken off"),
        (true, false) => Some("servers may take this one for another header: it is taken off"),
    }
}

/// The query parameters that determine how long a response with candles stays valid.
const BOUNDS_OF_CANDLES: [&str; 2] = ["interval", "endTime"];

/// The longest `negative_ttl`: it bounds how long clients are told that a resource does not exist
/// after it was created.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(600);
