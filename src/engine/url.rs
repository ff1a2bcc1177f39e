//! The normal form of URLs. Routes, keys, purges and references are built from it, and it is what
//! the origin is sent if a cache may answer.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// An absolute `http` or `https` URL in its normal form, split into its parts. Every value is in
/// normal form, so two equal values identify the same resource.
///
/// URLs that RFC 3986 §6.2.2 and §6.2.3 call equivalent have the same normal form. The URL Standard
/// leaves it unchanged, so the platform sends exactly this text.
///
/// - Scheme and host are in lower case; the default port and the fragment are removed.
/// - `\` in the path is `/`, and dot segments are resolved, however they are escaped.
/// - Escapes are in upper case, and unreserved characters are not escaped. If a segment of the
///   path, or a name or value of the query, contains a broken escape, its other escapes stay as
///   they are: decoding one beside a broken one could make the broken one whole.
/// - Every octet that RFC 3986 does not allow unescaped is escaped, and so is `'` in the query, as
///   the URL Standard requires.
///
/// ```
/// # use omnitrade_edge::engine::url::Target;
/// let target = Target::of("HTTPS://Api.example:443/v1/./%64epth?pair={\"a\"}#top").unwrap();
/// assert_eq!(target.to_string(), "https://api.example/v1/depth?pair=%7B%22a%22%7D");
/// assert_eq!((target.host(), target.path()), ("api.example", "/v1/depth"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    scheme: &'static str,
    host: Cow<'a, str>,
    path: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
}

impl<'a> Target<'a> {
    /// The normal form of an absolute URL. A URL that is already in normal form is not copied.
    ///
    /// `None` if the text is not an `http` or `https` URL, has a user part or an invalid host, or
    /// contains U+FFFD. U+FFFD stands for octets that are not UTF-8, so two URLs that differ in
    /// such octets would become the same.
    pub fn of(url: &'a str) -> Option<Self> {
        match cleaned(url) {
            Cow::Borrowed(url) => Parts::of(url)?.normal(),
            Cow::Owned(cleaned) => {
                // A host that contains a line break must not be accepted: it cannot be written into
                // a header.
                Parts::of(url.trim_start())?.normal()?;
                Some(Parts::of(&cleaned)?.normal()?.into_owned())
            }
        }
    }

    /// `http` or `https`.
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The host, with its port unless that is the default port of the scheme.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path; it starts with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text after the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The same URL with another query.
    #[must_use]
    pub fn with_query(&self, query: Option<&str>) -> Target<'_> {
        Target {
            scheme: self.scheme,
            host: Cow::Borrowed(&self.host),
            path: Cow::Borrowed(&self.path),
            query: query.map(|query| Cow::Owned(normal_query(query).into_owned())),
        }
    }

    /// Whether both URLs have the same origin (RFC 6454 §4).
    pub fn is_of_the_origin_of(&self, other: &Target<'_>) -> bool {
        (self.scheme, &self.host) == (other.scheme, &other.host)
    }

    /// The same URL with its own copy of the text.
    pub fn into_owned(self) -> Target<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Target {
            scheme: self.scheme,
            host: owned(self.host),
            path: owned(self.path),
            query: self.query.map(owned),
        }
    }
}

/// The whole URL.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.host, self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

/// The path and the query of a URL as the client wrote them, for an origin that verifies a
/// signature over them. Only the dot segments are resolved, so that the origin is asked for the
/// path that was routed, and spaces and control characters are escaped, because the platform would
/// remove them from the end. Other characters that need an escape are left to the platform. `None`
/// as for [`Target::of`].
///
/// ```
/// # use omnitrade_edge::engine::url::as_written;
/// let (path, query) = as_written("https://api.example/x/%2e%2E/a%7eb?c=%e2%82%ac|").unwrap();
/// assert_eq!((path.as_str(), query.as_deref()), ("/a%7eb", Some("c=%e2%82%ac|")));
/// ```
pub fn as_written(url: &str) -> Option<(String, Option<String>)> {
    let url = cleaned(url);
    let parts = Parts::of(&url)?;
    let path = without_dots(parts.path, without_spaces);
    let query = parts.query.map(|query| without_spaces(query).into_owned());
    Some((path, query))
}

fn without_spaces(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte <= b' ') {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match u8::try_from(char) {
            Ok(byte) if byte <= b' ' => push_escape(&mut escaped, byte),
            _ => escaped.push(char),
        }
    }
    Cow::Owned(escaped)
}

/// A URL without the characters that the URL Standard removes before parsing ("basic URL parser",
/// steps 1 and 3): white space and control characters around it, tabs and line breaks in it.
pub(super) fn cleaned(url: &str) -> Cow<'_, str> {
    if url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(url);
    }
    let url = url.trim_matches(|char| char <= ' ');
    match url.contains(LINE_BREAKS) {
        true => Cow::Owned(url.replace(LINE_BREAKS, "")),
        false => Cow::Borrowed(url),
    }
}

/// The normal form of a query. Each name and each value is normalised separately.
pub(super) fn normal_query(query: &str) -> Cow<'_, str> {
    if is_normal(query, Place::Query) {
        return Cow::Borrowed(query);
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => Cow::Owned(format!("{}={}", normal_word(name), normal_word(value))),
        None => normal_word(pair),
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

/// The normal form of a name or a value in a query.
pub(super) fn normal_word(word: &str) -> Cow<'_, str> {
    spelt(word, Place::Query)
}

