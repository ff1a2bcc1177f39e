//! `check`: reads a configuration and describes what the gate will do, or reports everything that
//! is wrong.

mod cache;
mod cors;
mod queue;

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use omnitrade_edge::config::{
    By, Client, Config, Jwt, Keys, Limit, Mode, OnFailure, OriginQuota, OriginQuotaOf, Route,
    Sizes, Strategy, Style, format_duration, format_size,
};
use omnitrade_edge::identity::{KeySecrets, counts_digests};

use crate::Failure;
use crate::configuration::{Configurations, nearby, once};
use cache::describe_cache;
use cors::describe_cors;
use queue::{describe_enqueue, describe_queue};

/// Check a configuration and print what it will do
///
/// Reads the edge.toml beside the file too, if there is one, and every environment. Ends with 1 if
/// something is wrong with one of them, and reports everything on stderr.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A Wrangler configuration with a variable `EDGE` (TOML, or JSON with comments), or a file
    /// with only the gate's configuration [default: wrangler.json, wrangler.jsonc or wrangler.toml]
    file: Option<PathBuf>,
}

/// Reads the file and prints the description.
pub fn run(options: &Options) -> Result<(), Failure> {
    let file = options.file.clone().or_else(nearby);
    let file = file.unwrap_or_else(|| "wrangler.toml".into());
    let summary = told(&Configurations::read(&file)?);
    let summary = summary.map_err(|problems| Failure::Runtime(problems.join("\n")))?;
    crate::print(&summary).map_err(|error| Failure::Runtime(format!("cannot print: {error}")))
}

/// What each configuration does, or all that is wrong with any of them.
fn told(all: &Configurations) -> Result<String, Vec<String>> {
    let (mut problems, mut text) = (Vec::new(), String::new());
    for each in &all.each {
        problems.extend(all.too_large(each));
        match all.check(each) {
            Ok(config) => {
                if !text.is_empty() {
                    text.push('\n');
                }
                if let Some(heading) = all.heading(each) {
                    let _ = writeln!(text, "{heading}");
                }
                let _ = write!(text, "{}", Summary(&config));
            }
            Err(wrong) => problems.extend(wrong),
        }
    }
    match problems.is_empty() {
        true => Ok(text),
        // What is wrong in edge.toml is so in each environment.
        false => Err(once(problems)),
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
            "clients  {}by {} (IPv6 by /{})",
            describe_keys(client),
            client.ip_header,
            client.ipv6_prefix
        )?;
        if let Some(jwt) = &client.jwt {
            writeln!(out, "users    {}", describe_jwt(jwt))?;
        }
        writeln!(
            out,
            "store    {} to answer, keys {}:…, when it fails {}",
            format_duration(store.timeout),
            store.key_prefix,
            on_failure(store.on_failure)
        )?;
        if counts_digests(config) {
            writeln!(
                out,
                "secret   {}: set it, or those who can read the store can check guesses of API keys and \
                 users' names",
                KeySecrets::CURRENT
            )?;
        }
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
        if let Some(binding) = &config.metrics.analytics {
            let every = format_duration(config.metrics.every);
            writeln!(out, "metrics  every {every} to the dataset of {binding}")?;
        }
        if config.server_timing {
            writeln!(out, "timing   answers carry Server-Timing")?;
        }
        writeln!(out, "limits")?;
        for (name, limit) in &config.limits {
            writeln!(out, "  {name}: {}", describe_limit(limit, client))?;
        }
        if !config.origin_quotas.is_empty() {
            writeln!(out, "origin quotas")?;
        }
        for (name, quota) in &config.origin_quotas {
            writeln!(out, "  {name}: {}", describe_origin_quota(*quota))?;
        }
        if !config.queues.is_empty() {
            writeln!(out, "queues")?;
        }
        for (name, queue) in &config.queues {
            writeln!(out, "  {name}: {}", describe_queue(queue))?;
        }
        writeln!(out, "routes")?;
        for route in &config.routes {
            writeln!(out, "  {}", describe_route(route))?;
        }
        writeln!(out, "  everything else: {}", names(&config.default_limits))
    }
}

