//! What clients are told: headers, and who they are.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Quota, Verdict};
use omnitrade_edge::engine::limit_fields::{Item, Style, fields};
use omnitrade_edge::engine::subject;
use serde_json::Value;
use wasm_bindgen::prelude::*;

/// The headers that tell limits, names and values in turns, in JSON. `limits` is JSON too: for each
/// limit its name, its quota, its window in milliseconds, whether it passes, what remains, and in
/// how many milliseconds it resets. `style`: 0: draft-10, 1: draft-7, else the legacy ones.
#[wasm_bindgen]
pub fn limit_fields(limits: &str, style: u32, now: f64) -> String {
    let told: Vec<Value> = serde_json::from_str(limits).unwrap_or_default();
    let read: Vec<_> = told.iter().filter_map(read).collect();
    let items: Vec<_> = read
        .iter()
        .map(|(name, quota, verdict)| Item {
            name,
            quota: *quota,
            verdict: Some(verdict),
            partition: None,
        })
        .collect();
    let style = match style {
        0 => Style::Draft10,
        1 => Style::Draft7,
        _ => Style::Legacy,
    };
    let fields = fields(style, &items, super::instant(now));
    let fields: Vec<_> = fields
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
    Value::from(fields).to_string()
}

fn read(limit: &Value) -> Option<(&str, Quota, Verdict)> {
    let ms = |n: usize| Some(Duration::from_millis(limit.get(n)?.as_u64()?));
    let quota = Quota {
        permits: limit.get(1)?.as_u64()?,
        window: ms(2)?,
    };
    let verdict = Verdict {
        met: limit.get(3)?.as_bool()?,
        remaining: limit.get(4)?.as_u64()?,
        retry_after: Duration::ZERO,
        reset_after: ms(5)?,
    };
    Some((limit.get(0)?.as_str()?, quota, verdict))
}

/// The subject of a client's address: IPv6 by its first `ipv6_prefix` bits. `None` if the text is
/// not one address.
#[wasm_bindgen]
pub fn address(text: &str, ipv6_prefix: u8) -> Option<String> {
    let ip = subject::address(text)?;
    Some(subject::of_address(ip, ipv6_prefix))
}

/// Seconds until an instant, rounded up.
#[wasm_bindgen]
pub fn seconds_until(instant: f64, now: f64) -> f64 {
    let now: Timestamp = super::instant(now);
    super::number(omnitrade_edge::clock::seconds_up(
        super::instant(instant).since(now),
    ))
}
