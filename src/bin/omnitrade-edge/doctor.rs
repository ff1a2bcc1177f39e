//! `doctor`: tries out whether the store and a deployed Worker are as they must be, and says of
//! everything that is not what to do about it.
//!
//! Each check tries the thing itself, as far as that does no harm, and does not rely on what a
//! server says of its settings. What a provider forbids is left out, with the reason. Probes make
//! keys below the gate's prefix, which are deleted in the end and expire in any case. Nothing that
//! is printed holds a secret, a key or an address.

mod acl;
mod clock;
mod deadline;
mod edge;
mod http;
mod latency;
mod memory;
mod patient;
mod plan;
mod queues;
mod reach;
mod report;
mod rights;
mod same_database;
mod sample;
mod scripts;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use omnitrade_edge::config::Config;
use omnitrade_edge::error::Error;
use omnitrade_edge::redis::Token;
use omnitrade_edge::shell::ReqwestTransport;

use crate::Failure;
use crate::place::{Place, store_failure};
use edge::Edge;
use http::Unread;
use patient::Patient;
use report::{Check, Report, Status};

/// Check the store, a deployed Worker and what lies between them
///
/// Ends with 0 if nothing failed, with 1 if a check failed (with --strict also if one has a
/// warning), and with 2 if it could not run. It works without a configuration file.
#[derive(clap::Args)]
pub struct Options {
    /// The gate's configuration, like --config
    #[arg(conflicts_with = "config")]
    file: Option<PathBuf>,
    /// A deployed Worker, https://edge.example: it tells how the store is seen from the edge, and
    /// by which configuration it runs. Needs `EDGE_ADMIN_TOKEN`
    #[arg(long, value_name = "URL")]
    worker: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// End with 1 on a warning, too
    #[arg(long)]
    strict: bool,
    /// Make only these checks
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<Subject>,
    /// Print the command that gives a user of Redis the least rights, and do nothing else
    #[arg(long)]
    print_acl: bool,
    /// The store's address: Upstash's, or that of `serve-redis`
    #[arg(long, env = "UPSTASH_REDIS_REST_URL", hide_env_values = true)]
    url: Option<String>,
    /// The token of the store. Give it through the environment, so that `ps` does not show it
    #[arg(long, env = "UPSTASH_REDIS_REST_TOKEN", hide_env_values = true)]
    token: Option<Token>,
    /// The Worker's admin token. Give it through the environment
    #[arg(long, env = "EDGE_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<Secret>,
    /// The address by which other programs reach the same Redis. Give it through the environment
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<Secret>,
    /// The account at Upstash, for `plan`
    #[arg(long, env = "UPSTASH_EMAIL", hide_env_values = true)]
    upstash_email: Option<Secret>,
    /// A key of Upstash's account API. Give it through the environment
    #[arg(long, env = "UPSTASH_API_KEY", hide_env_values = true)]
    upstash_api_key: Option<Secret>,
    /// Where the account API is
    #[arg(long, env = "UPSTASH_API_URL", hide = true, default_value = ACCOUNT_API)]
    upstash_api_url: String,
    #[command(flatten)]
    place: Place,
}

/// Upstash's account API.
const ACCOUNT_API: &str = "https://api.upstash.com/v2";

/// A text that is never shown. An empty one counts as not given.
#[derive(Clone)]
struct Secret(String);

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

/// Shows no address and no secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

/// What is checked, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Whether the store answers, over what, and how fast from here
    Reach,
    /// How a deployed Worker sees it
    Edge,
    /// Whether it answers within `redis.timeout`
    Deadline,
    /// Whether the gate's scripts run as they must
    Scripts,
    /// Whether the clocks agree
    Clock,
    /// Whether the token has the rights that are needed, and no more
    Rights,
    /// Eviction and memory
    Memory,
    /// A sample of the gate's keys
    Keys,
    /// The queues of jobs and their workers
    Queues,
    /// Whether `REDIS_URL` is the same database
    RedisUrl,
    /// Whether the Worker runs by this configuration
    Config,
    /// When the plan is used up
    Plan,
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::Edge => "edge",
            Self::Deadline => "deadline",
            Self::Scripts => "scripts",
            Self::Clock => "clock",
            Self::Rights => "rights",
            Self::Memory => "memory",
            Self::Keys => "keys",
            Self::Queues => "queues",
            Self::RedisUrl => "redis-url",
            Self::Config => "config",
            Self::Plan => "plan",
        }
    }
}

