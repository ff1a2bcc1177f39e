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
    /// How often the latest alert was lost, and when it is to be told again.
    lost: (u32, Option<Timestamp>),
}

/// A message for the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What is the same for this alert in all isolates. The beginning and the end of an outage have
    /// different ones.
    pub mark: String,
    /// The mark of the alert that this one puts an end to: it may come again from now on.
    pub ends: String,
    /// The body, JSON.
    pub body: String,
    /// Since when the store was down.
    pub since: Timestamp,
    /// Whether it still is.
    pub is_firing: bool,
}

/// An alert that was lost is told again so much later, and each further time after twice as long.
const PAUSE: Duration = Duration::from_secs(10);

/// The pause doubles so often, at most.
const MOST_DOUBLINGS: u32 = 5;

impl Alerts {
    /// For outages that last longer than `after`.
    pub const fn new(after: Duration, fingerprint: String) -> Self {
        Self {
            after,
            fingerprint,
            told: None,
            lost: (0, None),
        }
    }

    /// The alert that is due, if one is. A store counts as down up to its latest failure: of the
    /// time since then an isolate without requests knows nothing.
    pub fn due(&mut self, store: StoreSeen, now: Timestamp) -> Option<Alert> {
        if let Some(again) = self.lost.1
            && again > now
            // Unless the clock went back.
            && again.since(now) <= 2 * pause(self.lost.0)
        {
            return None;
        }
        let long = |since| {
            let failed_at = store.failed_at.unwrap_or(since);
            failed_at.since(since) >= self.after
        };
        match (store.down_since, self.told) {
            (Some(since), None) if long(since) => {
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
                Some(self.alert(true, reason, since, &text.concat(), now))
            }
            (None, Some(since)) => {
                self.told = None;
                let text = "omnitrade-edge: Redis answers again.";
                Some(self.alert(false, "ok", since, text, now))
            }
            _ => None,
        }
    }

    /// The webhook did not take an alert: it is due again, after a pause.
    pub fn lost(&mut self, alert: &Alert, now: Timestamp) {
        match self.told {
            Some(since) if alert.is_firing && since == alert.since => self.told = None,
            None if !alert.is_firing => self.told = Some(alert.since),
            // Another one has followed.
            _ => return,
        }
        let times = match self.lost.1 {
            // The one before it was not lost.
            Some(again) if now.since(again) > pause(MOST_DOUBLINGS) => 0,
            Some(_) => (self.lost.0 + 1).min(MOST_DOUBLINGS),
            None => 0,
        };
        self.lost = (times, Some(now + pause(times)));
    }

    fn alert(
        &self,
        is_firing: bool,
        reason: &str,
        since: Timestamp,
        text: &str,
        now: Timestamp,
    ) -> Alert {
        let (status, ends) = match is_firing {
            true => ("firing", "resolved"),
            false => ("resolved", "firing"),
        };
        let mark = |status| [&self.fingerprint, "-", status].concat();
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
            mark: mark(status),
            ends: mark(ends),
            body: serde_json::to_string(&body).unwrap_or_default(),
            since,
            is_firing,
        }
    }
}

fn pause(times: u32) -> Duration {
    PAUSE * (1 << times)
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

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// A store that has failed since 100 s, at last at this time.
    fn down(failed_at: u64) -> StoreSeen {
        StoreSeen {
            down_since: Some(at(100)),
            failed_at: Some(at(failed_at)),
            reason: Some(CallResult::Timeout),
            ..StoreSeen::default()
        }
    }

    fn alerts() -> Alerts {
        Alerts::new(Duration::from_secs(30), "0123".to_owned())
    }

    #[test]
    fn an_outage_is_told_once_when_it_is_long_and_once_when_it_is_over() {
        let mut alerts = alerts();
        assert_eq!(alerts.due(StoreSeen::default(), at(90)), None);
        assert_eq!(alerts.due(down(129), at(129)), None);
        let told = alerts.due(down(130), at(130)).map(|alert| alert.body);
        let told = told.unwrap_or_default();
        for part in [
            r#""status":"firing""#,
            r#""fingerprint":"0123""#,
            r#""for_ms":30000"#,
            "timeout",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(alerts.due(down(200), at(200)), None);
        let over = alerts.due(StoreSeen::default(), at(210));
        assert_eq!(
            over.map(|alert| (alert.mark, alert.ends)),
            Some(("0123-resolved".to_owned(), "0123-firing".to_owned()))
        );
        assert_eq!(alerts.due(StoreSeen::default(), at(211)), None);
    }

    #[test]
    fn an_alert_that_is_lost_is_told_again_after_a_pause() {
        let mut alerts = alerts();
        let mut told = Vec::new();
        for seconds in 100..800 {
            if let Some(alert) = alerts.due(down(seconds), at(seconds)) {
                assert!(alert.is_firing);
                told.push(seconds);
                alerts.lost(&alert, at(seconds + 2));
            }
        }
        assert_eq!(told, [130, 142, 164, 206, 288, 450, 772]);
        // The last one was lost, too: an end that nobody knows the beginning of is not told.
        assert_eq!(alerts.due(StoreSeen::default(), at(2_000)), None);
        assert!(alerts.due(down(2_100), at(2_100)).is_some());
        let over = alerts.due(StoreSeen::default(), at(2_200)).unwrap();
        alerts.lost(&over, at(2_202));
        assert_eq!(alerts.due(StoreSeen::default(), at(2_211)), None);
        let again = alerts.due(StoreSeen::default(), at(2_212));
        assert_eq!(again.map(|alert| alert.mark), Some(over.mark));
        assert_eq!(alerts.due(StoreSeen::default(), at(2_300)), None);
    }

    #[test]
    fn a_short_outage_is_not_told_at_all() {
        let mut alerts = alerts();
        assert_eq!(alerts.due(down(120), at(120)), None);
        // Nobody has asked the store since.
        assert_eq!(alerts.due(down(120), at(500)), None);
        assert_eq!(alerts.due(StoreSeen::default(), at(501)), None);
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
