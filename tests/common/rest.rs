//! `omnitrade-edge serve-redis`, the built program.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::{PATIENCE, TempDir, eventually};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_omnitrade-edge");

/// The line that it prints once it is ready, up to the address.
pub const READY: &str = "serving Upstash's REST protocol on ";

/// A running `serve-redis`. It is killed when this value is dropped.
#[derive(Debug)]
pub struct RestServer {
    url: String,
    token: String,
    client: Client,
    process: Child,
    stdout: BufReader<ChildStdout>,
    directory: TempDir,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {:?}", String::from_utf8_lossy(&self.body));
        })
    }

    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value
            .transpose()
            .expect("a header of text")
            .unwrap_or_default()
    }
}

/// Sends a request.
///
/// # Panics
///
/// If there is no answer.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await.expect("the whole answer").into(),
    }
}

impl RestServer {
    /// Starts `serve-redis` on a free port in front of the Redis at `redis_url`, and waits until it
    /// is ready.
    pub fn start(redis_url: &str, token: &str) -> Self {
        Self::start_with(redis_url, token, &[])
    }

    /// Starts `serve-redis` with more command-line options.
    pub fn start_with(redis_url: &str, token: &str, options: &[&str]) -> Self {
        Self::start_in(redis_url, token, options, &[])
    }

    /// The same, with more variables in its environment.
    pub fn start_in(
        redis_url: &str,
        token: &str,
        options: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let directory = TempDir::new();
        let log = File::create(log(&directory)).expect("a file for the log");
        let mut process = Command::new(PROGRAM)
            .args(["serve-redis", "--listen", "127.0.0.1:0", "--log", "debug"])
            .args(options)
            .env("OMNITRADE_REDIS_URL", redis_url)
            .env("OMNITRADE_TOKEN", token)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("serve-redis starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("its output"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("its first line");
        let url = line.trim_end().strip_prefix(READY).unwrap_or_else(|| {
            panic!("not ready: {line:?}\n{}", read(&directory));
        });
        Self {
            url: url.to_owned(),
            token: token.to_owned(),
            client: Client::builder()
                .timeout(PATIENCE)
                .build()
                .expect("a client"),
            process,
            stdout,
            directory,
        }
    }

    /// Its address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token that it accepts.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// A request without the token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends `body` to `path`.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.request(Method::POST, path).body(body)).await
    }

    /// Sends one command, and returns the status and the JSON of the response.
    pub async fn command(&self, command: Value) -> (u16, Value) {
        let answer = self.post("/", command.to_string()).await;
        (answer.status, answer.json())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        read(&self.directory)
    }

    /// Asks it to stop, waits for its end, and returns its exit status and the rest of its output.
    #[cfg(unix)]
    pub fn terminate(mut self) -> (std::process::ExitStatus, String) {
        let status = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill -TERM");
        let status = eventually("serve-redis ends", || {
            self.process.try_wait().expect("it can be asked")
        });
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut rest).expect("its output");
        (status, rest)
    }
}

impl Drop for RestServer {
    fn drop(&mut self) {
        // It may have ended already, which is not a failure here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log(directory: &TempDir) -> std::path::PathBuf {
    Path::join(directory.path(), "log")
}

fn read(directory: &TempDir) -> String {
    std::fs::read_to_string(log(directory)).expect("its log")
}
