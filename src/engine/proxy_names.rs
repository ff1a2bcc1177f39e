//! Names of request headers with which a client could impersonate a proxy. The origin trusts one
//! proxy, the gate, and learns from such headers who the client is or which request was meant.
//!
//! The module uses a rule instead of a list of names: servers, frameworks and proxies read many
//! spellings of the same few headers, and new ones appear. [`speaks_for_proxy`] is the rule.
//! [`Reserved`] decides which headers the gate removes from a request; it also considers how
//! servers fold names.

/// Whether a header of this name states something that only a proxy can know: the client's address,
/// scheme, host or certificate, the requested URL or method, or the user that a proxy has
/// authenticated.
///
/// Letter case is ignored, and so is the character that separates the words: CGI (RFC 3875
/// §4.1.18), and with it WSGI, Rack and PHP, turn `X-Forwarded-For` and `X_Forwarded_For` into the
/// same variable, and some servers do this with `X.Forwarded.For`, too.
///
/// ```
/// # use omnitrade_edge::engine::proxy_names::speaks_for_proxy;
/// assert!(speaks_for_proxy("X-Forwarded-User") && speaks_for_proxy("x_forwarded_for"));
/// assert!(speaks_for_proxy("Fastly-Client-IP") && speaks_for_proxy("x-real-ip"));
/// assert!(!speaks_for_proxy("x-request-id") && !speaks_for_proxy("x-real-time"));
/// ```
pub fn speaks_for_proxy(name: &str) -> bool {
    is_a_proxys(&folded(name))
}

/// Decides which headers of a client are removed before the request goes to the origin. Its fields
/// are the headers that the gate itself reads.
#[derive(Debug, Clone, Copy)]
pub struct Reserved<'a> {
    /// The headers with the client's API key. The origin receives them, under exactly these names.
    pub api_keys: &'a [String],
    /// The header with the client's address.
    pub ip: &'a str,
    /// The request headers by which the route separates responses in its cache.
    pub vary: &'a [String],
}

impl Reserved<'_> {
    /// Whether a header of this name is removed.
    ///
    /// These are the names for which [`speaks_for_proxy`] holds, and names that a server may fold
    /// onto another name, so that the origin would obey a header that the gate has not seen. The
    /// latter are other spellings of the header with the API key (otherwise a client could use a
    /// key without being counted by it), of the header with the address, of the headers that are
    /// part of cache keys, of headers that the platform sets (`cf_connecting_ip`), and of headers
    /// for message framing, conditions and content negotiation (`content_length`,
    /// `accept_language`). A name with `_` that folds onto none of these is kept.
    ///
    /// ```
    /// # use omnitrade_edge::engine::proxy_names::Reserved;
    /// let api_keys = ["x-api-key".to_owned()];
    /// let reserved = Reserved { api_keys: &api_keys, ip: "cf-connecting-ip", vary: &[] };
    /// assert!(reserved.takes_off("X_Api_Key") && !reserved.takes_off("X-Api-Key"));
    /// assert!(reserved.takes_off("cf_connecting_ip") && !reserved.takes_off("cf-connecting-ip"));
    /// assert!(!reserved.takes_off("user_id"));
    /// ```
    pub fn takes_off(&self, name: &str) -> bool {
        let own = |own: &String| name.eq_ignore_ascii_case(own);
        if self.api_keys.iter().any(own) {
            return false;
        }
        let folded = folded(name);
        // If both spellings are part of the key, neither shadows the other.
        let keyed = self.vary.iter().any(own);
        let of_key = |own: &String| is_another_spelling(name, own);
        is_a_proxys(&folded)
            || self.api_keys.iter().any(of_key)
            || is_another_spelling(name, self.ip)
            || (!keyed && self.vary.iter().any(of_key))
            || (is_odd(name) && names(&SHADOWED, &folded))
    }
}

/// Whether servers that fold names may take one header for another: the names differ in more than
/// letter case, but are equal once folded.
pub fn is_another_spelling(name: &str, of: &str) -> bool {
    !name.eq_ignore_ascii_case(of) && fold(name).eq(fold(of))
}

