//! `metrics`: an exporter for Prometheus of what all isolates together have counted, over the SQL
//! API of Workers Analytics Engine.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use omnitrade_edge::config::{format_duration, parse_duration};
use omnitrade_edge::ops::{Fleet, Present};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::Failure;

/// Export what all isolates together have counted, for Prometheus
///
/// The gate writes it to a dataset of Workers Analytics Engine, if `metrics.analytics` names one.
/// This command asks the SQL API for the new rows and serves their sums at `/metrics`, from zero
/// on when it starts. It asks no Redis.
#[derive(clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    listen: String,
    /// The name of the dataset, as `dataset` of `[[analytics_engine_datasets]]` says it
    #[arg(long, value_parser = dataset, default_value = "edge_metrics")]
    dataset: String,
    /// The account that the Worker runs in
    #[arg(long, env = "CLOUDFLARE_ACCOUNT_ID", value_parser = account)]
    account: String,
    /// A token that may read "Account Analytics". Give it through the environment, so that `ps`
    /// does not show it
    #[arg(long, env = "CLOUDFLARE_API_TOKEN", hide_env_values = true)]
    api_token: String,
    /// How often the API is asked
    #[arg(long, value_parser = duration, default_value = "30s")]
    every: Duration,
    /// How long rows take until they can be read
    #[arg(long, value_parser = duration, default_value = "1m")]
    lag: Duration,
    /// Another address of the API, for tests
    #[arg(long, hide = true, default_value = "https://api.cloudflare.com")]
    api: String,
}

/// Shows no token.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("dataset", &self.dataset)
            .finish_non_exhaustive()
    }
}

/// Runs the command until it is stopped.
pub fn run(options: Options) -> Result<(), Failure> {
    crate::wait_for(export(options))
}

async fn export(options: Options) -> Result<(), Failure> {
    let cannot_listen =
        |error| Failure::Runtime(format!("cannot listen on {}: {error}", options.listen));
    let listener = TcpListener::bind(&options.listen)
        .await
        .map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let api = Api::new(&options)?;
    let known = Arc::new(Mutex::new(Known::new(now(), options.lag)));
    // Whatever is wrong with the account, the token or the dataset shows at once.
    ask(&known, &api, now())
        .await
        .map_err(|problem| Failure::Runtime(format!("the SQL API cannot be asked: {problem}")))?;
    let asking = Arc::clone(&known);
    let every = options.every;
    let asks = async move {
        loop {
            tokio::time::sleep(every).await;
            if let Err(problem) = ask(&asking, &api, now()).await {
                tracing::warn!("the SQL API cannot be asked: {problem}");
            }
        }
    };
    crate::print(&format!("serving http://{address}/metrics\n"))
        .map_err(|error| Failure::Runtime(format!("cannot print: {error}")))?;
    let app = Router::new()
        .route("/metrics", get(scrape))
        .with_state(known);
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        drop(tokio::signal::ctrl_c().await);
    });
    tokio::select! {
        served = server => served
            .map_err(|error| Failure::Runtime(format!("cannot serve: {error}"))),
        () = asks => Ok(()),
    }
}

/// Asks for the rows since the latest answer. If there is none, the next question asks for them,
/// too. Nobody who scrapes meanwhile waits for it.
async fn ask(known: &Mutex<Known>, api: &Api, now: u64) -> Result<(), String> {
    let (from, until) = known.lock().await.next(now);
    let answered = api.rows(from, until).await;
    known.lock().await.take(answered, until)
}

async fn scrape(State(known): State<Arc<Mutex<Known>>>) -> Response {
    let known = known.lock().await;
    let kind = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    (StatusCode::OK, [kind], known.text()).into_response()
}

/// What is known of the fleet.
#[derive(Debug)]
struct Known {
    fleet: Fleet,
    present: Present,
    /// Up to when rows are counted, Unix time in seconds.
    until: u64,
    lag: u64,
    /// Whether the latest question was answered.
    is_up: bool,
}

impl Known {
    fn new(now: u64, lag: Duration) -> Self {
        let lag = lag.as_secs();
        Self {
            fleet: Fleet::default(),
            present: Present::default(),
            // So that the first question is about something.
            until: now.saturating_sub(lag + 1),
            lag,
            is_up: true,
        }
    }

    /// The seconds that the next question is about.
    fn next(&self, now: u64) -> (u64, u64) {
        (self.until, now.saturating_sub(self.lag).max(self.until))
    }

    /// Takes the answer about the rows of the seconds up to then.
    fn take(&mut self, answered: Result<Vec<Value>, String>, until: u64) -> Result<(), String> {
        self.is_up = answered.is_ok();
        let rows = answered?;
        self.until = until;
        self.present = Present::default();
        for row in &rows {
            self.add(row);
        }
        Ok(())
    }