/// The parts of a URL as received.
struct Parts<'a> {
    scheme: &'static str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        let rest = rest.strip_prefix("//")?;
        let mut known = ["https", "http"].into_iter();
        let scheme = known.find(|known| scheme.eq_ignore_ascii_case(known))?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        if rest.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let path = rest.bytes().position(|byte| matches!(byte, b'/' | b'\\'));
        let (authority, path) = rest.split_at_checked(path.unwrap_or(rest.len()))?;
        Some(Self {
            scheme,
            authority,
            path,
            query,
        })
    }

    fn normal(self) -> Option<Target<'a>> {
        Some(Target {
            scheme: self.scheme,
            host: normal_host(self.authority, self.scheme)?,
            path: normal_path(self.path),
            query: self.query.map(normal_query),
        })
    }
}

/// The host in lower case, with its port unless that is the default port of the scheme. Numbers and
/// escapes in a host are not interpreted as the URL Standard does: such a host is a different host,
/// or invalid.
fn normal_host<'a>(authority: &'a str, scheme: &str) -> Option<Cow<'a, str>> {
    let name_ends = match authority.strip_prefix('[') {
        Some(address) => address.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (name, port) = authority.split_at_checked(name_ends)?;
    if !is_host(name) {
        return None;
    }
    let port = match port.strip_prefix(':') {
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let default = if scheme == "https" { 443 } else { 80 };
            Some(port.parse::<u16>().ok()?).filter(|port| *port != default)
        }
        Some(_) => return None,
        None if port.is_empty() => None,
        None => return None,
    };
    let name = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    };
    Some(match port {
        None => name,
        Some(port) => {
            let host = format!("{name}:{port}");
            match host == authority {
                true => Cow::Borrowed(authority),
                false => Cow::Owned(host),
            }
        }
    })
}

/// Whether the text may be a host: an address in brackets, or visible ASCII without the "forbidden
/// domain code points" of the URL Standard.
fn is_host(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    match address {
        Some(address) => address
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')),
        None => {
            let fits = |byte: u8| byte.is_ascii_graphic() && !br#"#%/:<>?@[\]^|"#.contains(&byte);
            !name.is_empty() && name.bytes().all(fits)
        }
    }
}

fn normal_path(path: &str) -> Cow<'_, str> {
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    match is_normal(path, Place::Path) && !may_have_dots(path) {
        true => Cow::Borrowed(path),
        false => Cow::Owned(without_dots(path, |segment| spelt(segment, Place::Path))),
    }
}

fn may_have_dots(path: &str) -> bool {
    let mut before = 0;
    path.bytes().any(|byte| {
        let dots = (before, byte) == (b'/', b'.');
        before = byte;
        dots
    })
}

/// The path with its dot segments resolved (RFC 3986 §5.2.4; URL Standard, "path state"). `write`
/// spells the other segments.
fn without_dots(path: &str, write: for<'s> fn(&'s str) -> Cow<'s, str>) -> String {
    let path = path.replace('\\', "/");
    let mut kept: Vec<Cow<'_, str>> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match spelt(segment, Place::Path).as_ref() {
            "." => {}
            ".." => drop(kept.pop()),
            _ => {
                kept.push(write(segment));
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push(Cow::Borrowed(""));
        }
    }
    format!("/{}", kept.join("/"))
}

/// The part of a URL that a text belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
}

/// Whether text is in its normal form, except for dot segments. May return `false` although the
/// text is in normal form.
fn is_normal(text: &str, place: Place) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let normal = match byte {
            b'%' => match (bytes.next(), bytes.next()) {
                (Some(high), Some(low)) => {
                    let upper = |digit: u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
                    let reserved = octet(high, low).is_some_and(|octet| !is_unreserved(octet));
                    upper(high) && upper(low) && reserved
                }
                _ => false,
            },
            _ => may_stand(byte, place),
        };
        if !normal {
            return false;
        }
    }
    true
}

/// The normal form of one segment of a path, or of one name or value of a query.
fn spelt(text: &str, place: Place) -> Cow<'_, str> {
    if is_normal(text, place) {
        return Cow::Borrowed(text);
    }
    let whole = text
        .match_indices('%')
        .all(|(at, _)| escaped(text.as_bytes().get(at..).unwrap_or_default()).is_some());
    let (mut spelt, mut rest) = (String::with_capacity(text.len() + 8), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = escaped(rest).filter(|_| whole);
        rest = after;
        match escaped {
            Some((octet, after)) => {
                rest = after;
                match is_unreserved(octet) {
                    true => spelt.push(char::from(octet)),
                    false => push_escape(&mut spelt, octet),
                }
            }
            None if byte == b'%' || may_stand(byte, place) => spelt.push(char::from(byte)),
            None => push_escape(&mut spelt, byte),
        }
    }
    Cow::Owned(spelt)
}

/// The octet of the escape at the beginning of the text, and the rest of the text. `None` if it
/// does not begin with an escape.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, after @ ..] => Some((octet(*high, *low)?, after)),
        _ => None,
    }
}

fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn push_escape(text: &mut String, octet: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "%{octet:02X}");
}

/// Whether the octet is unreserved (RFC 3986 §2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether an octet may be unescaped in this part: RFC 3986 §3.3 and §3.4 allow it, and the URL
/// Standard does not escape it ("special-query percent-encode set").
const fn may_stand(byte: u8, place: Place) -> bool {
    is_unreserved(byte)
        || match byte {
            b'!' | b'$' | b'&' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
            | b'/' => true,
            b'\'' => matches!(place, Place::Path),
            b'?' => matches!(place, Place::Query),
            _ => false,
        }
}

const LINE_BREAKS: [char; 3] = ['\t', '\n', '\r'];

#[cfg(test)]
mod tests;
