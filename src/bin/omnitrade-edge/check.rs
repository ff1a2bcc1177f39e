//! `check`: reads a configuration and describes what the gate will do, or reports everything that
//! is wrong.

mod cache;
mod cors;

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use omnitrade_edge::config::{
    By, Config, Keys, Limit, Mode, OnFailure, OriginQuota, OriginQuotaOf, Route, Sizes, Strategy,
    Style, format_duration, format_size,
};
use serde_json::Value;

use crate::Failure;
use cache::describe_cache;
use cors::describe_cors;

/// Check a configuration and print what it will do
///
/// Ends with 1 if something is wrong with it, and reports everything on stderr.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A wrangler.toml with a `[vars.EDGE]`, or a JSON file with only the configuration
    #[arg(default_value = "wrangler.toml")]
    file: PathBuf,
}

/// Reads the file and prints the description.
pub fn run(options: &Options) -> Result<(), Failure> {
    let summary = Summary(&load(&options.file)?).to_string();
    crate::print(&summary).map_err(|error| Failure::Runtime(format!("cannot print: {error}")))
}

/// The configuration in `file`.
///
/// # Errors
///
/// Everything that is wrong with it, one line each.
pub fn load(file: &Path) -> Result<Config, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Runtime(format!("cannot read {name}: {error}")))?;
    parse(file, &text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|p| format!("{name}: {p}")).collect();
        Failure::Runtime(lines.join("\n"))
    })
}

/// The configuration in `text`, or everything that is wrong with it.
fn parse(file: &Path, text: &str) -> Result<Config, Vec<String>> {
    let value = configuration(file, text).map_err(|problem| vec![problem])?;
    Config::from_json(value)
        .map_err(|error| error.problems().iter().map(ToString::to_string).collect())
}

/// Extracts the configuration from the text of its file.
fn configuration(file: &Path, text: &str) -> Result<Value, String> {
    if file
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"));
    }
    let mut value: Value =
        toml::from_str(text).map_err(|error| format!("expected TOML: {error}"))?;
    match value.pointer_mut("/vars/EDGE") {
        Some(edge) => Ok(edge.take()),
        None => Err("expected a table [vars.EDGE], found nothing".into()),
    }
}

struct Summary<'a>(&'a Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.0;
        let (client, store) = (&config.client, &config.redis);
        let timeout = format_duration(config.origin_timeout);
        writeln!(out, "origin   {}, {timeout} to answer", config.origin)?;
        writeln!(
            out,
            "clients  by {}{}, else by {} (IPv6 by /{})",
            client.api_key_header,
            match client.keys {
                Keys::Any => "",
                Keys::Registered => " if the key is registered",
                _ => UNDESCRIBED,
            },
            client.ip_header,
            client.ipv6_prefix
        )?;
        writeln!(
            out,
            "store    {} to answer, keys {}:…, when it fails {}",
            format_duration(store.timeout),
            store.key_prefix,
            on_failure(store.on_failure)
        )?;
        writeln!(out, "cache    {}", describe_sizes(config.cache))?;
        if let Some(headers) = describe_headers(config) {
            writeln!(out, "headers  {headers}")?;
        }
        if let Some(cors) = &config.cors {
            writeln!(out, "cors     {}", describe_cors(cors))?;
        }
        if config.rewrite_location {
            let words = "that names the origin is turned into the client's address";
            writeln!(out, "location {words}")?;
        }
        writeln!(out, "limits")?;
        for (name, limit) in &config.limits {
            writeln!(out, "  {name}: {}", describe_limit(limit, client.keys))?;
        }
        if !config.origin_quotas.is_empty() {
            writeln!(out, "origin quotas")?;
        }
        for (name, quota) in &config.origin_quotas {
            writeln!(out, "  {name}: {}", describe_origin_quota(*quota))?;
        }
        writeln!(out, "routes")?;
        for route in &config.routes {
            writeln!(out, "  {}", describe_route(route))?;
        }
        writeln!(out, "  everything else: {}", names(&config.default_limits))
    }
}

fn describe_sizes(sizes: Sizes) -> String {
    let compressed = match sizes.compress_from {
        Some(bytes) => format!("compressed from {} on", format_size(bytes)),
        None => "never compressed".to_owned(),
    };
    format!(
        "{} of memory in each isolate, at most {} for an entry in the store, {compressed}",
        format_size(sizes.l1_size),
        format_size(sizes.max_entry)
    )
}

