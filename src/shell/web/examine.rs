//! What `GET /__edge/doctor` tells: how the store is seen from here.

use std::fmt::Write as _;

use crate::clock::millis;
use crate::redis::{Command, RestClient, Value};
use crate::shell::FetchTransport;

use super::platform::now;

/// How many calls are made for it, one after the other. The command line takes the percentiles of
/// all but the first, which may have to make the connection.
const PINGS: usize = 6;

/// After so many failures in a row there are no further calls: each of a store that hangs takes as
/// long as it may.
const MOST_FAILED: u32 = 2;

/// Looks at the store, if there is one, and returns JSON. `breaker`: the state of this isolate's
/// circuit breaker, which neither stops these calls nor counts them. `config`: the digest of the
/// configuration.
pub async fn examine(
    store: Option<&RestClient<FetchTransport>>,
    breaker: &str,
    config: &str,
) -> String {
    let mut pings = String::new();
    let (mut offset, mut failed) = (None, 0);
    for (n, store) in (0..=PINGS).filter_map(|n| Some((n, store?))) {
        if failed == MOST_FAILED {
            break;
        }
        // The last one tells the store's time.
        let is_time = n == PINGS;
        let command = Command::new(if is_time { "TIME" } else { "PING" });
        let before = now();
        let reply = store.command(&command).await;
        let took = now().since(before);
        if is_time {
            // The store was asked somewhere in between.
            let asked = (before + took / 2).as_millis();
            let time = reply.ok().and_then(|time| milliseconds(&time));
            offset = time.and_then(|time| time.checked_sub_unsigned(asked));
            continue;
        }
        if n > 0 {
            pings.push(',');
        }
        failed = if reply.is_err() { failed + 1 } else { 0 };
        // Codes of errors need no escapes in JSON; nor does anything else below.
        let _ = match reply {
            Ok(_) => write!(pings, r#"{{"ms":{}}}"#, millis(took)),
            Err(error) => write!(pings, r#"{{"error":"{}"}}"#, error.code()),
        };
    }
    let version = env!("CARGO_PKG_VERSION");
    let offset = offset.map_or_else(|| "null".to_owned(), |offset| offset.to_string());
    format!(
        r#"{{"version":"{version}","config":"{config}","breaker":"{breaker}","pings":[{pings}],"clock_offset_ms":{offset}}}"#
    )
}

/// The reply of `TIME`: seconds, and microseconds.
fn milliseconds(reply: &Value) -> Option<i64> {
    match reply.as_array()? {
        [seconds, micros] => {
            let seconds = seconds.as_number()?.checked_mul(1_000)?;
            seconds.checked_add(micros.as_number()? / 1_000)
        }
        _ => None,
    }
}
