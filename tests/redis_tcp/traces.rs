//! What is told of calls over TCP, and of the connection.

use omnitrade_edge::redis::{Command, Script, TcpClient, TcpOptions};

use crate::common::redis::{RedisServer, SERVERS};
use crate::recorder::{Recorder, field};
use crate::{get, set};

#[tokio::test]
async fn calls_are_spans_and_nothing_that_is_recorded_is_a_secret() {
    for program in SERVERS {
        let server = RedisServer::start_program(program, &["--requirepass", "s3cret"]);
        let at = |user: &str| {
            let url = server.url().replace("redis://", &format!("redis://{user}"));
            TcpClient::new(TcpOptions::new(url).retries(0)).unwrap()
        };
        let recorder = Recorder::default();
        let guard = tracing::subscriber::set_default(recorder.clone());
        let redis = at(":s3cret@");
        redis
            .command_as::<()>(&set("key-s3cret", "value-s3cret"))
            .await
            .unwrap();
        let script = Script::new("return redis.error_reply('S3CRET s3cret ' .. ARGV[1])");
        assert!(
            redis
                .script(&script, &["key-s3cret"], ["s3cret"])
                .await
                .is_err()
        );
        let wrong = Command::new("RPUSH").arg("key-s3cret").arg("s3cret");
        assert!(redis.command(&wrong).await.is_err());
        assert!(redis.multi(&[get("key-s3cret"), wrong]).await.is_ok());
        assert!(
            at(":wrong-s3cret@")
                .command(&get("key-s3cret"))
                .await
                .is_err()
        );
        drop(guard);

        let recorded = recorder.take();
        let told = recorded.spans.iter().map(|span| {
            let names = ["db.operation.name", "error.type", "db.response.status_code"];
            names.map(|name| field(span, name))
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ["SET", "", ""],
                ["EVALSHA", "command", ""],
                ["RPUSH", "command", "WRONGTYPE"],
                ["MULTI", "", ""],
                ["GET", "config", ""],
            ]
        );
        // The connection was made, and another one was refused.
        assert_eq!(recorded.events.len(), 2, "{:?}", recorded.events);
        for secret in ["s3cret", "S3CRET", "127.0.0.1", &server.port().to_string()] {
            assert!(!recorded.text.contains(secret), "{}", recorded.text);
        }
    }
}
