//! Whether the gate's own scripts run as they must: by digest, once more after the store has
//! forgotten one, under the locks of their keys, and a repeat is charged only once.

use std::time::Duration;

use omnitrade_edge::engine::limit::{Bucket, Charge, Role};
use omnitrade_edge::error::Error;
use omnitrade_edge::redis::{Command, Script, Value};
use omnitrade_edge::store::{ADMIT, Ask, KEEP, Outcome};

use super::patient::{LIFE_MS, Patient};
use super::report::Check;

/// The permits of the limits of probes, and their window.
const QUOTA: u64 = 9;
const WINDOW: Duration = Duration::from_secs(10);

/// How long after a call a repeat of it can arrive.
const HORIZON: Duration = Duration::from_secs(10);

/// Makes the check.
pub async fn check(patient: &Patient, check: &mut Check) {
    let Some(locking) = locks(patient, check).await else {
        return;
    };
    if !reloads(patient, check).await || !counts_once(patient, locking, check).await {
        return;
    }
    keeps(patient, check).await;
}

/// A call of the gate's script that changes nothing.
pub async fn peek(patient: &Patient, key: &str) -> Result<u64, Error> {
    let ask = ask(patient, &[key.to_owned()], Role::Peek);
    let reply = patient.store.script(&ADMIT, &ask.keys, &ask.args).await?;
    let reply = ask.read(reply);
    let limits = reply.map(|reply| reply.limits).unwrap_or_default();
    let remaining = limits.iter().flatten().map(|limit| limit.verdict.remaining);
    Ok(remaining.min().unwrap_or_default())
}

fn ask(patient: &Patient, keys: &[String], role: Role) -> Ask {
    let mut ask = Ask::new(patient.now(), &patient.call_id(), HORIZON, false);
    for key in keys {
        let bucket = Bucket {
            key: key.clone(),
            permits: QUOTA,
        };
        let charge = Charge {
            role,
            ..Charge::on(bucket, WINDOW, 1)
        };
        ask.limit(&charge, 0, &[]);
    }
    ask
}

/// Whether the store takes the line that asks for locks on a script's keys only. `None` if it runs
/// no scripts.
async fn locks(patient: &Patient, check: &mut Check) -> Option<bool> {
    let script = Script::new("return 1");
    let eval = Command::new("EVAL")
        .arg(script.locking_lua())
        .arg(1)
        .arg(&patient.key("lock"));
    let locking = match patient.store.command(&eval).await {
        Ok(_) => true,
        Err(error) if omnitrade_edge::redis::is_first_line_refusal(&error) => false,
        Err(error) => {
            check.store_failed("scripts cannot be run", &error);
            return None;
        }
    };
    check.datum("key_locking", locking);
    check.saw(match locking {
        true => "a script locks only its keys",
        false => "scripts run one at a time, as in any plain Redis",
    });
    if !locking && patient.address.host.ends_with(".upstash.io") {
        check.warn(
            "no_key_locking",
            "the store locks the whole database while a script runs",
            "ask Upstash why `#!lua flags=allow-key-locking` is refused there: with it, calls about \
             different clients do not wait for each other",
        );
    }
    Some(locking)
}

/// A script that the store has never seen runs, and after that by its digest.
async fn reloads(patient: &Patient, check: &mut Check) -> bool {
    let nonce = patient.nonce();
    let script = Script::new(format!("return '{nonce}'"));
    let keys = [patient.key("reload")];
    let unknown = patient.by_digest(&script, false, &keys, &[], false).await;
    let told = unknown.as_ref().err().and_then(Error::redis_code);
    match patient.store.script(&script, &keys, [""; 0]).await {
        Ok(reply) if told == Some("NOSCRIPT") && reply.as_str() == Some(&nonce) => {
            check.datum("reload_after_noscript", true);
            check.saw("one that it has forgotten is loaded again");
            true
        }
        Err(error) => {
            check.store_failed("a script cannot be loaded again after NOSCRIPT", &error);
            false
        }
        Ok(_) => {
            check.datum("reload_after_noscript", false);
            check.fail(
                "no_reload",
                "a script that the store does not know is not answered with NOSCRIPT and then run",
                "use another store, or another proxy before it: the gate loads its scripts when it \
                 hears NOSCRIPT",
            );
            false
        }
    }
}

/// A call that is sent three times is charged once; on the way it shows whether the store still
/// knows a script that has just run.
async fn counts_once(patient: &Patient, locking: bool, check: &mut Check) -> bool {
    // Two keys, so that a cluster shows whether they lie in one slot.
    let keys = [patient.key("limit:a"), patient.key("limit:b")];
    let ask = ask(patient, &keys, Role::Enforce);
    let first = patient.store.script(&ADMIT, &ask.keys, &ask.args).await;
    let first = match first {
        Ok(reply) => ask.read(reply).map(|reply| reply.outcome),
        Err(error) => {
            check.store_failed("the gate's script failed", &error);
            return false;
        }
    };
    if first != Some(Outcome::Admitted) {
        check.fail(
            "not_admitted",
            "the gate's script refused the first request of a window, or answered what it never says",
            "find out what else writes below the key prefix, and what stands between here and Redis",
        );
        return false;
    }
    let (mut forgotten, mut charged_again) = (false, false);
    for again in [true, false] {
        let repeat = patient.by_digest(&ADMIT, locking, &ask.keys, &ask.args, again);
        let mut reply = repeat.await;
        if reply
            .as_ref()
            .is_err_and(|error| error.redis_code() == Some("NOSCRIPT"))
        {
            forgotten = true;
            // The client loads it again; the id is the same.
            reply = patient.store.script(&ADMIT, &ask.keys, &ask.args).await;
        }
        match reply {
            Ok(reply) => {
                let outcome = ask.read(reply).map(|reply| reply.outcome);
                charged_again |= outcome != Some(Outcome::Repeated);
            }
            Err(error) => {
                check.store_failed("a repeat of the gate's script failed", &error);
                return false;
            }
        }
    }
    if forgotten {
        check.warn(
            "forgets_scripts",
            "the store forgets a script at once (NOSCRIPT right after it ran)",
            "find out what runs SCRIPT FLUSH, or whether a proxy spreads the calls over several \
             servers: each call is sent twice, and its time doubles",
        );
    }
    let mut left = QUOTA;
    for key in &keys {
        match peek(patient, key).await {
            Ok(remaining) => left = left.min(remaining),
            Err(error) => {
                check.store_failed("the gate's script failed", &error);
                return false;
            }
        }
    }
    let charged = QUOTA.saturating_sub(left);
    check.datum("charged", charged);
    if charged == 1 && !charged_again {
        check.saw("a call that is sent three times is charged once");
        return true;
    }
    check.fail(
        "repeat_charged",
        "a call that was sent three times was charged more than once",
        "find out what stands between here and Redis: calls reach servers that do not share their \
         keys, or replies come from a cache",
    );
    false
}

/// The script that writes entries writes one.
async fn keeps(patient: &Patient, check: &mut Check) {
    let key = patient.key("entry");
    let entry = "2 9999999999999 9999999999999 1 7 - {}\n";
    let life = LIFE_MS.to_string();
    let args = [entry, "7", "", &life];
    match patient.store.script(&KEEP, &[key], args).await {
        Ok(Value::Int(1)) => check.saw("entries of the cache are written"),
        Ok(_) => check.fail(
            "not_kept",
            "the script that writes entries of the cache did not write one",
            "find out what stands between here and Redis",
        ),
        Err(error) => check.store_failed("entries of the cache cannot be written", &error),
    }
}
