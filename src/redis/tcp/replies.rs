//! Replies of Redis read one at a time, for connections on which they come unasked.

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::endpoint::Stream;
use super::lines::CleanLines;
use super::reply::Reply;

/// A connection, and what has arrived on it and is not yet taken.
pub struct Replies {
    stream: CleanLines<Stream>,
    arrived: BytesMut,
    /// How much of a long line was searched for its end.
    searched: usize,
}

/// Why there is no further reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The connection ended or broke.
    Gone,
    /// What arrived is no RESP2; its first bytes.
    Garbled([u8; 2]),
}

impl Replies {
    /// Of a connection on which nothing was said yet. A reply of more than `most` bytes breaks it.
    pub fn new(stream: Stream, most: usize) -> Self {
        Self {
            stream: CleanLines::new(stream, most),
            arrived: BytesMut::new(),
            searched: 0,
        }
    }

    /// Sends commands in one piece, each given as its words.
    pub async fn send(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<(), End> {
        let mut out = Vec::new();
        for command in commands {
            let items = command.iter().cloned().map(Reply::Bulk).collect();
            Reply::Array(items).write_resp2(&mut out);
        }
        let sent = self.stream.write_all(&out).await;
        sent.map_err(|_| End::Gone)?;
        self.stream.flush().await.map_err(|_| End::Gone)
    }

    /// Waits for the next reply. To stop waiting loses nothing: the next call goes on.
    pub async fn next(&mut self) -> Result<Reply, End> {
        loop {
            if !self.is_within_a_line() {
                match parse(&self.arrived, DEEPEST) {
                    Parsed::Whole(reply, length) => {
                        self.arrived.advance(length);
                        self.searched = 0;
                        return Ok(reply);
                    }
                    Parsed::Part => {}
                    Parsed::Wrong => {
                        let byte = |at| self.arrived.get(at).copied().unwrap_or_default();
                        return Err(End::Garbled([byte(0), byte(1)]));
                    }
                }
            }
            self.arrived.reserve(CHUNK);
            match self.stream.read_buf(&mut self.arrived).await {
                Ok(0) | Err(_) => return Err(End::Gone),
                Ok(_) => {}
            }
        }
    }

    /// Whether what arrived is the beginning of a line of text. What was searched for its end is
    /// not searched again: a line of MONITOR may come in thousands of pieces.
    fn is_within_a_line(&mut self) -> bool {
        let length = self.arrived.len();
        let new = self.arrived.get(self.searched..).unwrap_or_default();
        let is_line = matches!(self.arrived.first(), Some(b'+' | b'-'));
        let is_part = is_line && length <= LONGEST_LINE && !new.contains(&b'\n');
        if is_part {
            self.searched = length;
        }
        is_part
    }

    /// The connection, for somebody else. `None` if more has arrived on it than was taken.
    pub fn into_stream(self) -> Option<CleanLines<Stream>> {
        self.arrived.is_empty().then_some(self.stream)
    }
}

/// How much is read at a time.
const CHUNK: usize = 16 * 1024;

/// How deep arrays lie in arrays, at most. Messages and confirmations are one deep.
const DEEPEST: usize = 4;

/// The longest line, in bytes: a line of MONITOR holds a whole command, each byte of it in up to
/// four.
const LONGEST_LINE: usize = 64 << 20;

enum Parsed {
    /// A reply, and how many bytes it takes.
    Whole(Reply, usize),
    /// More is still to come.
    Part,
    /// No RESP2.
    Wrong,
}

fn parse(bytes: &[u8], depth: usize) -> Parsed {
    let Some((kind, rest)) = bytes.split_first() else {
        return Parsed::Part;
    };
    if !b"+-:$*".contains(kind) || depth == 0 {
        return Parsed::Wrong;
    }
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        return match rest.len() > LONGEST_LINE {
            true => Parsed::Wrong,
            false => Parsed::Part,
        };
    };
    let Some((line, after)) = rest.split_at_checked(end) else {
        return Parsed::Wrong;
    };
    let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
    let after = after.get(1..).unwrap_or_default();
    let head = bytes.len() - after.len();
    match (kind, line.parse::<i64>()) {
        (b'+', _) => Parsed::Whole(Reply::Status(line.into_owned()), head),
        (b'-', _) => Parsed::Whole(Reply::Error(line.into_owned()), head),
        (b':', Ok(number)) => Parsed::Whole(Reply::Int(number), head),
        (b'$' | b'*', Ok(-1)) => Parsed::Whole(Reply::Nil, head),
        (b'$', Ok(length)) => {
            let Ok(length) = usize::try_from(length) else {
                return Parsed::Wrong;
            };
            match (after.get(..length), after.get(length..)) {
                (Some(data), Some([b'\r', b'\n', ..])) => {
                    Parsed::Whole(Reply::Bulk(data.to_vec()), head + length + 2)
                }
                (Some(_), Some([_, _, ..])) => Parsed::Wrong,
                _ => Parsed::Part,
            }
        }
        (b'*', Ok(count)) => {
            let mut items = Vec::new();
            let mut taken = head;
            for _ in 0..count {
                match parse(bytes.get(taken..).unwrap_or_default(), depth - 1) {
                    Parsed::Whole(item, length) => {
                        items.push(item);
                        taken += length;
                    }
                    other => return other,
                }
            }
            Parsed::Whole(Reply::Array(items), taken)
        }
        _ => Parsed::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replies() -> impl Strategy<Value = Reply> {
        let text = "[ -~]{0,20}";
        let leaf = prop_oneof![
            Just(Reply::Nil),
            any::<i64>().prop_map(Reply::Int),
            any::<Vec<u8>>().prop_map(Reply::Bulk),
            text.prop_map(Reply::Status),
            text.prop_map(Reply::Error),
        ];
        leaf.prop_recursive(2, 16, 4, |inner| {
            prop::collection::vec(inner, 0..4).prop_map(Reply::Array)
        })
    }

    proptest! {
        #[test]
        fn a_reply_is_read_once_it_is_whole_and_not_before(reply in replies(), next: Vec<u8>) {
            let mut wire = Vec::new();
            reply.write_resp2(&mut wire);
            let whole = wire.len();
            for cut in 0..whole {
                prop_assert!(matches!(parse(&wire[..cut], DEEPEST), Parsed::Part), "{cut} of {wire:?}");
            }
            wire.extend(next);
            let Parsed::Whole(read, length) = parse(&wire, DEEPEST) else {
                panic!("not read: {wire:?}");
            };
            prop_assert_eq!((read, length), (reply, whole));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes, DEEPEST);
        }
    }

    #[test]
    fn what_is_no_resp_is_known_by_its_first_byte() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\x15\x03\x03",
            b"*1\r\n!",
        ] {
            assert!(matches!(parse(bytes, DEEPEST), Parsed::Wrong), "{bytes:?}");
        }
    }
}