    fn add(&mut self, row: &Value) {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let numbers: Vec<_> = (1..=NUMBERS)
            .map(|n| whole(&row[format!("n{n}")]))
            .collect();
        self.fleet.add(text("kind"), text("name"), &numbers);
        if text("kind") == "isolate" {
            self.present = Present {
                open: whole(&row["open"]) > 0,
                l1_bytes: whole(&row["l1_bytes"]),
                offset_ms: offset(&row["ahead"], &row["behind"]),
            };
        }
    }

    fn text(&self) -> String {
        let up = u8::from(self.is_up);
        let own = [
            "# HELP edge_exporter_up 1 if the SQL API answered the latest question.\n",
            "# TYPE edge_exporter_up gauge\n",
        ];
        format!(
            "{}{}edge_exporter_up {up}\n",
            self.fleet.prometheus(self.present),
            own.concat()
        )
    }
}

/// A row has so many numbers at most.
const NUMBERS: usize = 20;

/// A number of an answer, which gives large ones as texts. Sampled rows make fractions of it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn whole(value: &Value) -> u64 {
    float(value).max(0.0).round() as u64
}

fn float(value: &Value) -> f64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_f64().or(text).unwrap_or_default()
}

/// The larger of two corrections, one of them forwards and one of them backwards.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast of a float saturates"
)]
fn offset(ahead: &Value, behind: &Value) -> i64 {
    let (ahead, behind) = (float(ahead), float(behind));
    (if ahead.abs() >= behind.abs() {
        ahead
    } else {
        behind
    }) as i64
}

/// The SQL API.
struct Api {
    client: reqwest::Client,
    address: String,
    token: String,
    dataset: String,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

impl Api {
    fn new(options: &Options) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        Ok(Self {
            client: client.map_err(|error| Failure::Runtime(format!("cannot start: {error}")))?,
            address: format!(
                "{}/client/v4/accounts/{}/analytics_engine/sql",
                options.api, options.account
            ),
            token: options.api_token.clone(),
            dataset: options.dataset.clone(),
        })
    }

    /// The sums of the rows of some seconds, by kind and name.
    async fn rows(&self, from: u64, until: u64) -> Result<Vec<Value>, String> {
        if from >= until {
            return Ok(Vec::new());
        }
        let answer = self
            .client
            .post(&self.address)
            .bearer_auth(&self.token)
            .body(self.query(from, until))
            .send()
            .await
            // The address is in it, which is nobody's secret but the account's.
            .map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|error| error.without_url().to_string())?;
        if !status.is_success() {
            return Err(match status.as_u16() {
                401 | 403 => format!(
                    "it answered {status}: CLOUDFLARE_API_TOKEN must be a token of this account that may \
                     read \"Account Analytics\""
                ),
                422 | 400 => format!(
                    "it answered {status}: there may be no dataset {:?} yet; it is made by the first row \
                     (`metrics.analytics`, and [[analytics_engine_datasets]] in wrangler.toml)",
                    self.dataset
                ),
                _ => format!("it answered {status}"),
            });
        }
        let answer: Value =
            serde_json::from_slice(&body).map_err(|_| "its answer is no JSON".to_owned())?;
        match answer.get("data").and_then(Value::as_array) {
            Some(rows) => Ok(rows.clone()),
            None => Err("its answer has no rows".to_owned()),
        }
    }

    /// Sampled rows stand for as many as `_sample_interval` says.
    fn query(&self, from: u64, until: u64) -> String {
        let sums = (1..=NUMBERS).map(|n| format!("SUM(_sample_interval * double{n}) AS n{n}"));
        let sums: Vec<_> = sums.collect();
        format!(
            "SELECT blob1 AS kind, blob2 AS name, {}, MAX(double14) AS open, MAX(double15) AS l1_bytes, \
             MAX(double16) AS ahead, MIN(double16) AS behind FROM {} \
             WHERE timestamp >= toDateTime({from}) AND timestamp < toDateTime({until}) \
             GROUP BY kind, name FORMAT JSON",
            sums.join(", "),
            self.dataset
        )
    }
}

fn now() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program never runs on wasm32"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// For clap: the name of a dataset, which stands in SQL as it is.
fn dataset(text: &str) -> Result<String, &'static str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match fits && text.chars().all(is_word) {
        true => Ok(text.to_owned()),
        false => Err("expected letters, digits and underscores"),
    }
}

/// For clap: an account, which stands in an address as it is.
fn account(text: &str) -> Result<String, &'static str> {
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        true => Ok(text.to_owned()),
        false => Err("expected the id of an account: letters and digits"),
    }
}

/// For clap: from 1 s to an hour.
fn duration(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3_600);
    let duration = parse_duration(text).filter(|duration| bounds.contains(duration));
    duration.ok_or_else(|| {
        format!(
            "expected a duration from \"1s\" to {:?}",
            format_duration(Duration::from_secs(3_600))
        )
    })
}
