//! A real `redis-server`, or a `valkey-server`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{TempDir, eventually};

/// The servers that speak Redis' protocol.
pub const SERVERS: [&str; 2] = [REDIS, "valkey-server"];

const REDIS: &str = "redis-server";

/// A Redis without persistence. It is killed when this value is dropped.
#[derive(Debug)]
pub struct RedisServer {
    program: &'static str,
    port: u16,
    options: Vec<String>,
    directory: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a Redis on a free port and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a Redis with more command-line options, such as `["--requirepass", "secret"]`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_program(REDIS, options)
    }

    /// Starts one of [`SERVERS`].
    pub fn start_program(program: &'static str, options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        // Another process may take the port before Redis binds it.
        for _ in 0..10 {
            let mut server = Self {
                program,
                port: free_port(),
                options: options.clone(),
                directory: TempDir::new(),
                process: None,
            };
            if server.launch() {
                return server;
            }
        }
        panic!("{program} does not start; is it installed?");
    }

    /// A cluster of one node that holds all slots.
    ///
    /// # Panics
    ///
    /// If it is not up in time. Redis itself delays a new cluster by two seconds.
    pub fn start_cluster() -> Self {
        for _ in 0..10 {
            // The default is ten thousand above the port, which may be no valid port.
            let bus = free_port().to_string();
            let mut server = Self {
                program: REDIS,
                port: free_port(),
                options: ["--cluster-enabled", "yes", "--cluster-port", &bus]
                    .map(str::to_owned)
                    .to_vec(),
                directory: TempDir::new(),
                process: None,
            };
            if !server.launch() {
                continue;
            }
            let said = server.say("CLUSTER ADDSLOTSRANGE 0 16383");
            assert_eq!(said.as_deref(), Some("+OK"));
            eventually("the cluster is up", || {
                // A write command that changes nothing.
                let answer = server.say("DEL ready");
                (answer.as_deref() == Some(":0")).then_some(())
            });
            return server;
        }
        panic!("redis-server does not start as a cluster; is it older than 7?");
    }

    /// The first line of the answer to a command, or to the first of several lines of commands.
    pub fn say(&self, command: &str) -> Option<String> {
        first_line(self.port, command).ok()
    }

    /// Where it would save its data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its address: `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port, which a restart does not change.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills Redis, as in a crash.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("redis-server can be killed");
            process.wait().expect("redis-server ends");
        }
    }

    /// Kills Redis if it runs, and starts it again, empty, on the same port.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.launch(), "redis-server does not start again");
    }

    /// Suspends Redis: it accepts connections and answers nothing.
    #[cfg(unix)]
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Resumes Redis after [`pause`](Self::pause).
    #[cfg(unix)]
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    #[cfg(unix)]
    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("redis-server runs");
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill {signal}");
    }

    /// Launches Redis. Returns whether it came up; it does not if its port is taken.
    fn launch(&mut self) -> bool {
        let program = self.program;
        let process = Command::new(program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program} is not installed (`npm run setup`): {error}")
            });
        let process = self.process.insert(process);
        let port = self.port;
        eventually("redis-server answers or ends", || {
            match process.try_wait().expect("redis-server can be asked") {
                Some(_) => Some(false),
                None => answers(port).then_some(true),
            }
        })
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a server at this port speaks Redis' protocol. A demand for a password counts.
fn answers(port: u16) -> bool {
    first_line(port, "PING").is_ok_and(|line| line.starts_with(['+', '-']))
}

/// The first line of the answer to a command, without its end.
fn first_line(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// A port of the loopback interface that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
