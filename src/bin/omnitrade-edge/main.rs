//! The command line: `omnitrade-edge check`, `doctor`, `keys`, `purge`, `queue`, `serve-redis` and
//! others.
//!
//! The exit code is 0 on success, 1 if something failed while the command ran, and 2 if it was
//! called wrongly.
//!
//! On wasm32, which has no sockets, it is an empty program: so all features build there together.

#![cfg_attr(target_arch = "wasm32", no_main)]
#![cfg(not(target_arch = "wasm32"))]

#[cfg(feature = "reqwest")]
mod alert;
mod check;
mod configuration;
#[cfg(feature = "reqwest")]
mod doctor;
#[cfg(feature = "reqwest")]
mod explain;
#[cfg(feature = "reqwest")]
mod keys;
#[cfg(feature = "reqwest")]
mod metrics;
#[cfg(feature = "reqwest")]
mod place;
#[cfg(feature = "reqwest")]
mod purge;
#[cfg(feature = "reqwest")]
mod queue;
mod schema;
mod serve;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_max_level(cli.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let result = match cli.command {
        #[cfg(feature = "reqwest")]
        Command::Alert(options) => alert::run(&options),
        Command::Check(options) => check::run(&options),
        #[cfg(feature = "reqwest")]
        Command::Explain(options) => explain::run(&options),
        #[cfg(feature = "reqwest")]
        Command::Metrics(options) => metrics::run(options),
        #[cfg(feature = "reqwest")]
        Command::Doctor(options) => doctor::run(*options),
        #[cfg(feature = "reqwest")]
        Command::Keys(options) => keys::run(options),
        #[cfg(feature = "reqwest")]
        Command::Purge(options) => purge::run(options),
        #[cfg(feature = "reqwest")]
        Command::Queue(options) => queue::run(options),
        Command::Schema(options) => schema::run(&options),
        Command::ServeRedis(options) => serve::run(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The exit code reports the failure too, in case stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            failure.exit_code()
        }
    }
}

/// Writes to stdout and flushes it. If the reader has gone, that must not cause a panic.
fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Runs what has to wait for others, on this thread.
#[cfg(feature = "reqwest")]
fn wait_for(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Runtime(format!("cannot start: {error}")))?
        .block_on(work)
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It was called wrongly: the same call would fail again.
    #[error("{0}")]
    Usage(String),
    /// Something failed while it ran.
    #[error("{0}")]
    Runtime(String),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Runtime(_) => ExitCode::from(1),
        }
    }
}

/// Tools around the omnitrade-edge gate.
#[derive(Debug, Parser)]
#[command(name = "omnitrade-edge", version)]
struct Cli {
    /// How much is logged to stderr: off, error, warn, info, debug or trace
    #[arg(long, global = true, env = "OMNITRADE_LOG", default_value = "info")]
    log: LevelFilter,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "reqwest")]
    Alert(alert::Options),
    Check(check::Options),
    #[cfg(feature = "reqwest")]
    Doctor(Box<doctor::Options>),
    #[cfg(feature = "reqwest")]
    Explain(explain::Options),
    #[cfg(feature = "reqwest")]
    Keys(keys::Options),
    #[cfg(feature = "reqwest")]
    Metrics(metrics::Options),
    #[cfg(feature = "reqwest")]
    Purge(purge::Options),
    #[cfg(feature = "reqwest")]
    Queue(queue::Options),
    Schema(schema::Options),
    ServeRedis(serve::Options),
}
