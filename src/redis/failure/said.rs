//! What Redis and Upstash say when they refuse, translated: what is wrong, and what to do. Each
//! text stands here once; the log of the gate, the command line and `serve-redis` all show it.
//!
//! The kind says whether it passes. [`Forbidden`](ErrorKind::Forbidden),
//! [`Config`](ErrorKind::Config), [`Unauthorised`](ErrorKind::Unauthorised) and
//! [`QuotaExhausted`](ErrorKind::QuotaExhausted) last until somebody changes a setting or makes
//! room. [`Server`](ErrorKind::Server) passes by itself, or can: a failover both makes a replica
//! of the primary and ends that.

use crate::error::ErrorKind::{
    self, Config, Forbidden, QuotaExhausted, Server, TooLarge, Unauthorised,
};

use super::phrase::{contains, position};

/// The kind of error that the text is, whether anything may have run, and what it means. `None`:
/// it is about this command alone, and says itself what is wrong.
pub(super) fn meaning(text: &str) -> Option<(ErrorKind, bool, &'static str)> {
    let by_phrase = BY_PHRASE.iter().find_map(|(phrase, kind, means)| {
        let position = position(text.strip_prefix("ERR ").unwrap_or(text), phrase)?;
        // In the middle of the text it is the error of a script that had begun.
        Some((*kind, position > 0, *means))
    });
    by_phrase.or_else(|| {
        let (_, _, kind, means) = BY_CODE
            .iter()
            .find(|(known, phrase, ..)| code(text) == *known && has(text, phrase))?;
        let in_script = [
            IN_SCRIPT,
            "in script:",
            "executing the script",
            "called from script",
        ];
        let in_script = in_script.iter().any(|phrase| contains(text, phrase));
        Some((*kind, in_script, *means))
    })
}

/// Redis's code: the first word.
pub(super) fn code(text: &str) -> &str {
    text.split([' ', ',']).next().unwrap_or_default()
}

/// Stands in the errors of a script that had begun.
pub(super) const IN_SCRIPT: &str = "user_script";

/// After `ERR`, which says nothing itself, the phrase comes first: further on a text may quote
/// anything.
fn has(text: &str, phrase: &str) -> bool {
    match text.strip_prefix("ERR ") {
        Some(message) => message.starts_with(phrase),
        None => contains(text, phrase),
    }
}