/// Which headers tell clients their limits; `None` if they are the default.
fn describe_headers(config: &Config) -> Option<String> {
    let style = match config.headers {
        Style::Draft10 if !config.partition_key => return None,
        Style::Draft10 => "RateLimit as of the IETF's draft 10, with partition keys",
        Style::Draft7 => "RateLimit as of the IETF's draft 7",
        Style::Legacy => "X-RateLimit-Limit, -Remaining and -Reset",
        Style::None => "none tell clients their limits",
        _ => UNDESCRIBED,
    };
    let in_vain = config.partition_key && config.headers != Style::Draft10;
    let note = if in_vain {
        " (partition_key has no effect on these)"
    } else {
        ""
    };
    Some(format!("{style}{note}"))
}

fn describe_limit(limit: &Limit, keys: Keys) -> String {
    let by = match limit.by {
        By::Client => "each client",
        By::Ip => "each address",
        By::ApiKey => "each API key",
        By::Route => "each route",
        By::Global => "everybody together",
        _ => UNDESCRIBED,
    };
    let window = format_duration(limit.window);
    let mut text = format!("{} per {window} for {by}", limit.quota);
    if let Some(quota) = limit.keyed_quota {
        let key = match keys {
            Keys::Any => "an API key",
            Keys::Registered => "a registered API key",
            _ => UNDESCRIBED,
        };
        let _ = write!(text, ", {quota} with {key}");
    }
    for (plan, quota) in &limit.plans {
        let _ = write!(text, ", {quota} with plan {plan}");
    }
    if !limit.plans.is_empty() && keys == Keys::Any {
        text.push_str(" (plans have no effect unless client.keys is \"registered\")");
    }
    text.push_str(match limit.strategy {
        Strategy::Exact => "",
        Strategy::Lease => ", permits fetched ahead",
        _ => UNDESCRIBED,
    });
    if let Some(penalty) = limit.penalty {
        let _ = write!(
            text,
            ", after {} refusals in a window held off for {}, each further time twice as long, at \
             most {}",
            penalty.after,
            format_duration(penalty.hold),
            format_duration(penalty.max)
        );
    }
    text.push_str(match limit.mode {
        Mode::Enforce => "",
        Mode::Shadow => ", only reported",
        _ => UNDESCRIBED,
    });
    if let Some(choice) = limit.on_failure {
        let _ = write!(text, ", when the store fails {}", on_failure(choice));
    }
    text
}

fn describe_origin_quota(quota: OriginQuota) -> String {
    let window = format_duration(quota.window);
    format!(
        "at most {} calls of the origin per {window} by all edges together",
        quota.limit
    )
}

fn describe_route(route: &Route) -> String {
    let methods = match &route.methods {
        Some(methods) => methods.join(" "),
        None => "all methods".into(),
    };
    let mut text = format!("{methods} {}: {}", route.path, names(&route.limits));
    if route.cost != 1 {
        let _ = write!(text, ", {} permits each", route.cost);
    }
    if !route.refund_on.is_empty() {
        let statuses: Vec<_> = route.refund_on.iter().map(u16::to_string).collect();
        let _ = write!(text, ", permits back on {}", statuses.join(", "));
    }
    for (limit, share) in &route.reserve {
        let _ = write!(text, ", keeps {share}% of {limit} for itself");
    }
    match &route.origin_quota {
        Some(OriginQuotaOf::Named(name)) => {
            let _ = write!(text, ", calls of the origin by origin quota {name}");
        }
        Some(OriginQuotaOf::Own(quota)) => {
            let _ = write!(text, ", {}", describe_origin_quota(*quota));
        }
        Some(_) => text.push_str(UNDESCRIBED),
        None => {}
    }
    if let Some(timeout) = route.origin_timeout {
        let _ = write!(text, ", {} to answer", format_duration(timeout));
    }
    if let Some(cache) = &route.cache {
        text.push_str("; ");
        text.push_str(&describe_cache(cache));
    }
    text
}

fn on_failure(choice: OnFailure) -> &'static str {
    match choice {
        OnFailure::Local => "each isolate limits by itself",
        OnFailure::Open => "nobody is limited",
        OnFailure::Closed => "nobody is served",
        _ => UNDESCRIBED,
    }
}

fn names(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(" and "),
    }
}

/// Stands for a variant of the library that this command has no words for. A test checks that there
/// is none.
const UNDESCRIBED: &str = " (not described)";

#[cfg(test)]
mod tests;
