//! CORS (Fetch Standard, "CORS protocol"): which pages of other origins may read an answer, and
//! which of its fields.
//!
//! An answer without these fields is a network error to a page of another origin, which then sees
//! neither the status nor the body.

use super::http_cache::{Fields, elements};

/// Which pages of other origins may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origins of the pages ([`is_page_origin`]); `"*"` stands for all.
    pub origins: Vec<String>,
    /// Whether pages may send credentials (cookies, client certificates).
    pub credentials: bool,
    /// The fields that pages may read, beside those that they always may ("CORS-safelisted
    /// response-header name").
    pub expose: Vec<String>,
    /// How preflights are answered; `None`: the origin answers them.
    pub preflight: Option<Preflight>,
}

/// How preflights are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// The methods that pages may use; `None`: those of the route, or the one that is asked for.
    pub methods: Option<Vec<String>>,
    /// The headers that pages may set; `None`: those that are asked for.
    pub headers: Option<Vec<String>>,
    /// For how long browsers may remember the answer, in seconds; `None`: as they like (5 s).
    pub max_age: Option<u64>,
}

/// What the page that sent a request may do with the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    fields: Vec<(&'static str, String)>,
}

impl Cors {
    /// What the page that sent a request may do with its answer; `origin` is the request's
    /// `Origin`.
    ///
    /// ```
    /// use omnitrade_edge::engine::cors::Cors;
    ///
    /// let cors = Cors {
    ///     origins: vec!["https://app.example".to_owned()],
    ///     credentials: false,
    ///     expose: vec!["retry-after".to_owned()],
    ///     preflight: None,
    /// };
    /// let silent: Vec<(String, String)> = Vec::new();
    /// let fields = cors.grant(Some("https://app.example")).fields(&silent);
    /// assert_eq!(fields, [
    ///     ("access-control-allow-origin", "https://app.example".to_owned()),
    ///     ("access-control-expose-headers", "retry-after".to_owned()),
    /// ]);
    /// assert_eq!(cors.grant(Some("https://other.example")).fields(&silent), []);
    /// ```
    pub fn grant(&self, origin: Option<&str>) -> Grant {
        let mut fields = self.allowed(origin);
        if !fields.is_empty() && !self.expose.is_empty() {
            fields.push((EXPOSE, self.expose.join(", ")));
        }
        Grant { fields }
    }

    /// The fields of the answer to a preflight. A page that is not listed is allowed nothing.
    /// `route`: the methods of the route that is asked for, if it names them.
    ///
    /// The headers that are asked for are allowed unless some are configured: the `*` of the Fetch
    /// Standard covers neither `Authorization` nor requests with credentials, and it is the list of
    /// origins that says which pages are trusted.
    pub fn preflight(
        &self,
        rules: &Preflight,
        route: Option<&[String]>,
        request: &impl Fields,
    ) -> Vec<(&'static str, String)> {
        let mut fields = self.allowed(request.value("origin").as_deref());
        if fields.is_empty() {
            return fields;
        }
        let listed = rules.methods.as_deref().or(route);
        let methods = match listed {
            Some(methods) => methods.join(", "),
            None => tokens_of(request, REQUEST_METHOD, str::to_owned),
        };
        let headers = match &rules.headers {
            Some(headers) => headers.join(", "),
            None => tokens_of(request, REQUEST_HEADERS, str::to_ascii_lowercase),
        };
        for (name, list) in [(ALLOW_METHODS, methods), (ALLOW_HEADERS, headers)] {
            if !list.is_empty() {
                fields.push((name, list));
            }
        }
        let max_age = rules.max_age.map(|seconds| seconds.to_string());
        fields.extend(max_age.map(|seconds| (MAX_AGE, seconds)));
        fields
    }

    /// The fields that let the page read the answer at all; none for a page that may not.
    fn allowed(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let any = self.origins.iter().any(|listed| listed == "*");
        let listed = origin.filter(|origin| self.origins.iter().any(|listed| listed == origin));
        let Some(allowed) = any.then_some("*").or(listed) else {
            return Vec::new();
        };
        let mut fields = vec![(ALLOW_ORIGIN, allowed.to_owned())];
        if self.credentials {
            fields.push((ALLOW_CREDENTIALS, "true".to_owned()));
        }
        fields
    }
}

impl Grant {
    /// The fields that an answer gets: none if it says itself who may read it.
    pub fn fields(&self, answer: &(impl Fields + ?Sized)) -> Vec<(&'static str, String)> {
        match answer.has(ALLOW_ORIGIN) {
            true => Vec::new(),
            false => self.fields.clone(),
        }
    }

    /// Whether an answer is to be given the `Vary: Origin` that it lacks. All have it, also those
    /// to requests without `Origin`: else a cache behind the gate would serve such an answer,
    /// without the fields, to a page (Fetch Standard, "CORS protocol and HTTP caches").
    pub fn varies(answer: &(impl Fields + ?Sized)) -> bool {
        let vary = answer.value("vary").unwrap_or_default();
        !elements(&vary).any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
    }
}

/// The fields that are the gate's alone once it lets a page read an answer. Those of an origin that
/// does not let the page read it would otherwise add to what the gate allows, credentials first.
pub const GRANTED: [&str; 2] = [ALLOW_CREDENTIALS, EXPOSE];

/// The method that a preflight asks for.
pub const REQUEST_METHOD: &str = "access-control-request-method";
const REQUEST_HEADERS: &str = "access-control-request-headers";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const MAX_AGE: &str = "access-control-max-age";
const EXPOSE: &str = "access-control-expose-headers";

/// The tokens (RFC 9110 §5.6.2) in a field, as a list; what is none is left out.
fn tokens_of(request: &impl Fields, field: &str, spell: fn(&str) -> String) -> String {
    let list = request.value(field).unwrap_or_default();
    let tokens = elements(&list).filter(|token| http::Method::from_bytes(token.as_bytes()).is_ok());
    tokens.map(spell).collect::<Vec<_>>().join(", ")
}

/// Whether `text` is an origin as browsers send it in `Origin` (Fetch Standard, "serializing a
/// request origin"): scheme and host in lower case, the port unless it is the scheme's own, and
/// nothing after that. Any other spelling would match no request. `null`, which any page can send,
/// is none.
///
/// ```
/// # use omnitrade_edge::engine::cors::is_page_origin;
/// assert!(is_page_origin("https://app.example") && is_page_origin("http://localhost:5173"));
/// assert!(is_page_origin("capacitor://localhost") && is_page_origin("http://[::1]:8080"));
/// for never in ["https://app.example/", "https://app.example:443", "https://*.example", "null"] {
///     assert!(!is_page_origin(never), "{never}");
/// }
/// ```
pub fn is_page_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| lower(b) || b"+-.".contains(&b));
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an address are in its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address
            .parse()
            .is_ok_and(|ip: std::net::Ipv6Addr| ip.to_string() == address),
        None => !host.is_empty() && host.bytes().all(|b| lower(b) || b"-._".contains(&b)),
    };
    let own = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    let is_port = |text: &str| {
        text.parse()
            .is_ok_and(|port: u16| port.to_string() == text && Some(port) != own)
    };
    is_scheme && is_host && port.is_none_or(is_port)
}
