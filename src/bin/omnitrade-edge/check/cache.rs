//! Describes a route's cache in words.

use std::fmt::Write as _;
use std::time::Duration;

use omnitrade_edge::config::{Cache, Letters, Ttl, UnknownQuery, VersionSource, format_duration};

use super::{UNDESCRIBED, names};

/// Describes what is stored, for how long, and what selects an entry.
pub fn describe_cache(cache: &Cache) -> String {
    let mut text = lifetime(cache);
    let mut period = |when: &str, duration: Option<Duration>| {
        if let Some(duration) = duration {
            let _ = write!(text, ", {} more {when}", format_duration(duration));
        }
    };
    period("while it is refreshed", cache.stale_while_revalidate);
    period("when the origin fails", cache.stale_if_error);
    if let Some(ttl) = cache.negative_ttl {
        let statuses = match &cache.negative_statuses {
            Some(statuses) => statuses.iter().map(u16::to_string).collect(),
            None => vec!["400, 404 and 410".to_owned()],
        };
        let _ = write!(text, ", {} for {}", names(&statuses), format_duration(ttl));
    }
    match (cache.heuristic, cache.ttl) {
        (Some(true), _) | (None, None) => text.push_str(", else by its Last-Modified"),
        (Some(false), _) | (None, Some(_)) => {}
    }
    let choices = [
        (cache.server_errors, "server errors too"),
        (cache.set_cookie, "with cookies"),
        (cache.strict_age, "not of an unclear Age"),
    ];
    for (_, words) in choices.iter().filter(|(chosen, _)| *chosen) {
        let _ = write!(text, ", {words}");
    }
    if !cache.min_ttl.is_zero() {
        let least = format_duration(cache.min_ttl);
        let _ = write!(text, ", in the store if good for {least} more");
    }
    if let Some(version) = &cache.version {
        let _ = match &**version {
            VersionSource::Json(path) => write!(text, ", the newest by {} in it", path.join(".")),
            VersionSource::Header(name) => write!(text, ", the newest by its header {name}"),
            _ => text.write_str(UNDESCRIBED),
        };
    }
    if let Some(query) = &cache.query {
        let _ = write!(text, ", by query {}", names(query));
        text.push_str(match cache.unknown_query {
            UnknownQuery::Drop => "",
            UnknownQuery::Pass => ", past the cache with other parameters",
            UnknownQuery::Refuse => ", refused with other parameters",
            _ => UNDESCRIBED,
        });
    }
    for (parameter, letters) in &cache.normalize {
        let letters = match letters {
            Letters::Upper => "capitals",
            Letters::Lower => "small letters",
            _ => UNDESCRIBED,
        };
        let _ = write!(text, ", {parameter} in {letters}");
    }
    for (parameter, value) in &cache.defaults {
        let _ = write!(text, ", {parameter} {value} where it is absent");
    }
    if !cache.vary.is_empty() {
        let _ = write!(text, ", by header {}", names(&cache.vary));
    }
    if let Some(forward) = &cache.forward {
        let _ = write!(text, ", beside that the origin gets {}", names(forward));
    }
    if !cache.tags.is_empty() {
        let _ = write!(text, ", tagged {}", names(&cache.tags));
    }
    if let Some(believed) = cache.believed_for() {
        let believed = format_duration(believed);
        let _ = write!(text, ", believed in memory for {believed}");
    }
    text
}

fn lifetime(cache: &Cache) -> String {
    let ttl = match (cache.ttl, cache.open_ttl) {
        (None, _) => return "cached as the origin says".into(),
        (Some(Ttl::For(ttl)), _) => format!("for {}", format_duration(ttl)),
        (Some(Ttl::Candle), None) => "until its last candle closes".into(),
        (Some(Ttl::Candle), Some(most)) => {
            let most = format_duration(most);
            format!("until its last candle closes, {most} at most while that is open")
        }
        (Some(_), _) => UNDESCRIBED.to_owned(),
    };
    let for_good = match cache.ttl {
        Some(Ttl::Candle) => ", for 30d when all had closed",
        _ => "",
    };
    match cache.override_origin {
        true => format!("cached {ttl}{for_good}"),
        false => format!("cached as the origin says, else {ttl}{for_good}"),
    }
}
