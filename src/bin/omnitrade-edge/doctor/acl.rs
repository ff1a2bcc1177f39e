//! The rule that gives a user of Redis the least rights that the gate and the command line need.

use omnitrade_edge::config::Queue;

/// The rule for keys with this prefix and for these queues, as one command. `docs/deploy.md` has
/// the one for `ot`, and `docs/jobs.md` what queues need; tests run all that needs a right under
/// them.
pub fn rule<'a>(prefix: &str, queues: impl IntoIterator<Item = &'a Queue>) -> String {
    let mut rule = format!("ACL SETUSER edge on >PASSWORD resetchannels ~{prefix}:* ");
    let mut jobs = "";
    for Queue { name, prefix, .. } in queues {
        rule.push_str(&format!("~{prefix}:{name}:* "));
        jobs = JOBS;
    }
    rule + "-@all " + RIGHTS + jobs
}

/// The commands: those of the gate, then those of the command line and of `serve-redis`.
const RIGHTS: &str = "+evalsha +eval +mget +set +del +time +get +ping +multi +exec +exists +hset \
     +hget +hgetall +hkeys +hdel +pexpireat";

/// What adding and looking at jobs needs beside that.
const JOBS: &str = " +persist +pttl +incr +hmget +hmset +lpush +rpush +llen +lpos +lrange +zadd \
     +zrem +zscore +zrange +zrevrangebyscore +zcard +xadd +xrevrange";