/// The headers that hold API keys: not `authorization` if its tokens are verified.
fn key_headers(client: &Client) -> impl Iterator<Item = &str> {
    let verified = |name: &str| client.jwt.is_some() && name.eq_ignore_ascii_case("authorization");
    let names = client.api_key_headers.iter().map(String::as_str);
    names.filter(move |name| !verified(name))
}

/// Which headers hold API keys, and which of these count.
fn describe_keys(client: &Client) -> String {
    let names: Vec<_> = key_headers(client)
        .map(|name| match name.eq_ignore_ascii_case("authorization") {
            true => "the Bearer token of authorization",
            false => name,
        })
        .collect();
    let registered = match client.keys {
        Keys::Any => "",
        Keys::Registered => " if the key is registered",
        _ => UNDESCRIBED,
    };
    match names.as_slice() {
        [] => String::new(),
        names => format!("by {}{registered}, else ", names.join(" or ")),
    }
}

/// Which tokens stand for users.
fn describe_jwt(jwt: &Jwt) -> String {
    let mut text = format!(
        "by {} of the Bearer tokens of authorization that the keys of {} verify",
        jwt.claim, jwt.jwks
    );
    match &jwt.issuer {
        Some(issuer) => {
            let _ = write!(text, ", issued by {issuer}");
        }
        None => text.push_str(", whoever issued them"),
    }
    match &jwt.audience {
        Some(audience) => {
            let _ = write!(text, " for {audience}");
        }
        None => text.push_str(
            " (for any audience: if the issuer signs tokens for others with these keys, name \
             client.jwt.audience)",
        ),
    }
    if let Some(claim) = &jwt.plan_claim {
        let _ = write!(text, ", plan by {claim}");
    }
    text
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

fn describe_limit(limit: &Limit, client: &Client) -> String {
    let plan_claim = client.jwt.as_ref().and_then(|jwt| jwt.plan_claim.as_ref());
    let by = match limit.by {
        By::Client => "each client",
        By::User if client.jwt.is_none() => "each client (users are not known without client.jwt)",
        By::User => "each user, or else each client",
        By::Ip => "each address",
        By::ApiKey if client.jwt.is_some() => "each API key or user",
        By::ApiKey => "each API key",
        By::Route => "each route",
        By::Global => "everybody together",
        _ => UNDESCRIBED,
    };
    let window = format_duration(limit.window);
    let mut text = format!("{} per {window} for {by}", limit.quota);
    if let Some(quota) = limit.keyed_quota {
        let key = match client.keys {
            Keys::Any => "an API key",
            Keys::Registered => "a registered API key",
            _ => UNDESCRIBED,
        };
        let user = client.jwt.as_ref().map(|_| "a verified token");
        let key = key_headers(client).next().map(|_| key);
        let with: Vec<_> = key.into_iter().chain(user).collect();
        let with = match with.as_slice() {
            [] => "an API key, which no header can hold".to_owned(),
            with => with.join(" or "),
        };
        let _ = write!(text, ", {quota} with {with}");
    }
    for (plan, quota) in &limit.plans {
        let _ = write!(text, ", {quota} with plan {plan}");
    }
    if !limit.plans.is_empty() && client.keys == Keys::Any && plan_claim.is_none() {
        text.push_str(
            " (plans have no effect unless client.keys is \"registered\" or client.jwt.plan_claim \
             is set)",
        );
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
    let ahead = match quota.strategy {
        Strategy::Exact => "",
        Strategy::Lease => ", permits fetched ahead",
        _ => UNDESCRIBED,
    };
    format!(
        "at most {} calls of the origin per {window} by all edges together{ahead}",
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
    if let Some(enqueue) = &route.enqueue {
        text.push_str("; ");
        text.push_str(&describe_enqueue(enqueue));
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
