//! What the shape of a configuration cannot say: names that must exist, values that must fit each
//! other.

use crate::engine::route::Pattern;

use super::error::Problem;
use super::{By, Config, Limit, Route};

/// All that is wrong with a configuration of the right shape.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    names(
        config,
        "default_limits",
        &config.default_limits,
        &mut problems,
    );
    for (name, limit) in &config.limits {
        limit_problems(name, limit, &mut problems);
    }
    for (n, route) in config.routes.iter().enumerate() {
        let path = format!("routes[{n}]");
        names(
            config,
            &format!("{path}.limits"),
            &route.limits,
            &mut problems,
        );
        cost(config, &path, route, &mut problems);
        cache(&path, route, &mut problems);
        for (m, earlier) in config.routes.iter().enumerate().take(n) {
            if overlap(earlier, route) {
                problems.push(Problem::new(
                    &format!("{path}.path"),
                    &format!("a path that routes[{m}] does not claim for the same methods"),
                    Some(&route.path.as_str().into()),
                ));
            }
        }
    }
    problems
}

/// Each names a limit, and none twice.
fn names(config: &Config, path: &str, names: &[String], problems: &mut Vec<Problem>) {
    for (n, name) in names.iter().enumerate() {
        let found = Some(&name.as_str().into()).cloned();
        let path = format!("{path}[{n}]");
        if !config.limits.contains_key(name) {
            let known: Vec<_> = config.limits.keys().map(String::as_str).collect();
            let expected = match known.as_slice() {
                [] => "the name of a limit (there are none under `limits`)".to_owned(),
                _ => format!("the name of a limit ({})", known.join(", ")),
            };
            problems.push(Problem::new(&path, &expected, found.as_ref()));
        } else if names.iter().take(n).any(|earlier| earlier == name) {
            problems.push(Problem::new(&path, "each limit once", found.as_ref()));
        }
    }
}

fn limit_problems(name: &str, limit: &Limit, problems: &mut Vec<Problem>) {
    let keyed = matches!(limit.by, By::Client | By::ApiKey);
    if limit.keyed_quota.is_some() && !keyed {
        // On a limit by address a made-up key would buy a larger quota.
        problems.push(Problem::new(
            &format!("limits.{name}.keyed_quota"),
            "no such field where `by` is neither \"client\" nor \"api-key\"",
            None,
        ));
    }
}

/// A request that costs more than a quota could never pass.
fn cost(config: &Config, path: &str, route: &Route, problems: &mut Vec<Problem>) {
    for name in &route.limits {
        let Some(limit) = config.limits.get(name) else {
            continue;
        };
        let quotas = [Some(limit.quota), limit.keyed_quota];
        let least = quotas
            .into_iter()
            .flatten()
            .chain(limit.plans.values().copied())
            .min();
        if let Some(least) = least.filter(|least| route.cost > *least) {
            problems.push(Problem::new(
                &format!("{path}.cost"),
                &format!("at most {least}, the smallest quota of limits.{name}"),
                Some(&route.cost.into()),
            ));
        }
    }
}

fn cache(path: &str, route: &Route, problems: &mut Vec<Problem>) {
    let Some(cache) = &route.cache else {
        return;
    };
    if cache.override_origin && cache.ttl.is_none() {
        problems.push(Problem::new(
            &format!("{path}.cache.override_origin"),
            "a `ttl` beside it, to replace what the response says",
            None,
        ));
    }
}

fn overlap(a: &Route, b: &Route) -> bool {
    let methods = match (&a.methods, &b.methods) {
        (Some(a), Some(b)) => a.iter().any(|method| b.contains(method)),
        (None, None) => true,
        // A route for some methods beside one for all the others.
        _ => false,
    };
    methods && Pattern::parse(&a.path) == Pattern::parse(&b.path)
}

#[cfg(test)]
mod tests;