/// A code, a phrase after it that tells one meaning of it from another, and what they mean.
/// Outside a script they come before anything runs.
const BY_CODE: &[(&str, &str, ErrorKind, &str)] = &[
    // The name of a command or of a user may hold one of the words below.
    ("NOPERM", "to run the '", Forbidden, COMMAND),
    ("NOPERM", " key", Forbidden, KEY),
    ("NOPERM", " channel", Forbidden, CHANNEL),
    ("NOPERM", "", Forbidden, COMMAND),
    (
        "ERR",
        "The user executing the script can't run",
        Forbidden,
        COMMAND_IN_SCRIPT,
    ),
    (
        "ERR",
        "The user executing the script can't access",
        Forbidden,
        KEY,
    ),
    (
        "ERR",
        "The user executing the script can't publish",
        Forbidden,
        CHANNEL,
    ),
    (
        "ERR",
        "ACL failure in script: No permissions to access a key",
        Forbidden,
        KEY,
    ),
    (
        "ERR",
        "ACL failure in script: No permissions to access a channel",
        Forbidden,
        CHANNEL,
    ),
    ("ERR", "ACL failure in script", Forbidden, COMMAND_IN_SCRIPT),
    ("ERR", "unknown command", Forbidden, UNKNOWN),
    (
        "ERR",
        "Unknown command called from script",
        Forbidden,
        UNKNOWN,
    ),
    (
        "ERR",
        "Unknown Redis command called from script",
        Forbidden,
        UNKNOWN,
    ),
    ("ERR", "Command is not available", Forbidden, NOT_OFFERED),
    ("ERR", "Command \"", Forbidden, NOT_OFFERED),
    (
        "WRONGPASS",
        "auth token",
        Unauthorised,
        "WRONGPASS, the token is not one of this address: set both anew (`UPSTASH_REDIS_REST_URL`, \
         `UPSTASH_REDIS_REST_TOKEN`)",
    ),
    (
        "WRONGPASS",
        "",
        Config,
        "WRONGPASS, Redis does not accept the user and the password in its address: mend them \
         (`serve-redis`: in `OMNITRADE_REDIS_URL`)",
    ),
    (
        "NOAUTH",
        "",
        Config,
        "NOAUTH, Redis wants a password and its address has none: write `redis://user:password@host` \
         (`serve-redis`: in `OMNITRADE_REDIS_URL`)",
    ),
    (
        "ERR",
        "AUTH <password> called without any password configured",
        Config,
        NEEDLESS_PASSWORD,
    ),
    (
        "ERR",
        "Client sent AUTH, but no password is set",
        Config,
        NEEDLESS_PASSWORD,
    ),
    (
        "ERR",
        "DB index is out of range",
        Config,
        "ERR this Redis has no database of that number: mend the number at the end of its address \
         (`serve-redis`: in `OMNITRADE_REDIS_URL`)",
    ),
    (
        "DENIED",
        "",
        Config,
        "DENIED, Redis is in protected mode and answers only its own machine: give it a password \
         (`requirepass`), and write the same into its address (`serve-redis`: in `OMNITRADE_REDIS_URL`)",
    ),
    (
        "OOM",
        "",
        QuotaExhausted,
        "OOM, Redis has reached its `maxmemory` and evicts nothing: raise `maxmemory`",
    ),
    (
        "MISCONF",
        "",
        Server,
        "MISCONF, Redis cannot save to its disk, and until it can it takes no writes: make room on the \
         disk; its own log says why",
    ),
    (
        "READONLY",
        "",
        Server,
        "READONLY, this Redis is a replica and takes no writes: connect to the primary, unless a failover \
         is under way",
    ),
    (
        "NOREPLICAS",
        "",
        Server,
        "NOREPLICAS, Redis takes no writes without more replicas (`min-replicas-to-write`): start them",
    ),
    (
        "LOADING",
        "",
        Server,
        "LOADING, Redis has started and still reads its data: wait",
    ),
    (
        "BUSY",
        "",
        Server,
        "BUSY, a script has been running for long and holds up all commands: wait, or end it with \
         `SCRIPT KILL`",
    ),
    (
        "MASTERDOWN",
        "",
        Server,
        "MASTERDOWN, this Redis is a replica without its primary: start the primary, or connect to another",
    ),
    (
        "CLUSTERDOWN",
        "",
        Server,
        "CLUSTERDOWN, nodes of this clustered Redis are down or slots are nobody's: see \
         `redis-cli --cluster check`",
    ),
    (
        "TRYAGAIN",
        "",
        Server,
        "TRYAGAIN, the keys are on their way to another node: wait",
    ),
    (
        "ERR",
        "max number of clients reached",
        Server,
        "ERR Redis has reached its `maxclients`: raise it, or end other clients",
    ),
    ("CROSSSLOT", "", Config, CLUSTERED),
    // Its text goes on with an address.
    (
        "MOVED",
        "",
        Config,
        "MOVED, another node of this clustered Redis holds the keys: connect to that one, with the key \
         prefix in braces (`key_prefix = \"{ot}\"`), or to what leads to all nodes",
    ),
    (
        "ASK",
        "",
        Server,
        "ASK, the keys are on their way to another node: wait",
    ),
];

/// Errors of Upstash's that have no code of their own.
const BY_PHRASE: &[(&str, ErrorKind, &str)] = &[
    (
        "max daily request limit exceeded",
        QuotaExhausted,
        "max daily request limit exceeded",
    ),
    (
        "max requests limit exceeded",
        QuotaExhausted,
        "max requests limit exceeded",
    ),
    (
        "DB capacity quota exceeded",
        QuotaExhausted,
        "DB capacity quota exceeded",
    ),
    (
        "max request size exceeded",
        TooLarge,
        "max request size exceeded",
    ),
    (
        "max single record size exceeded",
        TooLarge,
        "max single record size exceeded",
    ),
    ("max key size exceeded", TooLarge, "max key size exceeded"),
    (
        "max concurrent connections exceeded",
        Server,
        "max concurrent connections exceeded",
    ),
];

/// The least rights (tests/serve_redis/rights.rs), in the messages about them.
macro_rules! with_rights {
    ($wrong:literal) => {
        concat!(
            $wrong,
            ". The gate runs EVALSHA, EVAL, MGET, SET, DEL and TIME; the command line also runs GET, PING, \
             MULTI, EXEC, EXISTS, HSET, HGET, HGETALL, HKEYS, HDEL and PEXPIREAT"
        )
    };
}

