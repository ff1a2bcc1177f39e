//! Whether the tags of a route can be filled for every request.

use serde_json::Value;

use super::super::error::ConfigProblem;
use super::super::shape::texts;
use crate::engine::http_cache::{MOST_TAGS, Place, has_parameter, places};

/// Checks that there are no more tags than the gate reads, and that every request to the route has
/// a value for each placeholder.
pub fn check(path: &str, route: &Value, problems: &mut Vec<ConfigProblem>) {
    let (route_path, cache) = (route["path"].as_str().unwrap_or_default(), &route["cache"]);
    let tags = texts(&cache["tags"]);
    if tags.len() > MOST_TAGS {
        problems.push(ConfigProblem::new(
            &format!("{path}.cache.tags"),
            &format!("at most {MOST_TAGS} tags"),
            Some(&tags.len().into()),
        ));
    }
    let declared = cache["query"].is_array().then(|| texts(&cache["query"]));
    for (n, tag) in tags.iter().enumerate() {
        let wrong = places(tag)
            .unwrap_or_default()
            .into_iter()
            .find_map(|place| match place {
                Place::Query(name) => match &declared {
                    Some(declared) if !declared.contains(&name) => {
                        Some(format!("no `{{query.{name}}}`, which `query` leaves out"))
                    }
                    _ => None,
                },
                Place::Path(name) => (!has_parameter(route_path, name))
                    .then(|| format!("no `{{path.{name}}}`, which the path does not have")),
            });
        if let Some(expected) = wrong {
            problems.push(ConfigProblem::new(
                &format!("{path}.cache.tags[{n}]"),
                &expected,
                Some(&Value::from(*tag)),
            ));
        }
    }
}
