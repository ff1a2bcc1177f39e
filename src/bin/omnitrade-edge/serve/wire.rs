//! Reads requests: JSON bodies, paths and query strings become commands. Pure.

use serde_json::value::RawValue;

/// One command: its name and its arguments. Each may be any bytes.
pub type Command = Vec<Vec<u8>>;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is not a JSON array of strings, numbers, booleans and nulls.
    #[error("ERR failed to parse command")]
    Command,
    /// The array is empty.
    #[error("ERR empty command")]
    EmptyCommand,
    /// The body is not a JSON array.
    #[error("ERR failed to parse pipeline request")]
    Pipeline,
    /// An item of the array is not a command.
    #[error("ERR failed to parse pipeline command")]
    PipelineCommand,
    /// The array is empty.
    #[error("ERR empty pipeline request")]
    EmptyPipeline,
    /// An item of the array is an empty array.
    #[error("ERR empty pipeline command")]
    EmptyPipelineCommand,
    /// A percent sign in the path or the query is not followed by two hexadecimal digits.
    #[error("ERR failed to parse command: invalid URL escape")]
    Escape,
}

/// The command in a body such as `["SET", "key", 1]`.
///
/// Numbers, booleans and null stand for their JSON text. Arrays and objects are rejected, because
/// it is not defined what they would stand for.
pub fn command(body: &[u8]) -> Result<Command, Malformed> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|_| Malformed::Command)?;
    let command = arguments(&items).ok_or(Malformed::Command)?;
    named(command).ok_or(Malformed::EmptyCommand)
}

/// The commands in a body such as `[["SET", "key", 1], ["GET", "key"]]`.
pub fn pipeline(body: &[u8]) -> Result<Vec<Command>, Malformed> {
    let rows: Vec<&RawValue> = serde_json::from_slice(body).map_err(|_| Malformed::Pipeline)?;
    if rows.is_empty() {
        return Err(Malformed::EmptyPipeline);
    }
    rows.into_iter()
        .map(|row| {
            let items: Vec<&RawValue> =
                serde_json::from_str(row.get()).map_err(|_| Malformed::PipelineCommand)?;
            let command = arguments(&items).ok_or(Malformed::PipelineCommand)?;
            named(command).ok_or(Malformed::EmptyPipelineCommand)
        })
        .collect()
}

/// The command in a path such as `/set/key/value?EX=100`: the segments, then the body if there is
/// one, then the names and values of the query, without `_token`.
pub fn path(path: &str, query: Option<&str>, body: Vec<u8>) -> Result<Command, Malformed> {
    let mut command = path
        .strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(|segment| unescape(segment, Plus::Literal))
        .collect::<Result<Command, _>>()?;
    if !body.is_empty() {
        command.push(body);
    }
    for parameter in parameters(query) {
        let (name, value) = parameter?;
        if name != TOKEN_PARAMETER {
            command.push(name);
            command.extend(value);
        }
    }
    named(command).ok_or(Malformed::EmptyCommand)
}

/// The token in a query such as `?_token=secret`.
pub fn token(query: Option<&str>) -> Option<Vec<u8>> {
    parameters(query)
        .filter_map(Result::ok)
        .find(|(name, _)| name == TOKEN_PARAMETER)
        .and_then(|(_, value)| value)
}

const TOKEN_PARAMETER: &[u8] = b"_token";

type Parameter = (Vec<u8>, Option<Vec<u8>>);

fn parameters(query: Option<&str>) -> impl Iterator<Item = Result<Parameter, Malformed>> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((name, value)) => Ok((
                unescape(name, Plus::Space)?,
                Some(unescape(value, Plus::Space)?),
            )),
            None => Ok((unescape(part, Plus::Space)?, None)),
        })
}

/// The command, if it has a name.
fn named(command: Command) -> Option<Command> {
    match command.first() {
        Some(name) if !name.is_empty() => Some(command),
        _ => None,
    }
}

fn arguments(items: &[&RawValue]) -> Option<Command> {
    items.iter().map(|item| argument(item.get())).collect()
}

fn argument(json: &str) -> Option<Vec<u8>> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(json)
            .ok()
            .map(String::into_bytes),
        b'[' | b'{' => None,
        _ => Some(json.as_bytes().to_vec()),
    }
}

/// What `+` means: itself in a path, a space in a query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Literal,
    Space,
}