/// Runs the command.
pub fn run(options: Options) -> Result<(), Failure> {
    let config = options.place.config(options.file.as_deref());
    // Without a configuration that can be read, nothing that was checked would be the gate's.
    let config = config.map_err(|failure| Failure::Usage(failure.to_string()))?;
    if options.print_acl {
        let queues = config.iter().flat_map(|config| config.queues.values());
        let rule = acl::rule(&options.place.prefix(config.as_ref()), queues);
        return print(&format!("{rule}\n"));
    }
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Usage(format!("cannot start: {error}")))?
        .block_on(examine(&options, config.as_ref()))?;
    print(&match options.json {
        true => report.as_json(),
        false => report.as_lines(),
    })?;
    let failed = report.names(Status::Fail);
    let warned = report.names(Status::Warn);
    if !failed.is_empty() {
        return Err(Failure::Runtime(format!("failed: {}", failed.join(", "))));
    }
    match options.strict && !warned.is_empty() {
        true => Err(Failure::Runtime(format!(
            "with a warning: {}",
            warned.join(", ")
        ))),
        false => Ok(()),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    crate::print(text).map_err(|error| Failure::Usage(format!("cannot print: {error}")))
}

async fn examine(options: &Options, config: Option<&Config>) -> Result<Report, Failure> {
    let transport = ReqwestTransport::new().map_err(|error| store_failure(&error))?;
    let patient = patient(options, config, &transport)?;
    let visit = Visit {
        options,
        config,
        edge: edge(options, &transport).await,
        patient: patient.as_ref(),
        transport,
    };
    let report = tokio::select! {
        report = visit.all() => report,
        _ = tokio::signal::ctrl_c() => {
            if let Some(patient) = &patient {
                let _ = patient.clean_up().await;
            }
            return Err(Failure::Usage("interrupted".into()));
        }
    };
    if let Some(patient) = &patient {
        // They expire by themselves, should this fail.
        let _ = patient.clean_up().await;
    }
    Ok(report)
}

/// The store, if both its address and its token are given.
fn patient(
    options: &Options,
    config: Option<&Config>,
    transport: &ReqwestTransport,
) -> Result<Option<Patient>, Failure> {
    let (url, token) = match (&options.url, &options.token) {
        (Some(url), Some(token)) => (url.trim(), token),
        (None, None) if options.worker.is_some() => return Ok(None),
        (url, _) => {
            let absent = if url.is_none() { "URL" } else { "TOKEN" };
            let message = "expected that of the store, found nothing";
            return Err(Failure::Usage(format!(
                "UPSTASH_REDIS_REST_{absent}: {message}"
            )));
        }
    };
    let prefix = options.place.prefix(config);
    let timeout = config.map_or(DEFAULT_TIMEOUT, |config| config.redis.timeout);
    Patient::new(transport.clone(), url, token, prefix, timeout).map(Some)
}

/// `redis.timeout`, unless a configuration says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(150);

/// What the Worker says, if one is named and any check needs it.
async fn edge(options: &Options, transport: &ReqwestTransport) -> Option<Result<Edge, Unread>> {
    let url = options.worker.as_deref()?;
    let needs = [
        Subject::Edge,
        Subject::Deadline,
        Subject::Clock,
        Subject::Config,
    ];
    if !needs.into_iter().any(|subject| options.wants(subject)) {
        return None;
    }
    let token = given(options.admin_token.as_ref())?;
    Some(edge::ask(transport, url, token).await)
}

impl Options {
    fn wants(&self, subject: Subject) -> bool {
        self.only.is_empty() || self.only.contains(&subject)
    }
}

/// One run.
struct Visit<'a> {
    options: &'a Options,
    config: Option<&'a Config>,
    edge: Option<Result<Edge, Unread>>,
    /// The store, if it is named.
    patient: Option<&'a Patient>,
    transport: ReqwestTransport,
}

