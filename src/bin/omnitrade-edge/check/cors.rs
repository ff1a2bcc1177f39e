//! Which pages may read answers, in words.

use std::fmt::Write as _;

use omnitrade_edge::config::{Cors, format_duration};

/// Which pages may read answers, what they see, and who answers preflights.
pub fn describe_cors(cors: &Cors) -> String {
    let mut text = match cors.origins.as_slice() {
        [] => return "no page of another origin may read answers".to_owned(),
        [any] if any == "*" => "every page may read answers".to_owned(),
        origins => format!("pages of {} may read answers", origins.join(", ")),
    };
    if cors.credentials {
        text.push_str(" and send credentials");
    }
    match cors.expose.as_deref() {
        None => text.push_str(", with the gate's own headers"),
        Some([]) => text.push_str(", with no other headers than they always may"),
        Some(names) => {
            let _ = write!(text, ", with {}", names.join(", "));
        }
    }
    if !cors.preflight {
        text.push_str("; the origin answers preflights");
        return text;
    }
    text.push_str("; the gate answers preflights: ");
    let list = |names: Option<&[String]>, what: &str, otherwise: &str| match names {
        None => otherwise.to_owned(),
        Some([]) => format!("no {what}"),
        Some(names) => names.join(", "),
    };
    let methods = list(
        cors.allow_methods.as_deref(),
        "methods but the simple ones",
        "the route's methods",
    );
    let headers = list(
        cors.allow_headers.as_deref(),
        "headers but the simple ones",
        "the headers that are asked for",
    );
    let _ = write!(text, "{methods}, with {headers}");
    if let Some(age) = cors.max_age {
        let _ = write!(text, ", remembered for {}", format_duration(age));
    }
    text
}
