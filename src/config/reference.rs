//! The reference page of the configuration, `docs/configuration.md`, generated from the grammar.

use std::fmt::{self, Write as _};

use super::shape::{Absent, Field, Shape};
use super::size::format_size;

/// A configuration with every field, in TOML.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The reference page of `config`, in Markdown.
pub fn page(config: &Shape) -> String {
    let root = Section {
        path: String::new(),
        doc: "The whole configuration.",
        fields: fields_of(config).unwrap_or_default(),
        is_list: false,
    };
    let mut sections = Vec::new();
    collect(root, &mut sections);
    let mut page = INTRODUCTION.replace("{EXAMPLE}", EXAMPLE);
    for section in &sections {
        // Writing to a `String` cannot fail.
        let _ = write!(page, "{section}");
    }
    page
}

const INTRODUCTION: &str = "\
<!-- Made by `omnitrade-edge schema --markdown` from src/config. Don't edit it here. -->

# Configuration

The configuration is the table `[vars.EDGE]` of `wrangler.toml`. What is too large for that, or is the \
same in all environments, can stand in a file `edge.toml` beside it, in which the same fields have no \
`vars.EDGE.` before them ([deployment](deploy.md#large-configurations)). This page lists every field; the \
same list is a JSON Schema in [`schema/edge.json`](../schema/edge.json). To check a configuration:

```sh
cargo run --features cli -- check wrangler.toml
```

The command reads the `edge.toml` beside the file and every environment, too, and takes \
`wrangler.jsonc` as well. It says in words what the gate will do, or names everything that is wrong, each \
with its path, for example `limits.per-client.window: expected a duration such as \"60s\", found \"60\"`. If a \
configuration is wrong, the Worker writes the same to its log, and answers every request with 500 \
until it is corrected.

- A **duration** is a whole number and a unit: `\"250ms\"`, `\"2s\"`, `\"5m\"`, `\"1h\"`, `\"1d\"`; at most `\"3650d\"`.
- A **size** is a whole number and a unit: `\"512B\"`, `\"64KB\"`, `\"16MB\"`. 1 KB is 1,024 bytes, \
1 MB is 1,024 KB.
- A **name** (of a limit, an origin quota or a plan) has at most 64 letters, digits, `-`, `_` or `.`.

What the fields do together is told in [limits](limits.md), [cache](cache.md), \
[purging](purging.md) and [failure](failure.md).

## Example

Every field there is. Only `origin` is required, and `by`, `window` and `quota` of a limit, `limit` \
and `window` of an origin quota, `path` of a route, `origins` of `cors`, and `jwks` of `client.jwt`.

```toml
{EXAMPLE}```
";

/// One table of the configuration.
struct Section {
    /// The path, such as `limits.NAME.penalty`; empty for the top level.
    path: String,
    doc: &'static str,
    fields: &'static [Field],
    /// Whether the table is an element of a list: `[[…]]`.
    is_list: bool,
}

/// Adds a section, followed by the sections of its nested tables.
fn collect(section: Section, sections: &mut Vec<Section>) {
    let inner: Vec<_> = section
        .fields
        .iter()
        .filter_map(|field| {
            Some(Section {
                path: path_of(&section.path, field),
                doc: field.doc,
                fields: fields_of(&field.shape)?,
                is_list: matches!(field.shape, Shape::List(_)),
            })
        })
        .collect();
    sections.push(section);
    for each in inner {
        collect(each, sections);
    }
}

/// The fields of the table that a shape is or contains, if any.
fn fields_of(shape: &Shape) -> Option<&'static [Field]> {
    match shape {
        Shape::Table(fields) => Some(fields),
        Shape::List(item) | Shape::Map(item) => fields_of(item),
        Shape::Either(one, other) => fields_of(one).or_else(|| fields_of(other)),
        Shape::Advised(shape, _) => fields_of(shape),
        _ => None,
    }
}

/// The path of the table that a field holds.
fn path_of(parent: &str, field: &Field) -> String {
    let name = field.name;
    let path = match parent {
        "" => name.to_owned(),
        _ => format!("{parent}.{name}"),
    };
    match field.shape {
        Shape::Map(_) => format!("{path}.NAME"),
        _ => path,
    }
}

impl fmt::Display for Section {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, doc, .. } = self;
        match path.as_str() {
            "" => writeln!(out, "\n## Top level\n\n`[vars.EDGE]`: {doc}\n")?,
            _ if self.is_list => {
                writeln!(out, "\n## {path}\n\n`[[vars.EDGE.{path}]]`: {doc}\n")?;
            }
            _ => writeln!(out, "\n## {path}\n\n`[vars.EDGE.{path}]`: {doc}\n")?,
        }
        writeln!(
            out,
            "| field | type | default | meaning |\n|---|---|---|---|"
        )?;
        for field in self.fields {
            let name = field.name;
            let anchor = match path.as_str() {
                "" => format!("edge-{name}"),
                _ => format!("{}-{name}", path.replace(".NAME", "").replace('.', "-")),
            };
            let kind = cell(&in_code(&kind(&field.shape, path, field)));
            let default = cell(&default(field));
            let doc = cell(field.doc);
            writeln!(
                out,
                "| <a id=\"{anchor}\"></a>`{name}` | {kind} | {default} | {doc} |"
            )?;
        }
        Ok(())
    }
}

