//! What a route whose requests become jobs has to fit.

use serde_json::{Map, Value, json};

use super::super::error::ConfigProblem;
use super::super::shape::{is_name, texts};
use super::known::one_of;
use crate::engine::http_cache::has_parameter;
use crate::engine::job_id::{Part, Template};

/// Checks that the queue is there, that the path has the parts that ids name, and that the route
/// says nothing of the origin, to which none of its requests goes.
pub fn problems(config: &Value, path: &str, route: &Value, problems: &mut Vec<ConfigProblem>) {
    let enqueue = &route["enqueue"];
    if enqueue.is_null() {
        return;
    }
    let none = Map::new();
    let known = config["queues"].as_object().unwrap_or(&none);
    if let Value::String(name) = &enqueue["queue"]
        && is_name(name)
        && !known.contains_key(name)
    {
        problems.push(ConfigProblem::new(
            &format!("{path}.enqueue.queue"),
            &one_of("the name of a queue", known, "queues"),
            Some(&enqueue["queue"]),
        ));
    }
    let route_path = route["path"].as_str().unwrap_or_default();
    let shared = &enqueue["deduplication"];
    for (field, id) in [("id", &enqueue["id"]), ("deduplication.id", &shared["id"])] {
        let template = id.as_str().and_then(Template::parse);
        let parts = template.iter().flat_map(Template::parts);
        let absent = parts.into_iter().find_map(|part| match part {
            Part::Path(name) if !has_parameter(route_path, name) => Some(name),
            _ => None,
        });
        if let Some(name) = absent {
            problems.push(ConfigProblem::new(
                &format!("{path}.enqueue.{field}"),
                &format!("no `{{path.{name}}}`, which the path does not have"),
                Some(id),
            ));
        }
    }
    for field in ["cache", "origin_quota", "origin_timeout"] {
        if !route[field].is_null() {
            problems.push(ConfigProblem::new(
                &format!("{path}.{field}"),
                "no such field beside `enqueue`: no request of the route goes to the origin",
                None,
            ));
        }
    }
    for (n, method) in texts(&route["methods"]).into_iter().enumerate() {
        if !matches!(method, "POST" | "PUT" | "PATCH") {
            problems.push(ConfigProblem::new(
                &format!("{path}.methods[{n}]"),
                "\"POST\", \"PUT\" or \"PATCH\", whose body is the data of the job",
                Some(&method.into()),
            ));
        }
    }
}

/// The methods of a route, as they are if it names none: one whose requests become jobs claims
/// `POST`.
pub fn with_methods(route: &Value) -> Value {
    match route["methods"].is_null() && !route["enqueue"].is_null() {
        true => json!({ "methods": ["POST"] }),
        false => json!({ "methods": route["methods"] }),
    }
}
