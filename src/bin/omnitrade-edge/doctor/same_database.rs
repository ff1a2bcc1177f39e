//! Whether `REDIS_URL`, by which other programs reach Redis, and the REST address lead to the same
//! database.

use std::time::Duration;

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Command, TcpClient, TcpOptions, Value};

use super::patient::{Address, LIFE_MS, Patient};
use super::report::{Check, remedy};

/// A replica may lag behind: so often, and after so long, the key is looked for again.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the check.
pub async fn check(patient: &Patient, redis_url: Option<&str>, check: &mut Check) {
    let Some(url) = redis_url else {
        check.skip(
            "REDIS_URL is not set",
            "set it to the address that other programs use (BullMQ, the API), if there are any",
        );
        return;
    };
    let options = TcpOptions::new(url).timeout(PATIENCE).retries(0);
    let client = match TcpClient::new(options) {
        Ok(client) => client,
        Err(error) => {
            // It names the setting, which is called `url` there.
            let expected = "redis://[user:password@]host[:port][/database], or rediss:// for TLS";
            check.fail(
                "redis_url",
                format!("REDIS_URL is no address of a Redis: {}", error.kind()),
                format!("set REDIS_URL: {expected}"),
            );
            return;
        }
    };
    let key = patient.key("same");
    let nonce = patient.nonce();
    let set = Command::new("SET")
        .arg(&key)
        .arg(&nonce)
        .arg("PX")
        .arg(LIFE_MS);
    if let Err(error) = patient.store.command(&set).await {
        return check.store_failed("SET over REST", &error);
    }
    match found(&client, &key, &nonce).await {
        Ok(true) => {
            check.datum("same", true);
            check.saw("REDIS_URL and the REST address are the same database");
        }
        Ok(false) => {
            check.datum("same", false);
            check.fail(
                "different",
                "what is written over REST is not found by REDIS_URL: they are different databases",
                "take both from the same database in the provider's console; mind the number at the end \
                 of REDIS_URL (/0), and --redis of serve-redis",
            );
        }
        Err(error) if error.kind() == ErrorKind::Forbidden => check.skip(
            format!("the user in REDIS_URL may not read the key: {error}"),
            "to have this checked, allow that user GET on the gate's keys",
        ),
        Err(error) => check.fail(
            "redis_url",
            format!("REDIS_URL does not lead to Redis: {error}"),
            match error.kind() {
                ErrorKind::Unreachable | ErrorKind::Timeout => {
                    "check host, port and TLS (rediss://) in REDIS_URL, and the network"
                }
                _ => remedy(&error),
            },
        ),
    }
    safety(&Address::of(url), url, check);
}

async fn found(client: &TcpClient, key: &str, nonce: &str) -> Result<bool, Error> {
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let reply = client.command(&Command::new("GET").arg(key)).await?;
        if reply.as_str() == Some(nonce) {
            return Ok(true);
        }
        if reply != Value::Null {
            return Ok(false);
        }
    }
    Ok(false)
}

fn safety(address: &Address, url: &str, check: &mut Check) {
    if !address.tls && !address.loopback && !url.starts_with("unix:") {
        check.warn(
            "plain_redis",
            "REDIS_URL is not TLS: whoever is on the way can read its password",
            "use rediss://, if the provider has it, or keep it within a private network",
        );
    }
}

/// The deadline, with which the connection must be made, too.
const PATIENCE: Duration = Duration::from_secs(5);