impl Visit<'_> {
    async fn all(&self) -> Report {
        let mut checks = Vec::new();
        let failure = self.reach(&mut checks).await;
        let wanted = Subject::value_variants().iter().copied();
        for subject in wanted.filter(|subject| *subject != Subject::Reach) {
            if self.options.wants(subject) {
                let mut check = Check::new(subject.name());
                self.make(subject, failure.as_ref(), &mut check).await;
                checks.push(check);
            }
        }
        Report(checks)
    }

    /// The first check. It tells why the others cannot be made.
    async fn reach(&self, checks: &mut Vec<Check>) -> Option<Error> {
        let wanted = self.options.wants(Subject::Reach);
        let mut check = Check::new(Subject::Reach.name());
        let failure = match self.patient {
            None => {
                unnamed(&mut check);
                None
            }
            Some(patient) if wanted => reach::check(patient, &mut check).await.err(),
            Some(patient) => reach::look(patient).await.err(),
        };
        if wanted {
            checks.push(check);
        }
        failure
    }

    async fn make(&self, subject: Subject, failure: Option<&Error>, check: &mut Check) {
        let edge = self.edge.as_ref().and_then(|said| said.as_ref().ok());
        match subject {
            Subject::Edge => return self.ask_edge(check),
            Subject::Config => return self.compare(edge, check),
            Subject::Plan => return self.plan(check).await,
            _ => {}
        }
        let Some(patient) = self.patient else {
            return unnamed(check);
        };
        if let Some(error) = failure {
            return match self.options.wants(Subject::Reach) {
                true => check.skip("the store does not answer", "see `reach` above"),
                false => check.store_failed("PING", error),
            };
        }
        match subject {
            Subject::Deadline => deadline::check(patient, edge, check).await,
            Subject::Scripts => scripts::check(patient, check).await,
            Subject::Clock => clock::check(patient, edge, check).await,
            Subject::Rights => rights::check(patient, check).await,
            Subject::Memory => memory::check(patient, check).await,
            Subject::Keys => sample::check(patient, check).await,
            Subject::Queues => queues::check(patient, self.config, check).await,
            Subject::RedisUrl => {
                let url = given(self.options.redis_url.as_ref());
                same_database::check(patient, url, check).await;
            }
            Subject::Reach | Subject::Edge | Subject::Config | Subject::Plan => {}
        }
    }

    fn ask_edge(&self, check: &mut Check) {
        match (&self.options.worker, &self.edge) {
            (Some(_), _) if given(self.options.admin_token.as_ref()).is_none() => check.fail(
                "admin_token",
                "EDGE_ADMIN_TOKEN is not set",
                "set it to the Worker's, which opens its page /__edge/doctor",
            ),
            (Some(url), Some(said)) => edge::check(url, said, check),
            _ => check.skip(NO_WORKER, "name one: --worker https://edge.example"),
        }
    }

    fn compare(&self, edge: Option<&Edge>, check: &mut Check) {
        let Some(config) = self.config else {
            return check.skip(
                "there is no configuration file here",
                "run this beside wrangler.toml, or name the file: --config",
            );
        };
        match edge {
            Some(edge) => edge::compare(edge, config.digest(), check),
            None if self.options.worker.is_none() => {
                check.skip(NO_WORKER, "name one: --worker https://edge.example");
            }
            None => check.skip("the Worker did not say", "see `edge`"),
        }
    }

    async fn plan(&self, check: &mut Check) {
        let options = self.options;
        let email = given(options.upstash_email.as_ref());
        let key = given(options.upstash_api_key.as_ref());
        let (Some(email), Some(key)) = (email, key) else {
            return check.skip(
                "UPSTASH_EMAIL and UPSTASH_API_KEY are not set",
                "set them if the store is Upstash's: the console makes API keys (Account, Management \
                 API); one that only reads suffices",
            );
        };
        let Some(patient) = self.patient else {
            return unnamed(check);
        };
        let account = plan::Account {
            api: &options.upstash_api_url,
            email,
            key,
        };
        let (host, now) = (&patient.address.host, patient.now());
        plan::check(&self.transport, &account, host, now, check).await;
    }
}

const NO_WORKER: &str = "no Worker is named";

fn unnamed(check: &mut Check) {
    check.skip(
        "the store is not named",
        "set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN",
    );
}

fn given(secret: Option<&Secret>) -> Option<&str> {
    secret
        .map(|secret| secret.0.as_str())
        .filter(|text| !text.is_empty())
}
