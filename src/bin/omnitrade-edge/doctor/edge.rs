//! The store as a deployed Worker sees it: `GET /__edge/doctor`.

use std::time::Duration;

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::shell::ReqwestTransport;
use serde_json::Value;

use super::http::{self, Unread};
use super::latency::{Latency, in_ms, shown};
use super::patient::Address;
use super::report::{Check, remedy};

/// What a Worker says.
#[derive(Debug, Default)]
pub struct Edge {
    /// The version of its program.
    pub version: String,
    /// The digest of its configuration.
    pub config: String,
    /// The state of its breaker.
    pub breaker: String,
    /// How long the first answer took, for which the connection may have had to be made.
    pub first: Option<Duration>,
    /// How fast the store answers it after that.
    pub pings: Latency,
    /// How many milliseconds the store's clock is ahead of its own.
    pub clock_offset_ms: Option<f64>,
}

/// Asks a Worker.
pub async fn ask(transport: &ReqwestTransport, url: &str, token: &str) -> Result<Edge, Unread> {
    let bearer = format!("Bearer {token}");
    let said = http::get(transport, url, "/__edge/doctor", &bearer).await?;
    read(&said).ok_or(Unread::Foreign)
}

fn read(said: &Value) -> Option<Edge> {
    let text = |name: &str| said.get(name)?.as_str().map(str::to_owned);
    let mut edge = Edge {
        version: text("version")?,
        config: text("config")?,
        breaker: text("breaker")?,
        clock_offset_ms: said.get("clock_offset_ms").and_then(Value::as_f64),
        ..Edge::default()
    };
    for ping in said.get("pings")?.as_array()? {
        match (ping.get("ms").and_then(Value::as_f64), ping.get("error")) {
            (Some(ms), _) if (0.0..1e9).contains(&ms) => {
                let time = Duration::from_secs_f64(ms / 1_000.0);
                match edge.first {
                    None => edge.first = Some(time),
                    Some(_) => edge.pings.took(time),
                }
            }
            (_, Some(error)) => edge.pings.failed(error.as_str()?),
            _ => return None,
        }
    }
    Some(edge)
}

/// Makes the check of what a Worker has said.
pub fn check(url: &str, said: &Result<Edge, Unread>, check: &mut Check) {
    let edge = match said {
        Ok(edge) => edge,
        Err(why) => return unread(why, check),
    };
    if !Address::of(url).tls {
        check.warn(
            "plain_http_here",
            "the Worker is reached by plain HTTP, on this machine",
            "leave it so for local work; name a deployed Worker by https://",
        );
    }
    check.datum("version", edge.version.as_str());
    check.datum("breaker", edge.breaker.as_str());
    edge.pings.tell(check);
    check.saw(format!(
        "the Worker has version {}",
        printable(&edge.version)
    ));
    match edge.breaker.as_str() {
        "none" => {
            check.warn(
                "no_store",
                "the Worker has no store: each isolate limits by itself",
                "wrangler secret put UPSTASH_REDIS_REST_URL, and the same for UPSTASH_REDIS_REST_TOKEN",
            );
            return;
        }
        "closed" => check.saw("its breaker is closed"),
        state => check.fail(
            "breaker_open",
            format!("the breaker of the Worker's isolate is {}", printable(state)),
            "see why the store fails, below or in the Worker's log; the breaker closes by itself within \
             two seconds after the store is back",
        ),
    }
    if let Some(first) = edge.first {
        check.datum("first_ms", in_ms(first));
        check.saw(format!(
            "{} PINGs: {}; the first, {}",
            edge.pings.answered(),
            edge.pings.in_words(),
            shown(first)
        ));
    }
    if edge.pings.failures() > 0 {
        let codes = edge.pings.failures_by_code();
        let all = edge.pings.failures() + edge.pings.answered() + usize::from(edge.first.is_some());
        let kind = codes.split([' ', ',']).find_map(ErrorKind::of_code);
        check.fail(
            "edge_failures",
            format!(
                "{} of {all} PINGs from the edge failed ({})",
                edge.pings.failures(),
                printable(&codes)
            ),
            kind.map_or("look at the Worker's log", |kind| remedy(&kind.into())),
        );
    }
}

fn unread(why: &Unread, check: &mut Check) {
    let (code, remedy) = match why {
        Unread::Address => (
            "worker_address",
            "name the Worker as in --worker https://edge.example",
        ),
        Unread::Secret => (
            "admin_token",
            "set EDGE_ADMIN_TOKEN to the text that the Worker has",
        ),
        Unread::Status(status) if *status == 401 => (
            "admin_token",
            "set EDGE_ADMIN_TOKEN here to the Worker's, or there: wrangler secret put EDGE_ADMIN_TOKEN",
        ),
        Unread::Status(status) if *status == 404 => (
            "no_page",
            "set EDGE_ADMIN_TOKEN at the Worker (wrangler secret put), and deploy a version that has \
             the page /__edge/doctor; check that the address is the Worker's",
        ),
        Unread::Status(_) | Unread::Foreign => (
            "worker_answer",
            "check that the address is the Worker's, and look at its log",
        ),
        Unread::Silent(_) => (
            "worker_silent",
            "check the address, the network and the certificate",
        ),
    };
    check.fail(code, format!("the Worker cannot be asked: {why}"), remedy);
}

/// Compares the configuration by which the Worker runs with the one of the file.
pub fn compare(edge: &Edge, digest: &str, check: &mut Check) {
    check.datum("deployed", edge.config.as_str());
    check.datum("file", digest);
    let start = |digest: &str| printable(digest).chars().take(12).collect::<String>();
    match edge.config == digest {
        true => check.saw(format!("the Worker runs by the file ({})", start(digest))),
        false => check.fail(
            "differs",
            format!(
                "the Worker runs by another configuration ({}) than the file ({})",
                start(&edge.config),
                start(digest)
            ),
            "deploy the file (npm run deploy); or name the one that is deployed: --config, and --env for \
             an environment",
        ),
    }
    let own = env!("CARGO_PKG_VERSION");
    if edge.version != own {
        check.warn(
            "version",
            format!(
                "the Worker has version {}, this command {own}",
                printable(&edge.version)
            ),
            "use the command of the Worker's version, or deploy this one",
        );
    }
}

/// A text of another server, as far as it may be shown.
fn printable(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || " ,._-+".contains(*c);
    text.chars().filter(plain).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_the_page_says_is_read() {
        let page = json!({
            "version": "1.2.3", "config": "ab", "breaker": "closed", "clock_offset_ms": -3,
            "pings": [{ "ms": 4 }, { "error": "timeout" }, { "ms": 2 }],
        });
        let edge = read(&page).unwrap();
        assert_eq!((edge.pings.answered(), edge.pings.failures()), (1, 1));
        assert_eq!(edge.first, Some(Duration::from_millis(4)));
        assert_eq!(edge.clock_offset_ms, Some(-3.0));
        for (name, odd) in [
            ("version", json!(1)),
            ("config", json!(null)),
            ("breaker", json!([])),
            ("pings", json!({})),
            ("pings", json!([{}])),
            ("pings", json!([{ "ms": -1 }])),
            ("pings", json!([{ "ms": 1e300 }])),
            ("pings", json!([{ "error": 7 }])),
        ] {
            let mut page = page.clone();
            page[name] = odd;
            assert!(read(&page).is_none(), "{page}");
        }
    }
}
