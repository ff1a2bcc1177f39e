//! `schema`: prints the grammar of the configuration, as a JSON Schema or as a page to read.

use omnitrade_edge::config::Config;

use crate::Failure;

/// Print the JSON Schema of the configuration
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print the reference page, docs/configuration.md, instead
    #[arg(long)]
    markdown: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<(), Failure> {
    let text = if options.markdown {
        Config::reference()
    } else {
        schema()
    };
    crate::print(&text).map_err(|error| Failure::Runtime(format!("cannot print: {error}")))
}

fn schema() -> String {
    format!("{:#}\n", Config::schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_that_is_checked_in_is_the_one_of_the_code() {
        assert_is_checked_in("schema/edge.json", &schema(), "");
    }

    #[test]
    fn the_reference_page_that_is_checked_in_is_the_one_of_the_code() {
        assert_is_checked_in("docs/configuration.md", &Config::reference(), "--markdown ");
    }

    fn assert_is_checked_in(path: &str, text: &str, option: &str) {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        let checked_in = std::fs::read_to_string(format!("{root}{path}")).unwrap_or_default();
        assert!(
            checked_in == text,
            "{path} is out of date: cargo run --features cli -- schema {option}> {path}"
        );
    }
}
