//! Alerts without a monitoring system: when the store has failed for too long, and when it is back.
//!
//! An isolate has no timers, so this is looked at with each request. Each isolate tells an outage
//! once; the shell leaves out what another isolate of the same location has told.

use std::time::Duration;

use serde_json::json;

use crate::clock::{Timestamp, millis};

use super::store_seen::StoreSeen;

/// What has been told so far.
#[derive(Debug)]
pub struct Alerts {
    after: Duration,
    /// Names the gate, so that receivers can tell alerts of several apart.
    fingerprint: String,
    /// Since when the store of the latest alert was down.
    told: Option<Timestamp>,
}

/// A message for the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What is the same for this alert in all isolates. The beginning and the end of an outage have
    /// different ones.
    pub mark: String,
    /// The body, JSON.
    pub body: String,
}

impl Alerts {
    /// For outages that last longer than `after`.
    pub const fn new(after: Duration, fingerprint: String) -> Self {
        Self {
            after,
            fingerprint,
            told: None,
        }
    }

    /// The alert that is due, if one is.
    pub fn due(&mut self, store: StoreSeen, now: Timestamp) -> Option<Alert> {
        match (store.down_since, self.told) {
            (Some(since), None) if now.since(since) >= self.after => {
                self.told = Some(since);
                let reason = store.reason.map_or("unknown", |reason| reason.word());
                let seconds = now.since(since).as_secs().to_string();
                let text = [
                    "omnitrade-edge: Redis has failed for ",
                    &seconds,
                    " s (",
                    reason,
                    "). The gate limits by itself.",
                ];
                Some(self.alert("firing", reason, since, &text.concat(), now))
            }
            (None, Some(since)) => {
                self.told = None;
                let text = "omnitrade-edge: Redis answers again.";
                Some(self.alert("resolved", "ok", since, text, now))
            }
            _ => None,
        }
    }

    fn alert(
        &self,
        status: &str,
        reason: &str,
        since: Timestamp,
        text: &str,
        now: Timestamp,
    ) -> Alert {
        let body = json!({
            "alert": "store_open",
            "status": status,
            "fingerprint": self.fingerprint,
            "reason": reason,
            "text": text,
            "since": since.as_millis(),
            "for_ms": millis(now.since(since)),
            "at": now.as_millis(),
            "runbook": "docs/runbook.md#edgestoreopen",
        });
        Alert {
            mark: [&self.fingerprint, "-", status].concat(),
            body: serde_json::to_string(&body).unwrap_or_default(),
        }
    }
}

/// Whether this is the address of a webhook: HTTPS, or a server on this machine.
pub fn is_webhook(url: &str) -> bool {
    if url.starts_with("https://") {
        return url.len() > "https://".len();
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, port)| {
        match port.chars().all(|c| c.is_ascii_digit()) {
            true => host,
            false => "",
        }
    });
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::super::labels::CallResult;
    use super::*;

    #[test]
    fn an_outage_is_told_once_when_it_is_long_and_once_when_it_is_over() {
        let mut alerts = Alerts::new(Duration::from_secs(30), "0123".to_owned());
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        let down = StoreSeen {
            down_since: Some(at(100)),
            reason: Some(CallResult::Timeout),
            ..StoreSeen::default()
        };
        assert_eq!(alerts.due(StoreSeen::default(), at(90)), None);
        assert_eq!(alerts.due(down, at(129)), None);
        let told = alerts.due(down, at(130)).map(|alert| alert.body);
        let told = told.unwrap_or_default();
        for part in [
            r#""status":"firing""#,
            r#""fingerprint":"0123""#,
            r#""for_ms":30000"#,
            "timeout",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(alerts.due(down, at(200)), None);
        let over = alerts.due(StoreSeen::default(), at(210));
        assert_eq!(
            over.map(|alert| alert.mark).as_deref(),
            Some("0123-resolved")
        );
        assert_eq!(alerts.due(StoreSeen::default(), at(211)), None);
    }

    #[test]
    fn a_short_outage_is_not_told_at_all() {
        let mut alerts = Alerts::new(Duration::from_secs(30), String::new());
        let down = StoreSeen {
            down_since: Some(Timestamp::from_millis(0)),
            ..StoreSeen::default()
        };
        assert_eq!(alerts.due(down, Timestamp::from_millis(20_000)), None);
        assert_eq!(
            alerts.due(StoreSeen::default(), Timestamp::from_millis(25_000)),
            None
        );
    }

    #[test]
    fn a_webhook_has_tls_unless_it_is_on_this_machine() {
        for url in [
            "https://hooks.example.com/x?key=1",
            "http://localhost/x",
            "http://127.0.0.1:8080/x",
            "http://[::1]:80",
        ] {
            assert!(is_webhook(url), "{url}");
        }
        for url in [
            "",
            "https://",
            "hooks.example.com",
            "ftp://hooks.example.com",
            "http://hooks.example.com/x",
            "http://127.0.0.1.example.com/",
            "http://localhost@example.com/",
            "http://localhost:80@example.com/",
        ] {
            assert!(!is_webhook(url), "{url}");
        }
    }
}
