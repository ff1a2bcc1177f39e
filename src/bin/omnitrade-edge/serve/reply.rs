//! Writes what Redis answered as Upstash's JSON. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use omnitrade_edge::redis::tcp::Reply;

/// How strings are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As text; bytes that are not UTF-8 become U+FFFD.
    Text,
    /// As base64, so that every byte is preserved. Only the status `OK` stays as it is.
    Base64,
}

/// Writes `{"result":…}`, or `{"error":"…"}` for an error.
pub fn write_object(reply: &Reply, encoding: Encoding, out: &mut Vec<u8>) {
    match reply {
        Reply::Error(text) => write_error(text, out),
        Reply::Status(text) if text == "OK" => out.extend_from_slice(br#"{"result":"OK"}"#),
        reply => {
            out.extend_from_slice(br#"{"result":"#);
            write_json(reply, encoding, out);
            out.push(b'}');
        }
    }
}

/// Writes `{"error":"…"}`.
pub fn write_error(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"error":"#);
    write_string(text, out);
    out.push(b'}');
}

fn write_json(reply: &Reply, encoding: Encoding, out: &mut Vec<u8>) {
    match reply {
        Reply::Nil => out.extend_from_slice(b"null"),
        Reply::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Bulk(bytes) => write_bytes(bytes, encoding, out),
        // An error inside an array, for example a script's, is written as its text: JSON has no
        // errors, and a client expects values in an array.
        Reply::Status(text) | Reply::Error(text) => write_bytes(text.as_bytes(), encoding, out),
        Reply::Array(items) => {
            let mut separator = b'[';
            for item in items {
                out.push(separator);
                write_json(item, encoding, out);
                separator = b',';
            }
            if separator == b'[' {
                out.push(b'[');
            }
            out.push(b']');
        }
    }
}
fn write_bytes(bytes: &[u8], encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Text => write_string(&String::from_utf8_lossy(bytes), out),
        Encoding::Base64 => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // Neither writing to a vector nor serializing a string can fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(reply: &Reply, encoding: Encoding) -> String {
        let mut out = Vec::new();
        write_object(reply, encoding, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn base64_takes_every_string_but_the_status_ok() {
        let ok = Reply::Status("OK".into());
        assert_eq!(object(&ok, Encoding::Base64), r#"{"result":"OK"}"#);
        let stored = Reply::Bulk(b"OK".to_vec());
        assert_eq!(object(&stored, Encoding::Base64), r#"{"result":"T0s="}"#);
        let pong = Reply::Status("PONG".into());
        assert_eq!(object(&pong, Encoding::Base64), r#"{"result":"UE9ORw=="}"#);
        let nested = Reply::Array(vec![
            Reply::Bulk(b"\xff".to_vec()),
            Reply::Int(7),
            Reply::Nil,
            Reply::Array(vec![]),
            ok,
        ]);
        assert_eq!(
            object(&nested, Encoding::Base64),
            r#"{"result":["/w==",7,null,[],"T0s="]}"#
        );
        assert_eq!(
            object(&nested, Encoding::Text),
            "{\"result\":[\"\u{fffd}\",7,null,[],\"OK\"]}"
        );
        let error = Reply::Error("ERR no \"luck\"".into());
        assert_eq!(
            object(&error, Encoding::Base64),
            r#"{"error":"ERR no \"luck\""}"#
        );
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
        fn every_reply_becomes_json_with_one_field(reply in reply(), base64: bool) {
            let encoding = if base64 { Encoding::Base64 } else { Encoding::Text };
            let json: serde_json::Value = serde_json::from_str(&object(&reply, encoding)).unwrap();
            let object = json.as_object().unwrap();
            prop_assert_eq!(object.len(), 1);
            prop_assert_eq!(object.contains_key("error"), matches!(reply, Reply::Error(_)));
        }
    }
}
