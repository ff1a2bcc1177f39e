//! What the fields of `cors` ask of each other.

use serde_json::Value;

use super::super::duration::parse_duration;
use super::super::error::ConfigProblem;
use super::super::shape::texts;

/// What is wrong with the table.
pub fn problems(cors: &Value) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let credentials = cors["credentials"] == true;
    for (field, what) in [
        ("origins", "an origin"),
        ("expose", "a header"),
        ("allow_headers", "a header"),
    ] {
        let listed = texts(&cors[field]);
        for (n, _) in listed.iter().enumerate().filter(|(_, text)| **text == "*") {
            let path = format!("cors.{field}[{n}]");
            let found = Value::from("*");
            if credentials {
                let expected = format!(
                    "{what} by its name, as `credentials` is true (browsers take no \"*\" for \
                     requests with credentials)"
                );
                problems.push(ConfigProblem::new(&path, &expected, Some(&found)));
            } else if listed.len() > 1 && field == "origins" {
                let expected = "\"*\" alone, or no \"*\" in the list";
                problems.push(ConfigProblem::new(&path, expected, Some(&cors[field])));
            }
        }
    }
    if let Some(age) = cors["max_age"].as_str().and_then(parse_duration)
        && age.subsec_nanos() != 0
    {
        let expected = "a whole number of seconds, such as \"10m\"";
        let path = "cors.max_age";
        problems.push(ConfigProblem::new(path, expected, Some(&cors["max_age"])));
    }
    for field in ["allow_methods", "allow_headers", "max_age"] {
        if !cors[field].is_null() && cors["preflight"] != true {
            problems.push(ConfigProblem::new(
                &format!("cors.{field}"),
                "no such field unless `preflight` is true (the origin answers preflights, and says this)",
                None,
            ));
        }
    }
    problems
}
