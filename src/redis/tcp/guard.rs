//! Which commands a connection that all share cannot carry. Pure.

/// Whether a command, given as its words, would take the connection from the others, or hold them
/// up.
pub fn takes_over(command: &[impl AsRef<[u8]>]) -> bool {
    let name = command.first().map(|name| upper(name.as_ref()));
    !name.is_none_or(|name| may_share(&name, command))
}

fn may_share(name: &str, command: &[impl AsRef<[u8]>]) -> bool {
    match name {
        // They change the connection: its user, its protocol or whether it replies.
        "AUTH" | "CLIENT" | "HELLO" | "QUIT" | "RESET" | "SELECT" | "ASKING" | "READONLY"
        | "READWRITE" => false,
        // They turn the connection into a stream of messages.
        "SUBSCRIBE" | "UNSUBSCRIBE" | "PSUBSCRIBE" | "PUNSUBSCRIBE" | "SSUBSCRIBE"
        | "SUNSUBSCRIBE" | "MONITOR" | "SYNC" | "PSYNC" | "REPLCONF" => false,
        // A transaction must come in one piece.
        "MULTI" | "EXEC" | "DISCARD" | "WATCH" | "UNWATCH" => false,
        // They block all commands behind them.
        "BLPOP" | "BRPOP" | "BLMOVE" | "BRPOPLPUSH" | "BLMPOP" | "BZPOPMIN" | "BZPOPMAX"
        | "BZMPOP" | "WAIT" | "WAITAOF" => false,
        "XREAD" | "XREADGROUP" => !blocks(command),
        // A debugging session takes over the connection.
        "SCRIPT" => !subcommand_is(command, "DEBUG"),
        "SHUTDOWN" => false,
        _ => true,
    }
}

/// Whether an XREAD or XREADGROUP has the option `BLOCK`, which can only precede `STREAMS`. A
/// consumer group named `BLOCK` is rejected too, because the options are not parsed.
fn blocks(command: &[impl AsRef<[u8]>]) -> bool {
    command
        .iter()
        .skip(1)
        .map(AsRef::as_ref)
        .take_while(|argument| !argument.eq_ignore_ascii_case(b"STREAMS"))
        .any(|argument| argument.eq_ignore_ascii_case(b"BLOCK"))
}

/// Whether the first argument is `subcommand`, in upper or lower case.
pub fn subcommand_is(command: &[impl AsRef<[u8]>], subcommand: &str) -> bool {
    command.get(1).is_some_and(|argument| {
        argument
            .as_ref()
            .eq_ignore_ascii_case(subcommand.as_bytes())
    })
}

/// The name in upper case, as text.
pub fn upper(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> bool {
        takes_over(&line.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn a_shared_connection_is_not_given_away() {
        for line in [
            "subscribe a",
            "PSUBSCRIBE a",
            "Monitor",
            "BLPOP a 0",
            "WAIT 1 0",
            "SELECT 1",
            "AUTH x",
            "QUIT",
            "CLIENT REPLY OFF",
            "MULTI",
            "EXEC",
            "WATCH a",
            "SCRIPT debug YES",
            "XREAD COUNT 1 block 0 STREAMS a $",
            "XREADGROUP GROUP g c BLOCK 0 STREAMS a >",
        ] {
            assert!(refused(line), "{line}");
        }
        for line in [
            "GET a",
            "PING",
            "PUBLISH a b",
            "SCRIPT LOAD x",
            "XREAD STREAMS block 0",
            "LPOP a",
        ] {
            assert!(!refused(line), "{line}");
        }
    }

    #[test]
    fn without_words_there_is_nothing_to_refuse() {
        assert!(!takes_over(&[""; 0]));
    }
}
