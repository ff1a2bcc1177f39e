//! `queue`: the jobs of a BullMQ queue, over REST, for operators without a way to Redis itself.

use std::fmt::{self, Write as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::queue::{Bullmq, Counts, JobOptions, JobProgress, JobState, NewJob, Queue};
use omnitrade_edge::redis::Token;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Failure;
use crate::place::{open, store_failure};

/// Count, add and watch the jobs of a BullMQ queue, over REST
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    /// The store's address: Upstash's, or that of `serve-redis`
    #[arg(
        long,
        env = "UPSTASH_REDIS_REST_URL",
        hide_env_values = true,
        global = true
    )]
    store_url: Option<String>,
    /// The token of the store. Give it through the environment, so that `ps` does not show it
    #[arg(
        long,
        env = "UPSTASH_REDIS_REST_TOKEN",
        hide_env_values = true,
        global = true
    )]
    store_token: Option<Token>,
    /// The prefix of the queue's keys, as the workers have it
    #[arg(long, default_value = "bull", global = true)]
    prefix: String,
    /// Which major version of BullMQ works on the queue; "any" is safe with both
    #[arg(long, default_value = "any", value_parser = bullmq, global = true)]
    bullmq: Bullmq,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print how many jobs there are in each state
    Counts {
        /// The queue's name
        queue: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a job, or many, as BullMQ's `Queue.add` does. Prints the id of each job that is there
    /// now, in order
    Add {
        /// The queue's name
        queue: String,
        /// The job's name
        #[arg(required_unless_present = "jobs")]
        name: Option<String>,
        /// The job's data, as JSON
        #[arg(default_value = "{}", conflicts_with = "jobs")]
        data: String,
        /// The job's options, as JSON with BullMQ's names: {"attempts":3,"delay":1000}
        #[arg(
            long,
            value_name = "JSON",
            default_value = "{}",
            conflicts_with = "jobs"
        )]
        options: String,
        /// Add the jobs of this file (`-`: of the input) in one request. Each line is a JSON
        /// object: {"name":…,"data":…,"opts":{…}}
        #[arg(long, value_name = "FILE", conflicts_with = "name")]
        jobs: Option<PathBuf>,
    },
    /// Print what happens to a job until it is completed or has failed. Exit code 1: it has failed,
    /// or there is no such job
    Tail {
        /// The queue's name
        queue: String,
        /// The job's id
        id: String,
        /// How often to look, in milliseconds. Each look is four commands
        #[arg(long, value_name = "MS", default_value_t = 1_000,
              value_parser = clap::value_parser!(u64).range(50..))]
        every: u64,
    },
}

/// Shows neither the store's address nor its token, nor data.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("bullmq", &self.bullmq)
            .finish_non_exhaustive()
    }
}

/// Runs the command.
pub fn run(options: Options) -> Result<(), Failure> {
    crate::wait_for(carry_out(options))
}

async fn carry_out(options: Options) -> Result<(), Failure> {
    let (Some(url), Some(token)) = (&options.store_url, &options.store_token) else {
        let missing = "expected --store-url and --store-token, or UPSTASH_REDIS_REST_URL and \
                       UPSTASH_REDIS_REST_TOKEN";
        return Err(Failure::Usage(missing.into()));
    };
    let store = open(url, token)?;
    let named = |name: &str| {
        let queue = Queue::new(name, store.clone()).map_err(|error| wrong(&error))?;
        Ok(queue.prefix(&options.prefix).bullmq(options.bullmq))
    };
    match &options.what {
        What::Counts { queue, json } => {
            let counts = named(queue)?.counts().await;
            let counts = counts.map_err(|error| store_failure(&error))?;
            print(&match json {
                true => counts_json(&counts),
                false => counts_text(&counts),
            })
        }
        What::Add {
            queue,
            jobs: Some(file),
            ..
        } => add_all(&named(queue)?, &read(file)?).await,
        What::Add {
            queue,
            name,
            data,
            options,
            jobs: None,
        } => {
            let options: JobOptions = options.parse().map_err(|error| wrong(&error))?;
            let name = name.as_deref().unwrap_or_default();
            let added = named(queue)?.add_json(name, data, &options).await;
            print(&format!("{}\n", added.map_err(|error| not_added(&error))?))
        }
        What::Tail { queue, id, every } => {
            tail(&named(queue)?, id, Duration::from_millis(*every)).await
        }
    }
}

/// A line of `--jobs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    name: String,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    opts: Option<&'a RawValue>,
}

async fn add_all(queue: &Queue, lines: &str) -> Result<(), Failure> {
    let lines = lines.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let jobs = lines.map(|(at, line)| {
        let wrong = |why: String| Failure::Usage(format!("line {}: {why}", at + 1));
        let job: Line<'_> = serde_json::from_str(line)
            .map_err(|_| wrong("expected {\"name\":…,\"data\":…,\"opts\":{…}}".into()))?;
        let options = job.opts.map_or("{}", RawValue::get);
        let options = options
            .parse()
            .map_err(|error: Error| wrong(error.detail().to_owned()))?;
        let data = job.data.map_or("{}", RawValue::get);
        let new = NewJob::from_json(&job.name, data);
        Ok(new
            .map_err(|error| wrong(error.detail().to_owned()))?
            .options(options))
    });
    let jobs: Vec<NewJob> = jobs.collect::<Result<_, Failure>>()?;
    let results = queue.add_bulk(&jobs).await.map_err(|error| wrong(&error))?;
    let (mut added, mut failed) = (String::new(), Vec::new());
    for (at, result) in results.iter().enumerate() {
        match result {
            Ok(id) => {
                let _ = writeln!(added, "{id}");
            }
            Err(error) => failed.push(format!("job {}: {}", at + 1, not_added(error))),
        }
    }
    print(&added)?;
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Runtime(failed.join("; "))),
    }
}

