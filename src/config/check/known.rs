//! What is told of a name that is not there.

use serde_json::{Map, Value};

/// What was expected: the name of an entry in a table, with the names that exist.
pub fn one_of(what: &str, table: &Map<String, Value>, table_name: &str) -> String {
    let known: Vec<_> = table.keys().map(String::as_str).collect();
    match known.as_slice() {
        [] => format!("{what} (there are none under `{table_name}`)"),
        _ => format!("{what} ({})", known.join(", ")),
    }
}
