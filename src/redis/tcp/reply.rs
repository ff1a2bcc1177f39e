//! A reply of Redis, as RESP2 has it.

/// A reply of Redis, with the types of RESP2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// An integer.
    Int(i64),
    /// Any bytes.
    Bulk(Vec<u8>),
    /// A short word of success, such as `OK`.
    Status(String),
    /// A list of replies.
    Array(Vec<Reply>),
    /// An error, which begins with its code: `WRONGTYPE Operation against …`.
    Error(String),
}

impl Reply {
    /// Writes the reply as Redis sends it.
    pub fn write_resp2(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => out.extend_from_slice(b"$-1\r\n"),
            Self::Int(number) => write_line(b':', &number.to_string(), out),
            Self::Bulk(bytes) => {
                write_line(b'$', &bytes.len().to_string(), out);
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Status(text) => write_line(b'+', text, out),
            Self::Error(text) => write_line(b'-', text, out),
            Self::Array(items) => {
                write_line(b'*', &items.len().to_string(), out);
                for item in items {
                    item.write_resp2(out);
                }
            }
        }
    }
}

impl From<redis::Value> for Reply {
    /// Takes RESP2 replies as they are, and flattens those of RESP3, which is never requested.
    fn from(value: redis::Value) -> Self {
        use redis::Value;
        match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Int(number),
            Value::BulkString(bytes) => Self::Bulk(bytes),
            Value::Array(items) | Value::Set(items) => Self::array(items),
            Value::SimpleString(text) => Self::Status(text),
            Value::Okay => Self::Status("OK".into()),
            Value::ServerError(error) => Self::Error(error_text(&error)),
            Value::Map(pairs) => Self::array(pairs.into_iter().flat_map(|(k, v)| [k, v])),
            Value::Attribute { data, .. } => Self::from(*data),
            Value::Double(number) => Self::Bulk(number.to_string().into_bytes()),
            Value::Boolean(truth) => Self::Int(truth.into()),
            Value::VerbatimString { text, .. } => Self::Bulk(text.into_bytes()),
            Value::BigNumber(digits) => Self::Bulk(digits),
            Value::Push { data, .. } => Self::array(data),
            _ => Self::Nil,
        }
    }
}

impl Reply {
    fn array(items: impl IntoIterator<Item = redis::Value>) -> Self {
        Self::Array(items.into_iter().map(Self::from).collect())
    }
}

/// The error as it was sent after the `-`; the driver splits it at the first space.
pub fn error_text(error: &redis::ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

fn write_line(kind: u8, text: &str, out: &mut Vec<u8>) {
    out.push(kind);
    // A line break would end the line early. Redis's own texts have none.
    out.extend(text.bytes().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        other => other,
    }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn resp2_is_what_redis_sends() {
        let wire =
            b"*6\r\n$3\r\na\r\n\r\n:-1\r\n$-1\r\n+OK\r\n*0\r\n-WRONGTYPE Operation against\r\n";
        let value = redis::parse_redis_value(wire).unwrap();
        let mut out = Vec::new();
        Reply::from(value).write_resp2(&mut out);
        assert_eq!(out, wire);
    }

    #[test]
    fn errors_keep_their_text() {
        for text in [
            "NOSCRIPT No matching script. Please use EVAL.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "ERR unknown command 'x', with args beginning with: ",
            "EXECABORT Transaction discarded because of previous errors.",
            "MYOWN",
            "my own  words",
            " leading",
            "",
        ] {
            let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
            assert_eq!(Reply::from(value), Reply::Error(text.into()));
        }
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            Just(Reply::Nil),
            any::<i64>().prop_map(Reply::Int),
            any::<Vec<u8>>().prop_map(Reply::Bulk),
            any::<String>().prop_map(Reply::Status),
            any::<String>().prop_map(Reply::Error),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop::collection::vec(inner, 0..8).prop_map(Reply::Array)
        })
    }

    proptest! {
        #[test]
        fn every_reply_becomes_resp2_that_can_be_read(reply in reply()) {
            let mut out = Vec::new();
            reply.write_resp2(&mut out);
            let mut again = Vec::new();
            Reply::from(redis::parse_redis_value(&out).unwrap()).write_resp2(&mut again);
            prop_assert_eq!(out, again);
        }
    }
}