async fn tail(queue: &Queue, id: &str, every: Duration) -> Result<(), Failure> {
    let (mut seen, mut lines) = (None::<JobProgress>, 0);
    loop {
        let job = queue
            .job(id, lines)
            .await
            .map_err(|error| store_failure(&error))?;
        let Some(job) = job else {
            let gone = match seen {
                Some(_) => "the job is gone: finished and removed, or removed before",
                None => "there is no such job",
            };
            return Err(Failure::Runtime(gone.into()));
        };
        lines += job.log.len();
        let news = news(seen.as_ref(), &job);
        print(&news)?;
        if job.state == JobState::Failed {
            return Err(Failure::Runtime("the job has failed".into()));
        }
        if job.state.is_final() {
            return Ok(());
        }
        seen = Some(job);
        tokio::time::sleep(every).await;
    }
}

/// What is new since the last look, one line each.
fn news(seen: Option<&JobProgress>, job: &JobProgress) -> String {
    let mut text = String::new();
    let attempts = |job: &JobProgress| job.attempts_made;
    let changed = seen.is_none_or(|seen| {
        (seen.state, attempts(seen), seen.processed_on)
            != (job.state, attempts(job), job.processed_on)
    });
    for line in &job.log {
        let _ = writeln!(text, "log       {line}");
    }
    if let Some(progress) = &job.progress
        && seen.is_none_or(|seen| seen.progress != job.progress)
    {
        let _ = writeln!(text, "progress  {progress}");
    }
    if let Some(reason) = &job.failed_reason
        && seen.is_none_or(|seen| {
            seen.failed_reason != job.failed_reason
                || (attempts(seen) != attempts(job) && job.state != JobState::Completed)
        })
    {
        let _ = writeln!(text, "error     {reason}");
    }
    if changed {
        let state = job.state.as_str();
        let _ = match attempts(job) {
            0 => writeln!(text, "{state}"),
            made => writeln!(text, "{state:<9} attempts: {made}"),
        };
    }
    if let Some(value) = job.return_value.as_ref().filter(|_| job.state.is_final()) {
        let _ = writeln!(text, "result    {value}");
    }
    text
}

fn counts_text(counts: &Counts) -> String {
    let mut text = String::new();
    for (name, count) in named_counts(counts) {
        let _ = writeln!(text, "{name:<17}{count}");
    }
    if counts.is_paused {
        text.push_str("the queue is paused\n");
    }
    if let Some(version) = &counts.version {
        let _ = writeln!(text, "last opened by {version}");
    }
    text
}

fn counts_json(counts: &Counts) -> String {
    let mut json: serde_json::Map<_, _> = named_counts(counts)
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect();
    json.insert("isPaused".into(), counts.is_paused.into());
    json.insert("version".into(), counts.version.clone().into());
    format!("{}\n", serde_json::Value::Object(json))
}

/// The counts by the names that BullMQ gives them.
fn named_counts(counts: &Counts) -> [(&'static str, u64); 8] {
    [
        ("waiting", counts.waiting),
        ("paused", counts.paused),
        ("prioritized", counts.prioritized),
        ("active", counts.active),
        ("delayed", counts.delayed),
        ("waiting-children", counts.waiting_children),
        ("completed", counts.completed),
        ("failed", counts.failed),
    ]
}

/// A job was not added, or this is not known.
fn not_added(error: &Error) -> Failure {
    if error.kind() == ErrorKind::Config {
        return wrong(error);
    }
    let unsure = match error.may_have_run() {
        true => "; it may have been added all the same",
        false => "; it was not added",
    };
    Failure::Runtime(format!("{error}{unsure}"))
}

/// Something in the call is wrong: the name of the queue, the data or an option.
fn wrong(error: &Error) -> Failure {
    Failure::Usage(error.detail().to_owned())
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let result = match file == Path::new("-") {
        true => std::io::stdin().read_to_string(&mut text).map(drop),
        false => std::fs::read_to_string(file).map(|read| text = read),
    };
    result.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    Ok(text)
}

fn print(text: &str) -> Result<(), Failure> {
    crate::print(text).map_err(|error| Failure::Runtime(format!("cannot print: {error}")))
}

/// For clap.
fn bullmq(text: &str) -> Result<Bullmq, &'static str> {
    match text {
        "any" => Ok(Bullmq::Any),
        "5" => Ok(Bullmq::V5),
        "6" => Ok(Bullmq::V6),
        _ => Err("expected \"any\", \"5\" or \"6\""),
    }
}
