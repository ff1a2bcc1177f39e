//! Ids of jobs that are made of parts of a request.

use std::borrow::Cow;

/// What an id is made of, such as `{path.id}-{header.idempotency-key}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(String),
    /// A parameter of the path: `{path.id}`.
    Path(String),
    /// A header of the request: `{header.idempotency-key}`.
    Header(String),
    /// The digest that stands for the client: `{client}`.
    Client,
}

impl Part {
    /// Its name, as it stands between the braces.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Path(name) => Cow::Owned(format!("path.{name}")),
            Self::Header(name) => Cow::Owned(format!("header.{name}")),
            Self::Client => Cow::Borrowed("client"),
        }
    }
}

impl Template {
    /// Reads a template. `None`: its braces do not match, it names a part that there is not, has a
    /// letter that no id has, or nothing of the request is in it.
    ///
    /// ```
    /// # use omnitrade_edge::engine::job_id::{Part, Template};
    /// let template = Template::parse("bot-{path.id}.{client}").unwrap();
    /// let names: Vec<_> = template.parts().iter().map(Part::name).collect();
    /// assert_eq!(names, ["bot-", "path.id", ".", "client"]);
    /// for wrong in ["", "bot", "{path.id", "{query.x}", "{path.}", "a b{client}", "}{client}"] {
    ///     assert_eq!(Template::parse(wrong), None, "{wrong}");
    /// }
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            let (before, after) = match rest.split_once('{') {
                Some((before, after)) => (before, Some(after)),
                None => (rest, None),
            };
            if !before.bytes().all(is_of_id) {
                return None;
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some(after) = after else {
                break;
            };
            let (name, after) = after.split_once('}')?;
            parts.push(match name.split_once('.') {
                None if name == "client" => Part::Client,
                Some(("path", name)) if is_word(name) => Part::Path(name.to_owned()),
                Some(("header", name)) if super::http_cache::is_token(name) => {
                    Part::Header(name.to_ascii_lowercase())
                }
                _ => return None,
            });
            rest = after;
        }
        let varies = parts.iter().any(|part| !matches!(part, Part::Text(_)));
        varies.then_some(Self(parts))
    }

    /// Its parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

/// Whether an id that is made of parts of a request may have this letter.
pub const fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// As the names in the path of a route.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