const COMMAND: &str = with_rights!(
    "NOPERM, the token, or the Redis user behind it, may not run the command: use another token than a \
     read-only one, or allow the command in the user's ACL"
);

const COMMAND_IN_SCRIPT: &str = with_rights!(
    "NOPERM, the Redis user behind the token may not run a command within the script: allow it in the \
     user's ACL"
);

const UNKNOWN: &str = with_rights!(
    "ERR unknown command, this Redis does not have it or has it renamed or disabled (`rename-command`): \
     enable it"
);

const NOT_OFFERED: &str = "ERR the command is not offered over REST";

const KEY: &str = "NOPERM, the Redis user behind the token may not use a key of the command: allow \
                   `~PREFIX:*` in the user's ACL, PREFIX being `redis.key_prefix` (by default `ot`)";

const CHANNEL: &str = "NOPERM, the Redis user behind the token may not use the channel: allow `&CHANNEL` \
                       in the user's ACL";

const NEEDLESS_PASSWORD: &str = "ERR Redis has no password and its address has one: take it out \
                                 (`serve-redis`: in `OMNITRADE_REDIS_URL`)";

/// For scripts and transactions whose keys do not all lie in one slot.
const CLUSTERED: &str = "CROSSSLOT, this Redis is clustered: put the key prefix, or a part of it, in braces \
                         (`key_prefix = \"{ot}\"`), so that all keys lie in one slot";

#[cfg(test)]
mod tests {
    use super::super::from_text;
    use super::*;

