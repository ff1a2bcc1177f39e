//! What leaves an isolate for its operators: rows for Workers Analytics Engine, and alerts.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::ops::{Alert, Point, is_webhook};

use super::platform::warn;

#[wasm_bindgen(module = "/src/shell/web/ops.js")]
extern "C" {
    fn post(url: &str, body: &str, mark: &str, ends: &str) -> Promise;

    #[wasm_bindgen(catch)]
    fn write(dataset: &JsValue, blobs: Vec<String>, doubles: &[f64]) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = isDataset)]
    fn is_dataset(binding: &JsValue) -> bool;
}

/// Where it goes.
#[derive(Debug, Default)]
pub struct Outlets {
    dataset: Option<JsValue>,
    webhook: Option<String>,
}

impl Outlets {
    /// To this dataset and this webhook, as far as there are such.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, which is left out then.
    pub fn new(dataset: Option<JsValue>, webhook: Option<String>) -> (Self, Vec<&'static str>) {
        let mut problems = Vec::new();
        let webhook = webhook.filter(|url| {
            let fits = is_webhook(url);
            if !fits {
                problems.push(
                    "EDGE_ALERT_WEBHOOK: expected an https:// address (http:// only on this machine): \
                     no alerts are sent",
                );
            }
            fits
        });
        let dataset = dataset.filter(|binding| {
            let fits = is_dataset(binding);
            if !fits {
                problems.push(
                    "metrics.analytics: expected the name of a binding to a Workers Analytics Engine \
                     dataset ([[analytics_engine_datasets]] in wrangler.toml): no metrics are written",
                );
            }
            fits
        });
        (Self { dataset, webhook }, problems)
    }

    /// Whether there is a dataset.
    pub const fn writes(&self) -> bool {
        self.dataset.is_some()
    }

    /// Whether there is a webhook.
    pub const fn alerts(&self) -> bool {
        self.webhook.is_some()
    }

    /// Writes rows.
    pub fn write(&self, points: Vec<Point>) {
        let Some(dataset) = &self.dataset else { return };
        for Point {
            kind,
            name,
            numbers,
        } in points
        {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let blobs = vec![kind.to_owned(), name, version];
            if write(dataset, blobs, &numbers).is_err() {
                return warn("metrics.analytics: the dataset does not take rows: metrics are lost");
            }
        }
    }

    /// Sends an alert. Returns whether it has arrived, or was sent by another isolate.
    pub async fn send(&self, alert: &Alert) -> bool {
        let Some(url) = &self.webhook else {
            return true;
        };
        let sent = post(url, &alert.body, &alert.mark, &alert.ends);
        let problem = JsFuture::from(sent).await.ok();
        let problem = problem.and_then(|problem| problem.as_string());
        let problem = problem.filter(|problem| !problem.is_empty());
        if let Some(problem) = &problem {
            warn(
                &[
                    "EDGE_ALERT_WEBHOOK: ",
                    problem,
                    ": the alert is sent again later",
                ]
                .concat(),
            );
        }
        problem.is_none()
    }
}