/// The name in the form that the rule's lists use: lower case, with `-` for each character that is
/// neither a letter nor a digit.
fn folded(name: &str) -> String {
    fold(name).collect()
}

fn fold(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_lowercase(),
        false => '-',
    })
}

/// Whether folding changes more than the case of a name.
fn is_odd(name: &str) -> bool {
    !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_a_proxys(folded: &str) -> bool {
    let states_who = || {
        let ends = |stem: &&str| {
            let rest = folded.strip_prefix(*stem)?.strip_prefix('-')?;
            Some(STATEMENTS.contains(&rest))
        };
        STEMS.iter().any(|stem| ends(stem).unwrap_or_default())
    };
    folded.split('-').any(|word| word == "forwarded")
        || names(&FAMILIES, folded)
        || SUFFIXES.iter().any(|suffix| folded.ends_with(suffix)) && folded != PLATFORM_ADDRESS
        || EXACT.contains(&folded)
        || states_who()
}

/// Whether the name starts with one of these prefixes.
fn names(prefixes: &[&str], folded: &str) -> bool {
    prefixes.iter().any(|prefix| folded.starts_with(prefix))
}

/// The header that the platform itself sets, whatever the client sends.
const PLATFORM_ADDRESS: &str = "cf-connecting-ip";

/// Prefixes: every name that starts with one of them speaks for a proxy. A name that contains the
/// word `forwarded` does so wherever the word stands: `Forwarded` (RFC 7239), `X-Forwarded-For`,
/// `X-Original-Forwarded-For`, `Fly-Forwarded-Proto`.
const FAMILIES: [&str; 36] = [
    // Misspellings of `X-Forwarded-…` that servers read: `X-ForwardedFor`, `X-Forward-For`.
    "x-forwarded",
    "x-forward-",
    "forward-for",
    // The URL, the method, the host or the address before a rewrite: IIS, ingress-nginx, Symfony.
    "x-original-",
    "x-originating-",
    "x-rewrite-",
    // The method or URL that replaces the one in the request line: Rack, Rails, Symfony, Django and
    // ASP.NET middleware. The gate has limited and keyed the request by the one in the request
    // line.
    "x-http-method",
    "x-method-override",
    "x-override-",
    // Users that a proxy has authenticated: oauth2-proxy, ingress-nginx, Authelia, Authentik, Kong,
    // Grafana, Kubernetes, Google's Identity-Aware Proxy, Azure App Service, AWS load balancers.
    "x-auth-request-",
    "x-remote-",
    "remote-",
    "x-authentik-",
    "x-authelia-",
    "x-authenticated-",
    "x-consumer-",
    "x-webauth-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-amzn-oidc-",
    // Certificates of clients: RFC 9440, AWS, nginx, HAProxy, IIS.
    "client-cert",
    "x-client-cert",
    "x-amzn-mtls-",
    "ssl-client-",
    "x-ssl-",
    // What Envoy, IIS, Azure Front Door, App Engine and CloudFront tell the servers behind them.
    "x-envoy-",
    "x-arr-",
    "x-azure-",
    "x-waws-",
    "x-appengine-",
    "cloudfront-",
    // Files that the web server is to send instead of the application's response: Rack reads these
    // headers from requests.
    "x-accel-",
    "x-sendfile-",
    // The gate's own.
    "x-edge-",
];

/// Suffixes of names that state an address, whoever defined them (`True-Client-IP`,
/// `Fastly-Client-IP`, `WL-Proxy-Client-IP`, `X-Cluster-Client-IP`, `X-ProxyUser-IP`), or another
/// method (`Http-Method-Override`).
const SUFFIXES: [&str; 10] = [
    "-client-ip",
    "-clientip",
    "-connecting-ip",
    "-real-ip",
    "-remote-ip",
    "-remote-addr",
    "-remote-user",
    "-user-ip",
    "proxyuser-ip",
    "-method-override",
];

/// Beginnings of names that speak for a proxy if the rest is one of [`STATEMENTS`]. With another
/// rest they are harmless: `X-Real-Time`, `X-Client-Version`, `X-Client-Id`.
const STEMS: [&str; 8] = [
    "client",
    "proxy",
    "real",
    "x-client",
    "x-cluster-client",
    "x-proxy",
    "x-real",
    "x-true-client",
];

/// The rests that, after one of [`STEMS`], speak for a proxy.
const STATEMENTS: [&str; 20] = [
    "addr", "address", "dn", "email", "groups", "host", "ip", "ipv4", "ipv6", "method", "path",
    "port", "proto", "protocol", "scheme", "uri", "url", "user", "username", "verify",
];

/// Whole names.
const EXACT: [&str; 22] = [
    // The proxies on the way (RFC 9110 §7.6.3).
    "via",
    // Hosts and URLs that replace the requested ones: Symfony, Joomla, Azure App Service.
    "x-host",
    "x-http-host-override",
    "x-forwardedfor",
    "x-host-override",
    "disguised-host",
    // Where an application is mounted and by which scheme clients reach it: gunicorn and other WSGI
    // servers.
    "script-name",
    "path-info",
    "x-script-name",
    "x-scheme",
    "x-url-scheme",
    "x-proto",
    "x-protocol",
    "front-end-https",
    // CGI turns it into the variable `HTTP_PROXY`, from which HTTP clients take the address of
    // their proxy.
    "proxy",
    // Fastly, including headers which say that a request comes from Fastly itself.
    "fastly-client",
    "fastly-ff",
    "fastly-ssl",
    // Kong, and Google's API gateways.
    "x-anonymous-consumer",
    "x-credential-identifier",
    "x-apigateway-api-userinfo",
    "x-endpoint-api-userinfo",
];

/// Prefixes of names onto which no other header may fold, besides the names that the gate removes
/// anyway: negotiation and conditions, framing, and headers that the platform sets.
const SHADOWED: [&str; 8] = [
    "accept-",
    "cache-control",
    "cf-",
    "content-",
    "if-",
    "keep-alive",
    "proxy-",
    "transfer-encoding",
];

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use proptest::prelude::*;

    const FORGED: [&str; 62] = [
        "forwarded",
        "x-forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-uri",
        "x-forwarded-method",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-forwarded-access-token",
        "x-forwarded-client-cert",
        "x-forwarded-tls-client-cert",
        "x-original-forwarded-for",
        "x-vercel-forwarded-for",
        "fly-forwarded-proto",
        "forwarded-for",
        "x-forwardedfor",
        "client-ip",
        "x-client-ip",
        "true-client-ip",
        "x-cluster-client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "wl-proxy-client-ip",
        "proxy-client-ip",
        "x-real-ip",
        "x-real-host",
        "x-azure-clientip",
        "x-azure-fdid",
        "x-appengine-user-ip",
        "x-proxyuser-ip",
        "do-connecting-ip",
        "x-original-url",
        "x-original-uri",
        "x-original-method",
        "x-original-host",
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "http-method-override",
        "x-auth-request-user",
        "x-auth-request-redirect",
        "remote-user",
        "remote-groups",
        "x-remote-user",
        "x-remote-addr",
        "x-webauth-user",
        "x-goog-authenticated-user-email",
        "x-ms-client-principal-id",
        "x-amzn-oidc-identity",
        "x-amzn-oidc-data",
        "client-cert",
        "x-ssl-client-verify",
        "x-client-verify",
        "x-envoy-external-address",
        "x-edge-limiter",
        "via",
        "x-host",
        "x-scheme",
        "proxy",
    ];

    const HARMLESS: [&str; 48] = [
        "accept",
        "accept-language",
        "authorization",
        "cache-control",
        "cdn-loop",
        "cf-connecting-ip",
        "cf-ipcountry",
        "cf-ray",
        "cf-visitor",
        "client-id",
        "content-type",
        "content-length",
        "cookie",
        "forward",
        "host",
        "if-none-match",
        "max-forwards",
        "origin",
        "priority",
        "range",
        "referer",
        "sec-fetch-site",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-amz-date",
        "x-amzn-trace-id",
        "x-api-key",
        "x-auth-token",
        "x-b3-traceid",
        "x-client-data",
        "x-client-id",
        "x-client-version",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-csrf-token",
        "x-edgar",
        "x-hosting",
        "x-http-version",
        "x-methods",
        "x-origin",
        "x-real-time",
        "x-realtime",
        "x-request-id",
        "x-requested-with",
        "x-tenant",
        "x-user-id",
        "x-viahost",
    ];

    static API_KEY: LazyLock<[String; 1]> = LazyLock::new(|| ["x-api-key".to_owned()]);

    static RESERVED: LazyLock<Reserved<'static>> = LazyLock::new(|| Reserved {
        api_keys: &*API_KEY,
        ip: "cf-connecting-ip",
        vary: &[],
    });

    #[test]
    fn names_that_speak_for_a_proxy_are_known_and_harmless_ones_left() {
        for name in FORGED {
            assert!(speaks_for_proxy(name) && RESERVED.takes_off(name), "{name}");
        }
        for name in HARMLESS {
            assert!(
                !speaks_for_proxy(name) && !RESERVED.takes_off(name),
                "{name}"
            );
        }
    }

    #[test]
    fn no_entry_of_the_rule_is_in_a_form_that_no_name_has() {
        let families = FAMILIES.iter().chain(&SUFFIXES).chain(&STEMS);
        for entry in families.chain(&STATEMENTS).chain(&EXACT).chain(&SHADOWED) {
            assert_eq!(folded(entry), **entry);
        }
    }

    #[test]
    fn another_spelling_of_what_the_gate_reads_does_not_go_on() {
        for name in [
            "x_api_key",
            "X_API-key",
            "x.api.key",
            "cf_connecting_ip",
            "cf_ray",
            "content_length",
            "transfer_encoding",
            "accept_language",
            "if_none_match",
        ] {
            assert!(RESERVED.takes_off(name), "{name}");
        }
        for name in ["user_id", "x_request_id", "x_custom", "api_key"] {
            assert!(!RESERVED.takes_off(name), "{name}");
        }
        let other_way = Reserved {
            api_keys: &["authorization", "api_key"].map(str::to_owned),
            ip: "x-real-ip",
            vary: &["x-tenant".to_owned()],
        };
        assert!(other_way.takes_off("api-key") && !other_way.takes_off("API_Key"));
        assert!(!other_way.takes_off("Authorization"));
        assert!(other_way.takes_off("x_tenant") && !other_way.takes_off("X-Tenant"));
        let both = ["x-tenant", "x_tenant"].map(str::to_owned);
        let both = Reserved {
            vary: &both,
            ..other_way
        };
        assert!(!both.takes_off("x-tenant") && !both.takes_off("x_tenant"));
        assert!(both.takes_off("x.tenant"));
        assert!(other_way.takes_off("x-real-ip"), "the gate tells it itself");
    }

    /// Clients must be able to send the header that a configuration names for API keys.
    #[test]
    fn a_header_with_api_keys_goes_on_whatever_it_is_called() {
        let reserved = Reserved {
            api_keys: &["X-Edge-Key".to_owned()],
            ip: "cf-connecting-ip",
            vary: &[],
        };
        assert!(!reserved.takes_off("x-edge-key") && reserved.takes_off("x_edge_key"));
        assert!(reserved.takes_off("x-edge-limiter"));
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_forged_name_gets_by(
            n in 0..FORGED.len(),
            parts in proptest::collection::vec("[-_.!#~]", 8),
            upper in proptest::collection::vec(any::<bool>(), 48),
        ) {
            let mut parts = parts.iter().cycle();
            let spelt: String = FORGED[n].chars().zip(upper).map(|(c, upper)| match c {
                '-' => parts.next().unwrap().clone(),
                c if upper => c.to_ascii_uppercase().to_string(),
                c => c.to_string(),
            }).collect();
            prop_assert!(speaks_for_proxy(&spelt), "{}", spelt);
            prop_assert!(RESERVED.takes_off(&spelt), "{}", spelt);
        }
    }
}
