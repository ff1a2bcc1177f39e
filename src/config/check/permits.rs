//! Whether requests can pass at all: their costs, compared with the quotas and with the shares that
//! routes reserve for themselves.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::error::ConfigProblem;
use super::super::shape::texts;
use super::super::share::{LARGEST, parse_share};
use crate::engine::limit::unreserved;

/// The problems of the `reserve` and the `cost` of routes.
pub fn problems(
    config: &Value,
    limits: &Map<String, Value>,
    routes: &[Value],
) -> Vec<ConfigProblem> {
    let mut kept = BTreeMap::new();
    for (name, text) in routes
        .iter()
        .filter_map(|r| r["reserve"].as_object())
        .flatten()
    {
        let share = text.as_str().and_then(parse_share).unwrap_or(0);
        let others = kept.get(name).copied().unwrap_or(0);
        kept.insert(name.clone(), others + share);
    }
    let permits = Permits {
        limits,
        routes,
        kept,
    };
    let mut problems = Vec::new();
    for (n, route) in routes.iter().enumerate() {
        permits.reserve(n, route, &mut problems);
        let path = format!("routes[{n}]");
        permits.cost(route, &format!("{path}.limits"), &path, &mut problems);
    }
    let mut unclaimed = Map::new();
    unclaimed.insert("limits".to_owned(), config["default_limits"].clone());
    unclaimed.insert("cost".to_owned(), 1.into());
    permits.cost(&unclaimed.into(), "default_limits", "", &mut problems);
    problems
}

struct Permits<'a> {
    limits: &'a Map<String, Value>,
    routes: &'a [Value],
    /// The hundredths of each limit that all routes together keep for themselves.
    kept: BTreeMap<String, u64>,
}

impl Permits<'_> {
    /// Checks that each share is of a limit that the route has and can share with other routes, and
    /// that all shares of one limit leave something.
    fn reserve(&self, n: usize, route: &Value, problems: &mut Vec<ConfigProblem>) {
        let own = texts(&route["limits"]);
        for (name, found) in route["reserve"].as_object().into_iter().flatten() {
            let path = format!("routes[{n}].reserve.{name}");
            if !own.contains(&name.as_str()) {
                let expected = match own.as_slice() {
                    [] => "one of the route's `limits` (it has none)".to_owned(),
                    _ => format!("one of the route's `limits` ({})", own.join(", ")),
                };
                problems.push(ConfigProblem::new(&path, &expected, None));
            } else if self.limits.get(name).is_some_and(|l| l["by"] == "route") {
                // Each route has such a limit for itself, so there is nothing to reserve.
                let expected = "a limit that routes share, not one whose `by` is \"route\"";
                problems.push(ConfigProblem::new(&path, expected, None));
            }
            let before: u64 = self.routes.iter().take(n).map(|r| share(r, name)).sum();
            let here = share(route, name);
            if here > 0 && before + here > LARGEST {
                let expected = format!(
                    "at most \"{LARGEST}%\" of limits.{name} kept by all routes together, of which \
                     those before this one keep \"{before}%\""
                );
                problems.push(ConfigProblem::new(&path, &expected, Some(found)));
            }
        }
    }

    /// Checks that no request costs more than it may use of a quota, because it could never pass.
    fn cost(&self, route: &Value, limits_at: &str, path: &str, problems: &mut Vec<ConfigProblem>) {
        let Some(cost) = route["cost"].as_u64() else {
            return;
        };
        for (n, name) in texts(&route["limits"]).into_iter().enumerate() {
            let Some(least) = self.limits.get(name).and_then(smallest_quota) else {
                continue;
            };
            let kept = self.kept.get(name).copied().unwrap_or(0) - share(route, name);
            // The smallest quota leaves the least.
            let left = unreserved(least, kept);
            if cost <= left {
                continue;
            }
            problems.push(if left == 0 {
                let expected = format!(
                    "a limit of which other routes leave a permit: they keep \"{kept}%\" of each \
                     quota, and the smallest is {least}"
                );
                ConfigProblem::new(&format!("{limits_at}[{n}]"), &expected, Some(&name.into()))
            } else {
                let whose = match kept {
                    0 => format!("the smallest quota of limits.{name}"),
                    _ => format!(
                        "what is left of {least}, the smallest quota of limits.{name}, of which \
                         other routes keep \"{kept}%\""
                    ),
                };
                let expected = format!("at most {left}, {whose}");
                ConfigProblem::new(&format!("{path}.cost"), &expected, Some(&route["cost"]))
            });
        }
    }
}

fn smallest_quota(limit: &Value) -> Option<u64> {
    let plans = limit["plans"].as_object();
    let quotas = [&limit["quota"], &limit["keyed_quota"]].into_iter();
    let all = quotas.chain(plans.into_iter().flat_map(Map::values));
    all.filter_map(Value::as_u64).filter(|q| *q > 0).min()
}

/// The hundredths of a limit that a route reserves for itself.
fn share(route: &Value, limit: &str) -> u64 {
    let text = route["reserve"].get(limit).and_then(Value::as_str);
    text.and_then(parse_share).unwrap_or(0)
}
