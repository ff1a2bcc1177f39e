//! Passwords: refused, mended, and never shown. Settings that are wrong.

use std::time::Duration;

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Command, TcpClient, TcpOptions};

use crate::common::PATIENCE;
use crate::common::redis::{RedisServer, SERVERS};
use crate::{get, incr};

#[track_caller]
fn assert_clean(shown: &str) {
    for secret in ["s3cret", "127.0.0.1", "localhost", "example"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn shown(error: &Error) -> String {
    format!("{error} {error:?}")
}

#[tokio::test]
async fn a_wrong_password_is_a_setting_to_mend_and_holds_nobody_up_once_it_is() {
    for program in SERVERS {
        let server = RedisServer::start_program(program, &["--requirepass", "s3cret"]);
        let with = |user: &str| {
            let url = server.url().replace("redis://", &format!("redis://{user}"));
            TcpClient::new(TcpOptions::new(url).timeout(PATIENCE)).unwrap()
        };
        for (user, code) in [
            ("", "NOAUTH"),
            (":wrong-s3cret@", "WRONGPASS"),
            ("x:s3cret@", "WRONGPASS"),
        ] {
            let error = with(user).command(&incr("n")).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.may_have_run()),
                (ErrorKind::Config, false)
            );
            assert!(error.detail().starts_with(code), "{error}");
            assert_clean(&shown(&error));
        }
        let right = with(":s3cret@");
        assert_eq!(right.command_as::<i64>(&incr("n")).await, Ok(1));
        // The password is changed, and later it is the former one again.
        let configure = |value: &str| {
            let words = ["SET", "requirepass", value];
            Command::new("CONFIG").args(words)
        };
        let other = with(":s3cret@");
        right.command_as::<()>(&configure("other")).await.unwrap();
        assert_eq!(
            other.command(&get("n")).await.unwrap_err().kind(),
            ErrorKind::Config
        );
        right.command_as::<()>(&configure("s3cret")).await.unwrap();
        assert_eq!(other.command_as::<i64>(&get("n")).await, Ok(1));
        assert_clean(&format!("{other:?} {right:?}"));
    }
}

#[tokio::test]
async fn a_database_and_a_user_of_the_address_are_used() {
    for program in SERVERS {
        let server = RedisServer::start_program(
            program,
            &["--user", "ann", "on", ">s3cret", "~a:*", "+@all"],
        );
        let url = server.url().replace("redis://", "redis://ann:s3cret@");
        let redis = TcpClient::connect(format!("{url}/3")).unwrap();
        assert_eq!(redis.command_as::<i64>(&incr("a:n")).await, Ok(1));
        let keyspace: String = redis
            .command_as(&Command::new("INFO").arg("keyspace"))
            .await
            .unwrap();
        assert!(keyspace.contains("db3:keys=1"), "{keyspace}");
        let error = redis.command(&incr("s3cret")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.may_have_run()),
            (ErrorKind::Forbidden, false)
        );
        assert_clean(&shown(&error));
        let no_such = TcpClient::connect(format!("{url}/99")).unwrap();
        let error = no_such.command(&get("a:n")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_clean(&shown(&error));
    }
}

#[tokio::test]
async fn no_error_shows_what_was_sent_or_where() {
    let server = RedisServer::start();
    let redis = TcpClient::connect(server.url()).unwrap();
    let commands = [
        Command::new("NOSUCH").arg("s3cret"),
        Command::new("s3cret s3cret").arg("s3cret"),
        Command::new("INCRBY").arg("s3cret").arg("s3cret"),
        Command::new("SUBSCRIBE").arg("s3cret"),
        Command::new("OBJECT").arg("s3cret").arg("s3cret"),
    ];
    for command in &commands {
        let error = redis.command(command).await.unwrap_err();
        assert_clean(&shown(&error));
    }
    for error in redis.pipeline(&commands[..3]).await.unwrap() {
        assert_clean(&shown(&error.unwrap_err()));
    }
    assert_clean(&shown(&redis.multi(&commands[..3]).await.unwrap_err()));
    drop(server);
    let gone = redis.command(&incr("s3cret")).await.unwrap_err();
    assert_clean(&shown(&gone));
}

#[test]
fn a_wrong_setting_is_named_and_not_shown() {
    let wrong = |options: TcpOptions| {
        let error = TcpClient::new(options).unwrap_err();
        assert_eq!(
            (error.kind(), error.may_have_run()),
            (ErrorKind::Config, false)
        );
        assert_clean(&shown(&error));
        error.detail().to_owned()
    };
    for url in [
        "",
        "s3cret.example",
        "http://:s3cret@h.example",
        "redis://:s3cret@",
        "redis://:s3cret@h.example/nodb",
        "redis://:s3cret@h.example:99999",
        "rediss://:s3cret@h.example/#insecure",
    ] {
        assert!(wrong(TcpOptions::new(url)).starts_with("url: "), "{url}");
    }
    let options = || TcpOptions::new("redis://:s3cret@h.example");
    assert!(wrong(options().timeout(Duration::ZERO)).starts_with("timeout: expected"));
    assert!(wrong(options().max_reply_bytes(0)).starts_with("max_reply_bytes: expected"));
    let client = TcpClient::new(options()).unwrap();
    assert_clean(&format!("{client:?} {:?}", options()));
}
