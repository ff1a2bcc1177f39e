//! `schema`: prints the JSON Schema of the configuration.

use omnitrade_edge::config::Config;

use crate::Failure;

/// Prints it.
pub fn run() -> Result<(), Failure> {
    crate::print(&text()).map_err(|error| Failure::Runtime(format!("cannot print: {error}")))
}

fn text() -> String {
    format!("{:#}\n", Config::schema())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_that_is_checked_in_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/edge.json");
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == super::text(),
            "schema/edge.json is out of date: \
             cargo run --features cli -- schema > schema/edge.json"
        );
    }
}
