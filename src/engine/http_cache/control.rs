//! `Cache-Control` and `Pragma`, read from requests and responses (RFC 9111 §5.2, §5.4).

use std::borrow::Cow;
use std::time::Duration;

use super::fields::{Fields, elements, is_token, tokens};

/// A directive whose argument is a number of seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delta {
    /// The directive is absent.
    #[default]
    Absent,
    /// The directive is present once, or several times with the same value.
    Valid(Duration),
    /// The directive has no value, one that is not a number of seconds, or several different
    /// values.
    ///
    /// RFC 9111 §4.2.1: "Caches are encouraged to consider responses that have invalid freshness
    /// information (e.g., a max-age directive with a non-integer value) to be stale."
    Invalid,
}

/// What `no-cache` or `private` applies to (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// The directive is absent.
    #[default]
    Nothing,
    /// Only these fields, in lower case. They are not stored with the response.
    Fields(Vec<String>),
    /// The whole response. This is also the meaning of an empty or malformed list of fields.
    Everything,
}

/// The directives of a response that this cache acts upon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// §5.2.2.1.
    pub max_age: Delta,
    /// §5.2.2.10.
    pub s_maxage: Delta,
    /// §5.2.2.5; it also applies if it has a value, which has no meaning.
    pub no_store: bool,
    /// §5.2.2.6.
    pub no_transform: bool,
    /// §5.2.2.4.
    pub no_cache: Scope,
    /// §5.2.2.7.
    pub private: Scope,
    /// §5.2.2.9.
    pub public: bool,
    /// §5.2.2.2.
    pub must_revalidate: bool,
    /// §5.2.2.8.
    pub proxy_revalidate: bool,
    /// §5.2.2.3.
    pub must_understand: bool,
    /// RFC 8246.
    pub immutable: bool,
    /// RFC 5861 §3.
    pub stale_while_revalidate: Delta,
    /// RFC 5861 §4.
    pub stale_if_error: Delta,
    /// Whether the directives come from a targeted field (RFC 9213). If so, `Expires` does not
    /// count either.
    pub targeted: bool,
}

impl ResponseDirectives {
    /// The directives of one combined `Cache-Control` value.
    ///
    /// If the value is not a well-formed list of directives, its meaning is uncertain: every word
    /// in it that restricts a cache counts, wherever it stands, and a lifetime that cannot be read
    /// makes the response stale (§4.2.1).
    ///
    /// ```
    /// # use omnitrade_edge::engine::http_cache::{Delta, ResponseDirectives};
    /// # use std::time::Duration;
    /// let directives = ResponseDirectives::parse("Public, MAX-AGE=\"60\", x=1");
    /// assert!(directives.public);
    /// assert_eq!(directives.max_age, Delta::Valid(Duration::from_secs(60)));
    /// assert!(ResponseDirectives::parse("private; max-age=60").private.is_everything());
    /// ```
    pub fn parse(text: &str) -> Self {
        let mut directives = Self::default();
        let mut well_formed = true;
        for element in elements(text) {
            let (name, argument) = directive(element);
            well_formed &= is_token(name) && argument != Argument::Malformed;
            directives.add(&name.to_ascii_lowercase(), &argument);
        }
        if !well_formed {
            directives.restrict(text);
            directives.max_age.doubt("max-age", text);
            directives.s_maxage.doubt("s-maxage", text);
        }
        directives
    }

    /// Applies all restrictions that a malformed value may mean.
    pub(super) fn restrict(&mut self, text: &str) {
        for word in words(text) {
            match word.as_str() {
                // `must-understand` would loosen `no-store`, but here it is not certain that it was
                // meant.
                "no-store" | "must-understand" => {
                    self.no_store = true;
                    self.must_understand = false;
                }
                "private" => self.private = Scope::Everything,
                "no-cache" => self.no_cache = Scope::Everything,
                "no-transform" => self.no_transform = true,
                "must-revalidate" => self.must_revalidate = true,
                "proxy-revalidate" => self.proxy_revalidate = true,
                _ => {}
            }
        }
    }

