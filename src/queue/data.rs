//! The data of a job, as JSON without white space, as `JSON.stringify` writes it.

/// JSON without the white space between its parts. `None` if the text is no JSON.
///
/// Everything else stays as it was written: numbers, escapes, the order of fields.
pub fn compact(json: &str) -> Option<String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(json.as_bytes()).ok()?;
    let mut compact = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for letter in json.chars() {
        if in_text {
            in_text = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if letter.is_ascii_whitespace() {
            continue;
        } else {
            in_text = letter == '"';
        }
        compact.push(letter);
    }
    Some(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_only_between_the_parts() {
        let json = "\n{ \"a b\" : [ 1.0 , -2e400 ,\t\"\\\" \\\\\" , \"x\\\\\" , { } ] }\r\n";
        let expected = r#"{"a b":[1.0,-2e400,"\" \\","x\\",{}]}"#;
        assert_eq!(compact(json).as_deref(), Some(expected));
        for wrong in ["", "{", "{}{}", "nil", "'a'", "[1,]"] {
            assert_eq!(compact(wrong), None, "{wrong}");
        }
    }
}