    /// What Redis 6 to 8, Valkey 9 and Upstash say, and what becomes of it: the kind, whether
    /// anything may have run, the command that is named, and a word of the remedy.
    const SAID: &[(&str, ErrorKind, bool, &str, &str)] = &[
        (
            "NOPERM this user has no permissions to run the 'evalsha' command",
            Forbidden,
            false,
            "EVALSHA",
            "EVALSHA, EVAL",
        ),
        (
            "NOPERM User s3cret has no permissions to run the 'script|load' command",
            Forbidden,
            false,
            "SCRIPT|LOAD",
            "EVALSHA, EVAL",
        ),
        (
            "NOPERM this user has no permissions to run the 'hkeys' command or its subcommand",
            Forbidden,
            false,
            "HKEYS",
            "EVALSHA, EVAL",
        ),
        (
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            Forbidden,
            false,
            "SENT",
            "~PREFIX:*",
        ),
        (
            "ERR ACL failure in script: User s3cret has no permissions to run the 'set' command script: \
             on @user_script:1.",
            Forbidden,
            true,
            "SET",
            "within the script",
        ),
        (
            "ERR ACL failure in script: No permissions to access a key script: on @user_script:1.",
            Forbidden,
            true,
            "SENT",
            "~PREFIX:*",
        ),
        (
            "ERR Unknown command called from script script: on @user_script:1.",
            Forbidden,
            true,
            "SENT",
            "rename-command",
        ),
        (
            "NOPERM No permissions to access a key",
            Forbidden,
            false,
            "SENT",
            "~PREFIX:*",
        ),
        (
            "NOPERM No permissions to access a channel",
            Forbidden,
            false,
            "SENT",
            "&CHANNEL",
        ),
        (
            "NOPERM The user executing the script can't run this command or subcommand",
            Forbidden,
            true,
            "SENT",
            "EVALSHA, EVAL",
        ),
        (
            "NOPERM ACL failure in script: User s3cret has no permissions to run the 'mget' command",
            Forbidden,
            true,
            "MGET",
            "EVALSHA, EVAL",
        ),
        (
            "NOPERM ACL failure in script: No permissions to access a key",
            Forbidden,
            true,
            "SENT",
            "~PREFIX:*",
        ),
        (
            "ERR The user executing the script can't run this command or subcommand script: s3cret, on @user_script:1.",
            Forbidden,
            true,
            "SENT",
            "within the script",
        ),
        (
            "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments script: s3cret",
            Forbidden,
            true,
            "SENT",
            "~PREFIX:*",
        ),
        (
            "ERR unknown command 'EVALSHA', with args beginning with: 's3cret' ",
            Forbidden,
            false,
            "EVALSHA",
            "rename-command",
        ),
        (
            "ERR unknown command `FOO`, with args beginning with: `to run the 's3cret'`",
            Forbidden,
            false,
            "FOO",
            "rename-command",
        ),
        (
            "ERR Unknown Redis command called from script script: s3cret, on @user_script:1.",
            Forbidden,
            true,
            "SENT",
            "rename-command",
        ),
        (
            "ERR Command is not available: 'CONFIG'. See https://s3cret.example",
            Forbidden,
            false,
            "SENT",
            "REST",
        ),
        (
            "ERR Command \"WATCH\" is not allowed in REST or it has a special context path",
            Forbidden,
            false,
            "SENT",
            "REST",
        ),
        (
            "WRONGPASS invalid or missing auth token",
            Unauthorised,
            false,
            "SENT",
            "UPSTASH_REDIS_REST_TOKEN",
        ),
        (
            "WRONGPASS invalid username-password pair or user is disabled.",
            Config,
            false,
            "SENT",
            "OMNITRADE_REDIS_URL",
        ),
        (
            "NOAUTH Authentication required.",
            Config,
            false,
            "SENT",
            "OMNITRADE_REDIS_URL",
        ),
        (
            "NOAUTH, Redis wants a password",
            Config,
            false,
            "SENT",
            "OMNITRADE_REDIS_URL",
        ),
        (
            "DENIED Redis is running in protected mode because s3cret",
            Config,
            false,
            "SENT",
            "requirepass",
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'.",
            QuotaExhausted,
            false,
            "SENT",
            "raise `maxmemory`",
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'. script: s3cret, on @user_script:414.",
            QuotaExhausted,
            true,
            "SENT",
            "raise `maxmemory`",
        ),
        (
            "READONLY You can't write against a read only replica.",
            Server,
            false,
            "SENT",
            "primary",
        ),
        (
            "READONLY You can't write against a read only replica. script: s3cret, on @user_script:4.",
            Server,
            true,
            "SENT",
            "primary",
        ),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            Server,
            false,
            "SENT",
            "disk",
        ),
        (
            "LOADING Redis is loading the dataset in memory",
            Server,
            false,
            "SENT",
            "wait",
        ),
        (
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            Server,
            false,
            "SENT",
            "SCRIPT KILL",
        ),
        (
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            Server,
            false,
            "SENT",
            "primary",
        ),
        (
            "CLUSTERDOWN Hash slot not served",
            Server,
            false,
            "SENT",
            "redis-cli --cluster check",
        ),
        (
            "NOREPLICAS Not enough good replicas to write.",
            Server,
            false,
            "SENT",
            "start them",
        ),
        (
            "ERR max number of clients reached",
            Server,
            false,
            "SENT",
            "maxclients",
        ),
        (
            "EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'set' command",
            Forbidden,
            false,
            "SET",
            "EVALSHA, EVAL",
        ),
        (
            "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
            QuotaExhausted,
            false,
            "SENT",
            "raise `maxmemory`",
        ),
    ];

    #[test]
    fn what_redis_says_becomes_a_kind_a_command_and_a_remedy() {
        for (text, kind, may_have_run, command, remedy) in SAID {
            let error = from_text(text, Some("sent"));
            let found = (error.kind(), error.may_have_run(), error.command());
            assert_eq!(found, (*kind, *may_have_run, Some(*command)), "{text}");
            let shown = error.to_string();
            assert!(
                shown.contains(remedy) && !shown.contains("s3cret"),
                "{shown}"
            );
            assert!(shown.len() < 450 && !shown.contains('\n'), "{shown}");
        }
    }

    #[test]
    fn a_script_that_quotes_redis_is_not_taken_for_it() {
        for text in [
            "ERR my own error: unknown command 'FOO'",
            "ERR see NOAUTH",
            "MYCODE DB index is out of range",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "EXECABORT Transaction discarded because of previous errors.",
            "EXECABORT Transaction discarded because of: ERR wrong number of arguments",
        ] {
            assert_eq!(from_text(text, None).kind(), ErrorKind::Command, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_of_a_command_is_not_shown_as_one() {
        let long = "a".repeat(25);
        for name in ["s3cret", "a b", "", "AXXsecret=", "https://a.b", &long] {
            let error = from_text("WRONGTYPE Operation against a key", Some(name));
            assert_eq!(error.command(), None, "{name}");
        }
        for name in [
            "set",
            "JSON.GET",
            "EVAL_RO",
            "script|load",
            "RESTORE-ASKING",
        ] {
            let error = from_text("WRONGTYPE Operation against a key", Some(name));
            assert_eq!(error.command(), Some(name.to_uppercase().as_str()));
        }
    }
}
