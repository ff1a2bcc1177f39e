//! `alert`: sends a test to the webhook of the gate.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::Failure;

/// Send a test alert to the webhook
///
/// The body has the form of a real alert, with the status "test". Ends with 1 if the webhook does
/// not answer with 2xx within two seconds, which is how long the gate waits, too.
#[derive(clap::Args)]
pub struct Options {
    /// Send a test; there is nothing else that this command does
    #[arg(long, required = true)]
    test: bool,
    /// The webhook's address, the gate's secret. Give it through the environment, so that `ps` does
    /// not show it
    #[arg(long, env = "EDGE_ALERT_WEBHOOK", hide_env_values = true)]
    webhook: String,
}

/// Does not show the address, of which a part is a secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("test", &self.test)
            .finish_non_exhaustive()
    }
}

/// How long the webhook may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the command.
pub fn run(options: &Options) -> Result<(), Failure> {
    crate::wait_for(send(options))
}

async fn send(options: &Options) -> Result<(), Failure> {
    let url = options.webhook.trim();
    if !omnitrade_edge::ops::is_webhook(url) {
        return Err(Failure::Usage(
            "EDGE_ALERT_WEBHOOK: expected an https:// address (http:// only on this machine)"
                .into(),
        ));
    }
    let body = json!({
        "alert": "test",
        "status": "test",
        "fingerprint": "0000000000000000",
        "text": "omnitrade-edge: this is a test of the webhook.",
        "runbook": "docs/runbook.md",
    });
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Failure::Runtime(format!("cannot start: {error}")))?;
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = request.send().await.map_err(|error| {
        let why = match error.is_timeout() {
            true => "it did not answer within 2 s",
            false => "it cannot be reached",
        };
        Failure::Runtime(format!("EDGE_ALERT_WEBHOOK: {why}"))
    })?;
    match answer.status() {
        status if status.is_success() => {
            crate::print(&format!("sent; the webhook answered {}\n", status.as_u16()))
                .map_err(|error| Failure::Runtime(format!("sent, but cannot print: {error}")))
        }
        status => Err(Failure::Runtime(format!(
            "EDGE_ALERT_WEBHOOK: it answered {}",
            status.as_u16()
        ))),
    }
}
