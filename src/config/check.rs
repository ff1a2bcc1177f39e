//! The checks of a configuration that its shape cannot express: names that must exist, and values
//! that must be consistent with each other. They read values whose shape may be wrong, so that all
//! errors are found at once.

mod cache;
mod cors;
mod known;
mod permits;
#[cfg(feature = "queue")]
mod queue;
mod tags;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::engine::route::{Pattern, PatternError};

use super::duration::parse_duration;
use super::error::ConfigProblem;
use super::method::{is_method, is_registered};
use super::shape::{is_name, texts};
use known::one_of;

/// The problems of a configuration other than those of its shape.
pub fn problems(config: &Value) -> Vec<ConfigProblem> {
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
    let extra_methods = texts(&config["extra_methods"]);
    let mut claims = Claims::default();
    for (n, route) in routes.iter().enumerate() {
        let path = format!("routes[{n}]");
        names(
            limits,
            &format!("{path}.limits"),
            &route["limits"],
            &mut problems,
        );
        origin_quota(config, &path, route, &mut problems);
        let cache = &route["cache"];
        cache::problems(
            &format!("{path}.cache"),
            cache,
            &config["client"],
            &mut problems,
        );
        tags::check(&path, route, &mut problems);
        parameters(&path, route, &mut problems);
        #[cfg(feature = "queue")]
        queue::problems(config, &path, route, &mut problems);
        let named = format!("{path}.methods");
        methods(&named, &route["methods"], &extra_methods, &mut problems);
        for m in claims.add(n, route) {
            problems.push(ConfigProblem::new(
                &format!("{path}.path"),
                &format!("a path that routes[{m}] does not claim for the same methods"),
                Some(&route["path"]),
            ));
        }
    }
    let cors = &config["cors"];
    methods(
        "cors.allow_methods",
        &cors["allow_methods"],
        &extra_methods,
        &mut problems,
    );
    problems.extend(cors::problems(cors));
    problems.extend(permits::problems(config, limits, routes));
    problems
}

/// Checks that each name is that of a limit, and that none is repeated.
fn names(
    limits: &Map<String, Value>,
    path: &str,
    names: &Value,
    problems: &mut Vec<ConfigProblem>,
) {
    let names = texts(names);
    for (n, name) in names.iter().enumerate() {
        let found = Value::from(*name);
        let path = format!("{path}[{n}]");
        if !limits.contains_key(*name) {
            let expected = one_of("the name of a limit", limits, "limits");
            problems.push(ConfigProblem::new(&path, &expected, Some(&found)));
        } else if names.iter().take(n).any(|earlier| earlier == name) {
            problems.push(ConfigProblem::new(&path, "each limit once", Some(&found)));
        }
    }
}

fn limit_problems(name: &str, limit: &Value, problems: &mut Vec<ConfigProblem>) {
    let without_keys = matches!(limit["by"].as_str(), Some("ip" | "route" | "global"));
    let plans = limit["plans"].as_object().is_some_and(|p| !p.is_empty());
    let of_keys = [
        ("keyed_quota", !limit["keyed_quota"].is_null()),
        ("plans", plans),
    ];
    for (field, given) in of_keys {
        if given && without_keys {
            // If the limit counts by address, a made-up key would get a larger quota.
            problems.push(ConfigProblem::new(
                &format!("limits.{name}.{field}"),
                "no such field where `by` is neither \"client\" nor \"api-key\" nor \"user\"",
                None,
            ));
        }
    }
    let penalty = &limit["penalty"];
    let duration = |field: &str| parse_duration(penalty[field].as_str()?);
    if let Some(max) = penalty["max"].as_str()
        && duration("max").is_some_and(|max| duration("hold").is_some_and(|hold| hold > max))
    {
        problems.push(ConfigProblem::new(
            &format!("limits.{name}.penalty.hold"),
            &format!("a duration no longer than `max`, \"{max}\""),
            Some(&penalty["hold"]),
        ));
    }
}

/// Checks that the path of a route can match a request.
fn parameters(path: &str, route: &Value, problems: &mut Vec<ConfigProblem>) {
    let pattern = route["path"].as_str().map(Pattern::parse);
    if pattern == Some(Err(PatternError::Parameter)) {
        problems.push(ConfigProblem::new(
            &format!("{path}.path"),
            "a path without `;`, also written `%3B` (it and what follows it in a segment of a request \
             are left off before the path is matched, so this one would never match)",
            Some(&route["path"]),
        ));
    }
}

/// If `origin_quota` is a name: checks that a quota of that name exists.
fn origin_quota(config: &Value, path: &str, route: &Value, problems: &mut Vec<ConfigProblem>) {
    let none = Map::new();
    let known = config["origin_quotas"].as_object().unwrap_or(&none);
    if let Value::String(name) = &route["origin_quota"]
        && is_name(name)
        && !known.contains_key(name)
    {
        problems.push(ConfigProblem::new(
            &format!("{path}.origin_quota"),
            &one_of("the name of an origin quota", known, "origin_quotas"),
            Some(&route["origin_quota"]),
        ));
    }
}

/// The methods in a list are registered, or named as further ones.
fn methods(path: &str, list: &Value, extra: &[&str], problems: &mut Vec<ConfigProblem>) {
    for (n, method) in texts(list).into_iter().enumerate() {
        if is_method(method) && !is_registered(method) && !extra.contains(&method) {
            problems.push(ConfigProblem::new(
                &format!("{path}[{n}]"),
                &format!(
                    "a method of the IANA HTTP Method Registry, such as \"GET\" (if there is a method \
                     {method} here, name it at the top: extra_methods = [\"{method}\"])"
                ),
                Some(&method.into()),
            ));
        }
    }
}

/// Which routes claim a path, by its pattern.
#[derive(Default)]
struct Claims<'a>(BTreeMap<Pattern, Vec<(usize, &'a Value)>>);

impl<'a> Claims<'a> {
    /// Adds route `n`. Which earlier ones claim the same path for the same methods?
    fn add(&mut self, n: usize, route: &'a Value) -> Vec<usize> {
        let path = route["path"].as_str().map(Pattern::parse);
        let Some(Ok(pattern)) = path else {
            return Vec::new();
        };
        let same_path = self.0.entry(pattern).or_default();
        let overlapping = same_path.iter().filter(|(_, other)| overlap(other, route));
        let overlapping = overlapping.map(|(m, _)| *m).collect();
        same_path.push((n, route));
        overlapping
    }
}

/// Whether two routes with one path claim the same method.
fn overlap(a: &Value, b: &Value) -> bool {
    #[cfg(feature = "queue")]
    let (a, b) = (&queue::with_methods(a), &queue::with_methods(b));
    match (a["methods"].as_array(), b["methods"].as_array()) {
        (Some(a), Some(b)) => a.iter().any(|method| b.contains(method)),
        (None, None) => true,
        // Only one of them names methods: that one takes precedence for these.
        _ => false,
    }
}

#[cfg(test)]
mod tests;
