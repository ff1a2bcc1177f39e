//! The rule that gives a user of Redis the least rights that the gate and the command line need.

/// The rule for keys with this prefix, as one command. `docs/deploy.md` has the one for `ot`; a
/// test runs all that needs a right under it.
pub fn rule(prefix: &str) -> String {
    format!("ACL SETUSER edge on >PASSWORD resetchannels ~{prefix}:* -@all {RIGHTS}")
}

/// The commands: those of the gate, then those of the command line and of `serve-redis`.
const RIGHTS: &str = "+evalsha +eval +mget +set +del +time +get +ping +multi +exec +exists +hset \
     +hget +hgetall +hkeys +hdel +pexpireat";
