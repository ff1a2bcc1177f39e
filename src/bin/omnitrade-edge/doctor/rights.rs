//! What the token may do: all that the gate needs, and no more.
//!
//! Each right is tried on a probe's key. Whether the token can delete everything is asked, not
//! tried: by `redis.acl_check_cmd` within a script (Redis 7 and Valkey), which answers without
//! running the command.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{Command, Value};

use super::patient::{LIFE_MS, Patient};
use super::report::Check;

/// Makes the check.
pub async fn check(patient: &Patient, check: &mut Check) {
    if !suffice(patient, check).await {
        return;
    }
    let foreign = foreign(patient, check).await;
    let dangerous = dangerous(patient, check).await;
    if foreign == Some(false) && dangerous == Some(false) {
        check.saw("no others that matter");
    }
}

/// Whether the token has the rights that the gate needs.
async fn suffice(patient: &Patient, check: &mut Check) -> bool {
    let key = patient.key("rights");
    let commands = [
        Command::new("SET")
            .arg(&key)
            .arg("1")
            .arg("PX")
            .arg(LIFE_MS),
        Command::new("MGET").arg(&key),
        Command::new("TIME"),
        Command::new("DEL").arg(&key),
        Command::new("EVAL").arg("return 1").arg(1).arg(&key),
        // That of the `EVAL` before.
        Command::new("EVALSHA")
            .arg("e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
            .arg(1)
            .arg(&key),
    ];
    let mut missing = Vec::new();
    for command in &commands {
        match patient.store.command(command).await {
            Err(error) if error.kind() == ErrorKind::Forbidden => missing.push(command.name()),
            // That a script is forgotten is not for this check.
            Err(error) if error.kind() == ErrorKind::Command => {}
            Err(error) => {
                check.store_failed(command.name(), &error);
                return false;
            }
            Ok(_) => {}
        }
    }
    check.datum("missing", missing.clone());
    if missing.is_empty() {
        check.saw("the token has the rights that the gate needs");
        return true;
    }
    check.fail(
        "rights_missing",
        format!(
            "the token may not run {} on the gate's keys",
            missing.join(", ")
        ),
        "grant it: `omnitrade-edge doctor --print-acl` prints the rule with all that are needed. \
         Upstash's read-only token does not suffice",
    );
    false
}

/// Whether the token can read or write keys without the prefix. Such a key does not exist, and is
/// not made.
async fn foreign(patient: &Patient, check: &mut Check) -> Option<bool> {
    let key = patient.foreign_key();
    let read = Command::new("MGET").arg(&key);
    let write = Command::new("SET")
        .arg(&key)
        .arg("1")
        .arg("XX")
        .arg("PX")
        .arg(1_u64);
    let mut can = Vec::new();
    for (command, word) in [(read, "read"), (write, "write")] {
        match patient.store.command(&command).await {
            Ok(_) => can.push(word),
            Err(error) if error.kind() == ErrorKind::Forbidden => {}
            Err(error) => {
                check.store_failed(command.name(), &error);
                return None;
            }
        }
    }
    check.datum("foreign_keys", can.clone());
    if !can.is_empty() {
        check.warn(
            "foreign_keys",
            format!(
                "the token can {} keys that are not the gate's",
                can.join(" and ")
            ),
            LESS,
        );
    }
    Some(!can.is_empty())
}

/// Whether the token can do away with everything. `None` if that is not known.
async fn dangerous(patient: &Patient, check: &mut Check) -> Option<bool> {
    let names: Vec<&str> = DANGEROUS.iter().map(|(name, _)| *name).collect();
    let words: Vec<String> = DANGEROUS
        .iter()
        .map(|(_, words)| (*words).to_owned())
        .collect();
    let key = patient.key("rights");
    let ask = Command::new("EVAL")
        .arg(MAY)
        .arg(1)
        .arg(&key)
        .args(words.iter().map(String::as_str));
    let reply = patient.store.command(&ask).await;
    let can: Vec<&str> = match reply.as_ref().ok().and_then(Value::as_array) {
        Some(answers) => {
            let each = names.iter().zip(answers);
            let can = each.filter(|(_, answer)| answer.as_int() == Some(1));
            can.map(|(name, _)| *name).collect()
        }
        None => {
            // An old Redis, or another server. The user of that name may do everything, unless
            // somebody has changed that.
            let user = patient
                .store
                .command(&Command::new("ACL").arg("WHOAMI"))
                .await;
            match user.as_ref().ok().and_then(Value::as_str) {
                Some("default") => vec!["whatever the default user may"],
                _ => {
                    check.skip(
                        "whether the token can delete everything is not known: the store has no \
                         redis.acl_check_cmd, and ACL WHOAMI does not name the default user",
                        "look at the user's rules: ACL GETUSER as an administrator",
                    );
                    return None;
                }
            }
        }
    };
    check.datum("dangerous", can.clone());
    if !can.is_empty() {
        check.warn(
            "dangerous",
            format!("the token can run {}", can.join(", ")),
            LESS,
        );
    }
    Some(!can.is_empty())
}

/// What a gate does not need, and what would harm most in other hands.
const DANGEROUS: [(&str, &str); 6] = [
    ("FLUSHDB", "FLUSHDB"),
    ("FLUSHALL", "FLUSHALL"),
    ("KEYS", "KEYS *"),
    ("CONFIG SET", "CONFIG SET maxmemory 0"),
    ("ACL SETUSER", "ACL SETUSER edge"),
    ("SHUTDOWN", "SHUTDOWN"),
];

/// Asks for each of ARGV, a command, whether the user may run it. It runs none.
const MAY: &str = "if not redis.acl_check_cmd then return false end \
     local may = {} \
     for n, command in ipairs(ARGV) do \
       local words = {} \
       for word in string.gmatch(command, '%S+') do words[#words + 1] = word end \
       local known, yes = pcall(redis.acl_check_cmd, unpack(words)) \
       may[n] = known and yes and 1 or 0 \
     end \
     return may";

const LESS: &str = "give the gate a user of its own, whose rule `omnitrade-edge doctor --print-acl` \
     prints; on Upstash, ACL RESTTOKEN makes the token of that user";