fn unescape(text: &str, plus: Plus) -> Result<Vec<u8>, Malformed> {
    let mut bytes = text.bytes();
    let mut unescaped = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let high = digit(bytes.next()).ok_or(Malformed::Escape)?;
                let low = digit(bytes.next()).ok_or(Malformed::Escape)?;
                u8::try_from(high * 16 + low).map_err(|_| Malformed::Escape)?
            }
            b'+' if plus == Plus::Space => b' ',
            other => other,
        });
    }
    Ok(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn args(items: &[&str]) -> Command {
        items.iter().map(|item| item.as_bytes().to_vec()).collect()
    }

    #[test]
    fn scalars_stand_for_their_json_text() {
        let body = br#"["SET", "a\u00e9\n", 1, -0, 1.50, 1e3, 123456789012345678901234567890, true, null]"#;
        let wanted = args(&[
            "SET",
            "aé\n",
            "1",
            "-0",
            "1.50",
            "1e3",
            "123456789012345678901234567890",
            "true",
            "null",
        ]);
        assert_eq!(command(body), Ok(wanted));
    }

    #[test]
    fn what_is_no_command_is_named() {
        for body in [
            &b""[..],
            b"{}",
            b"\"GET\"",
            b"[\"GET\"",
            b"[\"GET\"] x",
            b"[\"a\xff\"]",
            br#"["\ud800"]"#,
            b"[[1]]",
            br#"["SET", {}]"#,
        ] {
            assert_eq!(command(body), Err(Malformed::Command), "{body:?}");
        }
        assert_eq!(command(b"[]"), Err(Malformed::EmptyCommand));
        assert_eq!(command(br#"[""]"#), Err(Malformed::EmptyCommand));
        assert_eq!(pipeline(b"{}"), Err(Malformed::Pipeline));
        assert_eq!(pipeline(b"[]"), Err(Malformed::EmptyPipeline));
        assert_eq!(pipeline(b"[[]]"), Err(Malformed::EmptyPipelineCommand));
        assert_eq!(
            pipeline(br#"["GET", "a"]"#),
            Err(Malformed::PipelineCommand)
        );
        assert_eq!(
            pipeline(br#"[{"command":["GET"]}]"#),
            Err(Malformed::PipelineCommand)
        );
    }

    #[test]
    fn a_path_is_a_command() {
        assert_eq!(
            path("/set/foo/bar", Some("EX=100"), vec![]),
            Ok(args(&["set", "foo", "bar", "EX", "100"]))
        );
        assert_eq!(
            path("/set/a%2Fb", Some("_token=t&NX&x=a+b%2B"), b"\xff".to_vec()),
            Ok(vec![
                b"set".to_vec(),
                b"a/b".to_vec(),
                b"\xff".to_vec(),
                b"NX".to_vec(),
                b"x".to_vec(),
                b"a b+".to_vec(),
            ])
        );
        assert_eq!(path("/get/a+b", None, vec![]), Ok(args(&["get", "a+b"])));
        assert_eq!(path("/set/k/", None, vec![]), Ok(args(&["set", "k", ""])));
        for wrong in ["/get/%", "/get/%1", "/get/%zz", "/get/%+1"] {
            assert_eq!(path(wrong, None, vec![]), Err(Malformed::Escape), "{wrong}");
        }
        assert_eq!(path("/", None, vec![]), Err(Malformed::EmptyCommand));
    }

    #[test]
    fn the_token_is_taken_from_the_query() {
        assert_eq!(
            token(Some("EX=1&_token=a%20b")).as_deref(),
            Some(&b"a b"[..])
        );
        assert_eq!(token(Some("%zz=1&_token=t")).as_deref(), Some(&b"t"[..]));
        assert_eq!(token(Some("token=a")), None);
        assert_eq!(token(None), None);
    }

    /// Any JSON, nested a few levels deep.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| { serde_json::Value::Object(map.into_iter().collect()) }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_or_refused(value in json()) {
            let body = value.to_string();
            let _ = command(body.as_bytes());
            let _ = pipeline(body.as_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in any::<Vec<u8>>()) {
            let _ = command(&body);
            let _ = pipeline(&body);
        }

        #[test]
        fn any_url_is_read_or_refused(text in any::<String>(), query in any::<String>()) {
            let _ = path(&text, Some(&query), vec![]);
            let _ = token(Some(&query));
        }

        #[test]
        fn strings_arrive_as_they_were_sent(items in prop::collection::vec(any::<String>(), 1..8)) {
            prop_assume!(items.first().is_some_and(|name| !name.is_empty()));
            let body = serde_json::to_vec(&items).unwrap();
            let wanted: Command = items.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(command(&body).unwrap(), wanted);
        }

        #[test]
        fn escaped_bytes_arrive_as_they_were(argument in any::<Vec<u8>>()) {
            let escaped: String = argument.iter().map(|byte| format!("%{byte:02x}")).collect();
            let command = path(&format!("/echo/{escaped}"), None, vec![]).unwrap();
            prop_assert_eq!(&command[1], &argument);
        }
    }
}