/// The type of a field, in words.
fn kind(shape: &Shape, parent: &str, field: &Field) -> String {
    let link = || {
        let path = path_of(parent, field);
        // Sites that show Markdown derive the anchor from the heading in this way.
        let anchor = path.replace('.', "").to_lowercase();
        format!("[{path}](#{anchor})")
    };
    match shape {
        Shape::Text { expected, .. } => (*expected).to_owned(),
        Shape::Number(_) => shape.expected(),
        Shape::Duration { or_zero: false } => "a duration".to_owned(),
        Shape::Duration { or_zero: true } => "a duration, or \"0s\"".to_owned(),
        Shape::Size(least, most) => {
            format!(
                "a size from \"{}\" to \"{}\"",
                format_size(*least),
                format_size(*most)
            )
        }
        Shape::Integer(least, most) => {
            format!(
                "a whole number from {} to {}",
                grouped(*least),
                grouped(*most)
            )
        }
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::OneOf(words) => {
            let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            match quoted.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, others)) => format!("{} or {last}", others.join(", ")),
                None => String::new(),
            }
        }
        Shape::List(Shape::Table(_)) => format!("a list of tables: {}", link()),
        Shape::List(item) => format!("a list; each item: {}", kind(item, parent, field)),
        Shape::Map(Shape::Table(_)) => format!("a table of tables: {}", link()),
        Shape::Map(item) => format!("a table; each value: {}", kind(item, parent, field)),
        Shape::Table(_) => format!("a table: {}", link()),
        Shape::Either(one, other) => format!(
            "{}, or {}",
            kind(one, parent, field),
            kind(other, parent, field)
        ),
        Shape::Advised(shape, _) => kind(shape, parent, field),
    }
}

fn default(field: &Field) -> String {
    match field.absent {
        Absent::Missing => "required".to_owned(),
        Absent::Is("{}") if matches!(field.shape, Shape::Table(_)) => "its defaults".to_owned(),
        Absent::Is(json) => format!("`{json}`"),
        Absent::Otherwise(applies) => applies.to_owned(),
    }
}

/// Turns quoted text into code.
fn in_code(text: &str) -> String {
    let mut marked = String::new();
    for (n, part) in text.split('"').enumerate() {
        match n % 2 {
            0 => marked.push_str(part),
            _ => {
                let _ = write!(marked, "`\"{part}\"`");
            }
        }
    }
    marked
}

/// A text, escaped for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A number with commas as thousands separators.
fn grouped(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1_000),
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use serde_json::Value;

    use super::super::{Config, grammar};
    use super::*;

    #[test]
    fn the_example_is_valid_and_sets_every_field() {
        let mut example: Value = toml::from_str(EXAMPLE).unwrap();
        let example = example["vars"]["EDGE"].take();
        Config::from_json(example.clone()).unwrap();
        let mut absent = Vec::new();
        look_for(&grammar::CONFIG, &[&example], "", &mut absent);
        assert_eq!(absent, [""; 0], "fields that src/config/example.toml lacks");
    }

    /// Adds to `absent` the fields of `shape` that none of `values` has.
    fn look_for(shape: &Shape, values: &[&Value], path: &str, absent: &mut Vec<String>) {
        match shape {
            Shape::Table(fields) => {
                for field in *fields {
                    let path = format!("{path}.{}", field.name);
                    let inside: Vec<_> = values.iter().filter_map(|v| v.get(field.name)).collect();
                    if inside.is_empty() {
                        absent.push(path.clone());
                    }
                    look_for(&field.shape, &inside, &path, absent);
                }
            }
            Shape::Map(item) | Shape::List(item) => {
                let all = values.iter().flat_map(|value| match value {
                    Value::Object(map) => map.values().collect::<Vec<_>>(),
                    Value::Array(items) => items.iter().collect(),
                    _ => Vec::new(),
                });
                look_for(item, &all.collect::<Vec<_>>(), path, absent);
            }
            // A value has only one of the two forms; the example shows the shorter one.
            _ => {}
        }
    }

    #[test]
    fn numbers_are_grouped_and_quotations_are_code() {
        assert_eq!(grouped(1_000_000_000), "1,000,000,000");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_005), "1,005");
        assert_eq!(
            in_code("one of \"a\" or \"b\""),
            "one of `\"a\"` or `\"b\"`"
        );
    }
}
