//! The headers that tell a client its limits.

use std::time::Duration;

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};

use crate::clock::Timestamp;
use crate::engine::limit::{Quota, Verdict};
use crate::engine::limit_fields::{Item, Style, fields};
use crate::limiter::Limited;

/// A limit as a client is told of it.
pub(super) struct Told<'a> {
    /// [`name_of`] the limit.
    pub(super) name: &'a str,
    pub(super) limited: &'a Limited,
    /// Whether the limit only reports.
    pub(super) is_shadow: bool,
}

/// The name of a limit as headers can hold it: a limit of a program may have any name.
pub(super) fn name_of(name: &str) -> String {
    let fits = |c: &char| (' '..='~').contains(c) && !['"', '\\'].contains(c);
    let chars = name.chars().map(|c| Some(c).filter(fits).unwrap_or('_'));
    chars.collect()
}

/// Adds the headers.
///
/// The inner service may have limits of its own, and tell them. In the list of draft-10 there is
/// room for all; of the others, which tell the tightest limit only, the inner ones stay.
pub(super) fn tell(headers: &mut HeaderMap, style: Style, told: &[Told<'_>], now: Timestamp) {
    // These have no way to say that a limit refuses nobody.
    let told = told
        .iter()
        .filter(|told| !(told.is_shadow && matches!(style, Style::Draft7 | Style::Legacy)));
    let verdict = |told: &Told<'_>| Verdict {
        met: told.limited.success && !told.limited.shadowed,
        remaining: told.limited.remaining,
        retry_after: Duration::ZERO,
        reset_after: told.limited.reset.since(now),
    };
    let told: Vec<_> = told.map(|told| (told, verdict(told))).collect();
    let items = told.iter().map(|(told, verdict)| Item {
        name: told.name,
        quota: Quota {
            permits: told.limited.limit,
            window: told.limited.window,
        },
        verdict: Some(verdict),
        partition: None,
    });
    let items: Vec<_> = items.collect();
    for (name, value) in fields(style, &items, now) {
        let Ok(value) = HeaderValue::try_from(value) else {
            continue;
        };
        match (headers.entry(HeaderName::from_static(name)), style) {
            (Entry::Vacant(vacant), _) => drop(vacant.insert(value)),
            (Entry::Occupied(mut occupied), Style::Draft10) => occupied.append(value),
            (Entry::Occupied(_), _) => {}
        }
    }
}
