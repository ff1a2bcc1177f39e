//! Reads configurations from files: the variable `EDGE` of a Wrangler configuration and of each of
//! its environments, laid over the `edge.toml` beside it; or a file that holds only the
//! configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jsonc_parser::{ParseOptions, parse_to_serde_value};
use omnitrade_edge::config::{Config, ConfigProblem, laid_over};
use serde_json::{Value, json};

use crate::Failure;

/// The configuration that is compiled into the Worker, beside the Wrangler configuration.
const EDGE_TOML: &str = "edge.toml";

/// The most that Cloudflare takes for one variable, in bytes.
const LARGEST_VARIABLE: usize = 5 * 1_024;

/// The Wrangler configuration in this directory: the first one that Wrangler itself looks for.
pub fn nearby() -> Option<PathBuf> {
    let names = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];
    names
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

/// The configuration for an environment in `file`; without a name, the one for no environment.
///
/// # Errors
///
/// Everything that is wrong with it, one line each; not that it is too large to be deployed.
#[cfg(feature = "reqwest")]
pub fn load(file: &Path, environment: Option<&str>) -> Result<Config, Failure> {
    let mut all = Configurations::read(file)?;
    let wanted = |each: &Configuration| each.environment.as_deref() == environment;
    let Some(n) = all.each.iter().position(wanted) else {
        return Err(Failure::Runtime(match environment {
            Some(name) => format!("{}: expected an environment [env.{name}]", all.file),
            None => format!("{}: {NOTHING}", all.file),
        }));
    };
    let found = all.each.swap_remove(n);
    let checked = all.check(&found);
    checked.map_err(|problems| Failure::Runtime(problems.join("\n")))
}

const NOTHING: &str = "expected a table [vars.EDGE], found nothing";

/// All configurations of a file.
pub struct Configurations {
    /// The name of the file.
    file: String,
    /// What the `edge.toml` beside it says, and its name.
    built: Option<(String, Value)>,
    /// The one for no environment comes first.
    pub each: Vec<Configuration>,
}

/// The configuration for one environment, or for none.
pub struct Configuration {
    /// The environment that it is for, `[env.NAME]`.
    pub environment: Option<String>,
    /// The value of the variable, `None` if there is none; or the whole file, if it holds only the
    /// configuration.
    given: Option<Value>,
    /// The size of the variable as compact JSON; `None` if it is not in a variable.
    bytes: Option<usize>,
    /// The variable that replaces the origin, if there is one.
    origin: Option<Value>,
}

impl Configurations {
    /// Reads a file, and what is beside it.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or there is no configuration in them.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let beside = file.with_file_name(EDGE_TOML);
        let built = (beside != file && beside.exists()).then(|| text_of(&beside));
        let built = built.transpose()?.map(|text| (beside, text));
        let built = built
            .as_ref()
            .map(|(path, text)| (path.as_path(), text.as_str()));
        Self::of(file, &text_of(file)?, built)
            .map_err(|problems| Failure::Runtime(problems.join("\n")))
    }

    /// The same of texts; `built`: the `edge.toml` beside the file.
    pub fn of(file: &Path, text: &str, built: Option<(&Path, &str)>) -> Result<Self, Vec<String>> {
        let name = file.display().to_string();
        let wrong = |problem: String| vec![format!("{name}: {problem}")];
        let mut value = parsed(file, text).map_err(wrong)?;
        let is_wrangler = file.file_stem().is_some_and(|stem| stem == "wrangler")
            || ["vars", "env"]
                .iter()
                .any(|field| value.get(field).is_some());
        if !is_wrangler {
            let only = Configuration {
                environment: None,
                given: Some(value),
                bytes: None,
                origin: None,
            };
            return Ok(Self {
                file: name,
                built: None,
                each: vec![only],
            });
        }
        let built = built
            .map(|(path, text)| built_with(path, text))
            .transpose()?;
        let mut each = vec![Configuration::of(None, &mut value).map_err(wrong)?];
        let environments = value.get_mut("env").and_then(Value::as_object_mut);
        for (environment, settings) in environments.into_iter().flatten() {
            let found = Configuration::of(Some(environment), settings);
            each.push(found.map_err(|problem| wrong(format!("env.{environment}.{problem}")))?);
        }
        // A Worker that is deployed to environments only needs no variable outside of them.
        let elsewhere = each.iter().skip(1).any(|each| each.given.is_some());
        if built.is_none() && each.first().is_some_and(|top| top.given.is_none()) && elsewhere {
            each.remove(0);
        }
        Ok(Self {
            file: name,
            built,
            each,
        })
    }

    /// The configuration that results, or all that is wrong with it: each with the file that it is
    /// in.
    pub fn check(&self, each: &Configuration) -> Result<Config, Vec<String>> {
        let mut merged = match (&self.built, &each.given) {
            (None, None) => return Err(vec![self.absent(each)]),
            (None, Some(only)) | (Some((_, only)), None) => only.clone(),
            (Some((_, built)), Some(over)) => laid_over(built.clone(), over.clone()),
        };
        if let Some(origin) = &each.origin {
            merged = laid_over(merged, json!({ "origin": origin }));
        }
        Config::from_json(merged).map_err(|error| {
            let problems = error.problems().iter();
            problems.map(|problem| self.told(each, problem)).collect()
        })
    }

    /// The problem that the variable is larger than Cloudflare takes, if it is.
    pub fn too_large(&self, each: &Configuration) -> Option<String> {
        let bytes = each.bytes.filter(|bytes| *bytes > LARGEST_VARIABLE)?;
        Some(format!(
            "{}: {}: expected at most 5 KB ({LARGEST_VARIABLE} bytes of compact JSON), which is all that \
             Cloudflare takes for one variable, found {bytes} bytes: move it, or most of it, to \
             {EDGE_TOML} beside this file (the same fields without `{}.`), which is compiled into the \
             Worker; what stays here is laid over it",
            self.file,
            each.place(),
            each.place(),
        ))
    }

    /// The line above the summary of a configuration that is one of several or comes from two
    /// files.
    pub fn heading(&self, each: &Configuration) -> Option<String> {
        let place = format!("[{}] of {}", each.place(), self.file);
        match (&self.built, &each.given) {
            (None, _) if self.each.len() < 2 => None,
            (None, _) => Some(place),
            (Some((built, _)), None) => Some(format!("{built} (there is no {place})")),
            (Some((built, _)), Some(over)) => {
                let mut fields = Vec::new();
                leaves(over, "", &mut fields);
                Some(format!(
                    "{built}, and over it {} from {place}",
                    fields.join(", ")
                ))
            }
        }
    }

    fn absent(&self, each: &Configuration) -> String {
        match &each.environment {
            None => format!("{}: {NOTHING}", self.file),
            Some(_) => format!(
                "{}: expected a table [{}] (an environment has none of the variables outside of it), \
                 found nothing",
                self.file,
                each.place()
            ),
        }
    }

    /// A problem as a line that names the file to correct.
    fn told(&self, each: &Configuration, problem: &ConfigProblem) -> String {
        let found = |value: &Value| depth(value, &problem.path);
        let here = each.given.as_ref().map(found);
        let there = self
            .built
            .as_ref()
            .map(|(name, built)| (name, found(built)));
        match there {
            // A field that both lack is missing among the environment's own.
            Some((name, there)) if here.is_none_or(|here| there > here) => {
                format!("{name}: {problem}")
            }
            _ => match &each.environment {
                Some(environment) => format!("{}: env.{environment}: {problem}", self.file),
                None => format!("{}: {problem}", self.file),
            },
        }
    }
}