    pub(super) fn add(&mut self, name: &str, argument: &Argument<'_>) {
        match name {
            "max-age" => self.max_age.add(argument),
            "s-maxage" => self.s_maxage.add(argument),
            "stale-while-revalidate" => self.stale_while_revalidate.add(argument),
            "stale-if-error" => self.stale_if_error.add(argument),
            "no-store" => self.no_store = true,
            "no-transform" => self.no_transform = true,
            "no-cache" => self.no_cache.add(argument),
            "private" => self.private.add(argument),
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand = true,
            "immutable" => self.immutable = true,
            // §5.2.3: "A cache MUST ignore unrecognized cache directives."
            _ => {}
        }
    }
}

/// How stale a response `max-stale` accepts (RFC 9111 §5.2.1.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MaxStale {
    /// No stale response.
    #[default]
    Nothing,
    /// A response that has been stale for at most this long.
    UpTo(Duration),
    /// A stale response of any age.
    Anything,
}

/// The directives of a request (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// §5.2.1.1; an invalid one counts as zero.
    pub max_age: Option<Duration>,
    /// §5.2.1.3; an invalid one is ignored.
    pub min_fresh: Option<Duration>,
    /// §5.2.1.2.
    pub max_stale: MaxStale,
    /// §5.2.1.4, or `Pragma: no-cache` if there is no `Cache-Control` (§5.4).
    pub no_cache: bool,
    /// §5.2.1.5.
    pub no_store: bool,
    /// §5.2.1.7: if the cache cannot answer, the response is `504`.
    pub only_if_cached: bool,
}

impl RequestDirectives {
    /// The directives of a request.
    pub fn of<F: Fields + ?Sized>(request: &F) -> Self {
        match request.value("cache-control") {
            Some(text) => Self::parse(&text),
            // §5.4: "treat the Pragma: no-cache as if Cache-Control: no-cache were present".
            None => Self {
                no_cache: request
                    .value("pragma")
                    .is_some_and(|text| words(&text).any(|word| word == "no-cache")),
                ..Self::default()
            },
        }
    }

    /// The directives of one combined `Cache-Control` value. Of a malformed value, the words that
    /// ask for more than a stored response count as well.
    pub fn parse(text: &str) -> Self {
        let mut directives = Self::default();
        let (mut max_age, mut min_fresh) = (Delta::Absent, Delta::Absent);
        let mut well_formed = true;
        for element in elements(text) {
            let (name, argument) = directive(element);
            well_formed &= is_token(name) && argument != Argument::Malformed;
            match name.to_ascii_lowercase().as_str() {
                "max-age" => max_age.add(&argument),
                "min-fresh" => min_fresh.add(&argument),
                "max-stale" => directives.max_stale.add(&argument),
                "no-cache" => directives.no_cache = true,
                "no-store" => directives.no_store = true,
                "only-if-cached" => directives.only_if_cached = true,
                _ => {}
            }
        }
        if !well_formed {
            max_age.doubt("max-age", text);
            directives.no_cache |= words(text).any(|word| word == "no-cache");
            directives.no_store |= words(text).any(|word| word == "no-store");
        }
        directives.max_age = match max_age {
            Delta::Absent => None,
            Delta::Valid(age) => Some(age),
            Delta::Invalid => Some(Duration::ZERO),
        };
        directives.min_fresh = min_fresh.valid();
        directives
    }
}

