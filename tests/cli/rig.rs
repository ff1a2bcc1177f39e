//! Runs the built program and captures how it ended.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::common::TempDir;
use crate::common::redis::{RedisServer, free_port};
use crate::common::rest::{PROGRAM, RestServer};

/// The token that the store accepts.
pub const TOKEN: &str = "t0ken-of-the-store";

/// A day in milliseconds.
pub const DAY: i64 = 86_400_000;

/// The directory in which the program runs, with the files of one test.
pub struct Folder(TempDir);

impl Folder {
    /// An empty directory.
    pub fn new() -> Self {
        Self(TempDir::new())
    }

    /// Writes or replaces a file of this name.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Runs the program in the directory, without a store.
    pub fn call(&self, args: &[&str]) -> Done {
        self.run(self.program(args), "")
    }

    /// Runs the program in the directory with these variables in its environment.
    pub fn call_in(&self, environment: &[(&str, &str)], args: &[&str]) -> Done {
        let mut program = self.program(args);
        program.envs(environment.iter().copied());
        self.run(program, "")
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut program = Command::new(PROGRAM);
        program
            .args(args)
            .current_dir(self.0.path())
            .env_remove("UPSTASH_REDIS_REST_URL")
            .env_remove("UPSTASH_REDIS_REST_TOKEN")
            .env_remove("EDGE_KEY_SECRET")
            .env_remove("EDGE_KEY_SECRET_PREVIOUS")
            .env_remove("CLOUDFLARE_ENV")
            .env_remove("EDGE_ADMIN_TOKEN")
            .env_remove("REDIS_URL")
            .env_remove("UPSTASH_EMAIL")
            .env_remove("UPSTASH_API_KEY")
            .env_remove("UPSTASH_API_URL");
        program
    }

    fn run(&self, mut program: Command, stdin: &str) -> Done {
        let mut process = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The program may have ended without reading its input.
        let _ = process.stdin.take().unwrap().write_all(stdin.as_bytes());
        let Output {
            status,
            stdout,
            stderr,
        } = process.wait_with_output().unwrap();
        let done = Done {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        };
        assert!(!done.stderr.contains(TOKEN), "{done:?}");
        done
    }
}

/// One command of the program, the store that it works on, and the directory in which it runs.
pub struct Rig {
    command: &'static str,
    pub store: RedisServer,
    pub rest: RestServer,
    folder: Folder,
}

impl Rig {
    /// A rig for `command` with an empty store.
    pub fn start(command: &'static str) -> Self {
        Self::before(RedisServer::start(), command)
    }

    /// A rig for `command` with this store.
    pub fn before(redis: RedisServer, command: &'static str) -> Self {
        let url = redis.url();
        Self::behind(redis, &url, command)
    }

    /// For `command`, with this store, which `serve-redis` reaches by this address.
    pub fn behind(redis: RedisServer, url: &str, command: &'static str) -> Self {
        Self {
            command,
            rest: RestServer::start(url, TOKEN),
            store: redis,
            folder: Folder::new(),
        }
    }

    /// Writes a configuration: `text` follows the line of its origin.
    pub fn configure(&self, file: &str, text: &str) {
        let edge = "[vars.EDGE]\norigin = 'https://api.example.com'\n";
        self.folder.write(file, &[edge, text].concat());
    }

    /// Writes a file as it is.
    pub fn write(&self, file: &str, text: &str) {
        self.folder.write(file, text);
    }

    /// Runs the command on the store.
    pub fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    /// Runs the command on the store, with this input.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Done {
        self.run_at(self.rest.url(), TOKEN, args, stdin)
    }

    /// Runs the command on the store, with the current secret and the previous one in its
    /// environment.
    pub fn run_under(&self, secrets: [Option<&str>; 2], args: &[&str], stdin: &str) -> Done {
        let mut program = self.folder.program(&[&[self.command], args].concat());
        program
            .env("UPSTASH_REDIS_REST_URL", self.rest.url())
            .env("UPSTASH_REDIS_REST_TOKEN", TOKEN);
        let names = ["EDGE_KEY_SECRET", "EDGE_KEY_SECRET_PREVIOUS"];
        for (name, secret) in names.into_iter().zip(secrets) {
            if let Some(secret) = secret {
                program.env(name, secret);
            }
        }
        let done = self.folder.run(program, stdin);
        for secret in secrets.into_iter().flatten().filter(|s| s.len() > 8) {
            assert!(!format!("{done:?}").contains(secret), "{done:?}");
        }
        done
    }

    /// Runs another command on the store.
    pub fn run_other(&self, command: &'static str, args: &[&str]) -> Done {
        let mut program = self.folder.program(&[&[command], args].concat());
        program
            .env("UPSTASH_REDIS_REST_URL", self.rest.url())
            .env("UPSTASH_REDIS_REST_TOKEN", TOKEN);
        self.folder.run(program, "")
    }

    /// Runs the command on another store.
    pub fn run_at(&self, url: &str, token: &str, args: &[&str], stdin: &str) -> Done {
        let mut program = self.folder.program(&[&[self.command], args].concat());
        program
            .env("UPSTASH_REDIS_REST_URL", url)
            .env("UPSTASH_REDIS_REST_TOKEN", token);
        self.folder.run(program, stdin)
    }

    /// What the store replies to a command.
    pub async fn redis(&self, command: Value) -> Value {
        let (status, mut reply) = self.rest.command(command).await;
        assert_eq!(status, 200, "{reply}");
        reply["result"].take()
    }

    /// The names of all keys in the store, sorted.
    pub async fn names(&self) -> Vec<String> {
        let names = self.redis(json!(["KEYS", "*"])).await;
        let mut names: Vec<String> = serde_json::from_value(names).unwrap();
        names.sort();
        names
    }
}

/// An address at which no store listens.
pub fn nowhere() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts that the program failed with this code, printed nothing to its output, and said
    /// this.
    #[track_caller]
    pub fn failed(&self, code: i32, said: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.contains(said), "{self:?}");
    }
}