impl Configuration {
    /// The configuration for an environment, out of its settings.
    fn of(environment: Option<&str>, settings: &mut Value) -> Result<Self, String> {
        let mut variable = |name| settings.pointer_mut(name).map(Value::take);
        let origin = variable("/vars/EDGE_ORIGIN");
        let (given, bytes) = match variable("/vars/EDGE") {
            // The Worker takes JSON as text, too.
            Some(Value::String(text)) => {
                let read = serde_json::from_str(&text).map_err(|error| {
                    format!("vars.EDGE: expected a table, or JSON as text: {error}")
                })?;
                (Some(read), Some(text.len()))
            }
            Some(value) => {
                let bytes = value.to_string().len();
                (Some(value), Some(bytes))
            }
            None => (None, None),
        };
        Ok(Self {
            environment: environment.map(str::to_owned),
            given,
            bytes,
            // The Worker, too, takes an empty text for none.
            origin: origin.filter(|origin| origin != ""),
        })
    }

    /// The path of its variable.
    fn place(&self) -> String {
        match &self.environment {
            Some(name) => format!("env.{name}.vars.EDGE"),
            None => "vars.EDGE".to_owned(),
        }
    }
}

/// Reads `edge.toml`.
fn built_with(path: &Path, text: &str) -> Result<(String, Value), Vec<String>> {
    let name = path.display().to_string();
    let value = parsed(path, text).map_err(|problem| vec![format!("{name}: {problem}")])?;
    if value.get("vars").is_some() {
        return Err(vec![format!(
            "{name}: vars: expected the fields without `vars.EDGE.` before them: [limits.NAME], [[routes]]"
        )]);
    }
    Ok((name, value))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    std::fs::read_to_string(file)
        .map_err(|error| Failure::Runtime(format!("cannot read {name}: {error}")))
}

/// Reads a file by its ending: JSON with comments and trailing commas, as Wrangler takes it under
/// either ending, or TOML.
fn parsed(file: &Path, text: &str) -> Result<Value, String> {
    let ending = file.extension().and_then(|ending| ending.to_str());
    if !matches!(ending, Some("json" | "jsonc")) {
        return toml::from_str(text).map_err(|error| format!("expected TOML: {error}"));
    }
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    // Some editors of Windows put a byte order mark there, which Wrangler skips.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    parse_to_serde_value(text, &options).map_err(|error| format!("expected JSON: {error}"))
}

/// How many steps of a path such as `limits.NAME.window` or `routes[3].path` exist in a value.
/// Names may hold dots: if several fit, the longest counts.
fn depth(value: &Value, path: &str) -> usize {
    let path = path.strip_prefix('.').unwrap_or(path);
    if let Some(rest) = path.strip_prefix('[') {
        let step = rest.split_once(']').and_then(|(n, rest)| {
            let n: usize = n.parse().ok()?;
            Some((value.get(n)?, rest))
        });
        return step.map_or(0, |(inside, rest)| 1 + depth(inside, rest));
    }
    let fields = value.as_object().into_iter().flatten();
    let fitting = fields.filter_map(|(name, inside)| {
        let rest = path.strip_prefix(name.as_str())?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((name.len(), inside, rest))
    });
    let longest = fitting.max_by_key(|(length, ..)| *length);
    longest.map_or(0, |(_, inside, rest)| 1 + depth(inside, rest))
}

/// Adds the paths of all values that are not tables.
fn leaves(value: &Value, path: &str, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inside) in fields {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                leaves(inside, &path, paths);
            }
        }
        _ => paths.push(path.to_owned()),
    }
}

/// Drops lines that repeat earlier ones.
pub fn once(lines: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    lines
        .into_iter()
        .filter(|line| seen.insert(line.clone()))
        .collect()
}
