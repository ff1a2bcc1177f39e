//! A stream of RESP whose text lines are UTF-8, and whose replies are of bounded length.
//!
//! If an error or status line is not UTF-8, the driver closes the connection, and every request on
//! it fails. Redis does send such lines: when it quotes a long argument in `ERR unknown command`,
//! it may cut it in the middle of a character, and a script may put anything into its error. So
//! bytes in these lines that are not UTF-8 become `?` before the driver sees them. Bulk strings,
//! which hold data, pass unchanged.
//!
//! The driver reads replies of any length. So the stream breaks as soon as a reply is known to be
//! too long, by what arrived of it or by the lengths that it announces.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes are read at a time.
const CHUNK: usize = 16 * 1024;

/// Wraps the stream that comes from Redis.
pub struct CleanLines<S> {
    inner: S,
    scanner: Scanner,
    buffer: Vec<u8>,
    /// The part of `buffer` that may be passed on. At most the beginning of an incomplete character
    /// follows it.
    settled: Range<usize>,
}

/// A reply is longer than allowed. It is the inner error of the one by which the stream breaks.
#[derive(Debug, thiserror::Error)]
#[error("the reply is too long")]
pub struct TooLong;

impl<S> CleanLines<S> {
    /// A stream of which nothing has been read. No reply may have more than `most` bytes.
    pub fn new(inner: S, most: usize) -> Self {
        Self {
            inner,
            scanner: Scanner::new(most),
            buffer: Vec::new(),
            settled: 0..0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CleanLines<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let available = this.buffer.get(this.settled.clone()).unwrap_or_default();
            if !available.is_empty() {
                let count = available.len().min(out.remaining());
                out.put_slice(available.get(..count).unwrap_or_default());
                this.settled.start += count;
                return Poll::Ready(Ok(()));
            }
            this.buffer.drain(..this.settled.end);
            this.settled = 0..0;
            if this.scanner.is_over() {
                // The driver knows this kind as the end of a connection.
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, TooLong);
                return Poll::Ready(Err(error));
            }
            let held = this.buffer.len();
            if ready!(this.fill(context))? == 0 {
                if held == 0 {
                    return Poll::Ready(Ok(()));
                }
                this.settled = 0..held;
            } else {
                this.settled = 0..this.scanner.clean(&mut this.buffer);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> CleanLines<S> {
    /// Appends available bytes to `buffer`, and returns their number.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let mut space = ReadBuf::new(self.buffer.get_mut(held..).unwrap_or_default());
        let polled = Pin::new(&mut self.inner).poll_read(context, &mut space);
        let count = space.filled().len();
        self.buffer.truncate(held + count);
        polled.map_ok(|()| count)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CleanLines<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

/// The position of the stream within a reply, and how long that may be.
#[derive(Debug)]
struct Scanner {
    position: Position,
    /// How many values of the reply are still to come, including the one that has begun.
    values: u64,
    /// How many more bytes the reply may have; `None` if it is too long.
    room: Option<usize>,
    most: usize,
}

/// The position of the stream within a value.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// Before the byte that tells the type of the next value.
    Kind,
    /// In an error or a status.
    Text,
    /// In a line of digits.
    Digits,
    /// In the length of a bulk string.
    Length(Option<usize>),
    /// In the length of an array.
    Count(Option<usize>),
    /// In a bulk string of which this many bytes are left, including its line break.
    Bulk(usize),
}

impl Scanner {
    const fn new(most: usize) -> Self {
        Self {
            position: Position::Kind,
            values: 0,
            room: Some(most),
            most,
        }
    }

    /// Whether a reply is too long.
    const fn is_over(&self) -> bool {
        self.room.is_none()
    }

    /// Cleans `bytes` in place and returns how many of them are final. The rest belongs before the
    /// next bytes, or comes after a reply that is too long.
    fn clean(&mut self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while !self.is_over() {
            let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let final_bytes = self.step(rest);
            if final_bytes == 0 {
                break;
            }
            self.take(final_bytes);
            done += final_bytes;
        }
        done
    }

    /// Cleans the beginning of `rest`, and returns how many bytes of it are final.
    fn step(&mut self, rest: &mut [u8]) -> usize {
        let line = rest.iter().position(|byte| *byte == b'\n');
        let end = line.map_or(rest.len(), |position| position + 1);
        match self.position {
            Position::Kind => {
                if self.values == 0 {
                    self.values = 1;
                    self.room = Some(self.most);
                }
                self.position = match rest.first() {
                    Some(b'+' | b'-') => Position::Text,
                    Some(b'$') => Position::Length(Some(0)),
                    Some(b'*') => Position::Count(Some(0)),
                    _ => Position::Digits,
                };
                1
            }
            Position::Text => {
                let part = rest.get_mut(..end).unwrap_or_default();
                let clean = clean_text(part, line.is_some());
                if line.is_some() {
                    self.end_value();
                }
                clean
            }
            Position::Digits => {
                if line.is_some() {
                    self.end_value();
                }
                end
            }
            Position::Length(length) => {
                let length = number(length, rest.iter().take(end));
                match (line, length) {
                    (None, length) => self.position = Position::Length(length),
                    (Some(_), Some(length)) => {
                        self.expect(length);
                        self.position = Position::Bulk(length.saturating_add(2));
                    }
                    (Some(_), None) => self.end_value(),
                }
                end
            }
            Position::Count(count) => {
                let count = number(count, rest.iter().take(end));
                if line.is_none() {
                    self.position = Position::Count(count);
                } else {
                    let count = count.unwrap_or(0);
                    self.expect(count.saturating_mul(SHORTEST_VALUE));
                    self.values = self.values.saturating_add(count as u64);
                    self.end_value();
                }
                end
            }
            Position::Bulk(left) => {
                let count = left.min(rest.len());
                match left - count {
                    0 => self.end_value(),
                    left => self.position = Position::Bulk(left),
                }
                count
            }
        }
    }

    fn end_value(&mut self) {
        self.values = self.values.saturating_sub(1);
        self.position = Position::Kind;
    }

    /// So many bytes of the reply have come.
    fn take(&mut self, bytes: usize) {
        self.room = self.room.and_then(|room| room.checked_sub(bytes));
    }

    /// So many bytes of the reply will come.
    fn expect(&mut self, bytes: usize) {
        self.room = self.room.filter(|room| *room >= bytes);
    }
}

/// Reads digits after others; `None` after a minus.
fn number<'a>(before: Option<usize>, digits: impl Iterator<Item = &'a u8>) -> Option<usize> {
    digits.fold(before, |number, byte| match byte {
        b'0'..=b'9' => number.map(|number| {
            let digit = usize::from(*byte - b'0');
            number.saturating_mul(10).saturating_add(digit)
        }),
        b'-' => None,
        _ => number,
    })
}

/// The bytes of the shortest value, `+\r\n`.
const SHORTEST_VALUE: usize = 3;

/// Replaces bytes of `text` that are not UTF-8 by `?`, and returns how many bytes are final: all of
/// them if the text is `whole`; otherwise its last bytes may be the beginning of a character.
fn clean_text(text: &mut [u8], whole: bool) -> usize {
    let mut done = 0;
    while let Some(rest) = text.get_mut(done..) {
        let Err(error) = std::str::from_utf8(rest) else {
            break;
        };
        let wrong = match error.error_len() {
            Some(length) => length,
            None if whole => rest.len() - error.valid_up_to(),
            None => return done + error.valid_up_to(),
        };
        for byte in rest.iter_mut().skip(error.valid_up_to()).take(wrong) {
            *byte = b'?';
        }
        done += error.valid_up_to() + wrong;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    /// A reader that returns its bytes in pieces.
    struct Pieces(Vec<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.0.is_empty() {
                out.put_slice(&self.0.remove(0));
            }
            Poll::Ready(Ok(()))
        }
    }

    fn read(pieces: Vec<Vec<u8>>) -> Vec<u8> {
        let pieces = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect();
        let mut out = Vec::new();
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(CleanLines::new(Pieces(pieces), usize::MAX).read_to_end(&mut out))
            .unwrap();
        out
    }

    #[test]
    fn only_text_that_is_not_utf8_changes() {
        let wire =
            b"-ERR caf\xc3\xa9 \xff\xc3\r\n$3\r\n\xff\n\xfe\r\n$-1\r\n:1\r\n*1\r\n+\xe2\x82\r\n";
        let clean =
            b"-ERR caf\xc3\xa9 ??\r\n$3\r\n\xff\n\xfe\r\n$-1\r\n:1\r\n*1\r\n+??\r\n".to_vec();
        assert_eq!(read(vec![wire.to_vec()]), clean);
        assert_eq!(read(wire.iter().map(|byte| vec![*byte]).collect()), clean);
    }

    /// How much of the wire arrives, given in pieces of this length, and whether all of it does.
    fn bounded(wire: &[u8], piece: usize, most: usize) -> (usize, bool) {
        let pieces = wire.chunks(piece).map(<[u8]>::to_vec).collect();
        let mut stream = CleanLines::new(Pieces(pieces), most);
        let mut out = Vec::new();
        let read = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(stream.read_to_end(&mut out));
        if let Err(error) = &read {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            assert!(matches!(inner, Some(TooLong)), "{error:?}");
        }
        (out.len(), read.is_ok())
    }

    #[test]
    fn a_reply_that_is_too_long_breaks_the_stream_and_no_other_does() {
        let ten = b"$4\r\nabcd\r\n";
        let nested = b"*2\r\n*2\r\n:1\r\n$-1\r\n*-1\r\n";
        for piece in [1, 3, 100] {
            assert_eq!(bounded(&ten.repeat(9), piece, 10), (90, true));
            assert!(!bounded(&ten.repeat(9), piece, 9).1);
            assert_eq!(bounded(&nested.repeat(3), piece, 22), (66, true));
            assert!(!bounded(&nested.repeat(3), piece, 21).1);
            let after = [ten.as_slice(), b"+0123456789\r\n"].concat();
            assert!(!bounded(&after, piece, 12).1);
        }
    }

    #[test]
    fn what_is_announced_too_long_is_not_waited_for() {
        for announced in [
            "$1000000\r\n",
            "*400000\r\n",
            "*1\r\n$99999999999999999999\r\n",
        ] {
            let (arrived, whole) = bounded(announced.as_bytes(), 100, 1_000_000);
            assert!(!whole && arrived <= announced.len(), "{announced}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text: Vec<u8>,
            data: Vec<u8>,
            cuts in prop::collection::vec(0usize..100, 0..6),
        ) {
            let mut wire = b"-".to_vec();
            wire.extend(text.iter().filter(|byte| !b"\r\n".contains(byte)));
            wire.extend(format!("\r\n${}\r\n", data.len()).into_bytes());
            wire.extend(&data);
            wire.extend(b"\r\n+OK\r\n");
            let whole = read(vec![wire.clone()]);

            let mut pieces = Vec::new();
            let mut rest = wire.as_slice();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = after;
            }
            pieces.push(rest.to_vec());
            prop_assert_eq!(read(pieces), whole.clone());

            prop_assert_eq!(whole.len(), wire.len());
            let mut tail = data;
            tail.extend(b"\r\n+OK\r\n");
            prop_assert!(whole.ends_with(&tail));
            prop_assert!(redis::parse_redis_value(&whole).is_ok());
        }

        #[test]
        fn any_bytes_pass_through(bytes: Vec<u8>) {
            prop_assert_eq!(read(vec![bytes.clone()]).len(), bytes.len());
        }
    }
}