impl Delta {
    /// The value, if there is a valid one.
    pub fn valid(self) -> Option<Duration> {
        match self {
            Self::Valid(duration) => Some(duration),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// Makes an absent directive invalid if its name occurs in a malformed value, where the
    /// directive could not be read.
    fn doubt(&mut self, name: &str, text: &str) {
        if *self == Self::Absent && words(text).any(|word| word == name) {
            *self = Self::Invalid;
        }
    }

    fn add(&mut self, argument: &Argument<'_>) {
        let new = match argument {
            Argument::Value(text) => seconds(text).map_or(Self::Invalid, Self::Valid),
            Argument::None | Argument::Malformed => Self::Invalid,
        };
        // §4.2.1: "When there is more than one value present for a given directive [...] either the
        // first occurrence should be used or the response should be considered stale."
        *self = match *self {
            Self::Absent => new,
            old if old == new => old,
            _ => Self::Invalid,
        };
    }
}

impl Scope {
    /// Whether the directive applies to the whole response.
    pub fn is_everything(&self) -> bool {
        *self == Self::Everything
    }

    /// The fields that the directive names; empty if it names none or applies to the whole
    /// response.
    pub fn fields(&self) -> &[String] {
        match self {
            Self::Fields(names) => names,
            Self::Nothing | Self::Everything => &[],
        }
    }

    fn add(&mut self, argument: &Argument<'_>) {
        let names: Vec<String> = match argument {
            Argument::Value(list) => elements(list).map(str::to_ascii_lowercase).collect(),
            Argument::None | Argument::Malformed => Vec::new(),
        };
        let well_formed = !names.is_empty() && names.iter().all(|name| is_token(name));
        match self {
            Self::Nothing if well_formed => *self = Self::Fields(names),
            Self::Fields(known) if well_formed => known.extend(names),
            _ => *self = Self::Everything,
        }
    }
}

impl MaxStale {
    fn add(&mut self, argument: &Argument<'_>) {
        *self = match argument {
            Argument::None => Self::Anything,
            Argument::Value(text) => seconds(text).map_or(Self::Nothing, Self::UpTo),
            Argument::Malformed => Self::Nothing,
        };
    }
}

/// The argument of a directive: what follows its `=`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// There is no `=`.
    None,
    /// A token, or the content of a quoted string.
    ///
    /// §5.2: "both forms ought to be accepted".
    Value(Cow<'a, str>),
    /// Neither a token nor a quoted string.
    Malformed,
}

/// Splits one directive into its name, as written, and its argument.
fn directive(element: &str) -> (&str, Argument<'_>) {
    let Some((name, value)) = element.split_once('=') else {
        return (element, Argument::None);
    };
    let argument = match unquoted(value) {
        Some(content) => Argument::Value(content),
        None if is_token(value) => Argument::Value(Cow::Borrowed(value)),
        None => Argument::Malformed,
    };
    // White space before the `=` makes the directive malformed; it does not make it another
    // directive.
    match name.trim_end() {
        trimmed if trimmed.len() == name.len() => (name, argument),
        trimmed => (trimmed, Argument::Malformed),
    }
}

/// The words of a text in lower case, whatever separates them. A word has the characters of
/// directive names.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = tokens(text).flat_map(|token| token.split(|c: char| !is_word_char(c)));
    words.map(str::to_ascii_lowercase)
}

fn is_word_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.')
}

/// The content of a quoted string (RFC 9110 §5.6.4). `None` if the text is not exactly one quoted
/// string.
fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let inside = text.strip_prefix('"')?;
    if let Some(plain) = inside.strip_suffix('"')
        && !plain.contains(['"', '\\'])
    {
        return Some(Cow::Borrowed(plain));
    }
    let mut content = String::new();
    let mut chars = inside.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(Cow::Owned(content)),
            '\\' => content.push(chars.next()?),
            other => content.push(other),
        }
    }
}

/// A number of seconds (RFC 9111 §1.2.2).
///
/// "If a cache receives a delta-seconds value greater than the greatest integer it can represent
/// [...], the cache MUST consider the value to be 2147483648".
pub(super) fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds.min(MAX_DELTA_SECONDS)))
}

pub(super) const MAX_DELTA_SECONDS: u64 = 1 << 31;
