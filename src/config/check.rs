//! What the shape of a configuration cannot say: names that must exist, values that must fit each
//! other. It reads the values as they are, right shape or not, so that all errors come at once.

use serde_json::{Map, Value};

use crate::engine::route::Pattern;

use super::error::Problem;

/// What is wrong with a configuration beside its shape.
pub fn problems(config: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let none = Map::new();
    let limits = config["limits"].as_object().unwrap_or(&none);
    names(
        limits,
        "default_limits",
        &config["default_limits"],
        &mut problems,
    );
    for (name, limit) in limits {
        limit_problems(name, limit, &mut problems);
    }
    let routes = config["routes"].as_array().map_or(&[][..], Vec::as_slice);
    for (n, route) in routes.iter().enumerate() {
        let path = format!("routes[{n}]");
        names(
            limits,
            &format!("{path}.limits"),
            &route["limits"],
            &mut problems,
        );
        cost(limits, &path, route, &mut problems);
        let cache = &route["cache"];
        if cache["override_origin"] == true && cache["ttl"].is_null() {
            problems.push(Problem::new(
                &format!("{path}.cache.override_origin"),
                "a `ttl` beside it, to replace what the response says",
                None,
            ));
        }
        for (m, earlier) in routes.iter().enumerate().take(n) {
            if overlap(earlier, route) {
                problems.push(Problem::new(
                    &format!("{path}.path"),
                    &format!("a path that routes[{m}] does not claim for the same methods"),
                    Some(&route["path"]),
                ));
            }
        }
    }
    problems
}

/// Each names a limit, and none twice.
fn names(limits: &Map<String, Value>, path: &str, names: &Value, problems: &mut Vec<Problem>) {
    let names = texts(names);
    for (n, name) in names.iter().enumerate() {
        let found = Value::from(*name);
        let path = format!("{path}[{n}]");
        if !limits.contains_key(*name) {
            let known: Vec<_> = limits.keys().map(String::as_str).collect();
            let expected = match known.as_slice() {
                [] => "the name of a limit (there are none under `limits`)".to_owned(),
                _ => format!("the name of a limit ({})", known.join(", ")),
            };
            problems.push(Problem::new(&path, &expected, Some(&found)));
        } else if names.iter().take(n).any(|earlier| earlier == name) {
            problems.push(Problem::new(&path, "each limit once", Some(&found)));
        }
    }
}

fn limit_problems(name: &str, limit: &Value, problems: &mut Vec<Problem>) {
    let without_keys = matches!(limit["by"].as_str(), Some("ip" | "route" | "global"));
    if !limit["keyed_quota"].is_null() && without_keys {
        // On a limit by address a made-up key would buy a larger quota.
        problems.push(Problem::new(
            &format!("limits.{name}.keyed_quota"),
            "no such field where `by` is neither \"client\" nor \"api-key\"",
            None,
        ));
    }
}

/// A request that costs more than a quota could never pass.
fn cost(limits: &Map<String, Value>, path: &str, route: &Value, problems: &mut Vec<Problem>) {
    let Some(cost) = route["cost"].as_u64() else {
        return;
    };
    for name in texts(&route["limits"]) {
        let Some(limit) = limits.get(name) else {
            continue;
        };
        let plans = limit["plans"].as_object();
        let quotas = [&limit["quota"], &limit["keyed_quota"]];
        let all = quotas
            .into_iter()
            .chain(plans.into_iter().flat_map(Map::values));
        if let Some(least) = all
            .filter_map(Value::as_u64)
            .filter(|quota| *quota > 0)
            .min()
            .filter(|least| cost > *least)
        {
            problems.push(Problem::new(
                &format!("{path}.cost"),
                &format!("at most {least}, the smallest quota of limits.{name}"),
                Some(&route["cost"]),
            ));
        }
    }
}

fn overlap(a: &Value, b: &Value) -> bool {
    let methods = match (a["methods"].as_array(), b["methods"].as_array()) {
        (Some(a), Some(b)) => a.iter().any(|method| b.contains(method)),
        (None, None) => true,
        // A route for some methods beside one for all the others.
        _ => false,
    };
    let pattern = |route: &Value| Pattern::parse(route["path"].as_str()?).ok();
    methods && pattern(a).is_some_and(|a| pattern(b) == Some(a))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests;
