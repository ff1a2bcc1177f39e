//! Lays one configuration over another: the variable `EDGE` over the configuration that the Worker
//! was built with.

use serde_json::{Map, Value};

/// Lays `over` over `base`, by the rules of JSON Merge Patch (RFC 7396): tables are merged field by
/// field, everything else replaces what is there, and `null` takes it away.
///
/// ```
/// # use omnitrade_edge::config::laid_over;
/// # use serde_json::json;
/// let base = json!({ "redis": { "timeout": "1s", "key_prefix": "ot" }, "routes": [1, 2] });
/// let over = json!({ "redis": { "timeout": "2s" }, "routes": [] });
/// let both = json!({ "redis": { "timeout": "2s", "key_prefix": "ot" }, "routes": [] });
/// assert_eq!(laid_over(base, over), both);
/// ```
pub fn laid_over(base: Value, over: Value) -> Value {
    let Value::Object(over) = over else {
        return over;
    };
    let mut base = match base {
        Value::Object(base) => base,
        _ => Map::new(),
    };
    // A new table: code that removes from one is found nowhere else, and takes 2 kB.
    let mut merged = Map::new();
    for (name, below) in &mut base {
        if !over.contains_key(name) {
            merged.insert(name.clone(), below.take());
        }
    }
    for (name, above) in over {
        if !above.is_null() {
            let below = base.get_mut(&name).map(Value::take).unwrap_or_default();
            merged.insert(name, laid_over(below, above));
        }
    }
    Value::Object(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn it_merges_as_json_merge_patch_does() {
        for (base, over, both) in [
            (
                json!({ "a": "b" }),
                json!({ "a": "c" }),
                json!({ "a": "c" }),
            ),
            (
                json!({ "a": "b" }),
                json!({ "b": "c" }),
                json!({ "a": "b", "b": "c" }),
            ),
            (json!({ "a": "b" }), json!({ "a": null }), json!({})),
            (
                json!({ "a": "b", "b": "c" }),
                json!({ "a": null }),
                json!({ "b": "c" }),
            ),
            (
                json!({ "a": ["b"] }),
                json!({ "a": "c" }),
                json!({ "a": "c" }),
            ),
            (
                json!({ "a": "c" }),
                json!({ "a": ["b"] }),
                json!({ "a": ["b"] }),
            ),
            (
                json!({ "a": { "b": "c" } }),
                json!({ "a": { "b": "d", "c": null } }),
                json!({ "a": { "b": "d" } }),
            ),
            (
                json!({ "a": [{ "b": "c" }] }),
                json!({ "a": [1] }),
                json!({ "a": [1] }),
            ),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({ "a": "b" }), json!(["c"]), json!(["c"])),
            (json!({ "a": "foo" }), json!(null), json!(null)),
            (json!({ "a": "foo" }), json!("bar"), json!("bar")),
            (
                json!({ "e": null }),
                json!({ "a": 1 }),
                json!({ "e": null, "a": 1 }),
            ),
            (
                json!([1, 2]),
                json!({ "a": "b", "c": null }),
                json!({ "a": "b" }),
            ),
            (
                json!({}),
                json!({ "a": { "bb": { "ccc": null } } }),
                json!({ "a": { "bb": {} } }),
            ),
        ] {
            assert_eq!(laid_over(base.clone(), over.clone()), both, "{base} {over}");
        }
    }
}
